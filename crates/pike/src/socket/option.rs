//! Socket options, one type each: `socket.get(option::NoDelay)?`, `socket.set(option::NoDelay, true)?`.
//!
//! An option that can only be read has no [`Set`], so setting it does not compile:
//!
//! ```compile_fail
//! fn clear(socket: &pike::socket::Socket) -> std::io::Result<()> {
//!     socket.set(pike::socket::option::Error, None)
//! }
//! ```

use std::io;

use super::Socket;

/// An option that can be read. Sealed: the types of this module.
pub trait Get: sealed::Sealed {
    /// What it holds.
    type Value;

    #[doc(hidden)]
    fn get(self, socket: &Socket) -> io::Result<Self::Value>;
}

/// An option that can be set. Sealed: the types of this module.
pub trait Set: Get {
    #[doc(hidden)]
    fn set(self, socket: &Socket, value: Self::Value) -> io::Result<()>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl sealed::Sealed for $name {}
    )*};
}

options! {
    /// `SO_REUSEADDR`, a `bool`: bind although connections of an earlier listener linger on the address.
    ReuseAddress,
    /// `SO_KEEPALIVE`, a `bool`: probe an idle peer.
    KeepAlive,
    /// `SO_RCVBUF`, a `usize` in bytes. Linux gives twice what was set, within `net.core.rmem_max`.
    ReceiveBufferSize,
    /// `SO_SNDBUF`, a `usize` in bytes. Linux gives twice what was set, within `net.core.wmem_max`.
    SendBufferSize,
    /// `SO_LINGER`, an `Option<Duration>` in whole seconds, rounded up: how long closing waits for what was not yet
    /// sent. `Some(ZERO)` resets the connection. A socket that lingers is closed by a helper thread, so that dropping
    /// it does not block.
    Linger,
    /// `TCP_NODELAY`, a `bool`: send small segments at once.
    NoDelay,
    /// `IP_TTL`, or `IPV6_UNICAST_HOPS` of an IPv6 socket, a `u32` from 1 to 255: how many hops a packet may take.
    Ttl,
    /// `IPV6_V6ONLY`, a `bool`: an IPv6 socket takes no IPv4 traffic. Before bind only.
    V6Only,
    /// `SO_ERROR`, an `Option<io::Error>`, read-only: what went wrong since it was last read, which clears it.
    Error,
}
