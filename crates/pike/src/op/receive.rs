//! Receiving into a buffer that the operation owns.
#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit};

use super::{Carried, Endpoint, How, Owned, native::Native};
use crate::{
    buf::{self, IoBufMut, IoBufs},
    handle::op::Attempt,
    socket::{Address, RecvFlags, UnixAddress},
    source::Seen,
    sys::platform::{self, Vectors},
};

/// Who sent a datagram, as the caller's type has it.
pub(crate) trait Peer: Sized {
    fn of(address: Address) -> io::Result<Self>;
}

impl Peer for Address {
    fn of(address: Address) -> io::Result<Self> {
        Ok(address)
    }
}

impl Peer for std::net::SocketAddr {
    fn of(address: Address) -> io::Result<Self> {
        address.try_into()
    }
}

impl Peer for UnixAddress {
    fn of(address: Address) -> io::Result<Self> {
        address.try_into()
    }
}

impl<'a> Endpoint<'a> {
    /// One receive.
    pub(crate) fn read<B: IoBufMut>(self, mut buf: B) -> Owned<'a, usize, B> {
        let is_nothing = buf.room().is_empty() && self.has_nothing_to_fill();
        self.receives(buf, is_nothing, Some(Native::read()), read)
    }

    /// One receive with flags.
    pub(crate) fn recv<B: IoBufMut>(self, buf: B, flags: RecvFlags) -> Owned<'a, usize, B> {
        if flags == RecvFlags::NONE {
            return self.read(buf);
        }
        let how = How::Receiving(flags);
        Owned::new(flags.aim(), Carried { how, ..Carried::new(self, buf, None, recv_with_flags) })
    }

    /// Receives until there is no room.
    pub(crate) fn read_exact<B: IoBufMut>(self, mut buf: B) -> Owned<'a, usize, B> {
        let is_nothing = buf.room().is_empty();
        self.receives(buf, is_nothing, Some(Native::read_exact()), read_exact)
    }

    /// One receive into several buffers.
    pub(crate) fn read_vectored<V>(self, mut bufs: V) -> Owned<'a, usize, V>
    where
        V: IoBufs<Buf: IoBufMut>,
    {
        let is_nothing =
            bufs.bufs_mut().iter_mut().all(|buf| buf.room().is_empty()) && self.has_nothing_to_fill();
        self.receives(bufs, is_nothing, Some(Native::read_vectored()), read_vectored)
    }

    /// One datagram, and who sent it.
    pub(crate) fn recv_from<B: IoBufMut, A: Peer>(self, buf: B) -> Owned<'a, (usize, A), B> {
        self.receives(buf, false, self.has_senders().then(Native::read_from), recv_from)
    }

    /// One datagram into `room`, and who sent it.
    pub(super) fn fill_from(self, seen: Seen, room: &mut [MaybeUninit<u8>]) -> Attempt<(usize, Address)> {
        match self {
            Self::Socket(socket) => socket.attempt_fill_from(seen, room),
            Self::Other(..) => Attempt::Failed(io::ErrorKind::Unsupported.into()),
        }
    }

    /// One receive into `room`: the count is how much of it has been written.
    #[inline]
    pub(super) fn fill(self, seen: Seen, room: &mut [MaybeUninit<u8>]) -> Attempt<usize> {
        match self {
            Self::Socket(socket) => socket.attempt_fill(seen, room),
            Self::Other(registration, lane) => match lane.and_then(|lane| lane.fill(room)) {
                Some(attempt) => attempt,
                None => platform::read_room(registration.descriptor(), room).into(),
            },
        }
    }
}

fn read<B: IoBufMut>(carried: &mut Carried<'_, usize, B>, seen: Seen) -> Attempt<usize> {
    let at = carried.at;
    let buf = carried.buffer();
    let attempt = at.fill(seen, buf.room());
    if let Attempt::Done(count) | Attempt::Drained(count) = attempt {
        // SAFETY: the system has written as many bytes into the room.
        unsafe { buf.filled(count) };
    }
    attempt
}

