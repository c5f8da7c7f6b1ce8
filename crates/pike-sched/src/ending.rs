//! How a worker goes, and how a pool ends.
//!
//! A home is ended like this, on its own thread:
//!
//! 1. Close its register: from here on a spawn is refused, with an error through the handle.
//! 2. Wake every task that is left, so that each has a Runnable: in the queue, in the inbox, or on its way
//!    there.
//! 3. Run each with the flag set that makes the run drop the future. What that drops may wake, spawn (1) and
//!    panic (`task` contains it) as it likes.
//! 4. If the register is not empty, a foreign thread is between marking a task as scheduled and pushing it.
//!    Park until it arrives; go to 3.
//!
//! When `run` or `block_on` has its result, or a panic unwinds it:
//!
//! 1. The main future is dropped.
//! 2. The bells are taken down, so that what rings them from here on keeps nothing of the Notifier.
//! 3. The thread's own home ends.
//! 4. `run` ends the pool's home. `block_on` puts the tasks of the pool that are in its queue back into the
//!    pool's inbox, and ends the pool's home only if `shutdown` asked for it.
//! 5. The seat is left, to a thread that waits in `block_on` or `shutdown`, if there is one.
//! 6. After `run`, the pool's value of the Notifier is dropped.
//!
//! The flag `closed` of the register exists so that a task cannot slip in behind step 1 and be forgotten;
//! `ended` of the seat, so that `shutdown` on another thread can tell that the last task is gone.

use std::sync::Arc;

use crate::{
    current::{self, Entered},
    home::{END, Home},
    pool::Shared,
    queue::Queue,
    task,
    worker::Worker,
};

/// What ends with the drive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The thread's own tasks.
    Local,
    /// These, and the pool.
    Pool,
}

/// Ends what is to be ended, and leaves the seat, when it is dropped.
pub(crate) struct Leaving<'a> {
    worker: &'a Worker,
    ends: Ends,
}

impl<'a> Leaving<'a> {
    pub(crate) fn new(worker: &'a Worker, ends: Ends) -> Self {
        Self { worker, ends }
    }
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let Self { worker, ends } = self;
        worker.take_bells_down();
        worker.end(worker.local());
        match worker.is_driving() {
            true => worker.leave_seat(*ends),
            false => worker.pool.seat.unwait(worker.local()),
        }
    }
}

impl Worker {
    /// Ends the pool's home. The thread has the seat.
    pub(crate) fn end_pool(&self) {
        self.end(self.pool_home());
        self.pool.seat.set_ended();
    }

    fn leave_seat(&self, ends: Ends) {
        if ends == Ends::Pool || self.pool.home.is_up(END) {
            self.end_pool();
        }
        // From here on a task woken on this thread goes to the inbox, behind those that were in the queue.
        self.set_driving(false);
        self.pool.home.put_back(self.queue().take());
        self.pool.seat.leave();
    }

    fn end(&self, home: &Arc<Home>) {
        home.close();
        for waker in home.take_wakers() {
            waker.wake();
        }
        let others = Queue::new();
        loop {
            self.queue().append(home.take_inbox());
            while let Some(runnable) = self.queue().pop() {
                match Arc::ptr_eq(&runnable.metadata().home, home) {
                    true => task::cancel(runnable),
                    false => _ = others.push(runnable),
                }
            }
            if home.is_empty() {
                break;
            }
            if home.take_signals() == 0 {
                self.park_for(home);
            }
        }
        self.queue().append(others);
    }
}

impl Shared {
    /// Ends the pool's home, on this thread or the one that drives it.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        self.home.close();
        self.home.raise(END);
        let is_here = current::with(|worker| worker.is_some_and(|worker| Arc::ptr_eq(&worker.pool, self)));
        if is_here || !self.seat.take_to_end() {
            return;
        }
        let worker = Worker::new(Arc::clone(self));
        worker.set_driving(true);
        let _notifier = self.notifier.enter();
        let _worker = Entered::new(&worker);
        drop(Leaving::new(&worker, Ends::Pool));
    }
}

/// Makes sure that the thread drives no pool already.
#[track_caller]
pub(crate) fn refuse_nested(function: &str) {
    if current::is_worker() {
        panic!(
            "{function} was called by a thread that is in a pool already: a task must not block its worker"
        );
    }
}
