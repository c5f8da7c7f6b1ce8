//! Connecting.

use std::io;

use super::{Address, Socket};
use crate::{
    handle::{
        op::{Attempt, Op},
        waiting::Writes,
    },
    source::{TRY_READ, WRITABLE},
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
        let connect = || platform::connect(self.descriptor(), address);
        // A datagram socket stays what it is.
        let connecting =
            if self.flavour.is_connectionless() { connect()? } else { self.changing(TRY_READ, connect)? };
        if connecting == Connecting::Done {
            // Whether the system reports that, too, differs.
            self.handle.registration().report(WRITABLE);
            return Ok(());
        }
        Op::new(self.handle.registration(), Writes, |_| Attempt::from(platform::connected(self.descriptor())))
            .await
    }
}
