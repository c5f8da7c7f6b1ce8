//! How a worker goes, and how a pool ends.
//!
//! Homes are ended like this, on the thread that they belong to, or for those of a pool on the one that has its seat:
//!
//! 1. Close their registers: from here on a spawn is refused, with an error through the handle.
//! 2. Wake every task that is left, so that each has a Runnable: in the queue, in an inbox, or on its way
//!    there.
//! 3. Run each with the flag set that makes the run drop the future. What that drops may wake, spawn (1) and
//!    panic (`task` contains it) as it likes.
//! 4. If a register is not empty, a foreign thread is between marking a task as scheduled and pushing it.
//!    Park until it arrives; go to 3.
//!
//! When `run` or `block_on` has its result, or a panic unwinds it:
//!
//! 1. The main future is dropped.
//! 2. The bells are taken down, so that what rings them from here on keeps nothing of the Notifier.
//! 3. With several workers: what this one has in its ring goes to the pool's inbox, and another one is woken for it.
//! 4. The thread's own home ends.
//! 5. `run` ends the pool's homes (below). `block_on` puts the tasks that are in its queue back into the
//!    inboxes, and ends the pool's homes only if `shutdown` asked for it.
//! 6. The seat is left, to a thread that waits in `block_on` or `shutdown`, if there is one.
//! 7. After `run`, the pool's threads are joined, and its values of the Notifiers are dropped.
//!
//! A pool ends like this, on the thread that has its seat, which is that of the first worker:
//!
//! 1. The other workers are told. Each goes as above when its task gives way: steps 2 to 4, and puts its queue back. Then
//!    it says that it has stopped.
//! 2. Wait until all have. From here on no other thread runs a task of the pool.
//! 3. The homes end together: that of the pool, and those of the workers.
//!
//! If the seat is free when it is told to end by one of its own tasks, then the worker that stops last takes it for this.
//!
//! The flag `closed` of the register exists so that a task cannot slip in behind step 1 and be forgotten; `ending` of the
//! pool, so that a worker that was told while it did not listen still goes; `ended` of the seat, so that `shutdown` on
//! another thread can tell that the last task is gone.

use std::sync::Arc;

use crate::{
    current::{self, Entered},
    home::Home,
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
        worker.stop_sharing();
        worker.end(std::slice::from_ref(worker.local()));
        match worker.is_driving() {
            true if worker.index() == 0 => worker.leave_seat(*ends),
            true => worker.leave_tasks(),
            false => worker.pool.seat.unwait(worker.local()),
        }
    }
}

impl Worker {
    /// Ends the pool's homes. The thread has the seat.
    pub(crate) fn end_pool(&self) {
        self.pool.home.close();
        self.pool.tell_to_end();
        self.pool.seat.wait_until_stopped(self.pool.crew.slots.len() - 1);
        self.stop_sharing();
        self.end(&self.pool.homes());
        self.pool.seat.set_ended();
    }

    fn leave_seat(&self, ends: Ends) {
        if ends == Ends::Pool || self.pool.is_ending() {
            self.end_pool();
        }
        self.leave_tasks();
        self.pool.have_first_looked_after();
        self.pool.seat.leave();
        // Told to end after the look above, by a task that does not wait for it.
        self.pool.end_if_told();
    }

    /// Puts back what is in the queue, for the threads that come after.
    fn leave_tasks(&self) {
        // From here on a task woken on this thread goes to the inbox, behind those that were in the queue.
        self.set_driving(false);
        match self.pool.is_shared() {
            false => self.pool.home.put_back(self.queue().take()),
            true => {
                while let Some(runnable) = self.queue().pop() {
                    task::send_home(runnable);
                }
            }
        }
    }

    fn end(&self, homes: &[Arc<Home>]) {
        for home in homes {
            home.close();
        }
        for home in homes {
            for waker in home.take_wakers() {
                waker.wake();
            }
        }
        let others = Queue::new();
        loop {
            for home in homes {
                self.queue().append(home.inbox.take());
            }
            while let Some(runnable) = self.queue().pop() {
                match homes.iter().any(|home| Arc::ptr_eq(&runnable.metadata().home, home)) {
                    true => task::cancel(runnable),
                    false => _ = others.push(runnable),
                }
            }
            if homes.iter().all(|home| home.is_empty()) {
                break;
            }
            if homes.iter().all(|home| home.take_signals() == 0) {
                self.park_for(homes);
            }
        }
        self.queue().append(others);
    }
}

impl Shared {
    /// Ends the pool's homes, on this thread or the one that drives it.
    pub(crate) fn shut_down(self: &Arc<Self>) {
        self.home.close();
        self.tell_to_end();
        if !self.is_here() && self.seat.take_to_end() {
            self.end_on_seat();
        }
    }

    /// Whether the calling thread is one of the pool's workers.
    pub(crate) fn is_here(self: &Arc<Self>) -> bool {
        current::with(|worker| worker.is_some_and(|worker| Arc::ptr_eq(&worker.pool, self)))
    }

    /// A thread of the pool's own has left it.
    pub(crate) fn worker_has_stopped(self: &Arc<Self>) {
        if self.seat.add_stopped() == self.crew.slots.len() - 1 {
            self.end_if_told();
        }
    }

    /// Ends the pool's homes if that was asked for, and nobody else does it.
    fn end_if_told(self: &Arc<Self>) {
        if self.is_ending() && self.seat.take_if_not_ended() {
            self.end_on_seat();
        }
    }

    /// With the seat taken, and left after this.
    fn end_on_seat(self: &Arc<Self>) {
        let worker = Worker::new(Arc::clone(self), 0);
        worker.set_driving(true);
        let _notifier = self.notifiers[0].enter();
        let _worker = Entered::new(&worker);
        drop(Leaving::new(&worker, Ends::Pool));
    }

    /// Those that end with the pool.
    fn homes(&self) -> Vec<Arc<Home>> {
        let mut homes = vec![Arc::clone(&self.home)];
        if self.is_shared() {
            homes.extend(self.crew.slots.iter().map(|slot| Arc::clone(&slot.home)));
        }
        homes
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
