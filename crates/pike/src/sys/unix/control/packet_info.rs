//! Where an IPv4 packet went, on systems with `in_pktinfo`: Linux, macOS.
#![allow(unsafe_code)]

use std::{mem::MaybeUninit, net::Ipv4Addr};

use libc::{c_int, in_pktinfo};

use super::{
    decode::ipv4,
    layout::{self, bytes_of, value},
};
use crate::socket::control::PacketInfo;

pub(crate) const SPACE: usize = layout::space(size_of::<in_pktinfo>());

pub(super) fn decode(kind: c_int, payload: &[u8]) -> Option<PacketInfo> {
    if kind != libc::IP_PKTINFO {
        return None;
    }
    // SAFETY: plain data.
    let info: in_pktinfo = unsafe { value(payload) }?;
    Some(PacketInfo {
        destination: Some(ipv4(info.ipi_addr).into()),
        local: Some(ipv4(info.ipi_spec_dst).into()),
        // A signed number on some systems.
        interface: Some(u32::from_ne_bytes(info.ipi_ifindex.to_ne_bytes())),
    })
}

pub(super) fn put_source(room: &mut [MaybeUninit<u8>], address: Ipv4Addr, interface: u32) -> Option<usize> {
    let none = libc::in_addr { s_addr: 0 };
    let info = in_pktinfo {
        ipi_ifindex: interface as _,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
        ipi_addr: none,
    };
    // SAFETY: three numbers of four bytes.
    layout::put(room, libc::IPPROTO_IP, libc::IP_PKTINFO, unsafe { bytes_of(&info) })
}
