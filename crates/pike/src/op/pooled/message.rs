//! A message into a buffer of the pool, by the kernel itself: it chooses the buffer once the message is there, so that who
//! waits has none.
#![allow(unsafe_code)]

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{Call, Endpoint, Receive, Received};
use crate::{
    budget,
    buf::Lease,
    handle::op::{Attempt, Work, unless_would_block},
    op::{Flight, lane::Lane},
    socket::{Address, Socket},
    source::Direction,
    sys::platform,
};

const READ: Direction = Direction::Read;

/// What is told beside a message.
pub(super) trait Sender: Sized {
    fn of(sender: impl FnOnce() -> io::Result<Address>) -> io::Result<Self>;
}

impl Sender for () {
    fn of(_: impl FnOnce() -> io::Result<Address>) -> io::Result<Self> {
        Ok(())
    }
}

impl Sender for Address {
    fn of(sender: impl FnOnce() -> io::Result<Address>) -> io::Result<Self> {
        sender()
    }
}

/// Receives once. Dropped, it leaves what still comes to the next who receives.
pub(super) struct Fetch<'a, T> {
    socket: &'a Socket,
    lane: &'a Arc<Lane>,
    call: Call<T>,
    flight: Flight<'a>,
}

/// What came of it.
pub(super) enum Fetched<'a, T> {
    Received(Received<T>),
    /// It is for system calls: somebody else receives or waits, or something has arrived already.
    Left(Receive<'a, T>),
}

impl<'a, T: Sender> Fetch<'a, T> {
    /// As a request to the kernel, if there is one for such a socket. Else the receive is given back, for system calls; and so
    /// is one that has waited for a buffer: the kernel may still have none, and says so even where there is no message.
    pub(super) fn new(receive: Receive<'a, T>) -> Result<Self, Receive<'a, T>> {
        match native(receive.at) {
            Some((socket, lane)) if receive.slot.is_none() => {
                Ok(Self { socket, lane, call: receive.call, flight: Flight::default() })
            }
            _ => Err(receive),
        }
    }

    pub(super) fn at(&self) -> Endpoint<'a> {
        Endpoint::Socket(self.socket)
    }

    /// The same by system calls.
    fn by_calls(&self) -> Receive<'a, T> {
        Receive { at: self.at(), pool: self.socket.core().pool(), slot: None, call: self.call }
    }

    fn leave(&self) -> Fetched<'a, T> {
        Fetched::Left(self.by_calls())
    }

    /// Once the kernel is done. None if it is to be asked again.
    fn finish(&self, result: i32) -> Option<io::Result<Fetched<'a, T>>> {
        // SAFETY: begun by this, and the result is here.
        let (slot, sender) =
            unsafe { self.lane.take_pooled(|envelope| (result >= 0).then(|| T::of(|| envelope.sender()))) };
        match (sender, -result) {
            (Some(sender), _) => {
                let lease = slot.map_or_else(Lease::empty, |slot| Lease::new(slot, result as usize));
                Some(sender.map(|sender| Fetched::Received(Received::Some(lease, sender))))
            }
            (None, platform::NO_BUFFERS) => Some(Ok(Fetched::Received(Received::NoBuffer))),
            // After its own shutdown of reading: what that means a system call finds out.
            (None, platform::WOULD_BLOCK) => Some(Ok(self.leave())),
            (None, platform::CANCELLED | platform::INTERRUPTED) => None,
            (None, code) => Some(Err(io::Error::from_raw_os_error(code))),
        }
    }
}

impl<'a, T: Sender> Future for Fetch<'a, T> {
    type Output = io::Result<Fetched<'a, T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Fetched<'a, T>>> {
        let this = self.get_mut();
        if this.flight.is_under_way() {
            let result = ready!(this.flight.poll(cx));
            if let Some(fetched) = this.finish(result) {
                return Poll::Ready(fetched);
            }
        }
        let registration = this.socket.handle().registration();
        let source = registration.source();
        let mut seen = source.seen().with(platform::forked());
        if seen.is_closed() {
            seen = registration.look_again()?;
        }
        if !budget::take(cx) {
            return Poll::Pending;
        }
        if source.is_waited_for(READ) {
            budget::give_back();
            return Poll::Ready(Ok(this.leave()));
        }
        // What is known or guessed to be there is taken at once.
        if seen.any(READ.bits()) {
            let received = match this.by_calls().attempt(seen) {
                Attempt::Done(received) | Attempt::Drained(received) => Some(received),
                Attempt::Failed(error) => match unless_would_block(error) {
                    Some(error) => return Poll::Ready(Err(error)),
                    None => None,
                },
                Attempt::Empty | Attempt::Partly => None,
            };
            match received {
                Some(received @ Received::Some(..)) => {
                    this.lane.looked(true);
                    return Poll::Ready(Ok(Fetched::Received(received)));
                }
                Some(Received::NoBuffer) => {} // the kernel may have some
                None => {
                    this.lane.looked(false);
                    source.clear(seen, READ.bits());
                }
            }
        }
        if !this.lane.receive_pooled(cx)? {
            budget::give_back();
            return Poll::Ready(Ok(this.leave()));
        }
        this.flight.begin(this.lane, READ);
        Poll::Pending // it has begun with this waker
    }
}

/// Of messages, on a backend that has buffers of the pool to choose from.
fn native(at: Endpoint<'_>) -> Option<(&Socket, &Arc<Lane>)> {
    match at {
        Endpoint::Socket(socket)
            if socket.flavour().has_senders()
                && socket.core().receives_many()
                && socket.core().pool().is_shared() =>
        {
            socket.native_lane().map(|lane| (socket, lane))
        }
        _ => None,
    }
}
