//! What a received entry means.
#![allow(unsafe_code)]

use std::{
    iter, mem,
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime},
};

use libc::c_int;

use super::{
    descriptors::Payload,
    layout::{self, Entry, value},
    packet,
};
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
use crate::os::unix::UCred;
use crate::sys::unix::options::numbers;
use crate::{
    os::unix::control as unix,
    socket::control::{Incoming, PacketInfo, Unknown},
};

/// Whether the payload is descriptors that became this process's.
pub(super) fn carries_descriptors(entry: &Entry) -> bool {
    #[cfg(target_os = "linux")]
    if super::linux::is_process(entry) {
        return true;
    }
    (entry.level, entry.kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS)
}

/// Takes the first entry off `bytes`.
///
/// # Safety
///
/// The system wrote the bytes for this process, and nobody else has the descriptors that are in them.
pub(crate) unsafe fn next<'a>(bytes: &mut &'a mut [u8]) -> Option<Incoming<'a>> {
    let entry = layout::first(bytes)?;
    let (this, rest) = mem::take(bytes).split_at_mut(entry.end);
    *bytes = rest;
    let payload = &mut this[entry.payload.clone()];
    if carries_descriptors(&entry) {
        // SAFETY: passed on to the caller.
        let payload = unsafe { Payload::new(payload) };
        #[cfg(target_os = "linux")]
        if super::linux::is_process(&entry) {
            let process = crate::os::linux::control::Incoming::Process(unix::Descriptors::new(payload));
            return Some(Incoming::Linux(process));
        }
        return Some(Incoming::Unix(unix::Incoming::Descriptors(unix::Descriptors::new(payload))));
    }
    let Entry { level, kind, .. } = entry;
    Some(plain(&entry, payload).unwrap_or(Incoming::Unknown(Unknown { level, kind, bytes: payload })))
}

/// The entries that carry no descriptors and that we know.
pub(crate) fn each(mut bytes: &[u8]) -> impl Iterator<Item = Incoming<'static>> {
    let entries = iter::from_fn(move || {
        let entry = layout::first(bytes)?;
        let meaning = plain(&entry, &bytes[entry.payload.clone()]);
        bytes = &bytes[entry.end..];
        Some(meaning)
    });
    entries.flatten()
}

fn plain(entry: &Entry, payload: &[u8]) -> Option<Incoming<'static>> {
    #[cfg(target_os = "linux")]
    if let Some(known) = super::linux::decode(entry, payload) {
        return Some(known);
    }
    match entry.level {
        libc::IPPROTO_IP => internet(entry.kind, payload),
        libc::IPPROTO_IPV6 => internet6(entry.kind, payload),
        libc::SOL_SOCKET => of_socket(entry.kind, payload),
        _ => None,
    }
}

fn internet(kind: c_int, payload: &[u8]) -> Option<Incoming<'static>> {
    match kind {
        // Some systems name what they report by the option that asked for it.
        libc::IP_TOS | numbers::IP_RECVTOS => Some(Incoming::TrafficClass(*payload.first()?)),
        libc::IP_TTL | numbers::IP_RECVTTL => Some(Incoming::HopLimit(number(payload)?)),
        _ => packet::decode(kind, payload).map(Incoming::PacketInfo),
    }
}

fn internet6(kind: c_int, payload: &[u8]) -> Option<Incoming<'static>> {
    match kind {
        libc::IPV6_TCLASS => Some(Incoming::TrafficClass(number(payload)?)),
        numbers::IPV6_HOPLIMIT => Some(Incoming::HopLimit(number(payload)?)),
        libc::IPV6_PKTINFO => {
            // SAFETY: plain data.
            let info: libc::in6_pktinfo = unsafe { value(payload) }?;
            Some(Incoming::PacketInfo(PacketInfo {
                destination: Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
                local: None,
                interface: Some(info.ipi6_ifindex),
            }))
        }
        _ => None,
    }
}

/// From 0 to 255, as an int or, on other systems than Linux, as a byte.
fn number(payload: &[u8]) -> Option<u8> {
    match *payload {
        [byte] if !cfg!(target_os = "linux") => Some(byte),
        // SAFETY: a number.
        _ => u8::try_from(unsafe { value::<c_int>(payload) }?).ok(),
    }
}

#[cfg(not(target_os = "linux"))]
fn of_socket(kind: c_int, payload: &[u8]) -> Option<Incoming<'static>> {
    match kind {
        libc::SCM_TIMESTAMP => {
            // SAFETY: plain data.
            let time: libc::timeval = unsafe { value(payload) }?;
            let nanoseconds = u32::try_from(time.tv_usec).ok()?.checked_mul(1000)?;
            #[allow(clippy::useless_conversion, reason = "narrower on some systems")]
            let seconds = time.tv_sec.into();
            Some(Incoming::Timestamp(system_time(seconds, nanoseconds)?))
        }
        #[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
        libc::SCM_CREDS => {
            // SAFETY: plain data.
            let held: libc::cmsgcred = unsafe { value(payload) }?;
            let credentials = UCred::new(held.cmcred_pid, held.cmcred_euid, held.cmcred_gid);
            Some(Incoming::Unix(unix::Incoming::Credentials(credentials)))
        }
        _ => None,
    }
}

#[cfg(target_os = "linux")]
use super::linux::of_socket;

/// A time since 1970. None if it is none.
pub(super) fn system_time(seconds: i64, nanoseconds: u32) -> Option<SystemTime> {
    if nanoseconds >= 1_000_000_000 {
        return None;
    }
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole)?,
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole)?,
    };
    whole.checked_add(Duration::from_nanos(nanoseconds.into()))
}

pub(super) fn ipv4(address: libc::in_addr) -> Ipv4Addr {
    Ipv4Addr::from(address.s_addr.to_ne_bytes())
}
