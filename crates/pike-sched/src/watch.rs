//! Sleeping workers have an eye on those that are awake: one of them may be stuck in a task's code.
//!
//! A task that computes for long keeps its worker from turning its Notifier, and other tasks may wait for sockets of that
//! Notifier. So a worker that goes to sleep while others are awake sets an *alarm*, and looks at them when it goes off: one
//! that was awake at the look before, is awake now and has not turned in between is stuck. The watcher takes the free seat of
//! its Notifier for a turn, and runs what that makes ready; it also takes the task that was to be run next there. Tasks move,
//! registrations do not.
//!
//! The alarm goes off after a millisecond for each worker that sleeps, four at most: so the others are looked at about once a
//! millisecond, however many sleep. It is not set again when all others sleep and none has run a task since the look before:
//! an idle pool sleeps for good. Who rises from such a rest, for something else than its alarm, wakes a sleeper, which sets its alarm; that costs one notification
//! for each rest of a few milliseconds, and none under load.
//!
//! The first worker may be absent: no thread is in `run` or `block_on`. Its Notifier is then looked after as long as something
//! waits there. A Notifier that is bound can be turned by no other thread, so with those there are no alarms.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    ptr,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Wake, Waker},
    time::{Duration, Instant},
};

use pike::time::{Sleep, sleep_until};

use crate::{pool::Shared, task::When, worker::Worker};

/// The time from one look to the next. A worker that does nothing for so long has not turned for 200 microseconds either.
const LOOK: Duration = Duration::from_millis(1);
const SLEEPERS_MAX: u32 = 4;

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
pub(crate) struct Watch(RefCell<Option<Inner>>);

struct Inner {
    alarm: Arc<Alarm>,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs. It is not stopped: an alarm that is not wanted any more is one wake for nothing.
    is_set: bool,
    /// What it saw when it looked last.
    seen: Vec<Seen>,
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
        Self(RefCell::new(None))
    }

    /// Whether the last look found that something had happened.
    fn is_busy(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|inner| inner.busy)
    }

    /// Whether it is time to look.
    pub(crate) fn went_off(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|inner| inner.alarm.went_off.load(Relaxed))
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
        Seen { turns: notifier.turns(), runs: self.crew.slots[worker].tally.runs.get(), awake }
    }
}

impl Worker {
    /// Whether this worker should set its alarm before it sleeps.
    pub(crate) fn wants_alarm(&self) -> bool {
        let (pool, me) = (&self.pool, self.index());
        if !pool.has_watch() {
            return false;
        }
        let first_is_absent = pool.first_is_absent();
        pool.crew.idle.others_are_awake(me, pool.notifiers.len(), first_is_absent)
            || self.sharing.watch.is_busy()
            || (first_is_absent && me != 0 && !pool.notifiers[0].is_unused())
    }

    /// Sets the alarm, if it is not set.
    pub(crate) fn set_alarm(&self, rounds: &Waker) {
        let pool = &self.pool;
        let mut watch = self.sharing.watch.0.borrow_mut();
        let inner = match &mut *watch {
            Some(inner) if inner.is_set => return,
            Some(inner) if inner.alarm.rounds.will_wake(rounds) => inner,
            _ => watch.insert(Inner {
                alarm: Arc::new(Alarm { went_off: AtomicBool::new(false), rounds: rounds.clone() }),
                timer: Box::pin(sleep_until(Instant::now())),
                is_set: false,
                seen: Vec::new(),
                busy: true,
            }),
        };
        inner.is_set = true;
        inner.seen.clear();
        inner.seen.extend((0..pool.notifiers.len()).map(|worker| pool.see(worker)));
        inner.timer.as_mut().reset(Instant::now() + LOOK * pool.crew.idle.sleepers().clamp(1, SLEEPERS_MAX));
        let waker = Waker::from(Arc::clone(&inner.alarm));
        if inner.timer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            waker.wake();
        }
    }

    /// The worker has risen: if its alarm went off, it looks at the others.
    pub(crate) fn look_at_others(&self) {
        let mut watch = self.sharing.watch.0.borrow_mut();
        match &mut *watch {
            Some(inner) if inner.alarm.went_off.swap(false, Acquire) => self.look(inner),
            _ => (),
        }
    }

    #[cold]
    fn look(&self, inner: &mut Inner) {
        (inner.is_set, inner.busy) = (false, false);
        for (other, before) in inner.seen.iter().enumerate() {
            if other == self.index() {
                continue;
            }
            let now = self.pool.see(other);
            if now.awake && before.awake && now.turns == before.turns {
                self.help(other);
            }
            // Not turns, of which those are that an alarm brought about.
            inner.busy |= now.runs != before.runs;
        }
    }

    /// Does for a stuck worker what it does not come to.
    fn help(&self, other: usize) {
        let pool = &self.pool;
        if !pool.notifiers[other].is_unused() {
            self.sharing.in_turn.set(true);
            // It fails if the seat is taken after all; then there is no need.
            if pool.notifiers[other].poll(Some(Duration::ZERO)).is_ok() {
                self.slot().tally.turns_for_others.add(1);
            }
            self.close_batch();
        }
        // Acquire: pairs with the Release of the worker that put it there.
        let next = pool.crew.slots[other].next.swap(ptr::null_mut(), Acquire);
        if !next.is_null() {
            self.slot().tally.steals.add(1);
            self.push_shared(self.runnable(next), When::Later);
        }
    }
}
