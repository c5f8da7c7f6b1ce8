//! The threads of the workers that no caller of `run` or `block_on` is: all but the first.
//!
//! Such a thread drives its worker from the moment the pool is made until it is told to end. A panic that comes out of a turn
//! (of a waker that is not pike's; a task's panic stays in the task) ends the turn, of which every other waker is woken, and
//! the thread goes on.

use std::{
    future::poll_fn,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::Ordering::{Acquire, Release},
    },
    task::Poll,
    thread,
};

use crate::{
    current::Entered,
    ending::{Ends, Leaving},
    home::END,
    pool::Shared,
    worker::Worker,
};

/// How the threads are made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) stack_size: Option<usize>,
}

/// Starts the thread of a worker.
pub(crate) fn start(pool: &Arc<Shared>, worker: usize, plan: &Plan) -> io::Result<thread::JoinHandle<()>> {
    let mut builder = thread::Builder::new().name(format!("{}-{worker}", plan.name));
    if let Some(size) = plan.stack_size {
        builder = builder.stack_size(size);
    }
    let pool = Arc::clone(pool);
    builder.spawn(move || work(pool, worker))
}

fn work(pool: Arc<Shared>, index: usize) {
    {
        let worker = Worker::new(Arc::clone(&pool), index);
        // Dropped in the reverse of this order, as by who drives the first worker.
        let _notifier = pool.notifiers[index].enter();
        let _worker = Entered::new(&worker);
        let _leaving = Leaving::new(&worker, Ends::Local);
        let until_end = || poll_fn(|_| if pool.is_ending() { Poll::Ready(()) } else { Poll::Pending });
        while catch_unwind(AssertUnwindSafe(|| worker.drive_with_seat(pin!(until_end())))).is_err() {}
    }
    pool.worker_has_stopped();
}

impl Shared {
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Acquire)
    }

    /// Tells every worker to end, once.
    pub(crate) fn tell_to_end(&self) {
        // Release: pairs with the Acquire above. The signal comes after.
        if self.ending.swap(true, Release) {
            return;
        }
        for slot in &self.crew.slots {
            slot.home.raise(END);
        }
    }
}
