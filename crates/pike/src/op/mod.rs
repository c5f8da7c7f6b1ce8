//! Operations that own their buffer: what the `_owned` and `_pooled` calls return.
//!
//! Where the backend reports readiness, nothing of such an operation is in the kernel: it is the loop of every operation
//! (try, wait, try again) over a buffer inside the future, and it costs no more than with a borrowed one.
//!
//! Where the backend completes, `native` has the kernel do it: as a request (`block`) of what the socket has there (`lane`),
//! whose buffer is in the `cargo` of that, and belongs to whom its `life` says.
//!
//! `receive` and `send` have the attempts, `deadline` the limit that gives the buffer back, `pooled` the receive into a
//! buffer of the pool, `name` the address of a datagram.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

pub(crate) mod block;
mod cargo;
mod deadline;
pub(crate) mod lane;
pub(crate) mod life;
pub(crate) mod name;
mod native;
pub(crate) mod pooled;
pub(crate) mod receive;
pub(crate) mod send;

pub use self::deadline::OwnedDeadline;
pub(crate) use self::native::Flight;
use self::{lane::Lane, name::Name, native::Native};
use crate::{
    Closed, Handle,
    buf::{BufResult, IoBuf},
    handle::{
        op::{Attempt, Op, Work},
        registration::Registration,
        waiting::Special,
    },
    socket::{Flavour, RecvFlags, SendFlags, Socket},
    source::{Direction, Seen},
    sys::platform::{self, IoSafe},
    time::{Elapsed, after},
    waiter::Kind,
};

pin_project! {
    /// An operation that owns its buffer. Made by the `_owned` calls, in which its cancel safety is described.
    ///
    /// It resolves to the result and the buffer, whatever the result is. If it is dropped before that, the buffer goes
    /// with it; [`cancel`](Self::cancel), [`timeout`](Self::timeout) and [`deadline`](Self::deadline) give it back.
    ///
    /// # Panics
    ///
    /// When polled after it was ready.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Owned<'a, T, B> {
        #[pin]
        op: Op<'a, Special, Carried<'a, T, B>, T>,
    }
}

/// Why an operation is to end before it is done.
#[derive(Clone, Copy, Debug)]
enum GivenUp {
    Cancelled,
    Elapsed,
}

impl From<GivenUp> for io::Error {
    fn from(reason: GivenUp) -> Self {
        match reason {
            GivenUp::Cancelled => Closed::operation(),
            GivenUp::Elapsed => Elapsed.into(),
        }
    }
}

impl<'a, T, B> Owned<'a, T, B> {
    fn new(aim: Special, carried: Carried<'a, T, B>) -> Self {
        Self { op: Op::new(carried.at.registration(), aim, carried) }
    }

    /// Gives it up, and gets the buffer back: it resolves soon, to [`Closed`](crate::Closed) and the buffer, or, if it
    /// was done before that, to its own result.
    ///
    /// Nothing that was received is lost: of a `read_exact_owned` the buffer holds what came. A send may have sent a part, of
    /// unknown length.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Closed, Notifier, net::UdpSocket};
    /// use std::pin::pin;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// Notifier::new()?.block_on(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await?;
    ///     let mut receiving = pin!(socket.recv_owned(Vec::with_capacity(1500)));
    ///     receiving.as_mut().cancel();
    ///     let (result, buf) = receiving.await;
    ///     assert!(Closed::is(&result.unwrap_err()));
    ///     assert!(buf.capacity() >= 1500);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn cancel(self: Pin<&mut Self>) {
        self.give_up(GivenUp::Cancelled);
    }

    fn give_up(self: Pin<&mut Self>, reason: GivenUp) {
        let work = self.project().op.work();
        if work.given_up.is_none() {
            work.given_up = Some(reason);
            work.flight.cancel();
        }
    }

    /// Gives it at most `limit` from this call: then it fails with [`io::ErrorKind::TimedOut`] and no OS code, and gives
    /// the buffer back. If it was done before that, it gives its own result. What was received or sent by then is as after
    /// [`cancel`](Self::cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Notifier, net::UdpSocket};
    /// use std::{io::ErrorKind, time::Duration};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// Notifier::new()?.block_on(async {
    ///     let socket = UdpSocket::bind("127.0.0.1:0").await?;
    ///     let buf = Vec::with_capacity(1500);
    ///     let (result, buf) = socket.recv_owned(buf).timeout(Duration::from_millis(1)).await;
    ///     assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
    ///     assert!(buf.capacity() >= 1500);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn timeout(self, limit: Duration) -> OwnedDeadline<'a, T, B> {
        self.deadline(after(limit))
    }

    /// As [`timeout`](Self::timeout), with the moment given.
    pub fn deadline(self, at: Instant) -> OwnedDeadline<'a, T, B> {
        OwnedDeadline::new(self, at)
    }
}

