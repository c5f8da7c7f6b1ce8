//! The state kept for one registered descriptor: its readiness, its generation, its waiters.
//!
//! ```text
//!   63                                19 18                0
//!  +------------------------------------+-------------------+
//!  | tick: reports and resets, 45 bits  | flags             |     one AtomicU64
//!  +------------------------------------+-------------------+
//! ```
//!
//! Who waits is in the *front*, if that is free and it is a plain operation, and in the *list* otherwise. The front
//! costs no lock, and is all that a socket with a reader and a writer needs. While anybody is in the list, or in the
//! slot of the poll traits, the MORE flag is set and nobody goes to the front, so the order is kept.
//!
//! How no wake is lost. A report makes one read-modify-write of the word: it sets readiness, adds a tick, and takes the
//! WAIT flag. A waiter puts itself in the front, and then sets WAIT in a read-modify-write that shows it the readiness:
//! - if the report came first, the waiter sees the readiness, takes itself back, and tries again;
//! - if the waiter came first, the report sees WAIT, and then the node in the front.
//!
//! The same for the list, with MORE, which stays set: a waiter takes the lock, sees that MORE is set (setting it if need
//! be), and only then looks at the readiness once more:
//! - if the report saw no MORE, its write came before the flag's, so that look sees the readiness;
//! - if it saw the flag, it takes the lock: before the waiter, whose look then sees the readiness, or after it, and
//!   then it finds the node.
//!
//! How no readiness is lost. An operation reads the word *before* its syscall and clears readiness only if the tick is
//! still the one it read (I5). A report in between makes the clearing fail, and the operation tries again.
//!
//! How a report for an earlier use of the slot is refused (I4): it changes the word only if, between reading the word
//! and the exchange, the generation was right; [`Source::retire`] changes the generation before it adds a tick, so an
//! exchange that succeeds saw no retirement.

use std::task::Waker;

mod waiting;

use crate::{
    front::Front,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    waiter::List,
};

/// Reading may go on. This and WRITABLE are epoll's numbers, so that its commonest reports need no translation.
pub(crate) const READABLE: u64 = 1;
/// Writing may go on.
pub(crate) const WRITABLE: u64 = 1 << 2;
/// Out-of-band data, or what else the system calls a priority condition.
pub(crate) const PRIORITY: u64 = 1 << 1;
/// The peer writes no more: reading ends once what is queued was read.
pub(crate) const READ_CLOSED: u64 = 1 << 3;
/// Nothing can be written any more.
pub(crate) const WRITE_CLOSED: u64 = 1 << 4;
/// An error was reported. Both sides are ready once, so that a syscall finds it; this bit is for `Ready::is_error`.
pub(crate) const ERROR: u64 = 1 << 5;
/// Nothing is known yet: an operation tries its syscall, but `readable()` and `writable()` wait for a report.
pub(crate) const TRY_READ: u64 = 1 << 6;
/// As [`TRY_READ`], for writing.
pub(crate) const TRY_WRITE: u64 = 1 << 7;
/// From READABLE and WRITABLE to the flags of who waits for them.
const WAIT_SHIFT: u32 = 8;
/// Somebody went to the front of the reading side since the last report for it.
const READ_WAIT: u64 = READABLE << WAIT_SHIFT;
/// As [`READ_WAIT`], for writing.
const WRITE_WAIT: u64 = WRITABLE << WAIT_SHIFT;
/// Somebody may be in the list or slot of the reading side. Set by waiters, cleared by a report that finds nobody; both
/// under the lock.
const READ_MORE: u64 = 1 << 13;
/// As [`READ_MORE`], for writing.
const WRITE_MORE: u64 = 1 << 14;
/// A priority condition was reported at some time. Unlike PRIORITY no operation takes it back.
pub(crate) const URGENT_SEEN: u64 = 1 << 11;
/// Something may be in the error queue (Linux). As ERROR, but only who reads that queue takes it back.
pub(crate) const ERROR_QUEUE: u64 = 1 << 12;
/// Nothing will be reported of the reading side before somebody asks the backend to (contract item 3). On epoll never set. Set
/// by open, and by the report that a request has ended; cleared by the one who arms.
pub(crate) const READ_UNARMED: u64 = 1 << 16;
/// As [`READ_UNARMED`], for writing. Where one request serves both sides the two are set and cleared together.
pub(crate) const WRITE_UNARMED: u64 = 1 << 18;
pub(crate) const UNARMED: u64 = READ_UNARMED | WRITE_UNARMED;
/// What lets those try who wait on the sides of these bits of [`UNARMED`].
pub(crate) const fn ready_of(unarmed: u64) -> u64 {
    let read = if unarmed & READ_UNARMED != 0 { READABLE } else { 0 };
    let write = if unarmed & WRITE_UNARMED != 0 { WRITABLE } else { 0 };
    read | write
}

