//! Sends and connects: one in flight, and who comes later waits.

use std::{mem, net::Shutdown, ptr, sync::Arc, task::Context};

use super::{
    Block, Carries, Lane, NO_RESULT, Request, State, Unsent, going_on,
    half::{Half, Pieces},
};
use crate::{
    batch::Batch, op::life::Completed, socket::Address, source::Direction, sync::atomic::Ordering,
    sys::platform,
};

/// What became of a connect that was to begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Connect {
    Begun,
    /// One whose future is gone has come to this, which nobody was told.
    Ended(i32),
    /// Something is under way, or others wait.
    Busy,
}

impl State {
    /// Of a request that went out for nobody: if it was a connect, the next one is told of its end.
    pub(super) fn keep_connected(&mut self, result: i32) {
        let is_end = !matches!(-result, platform::CANCELLED | platform::INTERRUPTED);
        if mem::take(&mut self.connecting) && is_end {
            self.connected = result;
        }
    }
}

/// The place of what goes out. It begins with its block, which says where it is.
#[repr(C)]
pub(super) struct Outgoing {
    pub(super) block: Block,
    /// Whose it is, from an Arc.
    pub(super) lane: *const Lane,
    pub(super) half: Half,
}

impl Lane {
    /// Whether a send is in the kernel, or one that was has not been looked at.
    ///
    /// Out of line: what asks is all that writes, most of which has no lane, and pays for the room of this.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_sending(&self) -> bool {
        self.outgoing.get().is_some_and(|outgoing| outgoing.half.life.is_busy())
    }

    /// The place of what goes out, made for the first that does, and kept.
    #[inline]
    fn outgoing(self: &Arc<Self>) -> &Outgoing {
        self.outgoing.get_or_init(|| {
            let (block, lane, half) = (Block::new(false), Arc::as_ptr(self), Half::new());
            Outgoing { block, lane, half }
        })
    }

    /// Starts to send what `bytes` shows of `buffer`, if that is anything. Otherwise as [`Lane::send`].
    #[inline]
    pub(crate) fn send_bytes<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: &mut Option<B>,
        flags: i32,
        bytes: impl FnOnce(&B) -> &[u8],
    ) -> bool {
        self.go_out(cx, buffer, |lane, _, buffer| {
            let bytes = bytes(buffer);
            let (at, len) = (bytes.as_ptr(), bytes.len().min(platform::TRANSFER_MAX) as u32);
            (len > 0).then_some(Request::Send { descriptor: lane.descriptor, at, len, flags })
        })
    }

    /// Takes the buffer, and starts to send what `name` names of it. False if another send is under way, or others wait.
    #[inline]
    pub(crate) fn send<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: &mut Option<B>,
        flags: i32,
        name: impl FnOnce(&B, &mut Pieces<'_>),
    ) -> bool {
        self.go_out(cx, buffer, |lane, half, buffer| {
            // SAFETY: this operation has just begun, and is nobody else's.
            let mut pieces = unsafe { Pieces::new(half, lane.is_message) };
            name(buffer, &mut pieces);
            Some(pieces.send(lane.descriptor, flags))
        })
    }

    /// Starts to connect to what `peer` gives.
    pub(crate) fn connect(self: &Arc<Self>, cx: &Context<'_>, peer: impl FnOnce() -> Address) -> Connect {
        let result = mem::replace(&mut self.state.lock().connected, NO_RESULT);
        if result != NO_RESULT {
            return Connect::Ended(result);
        }
        let begun = self.go_out(cx, &mut Some(()), |lane, half, ()| {
            // SAFETY: this operation has just begun, and is nobody else's; as below.
            let envelope = unsafe { half.envelope() }.as_ptr();
            // SAFETY: as above.
            unsafe { &mut *envelope }.connect_to(peer());
            lane.state.lock().connecting = true;
            Some(Request::Connect { descriptor: lane.descriptor, envelope })
        });
        if begun { Connect::Begun } else { Connect::Busy }
    }

    /// By who began the connect and has its result: whoever waited to write goes on.
    pub(crate) fn end_connect(&self) {
        if !self.is_forked() {
            self.state.lock().connecting = false;
        }
        // SAFETY: begun by the caller, with nothing.
        unsafe { self.take_back_sent::<()>(&mut None) };
    }

    /// By who was told by the system that it cannot connect: whether that is since a connect for nobody has done it, whose end was
    /// not reaped yet, or was just now. `is_connected` makes calls that do not wait. The next is not told of it again.
    #[cold]
    pub(crate) fn has_connected_for_nobody(&self, is_connected: impl FnOnce() -> bool) -> bool {
        let mut state = self.state.lock();
        let has_connected = (state.connecting || state.connected == 0) && is_connected();
        if has_connected {
            (state.connecting, state.connected) = (false, NO_RESULT);
        }
        has_connected
    }

    /// The socket is connected: what a receive came to that was dropped before is of the time before that.
    pub(crate) fn has_connected(&self) {
        if !self.is_forked() {
            self.state.lock().inbox.forget_not_connected();
        }
    }

    /// Puts the buffer of a send that is done into `buffer`. The operation ends here: others may begin.
    ///
    /// # Safety
    ///
    /// The caller began it with a `B`, and has its result.
    #[inline(always)]
    pub(crate) unsafe fn take_back_sent<B: 'static>(&self, buffer: &mut Option<B>) {
        let half = self.half(Direction::Write);
        // SAFETY: put in when it was begun, and the kernel is done.
        let before = buffer.replace(unsafe { half.cargo.take() });
        debug_assert!(before.is_none(), "it was put in");
        mem::forget(before); // of which there is nothing to drop
        self.release_writer(half);
    }

    #[inline]
    fn go_out<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: &mut Option<B>,
        request: impl FnOnce(&Self, &Half, &B) -> Option<Request>,
    ) -> bool {
        let outgoing = self.outgoing();
        let half = &outgoing.half;
        if self.source().is_waited_for(Direction::Write) || !half.life.begin(cx.waker()) {
            return false;
        }
        self.begins(Direction::Write);
        // If `request` panics, nothing was submitted.
        let unsent = Unsent(self, Direction::Write);
        // SAFETY: this operation has just begun, so the place is empty and ours.
        let at = unsafe { half.cargo.put(buffer.take().expect("an operation is polled after it was done")) };
        // SAFETY: it is there, and stays until the final completion; nobody calls it meanwhile.
        let Some(request) = request(self, half, unsafe { at.as_ref() }) else {
            // SAFETY: put in just now.
            *buffer = Some(unsafe { half.cargo.take() });
            return false;
        };
        let request = if self.carries == Carries::File { request.of_file() } else { request };
        // SAFETY: this operation has just begun.
        unsafe { outgoing.block.set(request) };
        mem::forget(unsent);
        let _ = ptr::from_ref(outgoing).expose_provenance();
        self.submit(&outgoing.block, Direction::Write);
        true
    }

    /// Ends writing (and reading) once the send that is under way has ended. False if there is none.
    pub(crate) fn shutdown_later(&self, how: Shutdown) -> bool {
        let mut state = self.state.lock();
        let sends = going_on::in_flight(Direction::Write);
        // A socket that connects is shut down at once, which ends that.
        if state.connecting || self.going_on.load(Ordering::Acquire) & sends == 0 {
            return false;
        }
        // Who reaps it sees that there is something to be done later, unless it has ended just now.
        let busy = self.going_on.fetch_or(going_on::LATER, Ordering::AcqRel) & sends != 0;
        if busy && state.shutdown != Some(Shutdown::Both) {
            state.shutdown = Some(how);
        }
        busy
    }

    /// Nobody has what goes out any more: who waited for that goes on.
    #[inline]
    pub(super) fn release_writer(&self, half: &Half) {
        // A writer that found it busy has taken back the side's readiness, and waits or is about to. A look at the word, for who
        // waits there, could come too early; but it has said so to the life. In a child of a fork, whom nobody tells, this changes
        // no more than the child's own word.
        if half.life.release() && !self.is_forked() {
            self.tell(Direction::Write);
        }
    }

    #[inline(always)]
    pub(super) fn went_out(self: &Arc<Self>, half: &Half, result: i32, batch: &mut Batch) {
        // Before the future hears of the end, on whatever thread: what it sends next comes after a shutdown.
        if self.ends(Direction::Write) {
            self.do_later(batch);
        }
        match half.life.complete(result) {
            Completed::ForTheFuture(Some(waker)) => batch.list().push(waker),
            Completed::ForTheFuture(None) => {}
            Completed::ForNobody => self.went_out_for_nobody(result, batch),
        }
    }

    #[cold]
    fn went_out_for_nobody(self: &Arc<Self>, result: i32, batch: &mut Batch) {
        let mut state = self.state.lock();
        state.keep_connected(result);
        let waker = self.abandon(&mut state, Direction::Write);
        drop(state);
        batch.list().push(waker);
    }
}
