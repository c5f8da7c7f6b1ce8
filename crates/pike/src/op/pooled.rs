//! Receiving into a buffer of the pool, taken only once there is something to receive.

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    sync::Arc,
    task::Poll,
};

use super::{Endpoint, receive::Peer};
use crate::{
    budget,
    buf::{Lease, Pool, Slot},
    handle::{
        op::{Attempt, Op, Work},
        registration::Registration,
        waiting::{Reads, Special, Waiting},
    },
    source::{Direction, Seen},
    sys::platform,
    waiter::Kind,
};

/// Receives once.
pub(crate) async fn read(at: Endpoint<'_>) -> io::Result<Lease> {
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

/// Receives a datagram, and says who sent it.
pub(crate) async fn recv_from<A: Peer>(at: Endpoint<'_>) -> io::Result<(Lease, A)> {
    let (lease, address) = receive(at, |at, slot, _| match at.refuses_recv_from() {
        Some(error) => Attempt::Failed(error),
        None => {
            let received = platform::recv_room_from(at.descriptor(), slot.room());
            received.map(|(count, address)| (address, count)).into()
        }
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
        let mut op = pin!(Op::new(registration, Reads, Receive { at, pool, slot, call }));
        let received = poll_fn(|cx| {
            let (polled, gave_way) = budget::gave_way(|| op.as_mut().poll(cx));
            if polled.is_pending() && !gave_way {
                // Another reader came first: who waits has no buffer.
                op.as_mut().work().slot = None;
            }
            polled
        });
        match received.await? {
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
