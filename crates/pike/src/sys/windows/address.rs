//! Addresses as the system has them.
#![allow(unsafe_code)]

use std::{io, mem::offset_of, path::Path, ptr, slice};

use socket2::SockAddr;
use windows_sys::Win32::Networking::WinSock::{AF_UNIX, SOCKADDR_UN};

use crate::socket::{Address, UnixAddress};

/// Where the name begins in the address of a Unix socket, and how long it can be.
const NAME_OFFSET: usize = offset_of!(SOCKADDR_UN, sun_path);
pub(crate) const UNIX_NAME_LEN: usize = size_of::<SOCKADDR_UN>() - NAME_OFFSET;
const _: () = assert!(UNIX_NAME_LEN <= u8::MAX as usize);

/// Whether a Unix socket's name may begin with a NUL, and then is no path. The system documents such names, and refuses them.
pub(crate) const HAS_ABSTRACT_NAMES: bool = false;

/// The path of a Unix socket is UTF-8 here.
pub(crate) fn bytes_of_path(path: &Path) -> io::Result<&[u8]> {
    path.to_str().map(str::as_bytes).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path of a Unix socket is not valid Unicode")
    })
}

/// Of what is not UTF-8, which no call here can have made, as much as is.
pub(crate) fn path_of_bytes(bytes: &[u8]) -> &Path {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    Path::new(text)
}

pub(crate) fn raw_address(address: Address) -> SockAddr {
    match address {
        Address::V4(address) => address.into(),
        Address::V6(address) => address.into(),
        Address::Unix(address) => raw_unix_address(&address),
    }
}

fn raw_unix_address(address: &UnixAddress) -> SockAddr {
    let name = address.bytes();
    // With the NUL behind a path, where there is room for it.
    let terminated = !name.is_empty() && name.len() < UNIX_NAME_LEN;
    // SAFETY: what is left of the zeroed storage is a Unix address; its family, its name, and its length are set here.
    let made = unsafe {
        SockAddr::try_init(|storage, len| {
            let raw = storage.cast::<SOCKADDR_UN>();
            (&raw mut (*raw).sun_family).write(AF_UNIX);
            ptr::copy_nonoverlapping(name.as_ptr(), (&raw mut (*raw).sun_path).cast(), name.len());
            *len = (NAME_OFFSET + name.len() + usize::from(terminated)) as i32;
            Ok(())
        })
    };
    match made {
        Ok(((), address)) => address,
        Err(_) => unreachable!("it cannot fail"),
    }
}

pub(super) fn from_raw_address(address: &SockAddr) -> io::Result<Address> {
    if let Some(address) = address.as_socket() {
        return Ok(address.into());
    }
    if address.is_unix() {
        return Ok(Address::Unix(from_raw_unix_address(address)));
    }
    let message = "the socket's address is neither of the internet nor a Unix socket's";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

fn from_raw_unix_address(address: &SockAddr) -> UnixAddress {
    let len = (address.len() as usize).saturating_sub(NAME_OFFSET).min(UNIX_NAME_LEN);
    // SAFETY: the storage of an address is larger than any Unix address, and was zeroed before the system wrote to it.
    let name = unsafe { slice::from_raw_parts(address.as_ptr().cast::<u8>().add(NAME_OFFSET), len) };
    UnixAddress::from_bytes(name.split(|&byte| byte == 0).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_survive_the_way_there_and_back() {
        let full = [b'x'; UNIX_NAME_LEN];
        for name in [&b""[..], b"C:\\a", "ä".as_bytes(), &full, &full[1..]] {
            let address = UnixAddress::from_bytes(name);
            let raw = raw_address(address.into());
            assert!(raw.is_unix());
            assert_eq!(address.bytes(), name);
            assert_eq!(from_raw_address(&raw).unwrap(), address.into(), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_as_much_as_is() {
        assert_eq!(path_of_bytes(b"a\xff"), Path::new("a"));
    }
}
