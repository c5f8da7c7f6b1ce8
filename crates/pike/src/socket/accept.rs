//! Accepting.

use std::{
    future::Future,
    io,
    task::{Context, Poll},
};

use super::{Address, Descriptor, Flavour, Socket, pause::Pause};
use crate::{
    handle::{
        op::{Attempt, Op},
        waiting::Reads,
    },
    source::Direction,
    sys::platform,
};

/// A connection that is attached to no Notifier yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) descriptor: Descriptor,
    pub(crate) address: io::Result<Address>,
    flavour: Flavour,
}

impl Accepted {
    /// Attaches it to the Notifier of the listener that accepted it.
    fn attach(self, listener: &Socket) -> io::Result<(Socket, Address)> {
        let socket = Socket::attach(listener.core().clone(), self.descriptor, self.flavour)?;
        Ok((socket, self.address?))
    }
}

impl Socket {
    /// Takes the next connection, with the address of its peer. It belongs to the same Notifier.
    ///
    /// Connections that failed while they were queued are passed over. When the process or the system has no
    /// descriptors or memory left, that is not an error either: accept pauses, from 5 to 500 milliseconds, and tries
    /// again, while the connections wait in the queue.
    ///
    /// # Errors
    ///
    /// The system's: `EINVAL` if it does not listen; those of [`Handle::new_on`](crate::Handle::new_on), by which the
    /// connection is lost; [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(Self, Address)> {
        self.accept_unattached().await?.attach(self)
    }

    /// As [`accept`](Self::accept), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept); [`io::ErrorKind::WouldBlock`] if there is no connection; `EMFILE`, `ENFILE`,
    /// `ENOBUFS` or `ENOMEM` if there are no descriptors or memory left.
    pub fn try_accept(&self) -> io::Result<(Self, Address)> {
        self.handle.try_op(Direction::Read, |_| self.attempt_accept())?.attach(self)
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self, Address)>> {
        self.poll_op(Direction::Read, cx, |_| self.attempt_accept()).map(|accepted| accepted?.attach(self))
    }

    pub(crate) async fn accept_unattached(&self) -> io::Result<Accepted> {
        let mut pause = Pause::for_resources();
        loop {
            match self.accepting().await {
                Err(error) if platform::is_out_of_resources(&error) => pause.wait(self).await,
                result => return result,
            }
        }
    }

    fn accepting(&self) -> impl Future<Output = io::Result<Accepted>> + Send + '_ {
        Op::new(self.handle.registration(), Reads, |_| self.attempt_accept())
    }

    fn attempt_accept(&self) -> Attempt<Accepted> {
        loop {
            return match platform::accept(self.descriptor().borrowed()) {
                Ok((owned, address)) => {
                    // What a listener lingers, its connections inherit.
                    let descriptor = Descriptor::new(owned, self.descriptor().lingers());
                    Ok(Accepted { descriptor, address, flavour: self.flavour }).into()
                }
                Err(error) if platform::is_of_one_connection(&error) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error).into(),
            };
        }
    }
}
