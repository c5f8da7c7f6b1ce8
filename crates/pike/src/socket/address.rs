//! Where a socket is, or whom it talks to.

use std::{
    fmt, io,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    path::Path,
};

use super::UnixAddress;

/// The address of a socket of any domain.
///
/// # Examples
///
/// ```
/// use pike::socket::Address;
/// use std::net::SocketAddr;
///
/// let address = Address::from("[::1]:7000".parse::<SocketAddr>()?);
/// assert_eq!(address.to_string(), "[::1]:7000");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// IPv4: address and port.
    V4(SocketAddrV4),
    /// IPv6: address, port, flow label and scope.
    V6(SocketAddrV6),
    /// A Unix socket's: a path, an abstract name, or none.
    Unix(UnixAddress),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => Self::V6(address),
        }
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self::V4(address)
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self::V6(address)
    }
}

impl From<UnixAddress> for Address {
    fn from(address: UnixAddress) -> Self {
        Self::Unix(address)
    }
}

impl TryFrom<&Path> for Address {
    type Error = io::Error;

    /// As [`UnixAddress::from_pathname`].
    fn try_from(path: &Path) -> io::Result<Self> {
        UnixAddress::from_pathname(path).map(Self::Unix)
    }
}

impl TryFrom<Address> for UnixAddress {
    type Error = io::Error;

    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is not a Unix socket's.
    fn try_from(address: Address) -> io::Result<Self> {
        match address {
            Address::Unix(address) => Ok(address),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not the address of a Unix socket")),
        }
    }
}

impl TryFrom<Address> for SocketAddr {
    type Error = io::Error;

    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is not an internet address.
    fn try_from(address: Address) -> io::Result<Self> {
        match address {
            Address::V4(address) => Ok(address.into()),
            Address::V6(address) => Ok(address.into()),
            Address::Unix(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "not an internet address")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
            Self::Unix(address) => address.fmt(f),
        }
    }
}
