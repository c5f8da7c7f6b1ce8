//! Receiving into a buffer of the pool, taken only once there is something to receive.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

mod late;
mod message;

pub(crate) use self::late::Spares;
use self::{
    late::{Buffer, Late},
    message::{Fetch, Fetched, Sender},
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
        op::{Attempt, Op, Work, poll_work},
        registration::Registration,
        waiting::{Aim, Comes, Place, Reads, Waiting},
    },
    socket::Socket,
    source::Seen,
    sys::platform,
};

pin_project! {
    /// One receive. By hand, and not as an `async fn`: a connection that is idle waits in one, and a compiler lays out side
    /// by side what is alive one after the other.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct ReadPooled<'a> {
        #[pin]
        state: State<'a>,
    }
}

pin_project! {
    #[project = StateProjected]
    enum State<'a> {
        Receives {
            // `Comes::Brought`: the endpoint is a socket with a lane, in which the kernel receives.
            #[pin]
            waiting: Waiting<Endpoint<'a>, Comes>,
            // Only while the pool is dry, or was. In a box, since nothing that is idle has it.
            late: Option<Late<'a>>,
        },
        Fetches { fetch: Fetch<'a, ()> },
    }
}

#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<ReadPooled<'_>>() <= 80);

impl Place for Endpoint<'_> {
    #[inline]
    fn registration(&self) -> &Registration {
        Endpoint::registration(*self)
    }
}

/// Receives once.
#[inline]
pub(crate) fn read(at: Endpoint<'_>) -> ReadPooled<'_> {
    // How, its first poll finds out.
    ReadPooled { state: State::Receives { waiting: Waiting::new(at, Comes::Somehow), late: None } }
}

fn fill(at: Endpoint<'_>, slot: &mut Slot, seen: Seen) -> Attempt<((), usize)> {
    match at.fill(seen, slot.room()) {
        Attempt::Done(count) => Attempt::Done(((), count)),
        Attempt::Drained(count) => Attempt::Drained(((), count)),
        Attempt::Partly => Attempt::Partly,
        Attempt::Empty => Attempt::Empty,
        Attempt::Failed(error) => Attempt::Failed(error),
    }
}

/// What the kernel does for it, if it brings what comes in.
#[inline]
fn bringing(at: Endpoint<'_>) -> Option<(&Socket, &Arc<Lane>)> {
    match at {
        Endpoint::Socket(socket) => {
            socket.descriptor().lane().filter(|lane| lane.brings()).map(|lane| (socket, lane))
        }
        Endpoint::Other(..) => None,
    }
}

impl<'a> State<'a> {
    /// Of one whose lane was not made yet, or does not bring: another state, if it is one for that.
    #[cold]
    fn find_out(mut waiting: Pin<&mut Waiting<Endpoint<'a>, Comes>>) -> Option<Self> {
        let at = waiting.place();
        if matches!(at, Endpoint::Socket(socket) if socket.flavour().is_stream() && socket.native_lane().is_some())
            && bringing(at).is_some()
        {
            waiting.set_aim(Comes::Brought);
            return None;
        }
        waiting.as_mut().set_aim(Comes::ByCalls);
        let pool = at.registration().core().pool();
        let fetch = Fetch::new(Receive { at, pool, slot: None, call: fill });
        fetch.ok().map(|fetch| Self::Fetches { fetch })
    }
}

impl Future for ReadPooled<'_> {
    type Output = io::Result<Lease>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Lease>> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjected::Receives { mut waiting, late } => {
                    if late.is_none() {
                        let brought = bringing(waiting.place());
                        if let Some((socket, lane)) = brought {
                            if let Some(lease) = ready!(take_brought(waiting.as_mut(), socket, lane, cx)) {
                                return Poll::Ready(Ok(lease));
                            }
                        }
                        if waiting.aim() == Comes::Somehow {
                            match brought {
                                Some(_) => waiting.as_mut().set_aim(Comes::Brought),
                                None => {
                                    if let Some(fetches) = State::find_out(waiting.as_mut()) {
                                        state.set(fetches);
                                        continue;
                                    }
                                }
                            }
                        }
                        match ready!(poll_once(waiting.as_mut(), &mut None, cx)?) {
                            Received::Some(lease, ()) => return Poll::Ready(Ok(lease)),
                            Received::NoBuffer => {}
                        }
                    }
                    return poll_late(waiting, late, cx);
                }
                StateProjected::Fetches { fetch } => {
                    let late = match ready!(Pin::new(&mut *fetch).poll(cx))? {
                        Fetched::Received(Received::Some(lease, ())) => return Poll::Ready(Ok(lease)),
                        Fetched::Received(Received::NoBuffer) => Some(Late::new(fetch.at().registration())),
                        Fetched::Left(_) => None,
                    };
                    let waiting = Waiting::new(fetch.at(), Comes::ByCalls);
                    state.set(State::Receives { waiting, late });
                }
            }
        }
    }
}

