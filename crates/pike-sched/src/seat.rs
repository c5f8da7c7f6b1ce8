//! The seat of a pool's driver: held by one thread at a time, waited for by the others that are in
//! `block_on`.
//!
//! A thread that does not get the seat leaves its home here and sleeps. Who leaves the seat raises SEAT in
//! all of them: they are few, and one of them takes it. Both happen under the lock, so no thread sleeps
//! beside a free seat.

use std::{
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::home::{Home, SEAT};

pub(crate) struct Seat {
    state: Mutex<State>,
    /// For who waits in `shutdown` or ends the pool: the seat was left, the pool ended, or a thread of its own stopped.
    changed: Condvar,
}

struct State {
    taken: bool,
    /// The pool's home is closed and its last task gone.
    ended: bool,
    /// How many of the pool's own threads have left it.
    stopped: usize,
    waiting: Vec<Arc<Home>>,
}

impl Seat {
    pub(crate) fn new() -> Self {
        let state = State { taken: false, ended: false, stopped: 0, waiting: Vec::new() };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes the seat if it is free. If it is not, `home` gets the signal SEAT when it is left.
    pub(crate) fn take_or_wait(&self, home: &Arc<Home>) -> bool {
        let mut state = self.lock();
        if !state.taken {
            state.taken = true;
            return true;
        }
        if !state.waiting.iter().any(|waiting| Arc::ptr_eq(waiting, home)) {
            state.waiting.push(Arc::clone(home));
        }
        false
    }

    /// Takes back that `home` waits.
    pub(crate) fn unwait(&self, home: &Arc<Home>) {
        self.lock().waiting.retain(|waiting| !Arc::ptr_eq(waiting, home));
    }

    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.taken = false;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        for home in waiting {
            home.raise(SEAT);
        }
    }

    /// Says that the pool has ended.
    pub(crate) fn set_ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the pool has ended, or for the seat if it has not. True if that was taken.
    pub(crate) fn take_to_end(&self) -> bool {
        let mut state = self.lock();
        while !state.ended && state.taken {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return false;
        }
        state.taken = true;
        true
    }

    /// Takes the seat if it is free and the pool has not ended.
    pub(crate) fn take_if_not_ended(&self) -> bool {
        let mut state = self.lock();
        let takes = !state.ended && !state.taken;
        state.taken |= takes;
        takes
    }

    /// One more of the pool's threads has left it: so many have by now.
    pub(crate) fn add_stopped(&self) -> usize {
        let mut state = self.lock();
        state.stopped += 1;
        let stopped = state.stopped;
        drop(state);
        self.changed.notify_all();
        stopped
    }

    /// Waits until so many of the pool's threads have left it.
    pub(crate) fn wait_until_stopped(&self, threads: usize) {
        let mut state = self.lock();
        while state.stopped < threads {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
