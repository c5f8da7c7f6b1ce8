//! The socket options of Unix, beside those of [`socket::option`](crate::socket::option).

use super::UCred;
use crate::socket::option::options;

options! {
    /// Read-only, of a connected Unix socket: who the peer was when it connected, listened or made the pair.
    /// `ENOTCONN` before that; `EOPNOTSUPP`, `ENOPROTOOPT` or `EINVAL` of any other socket.
    ///
    /// Source: `SO_PEERCRED` (Linux, OpenBSD), `LOCAL_PEERCRED` (FreeBSD, DragonFly), `getpeereid` and `LOCAL_PEEREPID` (macOS),
    /// `LOCAL_PEEREID` (NetBSD).
    #[doc(alias = "SO_PEERCRED")]
    #[doc(alias = "LOCAL_PEERCRED")]
    #[doc(alias = "getpeereid")]
    PeerCred: UCred;
}
