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

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        testing::{Log, spy},
        time::queue::State,
    };

    #[test]
    fn says_which_insert_a_turn_must_hear_of() {
        let (timers, start) = (Timers::new(), Instant::now());
        let nodes = [(); 3].map(|()| Box::pin(Timer::new()));
        let insert = |node: usize, after_ns| {
            let at = start + Duration::from_nanos(after_ns);
            // SAFETY: in these timers only, and removed or closed below.
            unsafe { timers.insert(nodes[node].as_ref(), at, Waker::noop().clone()) }
        };
        assert_eq!(timers.earliest(), None);
        assert_eq!(insert(0, 5), Inserted::Earliest);
        assert_eq!(insert(1, 9), Inserted::Later);
        assert_eq!(insert(2, 2), Inserted::Earliest);
        // SAFETY: as above.
        unsafe { timers.remove(nodes[2].as_ref()) };
        assert_eq!(timers.earliest(), Some(start + Duration::from_nanos(5)));
        let mut left = Vec::new();
        timers.close(&mut left);
        assert_eq!(left.len(), 2);
        assert_eq!(
            nodes.each_ref().map(|node| node.state()),
            [State::Expelled, State::Expelled, State::Idle]
        );
        assert_eq!(insert(0, 1), Inserted::Closed);
    }

    #[test]
    fn only_what_is_due_expires() {
        let (timers, log, start) = (Timers::new(), Log::default(), Instant::now());
        let nodes = [(); 2].map(|()| Box::pin(Timer::new()));
        for (name, after) in [Duration::ZERO, Duration::from_secs(3600)].into_iter().enumerate() {
            // SAFETY: in these timers only, and expired or removed below.
            unsafe { timers.insert(nodes[name].as_ref(), start + after, log.waker(name)) };
        }
        let mut due = Vec::new();
        timers.expire(&mut due);
        due.into_iter().for_each(Waker::wake);
        assert_eq!(log.take(), [0]);
        // SAFETY: as above.
        nodes.iter().for_each(|node| unsafe { timers.remove(node.as_ref()) });
        assert_eq!(timers.earliest(), None);
    }

    /// Every way timers have to deal with a waker, with wakers that look at the lock whenever they are cloned, woken
    /// or dropped (I6).
    #[test]
    fn no_waker_is_touched_under_the_lock() {
        let (timers, start) = (Arc::new(Timers::new()), Instant::now());
        let waker = || {
            let timers = timers.clone();
            spy(move || {
                assert!(!timers.inner.is_locked());
                timers.earliest(); // it may come back in at any time
            })
        };
        let nodes = [(); 3].map(|()| Box::pin(Timer::new()));
        // SAFETY: in these timers only, and taken out below.
        unsafe {
            nodes.iter().for_each(|node| _ = timers.insert(node.as_ref(), start, waker()));
            let same = waker();
            timers.renew(nodes[0].as_ref(), &same);
            timers.renew(nodes[0].as_ref(), &same);
            timers.remove(nodes[0].as_ref());
            timers.renew(nodes[0].as_ref(), &same); // not queued any more
        }
        let mut woken = Vec::new();
        timers.expire(&mut woken);
        assert_eq!(woken.len(), 2);
        // SAFETY: as above.
        unsafe { timers.insert(nodes[0].as_ref(), start, waker()) };
        timers.close(&mut woken);
        assert_eq!(woken.len(), 3);
        // SAFETY: as above.
        assert_eq!(unsafe { timers.insert(nodes[0].as_ref(), start, waker()) }, Inserted::Closed);
        woken.into_iter().for_each(Waker::wake);
    }
}
