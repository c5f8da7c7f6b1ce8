//! Receiving into a buffer of the pool, taken only once there is something to receive.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use super::{
    Endpoint,
    lane::{Found, Lane},
    receive::Peer,
};
use crate::{
    budget,
    buf::{Lease, Pool, Slot},
    handle::{
        op::{Attempt, Op, Work},
        registration::Registration,
        waiting::{Aim, Brought, Reads, Special, Waiting},
    },
    socket::Socket,
    source::{Direction, Seen},
    waiter::Kind,
};

/// Receives once.
pub(crate) async fn read(at: Endpoint<'_>) -> io::Result<Lease> {
    if let Some((socket, lane)) = native(at) {
        return receive_natively(socket, lane).await;
    }
    receive(at, |at, slot, seen| match at.fill(seen, slot.room()) {
        Attempt::Done(count) => Attempt::Done(((), count)),
        Attempt::Drained(count) => Attempt::Drained(((), count)),
        Attempt::Partly => Attempt::Partly,
        Attempt::Empty => Attempt::Empty,
        Attempt::Failed(error) => Attempt::Failed(error),
    })
    .await
    .map(|(lease, ())| lease)
}

/// Of a stream on a backend that completes, with a pool to share: what the kernel does for it.
fn native(at: Endpoint<'_>) -> Option<(&Socket, &Arc<Lane>)> {
    match at {
        Endpoint::Socket(socket)
            if socket.flavour().is_stream()
                && socket.core().receives_many()
                && socket.core().pool().is_shared() =>
        {
            socket.native_lane().map(|lane| (socket, lane))
        }
        _ => None,
    }
}

/// Takes what the kernel brings, and has it bring more.
async fn receive_natively(socket: &Socket, lane: &Arc<Lane>) -> io::Result<Lease> {
    let registration = socket.handle().registration();
    let mut slot = None;
    loop {
        // In a block of its own, so that its memory serves what follows as well.
        let received = {
            let mut op = pin!(Op::new(registration, Brought, Bring { socket, lane, slot }));
            drop_when_pending(op.as_mut(), |work| work.slot = None).await?
        };
        match received {
            Received::Some(lease, ()) => return Ok(lease),
            Received::NoBuffer => slot = Some(buffer(registration, registration.core().pool()).await?),
        }
    }
}

struct Bring<'a> {
    socket: &'a Socket,
    lane: &'a Arc<Lane>,
    /// The buffer that it waited for, when the pool was dry.
    slot: Option<Slot>,
}

impl Work<Received<()>> for Bring<'_> {
    type Brings = Received<()>;

    fn attempt(&mut self, seen: Seen) -> Attempt<Received<()>> {
        match self.lane.lease() {
            Found::Delivered(Some(lease)) => return Attempt::Done(Received::Some(lease, ())),
            Found::Delivered(None) => return self.copy(seen),
            Found::Failed(error) => return Attempt::Failed(error),
            Found::Wait => return Attempt::Empty,
            Found::Free => {}
        }
        // Nobody receives: the kernel has not begun, or was stopped, or the pool was dry.
        if let Some(mut slot) = self.slot.take() {
            match self.socket.attempt_fill(seen, slot.room()) {
                Attempt::Done(count) | Attempt::Drained(count) => {
                    return Attempt::Done(Received::Some(Lease::new(slot, count), ()));
                }
                Attempt::Failed(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Attempt::Failed(error);
                }
                _ => {}
            }
        } else if self.lane.is_dry() {
            return Attempt::Done(Received::NoBuffer);
        }
        match self.lane.arm() {
            Ok(()) => Attempt::Empty,
            Err(error) => Attempt::Failed(error),
        }
    }

    fn complete(&mut self, brought: Received<()>) -> Received<()> {
        brought
    }

    /// As long as nobody receives, nothing will be reported: the kernel has to be asked first, ready or not.
    fn is_nothing(&self) -> bool {
        !self.lane.is_receiving()
    }
}

impl Bring<'_> {
    /// Of what was left by a receive into another buffer.
    #[cold]
    fn copy(&mut self, seen: Seen) -> Attempt<Received<()>> {
        let slot = match self.slot.take() {
            Some(slot) => Some(slot),
            None => match self.socket.core().pool().take() {
                Ok(slot) => slot,
                Err(error) => return Attempt::Failed(error),
            },
        };
        let Some(mut slot) = slot else { return Attempt::Done(Received::NoBuffer) };
        match self.socket.attempt_fill(seen, slot.room()) {
            Attempt::Done(count) | Attempt::Drained(count) => {
                Attempt::Done(Received::Some(Lease::new(slot, count), ()))
            }
            Attempt::Failed(error) => Attempt::Failed(error),
            Attempt::Partly | Attempt::Empty => Attempt::Empty,
        }
    }
}

