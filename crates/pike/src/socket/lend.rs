//! Receives whose bytes are lent to a closure.

use std::{
    io::{self, IoSliceMut},
    ops::Deref,
};

use super::{RecvFlags, Socket, hot, is_drained, receive::copy};
use crate::{
    buf::Lease,
    handle::op::{Attempt, Work},
    op::lane::{Found, Lane},
    source::Seen,
    sys::platform,
};

/// Receives into the thread's hot buffer, or takes what the kernel received into one of the pool, and lends that to `f`.
pub(super) struct Lend<'a, F> {
    socket: &'a Socket,
    f: Option<F>,
}

/// What is lent.
pub(super) enum Lent {
    Hot(hot::Lent, usize),
    /// The kernel's own buffer: nothing was copied.
    Pooled(Lease),
}

impl Deref for Lent {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Hot(buffer, count) => &buffer[..*count],
            Self::Pooled(lease) => lease,
        }
    }
}

impl<'a, F> Lend<'a, F> {
    #[inline]
    pub(super) fn new(socket: &'a Socket, f: F) -> Self {
        Self { socket, f: Some(f) }
    }
}

impl<R, F: FnOnce(&[u8]) -> R> Work<R> for Lend<'_, F> {
    type Brings = Lent;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<Lent> {
        if let Some(lane) = self.socket.descriptor().lane() {
            if let Some(attempt) = self.take_delivered(lane) {
                return attempt;
            }
        }
        let mut buffer = hot::take();
        if self.socket.flavour.is_unix() {
            return self.attempt_unix(seen, buffer);
        }
        match platform::recv(self.socket.descriptor().borrowed(), &mut buffer[..], RecvFlags::NONE) {
            Ok(count) if is_drained(seen, buffer.len(), count) => Attempt::Drained(Lent::Hot(buffer, count)),
            Ok(count) => Attempt::Done(Lent::Hot(buffer, count)),
            Err(error) => match self.socket.or_end(seen, Err(error), 0) {
                Ok(count) => Attempt::Done(Lent::Hot(buffer, count)),
                Err(error) => failed_to_lend(buffer, error),
            },
        }
    }

    #[inline]
    fn complete(&mut self, lent: Lent) -> R {
        match self.f.take() {
            Some(f) => f(&lent),
            None => unreachable!("polled after it was done"),
        }
    }
}

impl<F> Lend<'_, F> {
    /// What the kernel brings by itself, which goes on. None if the system is to be called.
    #[cold]
    #[inline(never)]
    fn take_delivered(&self, lane: &Lane) -> Option<Attempt<Lent>> {
        match lane.lease() {
            Found::Delivered(Some(lease)) => Some(Attempt::Done(Lent::Pooled(lease))),
            Found::Delivered(None) => {
                let mut buffer = hot::take();
                let room = buffer.len();
                let count = self.socket.undelivered(room, false, |bytes, _| copy(bytes, &mut buffer[..]))?;
                Some(match count {
                    Attempt::Done(count) => Attempt::Done(Lent::Hot(buffer, count)),
                    Attempt::Failed(error) => failed_to_lend(buffer, error),
                    _ => Attempt::Empty,
                })
            }
            Found::Failed(error) => Some(Attempt::Failed(error)),
            Found::Wait => Some(Attempt::Empty),
            Found::Free => None,
        }
    }

    #[cold]
    fn attempt_unix(&self, seen: Seen, mut buffer: hot::Lent) -> Attempt<Lent> {
        match self.socket.attempt_unix_read(seen, &mut [IoSliceMut::new(&mut buffer[..])]) {
            Attempt::Done(count) => Attempt::Done(Lent::Hot(buffer, count)),
            Attempt::Drained(count) => Attempt::Drained(Lent::Hot(buffer, count)),
            Attempt::Failed(error) => failed_to_lend(buffer, error),
            Attempt::Empty | Attempt::Partly => unreachable!("a read is one call"),
        }
    }
}

/// Puts the buffer back. Out of line, so that it is not merged with what follows the closure.
#[cold]
fn failed_to_lend<T>(buffer: hot::Lent, error: io::Error) -> Attempt<T> {
    drop(buffer);
    Attempt::Failed(error)
}
