//! The numbers of levels, options and control data, under the names that other systems have for them.
#![allow(unused_imports)]

pub(in crate::sys) use windows_sys::Win32::Networking::WinSock::{
    IP_ADD_MEMBERSHIP, IP_ADD_SOURCE_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_DROP_SOURCE_MEMBERSHIP,
    IP_MULTICAST_IF, IP_MULTICAST_LOOP, IP_MULTICAST_TTL, IP_PKTINFO as IP_RECVPKTINFO, IP_RECVTOS,
    IP_RECVTTL, IP_TOS, IP_TTL, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP,
    IPV6_ADD_MEMBERSHIP as IPV6_JOIN_GROUP, IPV6_DROP_MEMBERSHIP as IPV6_LEAVE_GROUP,
    IPV6_HOPLIMIT as IPV6_RECVHOPLIMIT, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_LOOP,
    IPV6_PKTINFO as IPV6_RECVPKTINFO, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_UNICAST_HOPS, IPV6_V6ONLY,
    SO_ACCEPTCONN, SO_BROADCAST, SO_DEBUG, SO_DONTROUTE, SO_ERROR, SO_KEEPALIVE, SO_LINGER, SO_OOBINLINE,
    SO_RCVBUF, SO_RCVTIMEO, SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO, SO_TYPE, SOL_SOCKET, TCP_KEEPCNT,
    TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY,
};

use crate::sys::options::ABSENT;

pub(in crate::sys) const SO_REUSEPORT: i32 = ABSENT;
// They have numbers, and no provider of the system takes them.
pub(in crate::sys) const SO_RCVLOWAT: i32 = ABSENT;
pub(in crate::sys) const SO_SNDLOWAT: i32 = ABSENT;
/// There is an option of that name, for timestamps by a clock of their own, which an ioctl starts.
pub(in crate::sys) const SO_RECVTIMESTAMP: i32 = ABSENT;
pub(in crate::sys) const IP_RECVINTERFACE: i32 = ABSENT;
// Unsigned where they come from.
pub(in crate::sys) const MCAST_JOIN_SOURCE_GROUP: i32 = 45;
pub(in crate::sys) const MCAST_LEAVE_SOURCE_GROUP: i32 = 46;

/// Where an IPv6 socket's datagrams by IPv4 went, an option of IPv4 tells.
pub(in crate::sys) const TELLS_MAPPED_BY_IPV4: bool = true;
