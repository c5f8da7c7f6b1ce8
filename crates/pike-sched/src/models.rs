//! The loom models: `ci/loom` runs them.
//!
//! Each was seen to fail with the protection removed that it names after "Caught". A wake that is lost is a worker that waits for
//! ever, which loom reports as a deadlock.

use std::{
    ptr,
    sync::{
        Arc as StdArc,
        atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst},
    },
};

use loom::{
    sync::{
        Arc, Notify,
        atomic::{AtomicUsize, Ordering::Relaxed, fence},
    },
    thread,
};

use crate::{
    home::Home,
    idle::Idle,
    inbox::Inbox,
    ring::{CAPACITY, Ring},
    task,
};

fn number(number: usize) -> *mut () {
    ptr::without_provenance_mut(number)
}

fn drain(ring: &Ring) -> Vec<usize> {
    std::iter::from_fn(|| ring.pop()).map(<*mut ()>::addr).collect()
}

/// The owner goes round the ring while a thief takes halves: each task is taken once, and none is lost. Caught: the thief
/// moving the head by a plain store; the owner popping by one.
#[test]
fn loom_ring_each_task_is_taken_once() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        for task in 1..=2 {
            ring.push(number(task)).unwrap();
        }
        let thief = {
            let ring = ring.clone();
            thread::spawn(move || {
                let own = Ring::new();
                let mut mine = Vec::new();
                for _ in 0..2 {
                    if let Some((task, _)) = ring.steal_into(&own) {
                        mine.push(task.addr());
                        mine.extend(drain(&own));
                    }
                }
                mine
            })
        };
        let mut taken = Vec::new();
        taken.extend(ring.pop().map(<*mut ()>::addr));
        for task in 3..=CAPACITY as usize + 1 {
            if ring.push(number(task)).is_err() {
                taken.push(task);
            }
        }
        taken.extend(drain(&ring));
        taken.extend(thief.join().unwrap());
        taken.sort_unstable();
        assert_eq!(taken, (1..=CAPACITY as usize + 1).collect::<Vec<_>>());
    });
}

/// Two thieves at one ring.
#[test]
fn loom_ring_two_thieves() {
    loom::model(|| {
        let ring = Arc::new(Ring::new());
        let mut tasks = 1..=3;
        ring.fill(|| tasks.next().map(number));
        let thieves = [0, 1].map(|_| {
            let ring = ring.clone();
            thread::spawn(move || {
                let own = Ring::new();
                let mut mine: Vec<_> =
                    ring.steal_into(&own).map(|(task, _)| task.addr()).into_iter().collect();
                mine.extend(drain(&own));
                mine
            })
        });
        let mut taken = drain(&ring);
        for thief in thieves {
            taken.extend(thief.join().unwrap());
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3]);
    });
}

/// Workers, each with a place to sleep in, and a number of tasks that any of them may take.
struct Pool {
    idle: Idle,
    tasks: AtomicUsize,
    notifiers: Vec<Notify>,
}

impl Pool {
    fn new(workers: usize) -> Arc<Self> {
        let notifiers = (0..workers).map(|_| Notify::new()).collect();
        Arc::new(Self { idle: Idle::new(), tasks: AtomicUsize::new(0), notifiers })
    }

    /// As `push_shared` or `Home::receive`.
    fn push(&self) {
        self.tasks.fetch_add(1, Relaxed);
        self.notify();
    }

    fn notify(&self) {
        if let Some(worker) = self.idle.claim() {
            self.notifiers[worker].notify();
        }
    }

    fn take(&self) -> bool {
        self.tasks.fetch_update(Relaxed, Relaxed, |tasks| tasks.checked_sub(1)).is_ok()
    }

    /// The rounds of a worker, until it has found a task: as `run_shared`, `fall_asleep` and `rise` do it.
    fn work(&self, worker: usize) {
        let mut searching = false;
        loop {
            searching = searching || self.idle.search();
            if searching && self.take() {
                self.idle.found();
                if self.tasks.load(Relaxed) > 0 {
                    self.notify();
                }
                return;
            }
            let must_look = self.idle.sleep(worker, searching, false).0;
            if !must_look || self.tasks.load(Relaxed) == 0 {
                self.notifiers[worker].wait();
            }
            searching = self.idle.rise(worker, false);
        }
    }
}

