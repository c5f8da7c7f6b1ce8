//! Control data: what a message carries beside its bytes.
//!
//! What comes with a received message is in a [`Control`] buffer of the caller's, read with
//! [`entries`](Control::entries). What goes with a sent one is a slice of [`Outgoing`], which needs no buffer. What only
//! some systems have is in `os::unix::control` and `os::linux::control`.
//!
//! Most of what can be received must be asked for by an option of the socket: it then comes with every message.
//!
//! # Examples
//!
//! A server at an unspecified address that answers from the address it was asked at:
//!
//! ```
//! use pike::{Notifier, net::UdpSocket, socket::{RecvFlags, SendFlags, control::*, option}};
//! use std::io::{IoSlice, IoSliceMut};
//!
//! # fn main() -> std::io::Result<()> {
//! Notifier::new()?.block_on(async {
//!     let server = UdpSocket::bind("0.0.0.0:0").await?;
//!     server.socket().set(option::ReceivePacketInfo, true)?;
//! #   let client = UdpSocket::bind("127.0.0.1:0").await?;
//! #   client.send_to(b"ping", ("127.0.0.2".parse::<std::net::IpAddr>().unwrap(), server.local_addr()?.port()).into()).await?;
//!
//!     let (mut buf, mut control) = ([0; 1500], ControlBuf::<PACKET_INFO_SPACE>::new());
//!     let mut bufs = [IoSliceMut::new(&mut buf)];
//!     let message = server.socket().recv_msg(&mut bufs, &mut control, RecvFlags::NONE).await?;
//!     let source = control.packet_info().and_then(|info| info.source());
//!     let answer: Vec<_> = source.into_iter().map(Outgoing::Source).collect();
//!
//!     let bytes = [IoSlice::new(&buf[..message.len])];
//!     server.socket().send_msg(&bytes, message.from, &answer, SendFlags::NONE).await?;
//! #   let (_, from) = client.recv_from(&mut [0; 8]).await?;
//! #   assert_eq!(from.ip().to_string(), "127.0.0.2");
//!     Ok(())
//! })
//! # }
//! ```
#![allow(unsafe_code)]

use std::{fmt, io, net::IpAddr, time::SystemTime};

use crate::sys::platform::control;

/// What a [`PacketInfo`] takes up in a control buffer.
pub const PACKET_INFO_SPACE: usize = control::sizes::PACKET_INFO;
/// What a timestamp takes up in a control buffer.
pub const TIMESTAMP_SPACE: usize = control::sizes::TIMESTAMP;
/// What a traffic class takes up in a control buffer.
pub const TRAFFIC_CLASS_SPACE: usize = control::sizes::NUMBER;
/// What a hop limit takes up in a control buffer.
pub const HOP_LIMIT_SPACE: usize = control::sizes::NUMBER;

/// A buffer for the control data of one received message, and what is in it.
///
/// Make one as a [`ControlBuf`], which becomes a `&mut Control` wherever one is wanted. It owns what it holds:
/// descriptors that nobody takes are closed when it is received into again, cleared or dropped.
///
/// # Platform
///
/// Descriptors for which there is no room are closed by the system, and the message says `control_truncated`. On macOS
/// it keeps them open and tells nobody: have room for as many as a peer may send (see
/// `os::unix::control::descriptors_space`).
#[repr(C, align(8))]
pub struct Control<B: AsRef<[u8]> + AsMut<[u8]> + ?Sized = [u8]> {
    /// How much of `bytes` the system has written.
    len: usize,
    bytes: B,
}

/// A [`Control`] buffer of `N` bytes, anywhere: most often on the stack.
///
/// `N` is the sum of what is expected: `ControlBuf::<{ PACKET_INFO_SPACE + TIMESTAMP_SPACE }>`. 0 is a buffer for no
/// control data at all.
pub type ControlBuf<const N: usize> = Control<[u8; N]>;

impl<const N: usize> ControlBuf<N> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { len: 0, bytes: [0; N] }
    }
}

impl<const N: usize> Default for ControlBuf<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]> + ?Sized> Control<B> {
    /// How many bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.bytes.as_ref().len()
    }

    /// Whether nothing came with the message.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empties it, and closes the descriptors that are left in it.
    pub fn clear(&mut self) {
        let len = std::mem::take(&mut self.len);
        // SAFETY: the system wrote that much (`fill`), and nobody else has what is in it.
        unsafe { control::release(&mut self.bytes.as_mut()[..len]) };
    }

    /// What came with the message, in the system's order. Descriptors can be taken out; those that are not stay.
    pub fn entries(&mut self) -> Entries<'_> {
        Entries { bytes: &mut self.bytes.as_mut()[..self.len] }
    }

    /// Where the datagram went, with all that the system says about it.
    pub fn packet_info(&self) -> Option<PacketInfo> {
        self.find_all(|entry| match entry {
            Incoming::PacketInfo(info) => Some(info),
            _ => None,
        })
        .reduce(PacketInfo::or)
    }

    /// When it arrived.
    pub fn timestamp(&self) -> Option<SystemTime> {
        self.find_all(|entry| match entry {
            Incoming::Timestamp(time) => Some(time),
            _ => None,
        })
        .next()
    }

    /// Its traffic class: the byte with DSCP and ECN.
    pub fn traffic_class(&self) -> Option<u8> {
        self.find_all(|entry| match entry {
            Incoming::TrafficClass(class) => Some(class),
            _ => None,
        })
        .next()
    }

    /// How many hops it might still have taken.
    pub fn hop_limit(&self) -> Option<u8> {
        self.find_all(|entry| match entry {
            Incoming::HopLimit(limit) => Some(limit),
            _ => None,
        })
        .next()
    }

    /// Every entry without descriptors of which `pick` makes something.
    pub(crate) fn find_all<T>(
        &self,
        pick: impl Fn(Incoming<'static>) -> Option<T>,
    ) -> impl Iterator<Item = T> {
        control::each(&self.bytes.as_ref()[..self.len]).filter_map(pick)
    }

    /// Empties it, and lets `receive` fill it anew, which says how many bytes it wrote.
    ///
    /// # Safety
    ///
    /// What `receive` wrote is what the system has for this process.
    pub(crate) unsafe fn fill<R>(
        &mut self,
        receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, R)>,
    ) -> io::Result<R> {
        self.clear();
        let bytes = self.bytes.as_mut();
        let (len, result) = receive(bytes)?;
        self.len = len.min(bytes.len());
        Ok(result)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]> + ?Sized> Drop for Control<B> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]> + ?Sized> fmt::Debug for Control<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("len", &self.len).field("capacity", &self.capacity()).finish()
    }
}

