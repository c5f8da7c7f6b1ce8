//! Control data that Linux has, and the error queue of a socket.
//!
//! # Examples
//!
//! What became of datagrams that were sent, in the words of those who could not deliver them:
//!
//! ```
//! use pike::{Notifier, net::UdpSocket, os::linux, socket::control::{ControlBuf, Incoming}};
//! use std::io::IoSliceMut;
//!
//! # fn main() -> std::io::Result<()> {
//! Notifier::new()?.block_on(async {
//!     let socket = UdpSocket::bind("127.0.0.1:0").await?;
//!     let socket = socket.socket();
//!     socket.set(linux::option::ReceiveErrors, true)?;
//!     let nobody = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
//!     socket.send_to(b"ping", nobody).await?;
//!
//!     let (mut buf, mut control) = ([0; 64], ControlBuf::<{ linux::control::ERROR_SPACE }>::new());
//!     let mut bufs = [IoSliceMut::new(&mut buf)];
//!     let message = socket.recv_msg(&mut bufs, &mut control, linux::control::ERROR_QUEUE).await?;
//!     assert_eq!((&buf[..message.len], message.from), (&b"ping"[..], Some(nobody.into())));
//!     for entry in control.entries() {
//!         if let Incoming::Linux(linux::control::Incoming::Error(error)) = entry {
//!             println!("{}, says {:?}", error.error(), error.offender);
//!         }
//!     }
//!     Ok(())
//! })
//! # }
//! ```

use std::{
    io,
    time::{Duration, SystemTime},
};

use crate::{
    os::unix::control::Descriptors,
    socket::{Address, RecvFlags, control},
    sys::platform,
};

/// Receive from the error queue: a message that could not be delivered, or the timestamp of one that was sent, with
/// control data that says so. `from` is where it was sent to.
///
/// Waiting for it goes beside all other waiting: errors wake who waits for them, and plain receives as well, which report
/// an error once by themselves.
pub const ERROR_QUEUE: RecvFlags = RecvFlags::ERROR_QUEUE;

/// What an [`ExtendedError`] takes up in a control buffer.
pub const ERROR_SPACE: usize = platform::control::sizes::ERROR;
/// What a [`Timestamping`] takes up in a control buffer.
pub const TIMESTAMPING_SPACE: usize = platform::control::sizes::TIMESTAMPING;
/// What a segment size takes up in a control buffer.
pub const SEGMENT_SIZE_SPACE: usize = platform::control::sizes::NUMBER;

/// Control data that came with a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'a> {
    /// Several datagrams of this size, in bytes, came as one; the last may be shorter. Asked for with
    /// [`Gro`](super::option::Gro).
    SegmentSize(u16),
    /// What could not be done, in the error queue. Asked for with [`ReceiveErrors`](super::option::ReceiveErrors).
    Error(ExtendedError),
    /// When it arrived or was sent, by several clocks. Asked for with [`Timestamps`](super::option::Timestamps).
    Timestamping(Timestamping),
    /// How many datagrams were dropped since the socket was made, for want of room. Asked for with
    /// [`ReceiveDropped`](super::option::ReceiveDropped).
    Dropped(u32),
    /// Where it was sent to before it was redirected here.
    OriginalDestination(Address),
    /// The process that sent it (6.5): at most one descriptor.
    Process(Descriptors<'a>),
}

/// Control data to send with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outgoing {
    /// Send the bytes as datagrams of this size each, in bytes; the last may be shorter (4.18).
    SegmentSize(u16),
}

impl From<Outgoing> for control::Outgoing<'_> {
    fn from(outgoing: Outgoing) -> Self {
        Self::Linux(outgoing)
    }
}

/// What could not be done, and who says so (`struct sock_extended_err`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtendedError {
    /// The system's error number; 0 or `ENOMSG` where it is no error.
    pub code: i32,
    /// Where it comes from.
    pub origin: Origin,
    /// Type and code of an ICMP message.
    pub icmp: (u8, u8),
    /// Depends on the origin: of `EMSGSIZE` the largest size that passes.
    pub info: u32,
    /// Depends on the origin: of a timestamp the number of the message.
    pub data: u32,
    /// The machine that says so, if it is another.
    pub offender: Option<Address>,
}

impl ExtendedError {
    /// What could not be done, as an error.
    pub fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.code)
    }
}

/// Where an [`ExtendedError`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// This machine.
    Local,
    /// An ICMP message, of either version.
    Icmp,
    /// No error: the timestamp of a message that was sent.
    Timestamping,
    /// Another, by the system's number.
    Other(u8),
}

/// When a message arrived or was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timestamping {
    /// By the system's clock.
    pub software: Option<SystemTime>,
    /// By the network card's clock, since that clock's own beginning.
    pub hardware: Option<Duration>,
}
