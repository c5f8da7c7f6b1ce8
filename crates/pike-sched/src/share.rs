//! How a worker of several shares its tasks with the others.
//!
//! ```text
//!   a turn's dispatch --> open batch --one push--> ring --pop--> run
//!   a wake in a run   --> next ---displaced------>  |  <--steal half-- another worker, when it searches
//!   a yield           ----------------------------> |
//!   a full ring, a wake on a thread of no worker --> the pool's inbox --pop--> run
//! ```
//!
//! - *The open batch.* What is woken in a turn is linked up, with no lock and no look at who sleeps. When the rounds go on
//!   they close it: one push to the ring, of which what does not fit goes to the inbox by one splice.
//! - *Next.* What a task wakes often is what it waits for, and what it has touched is in the cache: so it is run next, and
//!   nobody is woken for it. After 3 in a row, what waits in the ring has its turn first.
//! - *Joining.* Who awaits a task's handle, or a group, is woken by the end of a run, and goes to the ring if anything else is
//!   ready: often it awaits that as well. So who awaits a thousand tasks one after another is run a few times, not a thousand.
//! - *Announcing.* A push that another worker could take is followed by a notification (I8): not at once, but before this
//!   worker runs another task of the pool, if there is more then than that. So a batch of one wakes nobody, and one of a
//!   thousand, or a task that spawns a thousand, wakes one worker, which wakes the next when it has found something. A worker
//!   that came up while a thousand are being spawned would only fight for them: that cost twice what it brought. If the pushing
//!   task goes on for long, or code that has to run here comes between, the sleeper that [`watch`](crate::watch)es finds what was
//!   pushed within a millisecond. Where nobody can watch, the notification comes before any other code. See [`duty`](crate::duty).
//! - Every 61st task comes from the inbox, if there is one, so that busy workers do not starve it.
//!
//! What stays with its worker is never here, but in the worker's private queue: the tasks of `spawn_local` and
//! `spawn_each`, and with a bound Notifier every task after its first run.

#![allow(unsafe_code)]

use std::{
    ptr::{self, NonNull},
    sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release},
    task::Waker,
};

use crate::{
    duty::View,
    idle::Idle,
    queue::Queue,
    ring::CAPACITY,
    task::{self, Runnable, When},
    worker::Worker,
};

/// How many tasks are run from `next` in a row while others wait.
const NEXT_MAX: u8 = 3;
/// How often the inbox comes first.
const RUNS_PER_LOOK: u32 = 61;
/// After how many runs a worker sees to its other business: its main future, its private queue, its Notifier.
const RUNS_PER_ROUND: usize = 16;

impl Worker {
    /// Takes a task of the pool in that was woken on this thread.
    pub(crate) fn push_shared(&self, runnable: Runnable, when: When) {
        match runnable.metadata().bound_to() {
            None => (),
            Some(worker) if worker == self.index() => return self.push(runnable),
            Some(_) => return task::send_home(runnable),
        }
        if self.sharing.in_turn.get() {
            self.sharing.batch.push(runnable);
            return self.wake_rounds();
        }
        let (task, duty) = (runnable.into_raw().as_ptr(), &self.sharing.duty);
        if when == When::Later {
            // The run is over.
            self.put(task);
            return duty.has_pushed();
        }
        if self.is_behind_others() {
            self.put(task);
            return duty.has_pushed_in_run(self);
        }
        let next = &self.slot().next;
        // Nobody else puts a task there. Release: pairs with the Acquire of who takes it.
        if next.load(Relaxed).is_null() {
            return next.store(task, Release);
        }
        let displaced = next.swap(task, AcqRel);
        if !displaced.is_null() {
            self.put(displaced);
            duty.has_pushed_in_run(self);
        }
    }

    /// Whether what is woken now has awaited the task whose run ends, and there are others that it may await too.
    #[inline]
    fn is_behind_others(&self) -> bool {
        let slot = self.slot();
        self.sharing.completed.get() && !(slot.ring.is_empty() && slot.next.load(Relaxed).is_null())
    }

