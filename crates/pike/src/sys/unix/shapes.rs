//! The structures that go to the kernel, held against each system's headers when pike is compiled: their sizes, and where
//! the fields are that differ from system to system. `struct kevent` is in `sys/kqueue/os.rs`.

use std::mem::offset_of;

use libc::{
    cmsghdr, in6_addr, ip_mreq, ipv6_mreq, linger, msghdr, sigaction, sockaddr_in, sockaddr_in6, sockaddr_un,
    timespec,
};

const _: () = {
    // All of them, on 64 bits.
    assert!(size_of::<sockaddr_in>() == 16 && offset_of!(sockaddr_in, sin_port) == 2);
    assert!(offset_of!(sockaddr_in, sin_addr) == 4);
    assert!(size_of::<sockaddr_in6>() == 28 && offset_of!(sockaddr_in6, sin6_addr) == 8);
    assert!(offset_of!(sockaddr_in6, sin6_scope_id) == 24 && offset_of!(sockaddr_un, sun_path) == 2);
    assert!(size_of::<in6_addr>() == 16 && size_of::<ip_mreq>() == 8 && size_of::<ipv6_mreq>() == 20);
    assert!(size_of::<linger>() == 8 && offset_of!(linger, l_linger) == 4);
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<timespec>() == 16 && offset_of!(timespec, tv_nsec) == 8);
    assert!(offset_of!(msghdr, msg_namelen) == 8 && offset_of!(msghdr, msg_iov) == 16);
    assert!(offset_of!(msghdr, msg_iovlen) == 24 && offset_of!(msghdr, msg_control) == 32);
    assert!(offset_of!(msghdr, msg_controllen) == 40);
};

/// Linux has no lengths in its addresses, and wider counts in its messages.
#[cfg(all(target_os = "linux", target_pointer_width = "64", target_env = "gnu"))]
const _: () = {
    assert!(size_of::<sockaddr_un>() == 110 && offset_of!(sockaddr_un, sun_family) == 0);
    assert!(size_of::<msghdr>() == 56 && offset_of!(msghdr, msg_flags) == 48);
    assert!(size_of::<cmsghdr>() == 16 && offset_of!(cmsghdr, cmsg_level) == 8);
    assert!(offset_of!(sigaction, sa_mask) == 8);
};

#[cfg(not(target_os = "linux"))]
const _: () = {
    assert!(size_of::<sockaddr_un>() == 106 && offset_of!(sockaddr_un, sun_family) == 1);
    assert!(size_of::<msghdr>() == 48 && offset_of!(msghdr, msg_flags) == 44);
    assert!(size_of::<cmsghdr>() == 12 && offset_of!(cmsghdr, cmsg_level) == 4);
};

/// Size, mask, flags.
#[cfg(not(target_os = "linux"))]
const _: () = {
    let is = (size_of::<sigaction>(), offset_of!(sigaction, sa_mask), offset_of!(sigaction, sa_flags));
    let must = match () {
        _ if cfg!(any(target_os = "macos", target_os = "openbsd")) => (16, 8, 12),
        _ if cfg!(target_os = "netbsd") => (32, 8, 24),
        _ => (32, 12, 8),
    };
    assert!(is.0 == must.0 && is.1 == must.1 && is.2 == must.2);
};
