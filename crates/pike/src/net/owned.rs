//! The owned and pooled calls of streams and their halves, written once.

/// Reading, of a type whose `socket()` gives out the socket below.
macro_rules! owned_reads {
    () => {
        /// Reads into a buffer that it owns meanwhile, and always gives back: a `Vec` holds what was read, and all of
        /// its capacity is room. Returns how many bytes; 0 means end of file (or no room).
        ///
        /// [`timeout`](crate::buf::Owned::timeout) bounds it without losing the buffer. The module [`buf`](crate::buf) has an
        /// example, and what may be a buffer.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read).
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is ready, it gives up the buffer, but nothing that was received: that goes to the next who
        /// reads.
        pub fn read_owned<B: crate::buf::IoBufMut>(&self, buf: B) -> crate::buf::Owned<'_, usize, B> {
            self.socket().endpoint().read(buf)
        }

        /// Reads into several buffers that it owns meanwhile, each filled before the next. Otherwise as
        /// [`read_owned`](Self::read_owned). Up to 64 buffers cost no allocation.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read).
        pub fn read_vectored_owned<V>(&self, bufs: V) -> crate::buf::Owned<'_, usize, V>
        where
            V: crate::buf::IoBufs<Buf: crate::buf::IoBufMut>,
        {
            self.socket().endpoint().read_vectored(bufs)
        }

        /// Reads until the buffer, which it owns meanwhile, has no room left; of a `Vec` that is its capacity:
        /// [`part`](crate::buf::IoBuf::part) sets another limit. Returns how many bytes that is.
        ///
        /// # Errors
        ///
        /// As [`read_exact`](Self::read_exact). If the stream ends before that, or the operation is given up
        /// ([`timeout`](crate::buf::Owned::timeout)), the buffer holds what came.
        ///
        /// # Cancel safety
        ///
        /// Not safe: what was read until it is dropped goes with the buffer.
        pub fn read_exact_owned<B: crate::buf::IoBufMut>(&self, buf: B) -> crate::buf::Owned<'_, usize, B> {
            self.socket().endpoint().read_exact(buf)
        }

        /// Reads into a buffer of the Notifier's pool, which is taken only once there is something to read: a connection
        /// that is idle has none. An empty result is end of file. What it gives may be sent as it is, by
        /// [`write_all_owned`](crate::net::TcpStream::write_all_owned).
        ///
        /// While all buffers are in use it waits until one comes back, first come, first served:
        /// [`Builder::buffers`](crate::Builder::buffers) says how many there are.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read); [`OutOfMemory`](std::io::ErrorKind::OutOfMemory) if there is no memory for the pool.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        ///
        /// # Platform
        ///
        /// io_uring, TCP: from the first call on the kernel receives ahead, into buffers of the pool, until four of them wait for
        /// a reader; then the peer is slowed down, as by a full socket. In a flood it may fill more before it hears of that, up to
        /// all that it was lent. Every form of reading takes those first.
        ///
        /// # Examples
        ///
        /// See [`buf`](crate::buf).
        pub fn recv_pooled(
            &self,
        ) -> impl std::future::Future<Output = std::io::Result<crate::buf::Lease>> + Send + '_ {
            crate::op::pooled::read(self.socket())
        }
    };
}

/// Writing, as above.
macro_rules! owned_writes {
    () => {
        /// Writes from a buffer that it owns meanwhile, and always gives back. Returns how many bytes the system took,
        /// perhaps not all.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write).
        ///
        /// # Cancel safety
        ///
        /// Not safe: dropped before it is ready, it may have written a part of unknown length. What is written later
        /// comes after that.
        pub fn write_owned<B: crate::buf::IoBuf>(&self, buf: B) -> crate::buf::Owned<'_, usize, B> {
            self.socket().endpoint().write(buf)
        }

        /// Writes from several buffers that it owns meanwhile, in order, in one call. Otherwise as
        /// [`write_owned`](Self::write_owned). Up to 64 buffers cost no allocation.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write).
        pub fn write_vectored_owned<V: crate::buf::IoBufs>(
            &self,
            bufs: V,
        ) -> crate::buf::Owned<'_, usize, V> {
            self.socket().endpoint().write_vectored(bufs)
        }

        /// Writes all of a buffer that it owns meanwhile, and always gives back: a `Vec`, the
        /// [`Lease`](crate::buf::Lease) of a pooled receive, or what else [`buf`](crate::buf) names.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write); a part of unknown length was written then.
        ///
        /// # Cancel safety
        ///
        /// Not safe, as [`write_owned`](Self::write_owned).
        pub fn write_all_owned<B: crate::buf::IoBuf>(&self, buf: B) -> crate::buf::Owned<'_, (), B> {
            self.socket().endpoint().write_all(buf)
        }
    };
}

/// Of sockets for datagrams, with addresses of a kind.
macro_rules! owned_datagrams {
    ($address:ty) => {
        /// As [`recv`](Self::recv), into a buffer that it owns meanwhile, and always gives back: a `Vec` holds the
        /// datagram, and all of its capacity is room.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is ready, it gives up the buffer, but no datagram: that goes to the next who receives.
        pub fn recv_owned<B: crate::buf::IoBufMut>(&self, buf: B) -> crate::buf::Owned<'_, usize, B> {
            self.socket.endpoint().read(buf)
        }

        /// As [`recv_owned`](Self::recv_owned), and says who sent the datagram.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn recv_from_owned<B: crate::buf::IoBufMut>(
            &self,
            buf: B,
        ) -> crate::buf::Owned<'_, (usize, $address), B> {
            self.socket.endpoint().recv_from(buf)
        }

        /// As [`recv`](Self::recv), into a buffer of the Notifier's pool, which is taken only once there is a datagram.
        /// A datagram longer than such a buffer is cut. While all buffers are in use it waits until one comes back; see
        /// [`Socket::recv_pooled`](crate::socket::Socket::recv_pooled).
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv); [`OutOfMemory`](std::io::ErrorKind::OutOfMemory) if there is no memory for the pool.
        ///
        /// # Cancel safety
        ///
        /// No datagram is lost: that goes to the next who receives. On io_uring one that came before the drop may be cut to
        /// the length of the pool's buffers, whatever room the next has.
        pub fn recv_pooled(
            &self,
        ) -> impl std::future::Future<Output = std::io::Result<crate::buf::Lease>> + Send + '_ {
            crate::op::pooled::read(&self.socket)
        }

        /// As [`recv_pooled`](Self::recv_pooled), and says who sent the datagram.
        ///
        /// # Errors
        ///
        /// As there.
        pub fn recv_from_pooled(
            &self,
        ) -> impl std::future::Future<Output = std::io::Result<(crate::buf::Lease, $address)>> + Send + '_ {
            crate::op::pooled::recv_from(self.socket.endpoint())
        }

        /// As [`send`](Self::send), from a buffer that it owns meanwhile, and always gives back.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is ready, it may have sent the datagram or not.
        pub fn send_owned<B: crate::buf::IoBuf>(&self, buf: B) -> crate::buf::Owned<'_, usize, B> {
            self.socket.endpoint().write(buf)
        }
    };
}

pub(super) use {owned_datagrams, owned_reads, owned_writes};
