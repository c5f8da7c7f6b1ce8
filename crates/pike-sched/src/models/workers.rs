//! Who sleeps, who searches, who watches, and what was pushed: `duty` and `idle`, as workers use them.
//!
//! A worker whose code never ends is freed by who finds what it has kept from the others. So if nobody does, the model ends in a
//! deadlock.

use loom::{
    sync::{
        Arc, Mutex, Notify,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    duty::{Duty, View},
    idle::Idle,
};

struct Pool {
    idle: Idle,
    has_watch: bool,
    /// How many tasks any worker may take, in a ring or in the inbox.
    tasks: AtomicUsize,
    /// Whether a thread is the first worker. None if one is all the time.
    first_is_driven: Option<AtomicBool>,
    slots: Vec<Slot>,
    time: Mutex<Time>,
}

struct Slot {
    /// Whether there is a task that is to be run next, which a worker takes that finds this one stuck.
    next: AtomicBool,
    notifier: Notify,
    freed: Notify,
}

/// One bit a worker. An alarm goes off once there is something to be found: what it does before that changes nothing.
#[derive(Default)]
struct Time {
    /// In code that does not end.
    stuck: usize,
    /// With an alarm set.
    alarms: usize,
    /// With an alarm that went off, and no look yet.
    went_off: usize,
}

impl Pool {
    fn new(workers: usize, has_watch: bool) -> Arc<Self> {
        Self::make(workers, has_watch, None)
    }

    fn make(workers: usize, has_watch: bool, first_is_driven: Option<AtomicBool>) -> Arc<Self> {
        let slot = |_| Slot { next: AtomicBool::new(false), notifier: Notify::new(), freed: Notify::new() };
        Arc::new(Self {
            idle: Idle::new(),
            has_watch,
            tasks: AtomicUsize::new(0),
            first_is_driven,
            slots: (0..workers).map(slot).collect(),
            time: Mutex::default(),
        })
    }

    /// As `Home::receive`.
    fn push(&self) {
        self.tasks.fetch_add(1, Relaxed);
        self.notify();
    }

    /// As `Crew::notify`.
    fn notify(&self) {
        if let Some(worker) = self.idle.claim() {
            self.slots[worker].notifier.notify();
        }
    }

    fn has_tasks(&self) -> bool {
        self.tasks.load(Relaxed) > 0
    }

    fn free_all(&self) {
        for slot in &self.slots {
            slot.notifier.notify();
            slot.freed.notify();
        }
    }

    fn pass_time(&self, time: &mut Time) {
        let mut slots = self.slots.iter().enumerate();
        let is_kept = slots.any(|(worker, slot)| time.stuck & 1 << worker != 0 && slot.next.load(Relaxed));
        if time.stuck != 0 && (is_kept || self.has_tasks()) {
            time.went_off |= time.alarms;
            for (_, slot) in
                self.slots.iter().enumerate().filter(|(worker, _)| time.alarms & 1 << worker != 0)
            {
                slot.notifier.notify();
            }
            time.alarms = 0;
        }
    }
}

struct Worker {
    pool: Arc<Pool>,
    index: usize,
    duty: Duty,
}

impl Worker {
    /// One that is just up.
    fn new(pool: &Arc<Pool>, index: usize) -> Self {
        Self { pool: Arc::clone(pool), index, duty: Duty::new() }
    }

    /// One that has run something already.
    fn up(pool: &Arc<Pool>, index: usize) -> Self {
        let worker = Self::new(pool, index);
        worker.duty.before_own(&worker);
        worker
    }

    /// One that sleeps. True if it watches.
    fn asleep(pool: &Arc<Pool>, index: usize) -> (Self, bool) {
        let worker = Self::up(pool, index);
        let alarm = worker.fall_asleep().expect("there is nothing to do");
        (worker, alarm)
    }

    fn take(&self) -> bool {
        self.pool.tasks.fetch_update(Relaxed, Relaxed, |tasks| tasks.checked_sub(1)).is_ok()
    }

    /// As `Worker::fall_asleep`.
    fn fall_asleep(&self) -> Option<bool> {
        let alarm = self.duty.sleep(self)?;
        if alarm {
            let mut time = self.pool.time.lock().unwrap();
            time.alarms |= 1 << self.index;
            self.pool.pass_time(&mut time);
        }
        Some(alarm)
    }

    /// As `block_on` and the beginning of `poll_with_seat`. True if it has a task now.
    fn sleep(&self) -> bool {
        self.pool.slots[self.index].notifier.wait();
        self.duty.rise(self);
        self.pool.has_watch && self.look_at_others()
    }

    /// If its alarm has gone off it takes what a stuck worker keeps.
    fn look_at_others(&self) -> bool {
        let mut time = self.pool.time.lock().unwrap();
        time.alarms &= !(1 << self.index);
        let went_off = time.went_off & 1 << self.index != 0;
        time.went_off &= !(1 << self.index);
        let mut slots = self.pool.slots.iter().enumerate();
        went_off
            && slots.any(|(worker, slot)| time.stuck & 1 << worker != 0 && slot.next.swap(false, Relaxed))
    }

    /// Its rounds until it has found a task, and is about to run it: as `poll_with_seat` and `run_shared`.
    fn find(&self) {
        while !(self.duty.search(self) && self.take()) {
            if self.fall_asleep().is_some() && self.sleep() {
                break;
            }
        }
        self.duty.before_task(self);
    }

    /// The same, and then it frees the others, wherever they are.
    fn find_and_free(&self) {
        self.find();
        self.pool.free_all();
    }

    /// Runs code that does not end before it is freed.
    fn get_stuck(&self) {
        if self.pool.has_watch {
            let mut time = self.pool.time.lock().unwrap();
            time.stuck |= 1 << self.index;
            self.pool.pass_time(&mut time);
        }
        self.pool.slots[self.index].freed.wait();
    }

    /// The same once it has woken a task that it is to run next.
    fn get_stuck_before_next(&self) {
        self.pool.slots[self.index].next.store(true, Relaxed);
        self.get_stuck();
    }
}

impl View for Worker {
    fn idle(&self) -> &Idle {
        &self.pool.idle
    }

    fn index(&self) -> usize {
        self.index
    }

    fn shares(&self) -> bool {
        true
    }

    fn has_watch(&self) -> bool {
        self.pool.has_watch
    }

    fn is_watched(&self) -> bool {
        self.pool.has_watch
    }

    fn wants_alarm(&self) -> bool {
        let absent = || {
            let first = self.pool.first_is_driven.as_ref();
            first.map_or(0, |is_driven| u64::from(!is_driven.load(Relaxed)))
        };
        self.pool.has_watch && self.pool.idle.others_are_awake(self.index, self.pool.slots.len(), absent())
    }

    fn has_work(&self) -> bool {
        self.pool.has_tasks()
    }

    fn has_work_here(&self) -> bool {
        self.pool.has_tasks()
    }

    fn notify(&self) {
        self.pool.notify();
    }
}

/// One pushes while another goes to sleep. Caught: `claim` without its fence; `sleep` without its fence.
#[test]
fn loom_idle_a_push_meets_a_sleeper() {
    loom::model(|| {
        let pool = Pool::new(1, false);
        let worker = {
            let pool = pool.clone();
            thread::spawn(move || Worker::new(&pool, 0).find())
        };
        pool.push();
        worker.join().unwrap();
    });
}

/// Two tasks and two workers, of which each takes one: the second task is found by who did not get the first, though its
/// push may have found a worker waking already. Caught: `found` without its fence, or no look after it.
#[test]
fn loom_idle_one_wakes_the_next() {
    loom::model(|| {
        let pool = Pool::new(2, false);
        let workers = [0, 1].map(|worker| {
            let pool = pool.clone();
            thread::spawn(move || Worker::new(&pool, worker).find())
        });
        pool.push();
        pool.push();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

/// A worker is claimed and has something else to do, which never ends: the task is the other worker's. Caught: `get_ready`
/// without its look; without giving the search up.
#[test]
fn loom_idle_a_claimed_worker_hands_its_search_on() {
    loom::model(|| {
        let pool = Pool::new(2, false);
        let claimed = {
            let pool = pool.clone();
            thread::spawn(move || {
                let worker = Worker::new(&pool, 0);
                if worker.fall_asleep().is_some() {
                    worker.sleep();
                }
                worker.duty.before_own(&worker);
                worker.get_stuck();
            })
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || Worker::new(&pool, 1).find_and_free())
        };
        pool.push();
        other.join().unwrap();
        claimed.join().unwrap();
    });
}

/// The watcher rises and gets stuck, while the other worker goes to sleep and thinks that nobody is awake. Caught: `sleep`
/// without its second look; `get_ready` without the look whether somebody watches; `rise` that leaves the watcher's number.
#[test]
fn loom_watch_one_rises_while_the_other_falls_asleep() {
    loom::model(|| {
        let pool = Pool::new(2, true);
        let (rises, watches) = Worker::asleep(&pool, 0);
        assert!(watches);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || Worker::up(&pool, 1).find_and_free())
        };
        rises.duty.rise(&rises);
        rises.duty.before_own(&rises);
        rises.get_stuck_before_next();
        other.join().unwrap();
    });
}

/// The watcher rises while another one searches, so that it cannot have itself watched; both get stuck. Caught: `get_ready` that
/// looks for a watcher only after a rise, and not after a search as well.
#[test]
fn loom_watch_who_searches_stands_in_the_way() {
    loom::model(|| {
        let pool = Pool::new(3, true);
        let searches = Worker::up(&pool, 1);
        let (rises, watches) = Worker::asleep(&pool, 0);
        let (sleeps, watches_too) = Worker::asleep(&pool, 2);
        assert!(watches && !watches_too && searches.duty.search(&searches));
        // Stuck from then on, with nothing that anybody could take.
        let searches = thread::spawn(move || searches.duty.before_own(&searches));
        let sleeps = thread::spawn(move || {
            if !sleeps.sleep() {
                sleeps.find();
            }
            sleeps.pool.free_all();
        });
        rises.duty.rise(&rises);
        rises.duty.before_own(&rises);
        rises.get_stuck_before_next();
        searches.join().unwrap();
        sleeps.join().unwrap();
    });
}

/// A thread becomes the first worker, and gets stuck at once, while another worker falls asleep that takes it to be absent.
/// Caught: `is_unwatched` without its fence; `sleep` without its fence, or without its second look.
#[test]
fn loom_watch_the_first_worker_comes() {
    loom::model(|| {
        let pool = Pool::make(2, true, Some(AtomicBool::new(false)));
        let other = {
            let pool = pool.clone();
            thread::spawn(move || Worker::up(&pool, 1).find_and_free())
        };
        // As `set_driving`.
        pool.first_is_driven.as_ref().unwrap().store(true, Relaxed);
        let first = Worker::new(&pool, 0);
        first.duty.before_own(&first);
        first.get_stuck_before_next();
        other.join().unwrap();
    });
}

/// One worker pushes and gets stuck, by `pushes`, while another falls asleep.
fn announce(has_watch: bool, pushes: fn(&Worker)) {
    loom::model(move || {
        let pool = Pool::new(2, has_watch);
        let pusher = Worker::up(&pool, 0);
        let other = {
            let pool = pool.clone();
            thread::spawn(move || Worker::up(&pool, 1).find_and_free())
        };
        pushes(&pusher);
        pusher.get_stuck();
        other.join().unwrap();
    });
}

/// A turn makes two tasks ready, and the worker gets stuck in the first of them. Caught: `before_task` that tells nobody.
#[test]
fn loom_announce_before_a_task() {
    announce(false, |pusher| {
        // As `close_batch`.
        pusher.pool.tasks.fetch_add(2, Relaxed);
        pusher.duty.has_pushed();
        assert!(pusher.take());
        pusher.duty.before_task(pusher);
    });
}

/// A turn makes one ready, and then the worker's main future is stuck: without a watch somebody is told, and with one it is
/// found. Caught: `before_own` that does not ask whether it is watched.
#[test]
fn loom_announce_before_own_code() {
    for has_watch in [false, true] {
        announce(has_watch, |pusher| {
            pusher.pool.tasks.fetch_add(1, Relaxed);
            pusher.duty.has_pushed();
            pusher.duty.before_own(pusher);
        });
    }
}

/// A task pushes, and goes on for ever. Caught: `has_pushed_in_run` that does not ask.
#[test]
fn loom_announce_in_a_run() {
    for has_watch in [false, true] {
        announce(has_watch, |pusher| {
            pusher.duty.before_task(pusher);
            pusher.pool.tasks.fetch_add(1, Relaxed);
            pusher.duty.has_pushed_in_run(pusher);
        });
    }
}