    /// Puts a task in the ring, or, if that is full, in the inbox together with half of the ring.
    fn put(&self, task: *mut ()) {
        let ring = &self.slot().ring;
        if let Err(task) = ring.push(task) {
            let over = Queue::new();
            for _ in 0..CAPACITY / 2 {
                match ring.pop() {
                    Some(task) => over.push(self.runnable(task)),
                    None => break,
                };
            }
            over.push(self.runnable(task));
            self.pool.home.inbox.append(over);
        }
    }

    /// A task out of a ring or a `next`.
    pub(crate) fn runnable(&self, task: *mut ()) -> Runnable {
        let task = NonNull::new(task).expect("only Runnables are put into rings");
        // SAFETY: it came from `into_raw` in `push_shared`, `close_batch` or `take_share`, or through `put`, which is given no
        // others; and each is taken once: out of `next` by a
        // swap, and out of a ring by its promise, since this worker's thread alone owns its ring.
        unsafe { Runnable::from_raw(task) }
    }

    /// The dispatch is over: what it made ready becomes visible, by one push.
    pub(crate) fn close_batch(&self) {
        self.sharing.in_turn.set(false);
        let batch = &self.sharing.batch;
        if batch.is_empty() {
            return;
        }
        self.slot().ring.fill(|| batch.pop().map(|runnable| runnable.into_raw().as_ptr()));
        if !batch.is_empty() {
            self.pool.home.inbox.append(batch.take());
        }
        self.sharing.duty.has_pushed();
    }

    /// Runs tasks of the pool until there are none or others have waited long enough. Says how many.
    pub(crate) fn run_shared(&self) -> usize {
        let mut runs = 0;
        while runs < RUNS_PER_ROUND {
            let Some(runnable) = self.next_task().or_else(|| self.search()) else { break };
            self.sharing.duty.before_task(self);
            if self.pool.bound {
                runnable.metadata().bind_to(self.index());
            }
            pike::budget::reset();
            runnable.run();
            self.sharing.completed.set(false);
            runs += 1;
        }
        self.slot().tally.runs.add(runs as u64);
        runs
    }

    /// The next task of those that this worker has, or that no worker has.
    #[inline]
    fn next_task(&self) -> Option<Runnable> {
        let (sharing, slot) = (&self.sharing, self.slot());
        let tick = sharing.tick.get().wrapping_add(1);
        sharing.tick.set(tick);
        if tick % RUNS_PER_LOOK == 0 {
            if let Some(runnable) = self.pool.home.inbox.pop(|_| ()) {
                return Some(runnable);
            }
        }
        if !slot.next.load(Relaxed).is_null() {
            // Acquire: pairs with the Release of a worker that put something there, which was this one.
            let task = slot.next.swap(ptr::null_mut(), Acquire);
            if !task.is_null() {
                if sharing.nexts.get() < NEXT_MAX || slot.ring.is_empty() {
                    sharing.nexts.set(sharing.nexts.get().saturating_add(1));
                    return Some(self.runnable(task));
                }
                self.put(task);
                sharing.duty.has_pushed();
            }
        }
        sharing.nexts.set(0);
        if let Some(task) = slot.ring.pop() {
            return Some(self.runnable(task));
        }
        self.pool.home.inbox.pop(|rest| self.take_share(rest))
    }

    /// Takes this worker's part of the inbox into its ring, which is empty.
    fn take_share(&self, rest: &Queue) {
        let mut share = (rest.len() / self.pool.crew.slots.len()).min(CAPACITY as usize / 2);
        self.slot().ring.fill(|| {
            share = share.checked_sub(1)?;
            rest.pop().map(|runnable| runnable.into_raw().as_ptr())
        });
        self.sharing.duty.has_pushed();
    }

    /// Looks for tasks that others have, unless another worker does so.
    #[cold]
    fn search(&self) -> Option<Runnable> {
        if !self.sharing.duty.search(self) {
            return None;
        }
        let (crew, own) = (&self.pool.crew, &self.slot().ring);
        // It begins behind itself, so that not all look at the same worker first.
        let (before, behind) = crew.slots.split_at(self.index());
        let mut others = behind[1..].iter().chain(before);
        let (task, count) = others.find_map(|other| other.ring.steal_into(own))?;
        self.slot().tally.steals.add(count.into());
        Some(self.runnable(task))
    }

