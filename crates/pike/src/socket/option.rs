//! Socket options, one type each: `socket.get(option::NoDelay)?`, `socket.set(option::NoDelay, true)?`.
//!
//! The types of [`net`](crate::net) give out their socket for this: `stream.socket().set(option::KeepAlive, true)?`.
//!
//! Here are those that most systems have; `os` has the others. What a system lacks fails with
//! [`Unsupported`](io::ErrorKind::Unsupported); PLATFORM.md says what that is. An option that the socket cannot have (of
//! another domain or protocol) fails with the system's own code, which is `ENOPROTOOPT`, `EOPNOTSUPP` or `EINVAL`.
//! Nothing here allocates but an error, and nothing waits.
//!
//! # Values
//!
//! - A number outside an option's range is refused with `EINVAL`, whether the system would check it or not.
//! - A time is rounded up to the option's unit, so that a short one never becomes none. Where zero means "none" to the
//!   system, `None` says so and `Some(Duration::ZERO)` is refused with `EINVAL`, as is a time too long for the kernel's
//!   type; systems with a lower limit refuse what is above it (`EINVAL`, `EDOM`).
//! - A size is a wish: the system gives what it allows, and what it gave can be read.
//!
//! # What compiles
//!
//! An option that can only be read has no [`Set`], so setting it does not compile:
//!
//! ```compile_fail,E0277
//! fn clear(socket: &pike::socket::Socket) -> std::io::Result<()> {
//!     socket.set(pike::socket::option::Error, None)
//! }
//! ```
//!
//! One that can only be set has no [`Get`]:
//!
//! ```compile_fail,E0277
//! fn groups(socket: &pike::socket::Socket) -> std::io::Result<pike::socket::option::MembershipV4> {
//!     socket.get(pike::socket::option::JoinMulticastV4)
//! }
//! ```
//!
//! # Examples
//!
//! ```
//! use pike::{Notifier, socket::{Domain, Socket, Type, option}};
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::new_on(&Notifier::new()?, Domain::V4, Type::Stream, None)?;
//! socket.set(option::KeepAlive, true)?;
//! socket.set(option::Linger, Some(Duration::from_secs(2)))?;
//! assert!(socket.get(option::KeepAlive)?);
//! assert_eq!(socket.get(option::Type)?, Type::Stream);
//! // Of IPv6 only, and this is IPv4.
//! assert!(socket.set(option::V6Only, true).unwrap_err().raw_os_error().is_some());
//! # Ok(()) }
//! ```

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use super::Socket;

/// An option, and what it holds. Sealed: the types of this module and of `os`.
pub trait SocketOption: sealed::Sealed {
    /// What it holds.
    type Value;
}

/// An option that can be read.
pub trait Get: SocketOption {
    #[doc(hidden)]
    fn get(self, socket: &Socket) -> io::Result<Self::Value>;
}

/// An option that can be set.
pub trait Set: SocketOption {
    #[doc(hidden)]
    fn set(self, socket: &Socket, value: Self::Value) -> io::Result<()>;
}

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// The types of options; `sys` says what each is to the kernel, and so which can be read or set.
macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $value:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl $crate::socket::option::sealed::Sealed for $name {}

        impl $crate::socket::option::SocketOption for $name {
            type Value = $value;
        }
    )*};
}

#[cfg_attr(windows, allow(unused_imports, reason = "os::windows has none yet"))]
pub(crate) use options;

