//! Sleeping workers have an eye on those that are awake: one of them may be stuck in a task's code.
//!
//! A task that computes for long keeps its worker from turning its Notifier, and other tasks may wait for sockets of that
//! Notifier. So one of those that sleep while others are awake sets an *alarm*, and looks at them when it goes off: one
//! that was awake at the look before, is awake now and has not turned in between is stuck. The watcher takes the free seat of
//! its Notifier for a turn, and runs what that makes ready; it also takes the task that was to be run next there. Tasks move,
//! registrations do not.
//!
//! Two looks tell that a worker is stuck: it was awake at both, turned its Notifier not once in between, and they are 200
//! microseconds apart. What a look saw is kept in the watched worker's [`Sighting`], so that any sleeper's next look goes on
//! from there. So the alarm is set to 200 microseconds while a worker is awake at whose Notifier something waits, and to a
//! millisecond otherwise. The looks cost 3 to 6 % of a processor that has nothing else to do (5,000 a second, beside a worker
//! that was busy for two seconds, on a loaded machine of two). It is not set again when all others sleep
//! and none has run a task since the look before: an idle pool sleeps for good. Whoever comes to run something while others
//! sleep, and none of them with an alarm, wakes one for it before that (see `duty`). It does not matter what it was woken by;
//! one that was woken by its alarm and runs nothing need not. That costs one notification for each rest of a few
//! milliseconds, and none under load.
//!
//! A worker that runs many short tasks may come to no turn for 200 microseconds either. Its Notifier is turned for it then,
//! but it keeps its next task: that is taken only if it has run nothing in between.
//!
//! While no worker sleeps, those that run tasks look themselves: after every eighth turn, if a millisecond has gone by since they
//! did. So a stuck worker's sockets are looked at within a few milliseconds, unless the tasks of the others are long too.
//!
//! The first worker may be absent: no thread is in `run` or `block_on`. Its Notifier is then looked after as long as something
//! waits there. A Notifier that is bound can be turned by no other thread, so with those there are no alarms.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    ptr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use pike::time::{Sleep, sleep_until};

use crate::{pool::Shared, task::When, worker::Worker};

/// A worker that is awake and has not turned its Notifier for so long is stuck.
const STUCK: Duration = Duration::from_micros(200);
/// The time from one look to the next while something waits at the Notifier of a worker that is awake.
const LOOK_CLOSELY: Duration = STUCK;
/// The same while nothing does: a worker may rise at any moment, and a task may be kept from running without any I/O. Also of a
/// worker that does not sleep, from one look to the next at least.
const LOOK: Duration = Duration::from_millis(1);
/// After how many turns such a worker looks at the clock for that.
const TURNS_PER_LOOK: u32 = 8;

/// What the looks at a worker have seen. Hints: two that look at once may mix theirs up, and one helps early, or a look later.
pub(crate) struct Sighting {
    turns: AtomicU64,
    runs: AtomicU64,
    /// When a look saw these first, in nanoseconds of the crew's clock.
    since: AtomicU64,
}

/// No number of turns.
const NEVER: u64 = u64::MAX;

/// What a look finds out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Finding {
    Fine,
    /// It comes to no turn, and runs tasks.
    Busy,
    /// It is in one task's code.
    Stuck,
}

impl Default for Sighting {
    fn default() -> Self {
        Self { turns: AtomicU64::new(NEVER), runs: AtomicU64::new(0), since: AtomicU64::new(0) }
    }
}

impl Sighting {
    /// The worker has slept: what was seen before tells nothing of how long it is awake.
    pub(crate) fn forget(&self) {
        self.turns.store(NEVER, Relaxed);
    }

    fn begin(&self, turns: u64, runs: u64, now: u64) {
        self.runs.store(runs, Relaxed);
        self.since.store(now, Relaxed);
        self.turns.store(turns, Relaxed);
    }

    fn look(&self, seen: Seen, now: u64) -> Finding {
        if !seen.awake {
            self.forget();
        } else if self.turns.load(Relaxed) != seen.turns {
            self.begin(seen.turns, seen.runs, now);
        } else if now.saturating_sub(self.since.load(Relaxed)) >= STUCK.as_nanos() as u64 {
            let ran = self.runs.load(Relaxed) != seen.runs;
            return if ran { Finding::Busy } else { Finding::Stuck };
        }
        Finding::Fine
    }
}