    /// Whether there is nothing to be run that this worker would find without searching.
    #[inline]
    pub(crate) fn has_nothing_shared(&self) -> bool {
        let slot = self.slot();
        slot.next.load(Relaxed).is_null() && slot.ring.is_empty() && self.pool.home.inbox.is_empty()
    }

    /// Says that this worker sleeps. False if it must not: there is work after all.
    pub(crate) fn fall_asleep(&self, rounds: &Waker) -> bool {
        match self.sharing.duty.sleep(self) {
            Some(alarm) => {
                if alarm {
                    self.set_alarm(rounds);
                }
                self.sharing.in_turn.set(true);
                true
            }
            None => {
                self.slot().sighting.forget();
                false
            }
        }
    }

    /// Says that it does not sleep any more, and takes in what the turn has made ready.
    pub(crate) fn rise(&self) {
        if self.sharing.duty.rise(self) {
            self.slot().sighting.forget();
        }
        self.close_batch();
    }

    /// Leaves what it has to the others, and shares no more: what is woken here from now on goes to the private queue.
    pub(crate) fn stop_sharing(&self) {
        if !self.sharing.on.get() {
            return;
        }
        self.rise();
        self.sharing.on.set(false);
        let left = Queue::new();
        let next = self.slot().next.swap(ptr::null_mut(), Acquire);
        if !next.is_null() {
            left.push(self.runnable(next));
        }
        while let Some(task) = self.slot().ring.pop() {
            left.push(self.runnable(task));
        }
        self.pool.home.put_back(left);
        self.sharing.duty.stop(self);
    }
}

impl View for Worker {
    fn idle(&self) -> &Idle {
        &self.pool.crew.idle
    }

    fn index(&self) -> usize {
        self.index()
    }

    fn shares(&self) -> bool {
        self.sharing.on.get()
    }

    fn has_watch(&self) -> bool {
        self.pool.has_watch()
    }

    #[inline]
    fn is_watched(&self) -> bool {
        self.pool.has_watch() && !self.pool.crew.has_failed(self.index())
    }

    fn wants_alarm(&self) -> bool {
        self.wants_alarm()
    }

    fn has_work(&self) -> bool {
        self.has_work_here() || self.pool.crew.slots.iter().any(|slot| !slot.ring.is_empty())
    }

    #[inline]
    fn has_work_here(&self) -> bool {
        !self.slot().ring.is_empty() || !self.pool.home.inbox.is_empty()
    }

    fn notify(&self) {
        if self.pool.crew.notify() {
            self.slot().tally.notifications.add(1);
        }
    }
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use pike::Notifier;

    use super::*;
    use crate::{
        crew::{Crew, Slot},
        failures::Failures,
        home::Home,
        pool::Shared,
        seat::Seat,
    };

    /// A pool whose workers have no threads.
    fn pool(workers: usize) -> Arc<Shared> {
        let crew = Arc::new(Crew::new((0..workers).map(|_| Slot::new(Home::new())).collect()));
        Arc::new(Shared {
            notifiers: (0..workers).map(|_| Notifier::new().unwrap()).collect(),
            bound: false,
            home: Home::of_crew(Arc::clone(&crew)),
            crew,
            seat: Seat::new(),
            failures: Failures::new(workers, None),
            ending: AtomicBool::new(false),
        })
    }

    /// A worker that is awake, and that was up before or not.
    fn worker(pool: &Arc<Shared>, index: usize, just_up: bool) -> Worker {
        let worker = Worker::new(Arc::clone(pool), index);
        worker.sharing.on.set(true);
        if !just_up {
            // Nobody sleeps yet.
            worker.sharing.duty.before_own(&worker);
        }
        worker
    }

    /// While it searched it stood in the way of one that was up, and had nobody set to look after it.
    #[test]
    fn who_gives_a_search_up_has_the_others_watched() {
        let pool = pool(3);
        let (up, searches) = (worker(&pool, 0, true), worker(&pool, 1, false));
        pool.crew.idle.sleep(2, false, false);
        assert!(searches.search().is_none() && !pool.crew.idle.search());
        up.sharing.duty.before_own(&up);
        assert!(pool.crew.idle.is_asleep(2), "one is waking at a time");
        searches.sharing.duty.before_own(&searches);
        assert!(!pool.crew.idle.is_asleep(2), "nobody watches");
    }
}
