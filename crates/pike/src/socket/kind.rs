//! What a socket is, as socket(2) takes it; and the flags of its calls.

use std::ops::BitOr;

use super::Address;

/// The family of a socket's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Domain {
    /// IPv4.
    V4,
    /// IPv6, and IPv4 in mapped addresses unless [`V6Only`](super::option::V6Only) is set.
    V6,
    /// Unix sockets.
    Unix,
    /// Any other, by the system's number.
    Other(i32),
}

impl Domain {
    /// The family that an address is of.
    pub fn of(address: Address) -> Self {
        match address {
            Address::V4(_) => Self::V4,
            Address::V6(_) => Self::V6,
            Address::Unix(_) => Self::Unix,
        }
    }
}

/// How a socket carries bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// A stream without boundaries.
    Stream,
    /// Single messages, which may be lost or come in another order.
    Datagram,
    /// Messages in order.
    SeqPacket,
    /// Any other, by the system's number.
    Other(i32),
}

/// The protocol within a domain and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Any other, by the system's number.
    Other(i32),
}

/// What matters to us of all that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// A TCP socket, whose short transfers mean that the system's side is drained.
    Tcp,
    /// Datagrams of an internet domain, with no connection to make or lose.
    Datagram,
    UnixStream,
    UnixDatagram,
    UnixSeqPacket,
    Other,
}

impl Flavour {
    pub(crate) fn of(domain: Domain, kind: Type, protocol: Option<Protocol>) -> Self {
        match (domain, kind, protocol) {
            (Domain::V4 | Domain::V6, Type::Stream, None | Some(Protocol::Tcp)) => Self::Tcp,
            (Domain::V4 | Domain::V6, Type::Datagram, _) => Self::Datagram,
            (Domain::Unix, Type::Stream, _) => Self::UnixStream,
            (Domain::Unix, Type::Datagram, _) => Self::UnixDatagram,
            (Domain::Unix, Type::SeqPacket, _) => Self::UnixSeqPacket,
            _ => Self::Other,
        }
    }

    /// Whether it carries bytes without boundaries.
    #[inline]
    pub(crate) fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::UnixStream)
    }

    pub(crate) fn is_internet(self) -> bool {
        matches!(self, Self::Tcp | Self::Datagram)
    }

    #[inline]
    pub(crate) fn is_unix(self) -> bool {
        matches!(self, Self::UnixStream | Self::UnixDatagram | Self::UnixSeqPacket)
    }

    /// Whether connecting only notes whom it talks to.
    pub(crate) fn is_connectionless(self) -> bool {
        matches!(self, Self::Datagram | Self::UnixDatagram)
    }

    /// Whether each message comes with the address of its sender.
    pub(crate) fn has_senders(self) -> bool {
        matches!(self, Self::Datagram | Self::UnixDatagram | Self::UnixSeqPacket)
    }
}

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($(#[$flag_doc:meta])* $flag:ident = $bit:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(u8);

        impl $name {
            /// No flag.
            pub const NONE: Self = Self(0);
            $($(#[$flag_doc])* pub const $flag: Self = Self($bit);)*

            /// Whether all of `other` are set.
            #[inline]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}

flags! {
    /// How to receive; combine with `|`.
    RecvFlags {
        /// Leave what is received in the queue.
        PEEK = 1;
        /// Receive the urgent byte (TCP).
        OUT_OF_BAND = 2;
    }
}

impl RecvFlags {
    /// Receive from the error queue. Public where there is one: `os::linux::control::ERROR_QUEUE`.
    pub(crate) const ERROR_QUEUE: Self = Self(4);
}

flags! {
    /// How to send; combine with `|`.
    SendFlags {
        /// Send the last byte as urgent (TCP).
        OUT_OF_BAND = 1;
        /// More follows at once: do not send a partial segment yet. A hint; systems without it ignore it.
        MORE = 2;
    }
}
