//! What Unix has: descriptors, signals, and who a peer is.

pub mod control;
mod credentials;
pub mod option;
pub mod signal;

use std::{
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::net,
    },
};

pub use self::credentials::UCred;
pub use crate::sys::platform::IoSafe;
use crate::{
    Handle,
    net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream},
    socket::{Address, Socket, UnixAddress},
};

impl<T: IoSafe> AsFd for Handle<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: IoSafe> AsRawFd for Handle<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor().as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

macro_rules! of_socket {
    ($($type:ty),*) => {$(
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket().as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }
    )*};
}

of_socket!(TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream);

impl From<net::SocketAddr> for UnixAddress {
    fn from(address: net::SocketAddr) -> Self {
        if let Some(path) = address.as_pathname() {
            return Self::from_bytes(path.as_os_str().as_encoded_bytes());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(Ok(address)) = abstract_namespace::name(&address).map(Self::from_abstract_name) {
            return address;
        }
        Self::UNNAMED
    }
}

impl From<net::SocketAddr> for Address {
    fn from(address: net::SocketAddr) -> Self {
        Self::Unix(address.into())
    }
}

impl TryFrom<UnixAddress> for net::SocketAddr {
    type Error = io::Error;

    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a path that fills the system's structure to the last byte: std cannot make
    /// such an address.
    fn try_from(address: UnixAddress) -> io::Result<Self> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.as_abstract_name() {
            return abstract_namespace::address(name);
        }
        // Of std, an empty path is no name.
        Self::from_pathname(address.as_pathname().unwrap_or("".as_ref()))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod abstract_namespace {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    use std::{io, os::unix::net::SocketAddr};

    pub(super) fn name(address: &SocketAddr) -> Option<&[u8]> {
        address.as_abstract_name()
    }

    pub(super) fn address(name: &[u8]) -> io::Result<SocketAddr> {
        SocketAddr::from_abstract_name(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_std_and_back() {
        let named = ["/a/b", "x"].map(|path| UnixAddress::from_pathname(path).unwrap());
        let mut all = Vec::from(named);
        all.push(UnixAddress::UNNAMED);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        all.extend([&b""[..], b"a\0b"].map(|name| UnixAddress::from_abstract_name(name).unwrap()));
        for address in all {
            let std = net::SocketAddr::try_from(address).unwrap();
            assert_eq!(std.is_unnamed(), address.is_unnamed());
            assert_eq!(std.as_pathname(), address.as_pathname());
            assert_eq!(UnixAddress::from(std), address);
        }
    }
}
