//! The loom models: `ci/loom` runs them.
//!
//! Each was seen to fail with the protection removed that it names after "Caught". A wake that is lost is a worker that waits for
//! ever, which loom reports as a deadlock.

mod workers;

use std::{
    ptr,
    sync::{
        Arc as StdArc,
        atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst},
    },
};

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed, fence},
    },
    thread,
};

use crate::{
    home::Home,
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
