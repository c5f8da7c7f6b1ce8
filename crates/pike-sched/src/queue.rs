//! A queue of tasks, first in first out, linked through the tasks themselves: no push allocates.
//!
//! A task is in at most one queue at a time, because its one [`Runnable`] is what a queue holds. So the task
//! has room for one link, `Meta::next`, which belongs to whoever holds the Runnable: plain loads and stores
//! do, in an atomic only to be `Sync`.
//!
//! It has no lock and its methods take `&self`: a worker's own queue is touched by its thread only, and a
//! queue that threads share lies in a Mutex.
//!
//! A queue that is dropped leaks what is in it. The Runnables of one thread's tasks must not be dropped on
//! another thread (see `task`), and no queue with something in it is dropped anyhow:
//! [`ending`](crate::ending) empties them first.

#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

use crate::task::Runnable;

/// The link to the task behind, in the queue that a task is in. Null at the queue's end.
pub(crate) type Link = AtomicPtr<()>;

pub(crate) struct Queue {
    /// The first Runnable, from `into_raw`; null if the queue is empty.
    head: Cell<*mut ()>,
    /// The link in the last task; meaningless if the queue is empty.
    tail: Cell<*const Link>,
    len: Cell<usize>,
}

// SAFETY: a queue owns the Runnables it holds, and a Runnable is Send. (That the future inside may not be is
// the business of `task`, whoever holds the Runnable.)
unsafe impl Send for Queue {}

impl Queue {
    pub(crate) const fn new() -> Self {
        Self { head: Cell::new(ptr::null_mut()), tail: Cell::new(ptr::null()), len: Cell::new(0) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// True if the queue was empty.
    #[inline]
    pub(crate) fn push(&self, runnable: Runnable) -> bool {
        let link = &runnable.metadata().next;
        link.store(ptr::null_mut(), Relaxed);
        let tail: *const Link = link;
        let was_empty = self.link_behind(runnable.into_raw().as_ptr());
        self.tail.set(tail);
        self.len.set(self.len.get() + 1);
        was_empty
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<Runnable> {
        let raw = NonNull::new(self.head.get())?;
        // SAFETY: `raw` came from `into_raw` in `push`, and leaves the chain here, so it is taken back once.
        let runnable = unsafe { Runnable::from_raw(raw) };
        self.head.set(runnable.metadata().next.load(Relaxed));
        self.len.set(self.len.get() - 1);
        Some(runnable)
    }

    /// Puts everything that `other` holds behind what is here.
    pub(crate) fn append(&self, other: Self) {
        if other.is_empty() {
            return;
        }
        self.link_behind(other.head.get());
        self.tail.set(other.tail.get());
        self.len.set(self.len.get() + other.len.get());
    }

    /// Everything in it, which leaves it empty.
    pub(crate) fn take(&self) -> Self {
        let taken = Self::new();
        taken.head.set(self.head.replace(ptr::null_mut()));
        taken.tail.set(self.tail.get());
        taken.len.set(self.len.replace(0));
        taken
    }

    /// Makes `raw` what follows the last task. The caller sets the new tail. True if there was none.
    #[inline]
    fn link_behind(&self, raw: *mut ()) -> bool {
        let is_first = self.is_empty();
        if is_first {
            self.head.set(raw);
        } else {
            // SAFETY: the queue is not empty, so `tail` is the link in its last task, which cannot end before
            // its Runnable is taken out of this queue.
            let tail = unsafe { &*self.tail.get() };
            tail.store(raw, Relaxed);
        }
        is_first
    }
}
