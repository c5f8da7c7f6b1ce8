//! What was received for nobody, of a socket that is taken elsewhere.

use std::{error::Error, fmt};

use crate::{op::lane::Undelivered, socket::Address, sys::platform};

/// The cause of an [`io::Error`](std::io::Error) from `into_std`: the kernel has received or accepted something for an
/// operation that was dropped, and it is not in the socket any more. It has both.
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
///             let (bytes, descriptor) = error.downcast::<Residue>()?.into_parts();
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

    /// The bytes, and the socket itself, non-blocking.
    #[cfg(unix)]
    pub fn into_parts(self) -> (Vec<u8>, std::os::fd::OwnedFd) {
        (self.undelivered.bytes, self.descriptor)
    }

    /// The bytes, and the socket itself, non-blocking.
    #[cfg(windows)]
    pub fn into_parts(self) -> (Vec<u8>, std::os::windows::io::OwnedSocket) {
        (self.undelivered.bytes, self.descriptor)
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Undelivered { bytes, connections, .. } = &self.undelivered;
        match connections.len() {
            0 => write!(f, "{} bytes were received and not read", bytes.len()),
            count => write!(f, "{count} connections were accepted by the system and not taken"),
        }
    }
}

impl Error for Residue {}
