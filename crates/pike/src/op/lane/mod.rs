//! What a socket has in a completion backend: one request for what comes in, one for what goes out, and what arrived for
//! nobody yet.
//!
//! I11: per direction at most one kernel consumer.
//!
//! - Coming in (`incoming`, `arrivals`). A pooled receive starts a request that brings buffers of the pool until it is
//!   cancelled, an accept one that brings connections. What they bring queues in the inbox, and every reader takes from there
//!   first, in order. A reader of another kind that finds nothing has the request cancelled, and waits for the end of it before
//!   it makes a system call. It is cancelled too while so many things are queued that one socket would have more than its
//!   share. A receive into a buffer of its own is a request for one thing; nobody else reads until its future has the
//!   result, or is gone: then what arrived goes to the inbox.
//! - Going out (`outgoing`). One at a time; every other writer waits. A send whose future is gone is cancelled, and still
//!   goes before whatever is sent later. A connect is one too.
//!
//! Both report the source ready, as the kernel does, so waiting, order and the end are those of every operation. Where
//! others wait already, an operation that owns its buffer waits behind them and makes a system call, as they do.
//!
//! What a look finds holds for readers that come one after the other, on whatever threads. Of two that read one stream at the
//! same time, one may have seen that nobody receives, and make its call as the other's request begins. Each gets bytes of its
//! own then, as ever; but if the other is dropped with some, the call may have read what is behind those. To keep that out a
//! call would have to say that it is under way, which costs all calls for what is no order to anybody.
//!
//! The kernel's share (I2, `share`): while one of the two requests is in flight, a count of the lane is in its block's address. Who
//! reaps the final completion ends it. A descriptor that is closed meanwhile is kept here, and closed by the reaper
//! (I12): nothing that names its number is in flight then.
#![allow(unsafe_code)]

use std::{mem, net::Shutdown, ptr::NonNull, sync::Arc, task::Context};

mod arrivals;
mod aside;
mod carries;
mod ends;
mod going_on;
mod half;
mod inbox;
mod incoming;
mod once_box;
mod outgoing;
mod over;
mod pooled_message;
mod share;
mod spare;
#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests;

