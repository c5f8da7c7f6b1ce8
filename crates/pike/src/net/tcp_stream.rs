//! A TCP connection.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use super::{
    ToSocketAddrs, connect, resolve,
    shared::{conversions, from_socket, of_internet, of_socket, poll_ready},
    stream::{is_stream, of_stream},
};
use crate::{
    notifier::current,
    socket::{Socket, option},
};

/// A TCP connection.
///
/// Every operation takes `&self`: any number of tasks may read and write at once. Reads and writes are single calls of
/// the system, so two writers interleave at call boundaries.
///
/// Dropping it closes the connection without blocking: what was written is still sent.
///
/// It has the poll traits of futures-io (feature `futures-io`, on by default) and of tokio (feature `tokio`), which take
/// `&mut self`: one task at a time polls each direction. Where a trait and the type have a method of one name, `read`
/// for example, the type's is meant.
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
///     client.write_all(b"ping").await?;
///     let (server, _) = listener.accept().await?;
///     let mut buf = [0; 4];
///     server.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"ping");
///     Ok(())
/// })
/// # }
/// ```
pub struct TcpStream {
    socket: Socket,
}

impl TcpStream {
    /// Connects to the first of the addresses that answers, tried in order, on the current Notifier (see
    /// [`Notifier`](crate::Notifier)).
    ///
    /// # Errors
    ///
    /// Those of the last address, as [`Socket::connect`]; [`io::ErrorKind::InvalidInput`] if there is none; those of
    /// a failed name resolution.
    ///
    /// # Cancel safety
    ///
    /// The connection that was under way is closed.
    pub fn connect<A: ToSocketAddrs>(address: A) -> impl Future<Output = io::Result<Self>> + Send {
        let core = current::current();
        let addresses = resolve::resolve(address);
        async move {
            let core = core.map_or_else(current::current_or_background, Ok)?;
            let mut addresses = addresses.await?;
            Ok(Self { socket: connect::in_order(&core, &mut addresses).await? })
        }
    }

    /// Connects to the first of the addresses that answers, without waiting for one to fail before the next is tried
    /// ("happy eyeballs", RFC 8305).
    ///
    /// Each is tried as soon as one before it has failed, or `delay` after the start of the one before. IPv4 and IPv6
    /// take turns. The first connection wins and the others are closed. RFC 8305 asks for a `delay` of 250 ms, and of
    /// 100 ms to 2 s where the network is known; less than 10 ms counts as 10 ms. Unlike [`connect`](Self::connect), this
    /// allocates: five times for one address, which is little beside a connection.
    ///
    /// # Errors
    ///
    /// That of the attempt that failed last, when all have; otherwise as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// The connections that were under way are closed.
    ///
    /// # Source
    ///
    /// [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305), sections 4 and 5.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Notifier, net::{TcpListener, TcpStream}};
    /// use std::{net::SocketAddr, time::Duration};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// Notifier::new()?.block_on(async {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let nobody_there: SocketAddr = ([0, 0, 0, 0, 0, 0, 0, 1], 1).into();
    ///     let addresses = [nobody_there, listener.local_addr()?];
    ///     let stream = TcpStream::connect_staggered(&addresses[..], Duration::from_millis(250)).await?;
    ///     assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[doc(alias = "happy_eyeballs")]
    pub fn connect_staggered<A: ToSocketAddrs>(
        address: A,
        delay: Duration,
    ) -> impl Future<Output = io::Result<Self>> + Send {
        let core = current::current();
        let addresses = resolve::resolve(address);
        async move {
            let core = core.map_or_else(current::current_or_background, Ok)?;
            Ok(Self { socket: connect::staggered(core, addresses.await?, delay).await? })
        }
    }

    pub(super) fn from_socket(socket: Socket) -> Self {
        Self { socket }
    }

    /// Whether small segments are sent at once: see [`NoDelay`](option::NoDelay).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket.get(option::NoDelay)
    }

    /// Sets whether small segments are sent at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket.set(option::NoDelay, nodelay)
    }

    /// How long closing waits for what was not yet sent: see [`Linger`](option::Linger).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.get(option::Linger)
    }

    /// Sets how long closing waits for what was not yet sent. A drop does not wait: see [`Linger`](option::Linger).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.socket.set(option::Linger, linger)
    }

    /// Makes closing reset the connection and throw away what was not yet sent: a linger of
    /// [`Duration::ZERO`], for which nothing waits.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))
    }

    of_stream!(SocketAddr);
    of_socket!(SocketAddr);
    of_internet!();
    poll_ready!(poll_read_ready, poll_write_ready);
}

is_stream!(TcpStream, SocketAddr);
conversions!(TcpStream, std::net::TcpStream);
from_socket!(TcpStream, expect_tcp);
