//! What the backend knows of each source: its socket, and which of its sides have a request in flight.

use std::{collections::HashMap, io};

use super::{
    afd::Helper,
    arms::{Arms, NONE, NOTIFIED},
    places::Ends,
    port::{Port, Role},
    socket,
};
use crate::{
    sys::{Raw, platform},
    token::Token,
};

/// Entries a chunk, as in the registry.
const CHUNK: usize = 64;
/// Sockets a helper: AFD looks through all polls of a handle when one ends.
const SOCKETS: u32 = 32;
const NO_HELPER: u32 = u32::MAX;

/// How it is found out that there is something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// It is a stream, and nobody has looked whether it listens.
    Unknown,
    ByReceive,
    ByPoll,
}

/// What tells of all that no receive does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Polls by another number of the socket: see `bases`.
    Base,
    Polls,
    /// The same, unless the system has `notifications`, and they are asked for.
    Free,
    /// They have a registration of the socket.
    Registered,
}

/// One source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) socket: Raw,
    pub(super) generation: u32,
    /// The requests in flight: for reading, for writing, for urgent data.
    arms: [u32; 3],
    helper: u32,
    pub(super) is_attached: bool,
    pub(super) reads: Reads,
    /// Whether what succeeds at once posts no packet.
    pub(super) skips: bool,
    pub(super) way: Way,
}

impl Entry {
    const FREE: Self = Self {
        socket: platform::NO_RAW,
        generation: 0,
        arms: [NONE; 3],
        helper: NO_HELPER,
        is_attached: false,
        reads: Reads::ByPoll,
        skips: false,
        way: Way::Polls,
    };

    pub(super) fn arm(&mut self, role: Role) -> &mut u32 {
        match role {
            Role::Receive | Role::Read | Role::Block => &mut self.arms[0],
            Role::Write => &mut self.arms[1],
            Role::Priority => &mut self.arms[2],
        }
    }

    pub(super) fn arms(&self) -> impl Iterator<Item = u32> {
        self.arms.into_iter().filter(|arm| !matches!(*arm, NONE | NOTIFIED))
    }
}

/// All sources of a Notifier.
#[derive(Debug)]
pub(super) struct Table {
    #[allow(clippy::vec_box, reason = "a chunk more copies no other, and no room is kept for as many again")]
    chunks: Vec<Box<[Entry; CHUNK]>>,
    pub(super) arms: Arms,
    helpers: Vec<(Helper, u32)>,
    /// Helpers that take more sockets.
    with_room: Vec<u32>,
    /// Of sockets that AFD knows by another number than ours.
    bases: HashMap<u32, Raw>,
    /// Whether all was cancelled, and nothing is to be started any more.
    pub(super) ended: bool,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            arms: Arms::new(),
            helpers: Vec::new(),
            with_room: Vec::new(),
            bases: HashMap::new(),
            ended: false,
        }
    }

    /// Of a stream a receive on the socket itself may tell that there is something to read.
    pub(super) fn add(&mut self, token: Token, socket: Raw, is_stream: bool, ends: Ends) -> io::Result<()> {
        let base = if socket::all_are_ifs() { socket } else { socket::base(socket)? };
        let (chunk, _) = place(token.slot());
        while self.chunks.len() <= chunk {
            self.chunks.push(Box::new([Entry::FREE; CHUNK]));
        }
        if base != socket {
            self.bases.insert(token.slot(), base);
        }
        *self.slot(token.slot()).expect("made above") = Entry {
            socket,
            generation: token.generation(),
            is_attached: true,
            // What stands between may answer a receive before there is something.
            reads: if is_stream && ends != Ends::Elsewhere && base == socket {
                Reads::Unknown
            } else {
                Reads::ByPoll
            },
            skips: ends == Ends::Skips,
            way: match ends {
                _ if base != socket => Way::Base,
                Ends::Elsewhere => Way::Polls,
                Ends::Posts | Ends::Skips => Way::Free,
            },
            ..Entry::FREE
        };
        Ok(())
    }

    fn slot(&mut self, slot: u32) -> Option<&mut Entry> {
        let (chunk, index) = place(slot);
        self.chunks.get_mut(chunk).map(|chunk| &mut chunk[index])
    }

    /// The entry of this use of the slot, while it is attached.
    pub(super) fn entry(&mut self, token: Token) -> Option<&mut Entry> {
        self.slot(token.slot()).filter(|entry| entry.is_attached && entry.generation == token.generation())
    }

    /// Ends this use of the slot. Its requests in flight are the caller's to cancel.
    pub(super) fn remove(&mut self, token: Token) -> Option<Entry> {
        let entry = self.entry(token)?;
        let was = *entry;
        entry.is_attached = false;
        if was.way == Way::Base {
            self.bases.remove(&token.slot());
        }
        if let Some((_, sockets)) = self.helpers.get_mut(was.helper as usize) {
            *sockets -= 1;
            if *sockets == SOCKETS - 1 {
                self.with_room.push(was.helper);
            }
        }
        Some(was)
    }

    /// What to poll a source's socket by, and its number there.
    pub(super) fn helper(&mut self, port: &Port, token: Token) -> io::Result<(&Helper, Raw)> {
        let Entry { mut helper, socket, way, .. } = *self.entry(token).expect("looked up by the caller");
        if helper == NO_HELPER {
            helper = self.join_helper(port)?;
            self.entry(token).expect("looked up by the caller").helper = helper;
        }
        let base = if way == Way::Base { self.bases[&token.slot()] } else { socket };
        Ok((&self.helpers[helper as usize].0, base))
    }

    fn join_helper(&mut self, port: &Port) -> io::Result<u32> {
        if let Some(&last) = self.with_room.last() {
            let (_, sockets) = &mut self.helpers[last as usize];
            *sockets += 1;
            if *sockets == SOCKETS {
                self.with_room.pop();
            }
            return Ok(last);
        }
        let index = self.helpers.len() as u32;
        self.helpers.push((Helper::open(port)?, 1));
        self.with_room.push(index);
        Ok(index)
    }

    /// What all requests in flight were started on, once each at least: the sockets and helpers.
    pub(super) fn handles(&self) -> impl Iterator<Item = windows_sys::Win32::Foundation::HANDLE> {
        let sockets = self.chunks.iter().flat_map(|chunk| chunk.iter());
        let sockets = sockets.filter(|entry| entry.is_attached).map(|entry| socket::handle(entry.socket));
        sockets.chain(self.helpers.iter().map(|(helper, _)| helper.raw()))
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 32, "{}", size_of::<Entry>());
    }
}
