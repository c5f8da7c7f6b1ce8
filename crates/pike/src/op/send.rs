//! Sending from a buffer that the operation owns.

use std::io;

use super::{Carried, Endpoint, How, Owned, name::Name, native::Native, plainly, rest};
use crate::{
    buf::{IoBuf, IoBufs},
    handle::op::Attempt,
    socket::{Address, SendFlags},
    source::{Direction, Seen},
    sys::platform::{self, Vectors},
};

impl<'a> Endpoint<'a> {
    /// One send.
    pub(crate) fn write<B: IoBuf>(self, buf: B) -> Owned<'a, usize, B> {
        self.send(buf, SendFlags::NONE)
    }

    /// One send with flags.
    pub(crate) fn send<B: IoBuf>(self, buf: B, flags: SendFlags) -> Owned<'a, usize, B> {
        // What is urgent about urgent data is told by the system call.
        let native =
            if flags.contains(SendFlags::OUT_OF_BAND) { None } else { self.natively(Native::write()) };
        self.sends(Carried { how: How::Sending(flags), ..Carried::new(self, buf, native, write) })
    }

    /// Sends until nothing is left.
    pub(crate) fn write_all<B: IoBuf>(self, buf: B) -> Owned<'a, (), B> {
        let native = self.natively(Native::write_all());
        self.sends(Carried::new(self, buf, native, write_all))
    }

    /// One send from several buffers.
    pub(crate) fn write_vectored<V: IoBufs>(self, bufs: V) -> Owned<'a, usize, V> {
        let native = self.natively(Native::write_vectored());
        self.sends(Carried::new(self, bufs, native, write_vectored))
    }

    /// One datagram to `address`.
    pub(crate) fn send_to<B: IoBuf>(self, buf: B, address: Address) -> Owned<'a, usize, B> {
        let native = if self.names_others() { self.natively(Native::write()) } else { None };
        let how = match address {
            Address::V4(address) => How::To(address.into()),
            Address::V6(address) => How::To(address.into()),
            Address::Unix(_) => How::ToUnix(Name::new(self.registration().core(), address)),
        };
        self.sends(Carried { how, ..Carried::new(self, buf, native, send_to) })
    }

    fn sends<T, B>(self, carried: Carried<'a, T, B>) -> Owned<'a, T, B> {
        Owned::new(plainly(Direction::Write), carried)
    }

    #[inline]
    fn transmit(self, seen: Seen, bytes: &[u8], flags: SendFlags) -> Attempt<usize> {
        match self {
            Self::Socket(socket) => socket.attempt_send(seen, bytes, flags),
            Self::Other(_, Some(lane)) if lane.is_sending() => Attempt::Empty,
            Self::Other(registration, _) => platform::write(registration.descriptor(), bytes).into(),
        }
    }
}

fn write<B: IoBuf>(carried: &mut Carried<'_, usize, B>, seen: Seen) -> Attempt<usize> {
    let (at, flags) = (carried.at, carried.send_flags());
    at.transmit(seen, carried.buffer().bytes(), flags)
}

fn write_all<B: IoBuf>(carried: &mut Carried<'_, (), B>, seen: Seen) -> Attempt<()> {
    let (at, done) = (carried.at, carried.done);
    let bytes = rest(carried.buffer(), done);
    let asked = bytes.len();
    if asked == 0 {
        return Attempt::Done(());
    }
    let (count, drained) = match at.transmit(seen, bytes, SendFlags::NONE) {
        Attempt::Done(count) => (count, false),
        Attempt::Drained(count) => (count, true),
        Attempt::Failed(error) => return Attempt::Failed(error),
        Attempt::Partly => return Attempt::Partly,
        Attempt::Empty => return Attempt::Empty,
    };
    carried.done += count;
    match count {
        0 => Attempt::Failed(io::ErrorKind::WriteZero.into()),
        _ if count == asked => Attempt::Done(()),
        _ if drained => Attempt::Empty,
        _ => Attempt::Partly,
    }
}

fn write_vectored<V: IoBufs>(carried: &mut Carried<'_, usize, V>, seen: Seen) -> Attempt<usize> {
    let at = carried.at;
    let mut vectors = Vectors::new();
    for buf in carried.buffer().bufs() {
        if vectors.is_full() && at.may_do_less() {
            break;
        }
        vectors.push_bytes(buf.bytes());
    }
    match at {
        Endpoint::Socket(socket) if socket.is_sending() => Attempt::Empty,
        Endpoint::Socket(socket) => socket.sent_less(seen, vectors.total(), vectors.send(at.descriptor())),
        Endpoint::Other(..) => vectors.send(at.descriptor()).into(),
    }
}

fn send_to<B: IoBuf>(carried: &mut Carried<'_, usize, B>, _: Seen) -> Attempt<usize> {
    let address = match &carried.how {
        How::To(address) => Address::from(*address),
        How::ToUnix(name) => name.address(),
        _ => unreachable!("a datagram to somebody has an address"),
    };
    let at = carried.at;
    if let Endpoint::Socket(socket) = at {
        if socket.is_sending() {
            return Attempt::Empty;
        }
    }
    match platform::send_to(at.descriptor(), carried.buffer().bytes(), address) {
        // Nothing would say when to try again: see `Socket::no_room`.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && at.is_unix_datagram() => {
            Attempt::Failed(platform::out_of_room())
        }
        sent => sent.into(),
    }
}
