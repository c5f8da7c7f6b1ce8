//! The options of UDP sockets that std and tokio have a name for.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::UdpSocket;
use crate::socket::option::{self, MembershipV4, MembershipV6};

/// Options, as [`socket::option`](option) has them. All fail with the system's error.
impl UdpSocket {
    /// Whether it may send to broadcast addresses: see [`Broadcast`](option::Broadcast).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket().get(option::Broadcast)
    }

    /// Sets whether it may send to broadcast addresses.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.socket().set(option::Broadcast, on)
    }

    /// Receives what an IPv4 group is sent, through the interface that has an address: see
    /// [`JoinMulticastV4`](option::JoinMulticastV4).
    ///
    /// # Errors
    ///
    /// The system's: `EADDRINUSE` if it is a member already, `ENODEV` if no interface has that address or a route to
    /// the group, `EINVAL` if that is no group.
    pub fn join_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket().set(option::JoinMulticastV4, MembershipV4 { group: multiaddr, interface })
    }

    /// The reverse of [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// The system's: `EADDRNOTAVAIL` if it is no member.
    pub fn leave_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket().set(option::LeaveMulticastV4, MembershipV4 { group: multiaddr, interface })
    }

    /// Receives what an IPv6 group is sent, through the interface of an index: see
    /// [`JoinMulticastV6`](option::JoinMulticastV6).
    ///
    /// # Errors
    ///
    /// As [`join_multicast_v4`](Self::join_multicast_v4).
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().set(option::JoinMulticastV6, MembershipV6 { group: *multiaddr, interface })
    }

    /// The reverse of [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// The system's: `EADDRNOTAVAIL` if it is no member.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().set(option::LeaveMulticastV6, MembershipV6 { group: *multiaddr, interface })
    }

    /// Whether members on this machine receive what it sends to an IPv4 group: see
    /// [`MulticastLoopV4`](option::MulticastLoopV4).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket().get(option::MulticastLoopV4)
    }

    /// Sets whether members on this machine receive what it sends to an IPv4 group.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.socket().set(option::MulticastLoopV4, on)
    }

    /// How many hops a packet to an IPv4 group may take: see [`MulticastTtlV4`](option::MulticastTtlV4).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket().get(option::MulticastTtlV4)
    }

    /// Sets how many hops a packet to an IPv4 group may take, from 0 to 255.
    ///
    /// # Errors
    ///
    /// The system's; `EINVAL` for any other number.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket().set(option::MulticastTtlV4, ttl)
    }

    /// Whether members on this machine receive what it sends to an IPv6 group: see
    /// [`MulticastLoopV6`](option::MulticastLoopV6).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket().get(option::MulticastLoopV6)
    }

    /// Sets whether members on this machine receive what it sends to an IPv6 group.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.socket().set(option::MulticastLoopV6, on)
    }

    /// The type of service of its IPv4 packets: see [`Tos`](option::Tos).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn tos_v4(&self) -> io::Result<u32> {
        self.socket().get(option::Tos)
    }

    /// Sets the type of service of its IPv4 packets, from 0 to 255.
    ///
    /// # Errors
    ///
    /// The system's; `EINVAL` for any other number.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        self.socket().set(option::Tos, tos)
    }

    /// The traffic class of its IPv6 packets: see [`TrafficClass`](option::TrafficClass).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        self.socket().get(option::TrafficClass)
    }

    /// Sets the traffic class of its IPv6 packets, from 0 to 255.
    ///
    /// # Errors
    ///
    /// The system's; `EINVAL` for any other number.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        self.socket().set(option::TrafficClass, tclass)
    }
}
