//! Receiving into a buffer of the pool, taken only once there is something to receive.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

mod bring;
mod late;
mod message;

pub(crate) use self::late::Spares;
use self::{
    bring::Bringing,
    late::{Buffer, Late},
    message::{Fetch, Fetched, Sender},
};
use super::{Endpoint, receive::Peer};
use crate::{
    budget,
    buf::{Lease, Pool, Slot},
    handle::{
        op::{Attempt, Op, Work, poll_work},
        registration::Registration,
        waiting::{Aim, Comes, Place, Reads, Waiting},
    },
    socket::Socket,
    source::Seen,
};

pin_project! {
    /// One receive. By hand, and not as an `async fn`: a connection that is idle waits in one, and a compiler lays out side
    /// by side what is alive one after the other.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct ReadPooled<'a, P: At<'a>> {
        #[pin]
        state: State<'a, P>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<'a, P: At<'a>> {
        Receives { #[pin] receives: Receives<'a, P> },
        Fetches { at: P, fetch: Fetch<'a, ()> },
    }
}

pin_project! {
    // In this order: see `Waiting`.
    #[repr(C)]
    struct Receives<'a, P: At<'a>> {
        // Only while the pool is dry, or was. In a box, since nothing that is idle has it.
        late: Option<Late<'a>>,
        // `Comes::Brought`: at a socket with a lane, in which the kernel receives.
        #[pin]
        waiting: Waiting<P, Comes>,
    }
}

/// A type of its own where the compiler is to know that it is a socket.
pub(crate) trait At<'a>: Place + Into<Endpoint<'a>> {}

impl<'a> At<'a> for &'a Socket {}

impl<'a> At<'a> for Endpoint<'a> {}

impl<'a> From<&'a Socket> for Endpoint<'a> {
    #[inline]
    fn from(socket: &'a Socket) -> Self {
        Self::Socket(socket)
    }
}

#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<ReadPooled<'_, &Socket>>() <= 64);

impl Place for Endpoint<'_> {
    #[inline]
    fn registration(&self) -> &Registration {
        Endpoint::registration(*self)
    }
}

impl Place for &Socket {
    #[inline]
    fn registration(&self) -> &Registration {
        self.handle().registration()
    }
}

/// Receives once.
#[inline]
pub(crate) fn read<'a, P: At<'a>>(at: P) -> ReadPooled<'a, P> {
    // How, its first poll finds out.
    ReadPooled { state: State::Receives { receives: Receives::new(at, Comes::Somehow) } }
}

impl<'a, P: At<'a>> Receives<'a, P> {
    #[inline]
    fn new(at: P, comes: Comes) -> Self {
        Self { late: None, waiting: Waiting::new(at, comes) }
    }

    /// For a receive of which is not known yet how it is served: finds that out. Gives another state if it is one for that.
    #[cold]
    fn find_out(waiting: Pin<&mut Waiting<P, Comes>>) -> Option<State<'a, P>> {
        let at = waiting.place();
        if Bringing::find(at.into()).is_some() {
            return None;
        }
        waiting.set_aim(Comes::ByCalls);
        Fetch::new(Receive::new(at.into(), None)).ok().map(|fetch| State::Fetches { at, fetch })
    }
}

impl<'a, P: At<'a>> Future for ReadPooled<'a, P> {
    type Output = io::Result<Lease>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Lease>> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjected::Receives { receives } => {
                    let mut this = receives.project();
                    if this.late.is_none() {
                        let at = this.waiting.place().into();
                        let received = match Bringing::of(at) {
                            Some(bringing) => {
                                this.waiting.as_mut().set_aim(Comes::Brought);
                                ready!(bringing.poll(this.waiting.as_mut(), cx)?)
                            }
                            None if this.waiting.aim() == Comes::Somehow => {
                                if let Some(fetches) = Receives::find_out(this.waiting) {
                                    state.set(fetches);
                                }
                                continue;
                            }
                            None => {
                                ready!(poll_work(this.waiting.as_mut(), &mut Receive::new(at, None), cx)?)
                            }
                        };
                        if let Received::Some(lease, ()) = received {
                            return Poll::Ready(Ok(lease));
                        }
                    }
                    return poll_late(this.waiting, this.late, cx);
                }
                StateProjected::Fetches { at, fetch } => {
                    let mut receives = Receives::new(*at, Comes::ByCalls);
                    match ready!(Pin::new(&mut *fetch).poll(cx))? {
                        Fetched::Received(Received::Some(lease, ())) => return Poll::Ready(Ok(lease)),
                        Fetched::Received(Received::NoBuffer) => {
                            receives.late = Some(Late::new((*at).into().registration()));
                        }
                        Fetched::Left(_) => {}
                    }
                    state.set(State::Receives { receives });
                }
            }
        }
    }
}

