//! The two halves of a stream, of either kind.

use std::{
    error::Error,
    fmt,
    future::Future,
    io::{self, IoSlice, IoSliceMut},
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    TcpStream,
    owned::{owned_reads, owned_writes},
};
use crate::{
    Interest, Ready,
    socket::{Address, Socket},
};

/// What can be split in two: [`TcpStream`] and [`UnixStream`](super::UnixStream). Sealed.
pub trait Stream: sealed::Stream {
    /// How it says where it is.
    type Address: TryFrom<Address, Error = io::Error>;
}

pub(super) mod sealed {
    pub trait Stream: Sized + std::fmt::Debug {
        fn socket(&self) -> &super::Socket;
    }
}

/// The reading half of a stream that is borrowed. Made by [`TcpStream::split`].
#[derive(Debug)]
pub struct ReadHalf<'a, S: Stream = TcpStream>(&'a S);

/// The writing half of a stream that is borrowed. Made by [`TcpStream::split`].
#[derive(Debug)]
pub struct WriteHalf<'a, S: Stream = TcpStream>(&'a S);

/// The reading half of a stream. Made by [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedReadHalf<S: Stream = TcpStream>(Arc<S>);

/// The writing half of a stream. Dropping it ends writing: the peer reads end of file. Made by
/// [`TcpStream::into_split`].
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Stream = TcpStream> {
    stream: Arc<S>,
    shutdown_on_drop: bool,
}

pub(super) fn borrowed<S: Stream>(stream: &mut S) -> (ReadHalf<'_, S>, WriteHalf<'_, S>) {
    let stream = &*stream;
    (ReadHalf(stream), WriteHalf(stream))
}

pub(super) fn owned<S: Stream>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf { stream, shutdown_on_drop: true })
}

macro_rules! addresses {
    () => {
        /// As [`TcpStream::socket`].
        pub fn socket(&self) -> &Socket {
            self.stream().socket()
        }

        /// As [`TcpStream::ready`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send + '_ {
            self.socket().handle().ready(interest)
        }

        /// As [`TcpStream::local_addr`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn local_addr(&self) -> io::Result<S::Address> {
            self.socket().local_addr()?.try_into()
        }

        /// As [`TcpStream::peer_addr`].
        ///
        /// # Errors
        ///
        /// As there.
        pub fn peer_addr(&self) -> io::Result<S::Address> {
            self.socket().peer_addr()?.try_into()
        }
    };
}

macro_rules! as_stream {
    ($($half:tt)*) => {
        /// The stream that it is a half of.
        impl<S: Stream> AsRef<S> for $($half)* {
            fn as_ref(&self) -> &S {
                self.stream()
            }
        }
    };
}

macro_rules! reads {
    ($($half:tt)*) => {
        impl<S: Stream> $($half)* {
            /// As [`TcpStream::read`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn read<'b>(
                &'b self,
                buf: &'b mut [u8],
            ) -> impl Future<Output = io::Result<usize>> + Send + 'b {
                self.socket().read(buf)
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
                self.socket().read_vectored(bufs)
            }

            /// As [`TcpStream::read_exact`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.socket().read_exact(buf).await
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
                self.socket().peek(buf)
            }

            /// As [`TcpStream::try_read`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.socket().try_read(buf)
            }

            /// As [`TcpStream::try_read_vectored`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.socket().try_read_vectored(bufs)
            }

            /// As [`TcpStream::poll_peek`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.socket().poll_peek(cx, buf)
            }

            /// As [`TcpStream::readable`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn readable(&self) -> io::Result<()> {
                self.socket().handle().readable().await
            }

            owned_reads!();
            addresses!();
        }

        as_stream!($($half)*);
    };
}

macro_rules! writes {
    ($($half:tt)*) => {
        impl<S: Stream> $($half)* {
            /// As [`TcpStream::write`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn write<'b>(&'b self, buf: &'b [u8]) -> impl Future<Output = io::Result<usize>> + Send + 'b {
                self.socket().write(buf)
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
                self.socket().write_vectored(bufs)
            }

            /// As [`TcpStream::write_all`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn write_all<'b>(&'b self, buf: &'b [u8]) -> impl Future<Output = io::Result<()>> + Send + 'b {
                self.socket().write_all(buf)
            }

            /// As [`TcpStream::try_write`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
                self.socket().try_write(buf)
            }

            /// As [`TcpStream::try_write_vectored`].
            ///
            /// # Errors
            ///
            /// As there.
            pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.socket().try_write_vectored(bufs)
            }

            /// As [`TcpStream::writable`].
            ///
            /// # Errors
            ///
            /// As there.
            pub async fn writable(&self) -> io::Result<()> {
                self.socket().handle().writable().await
            }

            /// Ends writing: the peer reads end of file.
            ///
            /// # Errors
            ///
            /// As [`TcpStream::shutdown`].
            pub fn shutdown(&self) -> io::Result<()> {
                self.socket().shutdown(Shutdown::Write)
            }

            owned_writes!();
            addresses!();
        }

        as_stream!($($half)*);
    };
}

reads!(ReadHalf<'_, S>);
reads!(OwnedReadHalf<S>);
writes!(WriteHalf<'_, S>);
writes!(OwnedWriteHalf<S>);

impl<S: Stream> ReadHalf<'_, S> {
    fn stream(&self) -> &S {
        self.0
    }
}

impl<S: Stream> WriteHalf<'_, S> {
    fn stream(&self) -> &S {
        self.0
    }
}

impl<S: Stream> OwnedReadHalf<S> {
    fn stream(&self) -> &S {
        &self.0
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], which gives both back, if they are of two streams.
    pub fn reunite(self, write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
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

impl<S: Stream> OwnedWriteHalf<S> {
    fn stream(&self) -> &S {
        &self.stream
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    ///
    /// [`ReuniteError`], which gives both back, if they are of two streams.
    pub fn reunite(self, read: OwnedReadHalf<S>) -> Result<S, ReuniteError<S>> {
        read.reunite(self)
    }

    /// Drops it and leaves writing open.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }
}

impl<S: Stream> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            // It fails if the connection is gone, and then the peer knows.
            let _ = self.socket().shutdown(Shutdown::Write);
        }
    }
}

/// Two halves that are not of one stream. Gives them back.
#[derive(Debug)]
pub struct ReuniteError<S: Stream = TcpStream>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Stream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of two streams")
    }
}

impl<S: Stream> Error for ReuniteError<S> {}
