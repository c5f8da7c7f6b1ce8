//! The workers of a pool: what each of them shows to the others.
//!
//! It refers to no Notifier. A task's waker keeps its pool's home, and with it this, for as long as it likes; the Notifiers
//! end with the pool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use crate::{
    counters::Tally,
    home::{Home, WORK},
    idle::Idle,
    ring::Ring,
    watch::Sighting,
};

pub(crate) struct Crew {
    pub(crate) idle: Idle,
    /// One a worker.
    pub(crate) slots: Box<[Arc<Slot>]>,
    /// Whether a thread is the first worker now. A hint.
    pub(crate) first_is_driven: AtomicBool,
    /// One bit a worker: its Notifier has failed. A hint.
    failed: AtomicU64,
    /// Where its clock begins.
    begin: Instant,
}

/// A worker's place.
pub(crate) struct Slot {
    /// Of the tasks that stay with this worker. In a pool of one worker, that of the pool.
    pub(crate) home: Arc<Home>,
    pub(crate) ring: Ring,
    /// The task that was woken last, to be run next. Null if there is none. Set by the worker; taken by it, or by one that
    /// has seen it stuck.
    pub(crate) next: AtomicPtr<()>,
    pub(crate) tally: Tally,
    /// What those saw who look after it.
    pub(crate) sighting: Sighting,
}

impl Slot {
    pub(crate) fn new(home: Arc<Home>) -> Arc<Self> {
        Arc::new(Self {
            home,
            ring: Ring::new(),
            next: AtomicPtr::default(),
            tally: Tally::default(),
            sighting: Sighting::default(),
        })
    }
}

impl Crew {
    pub(crate) fn new(slots: Box<[Arc<Slot>]>) -> Self {
        let (first_is_driven, failed) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { idle: Idle::new(), slots, first_is_driven, failed, begin: Instant::now() }
    }

    pub(crate) fn set_failed(&self, worker: usize) {
        self.failed.fetch_or(1 << worker, Relaxed);
    }

    pub(crate) fn has_failed(&self, worker: usize) -> bool {
        self.failed.load(Relaxed) & 1 << worker != 0
    }

    /// A bit for each worker that has failed, and for the first if no thread drives it.
    pub(crate) fn absent(&self) -> u64 {
        self.failed.load(Relaxed) | u64::from(!self.first_is_driven.load(Relaxed))
    }

    /// Nanoseconds of a clock that all workers share.
    pub(crate) fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Wakes a sleeper, if there is one and no worker is waking: called after a push that another worker could take. True if
    /// one was woken.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        match self.idle.claim() {
            Some(worker) => {
                self.slots[worker].home.raise(WORK);
                true
            }
            None => false,
        }
    }
}
