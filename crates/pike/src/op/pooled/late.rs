//! A receive that the pool has no buffer for.
//!
//! It waits in a box, since nothing that is idle needs the room. The boxes are used again, so that a pool which is dry for long
//! costs no allocations.

use std::{
    future::Future,
    io,
    mem::{ManuallyDrop, MaybeUninit},
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use crate::{
    buf::{Acquire, Slot},
    handle::{
        registration::Registration,
        waiting::{Special, Waiting},
    },
    source::Direction,
    sync::Mutex,
    waiter::Kind,
};

/// So many boxes are kept; what is more is freed.
const SPARES_MAX: usize = 64;

/// Boxes that nobody has any more, of one Notifier.
#[allow(clippy::vec_box, reason = "the boxes are what is kept")]
pub(crate) struct Spares(Mutex<Vec<Box<MaybeUninit<Inner<'static>>>>>);

impl Spares {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

pub(super) struct Late<'a>(ManuallyDrop<Pin<Box<Inner<'a>>>>);

pin_project! {
    struct Inner<'a> {
        registration: &'a Registration,
        // None once there is one.
        #[pin]
        buffer: Option<Buffer<'a>>,
        // It gave way before it could use it.
        slot: Option<Slot>,
    }
}

#[allow(unsafe_code)]
impl<'a> Late<'a> {
    pub(super) fn new(registration: &'a Registration) -> Self {
        let core = registration.core();
        let spare = if core.is_forked() { None } else { core.spare_lates().0.lock().pop() };
        let at = Box::into_raw(spare.unwrap_or_else(|| Box::new(MaybeUninit::uninit()))).cast::<Inner<'a>>();
        // SAFETY: room for one, of this box; what a type is named after makes no difference to its layout.
        unsafe { at.write(Inner { registration, buffer: Some(Buffer::new(registration)), slot: None }) };
        // SAFETY: from a box, and there now.
        Self(ManuallyDrop::new(Box::into_pin(unsafe { Box::from_raw(at) })))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Slot>> {
        let mut this = self.0.as_mut().project();
        if let Some(buffer) = this.buffer.as_mut().as_pin_mut() {
            let waited = ready!(buffer.poll(cx));
            this.buffer.set(None); // however that ended: no buffer is promised to this from here on
            *this.slot = Some(waited?);
        }
        Poll::Ready(Ok(this.slot.take().expect("it was taken, and not kept")))
    }

    /// For the next poll.
    pub(super) fn keep(&mut self, slot: Slot) {
        *self.0.as_mut().project().slot = Some(slot);
    }
}

#[allow(unsafe_code)]
impl Drop for Late<'_> {
    fn drop(&mut self) {
        let core = self.0.registration.core();
        // SAFETY: taken once, here.
        let inner = unsafe { ManuallyDrop::take(&mut self.0) };
        // SAFETY: it is not moved, but dropped where it is.
        let at = Box::into_raw(unsafe { Pin::into_inner_unchecked(inner) });
        // SAFETY: there, and looked at no more.
        unsafe { at.drop_in_place() };
        // SAFETY: from a box, in which nothing is.
        let spare = unsafe { Box::from_raw(at.cast::<MaybeUninit<Inner<'static>>>()) };
        if core.is_forked() {
            return; // the lock may be held for ever (I14)
        }
        let mut spares = core.spare_lates().0.lock();
        if spares.len() < SPARES_MAX {
            spares.push(spare);
        }
    }
}

pin_project! {
    /// Waits for a buffer, and for the end of the source, which no buffer would announce.
    pub(super) struct Buffer<'a> {
        #[pin]
        closed: Waiting<&'a Registration, Special>,
        #[pin]
        acquired: Acquire<'a>,
    }
}

impl<'a> Buffer<'a> {
    pub(super) fn new(registration: &'a Registration) -> Self {
        let nothing = Special { direction: Direction::Read, kind: Kind::new(0, false) };
        let closed = Waiting::new(registration, nothing);
        Self { closed, acquired: registration.core().pool().wait() }
    }
}

impl Future for Buffer<'_> {
    type Output = io::Result<Slot>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Slot>> {
        let mut this = self.project();
        if let Poll::Ready(Err(error)) = this.closed.as_mut().poll_ready(cx, || false) {
            return Poll::Ready(Err(error));
        }
        let waited = this.acquired.is_waiting();
        let polled = this.acquired.as_mut().poll(cx);
        if !waited && this.acquired.is_waiting() {
            this.closed.place().core().take_back_buffer();
        }
        polled
    }
}
