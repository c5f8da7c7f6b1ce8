//! The name of a network interface, which needs no allocation.

use std::{fmt, io, str::FromStr};

/// Bytes that the kernel has for a name, with the zero at its end (`IFNAMSIZ`).
const SIZE: usize = libc::IFNAMSIZ;

/// The name of a network interface: 1 to 15 bytes.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let name: pike::os::linux::DeviceName = "eth0".parse()?;
/// assert_eq!(name.as_bytes(), b"eth0");
/// assert!("a name of sixteen".parse::<pike::os::linux::DeviceName>().is_err());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceName {
    /// The name, then zeros, at least one.
    bytes: [u8; SIZE],
}

impl DeviceName {
    /// Takes the bytes of a name.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is none, if there are more than 15, or if one is zero.
    pub fn new(name: &[u8]) -> io::Result<Self> {
        if name.is_empty() || name.len() >= SIZE || name.contains(&0) {
            let what = "the name of an interface has 1 to 15 bytes, none of them zero";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let mut bytes = [0; SIZE];
        bytes[..name.len()].copy_from_slice(name);
        Ok(Self { bytes })
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        let len = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(SIZE);
        &self.bytes[..len]
    }

    /// As the kernel has it; nothing if it is empty.
    pub(crate) fn from_raw(bytes: [u8; SIZE]) -> Option<Self> {
        (bytes[0] != 0).then_some(Self { bytes })
    }

    pub(crate) fn into_raw(self) -> [u8; SIZE] {
        self.bytes
    }
}

impl FromStr for DeviceName {
    type Err = io::Error;

    fn from_str(name: &str) -> io::Result<Self> {
        Self::new(name.as_bytes())
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceName({self})")
    }
}
