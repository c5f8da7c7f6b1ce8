//! Datagrams of Unix sockets.

use std::{
    future::Future,
    io,
    net::Shutdown,
    path::Path,
    task::{Context, Poll},
};

use crate::{
    net::{
        datagram::of_datagrams,
        shared::{conversions, from_socket, of_socket, poll_ready},
    },
    socket::{Domain, Socket, Type, UnixAddress},
};

/// Sends and receives datagrams of Unix sockets, which come in order and are not lost.
///
/// A datagram that is longer than the buffer it is received into is cut, and the rest is lost. A path stays when the
/// socket is dropped, as with std.
///
/// # Source
///
/// unix(7)
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::UnixDatagram};
///
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let path = std::env::temp_dir().join(format!("datagram-{}.sock", std::process::id()));
///     let receiver = UnixDatagram::bind(&path)?;
///     UnixDatagram::unbound()?.send_to(b"ping", &path).await?;
///     let mut buf = [0; 16];
///     let (n, from) = receiver.recv_from(&mut buf).await?;
///     assert_eq!(&buf[..n], b"ping");
///     assert!(from.is_unnamed());
///     std::fs::remove_file(path)
/// })
/// # }
/// ```
pub struct UnixDatagram {
    socket: Socket,
}

impl UnixDatagram {
    /// Makes a socket at `path`, on the current Notifier (see [`Notifier`](crate::Notifier)). On Linux and Android a
    /// leading NUL makes the rest an abstract name, here and wherever this type takes a path.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`](crate::net::UnixListener::bind).
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::bind_addr(&UnixAddress::meant_by(path)?)
    }

    /// Makes a socket at an address, which may be an abstract name. Otherwise as [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(address: &UnixAddress) -> io::Result<Self> {
        let this = Self::unbound()?;
        this.socket.bind(*address)?;
        Ok(this)
    }

    /// Makes a socket without an address, to which nobody can answer, on the current Notifier.
    ///
    /// # Errors
    ///
    /// As [`Socket::new`].
    pub fn unbound() -> io::Result<Self> {
        Ok(Self { socket: Socket::new(Domain::Unix, Type::Datagram, None)? })
    }

    /// Makes two sockets that are connected with each other, on the current Notifier.
    ///
    /// # Errors
    ///
    /// As [`Socket::pair`].
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Domain::Unix, Type::Datagram, None)?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// Notes the socket at `path` as the one peer: [`send`](Self::send) sends there, and only what comes from there is
    /// received.
    ///
    /// # Errors
    ///
    /// As [`UnixStream::connect`](crate::net::UnixStream::connect); `EPERM` if that socket has another as its one peer.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&UnixAddress::meant_by(path)?)
    }

    /// Notes the socket at an address as the one peer. Otherwise as [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(&self, address: &UnixAddress) -> io::Result<()> {
        self.socket.connect_datagrams((*address).into())
    }

    /// Sends a datagram to the socket at `path`. Otherwise as [`send`](Self::send).
    ///
    /// While the receiver's queue is full it waits, as [`Socket::send_to`] says.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and those of [`connect`](Self::connect).
    pub fn send_to<'a, P: AsRef<Path>>(
        &'a self,
        buf: &'a [u8],
        path: P,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        let target = UnixAddress::meant_by(path);
        async move { self.socket.send_to(buf, target?).await }
    }

    /// Sends a datagram to an address. Otherwise as [`send_to`](Self::send_to).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn send_to_addr<'a>(
        &'a self,
        buf: &'a [u8],
        target: &UnixAddress,
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.send_to(buf, *target)
    }

    /// As [`send_to`](Self::send_to), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); [`io::ErrorKind::WouldBlock`] if there is no room.
    pub fn try_send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.socket.try_send_to(buf, UnixAddress::meant_by(path)?)
    }

    /// As [`send_to_addr`](Self::send_to_addr), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_send_to`](Self::try_send_to).
    pub fn try_send_to_addr(&self, buf: &[u8], target: &UnixAddress) -> io::Result<usize> {
        self.socket.try_send_to(buf, *target)
    }

    /// As [`send_to`](Self::send_to), for hand-written futures. Otherwise as [`poll_send`](Self::poll_send).
    ///
    /// Where nothing would tell when the receiver has room again it fails with [`io::ErrorKind::WouldBlock`] rather than
    /// pause: see [`Socket::send_to`].
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), and as said above.
    pub fn poll_send_to<P: AsRef<Path>>(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        path: P,
    ) -> Poll<io::Result<usize>> {
        match UnixAddress::meant_by(path) {
            Ok(target) => self.socket.poll_send_to(cx, buf, target.into()),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Ends receiving, sending or both.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN` without a peer on some systems.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    of_datagrams!(UnixAddress);
    of_socket!(UnixAddress);
    poll_ready!(poll_recv_ready, poll_send_ready);
}

conversions!(UnixDatagram, std::os::unix::net::UnixDatagram);
from_socket!(UnixDatagram, expect_unix_datagram);
