//! What only Linux reports. Source: linux/net_tstamp.h, linux/errqueue.h, ip(7), udp(7), socket(7).
#![allow(unsafe_code)]

use std::time::{Duration, SystemTime};

use libc::c_int;

use super::{
    decode::{ipv4, system_time},
    layout::{Entry, value},
};
use crate::{
    os::{
        linux::control::{ExtendedError, Incoming as Linux, Origin, Timestamping},
        unix::{UCred, control as unix},
    },
    socket::{Address, control::Incoming},
};

/// SCM_PIDFD, of asm-generic/socket.h, since 6.5; a C library may not have it.
const SCM_PIDFD: c_int = 4;
/// Of asm-generic/socket.h: as the options without NEW, with 64-bit times on 32-bit systems too.
const SO_TIMESTAMP_NEW: c_int = 63;
const SO_TIMESTAMPNS_NEW: c_int = 64;
const SO_TIMESTAMPING_NEW: c_int = 65;

/// Whether it is the descriptor of the sending process.
pub(super) fn is_process(entry: &Entry) -> bool {
    (entry.level, entry.kind) == (libc::SOL_SOCKET, SCM_PIDFD)
}

pub(super) fn of_socket(kind: c_int, payload: &[u8]) -> Option<Incoming<'static>> {
    match kind {
        libc::SCM_TIMESTAMPNS | SO_TIMESTAMPNS_NEW => Some(Incoming::Timestamp(time(pair(payload)?, 1)?)),
        libc::SCM_TIMESTAMP | SO_TIMESTAMP_NEW => Some(Incoming::Timestamp(time(pair(payload)?, 1000)?)),
        libc::SCM_TIMESTAMPING | SO_TIMESTAMPING_NEW => {
            let size = if payload.len() >= 48 { 16 } else { 8 };
            if payload.len() < 3 * size {
                return None;
            }
            let [software, hardware] =
                [0, 2].map(|at| payload.get(at * size..(at + 1) * size).and_then(pair));
            // A clock that was not asked for is all zeros.
            let is_set = |time: &(i64, i64)| *time != (0, 0);
            Some(Incoming::Linux(Linux::Timestamping(Timestamping {
                software: software.filter(is_set).and_then(|software| time(software, 1)),
                hardware: hardware.filter(is_set).and_then(|(seconds, nanoseconds)| {
                    let seconds = Duration::from_secs(seconds.try_into().ok()?);
                    seconds.checked_add(Duration::from_nanos(nanoseconds.try_into().ok()?))
                }),
            })))
        }
        libc::SCM_CREDENTIALS => {
            // SAFETY: plain data.
            let held: libc::ucred = unsafe { value(payload) }?;
            let credentials = UCred::new(held.pid, held.uid, held.gid);
            Some(Incoming::Unix(unix::Incoming::Credentials(credentials)))
        }
        libc::SO_RXQ_OVFL => {
            // SAFETY: a number.
            Some(Incoming::Linux(Linux::Dropped(unsafe { value(payload) }?)))
        }
        _ => None,
    }
}

/// Seconds and a fraction: two numbers of 64 bits each or, on a system of 32, as wide as that.
fn pair(payload: &[u8]) -> Option<(i64, i64)> {
    if payload.len() < 16 && cfg!(target_pointer_width = "32") {
        // SAFETY: numbers.
        let [seconds, fraction] = unsafe { value::<[i32; 2]>(payload) }?;
        return Some((seconds.into(), fraction.into()));
    }
    // SAFETY: numbers.
    unsafe { value::<[i64; 2]>(payload) }.map(Into::into)
}

fn time((seconds, fraction): (i64, i64), nanoseconds_each: u32) -> Option<SystemTime> {
    system_time(seconds, u32::try_from(fraction).ok()?.checked_mul(nanoseconds_each)?)
}

pub(super) fn decode(entry: &Entry, payload: &[u8]) -> Option<Incoming<'static>> {
    let linux = match (entry.level, entry.kind) {
        (libc::SOL_UDP, libc::UDP_GRO) => {
            // SAFETY: a number.
            Linux::SegmentSize(unsafe { value::<c_int>(payload) }?.try_into().ok()?)
        }
        (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
            Linux::Error(extended_error(payload)?)
        }
        (libc::SOL_IP, libc::IP_RECVORIGDSTADDR) | (libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR) => {
            Linux::OriginalDestination(address(payload)?)
        }
        _ => return None,
    };
    Some(Incoming::Linux(linux))
}

fn extended_error(payload: &[u8]) -> Option<ExtendedError> {
    // SAFETY: plain data.
    let error: libc::sock_extended_err = unsafe { value(payload) }?;
    let origin = match error.ee_origin {
        libc::SO_EE_ORIGIN_LOCAL => Origin::Local,
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => Origin::Icmp,
        libc::SO_EE_ORIGIN_TIMESTAMPING => Origin::Timestamping,
        other => Origin::Other(other),
    };
    Some(ExtendedError {
        code: error.ee_errno as i32,
        origin,
        icmp: (error.ee_type, error.ee_code),
        info: error.ee_info,
        data: error.ee_data,
        // Behind it stands the address of who said so.
        offender: payload.get(size_of::<libc::sock_extended_err>()..).and_then(address),
    })
}

fn address(bytes: &[u8]) -> Option<Address> {
    // SAFETY: a number.
    match c_int::from(unsafe { value::<libc::sa_family_t>(bytes) }?) {
        libc::AF_INET => {
            // SAFETY: plain data.
            let v4: libc::sockaddr_in = unsafe { value(bytes) }?;
            let port = u16::from_be(v4.sin_port);
            Some(Address::V4(std::net::SocketAddrV4::new(ipv4(v4.sin_addr), port)))
        }
        libc::AF_INET6 => {
            // SAFETY: plain data.
            let v6: libc::sockaddr_in6 = unsafe { value(bytes) }?;
            let (ip, port) = (v6.sin6_addr.s6_addr.into(), u16::from_be(v6.sin6_port));
            Some(Address::V6(std::net::SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id)))
        }
        _ => None,
    }
}
