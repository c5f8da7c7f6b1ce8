//! What streams have in common, whatever their addresses are.

/// Reading, writing, the peer, the two halves.
macro_rules! of_stream {
    ($address:ty) => {
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
        pub fn read<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
            self.socket.read(buf)
        }

        /// Reads into several buffers, each filled before the next. Otherwise as [`read`](Self::read).
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read).
        pub fn read_vectored<'a>(
            &'a self,
            bufs: &'a mut [std::io::IoSliceMut<'_>],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send {
            self.socket.read_vectored(bufs)
        }

        /// Reads until `buf` is full.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read); [`std::io::ErrorKind::UnexpectedEof`] if the stream ends first. What was read until
        /// then is in `buf`, and how much is not known.
        ///
        /// # Cancel safety
        ///
        /// Not safe: what was read until it is dropped is in `buf`, and how much is not known.
        pub fn read_exact<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
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
        pub fn recv_with<'a, R, F>(
            &'a self,
            f: F,
        ) -> impl std::future::Future<Output = std::io::Result<R>> + use<'a, R, F>
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
        pub fn peek<'a>(
            &'a self,
            buf: &'a mut [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
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
        pub fn write<'a>(
            &'a self,
            buf: &'a [u8],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send + use<'a> {
            self.socket.write(buf)
        }

        /// Writes from several buffers, in order, in one call. Otherwise as [`write`](Self::write).
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write).
        pub fn write_vectored<'a>(
            &'a self,
            bufs: &'a [std::io::IoSlice<'_>],
        ) -> impl std::future::Future<Output = std::io::Result<usize>> + Send {
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
        pub fn write_all<'a>(
            &'a self,
            buf: &'a [u8],
        ) -> impl std::future::Future<Output = std::io::Result<()>> + Send + use<'a> {
            self.socket.write_all(buf)
        }

        /// As [`read`](Self::read), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`read`](Self::read); [`std::io::ErrorKind::WouldBlock`] if there is nothing.
        pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.socket.try_read(buf)
        }

        /// As [`read_vectored`](Self::read_vectored), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        pub fn try_read_vectored(&self, bufs: &mut [std::io::IoSliceMut<'_>]) -> std::io::Result<usize> {
            self.socket.try_read_vectored(bufs)
        }

        /// As [`recv_with`](Self::recv_with), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read); `f` has not run then.
        pub fn try_recv_with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> std::io::Result<R> {
            self.socket.try_recv_with(f)
        }

        /// As [`peek`](Self::peek), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        pub fn try_peek(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.socket.try_peek(buf)
        }

        /// As [`write`](Self::write), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write); [`std::io::ErrorKind::WouldBlock`] if there is no room.
        pub fn try_write(&self, buf: &[u8]) -> std::io::Result<usize> {
            self.socket.try_write(buf)
        }

        /// As [`write_vectored`](Self::write_vectored), if that does not have to wait.
        ///
        /// # Errors
        ///
        /// As [`try_write`](Self::try_write).
        pub fn try_write_vectored(&self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            self.socket.try_write_vectored(bufs)
        }

        /// As [`peek`](Self::peek), for hand-written futures. One waker: the last task that polls for reading is woken.
        ///
        /// # Errors
        ///
        /// As [`peek`](Self::peek).
        pub fn poll_peek(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.socket.poll_peek(cx, buf)
        }

        /// Ends reading, writing or both. After the end of writing the peer reads end of file behind what was written.
        ///
        /// # Errors
        ///
        /// The system's: `ENOTCONN`.
        pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
            self.socket.shutdown(how)
        }

        /// The address of its peer.
        ///
        /// # Errors
        ///
        /// The system's: `ENOTCONN`.
        pub fn peer_addr(&self) -> std::io::Result<$address> {
            self.socket.peer_addr()?.try_into()
        }

        crate::net::owned::owned_reads!();
        crate::net::owned::owned_writes!();

        /// Splits it in two that borrow it.
        pub fn split(&mut self) -> (crate::net::ReadHalf<'_, Self>, crate::net::WriteHalf<'_, Self>) {
            crate::net::split::borrowed(self)
        }

        /// Splits it in two that own it together. Dropping the [`OwnedWriteHalf`](crate::net::OwnedWriteHalf) ends
        /// writing.
        pub fn into_split(self) -> (crate::net::OwnedReadHalf<Self>, crate::net::OwnedWriteHalf<Self>) {
            crate::net::split::owned(self)
        }
    };
}

/// What makes a type one that can be split.
macro_rules! is_stream {
    ($type:ty, $address:ty) => {
        impl crate::net::Stream for $type {
            type Address = $address;
        }

        impl AsRef<Self> for $type {
            fn as_ref(&self) -> &Self {
                self
            }
        }

        impl crate::net::split::sealed::Stream for $type {
            fn socket(&self) -> &crate::socket::Socket {
                &self.socket
            }
        }
    };
}

pub(super) use {is_stream, of_stream};
