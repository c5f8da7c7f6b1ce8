//! FreeBSD's socket options, beside those of [`socket::option`](crate::socket::option), where the rules for values are.
//!
//! ```
//! use pike::{Notifier, os::freebsd, socket::{Domain, Socket, Type}};
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::new_on(&Notifier::new()?, Domain::V4, Type::Stream, None)?;
//! socket.set(freebsd::option::ReusePortBalanced, true)?;
//! assert!(socket.get(freebsd::option::ReusePortBalanced)?);
//! # Ok(()) }
//! ```

use crate::socket::option::options;

options! {
    /// `SO_REUSEPORT_LB` (12.0): several sockets may have one address if all of them set it before they bind, and the system
    /// spreads connections and datagrams over them. With [`ReusePort`](crate::socket::option::ReusePort) one gets all.
    #[doc(alias = "SO_REUSEPORT_LB")]
    ReusePortBalanced: bool;
}
