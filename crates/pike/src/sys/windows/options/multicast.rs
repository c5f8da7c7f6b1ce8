//! Groups and interfaces of multicast, as Windows has them.
#![allow(unsafe_code)]

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use windows_sys::Win32::Networking::WinSock::{
    AF_INET6, GROUP_SOURCE_REQ, IN_ADDR, IN_ADDR_0, IN6_ADDR, IN6_ADDR_0, IP_MREQ, IP_MREQ_SOURCE, IPV6_MREQ,
    SOCKADDR_IN6, SOCKADDR_STORAGE,
};

use crate::{
    socket::option::{MembershipV4, MembershipV6, SourceV4, SourceV6},
    sys::options::form::{Decode, Encode, Form, plain},
};

plain!(IN_ADDR, IP_MREQ, IP_MREQ_SOURCE, IPV6_MREQ, GROUP_SOURCE_REQ);

/// Addresses are in network order, whatever the machine's.
fn v4(address: Ipv4Addr) -> IN_ADDR {
    IN_ADDR { S_un: IN_ADDR_0 { S_addr: u32::from_ne_bytes(address.octets()) } }
}

fn v6(address: Ipv6Addr) -> IN6_ADDR {
    IN6_ADDR { u: IN6_ADDR_0 { Byte: address.octets() } }
}

/// An address by itself: no port, no flow, no scope, which the interface is.
fn storage(address: Ipv6Addr) -> SOCKADDR_STORAGE {
    let mut storage = SOCKADDR_STORAGE::default();
    let address = SOCKADDR_IN6 { sin6_family: AF_INET6, sin6_addr: v6(address), ..Default::default() };
    // SAFETY: the storage is as large and as aligned as any address.
    unsafe { (&raw mut storage).cast::<SOCKADDR_IN6>().write(address) };
    storage
}

/// A group of IPv4.
pub(in crate::sys) struct Join4;

impl Form for Join4 {
    type Value = MembershipV4;
    type Raw = IP_MREQ;
}

impl Encode for Join4 {
    fn encode(value: MembershipV4) -> io::Result<IP_MREQ> {
        Ok(IP_MREQ { imr_multiaddr: v4(value.group), imr_interface: v4(value.interface) })
    }
}

/// One source of a group of IPv4.
pub(in crate::sys) struct Source4;

impl Form for Source4 {
    type Value = SourceV4;
    type Raw = IP_MREQ_SOURCE;
}

impl Encode for Source4 {
    fn encode(value: SourceV4) -> io::Result<IP_MREQ_SOURCE> {
        let (group, source, interface) = (v4(value.group), v4(value.source), v4(value.interface));
        Ok(IP_MREQ_SOURCE { imr_multiaddr: group, imr_sourceaddr: source, imr_interface: interface })
    }
}

/// One source of a group of IPv6.
pub(in crate::sys) struct Source6;

impl Form for Source6 {
    type Value = SourceV6;
    type Raw = GROUP_SOURCE_REQ;
}

impl Encode for Source6 {
    fn encode(value: SourceV6) -> io::Result<GROUP_SOURCE_REQ> {
        let (gsr_group, gsr_source) = (storage(value.group), storage(value.source));
        Ok(GROUP_SOURCE_REQ { gsr_interface: value.interface, gsr_group, gsr_source })
    }
}

/// A group of IPv6.
pub(in crate::sys) struct Join6;

impl Form for Join6 {
    type Value = MembershipV6;
    type Raw = IPV6_MREQ;
}

impl Encode for Join6 {
    fn encode(value: MembershipV6) -> io::Result<IPV6_MREQ> {
        Ok(IPV6_MREQ { ipv6mr_multiaddr: v6(value.group), ipv6mr_interface: value.interface })
    }
}

/// An interface by its address.
pub(in crate::sys) struct Interface;

impl Form for Interface {
    type Value = Ipv4Addr;
    type Raw = IN_ADDR;
}

impl Encode for Interface {
    fn encode(value: Ipv4Addr) -> io::Result<IN_ADDR> {
        Ok(v4(value))
    }
}

impl Decode for Interface {
    fn decode(raw: IN_ADDR) -> Ipv4Addr {
        // SAFETY: every field of the union is a number, or bytes of one.
        unsafe { raw.S_un.S_addr }.to_ne_bytes().into()
    }
}

/// An interface by its index.
pub(in crate::sys) struct Index;

impl Form for Index {
    type Value = u32;
    type Raw = i32;
}

impl Encode for Index {
    /// An index that no interface can have is the system's to refuse.
    fn encode(value: u32) -> io::Result<i32> {
        Ok(value as i32)
    }
}

impl Decode for Index {
    fn decode(raw: i32) -> u32 {
        raw as u32
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// What we and the system share has the layout of its header: ws2ipdef.h.
    #[test]
    fn layouts() {
        assert_eq!((size_of::<IP_MREQ>(), offset_of!(IP_MREQ, imr_interface)), (8, 4));
        assert_eq!((size_of::<IPV6_MREQ>(), offset_of!(IPV6_MREQ, ipv6mr_interface)), (20, 16));
        assert_eq!(size_of::<IP_MREQ_SOURCE>(), 12);
        assert_eq!(offset_of!(IP_MREQ_SOURCE, imr_sourceaddr), 4);
        assert_eq!(offset_of!(IP_MREQ_SOURCE, imr_interface), 8);
        assert_eq!((size_of::<GROUP_SOURCE_REQ>(), offset_of!(GROUP_SOURCE_REQ, gsr_source)), (264, 136));
    }
}
