//! UDP.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    ToSocketAddrs,
    datagram::of_datagrams,
    resolve,
    shared::{conversions, from_socket, of_internet, of_socket, poll_ready},
};
use crate::{
    buf::{IoBuf, Owned},
    notifier::{core::Core, current},
    socket::{Domain, Socket, Type},
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

    /// As [`send_to`](Self::send_to), from a buffer that it owns meanwhile. Otherwise as
    /// [`send_owned`](Self::send_owned).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn send_to_owned<B: IoBuf>(&self, buf: B, target: SocketAddr) -> Owned<'_, usize, B> {
        self.socket.endpoint().send_to(buf, target.into())
    }

    /// As [`send_to`](Self::send_to), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to); [`io::ErrorKind::WouldBlock`] if there is no room.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(buf, target)
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

    of_datagrams!(SocketAddr);
    of_socket!(SocketAddr);
    of_internet!();
    poll_ready!(poll_recv_ready, poll_send_ready);
}

conversions!(UdpSocket, std::net::UdpSocket);
from_socket!(UdpSocket, expect_udp);
