//! The life of an operation in the kernel: who owns what it needs, from moment to moment (I2).
//!
//! ```text
//!             begin (future)              complete (reaper)
//!   NobodyUsesIt ----> TheKernelHasItAndTheFutureWaits ----> TheKernelIsDone
//!        ^                             |                            |
//!        |                             | leave (future)             | release (future)
//!        |     complete (reaper)       v                            v
//!        +------ release <--- TheKernelHasItAndTheFutureIsGone   NobodyUsesIt
//! ```
//!
//! There are two owners, the future and the kernel, and what the operation needs (its buffer) belongs to whoever the state
//! names: to the kernel from `begin` until `complete`; after that to the future, or, if that is gone, to who reaped it.
//! One lock decides who comes first; no waker is cloned, woken or dropped under it (I6).

use std::task::Waker;

use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Life(Mutex<State>);

#[derive(Debug)]
enum State {
    NobodyUsesIt,
    TheKernelHasItAndTheFutureWaits(Option<Waker>),
    TheKernelHasItAndTheFutureIsGone,
    TheKernelIsDone(i32),
}

use State::{
    NobodyUsesIt, TheKernelHasItAndTheFutureIsGone, TheKernelHasItAndTheFutureWaits, TheKernelIsDone,
};

/// What a future that leaves has left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The kernel still has it: who reaps it releases what it needed. It may be cancelled.
    InTheKernel,
    /// The kernel was done, with this result: the future releases what it needed, and then this with [`Life::release`].
    WithMe(i32),
}

