//! What a socket is by the word of its provider.

use std::fmt;

use windows_sys::Win32::Networking::WinSock::WSAPROTOCOL_INFOW;

use crate::{
    socket::{Domain, Protocol, Type},
    sys::platform,
};

/// What a socket is, and whose (`WSAPROTOCOL_INFOW`): see [`option::ProtocolInfo`](super::option::ProtocolInfo).
#[derive(Clone, Copy)]
pub struct ProtocolInfo(WSAPROTOCOL_INFOW);

impl ProtocolInfo {
    pub(crate) fn new(raw: WSAPROTOCOL_INFOW) -> Self {
        Self(raw)
    }

    /// The family of its addresses.
    pub fn domain(&self) -> Domain {
        platform::domain_of_number(self.0.iAddressFamily)
    }

    /// How it carries bytes.
    pub fn kind(&self) -> Type {
        platform::type_of_number(self.0.iSocketType)
    }

    /// Its protocol.
    pub fn protocol(&self) -> Protocol {
        platform::protocol_of_number(self.0.iProtocol)
    }

    /// The provider's identifier.
    pub fn provider(&self) -> u128 {
        let id = self.0.ProviderId;
        u128::from(id.data1) << 96
            | u128::from(id.data2) << 80
            | u128::from(id.data3) << 64
            | u128::from(u64::from_be_bytes(id.data4))
    }

    /// The number that the system has for this provider and protocol.
    pub fn catalog_entry(&self) -> u32 {
        self.0.dwCatalogEntryId
    }

    /// Whether its sockets are handles of the file system (`XP1_IFS_HANDLES`). Those of a layered provider may not be; a
    /// Notifier then hears of them by other ways.
    #[doc(alias = "XP1_IFS_HANDLES")]
    pub fn has_file_handles(&self) -> bool {
        const XP1_IFS_HANDLES: u32 = 0x0002_0000;
        self.0.dwServiceFlags1 & XP1_IFS_HANDLES != 0
    }

    /// The system's name for it, such as `MSAFD Tcpip [TCP/IP]`.
    pub fn name(&self) -> String {
        let name = self.0.szProtocol;
        let len = name.iter().position(|unit| *unit == 0).unwrap_or(name.len());
        String::from_utf16_lossy(&name[..len])
    }
}

impl fmt::Debug for ProtocolInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolInfo")
            .field("name", &self.name())
            .field("domain", &self.domain())
            .field("kind", &self.kind())
            .field("protocol", &self.protocol())
            .field("catalog_entry", &self.catalog_entry())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Notifier, os::windows::option, socket::Socket};

    #[test]
    fn a_socket_tells_what_it_is() {
        let notifier = Notifier::new().unwrap();
        for (domain, kind, protocol) in [
            (Domain::V4, Type::Stream, Protocol::Tcp),
            (Domain::V6, Type::Stream, Protocol::Tcp),
            (Domain::V4, Type::Datagram, Protocol::Udp),
        ] {
            let socket = Socket::new_on(&notifier, domain, kind, None).unwrap();
            let info = socket.get(option::ProtocolInfo).unwrap();
            assert_eq!((info.domain(), info.kind(), info.protocol()), (domain, kind, protocol));
            assert!(info.provider() != 0 && info.catalog_entry() != 0, "{info:?}");
            assert!(!info.name().is_empty() && !info.name().contains('\0'));
        }
    }

    #[test]
    fn a_provider_is_written_as_its_identifier_is() {
        let id = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        let raw =
            WSAPROTOCOL_INFOW { ProviderId: windows_sys::core::GUID::from_u128(id), ..Default::default() };
        assert_eq!(ProtocolInfo::new(raw).provider(), id);
    }
}