/// Drives `op`; when it has to wait, `release` gives up what who waits must not have.
async fn drop_when_pending<A: Aim, W: Work<R>, R>(
    mut op: Pin<&mut Op<'_, A, W, R>>,
    release: impl Fn(&mut W),
) -> io::Result<R> {
    poll_fn(|cx| {
        let (polled, gave_way) = budget::gave_way(|| op.as_mut().poll(cx));
        if polled.is_pending() && !gave_way {
            release(op.as_mut().work());
        }
        polled
    })
    .await
}

/// Receives a datagram, and says who sent it.
pub(crate) async fn recv_from<A: Peer>(at: Endpoint<'_>) -> io::Result<(Lease, A)> {
    let (lease, address) = receive(at, |at, slot, seen| match at.fill_from(seen, slot.room()) {
        Attempt::Done((count, address)) => Attempt::Done((address, count)),
        Attempt::Drained((count, address)) => Attempt::Drained((address, count)),
        Attempt::Partly => Attempt::Partly,
        Attempt::Empty => Attempt::Empty,
        Attempt::Failed(error) => Attempt::Failed(error),
    })
    .await?;
    Ok((lease, A::of(address)?))
}

/// Receives with `call` into a buffer. While the pool has none the operation waits for one, and other readers of the
/// socket do not wait for it.
async fn receive<T>(
    at: Endpoint<'_>,
    call: fn(Endpoint<'_>, &mut Slot, Seen) -> Attempt<(T, usize)>,
) -> io::Result<(Lease, T)> {
    let registration = at.registration();
    let pool = registration.core().pool();
    let mut slot = None;
    loop {
        let received = {
            let mut op = pin!(Op::new(registration, Reads, Receive { at, pool, slot, call }));
            // If another reader came first: who waits has no buffer.
            drop_when_pending(op.as_mut(), |work| work.slot = None).await?
        };
        match received {
            Received::Some(lease, brought) => return Ok((lease, brought)),
            Received::NoBuffer => slot = Some(buffer(registration, pool).await?),
        }
    }
}

struct Receive<'a, T> {
    at: Endpoint<'a>,
    pool: &'a Arc<Pool>,
    /// The buffer that it waited for.
    slot: Option<Slot>,
    call: fn(Endpoint<'_>, &mut Slot, Seen) -> Attempt<(T, usize)>,
}

enum Received<T> {
    Some(Lease, T),
    /// The pool is dry.
    NoBuffer,
}

impl<T> Work<Received<T>> for Receive<'_, T> {
    type Brings = Received<T>;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<Received<T>> {
        let mut slot = match self.slot.take() {
            Some(slot) => slot,
            None => match self.pool.take() {
                Ok(Some(slot)) => slot,
                Ok(None) => return Attempt::Done(Received::NoBuffer),
                Err(error) => return Attempt::Failed(error),
            },
        };
        // If there is nothing, the buffer goes back at once: who waits has none.
        match (self.call)(self.at, &mut slot, seen) {
            Attempt::Done((brought, count)) => {
                Attempt::Done(Received::Some(Lease::new(slot, count), brought))
            }
            Attempt::Drained((brought, count)) => {
                Attempt::Drained(Received::Some(Lease::new(slot, count), brought))
            }
            Attempt::Partly => Attempt::Partly,
            Attempt::Empty => Attempt::Empty,
            Attempt::Failed(error) => Attempt::Failed(error),
        }
    }

    #[inline]
    fn complete(&mut self, brought: Received<T>) -> Received<T> {
        brought
    }
}

/// Waits for a buffer, and for the end of the source, which no buffer would announce.
async fn buffer(registration: &Registration, pool: &Arc<Pool>) -> io::Result<Slot> {
    let nothing = Special { direction: Direction::Read, kind: Kind::new(0, false) };
    let mut closed = pin!(Waiting::new(registration, nothing));
    let mut acquired = pin!(pool.wait());
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = closed.as_mut().poll_ready(cx, || false) {
            return Poll::Ready(Err(error));
        }
        acquired.as_mut().poll(cx)
    })
    .await
}
