//! What the kernel received for nobody yet, in order.
//!
//! A buffer of the pool is here by its number alone: each socket has an inbox, and the lane knows the pool. So whoever takes it
//! out names the pool, and an inbox is emptied before it goes.

use std::{
    collections::VecDeque,
    io,
    mem::{self, ManuallyDrop},
    sync::Arc,
};

use crate::{
    buf::{Lease, Pool, Slot},
    socket::Address,
    sys::platform,
};

/// One thing that arrived.
pub(super) enum Delivered {
    /// A buffer of the pool that the kernel has filled, of whose bytes some may have been taken.
    Bytes {
        buffer: u32,
        from: u32,
        to: u32,
    },
    /// Bytes of a stream that came into the buffer of a receive that was dropped. In a box, as the next: they are rare.
    Copied(Box<Copied>),
    /// A datagram of such a receive, whole, even if that had less room.
    Datagram(Box<Datagram>),
    /// A connection that nobody has accepted.
    Connection(platform::Owned),
    End,
    Failed(i32),
}

pub(super) struct Copied {
    pub(super) bytes: Vec<u8>,
    pub(super) from: usize,
}

pub(super) struct Datagram {
    pub(super) bytes: Vec<u8>,
    /// None if its kind of address is none that we know.
    pub(super) sender: Option<Address>,
}

/// What a look at the front found.
pub(super) enum Front<T> {
    Taken(T),
    Failed(i32),
    Empty,
}

/// Most sockets never have more than one thing in it, which is read before the next arrives: that costs no memory beside.
#[derive(Default)]
pub(super) struct Inbox {
    first: Option<Delivered>,
    /// What is behind it; empty if there is none. Made when it is needed for the first time.
    #[allow(clippy::box_collection, reason = "most sockets have none, and a pointer for it is enough")]
    rest: Option<Box<VecDeque<Delivered>>>,
}

impl Inbox {
    pub(super) fn push(&mut self, delivered: Delivered) {
        match self.first {
            None => self.first = Some(delivered),
            Some(_) => self.rest.get_or_insert_default().push_back(delivered),
        }
    }