/// Waits for a buffer, and receives into that.
#[cold]
fn poll_late<'a, P: At<'a>>(
    mut waiting: Pin<&mut Waiting<P, Comes>>,
    late: &mut Option<Late<'a>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Lease>> {
    let at: Endpoint<'a> = waiting.place().into();
    loop {
        let mut slot = Some(ready!(late.get_or_insert_with(|| Late::new(at.registration())).poll(cx))?);
        let (polled, gave_way) = budget::gave_way(|| match Bringing::of(at) {
            Some(bringing) => poll_work(waiting.as_mut(), &mut bringing.into_slot(&mut slot), cx),
            None => {
                let mut receive = Receive::new(at, slot.take());
                let polled = poll_work(waiting.as_mut(), &mut receive, cx);
                slot = receive.slot;
                polled
            }
        });
        // Another reader came first, and who waits has no buffer; unless it will go on at once.
        match (slot, late.as_mut()) {
            (Some(slot), Some(late)) if gave_way => late.keep(slot),
            _ => *late = None, // which waits at the source too
        }
        match ready!(polled)? {
            Received::Some(lease, ()) => return Poll::Ready(Ok(lease)),
            Received::NoBuffer => {} // and another is waited for
        }
    }
}

fn fill(at: Endpoint<'_>, slot: &mut Slot, seen: Seen) -> Attempt<((), usize)> {
    at.fill(seen, slot.room()).map(|count| ((), count))
}

/// Polls a receive. Who waits has no buffer: if another reader came first, the one that it waited for goes back.
#[inline]
fn poll_without_buffer<A: Aim, W: Work<R>, R>(
    mut op: Pin<&mut Op<'_, A, W, R>>,
    cx: &mut Context<'_>,
    slot: fn(&mut W) -> &mut Option<Slot>,
) -> Poll<io::Result<R>> {
    if slot(op.as_mut().work()).is_none() {
        return op.poll(cx);
    }
    let (polled, gave_way) = budget::gave_way(|| op.as_mut().poll(cx));
    if polled.is_pending() && !gave_way {
        *slot(op.work()) = None;
    }
    polled
}

/// Receives a datagram, and says who sent it.
pub(crate) async fn recv_from<A: Peer>(at: Endpoint<'_>) -> io::Result<(Lease, A)> {
    let (lease, address) = receive(at, |at, slot, seen| {
        at.fill_from(seen, slot.room()).map(|(count, address)| (address, count))
    })
    .await?;
    Ok((lease, A::of(address)?))
}

/// Receives with `call` into a buffer. While the pool has none the operation waits for one, and other readers of the
/// socket do not wait for it.
async fn receive<T: Sender>(at: Endpoint<'_>, call: Call<T>) -> io::Result<(Lease, T)> {
    let registration = at.registration();
    let pool = registration.core().pool();
    let mut slot = None;
    loop {
        let fetched = match Fetch::new(Receive { at, pool, slot, call }) {
            Ok(fetch) => fetch.await?,
            Err(receive) => Fetched::Left(receive),
        };
        let received = match fetched {
            Fetched::Received(received) => received,
            Fetched::Left(receive) => {
                let mut op = pin!(Op::new(registration, Reads, receive));
                // If another reader came first: who waits has no buffer.
                poll_fn(|cx| poll_without_buffer(op.as_mut(), cx, |work| &mut work.slot)).await?
            }
        };
        match received {
            Received::Some(lease, brought) => return Ok((lease, brought)),
            Received::NoBuffer => slot = Some(Buffer::new(registration).await?),
        }
    }
}

struct Receive<'a, T> {
    at: Endpoint<'a>,
    pool: &'a Arc<Pool>,
    /// The buffer that it waited for.
    slot: Option<Slot>,
    call: Call<T>,
}

/// A system call that receives into the buffer: what it brings beside, and how many bytes.
type Call<T> = fn(Endpoint<'_>, &mut Slot, Seen) -> Attempt<(T, usize)>;

enum Received<T> {
    Some(Lease, T),
    /// The pool is dry.
    NoBuffer,
}

impl<'a> Receive<'a, ()> {
    #[inline]
    fn new(at: Endpoint<'a>, slot: Option<Slot>) -> Self {
        Self { at, pool: at.registration().core().pool(), slot, call: fill }
    }
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
        let called = (self.call)(self.at, &mut slot, seen);
        called.map(|(brought, count)| Received::Some(Lease::new(slot, count), brought))
    }

    #[inline]
    fn complete(&mut self, brought: Received<T>) -> Received<T> {
        brought
    }
}
