//! What each worker has done, in numbers.
//!
//! Each is written by its worker's thread alone, so that counting is a plain load and a store, and read by anyone. What is
//! counted by threads that are no worker has a number of its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one worker has done since the pool was made. From [`Pool::counters`](crate::Pool::counters).
///
/// Each number is exact once the pool is at rest; while it runs they may be of slightly different moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Turns of its Notifier, by whichever thread.
    pub turns: u64,
    /// Turns that made tasks ready: each is one batch.
    pub batches: u64,
    /// Runs of tasks: a task that is pending three times before it ends is run four times. For the first worker with those of
    /// `spawn_local` in threads that are in `block_on` beside it.
    pub runs: u64,
    /// Tasks that it took from other workers.
    pub steals: u64,
    /// How often it went to sleep in its Notifier.
    pub parks: u64,
    /// How often it woke another worker, for a task that this one could take, or to look after those that are awake.
    pub notifications: u64,
    /// Turns of other workers' Notifiers, which these had left alone for too long.
    pub turns_for_others: u64,
}

/// The same, as the worker writes it.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) batches: Count,
    pub(crate) runs: Count,
    /// By threads that are in `block_on` and not the worker.
    pub(crate) runs_beside: AtomicU64,
    pub(crate) steals: Count,
    pub(crate) parks: Count,
    pub(crate) notifications: Count,
    pub(crate) turns_for_others: Count,
}

/// A number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        // No read-modify-write: nobody else writes.
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Tally {
    pub(crate) fn read(&self, turns: u64) -> Counters {
        Counters {
            turns,
            batches: self.batches.get(),
            runs: self.runs.get() + self.runs_beside.load(Relaxed),
            steals: self.steals.get(),
            parks: self.parks.get(),
            notifications: self.notifications.get(),
            turns_for_others: self.turns_for_others.get(),
        }
    }
}
