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
//!   worker runs anything else, if there is more then than that. So a batch of one wakes nobody, and one of a thousand, or a
//!   task that spawns a thousand, wakes one worker, which wakes the next when it has found something. A worker that came up
//!   while a thousand are being spawned would only fight for them: that cost twice what it brought. If the pushing task goes
//!   on for long, the sleeper that [`watch`](crate::watch)es finds what it has pushed within a millisecond. Where nobody
//!   can watch, the notification comes at once.
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
    pool::Shared,
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

impl Shared {
    /// Whether there is a task for whoever looks, for the moment.
    fn has_work(&self) -> bool {
        !self.home.inbox.is_empty() || self.crew.slots.iter().any(|slot| !slot.ring.is_empty())
    }
}

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
        let task = runnable.into_raw().as_ptr();
        if when == When::Later || self.is_behind_others() {
            self.put(task);
            return self.sharing.unannounced.set(true);
        }
        let next = &self.slot().next;
        // Nobody else puts a task there. Release: pairs with the Acquire of who takes it.
        if next.load(Relaxed).is_null() {
            return next.store(task, Release);
        }
        let displaced = next.swap(task, AcqRel);
        if !displaced.is_null() {
            self.put(displaced);
            match self.is_watched() {
                true => self.sharing.unannounced.set(true),
                false => self.notify(),
            }
        }
    }

    /// Whether what is woken now has awaited the task whose run ends, and there are others that it may await too.
    #[inline]
    fn is_behind_others(&self) -> bool {
        let slot = self.slot();
        self.sharing.completed.get() && !(slot.ring.is_empty() && slot.next.load(Relaxed).is_null())
    }

    /// Whether a sleeper looks at this worker while it runs something, and finds what was pushed.
    #[inline]
    fn is_watched(&self) -> bool {
        self.pool.has_watch() && !self.pool.crew.has_failed(self.index())
    }

    /// Wakes a sleeping worker, for a task that was pushed before.
    fn notify(&self) {
        if self.pool.crew.notify() {
            self.slot().tally.notifications.add(1);
        }
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
        self.sharing.unannounced.set(true);
    }

    /// Runs tasks of the pool until there are none or others have waited long enough. Says how many.
    pub(crate) fn run_shared(&self) -> usize {
        let mut runs = 0;
        while runs < RUNS_PER_ROUND {
            let Some(runnable) = self.next_task().or_else(|| self.search()) else { break };
            self.announce();
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
                sharing.unannounced.set(true);
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
        self.sharing.unannounced.set(true);
    }

    /// Looks for tasks that others have, unless another worker does so.
    #[cold]
    fn search(&self) -> Option<Runnable> {
        let (sharing, crew) = (&self.sharing, &self.pool.crew);
        if !sharing.searching.get() {
            if !crew.idle.search() {
                return None;
            }
            sharing.searching.set(true);
        }
        let own = &self.slot().ring;
        // It begins behind itself, so that not all look at the same worker first.
        let (before, behind) = crew.slots.split_at(self.index());
        let mut others = behind[1..].iter().chain(before);
        let (task, count) = others.find_map(|other| other.ring.steal_into(own))?;
        self.slot().tally.steals.add(count.into());
        Some(self.runnable(task))
    }

    /// A task is about to be run: if there are more that another worker could take, one is woken for them.
    #[inline]
    fn announce(&self) {
        let sharing = &self.sharing;
        if sharing.searching.get() || sharing.just_up.get() {
            self.get_ready();
        }
        self.tell_others();
    }

    /// Wakes a worker for what was pushed since this was called last.
    #[inline]
    pub(crate) fn tell_others(&self) {
        if self.sharing.unannounced.get() {
            self.sharing.unannounced.set(false);
            if !self.slot().ring.is_empty() || !self.pool.home.inbox.is_empty() {
                self.notify();
            }
        }
    }

    /// Code of a task or of the main future is about to run, which may take for ever: what this worker would do for others as
    /// soon as it is over is done now.
    ///
    /// It does not stay the one that searches, for whom all others wait. And if nobody is set to look whether it is stuck, a
    /// sleeper is woken to see to that.
    #[inline]
    pub(crate) fn before_work(&self) {
        if self.sharing.just_up.get() || self.sharing.searching.get() {
            self.get_ready();
        }
    }

    #[cold]
    fn get_ready(&self) {
        if !self.sharing.on.get() {
            return;
        }
        let searched = self.sharing.searching.get();
        if searched {
            self.stop_searching();
        }
        // Who came up while this one searched could wake nobody, and leaves that to it as well.
        let looks = self.sharing.just_up.replace(false) || searched;
        if looks && self.pool.has_watch() && self.pool.crew.idle.is_unwatched() {
            self.notify();
        }
    }

    #[cold]
    fn stop_searching(&self) {
        self.sharing.unannounced.set(false);
        self.sharing.searching.set(false);
        self.pool.crew.idle.found();
        if self.pool.has_work() {
            self.notify();
        }
    }

    /// Whether there is nothing to be run that this worker would find without searching.
    #[inline]
    pub(crate) fn has_nothing_shared(&self) -> bool {
        let slot = self.slot();
        slot.next.load(Relaxed).is_null() && slot.ring.is_empty() && self.pool.home.inbox.is_empty()
    }

    /// Says that this worker sleeps. False if it must not: there is work after all.
    pub(crate) fn fall_asleep(&self, rounds: &Waker) -> bool {
        let sharing = &self.sharing;
        let (idle, wants_alarm) = (&self.pool.crew.idle, self.wants_alarm());
        sharing.asleep.set(true);
        let (must_look, alarm) = idle.sleep(self.index(), sharing.searching.replace(false), wants_alarm);
        sharing.alarm.set(alarm);
        // One that rose meanwhile has seen neither an alarm nor a sleeper.
        let is_late = !wants_alarm && self.wants_alarm() && idle.is_unwatched();
        if (must_look && self.pool.has_work()) || is_late {
            self.rise();
            return false;
        }
        if alarm {
            self.set_alarm(rounds);
        }
        sharing.in_turn.set(true);
        true
    }

    /// Says that it does not sleep any more, and takes in what the turn has made ready.
    pub(crate) fn rise(&self) {
        let sharing = &self.sharing;
        if sharing.asleep.replace(false) {
            self.slot().sighting.forget();
            sharing.just_up.set(true);
            if self.pool.crew.idle.rise(self.index(), sharing.alarm.replace(false)) {
                sharing.searching.set(true);
            }
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
        if self.sharing.searching.get() {
            self.stop_searching();
        }
        // It may have been the watcher.
        if self.pool.has_watch() && self.pool.crew.idle.is_unwatched() {
            self.notify();
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
        worker.sharing.just_up.set(just_up);
        worker
    }

    /// While it searched it stood in the way of one that was up, and had nobody set to look after it.
    #[test]
    fn who_gives_a_search_up_has_the_others_watched() {
        let pool = pool(3);
        let (up, searches) = (worker(&pool, 0, true), worker(&pool, 1, false));
        pool.crew.idle.sleep(2, false, false);
        assert!(searches.search().is_none() && searches.sharing.searching.get());
        up.before_work();
        assert!(pool.crew.idle.is_asleep(2), "one is waking at a time");
        searches.before_work();
        assert!(!pool.crew.idle.is_asleep(2), "nobody watches");
    }
}
