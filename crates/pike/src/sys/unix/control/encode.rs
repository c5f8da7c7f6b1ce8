//! Writing down what is sent.
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, Ipv6Addr},
    os::fd::BorrowedFd,
};

use libc::c_int;

use super::{layout, packet};
use crate::sys::unix::options::numbers;
use crate::{
    os::unix::{UCred, control as unix},
    socket::control::{Outgoing, Source},
};

/// Enough for as many descriptors as a system lets through (Linux: 253) and everything else once.
const SIZE: usize = 2048;

/// The control data of one call, on the stack.
#[repr(align(8))]
pub(in crate::sys::unix) struct Room {
    bytes: [MaybeUninit<u8>; SIZE],
    len: usize,
}

/// The type of IP_TOS in control data.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
type Octet = c_int;
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
type Octet = u8;

impl Room {
    #[inline]
    pub(in crate::sys::unix) fn new() -> Self {
        Self { bytes: [MaybeUninit::uninit(); SIZE], len: 0 }
    }

    /// What was written.
    #[inline]
    pub(in crate::sys::unix) fn written(&self) -> (*const u8, usize) {
        (self.bytes.as_ptr().cast(), self.len)
    }

    fn add(&mut self, put: impl FnOnce(&mut [MaybeUninit<u8>]) -> Option<usize>) -> io::Result<()> {
        let len = put(&mut self.bytes[self.len..]).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "more control data than one message can carry")
        })?;
        self.len += len;
        Ok(())
    }

    fn put(&mut self, level: c_int, kind: c_int, payload: &[u8]) -> io::Result<()> {
        self.add(|room| layout::put(room, level, kind, payload))
    }
}

/// Writes `control` into `room`. `goes_by_v4` says whether the message goes by IPv4, where that matters.
pub(in crate::sys::unix) fn encode(
    room: &mut Room,
    control: &[Outgoing<'_>],
    goes_by_v4: impl Fn() -> io::Result<bool>,
) -> io::Result<()> {
    for entry in control {
        match *entry {
            Outgoing::Source(Source { address: IpAddr::V4(address), interface }) => {
                room.add(|room| packet::put_source(room, address, interface))?;
            }
            Outgoing::Source(Source { address: IpAddr::V6(address), interface }) => {
                room.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &source6(address, interface))?;
            }
            Outgoing::TrafficClass(class) if goes_by_v4()? => {
                room.put(libc::IPPROTO_IP, libc::IP_TOS, &Octet::from(class).to_ne_bytes())?;
            }
            Outgoing::TrafficClass(class) => {
                room.put(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &c_int::from(class).to_ne_bytes())?;
            }
            Outgoing::HopLimit(limit) if goes_by_v4()? => put_hops_v4(room, limit)?,
            Outgoing::HopLimit(limit) => {
                room.put(libc::IPPROTO_IPV6, numbers::IPV6_HOPLIMIT, &c_int::from(limit).to_ne_bytes())?;
            }
            Outgoing::Unix(unix::Outgoing::Descriptors([])) => {}
            Outgoing::Unix(unix::Outgoing::Descriptors(descriptors)) => {
                room.put(libc::SOL_SOCKET, libc::SCM_RIGHTS, bytes(descriptors))?;
            }
            Outgoing::Unix(unix::Outgoing::Credentials(credentials)) => put_credentials(room, credentials)?,
            #[cfg(target_os = "linux")]
            Outgoing::Linux(crate::os::linux::control::Outgoing::SegmentSize(size)) => {
                room.put(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes())?;
            }
        }
    }
    Ok(())
}

fn bytes<'a>(descriptors: &'a [BorrowedFd<'_>]) -> &'a [u8] {
    // SAFETY: std promises that a BorrowedFd is represented as the number.
    unsafe { std::slice::from_raw_parts(descriptors.as_ptr().cast(), size_of_val(descriptors)) }
}

fn source6(address: Ipv6Addr, interface: u32) -> [u8; size_of::<libc::in6_pktinfo>()] {
    let mut bytes = [0; size_of::<libc::in6_pktinfo>()];
    bytes[..16].copy_from_slice(&address.octets());
    bytes[16..].copy_from_slice(&interface.to_ne_bytes());
    bytes
}

#[cfg(target_os = "linux")]
fn put_hops_v4(room: &mut Room, limit: u8) -> io::Result<()> {
    room.put(libc::IPPROTO_IP, libc::IP_TTL, &Octet::from(limit).to_ne_bytes())
}

/// Control data for IPv4 has no hop limit here: some of these systems refuse it with a code of their own, others send the
/// datagram and say nothing.
#[cfg(not(target_os = "linux"))]
fn put_hops_v4(_: &mut Room, _: u8) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system takes the hop limit of one datagram over IPv6 only; for IPv4 it is the socket's Ttl",
    ))
}

#[cfg(target_os = "linux")]
fn put_credentials(room: &mut Room, credentials: UCred) -> io::Result<()> {
    let held =
        libc::ucred { pid: credentials.pid().unwrap_or(0), uid: credentials.uid(), gid: credentials.gid() };
    // SAFETY: three numbers of four bytes.
    room.put(libc::SOL_SOCKET, libc::SCM_CREDENTIALS, unsafe { layout::bytes_of(&held) })
}

/// The system fills them in itself.
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
fn put_credentials(room: &mut Room, _: UCred) -> io::Result<()> {
    room.put(libc::SOL_SOCKET, libc::SCM_CREDS, &[0; size_of::<libc::cmsgcred>()])
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "dragonfly")))]
fn put_credentials(_: &mut Room, _: UCred) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system passes no credentials in a message"))
}
