//! The two owners of an operation in the kernel.

use loom::{cell::UnsafeCell, sync::Arc, thread};

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
                self.life.release();
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
        if operation.life.leave() == Left::WithMe(1) {
            operation.release();
            operation.life.release();
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
        operation.life.release();
        assert!(!operation.life.is_busy());
    });
}

/// Another operation begins as one that was left completes: never both at once.
#[test]
fn loom_life_next_waits_for_the_release() {
    loom::model(|| {
        let (operation, _) = Operation::begun();
        assert_eq!(operation.life.leave(), Left::InTheKernel);
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
