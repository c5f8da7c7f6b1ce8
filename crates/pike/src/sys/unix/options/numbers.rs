//! The numbers of levels and options: libc's, under one name each where systems differ.
#![allow(unused_imports)]

use libc::c_int;
// What is named below goes before what comes by the star.
pub(super) use libc::*;

/// What stands for an option that the system lacks; no system has it as a number.
pub(super) const ABSENT: c_int = c_int::MIN;

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        pub(super) use libc::{IPV6_ADD_MEMBERSHIP as IPV6_JOIN_GROUP, IPV6_DROP_MEMBERSHIP as IPV6_LEAVE_GROUP};
    } else if #[cfg(target_vendor = "apple")] {
        // SO_LINGER counts clock ticks there.
        pub(super) use libc::{SO_LINGER_SEC as SO_LINGER, TCP_KEEPALIVE as TCP_KEEPIDLE};
    } else if #[cfg(target_os = "netbsd")] {
        pub(super) const IP_ADD_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(super) const IP_DROP_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(super) const MCAST_JOIN_SOURCE_GROUP: c_int = ABSENT;
        pub(super) const MCAST_LEAVE_SOURCE_GROUP: c_int = ABSENT;
    } else if #[cfg(target_os = "openbsd")] {
        pub(super) const TCP_KEEPIDLE: c_int = ABSENT;
        pub(super) const TCP_KEEPINTVL: c_int = ABSENT;
        pub(super) const TCP_KEEPCNT: c_int = ABSENT;
        pub(super) const IP_ADD_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(super) const IP_DROP_SOURCE_MEMBERSHIP: c_int = ABSENT;
        pub(super) const MCAST_JOIN_SOURCE_GROUP: c_int = ABSENT;
        pub(super) const MCAST_LEAVE_SOURCE_GROUP: c_int = ABSENT;
    }
}
