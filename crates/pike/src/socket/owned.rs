//! The calls that own their buffer, or take one from the pool.

use std::{future::Future, io};

use super::{Address, RecvFlags, SendFlags, Socket};
use crate::{
    buf::{IoBuf, IoBufMut, IoBufs, Lease, Owned},
    op::{Endpoint, pooled},
};

impl Socket {
    #[inline]
    pub(crate) fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Socket(self)
    }

    /// As [`read`](Self::read), into a buffer that it owns meanwhile, and always gives back.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it gives up the buffer, but nothing that was received: that goes to the next who
    /// receives. On io_uring descriptors that come to a Unix socket just then are closed, as by every receive that has no
    /// room for them.
    pub fn read_owned<B: IoBufMut>(&self, buf: B) -> Owned<'_, usize, B> {
        self.endpoint().read(buf)
    }

    /// As [`recv`](Self::recv), into a buffer that it owns meanwhile. Otherwise as [`read_owned`](Self::read_owned).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn recv_owned<B: IoBufMut>(&self, buf: B, flags: RecvFlags) -> Owned<'_, usize, B> {
        self.endpoint().recv(buf, flags)
    }

    /// As [`read_vectored`](Self::read_vectored), into buffers that it owns meanwhile. Otherwise as
    /// [`read_owned`](Self::read_owned). Up to 64 buffers cost no allocation.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_vectored_owned<V: IoBufs<Buf: IoBufMut>>(&self, bufs: V) -> Owned<'_, usize, V> {
        self.endpoint().read_vectored(bufs)
    }

    /// As [`recv_from`](Self::recv_from), into a buffer that it owns meanwhile. Otherwise as
    /// [`read_owned`](Self::read_owned).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from).
    pub fn recv_from_owned<B: IoBufMut>(&self, buf: B) -> Owned<'_, (usize, Address), B> {
        self.endpoint().recv_from(buf)
    }

    /// As [`read`](Self::read), into a buffer of the Notifier's pool, which is taken only once there is something to
    /// receive: a connection that is idle has none. On a stream an empty result is end of file.
    ///
    /// While all buffers are in use it waits until one comes back, first come, first served. How many there are and of
    /// which length is the Notifier's affair: [`Builder::buffers`](crate::Builder::buffers).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost of a stream, and no message. On io_uring a message that came before the drop may be cut to the length of
    /// the pool's buffers, whatever room the next receive has.
    ///
    /// # Platform
    ///
    /// io_uring: of TCP the kernel receives ahead, see [`TcpStream::recv_pooled`](crate::net::TcpStream::recv_pooled).
    pub fn recv_pooled(&self) -> impl Future<Output = io::Result<Lease>> + Send + '_ {
        pooled::read(self)
    }

    /// As [`recv_from`](Self::recv_from), into a buffer of the Notifier's pool. Otherwise as
    /// [`recv_pooled`](Self::recv_pooled).
    ///
    /// # Errors
    ///
    /// As [`recv_from`](Self::recv_from) and [`recv_pooled`](Self::recv_pooled).
    pub fn recv_from_pooled(&self) -> impl Future<Output = io::Result<(Lease, Address)>> + Send + '_ {
        pooled::recv_from(self.endpoint())
    }

    /// As [`write`](Self::write), from a buffer that it owns meanwhile, and always gives back.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    ///
    /// # Cancel safety
    ///
    /// Not safe: dropped before it is ready, it may have sent a part of unknown length. What is sent later comes after
    /// that.
    pub fn write_owned<B: IoBuf>(&self, buf: B) -> Owned<'_, usize, B> {
        self.endpoint().write(buf)
    }

    /// As [`send`](Self::send), from a buffer that it owns meanwhile. Otherwise as [`write_owned`](Self::write_owned).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn send_owned<B: IoBuf>(&self, buf: B, flags: SendFlags) -> Owned<'_, usize, B> {
        self.endpoint().send(buf, flags)
    }

    /// As [`write_vectored`](Self::write_vectored), from buffers that it owns meanwhile. Otherwise as
    /// [`write_owned`](Self::write_owned). Up to 64 buffers cost no allocation.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored_owned<V: IoBufs>(&self, bufs: V) -> Owned<'_, usize, V> {
        self.endpoint().write_vectored(bufs)
    }

    /// As [`send_to`](Self::send_to), from a buffer that it owns meanwhile. Otherwise as
    /// [`write_owned`](Self::write_owned).
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to), but of a Unix socket whose receiver has no room `ENOBUFS`: it does not wait for what
    /// nobody tells. Nothing was sent then.
    pub fn send_to_owned<B: IoBuf>(&self, buf: B, address: impl Into<Address>) -> Owned<'_, usize, B> {
        self.endpoint().send_to(buf, address.into())
    }
}
