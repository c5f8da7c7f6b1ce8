//! Calls that a provider has beside those of the library, such as WSARecvMsg: each is asked for by its identifier, once a
//! provider.
//!
//! A provider is known by its catalogue entry, which each socket tells. So a socket of a layered provider gets that one's
//! function, as it must.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io,
    os::windows::io::AsSocket,
    ptr::{self, NonNull},
    sync::{PoisonError, RwLock},
};

use windows_sys::{
    Win32::Networking::WinSock::{SIO_GET_EXTENSION_FUNCTION_POINTER, WSAIoctl},
    core::GUID,
};

use super::{cvt, number, socket::info};

/// A function by its identifier, and where it is, for each provider that was asked.
pub(crate) struct Extension {
    id: GUID,
    known: RwLock<Vec<(u32, Function)>>,
}

/// The address of a function of a provider that stays loaded.
#[derive(Clone, Copy)]
struct Function(NonNull<c_void>);

// SAFETY: the address of a function.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Extension {
    pub(crate) const fn new(id: GUID) -> Self {
        Self { id, known: RwLock::new(Vec::new()) }
    }

    /// The function of the socket's provider, which the caller knows the type of.
    #[allow(dead_code, reason = "native operations use it")]
    pub(crate) fn of(&self, io: &impl AsSocket) -> io::Result<NonNull<c_void>> {
        self.of_provider(io, info(io)?.dwCatalogEntryId)
    }

    /// As [`Extension::of`], for who has asked for the catalogue entry already.
    pub(in crate::sys) fn of_provider(
        &self,
        io: &impl AsSocket,
        provider: u32,
    ) -> io::Result<NonNull<c_void>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, function)) = known.iter().find(|(entry, _)| *entry == provider) {
            return Ok(function.0);
        }
        drop(known);
        let function = self.load(io)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !known.iter().any(|(entry, _)| *entry == provider) {
            known.push((provider, Function(function)));
        }
        Ok(function)
    }

    fn load(&self, io: &impl AsSocket) -> io::Result<NonNull<c_void>> {
        let mut function: *mut c_void = ptr::null_mut();
        let mut returned = 0;
        // SAFETY: it reads the identifier, and writes a pointer to the place it is given.
        cvt(unsafe {
            WSAIoctl(
                number(io),
                SIO_GET_EXTENSION_FUNCTION_POINTER,
                (&raw const self.id).cast(),
                size_of::<GUID>() as u32,
                (&raw mut function).cast(),
                size_of::<*mut c_void>() as u32,
                &mut returned,
                ptr::null_mut(),
                None,
            )
        })?;
        NonNull::new(function).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use windows_sys::Win32::Networking::WinSock::WSAID_WSARECVMSG;

    use super::*;

    #[test]
    fn is_asked_for_once_a_provider() {
        let extension = Extension::new(WSAID_WSARECVMSG);
        let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let first = extension.of(&udp).unwrap();
        assert_eq!(extension.of(&udp).unwrap(), first);
        assert_eq!(extension.known.read().unwrap().len(), 1);
        extension.of(&tcp).unwrap();
        let providers = [info(&udp), info(&tcp)].map(|info| info.unwrap().dwCatalogEntryId);
        assert_eq!(extension.known.read().unwrap().len(), if providers[0] == providers[1] { 1 } else { 2 });
    }

    #[test]
    fn one_that_no_provider_has_is_an_error() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let extension = Extension::new(GUID::from_u128(0x1234_5678_9abc));
        assert!(extension.of(&udp).unwrap_err().raw_os_error().is_some());
        assert!(extension.known.read().unwrap().is_empty());
    }
}
