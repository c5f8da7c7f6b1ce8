//! The two owners of an operation in the kernel.

use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use super::Wakes;
use crate::op::life::{Completed, Left, Life};

/// An operation with what it needs: whoever releases that touches the cell, which loom sees.
struct Operation {
    life: Life,
    buffer: UnsafeCell<u32>,
}

impl Operation {
    fn begun() -> (Arc<Self>, std::sync::Arc<Wakes>) {
        let (wakes, waker) = Wakes::new();
        let operation = Arc::new(Self { life: Life::new(), buffer: UnsafeCell::new(0) });
        assert!(operation.life.begin(&waker));
        (operation, wakes)
    }

    fn release(&self) {
        self.buffer.with_mut(|buffer| {
            // SAFETY: who releases it is its only owner, which loom checks.
            #[allow(unsafe_code)]
            unsafe {
                *buffer += 1
            }
        });
    }

    fn releases(&self) -> u32 {
        // SAFETY: all threads have ended.
        #[allow(unsafe_code)]
        self.buffer.with(|buffer| unsafe { *buffer })
    }

    /// What the reaper does.
    fn reap(&self) {
        match self.life.complete(1) {
            Completed::ForTheFuture(waker) => waker.into_iter().for_each(std::task::Waker::wake),
            Completed::ForNobody => {
                self.release();
                let _ = self.life.release();
            }
        }
    }
}

/// The future is dropped as its completion arrives: what it needed is released once, by the one who came second, and
/// nobody uses it after that. Caught: a completion that looks, unlocks and then decides; `leave` that takes a completed
/// one for one in the kernel.
#[test]
fn loom_life_drop_races_completion() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        let reaper = {
            let operation = operation.clone();
            thread::spawn(move || operation.reap())
        };
        if operation.life.leave(&mut None, || ()) == Left::WithMe(1) {
            operation.release();
            let _ = operation.life.release();
        }
        reaper.join().unwrap();
        assert_eq!(operation.releases(), 1);
        assert!(!operation.life.is_busy());
    });
}

/// The future is polled by another task as its completion arrives: it sees the result, or the new waker is woken. Caught:
/// `renew` that does not look at the state again.
#[test]
fn loom_life_poll_races_completion() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        let reaper = {
            let operation = operation.clone();
            thread::spawn(move || operation.reap())
        };
        let (wakes, waker) = Wakes::new();
        let polled = operation.life.poll(&waker);
        reaper.join().unwrap();
        if polled.is_none() {
            assert_eq!(wakes.count(), 1, "nobody was told");
            assert_eq!(operation.life.poll(&waker), Some(1));
        }
        operation.release();
        let _ = operation.life.release();
        assert!(!operation.life.is_busy());
    });
}

/// Another operation begins as one that was left completes: never both at once.
#[test]
fn loom_life_next_waits_for_the_release() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        assert_eq!(operation.life.leave(&mut None, || ()), Left::InTheKernel { wanted: false });
        let reaper = {
            let operation = operation.clone();
            thread::spawn(move || operation.reap())
        };
        let (_, waker) = Wakes::new();
        if operation.life.begin(&waker) {
            operation.release();
        }
        reaper.join().unwrap();
        assert!(operation.releases() >= 1);
    });
}

/// A future leaves as its completion arrives, and another operation begins as soon as it may: what the one that leaves asks
/// the end of is never the other's. Caught: `leave` that gives the place up before it has asked.
#[test]
fn loom_life_cancel_is_for_its_own() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        let begun = Arc::new(AtomicBool::new(false));
        let reaper = {
            let (operation, begun) = (operation.clone(), begun.clone());
            thread::spawn(move || {
                operation.reap();
                let (_, waker) = Wakes::new();
                if operation.life.begin(&waker) {
                    begun.store(true, SeqCst);
                }
            })
        };
        let left =
            operation.life.leave(&mut None, || assert!(!begun.load(SeqCst), "the cancel is for another"));
        if left == Left::WithMe(1) {
            operation.release();
            let _ = operation.life.release();
        }
        reaper.join().unwrap();
        assert_eq!(operation.releases(), 1);
    });
}

/// Somebody asks whether it is busy as it is released: it is told that it is not, or the release tells of it. Caught: a
/// flag beside the word.
#[test]
fn loom_life_who_asks_is_told_of_the_release() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        let asks = {
            let operation = operation.clone();
            thread::spawn(move || operation.life.is_busy())
        };
        let left = operation.life.leave(&mut None, || ());
        let mut told = matches!(left, Left::InTheKernel { wanted: true });
        assert!(matches!(operation.life.complete(1), Completed::ForNobody));
        operation.release();
        told |= operation.life.release();
        assert_eq!(asks.join().unwrap(), told);
    });
}

/// The same with a release that comes while the future still asks for the end.
#[test]
fn loom_life_release_races_the_cancel() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        let reaper = {
            let operation = operation.clone();
            thread::spawn(move || match operation.life.complete(1) {
                Completed::ForTheFuture(_) => false,
                Completed::ForNobody => {
                    operation.release();
                    operation.life.release()
                }
            })
        };
        let asks = {
            let operation = operation.clone();
            thread::spawn(move || operation.life.is_busy())
        };
        let left = operation.life.leave(&mut None, || ());
        let mut told = matches!(left, Left::InTheKernel { wanted: true });
        if left == Left::WithMe(1) {
            operation.release();
            told |= operation.life.release();
        }
        told |= reaper.join().unwrap();
        assert_eq!(asks.join().unwrap(), told, "told once, and whoever asked");
        assert!(!operation.life.is_busy());
        assert_eq!(operation.releases(), 1);
    });
}
