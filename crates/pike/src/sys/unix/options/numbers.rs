//! The numbers of levels, options and control data: libc's, under one name each where systems differ.
#![allow(unused_imports)]

use libc::c_int;
// What is named below goes before what comes by the star.
pub(in crate::sys) use libc::*;

pub(super) use crate::sys::options::ABSENT;

/// Where an IPv6 socket's datagrams by IPv4 went, an option of IPv6 tells here.
pub(in crate::sys) const TELLS_MAPPED_BY_IPV4: bool = false;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        pub(in crate::sys) use libc::{IPV6_ADD_MEMBERSHIP as IPV6_JOIN_GROUP, IPV6_DROP_MEMBERSHIP as IPV6_LEAVE_GROUP};
    } else if #[cfg(target_vendor = "apple")] {
        // SO_LINGER counts clock ticks there.
        pub(in crate::sys) use libc::{SO_LINGER_SEC as SO_LINGER, TCP_KEEPALIVE as TCP_KEEPIDLE};
    } else if #[cfg(target_os = "dragonfly")] {
        pub(in crate::sys) const IP_RECVTOS: c_int = ABSENT;
        pub(in crate::sys) const IP_ADD_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(in crate::sys) const IP_DROP_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(in crate::sys) const MCAST_JOIN_SOURCE_GROUP: c_int = ABSENT;
        pub(in crate::sys) const MCAST_LEAVE_SOURCE_GROUP: c_int = ABSENT;
    } else if #[cfg(target_os = "netbsd")] {
        // Of netinet/in.h and netinet6/in6.h; libc does not have them.
        pub(in crate::sys) const IP_RECVTTL: c_int = 23;
        pub(in crate::sys) const IP_RECVTOS: c_int = ABSENT;
        pub(in crate::sys) const IPV6_RECVHOPLIMIT: c_int = 37;
        pub(in crate::sys) const IPV6_HOPLIMIT: c_int = 47;
        pub(in crate::sys) const IP_ADD_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(in crate::sys) const IP_DROP_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(in crate::sys) const MCAST_JOIN_SOURCE_GROUP: c_int = ABSENT;
        pub(in crate::sys) const MCAST_LEAVE_SOURCE_GROUP: c_int = ABSENT;
    } else if #[cfg(target_os = "openbsd")] {
        // As above.
        pub(in crate::sys) const IP_RECVTTL: c_int = 31;
        pub(in crate::sys) const IP_RECVTOS: c_int = ABSENT;
        pub(in crate::sys) const IPV6_RECVHOPLIMIT: c_int = 37;
        pub(in crate::sys) const IPV6_HOPLIMIT: c_int = 47;
        pub(in crate::sys) const TCP_KEEPIDLE: c_int = ABSENT;
        pub(in crate::sys) const TCP_KEEPINTVL: c_int = ABSENT;
        pub(in crate::sys) const TCP_KEEPCNT: c_int = ABSENT;
        pub(in crate::sys) const IP_ADD_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(in crate::sys) const IP_DROP_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(in crate::sys) const MCAST_JOIN_SOURCE_GROUP: c_int = ABSENT;
        pub(in crate::sys) const MCAST_LEAVE_SOURCE_GROUP: c_int = ABSENT;
    }
}

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "linux", target_vendor = "apple"))] {
        pub(in crate::sys) use libc::IP_PKTINFO as IP_RECVPKTINFO;
        pub(in crate::sys) const IP_RECVINTERFACE: c_int = ABSENT;
    } else {
        // Two options, each for a part of it.
        pub(in crate::sys) use libc::{IP_RECVDSTADDR as IP_RECVPKTINFO, IP_RECVIF as IP_RECVINTERFACE};
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        pub(in crate::sys) use libc::SO_TIMESTAMPNS as SO_RECVTIMESTAMP;
    } else {
        pub(in crate::sys) use libc::SO_TIMESTAMP as SO_RECVTIMESTAMP;
    }
}