// Of every socket.
options! {
    /// `SO_DEBUG`: the system records what the socket does. Linux asks for `CAP_NET_ADMIN` (`EACCES`).
    #[doc(alias = "SO_DEBUG")]
    Debug: bool;

    /// `SO_ACCEPTCONN`, read-only: whether it listens.
    #[doc(alias = "SO_ACCEPTCONN")]
    #[doc(alias = "listen")]
    AcceptConnections: bool;

    /// `SO_TYPE`, read-only: how the socket carries bytes.
    #[doc(alias = "SO_TYPE")]
    Type: super::Type;

    /// `SO_ERROR`, read-only: what went wrong since it was last read, which clears it.
    #[doc(alias = "SO_ERROR")]
    #[doc(alias = "take_error")]
    Error: Option<io::Error>;

    /// `SO_REUSEADDR`: bind although connections of an earlier listener linger on the address. Of UDP sockets, several
    /// that all set it may have one address, and all of them receive what a multicast group is sent.
    ///
    /// Platform: on Windows it takes an address that another socket has, of whatever program, unless that has
    /// `os::windows::option::ExclusiveAddress`. No connection lingers on an address there, so a server needs none, and
    /// [`TcpListener::bind`](crate::net::TcpListener::bind) sets it on other systems only.
    #[doc(alias = "SO_REUSEADDR")]
    ReuseAddress: bool;

    /// `SO_REUSEPORT`: several sockets may have one address if all of them set it before they bind.
    ///
    /// Platform: Linux (3.9) spreads connections and datagrams over them, and they must be of one user. The BSDs and
    /// macOS give all connections to one of them. Absent on Windows.
    #[doc(alias = "SO_REUSEPORT")]
    ReusePort: bool;

    /// `SO_KEEPALIVE`: probe an idle peer; see [`KeepAliveIdle`].
    #[doc(alias = "SO_KEEPALIVE")]
    KeepAlive: bool;

    /// `SO_DONTROUTE`: reach only what is on a network that this machine is on itself.
    #[doc(alias = "SO_DONTROUTE")]
    DontRoute: bool;

    /// `SO_BROADCAST`: may send to broadcast addresses, which is `EACCES` otherwise.
    #[doc(alias = "SO_BROADCAST")]
    Broadcast: bool;

    /// `SO_LINGER`, in whole seconds, rounded up: how long closing waits for what was not yet sent. `Some(ZERO)` resets
    /// the connection; `None` sends in the background.
    ///
    /// Who wants to wait awaits [`Socket::close`](super::Socket::close), which does not block the thread. A drop never
    /// waits: it switches lingering off, also for duplicates of the descriptor, and closes at once.
    #[doc(alias = "SO_LINGER")]
    Linger: Option<Duration>;

    /// `SO_OOBINLINE`: urgent data (TCP) stays in the stream.
    #[doc(alias = "SO_OOBINLINE")]
    OutOfBandInline: bool;

    /// `SO_SNDBUF`, in bytes. Linux gives twice what was set, within `net.core.wmem_max`; BSDs refuse more than they
    /// allow with `ENOBUFS`.
    #[doc(alias = "SO_SNDBUF")]
    SendBufferSize: usize;

    /// `SO_RCVBUF`, in bytes. Linux gives twice what was set, within `net.core.rmem_max`; BSDs refuse more than they
    /// allow with `ENOBUFS`.
    #[doc(alias = "SO_RCVBUF")]
    ReceiveBufferSize: usize;

    /// `SO_SNDLOWAT`, in bytes: how much room counts as writable. On Linux it is 1, and setting it is `ENOPROTOOPT`. Absent
    /// on Windows.
    #[doc(alias = "SO_SNDLOWAT")]
    SendLowWaterMark: usize;

    /// `SO_RCVLOWAT`, in bytes: how much data counts as readable. A call that has to wait waits until that much is there
    /// or reading has ended; one that does not takes what there is. Absent on Windows.
    #[doc(alias = "SO_RCVLOWAT")]
    ReceiveLowWaterMark: usize;

    /// `SO_SNDTIMEO`, in microseconds (Windows: milliseconds), rounded up to the system's tick: how long a call that blocks
    /// waits for room, of whoever takes the socket over and makes it block. pike's own calls do not block: see
    /// [`Deadline`](crate::time::Deadline) for theirs.
    #[doc(alias = "SO_SNDTIMEO")]
    SendTimeout: Option<Duration>;

    /// `SO_RCVTIMEO`: how long a call that blocks waits for data. Otherwise as [`SendTimeout`].
    #[doc(alias = "SO_RCVTIMEO")]
    ReceiveTimeout: Option<Duration>;
}