/// Goes off by waking the worker's rounds.
struct Alarm {
    went_off: AtomicBool,
    rounds: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.went_off.store(true, Release);
        self.rounds.wake_by_ref();
    }
}

/// What a worker knows of the others.
pub(crate) struct Watch {
    inner: RefCell<Option<Inner>>,
    /// Counts its turns between runs.
    turns: Cell<u32>,
    /// When it looked last without an alarm, by the crew's clock.
    looked: Cell<u64>,
}

struct Inner {
    alarm: Arc<Alarm>,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs. It is not stopped: an alarm that is not wanted any more is one wake for nothing.
    is_set: bool,
    /// How many tasks each worker had run when it looked last.
    runs: Vec<u64>,
    /// Whether a task was run between the last two looks.
    busy: bool,
}

/// A worker, as another sees it.
#[derive(Clone, Copy)]
struct Seen {
    turns: u64,
    runs: u64,
    awake: bool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { inner: RefCell::new(None), turns: Cell::new(0), looked: Cell::new(0) }
    }

    /// Whether the last look found that something had happened.
    fn is_busy(&self) -> bool {
        self.inner.borrow().as_ref().is_some_and(|inner| inner.busy)
    }
}

impl Shared {
    /// Whether workers can take each other's seats.
    pub(crate) fn has_watch(&self) -> bool {
        !self.bound
    }

    /// The first worker is absent from now on: if something waits at its Notifier, a sleeper is to set its alarm for it.
    pub(crate) fn have_first_looked_after(&self) {
        if self.is_shared() && self.has_watch() && !self.is_ending() && !self.notifiers[0].is_unused() {
            self.crew.notify();
        }
    }

    fn first_is_absent(&self) -> bool {
        !self.crew.first_is_driven.load(Relaxed)
    }

    fn see(&self, worker: usize) -> Seen {
        let notifier = &self.notifiers[worker];
        let awake = match worker == 0 && self.first_is_absent() {
            true => !notifier.is_unused(),
            false => !self.crew.idle.is_asleep(worker),
        };
        // Nothing waits at a Notifier that has failed, and no task but its own at such a worker.
        let awake = awake && !self.crew.has_failed(worker);
        Seen { turns: notifier.turns(), runs: self.crew.slots[worker].tally.runs.get(), awake }
    }
}

impl Worker {
    /// Whether this worker should set its alarm before it sleeps.
    pub(crate) fn wants_alarm(&self) -> bool {
        let (pool, me) = (&self.pool, self.index());
        // It could not sleep on a Notifier that has failed.
        if !pool.has_watch() || pool.crew.has_failed(me) {
            return false;
        }
        pool.crew.idle.others_are_awake(me, pool.notifiers.len(), pool.crew.absent())
            || self.sharing.watch.is_busy()
            || (pool.first_is_absent() && me != 0 && pool.see(0).awake)
    }

    /// Sets the alarm, if it is not set.
    pub(crate) fn set_alarm(&self, rounds: &Waker) {
        let pool = &self.pool;
        let mut watch = self.sharing.watch.inner.borrow_mut();
        let inner = match &mut *watch {
            // Else it is that of rounds which a panic has ended, and would wake nobody.
            Some(inner) if inner.alarm.rounds.will_wake(rounds) => match inner.is_set {
                true => return,
                false => inner,
            },
            _ => watch.insert(Inner {
                alarm: Arc::new(Alarm { went_off: AtomicBool::new(false), rounds: rounds.clone() }),
                timer: Box::pin(sleep_until(Instant::now())),
                is_set: false,
                runs: Vec::new(),
                busy: true,
            }),
        };
        inner.is_set = true;
        inner.runs.clear();
        let (now, mut closely) = (pool.crew.now(), false);
        for other in 0..pool.notifiers.len() {
            let seen = pool.see(other);
            inner.runs.push(seen.runs);
            if other != self.index() {
                // The first of two looks, if nobody has looked before.
                let _ = pool.crew.slots[other].sighting.look(seen, now);
                closely |= seen.awake && !pool.notifiers[other].is_unused();
            }
        }
        inner.timer.as_mut().reset(Instant::now() + if closely { LOOK_CLOSELY } else { LOOK });
        let waker = Waker::from(Arc::clone(&inner.alarm));
        if inner.timer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }

