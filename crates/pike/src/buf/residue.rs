//! What was received for nobody, of a socket that is taken elsewhere.

use std::{error::Error, fmt, io};

use crate::{op::lane::Undelivered, socket::Address, sys::platform};

/// What a socket was taken apart with: the cause of an [`io::Error`] from `into_std`. It has the socket, and what comes before
/// anything that the socket still holds:
///
/// - [`bytes`](Self::bytes), or connections, that the kernel has received or accepted for an operation that was dropped;
/// - an [`error`](Self::error) that the system told such an operation and tells only once, such as a reset. Who asks the system
///   after that hears only that the stream has ended, as if all of it had arrived.
///
/// # Platform
///
/// Only backends that complete (io_uring, completion ports) leave anything.
///
/// # Examples
///
/// ```
/// use pike::{buf::Residue, net::TcpStream};
///
/// fn take_over(stream: TcpStream) -> std::io::Result<(Vec<u8>, std::net::TcpStream)> {
///     match stream.into_std() {
///         Ok(stream) => Ok((Vec::new(), stream)),
///         Err(error) => {
///             let residue = error.downcast::<Residue>()?;
///             if let Some(error) = residue.error() {
///                 return Err(error); // nothing more will come of it
///             }
///             let (bytes, descriptor) = residue.into_parts();
///             Ok((bytes, descriptor.into()))
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Residue {
    undelivered: Undelivered,
    descriptor: platform::Owned,
}

impl Residue {
    pub(crate) fn new(undelivered: Undelivered, descriptor: platform::Owned) -> Self {
        Self { undelivered, descriptor }
    }

    /// What comes before anything that the socket has. Of a socket for datagrams it is one of them.
    pub fn bytes(&self) -> &[u8] {
        &self.undelivered.bytes
    }

    /// Who sent it, if it is a datagram.
    pub fn sender(&self) -> Option<Address> {
        self.undelivered.sender
    }

    /// How the connection ended, behind those bytes, or what became of a datagram that was sent: an error which the system
    /// has told to nobody who was there, and does not tell again.
    pub fn error(&self) -> Option<io::Error> {
        self.undelivered.error.map(io::Error::from_raw_os_error)
    }

    /// Takes the connections that a listener has accepted and nobody has asked for, in order, non-blocking. What is left
    /// when this value is dropped, or taken apart, is closed.
    #[cfg(unix)]
    pub fn take_connections(&mut self) -> Vec<std::os::fd::OwnedFd> {
        std::mem::take(&mut self.undelivered.connections)
    }

    /// Takes the connections that a listener has accepted and nobody has asked for, in order, non-blocking. What is left
    /// when this value is dropped, or taken apart, is closed.
    #[cfg(windows)]
    pub fn take_connections(&mut self) -> Vec<std::os::windows::io::OwnedSocket> {
        std::mem::take(&mut self.undelivered.connections)
    }

    /// The bytes, and the socket itself, non-blocking. [`error`](Self::error) says what comes between the two.
    #[cfg(unix)]
    pub fn into_parts(self) -> (Vec<u8>, std::os::fd::OwnedFd) {
        (self.undelivered.bytes, self.descriptor)
    }

    /// The bytes, and the socket itself, non-blocking. [`error`](Self::error) says what comes between the two.
    #[cfg(windows)]
    pub fn into_parts(self) -> (Vec<u8>, std::os::windows::io::OwnedSocket) {
        (self.undelivered.bytes, self.descriptor)
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Undelivered { bytes, connections, .. } = &self.undelivered;
        match connections.len() {
            0 => write!(f, "{} bytes were received and not read", bytes.len())?,
            count => write!(f, "{count} connections were accepted by the system and not taken")?,
        }
        match self.error() {
            Some(error) => write!(f, ", and nobody was told: {error}"),
            None => Ok(()),
        }
    }
}

impl Error for Residue {}
