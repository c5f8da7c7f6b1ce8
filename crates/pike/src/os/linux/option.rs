//! Linux's socket options, beside those of [`socket::option`](crate::socket::option), where the rules for values are.
//!
//! ```
//! use pike::{Notifier, os::linux, socket::{Domain, Socket, Type}};
//! use std::time::Duration;
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::new_on(&Notifier::new()?, Domain::V4, Type::Stream, None)?;
//! socket.set(linux::option::UserTimeout, Some(Duration::from_secs(20)))?;
//! socket.set(linux::option::Cork, true)?;
//! assert_eq!(socket.get(linux::option::BindDevice)?, None);
//! # Ok(()) }
//! ```

use std::time::Duration;

use super::DeviceName;
use crate::socket::option::options;

options! {
    /// `SO_BINDTODEVICE` (to be read since 3.8): send and receive through one interface only; `None` for all. Taking it
    /// away or changing it asks for `CAP_NET_RAW` (`EPERM`), before 5.7 setting it too. `ENODEV` for a name that no
    /// interface has.
    #[doc(alias = "SO_BINDTODEVICE")]
    BindDevice: Option<DeviceName>;

    /// `SO_PRIORITY`: the class of what is sent, for the queues of the machine. Above 6 it asks for `CAP_NET_ADMIN`
    /// (`EPERM`). [`Tos`](crate::socket::option::Tos) sets it as well.
    #[doc(alias = "SO_PRIORITY")]
    Priority: u32;

    /// `SO_BUSY_POLL` (3.11), in microseconds, rounded up: how long a wait asks the network's driver again and again
    /// before it sleeps; zero for not at all. More than it is asks for `CAP_NET_ADMIN` (`EPERM`).
    #[doc(alias = "SO_BUSY_POLL")]
    BusyPoll: Duration;

    /// `TCP_QUICKACK`: acknowledge at once. It lasts until the system decides otherwise, so set it again after reading.
    #[doc(alias = "TCP_QUICKACK")]
    QuickAck: bool;

    /// `TCP_CORK`: send full segments only, for up to 200 ms. Taking it away sends what is left.
    #[doc(alias = "TCP_CORK")]
    Cork: bool;

    /// `TCP_USER_TIMEOUT` (2.6.37), in milliseconds, rounded up: how long what was sent may stay unacknowledged before
    /// the connection fails with `ETIMEDOUT`; `None` leaves that to the system.
    #[doc(alias = "TCP_USER_TIMEOUT")]
    UserTimeout: Option<Duration>;

    /// `SO_PASSCRED`, of a Unix socket: tell who sent each message. See
    /// [`Incoming::Credentials`](crate::os::unix::control::Incoming::Credentials).
    #[doc(alias = "SO_PASSCRED")]
    PassCredentials: bool;

    /// `IP_RECVERR`, or `IPV6_RECVERR` of an IPv6 socket (then both): keep errors, with who reported them, in the
    /// [error queue](super::control::ERROR_QUEUE). An unconnected UDP socket reports them then, too.
    #[doc(alias = "IP_RECVERR")]
    #[doc(alias = "IPV6_RECVERR")]
    ReceiveErrors: bool;

    /// `SO_TIMESTAMPING` (2.6.30), the `SOF_TIMESTAMPING` bits of linux/net_tstamp.h: which clocks tell when a message
    /// arrives or is sent. See [`Timestamping`](super::control::Timestamping).
    #[doc(alias = "SO_TIMESTAMPING")]
    Timestamps: u32;

    /// `SO_RXQ_OVFL` (2.6.33): tell how many datagrams were dropped for want of room.
    #[doc(alias = "SO_RXQ_OVFL")]
    ReceiveDropped: bool;

    /// `UDP_GRO` (5.0): receive several datagrams of a sender at once, and their size. See
    /// [`Incoming::SegmentSize`](super::control::Incoming::SegmentSize).
    #[doc(alias = "UDP_GRO")]
    Gro: bool;

    /// `UDP_SEGMENT` (4.18), in bytes, from 0 (not at all) to 65535: send what is longer as datagrams of this size.
    /// [`Outgoing::SegmentSize`](super::control::Outgoing::SegmentSize) says so of one message.
    #[doc(alias = "UDP_SEGMENT")]
    SegmentSize: u32;
}