    /// As a push of bytes, into an empty one. False if it is not: nothing was done.
    #[inline]
    pub(super) fn push_first(&mut self, buffer: u32, len: u32) -> bool {
        let is_first = self.first.is_none();
        if is_first {
            self.first = Some(Delivered::Bytes { buffer, from: 0, to: len });
        }
        is_first
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    #[inline]
    fn pop(&mut self) -> Option<Delivered> {
        let next = self.rest.as_mut().and_then(|rest| rest.pop_front());
        mem::replace(&mut self.first, next)
    }

    /// Shows up to `len` bytes of the first thing to `take`, with the sender of a datagram, of which the rest is lost. `peek`:
    /// it stays. A buffer that is empty by that is put in `emptied`, to be dropped after the unlock: it may wake who waits for one.
    pub(super) fn read<T>(
        &mut self,
        pool: &Arc<Pool>,
        len: usize,
        peek: bool,
        emptied: &mut Option<Slot>,
        take: impl FnOnce(&[u8], Option<Address>) -> T,
    ) -> Front<T> {
        let (taken, is_over) = match &mut self.first {
            None | Some(Delivered::Connection(_)) => return Front::Empty,
            Some(Delivered::Bytes { buffer, from, to }) => {
                let (start, end) = (*from as usize, (*from as usize).saturating_add(len).min(*to as usize));
                let slot = ManuallyDrop::new(pool.adopt(*buffer)); // not given back if `take` panics: it is here still
                let taken = take(&slot.bytes(*to as usize)[start..end], None);
                *from = if peek { *from } else { end as u32 };
                let (slot, is_over) = (ManuallyDrop::into_inner(slot), !peek && from == to);
                match is_over {
                    true => *emptied = Some(slot),
                    false => _ = slot.into_number(),
                }
                (taken, is_over)
            }
            Some(Delivered::Copied(copied)) => {
                let Copied { bytes, from } = &mut **copied;
                let end = from.saturating_add(len).min(bytes.len());
                let taken = take(&bytes[*from..end], None);
                *from = if peek { *from } else { end };
                (taken, *from == bytes.len())
            }
            Some(Delivered::Datagram(datagram)) => {
                let end = len.min(datagram.bytes.len());
                (take(&datagram.bytes[..end], datagram.sender), true)
            }
            Some(Delivered::End) => (take(&[], None), true),
            Some(Delivered::Failed(code)) => {
                let code = *code;
                self.pop();
                return Front::Failed(code);
            }
        };
        if is_over && !peek {
            self.pop();
        }
        Front::Taken(taken)
    }

    /// The first thing, if it is bytes in a buffer, which nearly everything is.
    #[inline(always)]
    pub(super) fn lease_bytes(&mut self, pool: &Arc<Pool>) -> Option<Lease> {
        match self.first {
            Some(Delivered::Bytes { buffer, from, to }) => {
                match self.rest {
                    None => mem::forget(self.first.take()), // a number; a pop moves more
                    Some(_) => _ = self.pop(),
                }
                Some(Lease::part(pool.adopt(buffer), from, to))
            }
            _ => None,
        }
    }

    /// The first thing, as a lease. None in it if it is in no buffer of the pool: it is to be read.
    pub(super) fn lease(&mut self, pool: &Arc<Pool>) -> Front<Option<Lease>> {
        match self.first {
            None | Some(Delivered::Connection(_)) => return Front::Empty,
            Some(Delivered::Copied(_) | Delivered::Datagram(_)) => return Front::Taken(None),
            Some(Delivered::Bytes { .. } | Delivered::End | Delivered::Failed(_)) => {}
        }
        match self.pop() {
            Some(Delivered::Bytes { buffer, from, to }) => {
                Front::Taken(Some(Lease::part(pool.adopt(buffer), from, to)))
            }
            Some(Delivered::Failed(code)) => Front::Failed(code),
            _ => Front::Taken(Some(Lease::empty())),
        }
    }

    /// Drops the error of a receive that the socket was not connected for, which nothing comes behind.
    pub(super) fn forget_not_connected(&mut self) {
        if let Some(Delivered::Failed(code)) = self.first {
            let is_unconnected = io::Error::from_raw_os_error(code).kind() == io::ErrorKind::NotConnected;
            // A Unix stream says that it is invalid to receive.
            if is_unconnected || code == platform::INVALID {
                self.pop();
            }
        }
    }

    /// What comes before the first connection.
    pub(super) fn take_all_before_connections(&mut self) -> Self {
        let mut taken = Self::default();
        while !matches!(self.first, None | Some(Delivered::Connection(_))) {
            self.pop().into_iter().for_each(|delivered| taken.push(delivered));
        }
        taken
    }

    /// The first connection.
    pub(super) fn accept(&mut self) -> Option<platform::Owned> {
        match self.first {
            Some(Delivered::Connection(_)) => match self.pop() {
                Some(Delivered::Connection(owned)) => Some(owned),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What nobody will take: when it is dropped, buffers go back to their pool, which may wake who waits for one.
pub(super) struct Emptied<'a>(pub(super) Inbox, pub(super) &'a Arc<Pool>);

impl Drop for Emptied<'_> {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            drop(Undelivered::new(mem::take(&mut self.0), self.1));
        }
    }
}

/// All that nobody has taken, of a socket that is taken elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Undelivered {
    /// Of a stream all of them; otherwise those of one datagram.
    pub(crate) bytes: Vec<u8>,
    /// Who sent that datagram.
    pub(crate) sender: Option<Address>,
    pub(crate) connections: Vec<platform::Owned>,
    /// An error that comes after the bytes, and that the system tells nobody again.
    pub(crate) error: Option<i32>,
}

impl Undelivered {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { bytes, sender, connections, error } = self;
        bytes.is_empty() && sender.is_none() && connections.is_empty() && error.is_none()
    }
}