impl<T, B> Future for Owned<'_, T, B> {
    type Output = BufResult<T, B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<T, B>> {
        let mut op = self.project().op;
        let registration = op.registration();
        let work = op.as_mut().work();
        let natively = match work.native {
            Some((lane, native)) => ready!(native.poll(work, lane, registration, cx)),
            None => None,
        };
        let ended = natively.or_else(|| Some(Err(work.given_up?.into())));
        let result = match ended {
            Some(result) => {
                op.as_mut().stop(); // it may have waited behind others: a wake would be lost with it
                result
            }
            None => ready!(op.as_mut().poll(cx)),
        };
        Poll::Ready((result, op.work().take()))
    }
}

/// What an operation works with: its buffer, how far it has come, and what one attempt does.
pub(crate) struct Carried<'a, T, B> {
    at: Endpoint<'a>,
    /// Until the operation is done, but while the kernel has it.
    buffer: Option<B>,
    /// Of an operation that takes several attempts: bytes moved so far.
    done: usize,
    how: How,
    /// Whether it was asked for nothing, and so has nothing to wait for.
    is_nothing: bool,
    /// Whether it is to end, whatever it has come to.
    given_up: Option<GivenUp>,
    attempt: fn(&mut Carried<'a, T, B>, Seen) -> Attempt<T>,
    native: Option<Natively<'a, T, B>>,
    flight: Flight<'a>,
}

/// Where the kernel does an operation, and how.
type Natively<'a, T, B> = (&'a Arc<Lane>, &'a Native<T, B>);

/// What some calls take beside the buffer.
#[derive(Debug)]
enum How {
    Plainly,
    Receiving(RecvFlags),
    Sending(SendFlags),
    To(SocketAddr),
    ToUnix(Name),
}

impl<'a, T, B> Carried<'a, T, B> {
    fn new(
        at: Endpoint<'a>,
        buffer: B,
        native: Option<Natively<'a, T, B>>,
        attempt: fn(&mut Carried<'a, T, B>, Seen) -> Attempt<T>,
    ) -> Self {
        Self {
            at,
            buffer: Some(buffer),
            done: 0,
            how: How::Plainly,
            is_nothing: false,
            given_up: None,
            attempt,
            native,
            flight: Flight::default(),
        }
    }

    fn take(&mut self) -> B {
        self.buffer.take().expect("an operation is polled after it was done")
    }

    fn send_flags(&self) -> SendFlags {
        match self.how {
            How::Sending(flags) => flags,
            _ => SendFlags::NONE,
        }
    }

    fn buffer(&mut self) -> &mut B {
        self.buffer.as_mut().expect("an operation is polled after it was done")
    }
}

impl<T, B> Work<T> for Carried<'_, T, B> {
    type Brings = T;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<T> {
        (self.attempt)(self, seen)
    }

    #[inline]
    fn complete(&mut self, brought: T) -> T {
        brought
    }

