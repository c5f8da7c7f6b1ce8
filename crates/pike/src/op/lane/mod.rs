//! What a socket has in a completion backend: one request for what comes in, one for what goes out, and what arrived for
//! nobody yet.
//!
//! I11: per direction at most one kernel consumer.
//!
//! - Coming in (`incoming`). A pooled receive starts a request that brings buffers of the pool until it is cancelled, an
//!   accept one that brings connections. What they bring queues in the inbox, and every reader takes from there first, in
//!   order. A reader of another kind that finds nothing has the request cancelled, and waits for the end of it before
//!   it makes a system call. It is cancelled too while so many things are queued that one socket would have more than its
//!   share. A receive into a buffer of its own is a request for one thing; nobody else reads until its future has the
//!   result, or is gone: then what arrived goes to the inbox.
//! - Going out (`outgoing`). One at a time; every other writer waits. A send whose future is gone is cancelled, and still
//!   goes before whatever is sent later. A connect is one too.
//!
//! Both report the source ready, as the kernel does, so waiting, order and the end are those of every operation. Where
//! others wait already, an operation that owns its buffer waits behind them and makes a system call, as they do.
//!
//! The kernel's share (I2): while one of the two requests is in flight, a count of the lane is in its block's address. Who
//! reaps the final completion ends it. A descriptor that is closed meanwhile is kept here, and closed by the reaper
//! (I12): nothing that names its number is in flight then.
#![allow(unsafe_code)]

use std::{
    mem,
    mem::ManuallyDrop,
    net::Shutdown,
    ptr::{self, NonNull},
    sync::{Arc, OnceLock},
    task::{Context, Wake, Waker},
};

mod half;
mod inbox;
mod incoming;
mod outgoing;
mod spare;

use self::{half::Half, inbox::Inbox};
pub(crate) use self::{inbox::Undelivered, incoming::Found, outgoing::Connect, spare::Spares};
use super::{
    block::{Block, Request},
    life::Left,
};
use crate::{
    batch::Batch,
    notifier::core::Core,
    socket::Descriptor,
    source::{Direction, READABLE, Source, WRITABLE},
    sync::Mutex,
    sys::{Completion, Raw, platform},
    token::Token,
};

/// In this order: a block's address says where its lane is.
#[repr(C)]
pub(crate) struct Lane {
    incoming: Block,
    outgoing: Block,
    descriptor: Raw,
    /// Whether it carries datagrams, each by itself and with a sender.
    is_message: bool,
    token: Token,
    source: NonNull<Source>,
    /// None of a spare one, which is no socket's.
    core: Option<Arc<Core>>,
    sending: Half,
    /// Of receives into a buffer of their own, once there was one.
    taking: OnceLock<Box<Half>>,
    state: Mutex<State>,
}

// SAFETY: the blocks are set while nothing is in flight, under the lock or by who began the operation; a half is its
// owner's.
unsafe impl Send for Lane {}
// SAFETY: as for Send.
unsafe impl Sync for Lane {}

struct State {
    receiving: Receiving,
    inbox: Inbox,
    /// The pool ran dry under the receive.
    dry: bool,
    /// The kernel does not accept by itself.
    refused: bool,
    /// A reader was told to wait, and may have taken back the source's readiness for that.
    turned_away: bool,
    /// Whether the direction's request is not finally reaped: of what comes in, of what goes out.
    in_flight: [bool; 2],
    /// Buffers whose futures are gone, and that the kernel is done with: of what comes in, of what goes out.
    abandoned: [bool; 2],
    /// To be done once the send has ended.
    shutdown: Option<Shutdown>,
    /// What goes out is a connect.
    connecting: bool,
    /// What a connect came to whose future was gone, for the next.
    connected: Option<i32>,
    /// The socket is closed; whether it lingers.
    closed: Option<bool>,
    /// What is left to be closed.
    closing: Option<platform::Owned>,
}

impl State {
    fn new() -> Self {
        Self {
            receiving: Receiving::NobodyReceives,
            inbox: Inbox::default(),
            dry: false,
            refused: false,
            turned_away: false,
            in_flight: [false; 2],
            abandoned: [false; 2],
            shutdown: None,
            connecting: false,
            connected: None,
            closed: None,
            closing: None,
        }
    }

    /// Whether nothing is in it, and the kernel has nothing to do with it.
    fn is_idle(&self) -> bool {
        let quiet = self.in_flight == [false; 2] && self.abandoned == [false; 2];
        quiet
            && self.receiving == Receiving::NobodyReceives
            && self.inbox.is_empty()
            && self.closing.is_none()
    }
}

/// Who has what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    NobodyReceives,
    /// It goes on until it is cancelled.
    TheKernelReceives,
    TheKernelAccepts,
    TheKernelWasAskedToStop,
    /// One receive, until its future has the result or is gone.
    OneReceives,
}

