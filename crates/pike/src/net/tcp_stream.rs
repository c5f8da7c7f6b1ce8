//! A TCP connection.

use std::{
    future::Future,
    io::{self, IoSlice, IoSliceMut},
    net::{Shutdown, SocketAddr},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    OwnedReadHalf, OwnedWriteHalf, ReadHalf, ToSocketAddrs, WriteHalf, connect, conversions, of_socket,
    poll_ready, resolve, split,
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
            Ok(Self { socket: connect::in_order(core, addresses.await?).await? })
        }
    }

    /// Connects to the first of the addresses that answers, without waiting for one to fail before the next is tried
    /// ("happy eyeballs", RFC 8305).
    ///
    /// Each is tried as soon as one before it has failed, or `delay` after the start of the one before. IPv4 and IPv6
    /// take turns. The first connection wins and the others are closed. RFC 8305 asks for a `delay` of 250 ms, and of
    /// 100 ms to 2 s where the network is known; less than 10 ms counts as 10 ms.
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

    /// Takes over a stream of std, on the current Notifier, and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// As [`Handle::new`](crate::Handle::new); [`io::ErrorKind::InvalidInput`] if what it wraps is no such socket.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<Self> {
        let core = current::current_or_background()?;
        Self::try_from(Socket::from_owned(core, stream.into())?)
    }

    /// Detaches it, for std. It stays non-blocking.
    ///
    /// # Errors
    ///
    /// None on this backend.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.socket.into_owned().into())
    }

    /// Reads into `buf`. Returns how many bytes; 0 means end of file (or an empty `buf`).
    ///
    /// # Errors
    ///
    /// The system's (`ECONNRESET`, ...); [`Closed`](crate::Closed). Nothing was read then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    #[inline]
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.read(buf)
    }

    /// Reads into several buffers, each filled before the next. Otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_vectored<'a>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send {
        self.socket.read_vectored(bufs)
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`io::ErrorKind::UnexpectedEof`] if the stream ends first. What was read until then is
    /// in `buf`, and how much is not known.
    ///
    /// # Cancel safety
    ///
    /// Not safe: what was read until it is dropped is in `buf`, and how much is not known.
    pub fn read_exact<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.read_exact(buf)
    }

    /// Reads, and lends the bytes to `f` at once: a reader that is done with them there needs no buffer.
    ///
    /// `f` runs once, inside the poll that read. An empty slice is end of file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); `f` has not run then.
    ///
    /// # Panics
    ///
    /// If `f` does: the bytes count as read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    #[inline]
    pub fn recv_with<'a, R, F>(&'a self, f: F) -> impl Future<Output = io::Result<R>> + use<'a, R, F>
    where
        F: FnOnce(&[u8]) -> R,
    {
        self.socket.recv_with(f)
    }

    /// Reads into `buf` and leaves everything in the queue. Otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.peek(buf)
    }

    /// Writes from `buf`. Returns how many bytes the system took, perhaps not all.
    ///
    /// # Errors
    ///
    /// The system's (`EPIPE`, `ECONNRESET`, ...); [`Closed`](crate::Closed). Nothing was written then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has written nothing.
    #[inline]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.socket.write(buf)
    }

    /// Writes from several buffers, in order, in one call. Otherwise as [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored<'a>(
        &'a self,
        bufs: &'a [IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send {
        self.socket.write_vectored(bufs)
    }

    /// Writes all of `buf`.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); a part of unknown length was written then.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped before it is ready, it has written a part of unknown length.
    #[inline]
    pub fn write_all<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<()>> + Send + use<'a> {
        self.socket.write_all(buf)
    }

    /// As [`read`](Self::read), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_read(buf)
    }

    /// As [`read_vectored`](Self::read_vectored), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.socket.try_read_vectored(bufs)
    }

    /// As [`recv_with`](Self::recv_with), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read); `f` has not run then.
    pub fn try_recv_with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.socket.try_recv_with(f)
    }

    /// As [`peek`](Self::peek), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.socket.try_peek(buf)
    }

    /// As [`write`](Self::write), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`io::ErrorKind::WouldBlock`] if there is no room.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.socket.try_write(buf)
    }

    /// As [`write_vectored`](Self::write_vectored), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(bufs)
    }

    /// As [`peek`](Self::peek), for hand-written futures. One waker: the last task that polls for reading is woken.
    ///
    /// # Errors
    ///
    /// As [`peek`](Self::peek).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.socket.poll_peek(cx, buf)
    }

    /// Ends reading, writing or both. After the end of writing the peer reads end of file behind what was written.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }

    /// The address of its peer.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.socket.peer_addr()?.try_into()
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

    /// Sets how long closing waits for what was not yet sent: a helper thread waits, not the one that drops it.
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

    /// Splits it in two that borrow it.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        split::borrowed(self)
    }

    /// Splits it in two that own it together. Dropping the [`OwnedWriteHalf`] ends writing.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split::owned(self)
    }

    of_socket!();
    poll_ready!();
}

conversions!(TcpStream, std::net::TcpStream, expect_tcp);