/// One pushes while another goes to sleep. Caught: `claim` without its fence; `sleep` without its fence.
#[test]
fn loom_idle_a_push_meets_a_sleeper() {
    loom::model(|| {
        let pool = Pool::new(1);
        let worker = {
            let pool = pool.clone();
            thread::spawn(move || pool.work(0))
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
        let pool = Pool::new(2);
        let workers = [0, 1].map(|worker| {
            let pool = pool.clone();
            thread::spawn(move || pool.work(worker))
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
        let pool = Pool::new(2);
        let claimed = {
            let pool = pool.clone();
            thread::spawn(move || {
                if !pool.idle.sleep(0, false, false).0 || pool.tasks.load(Relaxed) == 0 {
                    pool.notifiers[0].wait();
                }
                // As `get_ready`. What comes then holds nothing.
                if pool.idle.rise(0, false) {
                    pool.idle.found();
                    if pool.tasks.load(Relaxed) > 0 {
                        pool.notify();
                    }
                }
            })
        };
        let other = {
            let pool = pool.clone();
            thread::spawn(move || {
                pool.work(1);
                pool.notifiers[0].notify();
            })
        };
        pool.push();
        other.join().unwrap();
        claimed.join().unwrap();
    });
}

fn spawn(home: &StdArc<Home>, dropped: &StdArc<StdAtomicUsize>) -> crate::JoinHandle<()> {
    struct OnDrop(StdArc<StdAtomicUsize>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let on_drop = OnDrop(dropped.clone());
    let future = async move {
        let _on_drop = on_drop;
        std::future::pending::<()>().await;
    };
    crate::spawn::spawn_to(home.clone(), future)
}

/// Two threads push while a third takes: nothing is lost, and who has seen that it pushed is seen by who looks. Caught: the
/// length stored before the push.
#[test]
fn loom_inbox_nothing_is_overlooked() {
    loom::model(|| {
        let (inbox, flag) =
            (Arc::new((Inbox::new(), AtomicUsize::new(0))), StdArc::<StdAtomicUsize>::default());
        let home = Home::new();
        let handles = [0, 1].map(|_| spawn(&home, &flag));
        let mut tasks = home.inbox.take();
        let (first, second) = (tasks.pop().unwrap(), tasks.pop().unwrap());
        let pushers = [first, second].map(|task| {
            let inbox = inbox.clone();
            // A Runnable is Send.
            thread::spawn(move || {
                inbox.0.push(task);
                fence(loom::sync::atomic::Ordering::SeqCst);
                inbox.1.load(Relaxed)
            })
        });
        inbox.1.store(1, Relaxed);
        fence(loom::sync::atomic::Ordering::SeqCst);
        let mut seen: Vec<_> = inbox.0.pop(|_| ()).into_iter().collect();
        for pusher in pushers {
            let saw_flag = pusher.join().unwrap() == 1;
            assert!(saw_flag || !seen.is_empty(), "neither saw the other");
        }
        seen.extend(std::iter::from_fn(|| inbox.0.pop(|_| ())));
        assert_eq!(seen.len(), 2);
        seen.into_iter().for_each(task::cancel);
        assert_eq!(flag.load(SeqCst), 2);
        tasks = home.inbox.take();
        assert!(tasks.is_empty() && home.is_empty());
        drop(handles);
    });
}

/// A task is spawned, and another woken, while their home ends: each future is dropped once, and none is forgotten. Caught:
/// an end that does not wait for what is on its way.
#[test]
fn loom_shutdown_no_task_is_forgotten() {
    loom::model(|| {
        let (home, dropped) = (Home::new(), StdArc::<StdAtomicUsize>::default());
        let early = spawn(&home, &dropped);
        // It was run, and is pending.
        home.inbox.take().pop().unwrap().run();
        let other = {
            let (home, dropped, waker) = (home.clone(), dropped.clone(), early.waker().clone());
            thread::spawn(move || {
                waker.wake();
                spawn(&home, &dropped)
            })
        };
        // As `Worker::end` does it.
        home.close();
        home.take_wakers().into_iter().for_each(std::task::Waker::wake);
        loop {
            let tasks = home.inbox.take();
            while let Some(runnable) = tasks.pop() {
                task::cancel(runnable);
            }
            if home.is_empty() {
                break;
            }
            while home.take_signals() == 0 {
                thread::yield_now();
            }
        }
        assert!(early.is_finished());
        let late = other.join().unwrap();
        assert!(late.is_finished() && home.inbox.is_empty());
        assert_eq!(dropped.load(SeqCst), 2);
    });
}
