//! Connecting.

use std::{future::Future, io};

use super::{Address, Socket, pause::Pause};
use crate::{
    handle::{
        op::{Attempt, Op},
        waiting::Writes,
    },
    source::{Seen, TRY_READ, WRITABLE},
    sys::platform::{self, Connecting},
};

impl Socket {
    /// Connects to `address`; a datagram socket only notes whom it talks to.
    ///
    /// # Errors
    ///
    /// The system's: `ECONNREFUSED`, `ETIMEDOUT`, `ENETUNREACH`, `EAFNOSUPPORT` or `EINVAL` for an address of another
    /// family, `EISCONN` if it is connected; of a Unix socket also `ENOENT`, and `EPROTOTYPE` if the other is of another
    /// type; [`Closed`](crate::Closed). After a failure make a new socket: what the old one is good for differs between
    /// systems.
    ///
    /// # Cancel safety
    ///
    /// The system goes on connecting; a later call to the same address waits for that.
    ///
    /// # Platform
    ///
    /// - Linux: a Unix listener whose queue is full refuses with `EAGAIN`, and nothing tells when there is room. This
    ///   waits as a blocking connect(2) would, but by trying again after 1 to 64 milliseconds; a deadline bounds it.
    /// - macOS, BSD: such a listener refuses with `ECONNREFUSED`.
    /// - Windows: the system refuses an unspecified address (0.0.0.0, ::), which means this machine elsewhere; so it does here.
    ///   A socket that connects cannot have its options set meanwhile.
    pub fn connect(&self, address: impl Into<Address>) -> impl Future<Output = io::Result<()>> + Send {
        let address = address.into();
        self.connect_to(move || address)
    }

    /// Connects to what `address` gives, which may take less room in the future than an [`Address`].
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
    pub(crate) fn connect_to(
        &self,
        address: impl Fn() -> Address + Send,
    ) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            let mut pause = Pause::for_room();
            loop {
                match self.start_connecting(address())? {
                    Connecting::Done => return Ok(()),
                    Connecting::InProgress => break,
                    Connecting::QueueFull => pause.wait(self).await,
                }
            }
            let connected = |_: Seen| Attempt::from(platform::connected(self.descriptor()));
            Op::new(self.handle.registration(), Writes, connected).await
        }
    }

    fn start_connecting(&self, address: Address) -> io::Result<Connecting> {
        self.check()?;
        let connect = || platform::connect(self.descriptor(), address);
        // A datagram socket stays what it is.
        let connecting =
            if self.flavour.is_connectionless() { connect()? } else { self.changing(TRY_READ, connect)? };
        if connecting == Connecting::Done {
            // Whether the system reports that, too, differs.
            self.handle.registration().report(WRITABLE);
        }
        Ok(connecting)
    }

    /// Notes the one peer of a socket for datagrams, which needs no waiting.
    #[cfg(unix)]
    pub(crate) fn connect_datagrams(&self, address: Address) -> io::Result<()> {
        self.start_connecting(address).map(drop)
    }
}