/// The room behind the first `done` bytes, which were received and are what the buffer has. None behind a buffer that does
/// not show as many: what its room begins with now may be other memory, and nobody may call that filled.
pub(super) fn room_behind<B: IoBufMut>(buf: &mut B, done: usize) -> &mut [MaybeUninit<u8>] {
    match buf.bytes().len() >= done {
        true => buf.room().get_mut(done..).unwrap_or_default(),
        false => &mut [],
    }
}

/// With flags a short receive says nothing: a peek leaves the bytes where they are.
fn recv_with_flags<B: IoBufMut>(carried: &mut Carried<'_, usize, B>, seen: Seen) -> Attempt<usize> {
    let (Endpoint::Socket(socket), &How::Receiving(flags)) = (carried.at, &carried.how) else {
        unreachable!("a receive with flags is a socket's, and has some")
    };
    let buf = carried.buffer();
    let attempt = socket.attempt_fill_with(seen, buf.room(), flags);
    if let Attempt::Done(count) = attempt {
        // SAFETY: the system has written as many bytes into the room.
        unsafe { buf.filled(count) };
    }
    attempt
}

fn read_exact<B: IoBufMut>(carried: &mut Carried<'_, usize, B>, seen: Seen) -> Attempt<usize> {
    let (at, done) = (carried.at, carried.done);
    let buf = carried.buffer();
    let room = room_behind(buf, done);
    let asked = room.len();
    if asked == 0 {
        return Attempt::Done(done);
    }
    let (count, drained) = match at.fill(seen, room) {
        Attempt::Done(0) => {
            // SAFETY: as many were among the buffer's bytes.
            unsafe { buf.filled(done) };
            return Attempt::Failed(io::ErrorKind::UnexpectedEof.into());
        }
        Attempt::Done(count) => (count, false),
        Attempt::Drained(count) => (count, true),
        other => return other,
    };
    // SAFETY: the system has just written the last `count` of these bytes; what is before was among the buffer's bytes.
    unsafe { buf.filled(done + count) };
    carried.done += count;
    match (count == asked, drained) {
        (true, _) => Attempt::Done(carried.done),
        (false, true) => Attempt::Empty,
        (false, false) => Attempt::Partly,
    }
}

fn recv_from<B: IoBufMut, A: Peer>(
    carried: &mut Carried<'_, (usize, A), B>,
    seen: Seen,
) -> Attempt<(usize, A)> {
    let at = carried.at;
    let buf = carried.buffer();
    match at.fill_from(seen, buf.room()) {
        Attempt::Done((count, address)) | Attempt::Drained((count, address)) => {
            // SAFETY: the system has written as many bytes into the room.
            unsafe { buf.filled(count) };
            A::of(address).map(|address| (count, address)).into()
        }
        Attempt::Partly => Attempt::Partly,
        Attempt::Empty => Attempt::Empty,
        Attempt::Failed(error) => Attempt::Failed(error),
    }
}

fn read_vectored<V: IoBufs<Buf: IoBufMut>>(
    carried: &mut Carried<'_, usize, V>,
    seen: Seen,
) -> Attempt<usize> {
    let at = carried.at;
    if carried.is_nothing {
        return Attempt::Done(0); // the system would say that there is nothing to receive
    }
    let bufs = carried.buffer().bufs_mut();
    if let Endpoint::Socket(socket) = at {
        if let Some(attempt) = socket.undelivered_vectored(bufs) {
            return attempt;
        }
    }
    let mut vectors = Vectors::new();
    for buf in bufs.iter_mut() {
        if vectors.is_full() && at.may_do_less() {
            break;
        }
        vectors.push_room(buf.room());
    }
    let (asked, result) = (vectors.total(), vectors.recv(at.descriptor()));
    let lens = vectors.into_lens();
    let attempt = at.judge(seen, asked, result);
    if let Attempt::Done(count) | Attempt::Drained(count) = attempt {
        // SAFETY: the lengths are those of the rooms, and the system has filled one after the other.
        unsafe { buf::filled(bufs, lens.iter(), count) };
    }
    attempt
}
