//! What belongs to the types for Unix sockets, under the names of tokio.

use super::UnixStream;
#[cfg(unix)]
pub use crate::os::unix::UCred;
pub use crate::socket::UnixAddress as SocketAddr;

/// The reading half of a Unix stream that is borrowed. Made by [`UnixStream::split`].
pub type ReadHalf<'a> = super::ReadHalf<'a, UnixStream>;

/// The writing half of a Unix stream that is borrowed. Made by [`UnixStream::split`].
pub type WriteHalf<'a> = super::WriteHalf<'a, UnixStream>;

/// The reading half of a Unix stream. Made by [`UnixStream::into_split`].
pub type OwnedReadHalf = super::OwnedReadHalf<UnixStream>;

/// The writing half of a Unix stream. Made by [`UnixStream::into_split`].
pub type OwnedWriteHalf = super::OwnedWriteHalf<UnixStream>;

/// Two halves that are not of one Unix stream. To take it apart, name [`net::ReuniteError`](super::ReuniteError).
pub type ReuniteError = super::ReuniteError<UnixStream>;
