//! Socket options: each with its level, its name, how the kernel has its value, and whether it is read or set.
//!
//! `form` has the ways in which a value is written down, `numbers` the names that differ from system to system.

#[cfg(target_os = "linux")]
mod device;
mod form;
mod multicast;
pub(super) mod numbers;
mod peer;
mod receive;

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use libc::c_int;
use socket2::SockRef;

use self::{
    form::{
        Code, Decode, Encode, Flag, Kind, Lingering, Number, Plain, Seconds, Size, SmallFlag, SmallNumber,
        Span,
    },
    multicast::{Index, Interface, Join4, Join6, Source4, Source6},
};
use super::cvt;
use crate::socket::{
    Socket,
    option::{self, Get, Set},
};

/// An option that this system lacks has no number.
fn number(name: c_int) -> io::Result<c_int> {
    match name {
        numbers::ABSENT => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such socket option"))
        }
        name => Ok(name),
    }
}

fn is_unix(socket: &Socket) -> io::Result<bool> {
    let family = SockRef::from(socket.descriptor()).local_addr()?.family();
    Ok(c_int::from(family) == libc::AF_UNIX)
}

/// Refuses options of IPv4 to a Unix socket: on most systems the level of its own options has the same number, zero, so
/// that `IP_TTL` would be one of these. As Linux does, which has no such level, and is not asked twice.
fn check_level(socket: &Socket, level: c_int) -> io::Result<()> {
    match level == libc::IPPROTO_IP && is_unix(socket)? {
        true => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        false => Ok(()),
    }
}

/// What the system has, and how many bytes of it.
#[allow(unsafe_code)]
fn read<R: Plain>(socket: &Socket, level: c_int, name: c_int) -> io::Result<(R, usize)> {
    let mut raw = MaybeUninit::<R>::zeroed();
    let mut len = size_of::<R>() as libc::socklen_t;
    let fd = socket.descriptor().as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes, the size of `raw`.
    cvt(unsafe { libc::getsockopt(fd, level, number(name)?, raw.as_mut_ptr().cast(), &mut len) })?;
    // SAFETY: zeroed, then written at least in part; it is plain data.
    Ok((unsafe { raw.assume_init() }, len as usize))
}

fn get<F: Decode>(socket: &Socket, level: c_int, name: c_int) -> io::Result<F::Value> {
    if cfg!(not(target_os = "linux")) {
        check_level(socket, level)?;
    }
    Ok(F::decode(read(socket, level, name)?.0))
}

#[allow(unsafe_code)]
fn set<F: Encode>(socket: &Socket, level: c_int, name: c_int, value: F::Value) -> io::Result<()> {
    let name = number(name)?;
    let raw = F::encode(value)?;
    if cfg!(not(target_os = "linux")) {
        check_level(socket, level)?;
    }
    let fd = socket.descriptor().as_fd().as_raw_fd();
    let len = size_of::<F::Raw>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, the size of `raw`.
    cvt(unsafe { libc::setsockopt(fd, level, name, (&raw const raw).cast(), len) })?;
    Ok(())
}

/// `option => form, level, name, get and set;`
macro_rules! table {
    ($($option:path => $form:ty, $level:ident, $name:ident, $($how:ident)*;)*) => {
        $($(row!($how $option, $form, $level, $name);)*)*
    };
}

macro_rules! row {
    (get $option:path, $form:ty, $level:ident, $name:ident) => {
        impl Get for $option {
            fn get(self, socket: &Socket) -> io::Result<Self::Value> {
                get::<$form>(socket, numbers::$level, numbers::$name)
            }
        }
    };
    (set $option:path, $form:ty, $level:ident, $name:ident) => {
        impl Set for $option {
            fn set(self, socket: &Socket, value: Self::Value) -> io::Result<()> {
                set::<$form>(socket, numbers::$level, numbers::$name, value)
            }
        }
    };
}