/// The short way: a buffer that the kernel has brought. What else there may be is for [`poll_once`].
#[inline(always)]
fn take_brought(
    waiting: Pin<&mut Waiting<Endpoint<'_>, Comes>>,
    socket: &Socket,
    lane: &Lane,
    cx: &mut Context<'_>,
) -> Poll<Option<Lease>> {
    let (source, bits) = (socket.handle().registration().source(), waiting.bits());
    let seen = source.seen().with(platform::forked());
    if !seen.any(bits) || seen.is_closed() {
        return Poll::Ready(None);
    }
    if !budget::take(cx) {
        return Poll::Pending;
    }
    match lane.lease_bytes() {
        Some((lease, true)) => {
            match source.clear(seen, bits) {
                true => waiting.finish_drained(),
                false => waiting.finish(),
            }
            Poll::Ready(Some(lease))
        }
        Some((lease, false)) => {
            waiting.finish();
            Poll::Ready(Some(lease))
        }
        None => {
            budget::give_back();
            Poll::Ready(None)
        }
    }
}

/// Receives into this buffer, or into one that can be had at once.
#[inline(always)]
fn poll_once(
    waiting: Pin<&mut Waiting<Endpoint<'_>, Comes>>,
    slot: &mut Option<Slot>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Received<()>>> {
    let at = waiting.place();
    match bringing(at).filter(|_| waiting.aim() == Comes::Brought) {
        Some((socket, lane)) => poll_work(waiting, &mut Bring { socket, lane, slot }, cx),
        None => {
            let pool = at.registration().core().pool();
            let mut receive = Receive { at, pool, slot: slot.take(), call: fill };
            let polled = poll_work(waiting, &mut receive, cx);
            *slot = receive.slot;
            polled
        }
    }
}

/// Waits for a buffer, and receives into that.
#[cold]
fn poll_late<'a>(
    mut waiting: Pin<&mut Waiting<Endpoint<'a>, Comes>>,
    late: &mut Option<Late<'a>>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Lease>> {
    loop {
        let registration = waiting.place().registration();
        let mut slot = Some(ready!(late.get_or_insert_with(|| Late::new(registration)).poll(cx))?);
        let (polled, gave_way) = budget::gave_way(|| poll_once(waiting.as_mut(), &mut slot, cx));
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

/// Takes what the kernel brings, and has it bring more.
struct Bring<'a, 's> {
    socket: &'a Socket,
    lane: &'a Arc<Lane>,
    /// The buffer that it waited for, when the pool was dry.
    slot: &'s mut Option<Slot>,
}

impl Work<Received<()>> for Bring<'_, '_> {
    type Brings = Received<()>;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<Received<()>> {
        match self.lane.lease() {
            Found::Delivered((Some(lease), true)) => Attempt::Drained(Received::Some(lease, ())),
            Found::Delivered((Some(lease), false)) => Attempt::Done(Received::Some(lease, ())),
            Found::Delivered((None, _)) => self.copy(seen),
            Found::Failed(error) => Attempt::Failed(error),
            Found::Wait => Attempt::Empty,
            Found::Free => self.begin(seen),
        }
    }

    #[inline]
    fn complete(&mut self, brought: Received<()>) -> Received<()> {
        brought
    }

    /// As long as nobody receives, nothing will be reported: the kernel has to be asked first, ready or not.
    #[inline]
    fn is_nothing(&self) -> bool {
        !self.lane.is_receiving()
    }
}

impl Bring<'_, '_> {
    /// Has the kernel receive.
    #[cold]
    fn begin(&mut self, seen: Seen) -> Attempt<Received<()>> {
        // Nobody receives: the kernel has not begun, or was stopped, or the pool was dry. If that is so still, a receive would end
        // at once where nothing is to be received, and this would spin: there may be a buffer that the kernel has no part in.
        let was_dry = self.slot.is_some();
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
        match self.lane.arm(was_dry) {
            Ok(()) => Attempt::Empty,
            Err(error) => Attempt::Failed(error),
        }
    }

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
