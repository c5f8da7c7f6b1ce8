//! What a received entry means.
#![allow(unsafe_code)]

use std::{
    iter, mem,
    net::{Ipv4Addr, Ipv6Addr},
};

use windows_sys::Win32::Networking::WinSock::{
    IN_PKTINFO, IN6_PKTINFO, IP_ECN, IP_HOPLIMIT, IP_PKTINFO, IP_RECVTOS, IP_TOS, IP_TTL, IPPROTO_IP,
    IPPROTO_IPV6, IPV6_ECN, IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_RECVTCLASS, IPV6_TCLASS,
};

use super::layout::{self, Entry, value};
use crate::socket::control::{Incoming, PacketInfo, Unknown};

/// Takes the first entry off `bytes`.
///
/// # Safety
///
/// Nothing is asked for here; elsewhere entries carry descriptors.
pub(crate) unsafe fn next<'a>(bytes: &mut &'a mut [u8]) -> Option<Incoming<'a>> {
    let entry = layout::first(bytes)?;
    let (this, rest) = mem::take(bytes).split_at_mut(entry.end);
    *bytes = rest;
    let Entry { level, kind, payload, .. } = entry;
    let payload = &this[payload];
    Some(known(level, kind, payload).unwrap_or(Incoming::Unknown(Unknown { level, kind, bytes: payload })))
}

/// The entries that we know.
pub(crate) fn each(mut bytes: &[u8]) -> impl Iterator<Item = Incoming<'static>> {
    let entries = iter::from_fn(move || {
        let entry = layout::first(bytes)?;
        let meaning = known(entry.level, entry.kind, &bytes[entry.payload.clone()]);
        bytes = &bytes[entry.end..];
        Some(meaning)
    });
    entries.flatten()
}

/// Nothing in received control data has to be given back.
///
/// # Safety
///
/// As of [`next`].
pub(crate) unsafe fn release(_: &mut [u8]) {}

fn known(level: i32, kind: i32, payload: &[u8]) -> Option<Incoming<'static>> {
    match (level, kind) {
        (IPPROTO_IP, IP_PKTINFO) => {
            // SAFETY: plain data.
            let info: IN_PKTINFO = unsafe { value(payload) }?;
            // SAFETY: every field of the union is a number, or bytes of one.
            let address = Ipv4Addr::from(unsafe { info.ipi_addr.S_un.S_addr }.to_ne_bytes());
            Some(packet_info(address.into(), info.ipi_ifindex))
        }
        (IPPROTO_IPV6, IPV6_PKTINFO) => {
            // SAFETY: plain data.
            let info: IN6_PKTINFO = unsafe { value(payload) }?;
            // SAFETY: every field of the union is an array of numbers.
            let address = Ipv6Addr::from(unsafe { info.ipi6_addr.u.Byte });
            Some(packet_info(address.into(), info.ipi6_ifindex))
        }
        // Named by the option that asked for it, or as it is sent.
        (IPPROTO_IP, IP_RECVTOS | IP_TOS) | (IPPROTO_IPV6, IPV6_RECVTCLASS | IPV6_TCLASS) => {
            Some(Incoming::TrafficClass(number(payload)?))
        }
        // The lowest two bits of it.
        (IPPROTO_IP, IP_ECN) | (IPPROTO_IPV6, IPV6_ECN) => {
            Some(Incoming::TrafficClass(number(payload).filter(|ecn| *ecn < 4)?))
        }
        (IPPROTO_IP, IP_TTL | IP_HOPLIMIT) | (IPPROTO_IPV6, IPV6_HOPLIMIT) => {
            Some(Incoming::HopLimit(number(payload)?))
        }
        _ => None,
    }
}

fn packet_info(destination: std::net::IpAddr, interface: u32) -> Incoming<'static> {
    Incoming::PacketInfo(PacketInfo {
        destination: Some(destination),
        local: None,
        interface: Some(interface),
    })
}

/// From 0 to 255, as an int.
fn number(payload: &[u8]) -> Option<u8> {
    // SAFETY: a number.
    u8::try_from(unsafe { value::<i32>(payload) }?).ok()
}
