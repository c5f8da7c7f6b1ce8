//! The socket options of Windows, beside those of [`socket::option`](crate::socket::option), where the rules for values are.
//!
//! ```
//! use pike::{Notifier, os::windows, socket::{Domain, Socket, Type}};
//!
//! # fn main() -> std::io::Result<()> {
//! let socket = Socket::new_on(&Notifier::new()?, Domain::V4, Type::Stream, None)?;
//! socket.set(windows::option::ExclusiveAddress, true)?;
//! let info = socket.get(windows::option::ProtocolInfo)?;
//! assert_eq!((info.domain(), info.kind()), (Domain::V4, Type::Stream));
//! # Ok(()) }
//! ```

use crate::socket::{
    Socket,
    option::{SocketOption, options, sealed},
};

options! {
    /// `SO_EXCLUSIVEADDRUSE`, before bind: nobody takes the address while this socket has it, not even with
    /// [`ReuseAddress`](crate::socket::option::ReuseAddress). `EINVAL` with that set.
    #[doc(alias = "SO_EXCLUSIVEADDRUSE")]
    ExclusiveAddress: bool;

    /// `SO_PROTOCOL_INFOW`, read-only: what the socket is, and whose.
    #[doc(alias = "SO_PROTOCOL_INFO")]
    ProtocolInfo: super::ProtocolInfo;

    /// `SO_UPDATE_CONNECT_CONTEXT`, to be set only: of a socket that ConnectEx has connected. Before that it has no
    /// addresses, and cannot be shut down. [`Socket::connect`] needs none.
    #[doc(alias = "SO_UPDATE_CONNECT_CONTEXT")]
    UpdateConnectContext: ();
}

/// `SO_UPDATE_ACCEPT_CONTEXT`, to be set only: of a socket that AcceptEx has accepted for this listener, whose options it
/// then has. [`Socket::accept`] needs none.
///
/// ```no_run
/// # fn update(listener: &pike::socket::Socket, accepted: pike::socket::Socket) -> std::io::Result<()> {
/// accepted.set(pike::os::windows::option::UpdateAcceptContext(&listener), ())?;
/// # Ok(()) }
/// ```
#[doc(alias = "SO_UPDATE_ACCEPT_CONTEXT")]
#[derive(Clone, Copy, Debug)]
pub struct UpdateAcceptContext<'a>(pub &'a Socket);

impl sealed::Sealed for UpdateAcceptContext<'_> {}

impl SocketOption for UpdateAcceptContext<'_> {
    type Value = ();
}
