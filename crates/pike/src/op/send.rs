//! Sending from a buffer that the operation owns.

use std::io;

use super::{Carried, Endpoint, How, Owned, rest};
use crate::{
    buf::{IoBuf, IoBufs},
    handle::op::Attempt,
    socket::{Address, SendFlags, is_drained, judge},
    source::Seen,
    sys::platform::{self, Vectors},
};

impl<'a> Endpoint<'a> {
    /// One send.
    pub(crate) fn write<B: IoBuf>(self, buf: B) -> Owned<'a, usize, B> {
        self.send(buf, SendFlags::NONE)
    }

    /// One send with flags.
    pub(crate) fn send<B: IoBuf>(self, buf: B, flags: SendFlags) -> Owned<'a, usize, B> {
        self.sends(buf, How::Sending(flags), write)
    }

    /// Sends until nothing is left.
    pub(crate) fn write_all<B: IoBuf>(self, buf: B) -> Owned<'a, (), B> {
        self.sends(buf, How::Plainly, write_all)
    }

    /// One send from several buffers.
    pub(crate) fn write_vectored<V: IoBufs>(self, bufs: V) -> Owned<'a, usize, V> {
        self.sends(bufs, How::Plainly, write_vectored)
    }

    /// One datagram to `address`.
    pub(crate) fn send_to<B: IoBuf>(self, buf: B, address: Address) -> Owned<'a, usize, B> {
        self.sends(buf, How::To(address), send_to)
    }

    #[inline]
    fn transmit(self, bytes: &[u8], flags: SendFlags) -> io::Result<usize> {
        match self {
            Self::Socket(_) => platform::send(self.descriptor(), bytes, flags),
            Self::Other(..) => platform::write(self.descriptor(), bytes),
        }
    }
}

fn write<B: IoBuf>(carried: &mut Carried<'_, usize, B>, seen: Seen) -> Attempt<usize> {
    let (at, flags) = match carried.how {
        How::Sending(flags) => (carried.at, flags),
        _ => (carried.at, SendFlags::NONE),
    };
    let bytes = carried.buffer().bytes();
    judge(seen, bytes.len(), at.transmit(bytes, flags))
}

fn write_all<B: IoBuf>(carried: &mut Carried<'_, (), B>, seen: Seen) -> Attempt<()> {
    let (at, done) = (carried.at, carried.done);
    let bytes = rest(carried.buffer(), done);
    let asked = bytes.len();
    if asked == 0 {
        return Attempt::Done(());
    }
    match at.transmit(bytes, SendFlags::NONE) {
        Ok(0) => Attempt::Failed(io::ErrorKind::WriteZero.into()),
        Ok(count) if count == asked => Attempt::Done(()),
        Ok(count) => {
            carried.done += count;
            if is_drained(seen, asked, count) { Attempt::Empty } else { Attempt::Partly }
        }
        Err(error) => Attempt::Failed(error),
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
    let (asked, result) = (vectors.total(), vectors.send(at.descriptor()));
    judge(seen, asked, result)
}

fn send_to<B: IoBuf>(carried: &mut Carried<'_, usize, B>, _: Seen) -> Attempt<usize> {
    let How::To(address) = carried.how else { unreachable!("a datagram to somebody has an address") };
    let at = carried.at;
    platform::send_to(at.descriptor(), carried.buffer().bytes(), address).into()
}
