//! Tasks that threads hand over to each other: a queue under a lock, linked through the tasks, so that no push allocates.
//!
//! That of a pool is its injection and overflow queue: what other threads woke, and what a worker's ring has no room for. A
//! whole chain of tasks goes in or comes out by one splice. Who only wants to know whether there is something takes no lock.

use crate::{
    queue::Queue,
    sync::{
        Mutex,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    task::Runnable,
};

pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    /// As in the queue. Changed under the lock.
    len: AtomicUsize,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::new(Queue::new()), len: AtomicUsize::new(0) }
    }

    /// Without the lock, and true only for the moment.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Acquire) == 0
    }

    pub(crate) fn push(&self, runnable: Runnable) {
        let queue = self.queue.lock();
        queue.push(runnable);
        self.len.store(queue.len(), Release);
    }

    pub(crate) fn append(&self, tasks: Queue) {
        let queue = self.queue.lock();
        queue.append(tasks);
        self.len.store(queue.len(), Release);
    }

    /// Puts tasks before those that are here.
    pub(crate) fn put_back(&self, tasks: Queue) {
        let queue = self.queue.lock();
        tasks.append(queue.take());
        queue.append(tasks);
        self.len.store(queue.len(), Release);
    }

    pub(crate) fn take(&self) -> Queue {
        let queue = self.queue.lock();
        self.len.store(0, Release);
        queue.take()
    }

    /// Takes the first, and lets `take_more` take some of the rest.
    pub(crate) fn pop(&self, take_more: impl FnOnce(&Queue)) -> Option<Runnable> {
        if self.is_empty() {
            return None;
        }
        let queue = self.queue.lock();
        let first = queue.pop();
        take_more(&queue);
        self.len.store(queue.len(), Release);
        first
    }
}
