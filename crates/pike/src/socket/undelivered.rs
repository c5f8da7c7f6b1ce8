//! What a backend that completes received or accepted for nobody: it comes before all that a system call could bring (I11).

use std::io;

use super::{Address, Socket, receive::copy_to_room};
use crate::{Interest, buf::IoBufMut, handle::op::Attempt, op::lane::Found};

impl Socket {
    /// What came before anything that a system call could bring, taken with `take`; or that there is nothing before that
    /// has ended which the kernel does. None if the system is to be called.
    #[inline]
    pub(super) fn undelivered<T>(
        &self,
        len: usize,
        peek: bool,
        take: impl FnOnce(&[u8], Option<Address>) -> T,
    ) -> Option<Attempt<T>> {
        let lane = self.descriptor().lane()?;
        match lane.read(len, peek, take) {
            Found::Delivered(taken) => Some(Attempt::Done(taken)),
            Found::Failed(error) => Some(Attempt::Failed(error)),
            Found::Wait => Some(Attempt::Empty),
            Found::Free => None,
        }
    }

    /// As [`undelivered`](Self::undelivered), of a datagram, with its sender.
    pub(super) fn undelivered_from(
        &self,
        len: usize,
        peek: bool,
        take: impl FnOnce(&[u8]) -> usize,
    ) -> Option<Attempt<(usize, Address)>> {
        if !self.flavour.has_senders() {
            return None; // nothing that arrives for nobody has a sender
        }
        let attempt = self.undelivered(len, peek, |bytes, sender| (take(bytes), sender))?;
        Some(match attempt {
            Attempt::Done((count, Some(sender))) => Attempt::Done((count, sender)),
            Attempt::Done((_, None)) => Attempt::Failed(io::ErrorKind::Unsupported.into()),
            Attempt::Failed(error) => Attempt::Failed(error),
            _ => Attempt::Empty,
        })
    }

    /// As [`undelivered`](Self::undelivered), into several buffers.
    pub(crate) fn undelivered_vectored<B: IoBufMut>(&self, bufs: &mut [B]) -> Option<Attempt<usize>> {
        self.descriptor().lane()?;
        let room = bufs.iter_mut().map(|buf| buf.room().len()).fold(0, usize::saturating_add);
        let mut taken = Vec::new();
        let attempt = self.undelivered(room, false, |bytes, _| taken.extend_from_slice(bytes))?;
        if !matches!(attempt, Attempt::Done(())) {
            return Some(match attempt {
                Attempt::Failed(error) => Attempt::Failed(error),
                _ => Attempt::Empty,
            });
        }
        let mut rest = &taken[..];
        for buf in bufs {
            let count = copy_to_room(rest, buf.room());
            // SAFETY: as many bytes have just been written.
            #[allow(unsafe_code)]
            unsafe {
                buf.filled(count)
            };
            rest = &rest[count..];
        }
        Some(Attempt::Done(taken.len()))
    }

    /// For an attempt of the caller's own: fails if something arrived that comes before all it could find, or, with
    /// `WouldBlock`, if the kernel does something for the socket, which ends for that.
    fn step_aside(&self, interest: Interest) -> io::Result<()> {
        self.descriptor().lane().map_or(Ok(()), |lane| lane.make_way(interest))
    }

    /// As [`Handle::try_io`](crate::Handle::try_io), behind what the kernel does for the socket.
    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        attempt: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.handle.try_io(interest, |_| {
            self.step_aside(interest)?;
            attempt()
        })
    }

    /// As [`Handle::async_io`](crate::Handle::async_io), behind what the kernel does for the socket.
    pub(crate) async fn async_io<R>(
        &self,
        interest: Interest,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let attempt = |_: &_| {
            self.step_aside(interest)?;
            attempt()
        };
        self.handle.async_io(interest, attempt).await
    }
}