pub(crate) use self::{
    carries::Carries, inbox::Undelivered, incoming::Found, outgoing::Connect, spare::Spares,
};
use self::{
    half::Half,
    inbox::{Emptied, Inbox},
    once_box::OnceBox,
    outgoing::Outgoing,
    over::{Abandoned, Release, Unsent},
};
use super::{
    block::{Block, Request},
    life::Left,
};
use crate::{
    batch::Batch,
    buf::Pool,
    notifier::core::Core,
    source::{Direction, READABLE, Source, WRITABLE},
    sync::{
        Brief,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    sys::{Raw, platform},
    token::Token,
};

/// In this order: the address of its block says where a lane is, and there is no room between the others. A connection that
/// is idle in a pooled receive has one.
#[repr(C)]
pub(crate) struct Lane {
    incoming: Block,
    descriptor: Raw,
    /// Whether it carries messages, each by itself and with a sender.
    is_message: bool,
    carries: Carries,
    /// The kernel does not wait for this file.
    refuses: AtomicBool,
    /// What is asked without the lock of the state: bits of [`going_on`].
    going_on: AtomicU8,
    source: NonNull<Source>,
    /// None of a spare one, which is no socket's.
    core: Option<Arc<Core>>,
    /// Once something went out by the kernel itself: an idle connection that only receives costs nothing for it.
    outgoing: OnceBox<Outgoing>,
    /// Of receives into a buffer of their own, once there was one.
    taking: OnceBox<Half>,
    /// The use of the source's slot that is the socket's.
    generation: u32,
    /// Whether the kernel receives into buffers of the pool, for who asks for those.
    brings: bool,
    state: Brief<State>,
}

/// A mutex of the system's is larger elsewhere.
#[cfg(all(target_os = "linux", target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<Lane>() == 128);

// SAFETY: the blocks are set while nothing is in flight, under the lock or by who began the operation; a half is its
// owner's.
unsafe impl Send for Lane {}
// SAFETY: as for Send.
unsafe impl Sync for Lane {}

/// No request comes to this.
const NO_RESULT: i32 = i32::MAX;

struct State {
    receiving: Receiving,
    inbox: Inbox,
    /// The pool ran dry under the receive.
    dry: bool,
    /// The kernel does not accept by itself.
    refused: bool,
    /// A reader was told to wait, and may have taken back the source's readiness for that.
    turned_away: bool,
    /// Buffers whose futures are gone, and that the kernel is done with: a bit a direction.
    abandoned: u8,
    /// To be done once the send has ended.
    shutdown: Option<Shutdown>,
    /// What goes out is a connect.
    connecting: bool,
    /// What a connect came to whose future was gone, for the next. Or [`NO_RESULT`].
    connected: i32,
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
            abandoned: 0,
            shutdown: None,
            connecting: false,
            connected: NO_RESULT,
            closed: None,
            closing: None,
        }
    }

    /// Whether nothing is in it, and the kernel has nothing to do with it.
    fn is_idle(&self) -> bool {
        self.abandoned == 0
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
        carries: Carries,
        token: Token,
        source: NonNull<Source>,
    ) -> Arc<Self> {
        let brings = carries.brings(&core);
        Arc::new(Self {
            incoming: Block::new(true),
            descriptor,
            is_message: carries.is_message(),
            carries,
            refuses: AtomicBool::new(false),
            going_on: AtomicU8::new(0),
            source,
            core: Some(core),
            outgoing: OnceBox::new(),
            taking: OnceBox::new(),
            generation: token.generation(),
            brings,
            state: Brief::new(State::new()),
        })
    }

    #[inline]
    pub(crate) fn brings(&self) -> bool {
        self.brings
    }

    /// The place of an operation of this direction.
    ///
    /// # Panics
    ///
    /// If none was ever begun.
    fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Read => self.taking.get().expect("a receive was begun"),
            Direction::Write => &self.outgoing.get().expect("a send was begun").half,
        }
    }

    fn block(&self, direction: Direction) -> &Block {
        match direction {
            Direction::Read => &self.incoming,
            Direction::Write => &self.outgoing.get().expect("a send was begun").block,
        }
    }

    /// Says who has what comes in.
    fn set_receiving(&self, state: &mut State, receiving: Receiving) {
        // AcqRel, here and wherever it changes: who sees the change sees what came before it.
        match receiving {
            Receiving::NobodyReceives => self.going_on.fetch_and(!going_on::RECEIVES, Ordering::AcqRel),
            Receiving::OneReceives => self.going_on.fetch_or(going_on::ONE_RECEIVES, Ordering::AcqRel),
            _ => self.going_on.fetch_or(going_on::GOES_ON, Ordering::AcqRel),
        };
        state.receiving = receiving;
    }

    /// The direction's request is about to be submitted.
    #[inline]
    fn begins(&self, direction: Direction) {
        self.going_on.fetch_or(going_on::in_flight(direction), Ordering::AcqRel);
    }

    /// The direction's request has ended, and the next has not begun: whoever lets it begin does this first. True if something
    /// is to be done now: [`Lane::do_later`], with no lock.
    #[inline]
    #[must_use]
    fn ends(&self, direction: Direction) -> bool {
        // Its bit is set, so this takes that away and nothing else, in one instruction that tells the rest.
        let before = self.going_on.fetch_sub(going_on::in_flight(direction), Ordering::AcqRel);
        debug_assert!(before & going_on::in_flight(direction) != 0);
        before & going_on::LATER != 0
    }

    /// The result of the operation that the caller began, once there is one. The buffer is the caller's then.
    ///
    /// In a child of a fork it is cancelled at once: the kernel does it for the parent, whose memory that is.
    #[inline]
    pub(crate) fn poll(&self, direction: Direction, cx: &Context<'_>) -> Option<i32> {
        if self.is_forked() {
            return Some(-platform::CANCELLED);
        }
        self.half(direction).life.poll(cx.waker())
    }

    /// Whether this is a child of a fork: no lock may be touched, and nothing be done for the parent (I14).
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        platform::forked() != 0 && self.core().is_forked()
    }

    /// The buffer of an operation that is done, after a last look. The operation ends here: others may begin.
    ///
    /// # Safety
    ///
    /// The caller began it with a `B`, and has its result.
    #[inline]
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
        if self.is_forked() {
            return;
        }
        let mut _own = None; // dropped last
        match self.half(direction).life.leave(&mut _own, || self.stop(direction)) {
            Left::InTheKernel { wanted: false } => {}
            Left::InTheKernel { wanted: true } => self.tell(direction),
            Left::WithMe(result) => {
                match direction {
                    Direction::Read => self.keep(&mut self.state.lock(), result),
                    Direction::Write => self.state.lock().keep_connected(result),
                }
                drop(Abandoned(self, direction));
            }
        }
    }

    /// Asks for the end of the request that is in the kernel.
    pub(crate) fn stop(&self, direction: Direction) {
        if !self.is_forked() {
            self.core().cancel_block(self.block(direction));
        }
    }

    /// Nobody has this direction any more: who waited for that goes on.
    fn release(&self, direction: Direction) {
        match direction {
            Direction::Read => self.release_reader(self.half(direction)),
            Direction::Write => self.release_writer(self.half(direction)),
        }
    }

    fn release_reader(&self, half: &Half) {
        if self.is_forked() {
            return;
        }
        // First what the next one sets that begins.
        let mut state = self.state.lock();
        if state.receiving == Receiving::OneReceives {
            self.set_receiving(&mut state, Receiving::NobodyReceives);
        }
        let turned_away = mem::take(&mut state.turned_away);
        let wakes = turned_away || !state.inbox.is_empty() || self.source().is_waited_for(Direction::Read);
        drop(state);
        if half.life.release() || wakes {
            self.tell(Direction::Read);
        }
    }

    /// Wakes who waits at this side.
    #[cold]
    fn tell(&self, direction: Direction) {
        let mut batch = Batch::new();
        self.report(if direction == Direction::Read { READABLE } else { WRITABLE }, &mut batch);
        drop(batch); // wakes all
    }

    #[inline]
    fn core(&self) -> &Arc<Core> {
        self.core.as_ref().expect("a lane in use is a socket's")
    }

    /// Of whose buffers some are in the inbox.
    #[inline]
    fn pool(&self) -> &Arc<Pool> {
        self.core().pool()
    }

    #[inline]
    fn source(&self) -> &Source {
        // SAFETY: slots live as long as the core, which the lane keeps.
        unsafe { self.source.as_ref() }
    }

    fn report(&self, bits: u64, batch: &mut Batch) {
        self.report_inline(bits, batch);
    }

    #[inline(always)]
    fn report_inline(&self, bits: u64, batch: &mut Batch) {
        self.source().report(self.generation, bits, batch.list());
    }
}

/// What nobody has taken goes back. That is seldom here: a socket that is closed has taken it before.
impl Drop for Lane {
    fn drop(&mut self) {
        let inbox = self.state.get_mut().map(|state| mem::take(&mut state.inbox)).unwrap_or_default();
        drop(self.core.as_ref().map(|core| Emptied(inbox, core.pool())));
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("sending", &self.outgoing.get().map(|outgoing| &outgoing.half.life))
            .finish_non_exhaustive()
    }
}