table! {
    option::Debug => Flag, SOL_SOCKET, SO_DEBUG, get set;
    option::AcceptConnections => Flag, SOL_SOCKET, SO_ACCEPTCONN, get;
    option::Type => Kind, SOL_SOCKET, SO_TYPE, get;
    option::Error => Code, SOL_SOCKET, SO_ERROR, get;
    option::ReuseAddress => Flag, SOL_SOCKET, SO_REUSEADDR, get set;
    option::ReusePort => Flag, SOL_SOCKET, SO_REUSEPORT, get set;
    option::KeepAlive => Flag, SOL_SOCKET, SO_KEEPALIVE, get set;
    option::DontRoute => Flag, SOL_SOCKET, SO_DONTROUTE, get set;
    option::Broadcast => Flag, SOL_SOCKET, SO_BROADCAST, get set;
    option::Linger => Lingering, SOL_SOCKET, SO_LINGER, get;
    option::OutOfBandInline => Flag, SOL_SOCKET, SO_OOBINLINE, get set;
    option::SendBufferSize => Size, SOL_SOCKET, SO_SNDBUF, get set;
    option::ReceiveBufferSize => Size, SOL_SOCKET, SO_RCVBUF, get set;
    option::SendLowWaterMark => Size, SOL_SOCKET, SO_SNDLOWAT, get set;
    option::ReceiveLowWaterMark => Size, SOL_SOCKET, SO_RCVLOWAT, get set;
    option::SendTimeout => Span, SOL_SOCKET, SO_SNDTIMEO, get set;
    option::ReceiveTimeout => Span, SOL_SOCKET, SO_RCVTIMEO, get set;

    option::NoDelay => Flag, IPPROTO_TCP, TCP_NODELAY, get set;
    option::KeepAliveIdle => Seconds, IPPROTO_TCP, TCP_KEEPIDLE, get set;
    option::KeepAliveInterval => Seconds, IPPROTO_TCP, TCP_KEEPINTVL, get set;
    option::KeepAliveCount => Number<1, { c_int::MAX as u32 }>, IPPROTO_TCP, TCP_KEEPCNT, get set;

    option::HopLimit => Number<1, 255>, IPPROTO_IPV6, IPV6_UNICAST_HOPS, get set;
    option::Tos => Number<0, 255>, IPPROTO_IP, IP_TOS, get set;
    option::TrafficClass => Number<0, 255>, IPPROTO_IPV6, IPV6_TCLASS, get set;
    option::V6Only => Flag, IPPROTO_IPV6, IPV6_V6ONLY, get set;

    option::JoinMulticastV4 => Join4, IPPROTO_IP, IP_ADD_MEMBERSHIP, set;
    option::LeaveMulticastV4 => Join4, IPPROTO_IP, IP_DROP_MEMBERSHIP, set;
    option::JoinSourceV4 => Source4, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, set;
    option::LeaveSourceV4 => Source4, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, set;
    option::JoinMulticastV6 => Join6, IPPROTO_IPV6, IPV6_JOIN_GROUP, set;
    option::LeaveMulticastV6 => Join6, IPPROTO_IPV6, IPV6_LEAVE_GROUP, set;
    option::JoinSourceV6 => Source6, IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, set;
    option::LeaveSourceV6 => Source6, IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, set;
    option::MulticastTtlV4 => SmallNumber, IPPROTO_IP, IP_MULTICAST_TTL, get set;
    option::MulticastHopsV6 => Number<0, 255>, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, get set;
    option::MulticastLoopV4 => SmallFlag, IPPROTO_IP, IP_MULTICAST_LOOP, get set;
    option::MulticastLoopV6 => Flag, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, get set;
    option::MulticastInterfaceV4 => Interface, IPPROTO_IP, IP_MULTICAST_IF, get set;
    option::MulticastInterfaceV6 => Index, IPPROTO_IPV6, IPV6_MULTICAST_IF, get set;
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{
        Flag, Get, Number, Set, Socket, c_int,
        device::Device,
        form::{Micros, Millis},
        get, io, numbers, set,
    };
    use crate::os::linux::option;

    table! {
        option::BindDevice => Device, SOL_SOCKET, SO_BINDTODEVICE, get set;
        option::Priority => Number<0, { c_int::MAX as u32 }>, SOL_SOCKET, SO_PRIORITY, get set;
        option::BusyPoll => Micros, SOL_SOCKET, SO_BUSY_POLL, get set;
        option::QuickAck => Flag, IPPROTO_TCP, TCP_QUICKACK, get set;
        option::Cork => Flag, IPPROTO_TCP, TCP_CORK, get set;
        option::PassCredentials => Flag, SOL_SOCKET, SO_PASSCRED, get set;
        option::ReceiveDropped => Flag, SOL_SOCKET, SO_RXQ_OVFL, get set;
        option::Timestamps => Number<0, { c_int::MAX as u32 }>, SOL_SOCKET, SO_TIMESTAMPING, get set;
        option::Gro => Flag, SOL_UDP, UDP_GRO, get set;
        option::SegmentSize => Number<0, 65535>, SOL_UDP, UDP_SEGMENT, get set;
        option::UserTimeout => Millis, IPPROTO_TCP, TCP_USER_TIMEOUT, get set;
    }
}

#[cfg(target_os = "freebsd")]
mod freebsd {
    use super::{Flag, Get, Set, Socket, get, io, numbers, set};
    use crate::os::freebsd::option;

    table! {
        option::ReusePortBalanced => Flag, SOL_SOCKET, SO_REUSEPORT_LB, get set;
    }
}

impl Set for option::Linger {
    fn set(self, socket: &Socket, value: Option<Duration>) -> io::Result<()> {
        set::<Lingering>(socket, numbers::SOL_SOCKET, numbers::SO_LINGER, value)?;
        // So that dropping it does not block.
        socket.descriptor().set_lingers(value.is_some_and(|time| !time.is_zero()));
        Ok(())
    }
}

/// Hops of a packet: of IPv4 or IPv6, whichever the socket sends. Not every system has `SO_DOMAIN`; a socket without an
/// address of its own has its family all the same.
fn ttl_option(socket: &Socket) -> io::Result<(c_int, c_int)> {
    let family = SockRef::from(socket.descriptor()).local_addr()?.family();
    Ok(match c_int::from(family) {
        libc::AF_INET6 => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        _ => (libc::IPPROTO_IP, libc::IP_TTL),
    })
}

impl Get for option::Ttl {
    fn get(self, socket: &Socket) -> io::Result<u32> {
        let (level, name) = ttl_option(socket)?;
        get::<Number<1, 255>>(socket, level, name)
    }
}

impl Set for option::Ttl {
    fn set(self, socket: &Socket, value: u32) -> io::Result<()> {
        let (level, name) = ttl_option(socket)?;
        set::<Number<1, 255>>(socket, level, name, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Notifier,
        socket::{Domain, Type},
    };

    #[test]
    fn only_a_unix_socket_has_no_options_of_ipv4() {
        let notifier = Notifier::new().unwrap();
        let (unix, _peer) = Socket::pair_on(&notifier, Domain::Unix, Type::Stream, None).unwrap();
        let udp = Socket::new_on(&notifier, Domain::V4, Type::Datagram, None).unwrap();
        let refused = |level| check_level(&unix, level).err().map(|error| error.raw_os_error());
        assert_eq!(refused(libc::IPPROTO_IP), Some(Some(libc::EOPNOTSUPP)));
        assert_eq!(refused(libc::SOL_SOCKET), None);
        assert!(check_level(&udp, libc::IPPROTO_IP).is_ok());
    }
}