/// A short read proves nothing. Set for good: by open, where the backend's reports do not tell urgent data from other; and
/// once the kernel receives by itself, since who waits for the end of that takes back readiness that no system call
/// disproved, and with it what was reported of the stream's end.
pub(crate) const VAGUE: u64 = 1 << 17;
/// The Handle was cancelled, or its Notifier is gone: no operation goes on, waiters are woken.
pub(crate) const CLOSED: u64 = 1 << 9;
const TICK: u64 = 1 << 19;
/// Every flag: each is a bit of its own.
const FLAGS: [u64; 19] = [
    READABLE,
    WRITABLE,
    PRIORITY,
    READ_CLOSED,
    WRITE_CLOSED,
    ERROR,
    TRY_READ,
    TRY_WRITE,
    READ_WAIT,
    WRITE_WAIT,
    READ_MORE,
    WRITE_MORE,
    URGENT_SEEN,
    ERROR_QUEUE,
    READ_UNARMED,
    WRITE_UNARMED,
    VAGUE,
    CLOSED,
    NO_STREAM,
];
const _: () = {
    let (mut all, mut at) = (0, 0);
    while at < FLAGS.len() {
        assert!(FLAGS[at].is_power_of_two() && FLAGS[at] < TICK && all & FLAGS[at] == 0);
        all |= FLAGS[at];
        at += 1;
    }
};

/// What counts as ready for somebody who looks at the reading side.
pub(crate) const READ_BITS: u64 = READABLE | READ_CLOSED;
/// What counts as ready for somebody who looks at the writing side.
pub(crate) const WRITE_BITS: u64 = WRITABLE | WRITE_CLOSED;
/// The descriptor is no stream socket: of other kinds, a short read may leave something in the queue.
pub(crate) const NO_STREAM: u64 = 1 << 15;
/// After any of these a short read does not mean that the queue is empty: a read stops at urgent data, and the end of
/// the stream is behind the last bytes.
const NOT_SHORT: u64 = NO_STREAM | VAGUE | URGENT_SEEN | READ_CLOSED | WRITE_CLOSED | ERROR;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    /// The bits that let an operation of this direction try its syscall.
    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        match self {
            // With the error, so that it is taken back once a read has found nothing any more.
            Self::Read => READ_BITS | TRY_READ | ERROR,
            Self::Write => WRITE_BITS | TRY_WRITE,
        }
    }

    /// Set while nothing of this side is reported.
    #[inline]
    pub(crate) const fn unarmed(self) -> u64 {
        match self {
            Self::Read => READ_UNARMED,
            Self::Write => WRITE_UNARMED,
        }
    }

    #[inline]
    const fn wait_flag(self) -> u64 {
        match self {
            Self::Read => READ_WAIT,
            Self::Write => WRITE_WAIT,
        }
    }

    #[inline]
    const fn more_flag(self) -> u64 {
        match self {
            Self::Read => READ_MORE,
            Self::Write => WRITE_MORE,
        }
    }
}

/// The word of a source as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(u64);

