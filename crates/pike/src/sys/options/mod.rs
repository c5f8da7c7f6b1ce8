//! The options of [`socket::option`](crate::socket::option): each with its level, its name, how the system has its value, and
//! whether it is read or set.
//!
//! `form` has the ways in which a value is written down. The platform has the numbers of levels and names, the forms that it
//! has otherwise than others, and the two calls.

pub(super) mod form;
mod receive;

use std::{ffi::c_int, io, time::Duration};

use self::form::{Code, Flag, Number, Seconds, Size};
use super::platform::options::{
    form::{Kind, Lingering, SmallFlag, SmallNumber, Span},
    get, is_v6,
    multicast::{Index, Interface, Join4, Join6, Source4, Source6},
    numbers, set,
};
use crate::socket::{
    Socket,
    option::{self, Get, Set},
};

/// What stands for an option that the system lacks; no system has it as a number.
pub(super) const ABSENT: c_int = c_int::MIN;

/// An option that this system lacks has no number.
pub(super) fn number(name: c_int) -> io::Result<c_int> {
    match name {
        ABSENT => Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no such socket option")),
        name => Ok(name),
    }
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

#[allow(unused_imports, reason = "for those that have options of their own")]
pub(super) use {row, table};

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

impl Set for option::Linger {
    fn set(self, socket: &Socket, value: Option<Duration>) -> io::Result<()> {
        set::<Lingering>(socket, numbers::SOL_SOCKET, numbers::SO_LINGER, value)?;
        // So that dropping it does not block.
        socket.descriptor().set_lingers(value.is_some_and(|time| !time.is_zero()));
        Ok(())
    }
}

/// Hops of a packet: of IPv4 or IPv6, whichever the socket sends.
fn ttl_option(socket: &Socket) -> io::Result<(c_int, c_int)> {
    Ok(match is_v6(socket)? {
        true => (numbers::IPPROTO_IPV6, numbers::IPV6_UNICAST_HOPS),
        false => (numbers::IPPROTO_IP, numbers::IP_TTL),
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
