//! Socket options: each with its level, its name, how the system has its value, and whether it is read or set.
#![allow(unsafe_code)]

use std::{io, mem::MaybeUninit, time::Duration};

use windows_sys::Win32::Networking::WinSock::{self, IP_MREQ, IPV6_MREQ, LINGER};

use super::{cvt, number, socket::info};
use crate::socket::{
    Socket,
    option::{self, Get, Set},
};

/// # Safety
///
/// Any bytes are a value of it, zeros included.
unsafe trait Plain: Copy {}
// SAFETY: numbers, or a C struct of nothing else.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for LINGER {}
// SAFETY: as above.
unsafe impl Plain for IP_MREQ {}
// SAFETY: as above.
unsafe impl Plain for IPV6_MREQ {}

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(WinSock::WSAEINVAL)
}

fn read<R: Plain>(socket: &Socket, level: i32, name: i32) -> io::Result<R> {
    let mut raw = MaybeUninit::<R>::zeroed();
    let mut len = size_of::<R>() as i32;
    // SAFETY: the system writes at most `len` bytes, the size of `raw`.
    cvt(unsafe {
        WinSock::getsockopt(number(socket.descriptor()), level, name, raw.as_mut_ptr().cast(), &mut len)
    })?;
    // SAFETY: zeroed, then written at least in part; it is plain data.
    Ok(unsafe { raw.assume_init() })
}

fn write<R: Plain>(socket: &Socket, level: i32, name: i32, raw: R) -> io::Result<()> {
    let len = size_of::<R>() as i32;
    // SAFETY: the system reads `len` bytes, the size of `raw`.
    cvt(unsafe {
        WinSock::setsockopt(number(socket.descriptor()), level, name, (&raw const raw).cast(), len)
    })
}

macro_rules! flags {
    ($($option:ident: $level:ident, $name:ident;)*) => {$(
        impl Get for option::$option {
            fn get(self, socket: &Socket) -> io::Result<bool> {
                Ok(read::<i32>(socket, WinSock::$level, WinSock::$name)? != 0)
            }
        }

        impl Set for option::$option {
            fn set(self, socket: &Socket, value: bool) -> io::Result<()> {
                write(socket, WinSock::$level, WinSock::$name, i32::from(value))
            }
        }
    )*};
}

flags! {
    ReuseAddress: SOL_SOCKET, SO_REUSEADDR;
    KeepAlive: SOL_SOCKET, SO_KEEPALIVE;
    Broadcast: SOL_SOCKET, SO_BROADCAST;
    NoDelay: IPPROTO_TCP, TCP_NODELAY;
    V6Only: IPPROTO_IPV6, IPV6_V6ONLY;
    MulticastLoopV4: IPPROTO_IP, IP_MULTICAST_LOOP;
    MulticastLoopV6: IPPROTO_IPV6, IPV6_MULTICAST_LOOP;
}

macro_rules! numbers {
    ($($option:ident: $level:ident, $name:ident, $min:literal;)*) => {$(
        impl Get for option::$option {
            fn get(self, socket: &Socket) -> io::Result<u32> {
                Ok(read::<i32>(socket, WinSock::$level, WinSock::$name)?.try_into().unwrap_or(0))
            }
        }

        impl Set for option::$option {
            fn set(self, socket: &Socket, value: u32) -> io::Result<()> {
                match value {
                    $min..=255 => write(socket, WinSock::$level, WinSock::$name, value as i32),
                    _ => Err(invalid()),
                }
            }
        }
    )*};
}

numbers! {
    MulticastTtlV4: IPPROTO_IP, IP_MULTICAST_TTL, 0;
    Tos: IPPROTO_IP, IP_TOS, 0;
    TrafficClass: IPPROTO_IPV6, IPV6_TCLASS, 0;
}

impl Get for option::Error {
    fn get(self, socket: &Socket) -> io::Result<Option<io::Error>> {
        let code: i32 = read(socket, WinSock::SOL_SOCKET, WinSock::SO_ERROR)?;
        Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
    }
}

impl Get for option::Linger {
    fn get(self, socket: &Socket) -> io::Result<Option<Duration>> {
        let raw: LINGER = read(socket, WinSock::SOL_SOCKET, WinSock::SO_LINGER)?;
        Ok((raw.l_onoff != 0).then(|| Duration::from_secs(raw.l_linger.into())))
    }
}

impl Set for option::Linger {
    /// Rounded up: half a second must not become none, which means reset.
    fn set(self, socket: &Socket, value: Option<Duration>) -> io::Result<()> {
        let seconds = value.map_or(0, |time| time.as_nanos().div_ceil(1_000_000_000));
        let l_linger = seconds.try_into().map_err(|_| invalid())?;
        let raw = LINGER { l_onoff: value.is_some().into(), l_linger };
        write(socket, WinSock::SOL_SOCKET, WinSock::SO_LINGER, raw)?;
        // So that dropping it does not block.
        socket.descriptor().set_lingers(l_linger != 0);
        Ok(())
    }
}

impl Set for option::ReusePort {
    fn set(self, _: &Socket, _: bool) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such socket option"))
    }
}

/// Hops of a packet: of IPv4 or IPv6, whichever the socket sends.
fn ttl(socket: &Socket) -> io::Result<(i32, i32)> {
    Ok(match u16::try_from(info(socket.descriptor())?.iAddressFamily) {
        Ok(WinSock::AF_INET6) => (WinSock::IPPROTO_IPV6, WinSock::IPV6_UNICAST_HOPS),
        _ => (WinSock::IPPROTO_IP, WinSock::IP_TTL),
    })
}

impl Get for option::Ttl {
    fn get(self, socket: &Socket) -> io::Result<u32> {
        let (level, name) = ttl(socket)?;
        Ok(read::<i32>(socket, level, name)?.try_into().unwrap_or(0))
    }
}

impl Set for option::Ttl {
    fn set(self, socket: &Socket, value: u32) -> io::Result<()> {
        let (level, name) = ttl(socket)?;
        match value {
            1..=255 => write(socket, level, name, value as i32),
            _ => Err(invalid()),
        }
    }
}

macro_rules! groups_v4 {
    ($($option:ident: $name:ident;)*) => {$(
        impl Set for option::$option {
            fn set(self, socket: &Socket, value: option::MembershipV4) -> io::Result<()> {
                let mut raw = IP_MREQ::default();
                raw.imr_multiaddr.S_un.S_addr = u32::from_ne_bytes(value.group.octets());
                raw.imr_interface.S_un.S_addr = u32::from_ne_bytes(value.interface.octets());
                write(socket, WinSock::IPPROTO_IP, WinSock::$name, raw)
            }
        }
    )*};
}

groups_v4! {
    JoinMulticastV4: IP_ADD_MEMBERSHIP;
    LeaveMulticastV4: IP_DROP_MEMBERSHIP;
}

macro_rules! groups_v6 {
    ($($option:ident: $name:ident;)*) => {$(
        impl Set for option::$option {
            fn set(self, socket: &Socket, value: option::MembershipV6) -> io::Result<()> {
                let mut raw = IPV6_MREQ::default();
                raw.ipv6mr_multiaddr.u.Byte = value.group.octets();
                raw.ipv6mr_interface = value.interface;
                write(socket, WinSock::IPPROTO_IPV6, WinSock::$name, raw)
            }
        }
    )*};
}

groups_v6! {
    JoinMulticastV6: IPV6_ADD_MEMBERSHIP;
    LeaveMulticastV6: IPV6_DROP_MEMBERSHIP;
}
