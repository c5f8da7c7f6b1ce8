//! The calls of any descriptor that own their buffer, or take one from the pool.

use std::{future::Future, io};

use super::Handle;
use crate::{
    buf::{IoBuf, IoBufMut, Lease, Owned},
    op::{Endpoint, pooled},
    sys::platform::IoSafe,
};

impl<T: IoSafe> Handle<T> {
    /// Reads into a buffer that it owns meanwhile, and always gives back: a `Vec` holds what was read, and all of its
    /// capacity is room. Returns how many bytes; 0 means end of file (or no room).
    ///
    /// # Errors
    ///
    /// The system's, of read(2); [`Closed`](crate::Closed). Nothing was read then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it gives up the buffer, but nothing that was read: that goes to the next who reads.
    /// [`async_io`](Self::async_io) and [`try_io`](Self::try_io) fail with
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) as long as nobody has.
    ///
    /// # Platform
    ///
    /// io_uring: reads and writes of pipes, and of other descriptors that the kernel waits for, are requests of its own. They
    /// name a duplicate of the descriptor, which is made for the first of them and closed with the Handle.
    ///
    /// # Source
    ///
    /// read(2).
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Handle, Notifier};
    /// use std::{io::Write, net::{TcpListener, TcpStream}};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = Notifier::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let (one, mut other) = (TcpStream::connect(listener.local_addr()?)?, listener.accept()?.0);
    /// let handle = Handle::new_on(&notifier, one)?;
    /// other.write_all(b"ping")?;
    /// let (count, buf) = notifier.block_on(handle.read_owned(Vec::with_capacity(16)));
    /// assert_eq!(count?, 4);
    /// assert_eq!(buf, b"ping");
    /// # Ok(()) }
    /// ```
    pub fn read_owned<B: IoBufMut>(&self, buf: B) -> Owned<'_, usize, B> {
        Endpoint::of(self).read(buf)
    }

    /// Reads into a buffer of the Notifier's pool, which is taken only once there is something to read. An empty result
    /// is end of file. While all buffers are in use it waits until one comes back, first come, first served:
    /// [`Builder::buffers`](crate::Builder::buffers) says how many there are.
    ///
    /// # Errors
    ///
    /// As [`read_owned`](Self::read_owned); [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool. Nothing was
    /// read then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(not(unix))]
    /// # fn main() {}
    /// # #[cfg(unix)]
    /// # fn main() -> std::io::Result<()> {
    /// use pike::{Handle, Notifier};
    /// use std::{io, os::unix::net::UnixStream};
    ///
    /// let notifier = Notifier::new()?;
    /// let (one, other) = UnixStream::pair()?;
    /// let (one, other) = (Handle::new_on(&notifier, one)?, Handle::new_on(&notifier, other)?);
    /// notifier.block_on(async {
    ///     let (written, _buf) = one.write_all_owned(b"ping".to_vec()).await;
    ///     written?;
    ///     let lease = other.read_pooled().await?;
    ///     assert_eq!(&lease[..], b"ping");
    ///     io::Result::Ok(())
    /// })
    /// # }
    /// ```
    pub fn read_pooled<'a>(&'a self) -> impl Future<Output = io::Result<Lease>> + Send + use<'a, T> {
        pooled::read(Endpoint::of(self))
    }

    /// Writes from a buffer that it owns meanwhile, and always gives back. Returns how many bytes the system took,
    /// perhaps not all.
    ///
    /// # Errors
    ///
    /// The system's, of write(2); [`Closed`](crate::Closed). Nothing was written then.
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped before it is ready, it may have written a part of unknown length. What is written later comes
    /// after that.
    ///
    /// # Source
    ///
    /// write(2).
    pub fn write_owned<B: IoBuf>(&self, buf: B) -> Owned<'_, usize, B> {
        Endpoint::of(self).write(buf)
    }

    /// Writes all of a buffer that it owns meanwhile. Otherwise as [`write_owned`](Self::write_owned).
    ///
    /// # Errors
    ///
    /// As [`write_owned`](Self::write_owned), and [`io::ErrorKind::WriteZero`] if the system takes nothing; but a part of
    /// unknown length was written then.
    ///
    /// # Cancel safety
    ///
    /// Not safe, as there.
    pub fn write_all_owned<B: IoBuf>(&self, buf: B) -> Owned<'_, (), B> {
        Endpoint::of(self).write_all(buf)
    }
}
