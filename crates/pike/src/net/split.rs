//! The two halves of a stream.

use std::{
    error::Error,
    fmt,
    future::Future,
    io::{self, IoSlice, IoSliceMut},
    net::{Shutdown, SocketAddr},
    sync::Arc,
};

use super::TcpStream;
use crate::socket::Socket;

/// The reading half of a stream that is borrowed. Made by [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The writing half of a stream that is borrowed. Made by [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The reading half of a stream. Made by [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The writing half of a stream. Dropping it ends writing: the peer reads end of file. Made by
/// [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    shutdown_on_drop: bool,
}

pub(super) fn borrowed(stream: &mut TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    let stream = &*stream;
    (ReadHalf(stream), WriteHalf(stream))
}

pub(super) fn owned(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream, shutdown_on_drop: true })
}

macro_rules! addresses {
    () => {
        /// As [`TcpStream::socket`].
        pub fn socket(&self) -> &Socket {
            self.stream().socket()
        }

        /// As [`TcpStream::local_addr`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn local_addr(&self) -> io::Result<SocketAddr> {
            self.stream().local_addr()
        }

        /// As [`TcpStream::peer_addr`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn peer_addr(&self) -> io::Result<SocketAddr> {
            self.stream().peer_addr()
        }
    };
}

macro_rules! reads {
    ($($half:tt)*) => {
        impl $($half)* {
            /// As [`TcpStream::read`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn read<'b>(
                &'b self,
                buf: &'b mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send + 'b {
                self.stream().read(buf)
            }

            /// As [`TcpStream::read_vectored`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn read_vectored<'b>(
                &'b self,
                bufs: &'b mut [IoSliceMut<'_>],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.stream().read_vectored(bufs)
            }

            /// As [`TcpStream::read_exact`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream().read_exact(buf).await
            }

            /// As [`TcpStream::peek`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn peek<'b>(
                &'b self,
                buf: &'b mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send + 'b {
                self.stream().peek(buf)
            }

            /// As [`TcpStream::try_read`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.stream().try_read(buf)
            }

            /// As [`TcpStream::readable`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn readable(&self) -> io::Result<()> {
                self.stream().readable().await
            }

            addresses!();
        }
    };
}

macro_rules! writes {
    ($($half:tt)*) => {
        impl $($half)* {
            /// As [`TcpStream::write`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn write<'b>(&'b self, buf: &'b [u8]) -> impl Future<Output = io::Result<usize>> + Send + 'b {
                self.stream().write(buf)
            }

            /// As [`TcpStream::write_vectored`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn write_vectored<'b>(
                &'b self,
                bufs: &'b [IoSlice<'_>],
            ) -> impl Future<Output = io::Result<usize>> + Send {
                self.stream().write_vectored(bufs)
            }

            /// As [`TcpStream::write_all`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn write_all<'b>(&'b self, buf: &'b [u8]) -> impl Future<Output = io::Result<()>> + Send + 'b {
                self.stream().write_all(buf)
            }

            /// As [`TcpStream::try_write`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.stream().try_write(buf)
            }

            /// As [`TcpStream::writable`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn writable(&self) -> io::Result<()> {
                self.stream().writable().await
            }

            /// Ends writing: the peer reads end of file.
            ///
            /// # Errors
            ///
            /// As [`TcpStream::shutdown`].
            pub fn shutdown(&self) -> io::Result<()> {
                self.stream().shutdown(Shutdown::Write)
            }

            addresses!();
        }
    };
}

reads!(ReadHalf<'_>);
reads!(OwnedReadHalf);
writes!(WriteHalf<'_>);
writes!(OwnedWriteHalf);

impl ReadHalf<'_> {
    fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl WriteHalf<'_> {
    fn stream(&self) -> &TcpStream {
        self.0
    }
}

impl OwnedReadHalf {
    fn stream(&self) -> &TcpStream {
        &self.0
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], which gives both back, if they are of two streams.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        if !Arc::ptr_eq(&self.0, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        write.forget();
        match Arc::try_unwrap(self.0) {
            Ok(stream) => Ok(stream),
            Err(_) => unreachable!("a stream has two halves"),
        }
    }
}

impl OwnedWriteHalf {
    fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], which gives both back, if they are of two streams.
    pub fn reunite(self, read: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        read.reunite(self)
    }

    /// Drops it and leaves writing open.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            // It fails if the connection is gone, and then the peer knows.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

/// Two halves that are not of one stream. Gives them back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of two streams")
    }
}

impl Error for ReuniteError {}
