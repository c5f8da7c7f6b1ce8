//! The timers of one Notifier: the deadline queue behind its lock.

use std::{pin::Pin, task::Waker, time::Instant};

use super::queue::{Queue, Timer};
use crate::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Timers {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Queue,
    closed: bool,
}

/// What came of an attempt to wait for a deadline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// Before all others: a turn that waits for a later one must be notified.
    Earliest,
    Later,
    /// The Notifier is gone.
    Closed,
}

#[allow(unsafe_code)]
impl Timers {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner { queue: Queue::new(), closed: false }) }
    }

    /// # Safety
    ///
    /// As for [`Queue::insert`].
    pub(crate) unsafe fn insert(&self, timer: Pin<&Timer>, at: Instant, waker: Waker) -> Inserted {
        let mut inner = self.inner.lock();
        if inner.closed {
            drop(inner);
            drop(waker); // I6: after the unlock
            return Inserted::Closed;
        }
        // SAFETY: passed on to the caller; the lock is held.
        match unsafe { inner.queue.insert(timer, at, waker) } {
            true => Inserted::Earliest,
            false => Inserted::Later,
        }
    }

    /// # Safety
    ///
    /// As for [`Queue::remove`].
    pub(crate) unsafe fn remove(&self, timer: Pin<&Timer>) {
        // SAFETY: passed on to the caller; the lock is held for the call.
        let waker = unsafe { self.inner.lock().queue.remove(timer) };
        drop(waker); // I6: after the unlock
    }

    /// # Safety
    ///
    /// As for [`Queue::remove`].
    pub(crate) unsafe fn renew(&self, timer: Pin<&Timer>, waker: &Waker) {
        // SAFETY: passed on to the caller; the lock is held for the call.
        if unsafe { self.inner.lock().queue.would_wake(timer, waker) } {
            return;
        }
        let waker = waker.clone(); // I6: before the lock
        // SAFETY: passed on to the caller; the lock is held for the call.
        let replaced = unsafe { self.inner.lock().queue.renew(timer, waker) };
        drop(replaced); // I6: after the unlock
    }

    #[inline]
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.inner.lock().queue.earliest()
    }

    /// Takes out what is due. Reads the clock only if there is any timer.
    #[inline]
    pub(crate) fn expire(&self, into: &mut Vec<Waker>) {
        let mut inner = self.inner.lock();
        if inner.queue.earliest().is_some() {
            inner.queue.expire(Instant::now(), into);
        }
    }

    pub(crate) fn close(&self, into: &mut Vec<Waker>) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.queue.expel(into);
    }
}
