//! Connecting.

use std::io;

use super::{Address, Socket};
use crate::{
    handle::{
        op::{Attempt, Op},
        waiting::Writes,
    },
    source::{TRY_READ, TRY_WRITE},
    sys::platform::{self, Connecting},
};

impl Socket {
    /// Connects to `address`; a datagram socket only notes whom it talks to.
    ///
    /// # Errors
    ///
    /// The system's: `ECONNREFUSED`, `ETIMEDOUT`, `ENETUNREACH`, `EAFNOSUPPORT` for an address of another family,
    /// `EISCONN` if it is connected; [`Closed`](crate::Closed). After a failure make a new socket: what the old one
    /// is good for differs between systems.
    ///
    /// # Cancel safety
    ///
    /// The system goes on connecting; a later call to the same address waits for that.
    pub async fn connect(&self, address: impl Into<Address>) -> io::Result<()> {
        let address = address.into();
        self.check()?;
        let source = self.handle.registration().source();
        // What was reported of the bare socket (a hang-up, on Linux) says nothing about the connection (I5).
        source.reset(0);
        if platform::connect(self.descriptor(), address)? == Connecting::Done {
            source.reset(TRY_READ | TRY_WRITE);
            return Ok(());
        }
        Op::new(self.handle.registration(), Writes, |_| Attempt::from(platform::connected(self.descriptor())))
            .await
    }
}
