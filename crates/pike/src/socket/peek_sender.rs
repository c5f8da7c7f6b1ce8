//! Who sent the next datagram, which stays in the queue.

use std::{
    future::Future,
    io,
    task::{Context, Poll},
};

use super::{Address, Socket, UnixAddress};
use crate::{
    handle::op::Attempt,
    source::{Direction, Seen},
    sys::platform,
};

impl Socket {
    /// Waits for a datagram, and says who sent it.
    pub(crate) fn peek_sender(&self) -> impl Future<Output = io::Result<Address>> + Send + '_ {
        self.receiving(move |seen| self.attempt_peek_sender(seen))
    }

    pub(crate) fn try_peek_sender(&self) -> io::Result<Address> {
        self.handle.try_op(Direction::Read, |seen| self.attempt_peek_sender(seen))
    }

    pub(crate) fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<Address>> {
        self.poll_op(Direction::Read, cx, |seen| self.attempt_peek_sender(seen))
    }

    /// After the end nobody sends any more, and the system says so with EAGAIN: see [`or_end`](Self::or_end).
    fn attempt_peek_sender(&self, seen: Seen) -> Attempt<Address> {
        match self.undelivered_from(0, true, |_| 0) {
            None => {}
            Some(Attempt::Done((_, sender))) => return Attempt::Done(sender),
            Some(Attempt::Failed(error)) => return Attempt::Failed(error),
            Some(_) => return Attempt::Empty,
        }
        let sender = platform::peek_sender(self.descriptor().borrowed());
        self.or_end(seen, sender, UnixAddress::UNNAMED.into()).into()
    }
}
