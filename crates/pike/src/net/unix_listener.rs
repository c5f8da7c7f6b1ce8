//! Listening for connections of Unix sockets.

use std::{
    io,
    path::Path,
    task::{Context, Poll},
};

use super::UnixStream;
use crate::{
    net::shared::{from_socket, of_socket},
    notifier::current,
    socket::{Domain, Socket, Type, UnixAddress},
};

/// Connections that the system queues for a listener made here.
const BACKLOG: u32 = 1024;

/// Takes connections of Unix sockets.
///
/// A path stays when the listener is dropped, as with std, and is taken for another listener until it is removed: a
/// server removes it before it binds, or when it ends. An abstract name is free as soon as the listener is dropped.
///
/// # Source
///
/// unix(7)
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::{UnixListener, UnixStream}};
///
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let path = std::env::temp_dir().join(format!("listener-{}.sock", std::process::id()));
///     let listener = UnixListener::bind(&path)?;
///     let client = UnixStream::connect(&path).await?;
///     let (_server, peer) = listener.accept().await?;
///     assert!(peer.is_unnamed());
///     assert_eq!(client.peer_addr()?.as_pathname(), Some(&*path));
///     std::fs::remove_file(path)
/// })
/// # }
/// ```
pub struct UnixListener {
    socket: Socket,
}

impl UnixListener {
    /// Listens at `path`, with a backlog of 1,024, on the current Notifier (see [`Notifier`](crate::Notifier)). On Linux
    /// and Android a leading NUL makes the rest an abstract name.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a path that no address can be made of: see
    /// [`UnixAddress::from_pathname`]. The system's: `EADDRINUSE` if anything is at the path, a socket that nobody
    /// listens on included; `ENOENT`, `ENOTDIR`, `EACCES`; and those of [`Socket::new`].
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&UnixAddress::meant_by(path)?)
    }

    /// Listens at an address, which may be an abstract name. Otherwise as [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(target_os = "linux")]
    /// # fn main() -> std::io::Result<()> {
    /// use pike::net::{UnixListener, unix::SocketAddr};
    ///
    /// let address = SocketAddr::from_abstract_name(format!("example-{}", std::process::id()))?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// assert_eq!(listener.local_addr()?, address);
    /// # Ok(()) }
    /// # #[cfg(not(target_os = "linux"))] fn main() {}
    /// ```
    pub fn bind_addr(address: &UnixAddress) -> io::Result<Self> {
        let socket = Socket::new_in(current::current_or_background()?, Domain::Unix, Type::Stream, None)?;
        socket.bind(*address)?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket })
    }

    /// Takes the next connection, with the address of its peer, which mostly has none. It belongs to the same Notifier.
    /// See [`Socket::accept`] about connections that fail and running out of descriptors.
    ///
    /// # Errors
    ///
    /// As [`Socket::accept`].
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(UnixStream, UnixAddress)> {
        let (socket, address) = self.socket.accept().await?;
        Ok((UnixStream::from_socket(socket), address.try_into()?))
    }

    /// Takes the next connection without attaching it: for another thread, worker or runtime, which makes what it
    /// wants of it. It is non-blocking.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    #[cfg(unix)]
    pub async fn accept_std(&self) -> io::Result<(std::os::unix::net::UnixStream, UnixAddress)> {
        let accepted = self.socket.accept_unattached().await?;
        Ok((accepted.descriptor.into_owned().into(), accepted.address?.try_into()?))
    }

    /// As [`accept`](Self::accept), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`Socket::try_accept`].
    pub fn try_accept(&self) -> io::Result<(UnixStream, UnixAddress)> {
        let (socket, address) = self.socket.try_accept()?;
        Ok((UnixStream::from_socket(socket), address.try_into()?))
    }

    /// As [`accept`](Self::accept), for hand-written futures. One waker: the last task that called it is woken. Out
    /// of descriptors or memory, it fails rather than pause.
    ///
    /// # Errors
    ///
    /// As [`try_accept`](Self::try_accept), but for `WouldBlock`.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, UnixAddress)>> {
        self.socket.poll_accept(cx).map(|accepted| {
            let (socket, address) = accepted?;
            Ok((UnixStream::from_socket(socket), address.try_into()?))
        })
    }

    of_socket!(UnixAddress);
}

#[cfg(unix)]
crate::net::shared::conversions!(UnixListener, std::os::unix::net::UnixListener);
from_socket!(UnixListener, expect_unix_stream);