impl Seen {
    #[inline]
    pub(crate) fn any(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// What it says that may be reported again.
    pub(crate) fn readiness(self) -> u64 {
        self.0 & (READ_BITS | WRITE_BITS | PRIORITY | URGENT_SEEN | ERROR | ERROR_QUEUE)
    }

    #[inline]
    pub(crate) fn with(self, bits: u64) -> Self {
        Self(self.0 | bits)
    }

    #[inline]
    pub(crate) fn is_closed(self) -> bool {
        self.any(CLOSED)
    }

    /// Whether a new waiter of this direction may try the front. If not, it must look at what else the word says. `arms`:
    /// whether it waits for what the backend reports when it is asked to.
    #[inline]
    pub(crate) fn is_front_free(self, direction: Direction, arms: bool) -> bool {
        let unarmed = if arms { direction.unarmed() } else { 0 };
        !self.any(CLOSED | unarmed | direction.more_flag())
    }

    /// Whether a short transfer on a stream may mean that the side is drained.
    #[inline]
    pub(crate) fn short_means_drained(self) -> bool {
        !self.any(NOT_SHORT)
    }
}

/// One slot of the registry. It is never freed while its Notifier's memory lives, only retired and used again.
#[derive(Debug)]
pub(crate) struct Source {
    word: AtomicU64,
    /// The use of this slot; a report carries the one it was made for.
    generation: AtomicU32,
    /// The next free slot, while this one is free. Guarded by the registry's lock.
    pub(crate) next_free: AtomicU32,
    front: [Front; 2],
    waiters: Mutex<Waiters>,
}

#[derive(Debug)]
struct Waiters {
    read: Side,
    write: Side,
}

/// Those who wait on one direction behind the front: any number of nodes, and the reserved slot of the poll traits.
#[derive(Debug)]
struct Side {
    list: List,
    slot: Option<Waker>,
}

impl Side {
    fn is_empty(&self) -> bool {
        self.list.is_empty() && self.slot.is_none()
    }
}

impl Waiters {
    #[inline]
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }
}

/// What came of an attempt to wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The waiter is linked and will be woken.
    Linked,
    /// There is something to look at; nothing was linked.
    Ready,
}

impl Source {
    pub(crate) fn new() -> Self {
        let side = || Side { list: List::new(), slot: None };
        Self {
            word: AtomicU64::new(CLOSED),
            generation: AtomicU32::new(0),
            next_free: AtomicU32::new(u32::MAX),
            front: [Front::new(), Front::new()],
            waiters: Mutex::new(Waiters { read: side(), write: side() }),
        }
    }

    pub(crate) fn generation(&self) -> u32 {
        // Relaxed: for the registry, which holds its lock.
        self.generation.load(Ordering::Relaxed)
    }

    /// Makes a free slot usable, with nothing known about its readiness but what `bits` say.
    pub(crate) fn open(&self, bits: u64) {
        let tick = self.word.load(Ordering::Relaxed) & !(TICK - 1);
        // A swap like every other write, so that the word has one order that loom follows too; stale reports fail.
        self.word.swap(tick.wrapping_add(TICK) | bits, Ordering::AcqRel);
    }

    /// Ends this use of the slot: refuses every later report for it, wakes who still waits. False if the slot has no
    /// generation left and must not be used again.
    pub(crate) fn retire(&self, into: &mut Vec<Waker>) -> bool {
        let next = self.generation.load(Ordering::Relaxed).wrapping_add(1);
        // Release order: the generation first, then (in `close`) the tick. See the module's docs.
        self.generation.store(next, Ordering::Release);
        self.close(into);
        next != 0
    }

    /// Whether anybody waits on this side.
    pub(crate) fn is_waited_for(&self, direction: Direction) -> bool {
        self.seen().any(direction.wait_flag() | direction.more_flag())
    }

