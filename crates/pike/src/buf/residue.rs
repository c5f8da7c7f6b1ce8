//! What was received for nobody, of a socket that is taken elsewhere.

use std::{error::Error, fmt};

use crate::sys::platform;

/// The cause of an [`io::Error`](std::io::Error) from `into_std`: the kernel has received bytes for a pooled receive that
/// was dropped, and they are not in the socket any more. It has both.
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
    bytes: Vec<u8>,
    descriptor: platform::Owned,
}

impl Residue {
    pub(crate) fn new(bytes: Vec<u8>, descriptor: platform::Owned) -> Self {
        Self { bytes, descriptor }
    }

    /// What comes before anything that the socket has.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, and the socket itself, non-blocking.
    #[cfg(unix)]
    pub fn into_parts(self) -> (Vec<u8>, std::os::fd::OwnedFd) {
        (self.bytes, self.descriptor)
    }

    /// The bytes, and the socket itself, non-blocking.
    #[cfg(windows)]
    pub fn into_parts(self) -> (Vec<u8>, std::os::windows::io::OwnedSocket) {
        (self.bytes, self.descriptor)
    }
}

impl fmt::Display for Residue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes were received and not read", self.bytes.len())
    }
}

impl Error for Residue {}
