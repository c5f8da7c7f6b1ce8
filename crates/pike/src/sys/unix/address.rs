//! Addresses as the kernel has them.
#![allow(unsafe_code)]

use std::{ffi::OsStr, io, mem::offset_of, os::unix::ffi::OsStrExt, path::Path, ptr, slice};

use socket2::SockAddr;

use crate::socket::{Address, UnixAddress};

/// Where the name begins in the address of a Unix socket, and how long it can be.
const NAME_OFFSET: usize = offset_of!(libc::sockaddr_un, sun_path);
pub(crate) const UNIX_NAME_LEN: usize = size_of::<libc::sockaddr_un>() - NAME_OFFSET;
const _: () = assert!(UNIX_NAME_LEN <= u8::MAX as usize);

/// Whether a Unix socket's name may begin with a NUL, and then is no path.
pub(crate) const HAS_ABSTRACT_NAMES: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(crate) fn bytes_of_path(path: &Path) -> io::Result<&[u8]> {
    Ok(path.as_os_str().as_bytes())
}

pub(crate) fn path_of_bytes(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
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
    let terminated = address.as_pathname().is_some() && name.len() < UNIX_NAME_LEN;
    // SAFETY: what is left of the zeroed storage is a Unix address; its family, its name, and its length are set here.
    let made = unsafe {
        SockAddr::try_init(|storage, len| {
            let raw = storage.cast::<libc::sockaddr_un>();
            (&raw mut (*raw).sun_family).write(libc::AF_UNIX as _);
            ptr::copy_nonoverlapping(name.as_ptr(), (&raw mut (*raw).sun_path).cast(), name.len());
            *len = (NAME_OFFSET + name.len() + usize::from(terminated)) as libc::socklen_t;
            Ok(())
        })
    };
    match made {
        Ok(((), address)) => address,
        Err(_) => unreachable!("it cannot fail"),
    }
}

/// The kernel gives no byte at all for a Unix socket without a name that sent a datagram.
pub(super) fn from_raw_address(address: &SockAddr) -> io::Result<Address> {
    if let Some(address) = address.as_socket() {
        return Ok(address.into());
    }
    if address.len() == 0 || address.is_unix() {
        return Ok(Address::Unix(from_raw_unix_address(address)));
    }
    let message = "the socket's address is neither of the internet nor a Unix socket's";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

fn from_raw_unix_address(address: &SockAddr) -> UnixAddress {
    // Of a path that fills its place, Linux counts a NUL behind it that has no place.
    let len = (address.len() as usize).saturating_sub(NAME_OFFSET).min(UNIX_NAME_LEN);
    // SAFETY: the storage of an address is larger than any Unix address, and was zeroed before the kernel wrote to it.
    let name = unsafe { slice::from_raw_parts(address.as_ptr().cast::<u8>().add(NAME_OFFSET), len) };
    let name = match name {
        [0, ..] if HAS_ABSTRACT_NAMES => name,
        _ => name.split(|&byte| byte == 0).next().unwrap_or_default(),
    };
    UnixAddress::from_bytes(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_addresses_survive_the_way_there_and_back() {
        let full = [b'x'; UNIX_NAME_LEN];
        let mut full_name = full;
        full_name[0] = 0;
        let names: &[&[u8]] = &[b"", b"/a", b"\xff", &full, &full[1..]];
        let abstract_names: &[&[u8]] = &[b"\0", b"\0a\0b\0", &full_name];
        let abstract_names = if HAS_ABSTRACT_NAMES { abstract_names } else { &[] };
        for name in names.iter().chain(abstract_names) {
            let address = UnixAddress::from_bytes(name);
            let raw = raw_address(address.into());
            assert!(raw.is_unix());
            assert_eq!(address.bytes(), *name);
            assert_eq!(from_raw_address(&raw).unwrap(), address.into(), "{name:?}");
        }
    }
}
