//! Buffers that an operation owns: the completion face.
//!
//! A borrowed buffer (`&mut [u8]`) is filled by a system call inside one poll. Where the kernel works at any time,
//! on a ring or a completion port, the buffer must belong to the operation. So the `_owned` calls take it by value and
//! always give it back, with the result; the `_pooled` calls take one out of the Notifier's pool, only once there is
//! something to receive, and return it as a [`Lease`]. All forms of a call are on the same types, work on every backend,
//! and may be mixed: each sees what the ones before it left.
//!
//! | of | to receive | to send |
//! | --- | --- | --- |
//! | [`TcpStream`](crate::net::TcpStream), `UnixStream`, their halves | `read_owned`, `read_exact_owned`, `read_vectored_owned`, `recv_pooled` | `write_owned`, `write_all_owned`, `write_vectored_owned` |
//! | [`UdpSocket`](crate::net::UdpSocket), `UnixDatagram` | `recv_owned`, `recv_from_owned`, `recv_pooled`, `recv_from_pooled` | `send_owned`; of UDP `send_to_owned` |
//! | [`Socket`](crate::socket::Socket) | `read_owned`, `recv_owned`, `read_vectored_owned`, `recv_from_owned`, `recv_pooled`, `recv_from_pooled` | `write_owned`, `send_owned`, `write_vectored_owned`, `send_to_owned` |
//! | [`Handle`](crate::Handle) | `read_owned`, `read_pooled` | `write_owned`, `write_all_owned` |
//!
//! [`Builder::buffers`](crate::Builder::buffers) says how many buffers the pool has, and of which length.
//!
//! # What an owned buffer may be
//!
//! [`IoBuf`] to send from, [`IoBufMut`] to receive into. Both are safe to implement, although a kernel writes through
//! what they return, because of how they are used, and only because of that:
//!
//! - the buffer is moved to where it stays until the kernel has finished, and only then is asked for the slice that the kernel
//!   is given;
//! - the borrow that made the slice then lasts until the kernel has finished: no method of the buffer is called, it is
//!   not moved and not dropped, whatever becomes of the future. If the kernel cannot be waited for, it is leaked.
//!
//! A slice that is valid as long as the buffer is borrowed is all that `fn(&mut self) -> &mut [..]` can return in safe
//! code, so an implementation that returns something else at each call is odd, but harmless. Nothing is trusted that the
//! compiler does not check; so no method needs to be promised to return the same twice, and no trait has to be unsafe.
//!
//! To receive into, and to send from: `Vec<u8>`, `Box<[u8]>`, `Box<[u8; N]>`, and with the feature `bytes` `BytesMut`. Only to
//! send from: `String`, `Arc<[u8]>`, bytes and text that are `'static`, a [`Lease`], `Bytes`, and any of these in an `Arc`, for
//! the same bytes to many receivers. Nothing is allocated for a buffer that is six words or less itself, as all of these are.
//!
//! # Giving up
//!
//! A future that is dropped takes its buffer with it, also one within a [`time::timeout`](crate::time::timeout) that has passed.
//! [`Owned::timeout`], [`Owned::deadline`] and [`Owned::cancel`] end an operation and give the buffer back.
//!
//! What the kernel received for a receive that was dropped waits in the socket for whoever receives next, and in a [`Residue`] if
//! the socket is taken elsewhere (`into_std`). A send that was dropped or given up may have sent a part.
//!
//! # Which bytes
//!
//! A receive replaces what the buffer held: all of a `Vec`'s capacity is room (so one that was made by `Vec::new` has none), and
//! its length afterwards says how much there is. A `Box` keeps its length, and the result says how much of it is new. [`Part`] is
//! a buffer of which only a range takes part: to send the first few bytes, to receive no more than a few, or to receive behind
//! those that are there.
//!
//! # Examples
//!
//! ```
//! use pike::{Notifier, net::{TcpListener, TcpStream}};
//!
//! # fn main() -> std::io::Result<()> {
//! Notifier::new()?.block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let client = TcpStream::connect(listener.local_addr()?).await?;
//!     let (sent, buf) = client.write_all_owned(b"ping".to_vec()).await;
//!     sent?;
//!
//!     let (server, _) = listener.accept().await?;
//!     let lease = server.recv_pooled().await?;
//!     assert_eq!(&lease[..], b"ping");
//!     let (sent, _lease) = server.write_all_owned(lease).await;
//!     sent?;
//!
//!     let (received, buf) = client.read_owned(buf).await;
//!     assert_eq!(received?, 4);
//!     assert_eq!(buf, b"ping");
//!     Ok(())
//! })
//! # }
//! ```

pub(crate) mod free;
mod impls;
mod io_buf;
mod lease;
mod part;
pub(crate) mod pool;
mod residue;
mod slot;
mod vectored;

pub use self::{
    io_buf::{IoBuf, IoBufMut},
    lease::Lease,
    part::Part,
    residue::Residue,
    vectored::IoBufs,
};
pub(crate) use self::{
    pool::{Acquire, Pool, Size},
    slot::Slot,
    vectored::filled,
};
pub use crate::op::{Owned, OwnedDeadline};

/// What an operation that owns its buffer gives: its result, and the buffer, always.
pub type BufResult<T, B> = (std::io::Result<T>, B);
