//! Groups and interfaces of multicast, as the kernel has them.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::{
    socket::option::{MembershipV4, MembershipV6, SourceV4, SourceV6},
    sys::options::form::{Decode, Encode, Form, plain},
};

/// `ip_mreq_source`: one source of a group. libc does not have it for every system; its order differs.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::sys) struct IpSource {
    group: libc::in_addr,
    #[cfg(target_os = "linux")]
    interface: libc::in_addr,
    source: libc::in_addr,
    #[cfg(not(target_os = "linux"))]
    interface: libc::in_addr,
}

/// `group_source_req` of RFC 3678: the same, of any family. libc does not have it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(in crate::sys) struct GroupSource {
    interface: u32,
    group: Storage,
    source: Storage,
}

/// `sockaddr_storage`, of which we use what IPv6 needs. Within that struct macOS aligns it to four bytes only.
#[derive(Clone, Copy)]
#[repr(C)]
struct Storage {
    address: libc::sockaddr_in6,
    rest: [u8; size_of::<libc::sockaddr_storage>() - size_of::<libc::sockaddr_in6>()],
    #[cfg(not(target_vendor = "apple"))]
    align: [libc::sockaddr_storage; 0],
}

plain!(libc::in_addr, libc::ip_mreq, libc::ipv6_mreq, IpSource, GroupSource);

/// Addresses are in network order, whatever the machine's.
fn v4(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}

fn v6(address: Ipv6Addr) -> libc::in6_addr {
    libc::in6_addr { s6_addr: address.octets() }
}

/// An address by itself: no port, no flow, no scope, which the interface is.
fn storage(address: Ipv6Addr) -> Storage {
    let address = libc::sockaddr_in6 {
        #[cfg(not(target_os = "linux"))]
        sin6_len: size_of::<libc::sockaddr_in6>() as u8,
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: v6(address),
        sin6_scope_id: 0,
    };
    Storage {
        address,
        rest: [0; size_of::<libc::sockaddr_storage>() - size_of::<libc::sockaddr_in6>()],
        #[cfg(not(target_vendor = "apple"))]
        align: [],
    }
}

/// A group of IPv4.
pub(in crate::sys) struct Join4;

impl Form for Join4 {
    type Value = MembershipV4;
    type Raw = libc::ip_mreq;
}

impl Encode for Join4 {
    fn encode(value: MembershipV4) -> io::Result<libc::ip_mreq> {
        Ok(libc::ip_mreq { imr_multiaddr: v4(value.group), imr_interface: v4(value.interface) })
    }
}

/// One source of a group of IPv4.
pub(in crate::sys) struct Source4;

impl Form for Source4 {
    type Value = SourceV4;
    type Raw = IpSource;
}

impl Encode for Source4 {
    fn encode(value: SourceV4) -> io::Result<IpSource> {
        Ok(IpSource { group: v4(value.group), source: v4(value.source), interface: v4(value.interface) })
    }
}

/// One source of a group of IPv6.
pub(in crate::sys) struct Source6;

impl Form for Source6 {
    type Value = SourceV6;
    type Raw = GroupSource;
}

impl Encode for Source6 {
    fn encode(value: SourceV6) -> io::Result<GroupSource> {
        let (group, source) = (storage(value.group), storage(value.source));
        Ok(GroupSource { interface: value.interface, group, source })
    }
}

/// A group of IPv6.
pub(in crate::sys) struct Join6;

impl Form for Join6 {
    type Value = MembershipV6;
    type Raw = libc::ipv6_mreq;
}

impl Encode for Join6 {
    fn encode(value: MembershipV6) -> io::Result<libc::ipv6_mreq> {
        Ok(libc::ipv6_mreq { ipv6mr_multiaddr: v6(value.group), ipv6mr_interface: value.interface })
    }
}

/// An interface by its address.
pub(in crate::sys) struct Interface;

impl Form for Interface {
    type Value = Ipv4Addr;
    type Raw = libc::in_addr;
}

impl Encode for Interface {
    fn encode(value: Ipv4Addr) -> io::Result<libc::in_addr> {
        Ok(v4(value))
    }
}

impl Decode for Interface {
    fn decode(raw: libc::in_addr) -> Ipv4Addr {
        raw.s_addr.to_ne_bytes().into()
    }
}

/// An interface by its index.
pub(in crate::sys) struct Index;

impl Form for Index {
    type Value = u32;
    type Raw = libc::c_int;
}

impl Encode for Index {
    /// An index that no interface can have is the system's to refuse.
    fn encode(value: u32) -> io::Result<libc::c_int> {
        Ok(value as libc::c_int)
    }
}

impl Decode for Index {
    fn decode(raw: libc::c_int) -> u32 {
        raw as u32
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// What we and the kernel share has the layout of its header: <netinet/in.h>, <sys/socket.h>, RFC 3493.
    #[test]
    fn layouts() {
        assert_eq!((size_of::<libc::in_addr>(), align_of::<libc::in_addr>()), (4, 4));

        assert_eq!(size_of::<libc::ip_mreq>(), 8);
        assert_eq!(offset_of!(libc::ip_mreq, imr_multiaddr), 0);
        assert_eq!(offset_of!(libc::ip_mreq, imr_interface), 4);

        assert_eq!(size_of::<libc::ipv6_mreq>(), 20);
        assert_eq!(offset_of!(libc::ipv6_mreq, ipv6mr_multiaddr), 0);
        assert_eq!(offset_of!(libc::ipv6_mreq, ipv6mr_interface), 16);

        assert_eq!((size_of::<IpSource>(), align_of::<IpSource>()), (12, 4));
        assert_eq!(offset_of!(IpSource, group), 0);
        let (interface, source) = if cfg!(target_os = "linux") { (4, 8) } else { (8, 4) };
        assert_eq!(offset_of!(IpSource, interface), interface);
        assert_eq!(offset_of!(IpSource, source), source);
    }

    /// RFC 3678; the widths are those of a 64-bit system.
    #[cfg(target_pointer_width = "64")]
    #[test]
    fn group_source() {
        use libc::sockaddr_storage;
        assert_eq!(size_of::<Storage>(), size_of::<sockaddr_storage>());
        let align = if cfg!(target_vendor = "apple") { 4 } else { align_of::<sockaddr_storage>() };
        assert_eq!(align_of::<Storage>(), align);
        let (group, size) = if cfg!(target_vendor = "apple") { (4, 260) } else { (8, 264) };
        assert_eq!(size_of::<GroupSource>(), size);
        assert_eq!(offset_of!(GroupSource, interface), 0);
        assert_eq!(offset_of!(GroupSource, group), group);
        assert_eq!(offset_of!(GroupSource, source), group + 128);
    }

    /// Ours is libc's where libc has it.
    #[cfg(not(any(target_os = "openbsd", target_os = "netbsd", target_os = "dragonfly")))]
    #[test]
    fn source_is_libcs() {
        use libc::ip_mreq_source;
        assert_eq!(size_of::<IpSource>(), size_of::<ip_mreq_source>());
        assert_eq!(offset_of!(IpSource, group), offset_of!(ip_mreq_source, imr_multiaddr));
        assert_eq!(offset_of!(IpSource, interface), offset_of!(ip_mreq_source, imr_interface));
        assert_eq!(offset_of!(IpSource, source), offset_of!(ip_mreq_source, imr_sourceaddr));
    }
}
