//! [`futures_io`]'s.

use std::{
    io::{self, IoSlice, IoSliceMut},
    pin::Pin,
    task::{Context, Poll},
};

use futures_io::{AsyncRead, AsyncWrite};

use super::for_each_stream;
use crate::net::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, Stream, TcpStream, UnixStream, WriteHalf};

macro_rules! reads {
    ($([$($generic:tt)*] $type:ty),*) => {$(
        impl<$($generic)*> AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_read_vectored(cx, bufs)
            }
        }
    )*};
}

macro_rules! writes {
    ($([$($generic:tt)*] $type:ty),*) => {$(
        impl<$($generic)*> AsyncWrite for $type {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.socket().poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.socket().poll_write_vectored(cx, bufs)
            }

            /// Nothing: there is no buffer.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends writing: the peer reads end of file.
            fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.socket().end_writing())
            }
        }
    )*};
}

for_each_stream!(reads, writes);
