//! Accepting.

use std::{
    future::Future,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Address, Descriptor, Flavour, Socket, pause::Pause};
use crate::{
    handle::{
        op::{Attempt, Op, Work},
        waiting::{Brought, Reads},
    },
    op::lane::{Found, Lane},
    source::{Direction, Seen},
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
    ///
    /// # Platform
    ///
    /// - io_uring: the kernel accepts ahead, until 16 connections wait to be taken. They are closed with the listener, as those in
    ///   the system's queue are; `into_std` gives them back in a [`Residue`](crate::buf::Residue).
    /// - Windows: the same for one connection.
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
            let natively = match self.native_lane() {
                Some(lane) => self.accepting_natively(lane).await.transpose(),
                None => None,
            };
            let accepted = match natively {
                Some(accepted) => accepted,
                None => self.accepting().await,
            };
            match accepted {
                Err(error) if platform::is_out_of_resources(&error) => pause.wait(self).await,
                result => return result,
            }
        }
    }

    fn accepting(&self) -> impl Future<Output = io::Result<Accepted>> + Send + '_ {
        Op::new(self.handle.registration(), Reads, |_| self.attempt_accept())
    }

    /// The kernel accepts by itself, once a first attempt has found nothing. None if it does not do that.
    fn accepting_natively<'a>(
        &'a self,
        lane: &'a Arc<Lane>,
    ) -> impl Future<Output = io::Result<Option<Accepted>>> + Send + 'a {
        Op::new(self.handle.registration(), Brought, AcceptNatively { socket: self, lane })
    }

    fn accepted(&self, owned: platform::Owned, address: io::Result<Address>) -> Accepted {
        // What a listener lingers, its connections inherit.
        let descriptor = Descriptor::new(owned, self.descriptor().lingers());
        Accepted { descriptor, address, flavour: self.flavour }
    }

    fn attempt_accept(&self) -> Attempt<Accepted> {
        if let Some(lane) = self.descriptor().lane() {
            match lane.accept() {
                Found::Delivered(owned) => {
                    let address = platform::accepted_address(&owned);
                    return Attempt::Done(self.accepted(owned, address));
                }
                Found::Failed(error) => return Attempt::Failed(error),
                Found::Wait => return Attempt::Empty,
                Found::Free => {}
            }
        }
        loop {
            return match platform::accept(self.descriptor().borrowed()) {
                Ok((owned, address)) => Attempt::Done(self.accepted(owned, address)),
                Err(error) if platform::is_of_one_connection(&error) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error).into(),
            };
        }
    }
}

struct AcceptNatively<'a> {
    socket: &'a Socket,
    lane: &'a Arc<Lane>,
}

impl Work<Option<Accepted>> for AcceptNatively<'_> {
    type Brings = Option<Accepted>;

    fn attempt(&mut self, _: Seen) -> Attempt<Option<Accepted>> {
        match self.socket.attempt_accept() {
            Attempt::Done(accepted) => Attempt::Done(Some(accepted)),
            Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.lane.arm_accept() {
                    Attempt::Empty
                } else {
                    Attempt::Done(None)
                }
            }
            Attempt::Failed(error) => Attempt::Failed(error),
            _ => Attempt::Empty, // it does
        }
    }

    fn complete(&mut self, accepted: Option<Accepted>) -> Option<Accepted> {
        accepted
    }

    /// As long as nobody accepts, nothing will be reported: the kernel has to be asked first, ready or not.
    fn is_nothing(&self) -> bool {
        !self.lane.is_receiving()
    }
}
