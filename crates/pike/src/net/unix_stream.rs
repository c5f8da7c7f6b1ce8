//! A connection of Unix sockets.

use std::{future::Future, io, path::Path};

use crate::{
    net::{
        shared::{from_socket, of_socket, poll_ready},
        stream::{is_stream, of_stream},
    },
    notifier::current,
    socket::{Domain, Socket, Type, UnixAddress},
};

/// A connection of Unix sockets.
///
/// It has the operations and poll traits of a [`TcpStream`](crate::net::TcpStream), and all that is said there holds
/// here.
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::UnixStream};
///
/// # #[cfg(windows)]
/// # fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     one.write_all(b"ping").await?;
///     let mut buf = [0; 4];
///     other.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"ping");
///     Ok(())
/// })
/// # }
/// ```
pub struct UnixStream {
    socket: Socket,
}

impl UnixStream {
    /// Connects to the listener at `path`, on the current Notifier (see [`Notifier`](crate::Notifier)). On Linux and
    /// Android a leading NUL makes the rest an abstract name.
    ///
    /// While the listener's queue is full it waits, as [`Socket::connect`] says.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a path that no address can be made of: see
    /// [`UnixAddress::from_pathname`]. The system's: `ENOENT`; `ECONNREFUSED` if nobody listens there any more, or it
    /// is no socket; `EPROTOTYPE` if it is one of another type; `EACCES`; and those of [`Socket::new`].
    ///
    /// # Cancel safety
    ///
    /// No connection is made, or it is closed.
    pub fn connect<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<Self>> + Send {
        Self::connect_to(UnixAddress::meant_by(path))
    }

    /// Connects to the listener at an address, which may be an abstract name. Otherwise as [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(address: &UnixAddress) -> impl Future<Output = io::Result<Self>> + Send + use<> {
        Self::connect_to(Ok(*address))
    }

    fn connect_to(address: io::Result<UnixAddress>) -> impl Future<Output = io::Result<Self>> + Send + use<> {
        let core = current::current();
        async move {
            let (address, core) = (address?, core.map_or_else(current::current_or_background, Ok)?);
            let socket = Socket::new_in(core, Domain::Unix, Type::Stream, None)?;
            socket.connect(address).await?;
            Ok(Self { socket })
        }
    }

    /// Makes two streams that are connected with each other, on the current Notifier.
    ///
    /// # Errors
    ///
    /// As [`Socket::pair`].
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Domain::Unix, Type::Stream, None)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Who the process at the other end is, by the kernel's word: see
    /// [`PeerCred`](crate::os::unix::option::PeerCred).
    ///
    /// # Errors
    ///
    /// The system's.
    #[cfg(unix)]
    pub fn peer_cred(&self) -> io::Result<crate::os::unix::UCred> {
        self.socket.get(crate::os::unix::option::PeerCred)
    }

    pub(super) fn from_socket(socket: Socket) -> Self {
        Self { socket }
    }

    of_stream!(UnixAddress);
    of_socket!(UnixAddress);
    poll_ready!(poll_read_ready, poll_write_ready);
}

is_stream!(UnixStream, UnixAddress);
#[cfg(unix)]
crate::net::shared::conversions!(UnixStream, std::os::unix::net::UnixStream);
from_socket!(UnixStream, expect_unix_stream);