impl Lane {
    pub(crate) fn new(
        core: Arc<Core>,
        descriptor: Raw,
        is_message: bool,
        token: Token,
        source: NonNull<Source>,
    ) -> Arc<Self> {
        Arc::new(Self {
            incoming: Block::new(true),
            outgoing: Block::new(false),
            descriptor,
            is_message,
            token,
            source,
            core: Some(core),
            sending: Half::new(),
            taking: OnceLock::new(),
            state: Mutex::new(State::new()),
        })
    }

    /// The place of an operation of this direction.
    ///
    /// # Panics
    ///
    /// If none was ever begun.
    fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Read => self.taking.get().expect("a receive was begun"),
            Direction::Write => &self.sending,
        }
    }

    fn block(&self, direction: Direction) -> &Block {
        match direction {
            Direction::Read => &self.incoming,
            Direction::Write => &self.outgoing,
        }
    }

    /// The result of the operation that the caller began, once there is one. The buffer is the caller's then.
    pub(crate) fn poll(&self, direction: Direction, cx: &Context<'_>) -> Option<i32> {
        self.half(direction).life.poll(cx.waker())
    }

    /// The buffer of an operation that is done, after a last look. The operation ends here: others may begin.
    ///
    /// # Safety
    ///
    /// The caller began it with a `B`, and has its result.
    pub(crate) unsafe fn take_back<B: 'static>(&self, direction: Direction, look: impl FnOnce(&mut B)) -> B {
        let release = Release(self, direction); // if `look` panics, too
        // SAFETY: put in when it was begun, and the kernel is done.
        let mut buffer = unsafe { self.half(direction).cargo.take() };
        look(&mut buffer);
        drop(release);
        buffer
    }

    /// By the future that began the operation, which ends before it has the result: it is cancelled, and the buffer dropped
    /// once the kernel is done.
    pub(crate) fn leave(&self, direction: Direction) {
        if self.core().is_forked() {
            return; // the kernel does it for the parent, and a lock may be held for ever (I14)
        }
        match self.half(direction).life.leave() {
            Left::InTheKernel => self.stop(direction),
            Left::WithMe(result) => {
                match direction {
                    Direction::Read => self.keep(&mut self.state.lock(), result),
                    Direction::Write => self.state.lock().keep_connected(result),
                }
                // SAFETY: the kernel is done, and the future is the caller.
                unsafe { self.half(direction).cargo.clear() };
                self.release(direction);
            }
        }
    }

    /// Asks for the end of the request that is in the kernel.
    pub(crate) fn stop(&self, direction: Direction) {
        self.core().cancel_block(self.block(direction));
    }

    /// Nobody has this direction any more: who waited for that goes on.
    fn release(&self, direction: Direction) {
        let mut wakes = false;
        if direction == Direction::Read {
            let mut state = self.state.lock();
            if state.receiving == Receiving::OneReceives {
                state.receiving = Receiving::NobodyReceives;
            }
            wakes = mem::take(&mut state.turned_away) || !state.inbox.is_empty();
        }
        // Only now: the next one to begin may set what was set back above.
        self.half(direction).life.release();
        // A writer that found it busy has taken back the side's readiness, and waits or is about to: whether somebody waits by
        // now says nothing about it, and only a report makes it look again.
        if wakes || direction == Direction::Write || self.source().is_waited_for(direction) {
            let mut batch = Batch::new();
            self.report(if direction == Direction::Read { READABLE } else { WRITABLE }, &mut batch);
            drop(batch); // wakes all
        }
    }

    /// Both requests are asked to end, for a socket that is cancelled or closed. What they bring is as ever.
    pub(crate) fn cancel(&self) {
        let mut state = self.state.lock();
        let receives = match state.receiving {
            Receiving::TheKernelReceives | Receiving::TheKernelAccepts => {
                state.receiving = Receiving::TheKernelWasAskedToStop;
                true
            }
            Receiving::OneReceives => true,
            Receiving::NobodyReceives | Receiving::TheKernelWasAskedToStop => false,
        };
        drop(state);
        if receives {
            self.stop(Direction::Read);
        }
        if self.sending.life.is_busy() {
            self.stop(Direction::Write);
        }
    }

    /// Whether the kernel does anything for the socket.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.state.lock().in_flight != [false; 2]
    }

    /// All that nobody has taken.
    pub(crate) fn take_undelivered(&self) -> Undelivered {
        let inbox = mem::take(&mut self.state.lock().inbox);
        inbox.into()
    }

    /// Keeps a descriptor until nothing that names it is in flight, and closes it then. Gives it back if it can be closed
    /// now.
    pub(crate) fn close(&self, descriptor: platform::Owned, lingers: bool) -> Option<platform::Owned> {
        if self.core().is_forked() {
            return Some(descriptor);
        }
        let mut state = self.state.lock();
        let inbox = mem::take(&mut state.inbox);
        state.closed = Some(lingers);
        let in_flight = state.in_flight;
        drop(state);
        // After the unlock: it may wake who waits for a buffer. Connections end as what was not accepted does, without waiting.
        for connection in Undelivered::from(inbox).connections {
            drop(Descriptor::new(connection, lingers));
        }
        // Where the kernel lets go of a descriptor at once, the peer is told at once.
        let lets_go = |direction: Direction| {
            !in_flight[direction as usize] || self.core().cancel_now(self.block(direction))
        };
        if self.core().is_closed() || (lets_go(Direction::Read) & lets_go(Direction::Write)) {
            return Some(descriptor);
        }
        let mut state = self.state.lock();
        if state.in_flight == [false; 2] {
            return Some(descriptor); // meanwhile
        }
        state.closing = Some(descriptor);
        drop(state);
        self.cancel();
        None
    }

    /// The direction's block is set, and counted as in flight.
    fn submit(self: &Arc<Self>, direction: Direction) {
        // The kernel's share: ended by `reap`.
        let _ = Arc::into_raw(Arc::clone(self)).expose_provenance();
        let block = self.block(direction);
        if !self.core().submit(block) {
            let mut batch = Batch::new();
            let (block, result) = (NonNull::from(block), -platform::CANCELLED);
            Self::reap(Completion { block, result, more: false, buffer: None }, &mut batch);
            drop(batch); // wakes all
        }
    }

    fn core(&self) -> &Arc<Core> {
        self.core.as_ref().expect("a lane in use is a socket's")
    }

    fn source(&self) -> &Source {
        // SAFETY: slots live as long as the core, which the lane keeps.
        unsafe { self.source.as_ref() }
    }

    fn report(&self, bits: u64, batch: &mut Batch) {
        self.source().report(self.token.generation(), bits, batch.list());
    }

    /// On the seat: what the kernel said about a block.
    pub(crate) fn reap(completion: Completion, batch: &mut Batch) {
        let Completion { block, result, more, buffer } = completion;
        // SAFETY: the block is in flight, so the kernel's share keeps its lane. A lane begins with the block for what
        // comes in, and the one for what goes out is the next.
        let (lane, comes_in) = unsafe { Self::of(block) };
        // SAFETY: as above; a lane is in an Arc.
        let lane = unsafe { ManuallyDrop::new(Arc::from_raw(lane)) };
        match comes_in {
            true => lane.came_in(result, more, buffer, batch),
            false => lane.went_out(result, batch),
        }
        if !more {
            lane.ended(if comes_in { Direction::Read } else { Direction::Write });
            let _share = ManuallyDrop::into_inner(lane); // the kernel's
        }
    }

    /// # Safety
    ///
    /// The block is one of a lane, which is in an Arc and lives.
    unsafe fn of(block: NonNull<Block>) -> (*const Self, bool) {
        // SAFETY: alive, and its role is never written.
        let comes_in = unsafe { block.as_ref() }.is_first();
        let offset = if comes_in { 0 } else { mem::offset_of!(Self, outgoing) };
        // Exposed by `submit`: a reference to the block alone does not reach the lane around it.
        (ptr::with_exposed_provenance(block.addr().get() - offset), comes_in)
    }

    /// Has the buffer of an operation dropped whose future is gone, after the seat was left: that is its owner's code (I6).
    fn abandon(self: &Arc<Self>, state: &mut State, direction: Direction) -> Waker {
        state.abandoned[direction as usize] = true;
        Waker::from(Arc::clone(self))
    }

    /// A request has ended.
    fn ended(&self, direction: Direction) {
        let mut state = self.state.lock();
        state.in_flight[direction as usize] = false;
        let shutdown = match self.sending.life.is_in_the_kernel() {
            false => state.shutdown.take(),
            true => None,
        };
        let closing = if state.in_flight == [false; 2] { state.closing.take() } else { None };
        let lingers = state.closed == Some(true);
        drop(state);
        if let Some(how) = shutdown {
            // It fails if the connection is gone, and then the peer knows.
            let _ = platform::shutdown_raw(self.descriptor, how);
        }
        if let Some(descriptor) = closing {
            drop(Descriptor::new(descriptor, lingers));
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("sending", &self.sending.life).finish_non_exhaustive()
    }
}

/// Drops the buffers of operations whose futures are gone.
impl Wake for Lane {
    fn wake(self: Arc<Self>) {
        let abandoned = mem::take(&mut self.state.lock().abandoned);
        for direction in [Direction::Read, Direction::Write] {
            if abandoned[direction as usize] {
                // SAFETY: the kernel is done, the future is gone, and the reaper has given this away once.
                unsafe { self.half(direction).cargo.clear() };
                self.release(direction);
            }
        }
    }
}

/// Ends an operation that is done.
struct Release<'a>(&'a Lane, Direction);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

/// Ends an operation that was begun and not submitted.
struct Unsent<'a>(&'a Lane, Direction);

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        let Self(lane, direction) = *self;
        lane.state.lock().in_flight[direction as usize] = false;
        // SAFETY: nothing was submitted, so this is its only owner.
        unsafe { lane.half(direction).cargo.clear() };
        lane.release(direction);
    }
}