/// What came of a completion.
#[derive(Debug)]
pub(crate) enum Completed {
    /// The future takes the result; this is to be woken.
    ForTheFuture(Option<Waker>),
    /// The future is gone: who reaped it releases what it needed.
    ForNobody,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(NobodyUsesIt))
    }

    /// Whether anybody uses it.
    pub(crate) fn is_busy(&self) -> bool {
        !matches!(*self.0.lock(), NobodyUsesIt)
    }

    /// Whether the kernel has it.
    pub(crate) fn is_in_the_kernel(&self) -> bool {
        matches!(*self.0.lock(), TheKernelHasItAndTheFutureWaits(_) | TheKernelHasItAndTheFutureIsGone)
    }

    /// Takes it for an operation, before that is submitted. False if somebody uses it.
    pub(crate) fn begin(&self, waker: &Waker) -> bool {
        let waker = Some(waker.clone());
        let mut state = self.0.lock();
        if matches!(*state, NobodyUsesIt) {
            *state = TheKernelHasItAndTheFutureWaits(waker);
            return true;
        }
        drop(state);
        drop(waker); // I6: after the unlock
        false
    }

    /// By the future that began it: the result, once the kernel is done. What the operation needed is the future's then,
    /// and [`Life::release`] follows once it has that.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<i32> {
        let state = self.0.lock();
        match &*state {
            TheKernelIsDone(result) => Some(*result),
            TheKernelHasItAndTheFutureWaits(Some(held)) if held.will_wake(waker) => None,
            TheKernelHasItAndTheFutureWaits(_) => {
                drop(state);
                self.renew(waker)
            }
            NobodyUsesIt | TheKernelHasItAndTheFutureIsGone => unreachable!("polled by who did not begin it"),
        }
    }

    #[cold]
    fn renew(&self, waker: &Waker) -> Option<i32> {
        let waker = waker.clone(); // I6: before the lock
        let mut state = self.0.lock();
        let replaced = match &mut *state {
            TheKernelHasItAndTheFutureWaits(held) => held.replace(waker),
            TheKernelIsDone(result) => {
                let result = *result;
                drop(state);
                drop(waker);
                return Some(result);
            }
            NobodyUsesIt | TheKernelHasItAndTheFutureIsGone => unreachable!("polled by who did not begin it"),
        };
        drop(state);
        drop(replaced);
        None
    }

    /// By the future that began it, which ends before it has taken the result.
    pub(crate) fn leave(&self) -> Left {
        let mut state = self.0.lock();
        let before = std::mem::replace(&mut *state, TheKernelHasItAndTheFutureIsGone);
        let left = match before {
            TheKernelHasItAndTheFutureWaits(_) => Left::InTheKernel,
            TheKernelIsDone(result) => Left::WithMe(result),
            NobodyUsesIt | TheKernelHasItAndTheFutureIsGone => unreachable!("left by who did not begin it"),
        };
        drop(state);
        drop(before); // I6: a waker, after the unlock
        left
    }

    /// By who reaped it: the kernel's share ends. If that is for nobody, [`Life::release`] follows once what the
    /// operation needed has been released; until then others may not begin.
    pub(crate) fn complete(&self, result: i32) -> Completed {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, TheKernelIsDone(result)) {
            TheKernelHasItAndTheFutureWaits(waker) => Completed::ForTheFuture(waker),
            TheKernelHasItAndTheFutureIsGone => {
                *state = TheKernelHasItAndTheFutureIsGone;
                Completed::ForNobody
            }
            NobodyUsesIt | TheKernelIsDone(_) => unreachable!("completed twice, or never begun"),
        }
    }

    /// By the future that began it, if it was not submitted: as if it had never begun.
    pub(crate) fn forget(&self) {
        let before = std::mem::replace(&mut *self.0.lock(), NobodyUsesIt);
        debug_assert!(matches!(before, TheKernelHasItAndTheFutureWaits(_)));
        drop(before); // I6: a waker, after the unlock
    }

    /// By who owns it, once the kernel is done and what the operation needed has been released: nobody uses it from here
    /// on.
    pub(crate) fn release(&self) {
        *self.0.lock() = NobodyUsesIt;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::{Log, spy};
    use std::sync::Arc;

    #[test]
    fn the_result_goes_to_the_future() {
        let (life, log) = (Life::new(), Log::default());
        assert!(life.begin(&log.waker(1)));
        assert!(!life.begin(&log.waker(2)), "one at a time");
        assert_eq!(life.poll(&log.waker(3)), None);
        match life.complete(7) {
            Completed::ForTheFuture(waker) => waker.unwrap().wake(),
            Completed::ForNobody => panic!("it waits"),
        }
        assert_eq!(log.take(), [3], "the last waker wins");
        assert_eq!(life.poll(&log.waker(3)), Some(7));
        assert!(!life.begin(&log.waker(2)), "until it is released");
        life.release();
        assert!(!life.is_busy());
    }

    #[test]
    fn who_leaves_first_leaves_the_release_to_the_other() {
        let (life, log) = (Life::new(), Log::default());
        assert!(life.begin(&log.waker(1)));
        assert_eq!(life.leave(), Left::InTheKernel);
        assert!(matches!(life.complete(7), Completed::ForNobody));
        assert!(life.is_busy(), "until it is released");
        life.release();
        assert!(life.begin(&log.waker(1)));
        let _ = life.complete(8);
        assert_eq!(life.leave(), Left::WithMe(8));
        life.release();
        assert!(!life.is_busy());
        assert!(life.begin(&log.waker(1)));
        life.forget();
        assert!(!life.is_busy());
    }

    #[test]
    fn no_waker_is_touched_under_the_lock() {
        let life = Arc::new(Life::new());
        let waker = || {
            let its = life.clone();
            spy(move || assert!(!its.0.is_locked(), "under the lock"))
        };
        assert!(life.begin(&waker()));
        assert!(!life.begin(&waker()));
        assert_eq!(life.poll(&waker()), None);
        assert_eq!(life.leave(), Left::InTheKernel);
        assert!(matches!(life.complete(0), Completed::ForNobody));
        life.release();
        assert!(life.begin(&waker()));
        assert!(matches!(life.complete(0), Completed::ForTheFuture(Some(_))));
        assert_eq!(life.poll(&waker()), Some(0));
        life.release();
        assert!(life.begin(&waker()));
        life.forget();
    }
}
