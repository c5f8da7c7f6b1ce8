//! What is rung when something waits in a home for its thread: a waker of the thread's sleep.
//!
//! A thread that drives a pool sleeps in `Notifier::block_on`, and its bell wakes that. One that does not
//! sleeps parked, and its bell unparks it. Either way a ring costs a system call only if the thread sleeps,
//! and one that comes just before it does keeps it from it. A home that no thread drives has no bell to ring.

use std::{mem, sync::Arc, task::Waker};

use crate::sync::Mutex;

/// In an Arc so that it can be taken out of the lock, and woken, without a clone of the waker (I6).
pub(crate) type Sleep = Arc<Waker>;

#[derive(Debug, Default)]
pub(crate) struct Bell {
    sleep: Mutex<Option<Sleep>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let sleep = self.sleep.lock().clone();
        if let Some(sleep) = sleep {
            sleep.wake_by_ref();
        }
    }

    /// Says how the home's thread sleeps from now on, if it has one. What was before is returned.
    ///
    /// Who rang before may have woken the other sleep, or none: so the thread looks at its signals after
    /// this.
    pub(crate) fn set(&self, sleep: Option<Sleep>) -> Option<Sleep> {
        mem::replace(&mut *self.sleep.lock(), sleep)
    }
}
