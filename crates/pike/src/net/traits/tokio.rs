//! [`tokio`]'s.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::for_each_stream;
use crate::{
    net::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, Stream, TcpStream, UnixStream, WriteHalf},
    socket::Socket,
};

/// Into the unfilled part of `buf`, which need not have been written before.
#[allow(unsafe_code)]
fn poll_read(socket: &Socket, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    // SAFETY: nothing is de-initialised: the system only writes into it.
    let unfilled = unsafe { buf.unfilled_mut() };
    let count = ready!(socket.poll_read_uninit(cx, unfilled)?);
    // SAFETY: the system has written that many bytes at its start.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Poll::Ready(Ok(()))
}

macro_rules! reads {
    ($([$($generic:tt)*] $type:ty),*) => {$(
        impl<$($generic)*> AsyncRead for $type {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                poll_read(self.socket(), cx, buf)
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

            fn is_write_vectored(&self) -> bool {
                true
            }

            /// Nothing: there is no buffer.
            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            /// Ends writing: the peer reads end of file.
            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.socket().end_writing())
            }
        }
    )*};
}

for_each_stream!(reads, writes);
