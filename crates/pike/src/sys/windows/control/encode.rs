//! Writing down what is sent.
#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit, net::IpAddr};

use windows_sys::Win32::Networking::WinSock::{
    IN_ADDR, IN_ADDR_0, IN_PKTINFO, IN6_ADDR, IN6_ADDR_0, IN6_PKTINFO, IP_ECN, IP_PKTINFO, IP_TOS,
    IPPROTO_IP, IPPROTO_IPV6, IPV6_ECN, IPV6_HOPLIMIT, IPV6_PKTINFO, IPV6_TCLASS,
};

use super::layout::{self, bytes_of};
use crate::socket::control::{Outgoing, Source};

/// Enough for everything, several times.
const SIZE: usize = 512;

/// The control data of one call, on the stack.
#[repr(align(8))]
pub(in crate::sys::windows) struct Room {
    bytes: [MaybeUninit<u8>; SIZE],
    len: usize,
}

impl Room {
    #[inline]
    pub(in crate::sys::windows) fn new() -> Self {
        Self { bytes: [MaybeUninit::uninit(); SIZE], len: 0 }
    }

    /// What was written.
    #[inline]
    pub(in crate::sys::windows) fn written(&self) -> (*const u8, usize) {
        (self.bytes.as_ptr().cast(), self.len)
    }

    fn put(&mut self, level: i32, kind: i32, payload: &[u8]) -> io::Result<()> {
        let len = layout::put(&mut self.bytes[self.len..], level, kind, payload).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "more control data than one message can carry")
        })?;
        self.len += len;
        Ok(())
    }
}

/// Writes `control` into `room`. `goes_by_v4` says whether the message goes by IPv4, where that matters.
pub(in crate::sys::windows) fn encode(
    room: &mut Room,
    control: &[Outgoing<'_>],
    goes_by_v4: impl Fn() -> io::Result<bool>,
) -> io::Result<()> {
    for entry in control {
        match *entry {
            Outgoing::Source(Source { address: IpAddr::V4(address), interface }) => {
                let s_addr = u32::from_ne_bytes(address.octets());
                let info = IN_PKTINFO {
                    ipi_addr: IN_ADDR { S_un: IN_ADDR_0 { S_addr: s_addr } },
                    ipi_ifindex: interface,
                };
                // SAFETY: two numbers of four bytes.
                room.put(IPPROTO_IP, IP_PKTINFO, unsafe { bytes_of(&info) })?;
            }
            Outgoing::Source(Source { address: IpAddr::V6(address), interface }) => {
                let info = IN6_PKTINFO {
                    ipi6_addr: IN6_ADDR { u: IN6_ADDR_0 { Byte: address.octets() } },
                    ipi6_ifindex: interface,
                };
                // SAFETY: sixteen bytes and a number of four.
                room.put(IPPROTO_IPV6, IPV6_PKTINFO, unsafe { bytes_of(&info) })?;
            }
            // ECN has an entry of its own, which older systems take, too. What they do not take they refuse.
            Outgoing::TrafficClass(class) => {
                let (level, kind) = match (goes_by_v4()?, class) {
                    (true, 0..4) => (IPPROTO_IP, IP_ECN),
                    (true, _) => (IPPROTO_IP, IP_TOS),
                    (false, 0..4) => (IPPROTO_IPV6, IPV6_ECN),
                    (false, _) => (IPPROTO_IPV6, IPV6_TCLASS),
                };
                room.put(level, kind, &i32::from(class).to_ne_bytes())?;
            }
            Outgoing::HopLimit(_) if goes_by_v4()? => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this system takes the hop limit of one datagram over IPv6 only; for IPv4 it is the socket's Ttl",
                ));
            }
            Outgoing::Never(never, _) => match never {},
            Outgoing::HopLimit(limit) => {
                room.put(IPPROTO_IPV6, IPV6_HOPLIMIT, &i32::from(limit).to_ne_bytes())?;
            }
        }
    }
    Ok(())
}
