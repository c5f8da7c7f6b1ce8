//! What the values of a Notifier, its sources and its timers share: the state behind all of them.

use std::{
    fmt, io,
    ptr::NonNull,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{backend::Probe, bound::Bound, end::GRACE};
use crate::{
    Closed,
    batch::{Batch, Dispatch},
    buf::{Pool, Size},
    op::{block::Block, lane::Spares, name::Names, pooled},
    posted::Posted,
    registry::{Registry, View},
    seat::Seat,
    source::{Direction, Source},
    sys::{self, Driver},
    time::timers::Timers,
    token::Token,
    word::Word,
};

/// Memory that lives as long as anything refers to it; the Notifier itself lives as long as `values` is not zero.
pub(crate) struct Core {
    pub(super) driver: Driver,
    pub(super) seat: Seat<OnSeat>,
    pub(super) word: Word,
    pub(crate) registry: Registry,
    pub(crate) timers: Timers,
    pub(super) posted: Posted,
    pool: Arc<Pool>,
    lanes: Spares,
    names: Names,
    lates: pooled::Spares,
    pub(super) dispatch: Option<Box<dyn Dispatch>>,
    pub(super) spin: Duration,
    pub(super) bound: Option<Bound>,
    /// How often it was turned. Written with the seat.
    pub(super) turns: AtomicU64,
    /// Why a `block_on` turns it no more.
    pub(super) failure: OnceLock<io::Error>,
    pub(super) probe: Probe,
    /// Live `Notifier` values. With the last one the Notifier shuts down.
    values: AtomicUsize,
    pub(super) closed: AtomicBool,
    /// How many forks the process that made it had behind it (I14).
    forks: u32,
}

/// What only the thread with the seat touches.
#[derive(Debug)]
pub(super) struct OnSeat {
    pub(super) wait: sys::Wait,
    pub(super) view: View,
    /// Once the backend was shut down: how many operations are left in flight.
    pub(super) left: Option<usize>,
}

/// What a builder decided.
pub(super) struct Plan {
    pub(super) probe: Probe,
    pub(super) dispatch: Option<Box<dyn Dispatch>>,
    pub(super) spin: Duration,
    pub(super) bound: bool,
    pub(super) buffers: Size,
}

impl Core {
    /// With one value counted: the Notifier that the caller makes of it.
    pub(super) fn new(mut plan: Plan) -> io::Result<Arc<Self>> {
        sys::platform::watch_forks()?;
        let pool = Arc::new(Pool::new(plan.buffers));
        let (driver, wait) = loop {
            match Driver::new(plan.probe.backend, plan.bound, &pool) {
                Ok(parts) => break parts,
                Err(error) => plan.probe = plan.probe.instead(error)?,
            }
        };
        Ok(Arc::new(Self {
            driver,
            seat: Seat::new(OnSeat { wait, view: View::default(), left: None }),
            word: Word::new(),
            registry: Registry::new(),
            timers: Timers::new(),
            posted: Posted::new(),
            pool,
            lanes: Spares::new(),
            names: Names::new(),
            lates: pooled::Spares::new(),
            dispatch: plan.dispatch,
            spin: plan.spin,
            bound: plan.bound.then(Bound::new),
            turns: AtomicU64::new(0),
            failure: OnceLock::new(),
            probe: plan.probe,
            values: AtomicUsize::new(1),
            closed: AtomicBool::new(false),
            forks: sys::platform::forks(),
        }))
    }

    /// Whether the backend does operations by itself.
    #[inline]
    pub(crate) fn is_native(&self) -> bool {
        self.driver.is_native()
    }

    /// Whether it receives into buffers of the pool by itself.
    #[inline]
    pub(crate) fn receives_many(&self) -> bool {
        self.driver.receives_many()
    }

    /// Hands a request to a backend that is native. The kernel has its share from here on.
    /// False if the backend has ended, and nothing follows.
    #[inline]
    pub(crate) fn submit(&self, block: &Block) -> bool {
        let taken = self.driver.submit(block);
        if taken {
            self.notify_if_waiting();
        }
        taken
    }

    /// Asks for the end of a request that was submitted: it has a final completion all the same, sooner.
    pub(crate) fn cancel_block(&self, block: &Block) {
        self.driver.cancel(block);
        self.notify_if_waiting();
    }

    /// As [`Core::cancel_block`], if that can be at once: whether its descriptor may be closed.
    pub(crate) fn cancel_now(&self, block: &Block) -> bool {
        let lets_go = self.driver.cancel_now(block);
        self.notify_if_waiting();
        lets_go
    }

    /// Takes back what was submitted, if nothing of it was begun: then nothing follows.
    pub(crate) fn withdraw(&self, block: &Block) -> bool {
        self.driver.withdraw(block)
    }

    /// For who has begun to wait for a buffer: the kernel may have some that it has no use for. What comes back goes to the
    /// first who waits.
    pub(crate) fn take_back_buffer(&self) {
        if self.receives_many() && self.pool.is_shared() && self.pool.free().asks_kernel() {
            self.driver.take_back_buffer();
            self.notify_if_waiting();
        }
    }

    /// What pooled receives take their buffers from.
    #[inline]
    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What sockets whose operations are the kernel's own have left behind.
    pub(crate) fn spare_lanes(&self) -> &Spares {
        &self.lanes
    }

    /// Boxes for the addresses of owned operations.
    pub(crate) fn spare_names(&self) -> &Names {
        &self.names
    }

    /// Boxes for receives that the pool has no buffer for.
    pub(crate) fn spare_lates(&self) -> &pooled::Spares {
        &self.lates
    }

    /// Whether this process is a child of the one that made the Notifier. Nothing may be touched then: locks may be
    /// held by threads that the child does not have, and the kernel's objects are the parent's (I14).
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        let forks = sys::platform::forks();
        // Nearly every process has none behind it, which is quicker to see.
        forks != 0 && forks != self.forks
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Fails if the Notifier can do nothing any more.
    #[inline]
    pub(crate) fn check(&self) -> io::Result<()> {
        match () {
            () if self.is_forked() => Err(Closed::fork()),
            () if self.is_closed() => Err(Closed::notifier()),
            () => Ok(()),
        }
    }

    /// The backend, as far as it tells of signals.
    pub(crate) fn signals(&self) -> &Driver {
        &self.driver
    }

    /// Whether priority readiness is ever reported.
    pub(crate) fn reports_priority(&self) -> bool {
        self.driver.backend() != super::Backend::Kqueue
    }

    /// Interrupts a turn, or keeps the next from waiting. Async-signal-safe.
    #[inline]
    pub(crate) fn notify(&self) {
        if self.word.notify() && !self.is_forked() {
            self.driver.notify();
        }
    }

    /// Something was left to the next turn, such as an earlier deadline: one that waits must look again.
    #[inline]
    pub(crate) fn notify_if_waiting(&self) {
        if self.word.notify_if_waiting() {
            self.driver.notify();
        }
    }

    /// Puts an event in the next turn. Async-signal-safe.
    pub(crate) fn post(&self, post: &crate::sync::Arc<crate::posted::Post>) {
        if self.posted.push(post) {
            self.notify();
        }
    }

    /// Opens a source with nothing behind it but what reports it.
    pub(crate) fn open(&self, bits: u64) -> io::Result<(NonNull<Source>, Token)> {
        self.check()?;
        // Closed meanwhile, or four billion sources: the second cannot be reached with any system's descriptors.
        self.registry.open(bits).ok_or_else(Closed::notifier)
    }

    /// Whether a descriptor that may be anything can be attached.
    pub(crate) fn admits(&self, descriptor: sys::Raw) -> io::Result<()> {
        self.driver.admits(descriptor)
    }

    /// Attaches a descriptor, for the source that was opened for it. Returns what holds at once, to be reported.
    pub(crate) fn attach(&self, descriptor: sys::Raw, token: Token) -> io::Result<u64> {
        self.driver.attach(descriptor, token)
    }

    /// Attaches a descriptor that has become another kind of thing, where the backend must know.
    pub(crate) fn attach_again(&self, descriptor: sys::Raw, token: Token) -> io::Result<()> {
        self.driver.attach_again(descriptor, token)
    }

    /// Bits that the word of a source with a descriptor has from the start.
    pub(crate) fn source_bits(&self) -> u64 {
        self.driver.source_bits()
    }

    /// The bits of [`UNARMED`](crate::source::UNARMED) that one request for this side serves.
    pub(crate) fn armed_at_once(&self, direction: Direction) -> u64 {
        self.driver.armed_at_once(direction)
    }

    /// Asks the backend to report what comes, for a source that was found unarmed. Returns what holds at once, to be
    /// reported.
    pub(crate) fn arm(&self, descriptor: sys::Raw, token: Token, direction: Direction) -> io::Result<u64> {
        self.driver.arm(descriptor, token, direction)
    }

    /// The same for priority conditions.
    pub(crate) fn arm_priority(&self, token: Token) -> io::Result<()> {
        self.driver.arm_priority(token)
    }

    /// Takes the descriptor out of the backend and ends the source's use: in this order, so that no report for the
    /// number is made once another descriptor may have it.
    ///
    /// `armed`: whether the source was.
    pub(crate) fn detach(&self, descriptor: sys::Raw, token: Token, armed: bool) -> io::Result<()> {
        let detached = self.driver.detach(descriptor, token, armed);
        self.retire(token);
        detached
    }

    /// Ends a source's use, and wakes who still waits there: they find it closed.
    pub(crate) fn retire(&self, token: Token) {
        let mut left = Batch::new();
        self.registry.retire(token, left.list());
        drop(left); // wakes all
    }

    pub(super) fn add_value(&self) {
        self.values.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn drop_value(&self) {
        if self.values.fetch_sub(1, Ordering::AcqRel) == 1 && !self.is_forked() {
            self.shutdown(GRACE);
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("backend", &self.driver.backend())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