    /// The worker has risen: if its alarm went off, it looks at the others.
    pub(crate) fn look_at_others(&self) {
        let mut watch = self.sharing.watch.inner.borrow_mut();
        match &mut *watch {
            Some(inner) if inner.alarm.went_off.swap(false, Acquire) => self.look(inner),
            _ => (),
        }
    }

    #[cold]
    fn look(&self, inner: &mut Inner) {
        (inner.is_set, inner.busy) = (false, false);
        let now = self.pool.crew.now();
        for (other, before) in inner.runs.iter().enumerate() {
            if other != self.index() {
                // Not turns, of which those are that an alarm brought about.
                inner.busy |= self.look_at(other, now) != *before;
            }
        }
    }

    /// After a turn between runs: if nobody else looks at the others, this worker does, every now and then.
    #[inline]
    pub(crate) fn look_while_busy(&self) {
        let turns = &self.sharing.watch.turns;
        turns.set(turns.get().wrapping_add(1));
        if turns.get() % TURNS_PER_LOOK == 0 && self.sharing.on.get() && self.pool.has_watch() {
            self.look_if_time();
        }
    }

    #[cold]
    fn look_if_time(&self) {
        let (pool, looked) = (&self.pool, &self.sharing.watch.looked);
        let now = pool.crew.now();
        if now.saturating_sub(looked.get()) < LOOK.as_nanos() as u64 || pool.crew.idle.is_watched() {
            return;
        }
        looked.set(now);
        for other in (0..pool.notifiers.len()).filter(|other| *other != self.index()) {
            self.look_at(other, now);
        }
    }

    /// Looks at a worker, and helps it if it is stuck. How many tasks it has run.
    fn look_at(&self, other: usize, now: u64) -> u64 {
        let (seen, sighting) = (self.pool.see(other), &self.pool.crew.slots[other].sighting);
        let finding = sighting.look(seen, now);
        if finding != Finding::Fine {
            self.help(other, finding);
            // Its next 200 microseconds begin.
            sighting.begin(self.pool.notifiers[other].turns(), seen.runs, now);
        }
        seen.runs
    }

    /// Does for a worker what it does not come to.
    fn help(&self, other: usize, finding: Finding) {
        let pool = &self.pool;
        if !pool.notifiers[other].is_unused() {
            self.sharing.in_turn.set(true);
            let before = self.queue().len();
            // It fails if the seat is taken after all; then there is no need.
            if pool.notifiers[other].poll(Some(Duration::ZERO)).is_ok() {
                self.slot().tally.turns_for_others.add(1);
            }
            self.count_batch(before);
            self.close_batch();
        }
        if finding != Finding::Stuck {
            return;
        }
        // Acquire: pairs with the Release of the worker that put it there.
        let next = pool.crew.slots[other].next.swap(ptr::null_mut(), Acquire);
        if !next.is_null() {
            self.slot().tally.steals.add(1);
            self.push_shared(self.runnable(next), When::Later);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn two_looks_tell_who_is_stuck() {
        let (sighting, later) = (Sighting::default(), STUCK.as_nanos() as u64);
        let seen = Seen { turns: 7, runs: 3, awake: true };
        assert_eq!(sighting.look(seen, 10), Finding::Fine, "the first look");
        assert_eq!(sighting.look(seen, 9 + later), Finding::Fine, "not for so long");
        assert_eq!(sighting.look(seen, 10 + later), Finding::Stuck);
        assert_eq!(sighting.look(Seen { runs: 4, ..seen }, 10 + later), Finding::Busy);
        let turned = Seen { turns: 8, ..seen };
        assert_eq!(sighting.look(turned, 10 + later), Finding::Fine);
        assert_eq!(sighting.look(Seen { awake: false, ..turned }, 10 + 2 * later), Finding::Fine);
        assert_eq!(sighting.look(turned, 10 + 2 * later), Finding::Fine, "it is just up");
        sighting.forget();
        assert_eq!(sighting.look(turned, 10 + 3 * later), Finding::Fine, "it is just up again");
        assert_eq!(sighting.look(turned, 10 + 4 * later), Finding::Stuck);
    }
}