impl Undelivered {
    /// All that is in an inbox. Buffers go back to their pool, which may wake who waits for one.
    pub(super) fn new(inbox: Inbox, pool: &Arc<Pool>) -> Self {
        let mut all = Self::default();
        for delivered in inbox.first.into_iter().chain(inbox.rest.into_iter().flat_map(|rest| *rest)) {
            match delivered {
                Delivered::Bytes { buffer, from, to } => {
                    let slot = pool.adopt(buffer);
                    all.bytes.extend_from_slice(&slot.bytes(to as usize)[from as usize..]);
                }
                Delivered::Copied(copied) => all.bytes.extend_from_slice(&copied.bytes[copied.from..]),
                Delivered::Datagram(datagram) => (all.bytes, all.sender) = (datagram.bytes, datagram.sender),
                Delivered::Connection(owned) => all.connections.push(owned),
                Delivered::Failed(code) if platform::is_told_once(code) => all.error = Some(code),
                Delivered::End | Delivered::Failed(_) => {} // who asks the system is told the same
            }
        }
        all
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::buf::Size;

    fn pool() -> Arc<Pool> {
        Arc::new(Pool::new(Size::new(2, 16).unwrap()))
    }

    fn copied(bytes: &[u8]) -> Delivered {
        Delivered::Copied(Box::new(Copied { bytes: bytes.to_vec(), from: 0 }))
    }

    fn read(inbox: &mut Inbox, len: usize, peek: bool) -> Option<(Vec<u8>, Option<Address>)> {
        let mut emptied = None;
        match inbox.read(&pool(), len, peek, &mut emptied, |bytes, sender| (bytes.to_vec(), sender)) {
            Front::Taken(taken) => Some(taken),
            Front::Failed(code) => Some((vec![code as u8], None)),
            Front::Empty => None,
        }
    }

    #[test]
    fn bytes_come_in_order_and_in_the_reader_s_sizes() {
        let mut inbox = Inbox::default();
        inbox.push(copied(b"abcde"));
        inbox.push(Delivered::Failed(7));
        inbox.push(copied(b"f"));
        inbox.push(Delivered::End);
        assert_eq!(read(&mut inbox, 2, true).unwrap().0, b"ab");
        assert_eq!(read(&mut inbox, 2, false).unwrap().0, b"ab");
        assert_eq!(read(&mut inbox, usize::MAX, false).unwrap().0, b"cde");
        assert_eq!(read(&mut inbox, 1, true).unwrap().0, [7], "an error is told once, to whoever looks");
        assert!(matches!(inbox.lease(&pool()), Front::Taken(None)));
        assert_eq!(read(&mut inbox, 9, false).unwrap().0, b"f");
        assert_eq!(read(&mut inbox, 9, true).unwrap().0, b"");
        assert!(matches!(inbox.lease(&pool()), Front::Taken(Some(lease)) if lease.is_empty()));
        assert!(read(&mut inbox, 9, false).is_none() && inbox.is_empty());
    }

    #[test]
    fn a_datagram_is_taken_whole() {
        let mut inbox = Inbox::default();
        let sender = Some(Address::from("127.0.0.1:7".parse::<SocketAddr>().unwrap()));
        for bytes in [&b"first"[..], b"", b"last"] {
            inbox.push(Delivered::Datagram(Box::new(Datagram { bytes: bytes.to_vec(), sender })));
        }
        assert_eq!(read(&mut inbox, 0, true), Some((b"".to_vec(), sender)));
        assert_eq!(read(&mut inbox, 2, false), Some((b"fi".to_vec(), sender)));
        assert_eq!(read(&mut inbox, 2, false), Some((b"".to_vec(), sender)));
        let rest = Undelivered::new(inbox, &pool());
        assert_eq!((&rest.bytes[..], rest.sender), (&b"last"[..], sender));
    }

    /// Goal: of errors that nobody was told, those are kept which the system does not tell again.
    #[test]
    fn an_error_that_is_told_once_is_left() {
        let rest = |code| {
            let mut inbox = Inbox::default();
            inbox.push(Delivered::Failed(code));
            Undelivered::new(inbox, &pool())
        };
        let lasting = rest(platform::INVALID);
        assert!(lasting.is_empty() && lasting.error.is_none());
        for code in (1..200).filter(|&code| platform::is_told_once(code)) {
            assert!(rest(code).error == Some(code) && !rest(code).is_empty());
        }
    }

    /// Goal: whoever empties a buffer gives it back once, and who only looks or takes a part of it does not.
    #[test]
    fn a_buffer_goes_back_when_it_is_empty() {
        let pool = pool();
        let free = || {
            let slots: Vec<_> = std::iter::from_fn(|| pool.take().unwrap()).collect();
            (slots.len(), Arc::strong_count(&pool) - 1 - slots.len())
        };
        let arrive =
            || Delivered::Bytes { buffer: pool.take().unwrap().unwrap().into_number(), from: 0, to: 4 };
        let mut inbox = Inbox::default();
        inbox.push(arrive());
        for (len, peek, left) in [(4, true, 1), (3, false, 1), (1, true, 1), (9, false, 2)] {
            let mut emptied = None;
            let found = inbox.read(&pool, len, peek, &mut emptied, |bytes, _| bytes.len());
            assert!(matches!(found, Front::Taken(1..)));
            assert_eq!(emptied.is_some(), left == 2);
            drop(emptied);
            assert_eq!(free(), (left, 0));
        }
        assert!(inbox.is_empty());
        inbox.push(arrive());
        inbox.push(arrive());
        let lease = inbox.lease_bytes(&pool).unwrap();
        assert_eq!((lease.len(), free()), (4, (0, 1)));
        assert_eq!(Undelivered::new(inbox, &pool).bytes.len(), 4);
        assert_eq!(free(), (1, 1));
        drop(lease);
        assert_eq!(free(), (2, 0));
    }
}