    #[inline]
    fn is_nothing(&self) -> bool {
        self.is_nothing
    }
}

impl<T, B> std::fmt::Debug for Carried<'_, T, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carried").field("done", &self.done).field("how", &self.how).finish_non_exhaustive()
    }
}

/// What an operation is done on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Endpoint<'a> {
    Socket(&'a Socket),
    /// Any other descriptor: read(2) and write(2). With what the kernel does for it, if it does.
    Other(&'a Registration, Option<&'a Arc<Lane>>),
}

impl<'a> Endpoint<'a> {
    pub(crate) fn of<T: IoSafe>(handle: &'a Handle<T>) -> Self {
        Self::Other(handle.registration(), handle.lane())
    }

    fn registration(self) -> &'a Registration {
        match self {
            Self::Socket(socket) => socket.handle().registration(),
            Self::Other(registration, ..) => registration,
        }
    }

    fn descriptor(self) -> platform::Borrowed<'a> {
        match self {
            Self::Socket(socket) => socket.descriptor().borrowed(),
            Self::Other(registration, _) => registration.descriptor(),
        }
    }

    /// What the kernel does for it by itself, if it is one for which it does.
    fn lane(self) -> Option<&'a Arc<Lane>> {
        match self {
            Self::Socket(socket) => socket.native_lane(),
            Self::Other(_, lane) => lane.filter(|lane| !lane.refuses()),
        }
    }

    /// Whether a receive into no room has nothing to do. Of datagrams it receives one, and of other descriptors the call
    /// says what it makes of it.
    fn has_nothing_to_fill(self) -> bool {
        match self {
            Self::Socket(socket) => socket.has_nothing_to_fill(),
            Self::Other(..) => true,
        }
    }

    /// What a receive into several buffers means.
    fn judge(self, seen: Seen, asked: usize, received: io::Result<platform::Received>) -> Attempt<usize> {
        match self {
            Self::Socket(socket) => socket.judge_message(seen, asked, received),
            Self::Other(..) => received.map(|received| received.count).into(),
        }
    }

    /// Whether a send names a receiver.
    fn names_others(self) -> bool {
        matches!(self, Self::Socket(socket) if socket.flavour().is_connectionless())
    }

    /// Whether what it receives comes with a sender.
    fn has_senders(self) -> bool {
        matches!(self, Self::Socket(socket) if socket.flavour().has_senders())
    }

    fn is_unix_datagram(self) -> bool {
        matches!(self, Self::Socket(socket) if socket.flavour() == Flavour::UnixDatagram)
    }

    /// Whether a call may take part of its vectors: a stream's may, a message is not cut.
    fn may_do_less(self) -> bool {
        match self {
            Self::Socket(socket) => socket.vectors_max() != usize::MAX,
            Self::Other(..) => true,
        }
    }

    fn receives<T, B>(
        self,
        buffer: B,
        is_nothing: bool,
        native: Option<&'a Native<T, B>>,
        attempt: fn(&mut Carried<'a, T, B>, Seen) -> Attempt<T>,
    ) -> Owned<'a, T, B> {
        // What is asked for nothing has nothing to ask the kernel for.
        let native = native.filter(|_| !is_nothing).and_then(|native| self.natively(native));
        Owned::new(
            plainly(Direction::Read),
            Carried { is_nothing, ..Carried::new(self, buffer, native, attempt) },
        )
    }

    fn natively<T, B>(self, native: &'a Native<T, B>) -> Option<Natively<'a, T, B>> {
        Some((self.lane()?, native))
    }
}

/// What nearly all of a direction wait for.
fn plainly(direction: Direction) -> Special {
    Special { direction, kind: Kind::plain(direction) }
}

/// The slice of `buf` behind what was sent of it.
fn rest(buf: &impl IoBuf, done: usize) -> &[u8] {
    buf.bytes().get(done..).unwrap_or_default()
}
