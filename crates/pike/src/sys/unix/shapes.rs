//! The structures that go to the kernel, held against each system's headers when pike is compiled: their sizes, and where
//! the fields are that differ from system to system. `struct kevent` is in `sys/kqueue/os.rs`.

use std::mem::offset_of;

use libc::{
    cmsghdr, in6_addr, in6_pktinfo, ip_mreq, ipv6_mreq, linger, msghdr, sigaction, sockaddr_in, sockaddr_in6,
    sockaddr_un, timespec, timeval,
};

const _: () = {
    // All of them, on 64 bits.
    assert!(size_of::<sockaddr_in>() == 16 && offset_of!(sockaddr_in, sin_port) == 2);
    assert!(offset_of!(sockaddr_in, sin_addr) == 4);
    assert!(size_of::<sockaddr_in6>() == 28 && offset_of!(sockaddr_in6, sin6_addr) == 8);
    assert!(offset_of!(sockaddr_in6, sin6_scope_id) == 24 && offset_of!(sockaddr_un, sun_path) == 2);
    assert!(size_of::<in6_addr>() == 16 && size_of::<ip_mreq>() == 8 && size_of::<ipv6_mreq>() == 20);
    assert!(size_of::<linger>() == 8 && offset_of!(linger, l_linger) == 4);
    assert!(size_of::<in6_pktinfo>() == 20 && offset_of!(in6_pktinfo, ipi6_ifindex) == 16);
};

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<timespec>() == 16 && offset_of!(timespec, tv_nsec) == 8);
    assert!(size_of::<timeval>() == 16 && offset_of!(timeval, tv_usec) == 8);
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

/// IPv4's packet info: in one struct, or of an interface's address its index.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
const _: () = {
    use libc::in_pktinfo;
    assert!(size_of::<in_pktinfo>() == 12 && offset_of!(in_pktinfo, ipi_ifindex) == 0);
    assert!(offset_of!(in_pktinfo, ipi_spec_dst) == 4 && offset_of!(in_pktinfo, ipi_addr) == 8);
};
#[cfg(any(target_os = "freebsd", target_os = "netbsd", target_os = "openbsd", target_os = "dragonfly"))]
const _: () = assert!(offset_of!(libc::sockaddr_dl, sdl_index) == 2);

/// Where `struct stat` says what a descriptor is.
#[cfg(not(target_os = "linux"))]
const _: () = {
    let at = match () {
        _ if cfg!(target_os = "macos") => 4,
        _ if cfg!(target_os = "freebsd") => 24,
        _ if cfg!(target_os = "dragonfly") => 16,
        _ if cfg!(target_os = "netbsd") => 8,
        _ => 0,
    };
    assert!(offset_of!(libc::stat, st_mode) == at);
};

/// Who the peer of a Unix socket is. Version, user, count of groups, groups; then a pointer's place on some.
#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly"))]
const _: () = {
    use libc::xucred;
    assert!(size_of::<xucred>() == if cfg!(target_vendor = "apple") { 76 } else { 88 });
    assert!(offset_of!(xucred, cr_version) == 0 && offset_of!(xucred, cr_uid) == 4);
    assert!(offset_of!(xucred, cr_ngroups) == 8 && offset_of!(xucred, cr_groups) == 12);
};
#[cfg(target_os = "freebsd")]
const _: () = assert!(offset_of!(libc::xucred, cr_pid__c_anonymous_union) == 80);
#[cfg(target_os = "netbsd")]
const _: () = {
    use libc::unpcbid;
    assert!(size_of::<unpcbid>() == 12 && offset_of!(unpcbid, unp_pid) == 0);
    assert!(offset_of!(unpcbid, unp_euid) == 4 && offset_of!(unpcbid, unp_egid) == 8);
};
#[cfg(target_os = "openbsd")]
const _: () = {
    use libc::sockpeercred;
    assert!(size_of::<sockpeercred>() == 12 && offset_of!(sockpeercred, uid) == 0);
    assert!(offset_of!(sockpeercred, gid) == 4 && offset_of!(sockpeercred, pid) == 8);
};

/// Who sent a message, and a signal.
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
const _: () = {
    use libc::cmsgcred;
    assert!(size_of::<cmsgcred>() == 84 && offset_of!(cmsgcred, cmcred_pid) == 0);
    assert!(offset_of!(cmsgcred, cmcred_euid) == 8 && offset_of!(cmsgcred, cmcred_gid) == 12);
};
#[cfg(target_os = "freebsd")]
const _: () = {
    use libc::siginfo_t;
    assert!(size_of::<siginfo_t>() == 80 && offset_of!(siginfo_t, si_code) == 8);
    assert!(offset_of!(siginfo_t, si_pid) == 12 && offset_of!(siginfo_t, si_uid) == 16);
};
