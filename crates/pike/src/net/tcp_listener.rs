//! Listening for TCP connections.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    TcpStream, ToSocketAddrs, resolve,
    shared::{conversions, from_socket, of_internet, of_socket},
};
use crate::{
    notifier::{core::Core, current},
    socket::{Domain, Socket, Type, option},
    sys::platform,
};

/// Connections that the system queues for a listener made here.
const BACKLOG: u32 = 1024;

/// Takes TCP connections.
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::{TcpListener, TcpStream}};
///
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let client = TcpStream::connect(listener.local_addr()?).await?;
///     let (_server, peer) = listener.accept().await?;
///     assert_eq!(peer, client.local_addr()?);
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    /// Listens at the first of the addresses where it can, on the current Notifier (see
    /// [`Notifier`](crate::Notifier)). Port 0 lets the system choose one.
    ///
    /// Sets [`ReuseAddress`](option::ReuseAddress), so that a server can start again at once (except on Windows, where it
    /// can in any case, and this would let others take the address away), and a backlog of 1,024.
    /// For anything else make a [`Socket`] and convert it.
    ///
    /// # Errors
    ///
    /// Those of the last address, as [`Socket::bind`] and [`Socket::listen`];
    /// [`io::ErrorKind::InvalidInput`] if there is none; those of a failed name resolution.
    pub fn bind<A: ToSocketAddrs>(address: A) -> impl Future<Output = io::Result<Self>> + Send {
        let core = current::current();
        let addresses = resolve::resolve(address);
        async move {
            let core = core.map_or_else(current::current_or_background, Ok)?;
            resolve::first_that(addresses.await?, |address| Self::bind_one(core.clone(), address))
        }
    }

    fn bind_one(core: Arc<Core>, address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new_in(core, Domain::of(address.into()), Type::Stream, None)?;
        if platform::REUSE_TO_LISTEN {
            socket.set(option::ReuseAddress, true)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)?;
        Ok(Self { socket })
    }

    /// Takes the next connection, with the address of its peer. It belongs to the same Notifier. See
    /// [`Socket::accept`] about connections that fail and running out of descriptors.
    ///
    /// # Errors
    ///
    /// As [`Socket::accept`].
    ///
    /// # Cancel safety
    ///
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.socket.accept().await?;
        Ok((TcpStream::from_socket(socket), address.try_into()?))
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
    pub async fn accept_std(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let accepted = self.socket.accept_unattached().await?;
        Ok((accepted.descriptor.into_owned().into(), accepted.address?.try_into()?))
    }

    /// As [`accept`](Self::accept), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`Socket::try_accept`].
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = self.socket.try_accept()?;
        Ok((TcpStream::from_socket(socket), address.try_into()?))
    }

    /// As [`accept`](Self::accept), for hand-written futures. One waker: the last task that called it is woken. Out
    /// of descriptors or memory, it fails rather than pause.
    ///
    /// # Errors
    ///
    /// As [`try_accept`](Self::try_accept), but for `WouldBlock`.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.socket.poll_accept(cx).map(|accepted| {
            let (socket, address) = accepted?;
            Ok((TcpStream::from_socket(socket), address.try_into()?))
        })
    }

    of_socket!(SocketAddr);
    of_internet!();
}

conversions!(TcpListener, std::net::TcpListener);
from_socket!(TcpListener, expect_tcp);
