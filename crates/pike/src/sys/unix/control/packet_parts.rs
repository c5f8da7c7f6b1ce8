//! Where an IPv4 packet went, on systems that say destination and interface in an entry each: the BSDs.
#![allow(unsafe_code)]

use std::{mem::MaybeUninit, net::Ipv4Addr};

use libc::c_int;

use super::{
    decode::ipv4,
    layout::{self, bytes_of, value},
};
use crate::socket::control::PacketInfo;

pub(crate) const SPACE: usize =
    layout::space(size_of::<libc::in_addr>()) + layout::space(size_of::<libc::sockaddr_dl>());

pub(super) fn decode(kind: c_int, payload: &[u8]) -> Option<PacketInfo> {
    match kind {
        libc::IP_RECVDSTADDR => {
            // SAFETY: plain data.
            let address = ipv4(unsafe { value(payload) }?).into();
            Some(PacketInfo { destination: Some(address), local: None, interface: None })
        }
        libc::IP_RECVIF => {
            // As much as is needed: the rest of a sockaddr_dl may be left out.
            const INDEX: usize = std::mem::offset_of!(libc::sockaddr_dl, sdl_index);
            // SAFETY: a number.
            let index: u16 = unsafe { value(payload.get(INDEX..)?) }?;
            Some(PacketInfo { destination: None, local: None, interface: Some(index.into()) })
        }
        _ => None,
    }
}

/// The interface follows from the address.
pub(super) fn put_source(room: &mut [MaybeUninit<u8>], address: Ipv4Addr, _: u32) -> Option<usize> {
    let address = libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
    // IP_SENDSRCADDR, where it has a name, is the same number.
    // SAFETY: one number.
    layout::put(room, libc::IPPROTO_IP, libc::IP_RECVDSTADDR, unsafe { bytes_of(&address) })
}