// Of TCP.
options! {
    /// `TCP_NODELAY`: send small segments at once.
    #[doc(alias = "TCP_NODELAY")]
    NoDelay: bool;

    /// `TCP_KEEPIDLE` (`TCP_KEEPALIVE` on macOS), in whole seconds, rounded up, at least one: how long a connection is
    /// idle before it is probed, if [`KeepAlive`] is set. Linux allows up to 32,767 s. Absent on OpenBSD.
    #[doc(alias = "TCP_KEEPIDLE")]
    #[doc(alias = "TCP_KEEPALIVE")]
    KeepAliveIdle: Duration;

    /// `TCP_KEEPINTVL`: the time between two probes. Otherwise as [`KeepAliveIdle`].
    #[doc(alias = "TCP_KEEPINTVL")]
    KeepAliveInterval: Duration;

    /// `TCP_KEEPCNT`, at least one: how many probes in a row stay unanswered before the connection fails with
    /// `ETIMEDOUT`. Linux allows up to 127. Absent on OpenBSD.
    #[doc(alias = "TCP_KEEPCNT")]
    KeepAliveCount: u32;
}

// Of IPv4 and IPv6.
options! {
    /// How many hops a packet may take, from 1 to 255: `IP_TTL`, or `IPV6_UNICAST_HOPS` of an IPv6 socket.
    #[doc(alias = "IP_TTL")]
    Ttl: u32;

    /// `IPV6_UNICAST_HOPS`, from 1 to 255: as [`Ttl`], and of IPv6 sockets only.
    #[doc(alias = "IPV6_UNICAST_HOPS")]
    HopLimit: u32;

    /// `IP_TOS`, from 0 to 255: the type of service of IPv4 packets, which is a code point and two bits that Linux keeps
    /// to itself on TCP.
    #[doc(alias = "IP_TOS")]
    Tos: u32;

    /// `IPV6_TCLASS`, from 0 to 255: the traffic class of IPv6 packets.
    #[doc(alias = "IPV6_TCLASS")]
    TrafficClass: u32;

    /// `IPV6_V6ONLY`: an IPv6 socket takes no IPv4 traffic. Before bind only. Always set on OpenBSD.
    #[doc(alias = "IPV6_V6ONLY")]
    V6Only: bool;
}

// What comes with each message, in control data (see `control`).
options! {
    /// Tell where a datagram went: `IP_PKTINFO`, or `IPV6_RECVPKTINFO` of an IPv6 socket; the BSDs have `IP_RECVDSTADDR`
    /// and `IP_RECVIF` for IPv4. See [`PacketInfo`](super::control::PacketInfo).
    #[doc(alias = "IP_PKTINFO")]
    #[doc(alias = "IPV6_RECVPKTINFO")]
    #[doc(alias = "IP_RECVDSTADDR")]
    ReceivePacketInfo: bool;

    /// Tell when a datagram arrived: `SO_TIMESTAMPNS` on Linux, else `SO_TIMESTAMP`, in microseconds. The system may
    /// need a moment to begin, and have no time for what came before. Absent on Windows.
    #[doc(alias = "SO_TIMESTAMP")]
    #[doc(alias = "SO_TIMESTAMPNS")]
    ReceiveTimestamp: bool;

    /// Tell a datagram's traffic class, with its [`Ecn`](super::control::Ecn): `IP_RECVTOS`, `IPV6_RECVTCLASS`; of an
    /// IPv6 socket both. NetBSD, OpenBSD and DragonFly have none for IPv4.
    #[doc(alias = "IP_RECVTOS")]
    #[doc(alias = "IPV6_RECVTCLASS")]
    ReceiveTrafficClass: bool;

    /// Tell how many hops a datagram might still have taken: `IP_RECVTTL`, `IPV6_RECVHOPLIMIT`; of an IPv6 socket both.
    #[doc(alias = "IP_RECVTTL")]
    #[doc(alias = "IPV6_RECVHOPLIMIT")]
    ReceiveHopLimit: bool;
}