/// What came with a message, one entry after the other: see [`Control::entries`].
#[derive(Debug)]
pub struct Entries<'a> {
    /// From the beginning of an entry on; received, and not yet looked at.
    bytes: &'a mut [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Incoming<'a>;

    fn next(&mut self) -> Option<Incoming<'a>> {
        // SAFETY: from a Control, and lent to nobody else.
        unsafe { control::next(&mut self.bytes) }
    }
}

/// One piece of control data that came with a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'a> {
    /// Where the datagram went. Some systems tell in several pieces; [`Control::packet_info`] joins them. Asked for with
    /// [`ReceivePacketInfo`](super::option::ReceivePacketInfo).
    PacketInfo(PacketInfo),
    /// When it arrived, by the system's clock. Asked for with [`ReceiveTimestamp`](super::option::ReceiveTimestamp).
    Timestamp(SystemTime),
    /// Its traffic class: the byte with DSCP and [`Ecn`]. Asked for with
    /// [`ReceiveTrafficClass`](super::option::ReceiveTrafficClass).
    TrafficClass(u8),
    /// How many hops it might still have taken. Asked for with [`ReceiveHopLimit`](super::option::ReceiveHopLimit).
    HopLimit(u8),
    /// What Unix has.
    #[cfg(unix)]
    Unix(crate::os::unix::control::Incoming<'a>),
    /// What Linux has.
    #[cfg(target_os = "linux")]
    Linux(crate::os::linux::control::Incoming<'a>),
    /// Something that pike does not know, or that was cut for want of room.
    Unknown(Unknown<'a>),
}

/// Control data as the system has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unknown<'a> {
    /// The protocol it belongs to, by the system's number.
    pub level: i32,
    /// What it is, by that protocol's number.
    pub kind: i32,
    /// What it says.
    pub bytes: &'a [u8],
}

/// One piece of control data to send with a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// Whence a datagram goes.
    Source(Source),
    /// The traffic class: the byte with DSCP and [`Ecn`].
    TrafficClass(u8),
    /// How many hops it may take. Over IPv4 on Linux only, elsewhere `ErrorKind::Unsupported`: set
    /// [`Ttl`](super::option::Ttl).
    HopLimit(u8),
    /// What Unix has.
    #[cfg(unix)]
    Unix(crate::os::unix::control::Outgoing<'a>),
    /// What Linux has.
    #[cfg(target_os = "linux")]
    Linux(crate::os::linux::control::Outgoing),
    /// Nothing, which cannot be made: elsewhere there is something that borrows.
    #[cfg(not(unix))]
    #[doc(hidden)]
    Never(std::convert::Infallible, std::marker::PhantomData<&'a ()>),
}

impl Outgoing<'_> {
    /// Whether no other socket than a Unix socket carries it.
    pub(crate) fn is_for_unix_sockets(&self) -> bool {
        #[cfg(unix)]
        if let Self::Unix(_) = self {
            return true;
        }
        false
    }
}

/// Where a datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PacketInfo {
    /// The address it was sent to: of this machine, of a group, or a broadcast. An IPv6 socket says IPv4 ones as mapped, or
    /// on Windows as they are.
    pub destination: Option<IpAddr>,
    /// The machine's own address that it came in at, where the system says so apart (IPv4 on Linux and macOS).
    pub local: Option<IpAddr>,
    /// The number of the interface that it came in at.
    pub interface: Option<u32>,
}

impl PacketInfo {
    /// What an answer should come from: the own address it was sent to, by whatever interface leads back. None if that
    /// is not known.
    pub fn source(&self) -> Option<Source> {
        let address = self.local.or(self.destination.filter(|address| !address.is_multicast()))?;
        Some(Source { address, interface: 0 })
    }

    fn or(self, other: Self) -> Self {
        Self {
            destination: self.destination.or(other.destination),
            local: self.local.or(other.local),
            interface: self.interface.or(other.interface),
        }
    }
}

/// Whence a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// An address of this machine, of the family by which it goes; unspecified lets the system choose one.
    pub address: IpAddr,
    /// The number of the interface by which it goes; 0 lets the system choose one. The BSDs ignore it for IPv4.
    pub interface: u32,
}

/// What a traffic class says about congestion (RFC 3168): its two lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ecn {
    /// Not capable.
    NotCapable = 0,
    /// ECT(1).
    Capable1 = 1,
    /// ECT(0).
    Capable0 = 2,
    /// CE: some router would have dropped it.
    Congested = 3,
}

impl Ecn {
    /// What a traffic class says.
    pub const fn of(traffic_class: u8) -> Self {
        match traffic_class & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::Congested,
        }
    }
}
