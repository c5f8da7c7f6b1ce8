//! UDP.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use super::{ToSocketAddrs, conversions, of_socket, poll_ready, resolve};
use crate::{
    notifier::{core::Core, current},
    socket::{Address, Domain, RecvFlags, Socket, Type},
};

/// Sends and receives datagrams.
///
/// A datagram that is longer than the buffer it is received into is cut, and the rest is lost.
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::UdpSocket};
///
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let one = UdpSocket::bind("127.0.0.1:0").await?;
///     let other = UdpSocket::bind("127.0.0.1:0").await?;
///     one.send_to(b"ping", other.local_addr()?).await?;
///     let mut buf = [0; 1500];
///     let (n, from) = other.recv_from(&mut buf).await?;
///     assert_eq!((&buf[..n], from), (&b"ping"[..], one.local_addr()?));
///     Ok(())
/// })
/// # }
/// ```
pub struct UdpSocket {
    socket: Socket,
}

fn internet<T>(received: io::Result<(T, Address)>) -> io::Result<(T, SocketAddr)> {
    let (received, address) = received?;
    Ok((received, address.try_into()?))
}

impl UdpSocket {
    /// Makes a socket at the first of the addresses where it can, on the current Notifier (see
    /// [`Notifier`](crate::Notifier)). Port 0 lets the system choose one.
    ///
    /// # Errors
    ///
    /// Those of the last address, as [`Socket::bind`]; [`io::ErrorKind::InvalidInput`] if there is none; those of a
    /// failed name resolution.
    pub fn bind<A: ToSocketAddrs>(address: A) -> impl Future<Output = io::Result<Self>> + Send {
        let core = current::current();
        let addresses = resolve::resolve(address);
        async move {
            let core = core.map_or_else(current::current_or_background, Ok)?;
            resolve::first_that(addresses.await?, |address| Self::bind_one(core.clone(), address))
        }
    }

    fn bind_one(core: Arc<Core>, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new_in(core, Domain::of(address.into()), Type::Datagram, None)?;
        socket.bind(address)?;
        Ok(Self { socket })
    }

    /// Takes over a socket of std, on the current Notifier, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// As [`Handle::new`](crate::Handle::new); [`io::ErrorKind::InvalidInput`] if what it wraps is no such socket.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<Self> {
        let core = current::current_or_background()?;
        Self::try_from(Socket::from_owned(core, socket.into())?)
    }

    /// Detaches it, for std. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// None on this backend.
    pub fn into_std(self) -> io::Result<std::net::UdpSocket> {
        Ok(self.socket.into_owned().into())
    }

    /// Notes the first of the addresses that the system accepts as the one peer: [`send`](Self::send) sends there,
    /// and only what comes from there is received.
    ///
    /// # Errors
    ///
    /// Those of the last address, as [`Socket::connect`]; [`io::ErrorKind::InvalidInput`] if there is none; those of
    /// a failed name resolution.
    pub fn connect<A: ToSocketAddrs>(&self, address: A) -> impl Future<Output = io::Result<()>> + Send {
        let addresses = resolve::resolve(address);
        async move {
            let mut last = None;
            for address in addresses.await? {
                match self.socket.connect(address).await {
                    Ok(()) => return Ok(()),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(resolve::no_address))
        }
    }

    /// The address of the one peer.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()?.try_into()
    }

    /// Sends a datagram to the one peer. Returns its length.
    ///
    /// # Errors
    ///
    /// The system's: `EDESTADDRREQ` without a peer, `EMSGSIZE` if it is too long, `ECONNREFUSED` for an earlier one
    /// that nobody received; [`Closed`](crate::Closed). Nothing was sent then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has sent nothing.
    pub fn send<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.write(buf)
    }

    /// Sends a datagram to `target`. Otherwise as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `EAFNOSUPPORT` or `EINVAL` for an address of another family.
    pub fn send_to<'a>(
        &'a self,
        buf: &'a [u8],
        target: SocketAddr,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        self.socket.send_to(buf, target)
    }

    /// Receives a datagram from the one peer, or from anyone if there is none. Returns how much of it is in `buf`.
    ///
    /// # Errors
    ///
    /// The system's: `ECONNREFUSED` for a datagram that the one peer did not receive; [`Closed`](crate::Closed).
    /// Nothing was received then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn recv<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.read(buf)
    }

    /// Receives a datagram, and says who sent it. Otherwise as [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        internet(self.socket.recv_from(buf).await)
    }

    /// Receives a datagram, and lends it to `f` at once. Otherwise as [`recv`](Self::recv); see
    /// [`Socket::recv_with`].
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); `f` has not run then.
    ///
    /// # Panics
    ///
    /// If `f` does: the datagram counts as received.
    pub fn recv_with<'a, R, F>(&'a self, f: F) -> impl Future<Output = io::Result<R>> + use<'a, R, F>
    where
        F: FnOnce(&[u8]) -> R,
    {
        self.socket.recv_with(f)
    }

    /// Receives a datagram and leaves it in the queue. Otherwise as [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.peek(buf)
    }

    /// Receives a datagram and leaves it in the queue. Otherwise as [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        internet(self.socket.peek_from(buf).await)
    }

    /// Waits for a datagram, says who sent it, and leaves it in the queue. Otherwise as [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        self.socket.peek_sender().await?.try_into()
    }

    /// As [`send`](Self::send), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`io::ErrorKind::WouldBlock`] if there is no room.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_write(buf)
    }

    /// As [`send_to`](Self::send_to), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); [`io::ErrorKind::WouldBlock`] if there is no room.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(buf, target)
    }

    /// As [`recv`](Self::recv), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buf)
    }

    /// As [`recv_from`](Self::recv_from), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        internet(self.socket.try_recv_from(buf))
    }

    /// As [`peek`](Self::peek), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_peek(buf)
    }

    /// As [`peek_from`](Self::peek_from), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_recv`](Self::try_recv).
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        internet(self.socket.try_recv_from_with(buf, RecvFlags::PEEK))
    }

    /// As [`send`](Self::send), for hand-written futures. One waker: the last task that polls for sending is woken.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_write(cx, buf)
    }

    /// As [`send_to`](Self::send_to), for hand-written futures. Otherwise as [`poll_send`](Self::poll_send).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(cx, buf, target.into())
    }

    /// As [`recv`](Self::recv), for hand-written futures. One waker: the last task that polls for receiving is woken.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_read(cx, buf)
    }

    /// As [`recv_from`](Self::recv_from), for hand-written futures. Otherwise as [`poll_recv`](Self::poll_recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.socket.poll_recv_from(cx, buf, RecvFlags::NONE).map(internet)
    }

    /// As [`peek_from`](Self::peek_from), for hand-written futures. Otherwise as [`poll_recv`](Self::poll_recv).
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.socket.poll_recv_from(cx, buf, RecvFlags::PEEK).map(internet)
    }

    of_socket!();
    poll_ready!();
}

conversions!(UdpSocket, std::net::UdpSocket, expect_udp);