// Multicast, of UDP.
options! {
    /// `IP_ADD_MEMBERSHIP`, to be set only: receive what the group is sent. `EADDRINUSE` if it is a member already.
    #[doc(alias = "IP_ADD_MEMBERSHIP")]
    JoinMulticastV4: MembershipV4;

    /// `IP_DROP_MEMBERSHIP`, to be set only: the reverse. `EADDRNOTAVAIL` if it is no member.
    #[doc(alias = "IP_DROP_MEMBERSHIP")]
    LeaveMulticastV4: MembershipV4;

    /// `IP_ADD_SOURCE_MEMBERSHIP`, to be set only: receive what one source sends the group. Absent on OpenBSD and NetBSD.
    #[doc(alias = "IP_ADD_SOURCE_MEMBERSHIP")]
    JoinSourceV4: SourceV4;

    /// `IP_DROP_SOURCE_MEMBERSHIP`, to be set only: the reverse. Absent on OpenBSD and NetBSD.
    #[doc(alias = "IP_DROP_SOURCE_MEMBERSHIP")]
    LeaveSourceV4: SourceV4;

    /// `IPV6_JOIN_GROUP`, to be set only: receive what the group is sent. `EADDRINUSE` if it is a member already.
    #[doc(alias = "IPV6_JOIN_GROUP")]
    #[doc(alias = "IPV6_ADD_MEMBERSHIP")]
    JoinMulticastV6: MembershipV6;

    /// `IPV6_LEAVE_GROUP`, to be set only: the reverse. `EADDRNOTAVAIL` if it is no member.
    #[doc(alias = "IPV6_LEAVE_GROUP")]
    #[doc(alias = "IPV6_DROP_MEMBERSHIP")]
    LeaveMulticastV6: MembershipV6;

    /// `MCAST_JOIN_SOURCE_GROUP`, to be set only: receive what one source sends the group. Absent on OpenBSD and NetBSD.
    #[doc(alias = "MCAST_JOIN_SOURCE_GROUP")]
    JoinSourceV6: SourceV6;

    /// `MCAST_LEAVE_SOURCE_GROUP`, to be set only: the reverse. Absent on OpenBSD and NetBSD.
    #[doc(alias = "MCAST_LEAVE_SOURCE_GROUP")]
    LeaveSourceV6: SourceV6;

    /// `IP_MULTICAST_TTL`, from 0 to 255, at first 1: how many hops a packet to an IPv4 group may take.
    #[doc(alias = "IP_MULTICAST_TTL")]
    MulticastTtlV4: u32;

    /// `IPV6_MULTICAST_HOPS`, from 0 to 255, at first 1: how many hops a packet to an IPv6 group may take.
    #[doc(alias = "IPV6_MULTICAST_HOPS")]
    MulticastHopsV6: u32;

    /// `IP_MULTICAST_LOOP`, at first set: members on this machine receive what this socket sends to an IPv4 group.
    #[doc(alias = "IP_MULTICAST_LOOP")]
    MulticastLoopV4: bool;

    /// `IPV6_MULTICAST_LOOP`, at first set: members on this machine receive what this socket sends to an IPv6 group.
    #[doc(alias = "IPV6_MULTICAST_LOOP")]
    MulticastLoopV6: bool;

    /// `IP_MULTICAST_IF`: the interface, by its address, through which packets to an IPv4 group leave. The unspecified
    /// address lets the system choose.
    #[doc(alias = "IP_MULTICAST_IF")]
    MulticastInterfaceV4: Ipv4Addr;

    /// `IPV6_MULTICAST_IF`: the interface, by its index, through which packets to an IPv6 group leave. 0 lets the system
    /// choose.
    #[doc(alias = "IPV6_MULTICAST_IF")]
    MulticastInterfaceV6: u32;
}

/// A group of IPv4, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MembershipV4 {
    /// The group's address.
    pub group: Ipv4Addr,
    /// The interface, by its address. The unspecified one lets the system choose.
    pub interface: Ipv4Addr,
}

/// One source of a group of IPv4, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceV4 {
    /// The group's address.
    pub group: Ipv4Addr,
    /// Who sends.
    pub source: Ipv4Addr,
    /// The interface, by its address. The unspecified one lets the system choose.
    pub interface: Ipv4Addr,
}

/// A group of IPv6, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MembershipV6 {
    /// The group's address.
    pub group: Ipv6Addr,
    /// The interface, by its index. 0 lets the system choose.
    pub interface: u32,
}

/// One source of a group of IPv6, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceV6 {
    /// The group's address.
    pub group: Ipv6Addr,
    /// Who sends.
    pub source: Ipv6Addr,
    /// The interface, by its index. 0 lets the system choose.
    pub interface: u32,
}