    /// Reads the word, before a syscall.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        // Acquire: pairs with `report`, so that the syscall that follows comes after what was reported.
        Seen(self.word.load(Ordering::Acquire))
    }

    /// The kernel said that `bits` hold now, for the use `generation` of this slot.
    #[inline(always)]
    pub(crate) fn report(&self, generation: u32, bits: u64, into: &mut Vec<Waker>) {
        // Backends report a closed side as ready too, so these two bits say whose turn it is.
        let waits = (bits & (READABLE | WRITABLE)) << WAIT_SHIFT;
        let mut word = self.word.load(Ordering::Acquire);
        let waiting = loop {
            if self.generation.load(Ordering::Acquire) != generation {
                return;
            }
            let next = ((word | bits) & !waits).wrapping_add(TICK);
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => break word & (waits | READ_MORE | WRITE_MORE),
                Err(now) => word = now,
            }
        };
        match waiting {
            0 => {}
            // One reader, and nobody else: nearly always, and all that is worth to be inlined.
            READ_WAIT => _ = self.wake_front(Direction::Read, into),
            _ => self.wake(waiting, bits, into),
        }
    }

    /// Wakes whom a report of `bits` concerns, of those whose flags are in `waiting`.
    #[inline(never)]
    fn wake(&self, waiting: u64, bits: u64, into: &mut Vec<Waker>) {
        let read = waiting & READ_WAIT != 0 && self.wake_front(Direction::Read, into);
        let write = waiting & WRITE_WAIT != 0 && self.wake_front(Direction::Write, into);
        if waiting & READ_MORE != 0 {
            self.wake_more(Direction::Read, bits, read, into);
        }
        if waiting & WRITE_MORE != 0 {
            self.wake_more(Direction::Write, bits, write, into);
        }
    }

    #[inline]
    fn wake_front(&self, direction: Direction, into: &mut Vec<Waker>) -> bool {
        match self.front(direction).take() {
            Some(waker) => {
                into.push(waker);
                true
            }
            None => false,
        }
    }

    /// Wakes whom a report of `bits` concerns in the list and the slot. `served`: one that consumes was woken already.
    #[cold]
    fn wake_more(&self, direction: Direction, bits: u64, served: bool, into: &mut Vec<Waker>) {
        if bits & (direction.bits() | PRIORITY) == 0 {
            return;
        }
        let mut waiters = self.waiters.lock();
        let side = waiters.side(direction);
        side.list.take(bits, served, into);
        if bits & direction.bits() != 0 {
            into.extend(side.slot.take());
        }
        if side.is_empty() {
            self.word.fetch_and(!direction.more_flag(), Ordering::AcqRel);
        }
    }

    #[inline]
    fn front(&self, direction: Direction) -> &Front {
        match direction {
            Direction::Read => &self.front[0],
            Direction::Write => &self.front[1],
        }
    }

    /// Takes back readiness that a syscall disproved, unless something was reported since `seen` was read (I5). True if
    /// nothing at all has changed since, so that there is nothing to see now.
    #[inline]
    pub(crate) fn clear(&self, seen: Seen, bits: u64) -> bool {
        let cleared = self.exchange(seen, seen.0 & !bits).is_ok();
        if !cleared {
            self.clear_slowly(seen, bits);
        }
        cleared
    }

    /// Some flag has changed. The tick says whether that was a report.
    #[cold]
    fn clear_slowly(&self, seen: Seen, bits: u64) {
        let mut now = self.seen();
        while now.0 / TICK == seen.0 / TICK {
            match self.exchange(now, now.0 & !bits) {
                Ok(()) => return,
                Err(changed) => now = changed,
            }
        }
    }

    /// AcqRel: ordered against reports, which are read-modify-writes of the same word.
    #[inline]
    fn exchange(&self, from: Seen, to: u64) -> Result<(), Seen> {
        self.word.compare_exchange(from.0, to, Ordering::AcqRel, Ordering::Acquire).map(drop).map_err(Seen)
    }

    /// For bits of [`UNARMED`] that one request serves: true for one caller, who then arms it, whoever comes first after they
    /// were set.
    pub(crate) fn take_unarmed(&self, bits: u64) -> bool {
        // AcqRel: as in `exchange`.
        self.word.fetch_and(!bits, Ordering::AcqRel) & bits != 0
    }

    /// It could not be armed: the next waiter tries again.
    pub(crate) fn set_unarmed(&self, bits: u64) {
        self.word.fetch_or(bits, Ordering::AcqRel);
    }

    /// From now on the kernel receives by itself, at times, and short reads mean nothing.
    pub(crate) fn make_vague(&self) {
        if !self.seen().any(VAGUE) {
            self.word.fetch_or(VAGUE, Ordering::AcqRel);
        }
    }

    /// Forgets all readiness: what was reported before a connect or a listen says nothing about what comes after.
    /// Returns what it forgot.
    pub(crate) fn reset(&self, bits: u64) -> Seen {
        let keep = READ_WAIT
            | WRITE_WAIT
            | READ_MORE
            | WRITE_MORE
            | ERROR_QUEUE
            | CLOSED
            | NO_STREAM
            | UNARMED
            | VAGUE;
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = ((word & !(TICK - 1)) | (word & keep) | bits).wrapping_add(TICK);
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Seen(word),
                Err(now) => word = now,
            }
        }
    }

    /// Refuses every later operation and takes all waiters, who will find the source closed.
    pub(crate) fn close(&self, into: &mut Vec<Waker>) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let next = (word | CLOSED).wrapping_add(TICK);
            match self.word.compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let mut waiters = self.waiters.lock();
        for direction in [Direction::Read, Direction::Write] {
            into.extend(self.front(direction).take());
            let side = waiters.side(direction);
            side.list.take_all(into);
            into.extend(side.slot.take());
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests;
