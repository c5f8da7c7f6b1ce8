//! Who sleeps, and who looks for work: one word for the whole pool.
//!
//! ```text
//!   63    58    57        56        55                                              0
//!   [WATCHER |SEARCHING|NOTIFIED| one bit a worker: it sleeps, or is about to ]
//!
//!   worker    awake --sleep--> asleep --rise--> awake              its bit was still set: it rose by itself
//!                                  \--claim--> claimed --rise--> searching --found or sleep--> ...
//!             awake --search--> searching
//! ```
//!
//! NOTIFIED: a sleeper was claimed by who pushed a task, and is not up yet. SEARCHING: one that is up looks for work. At
//! most one of the two is set, and by that at most one worker is waking (I8). WATCHER is one more than the number of
//! the sleeper that has set an alarm, or zero; it has no part in what follows.
//!
//! # Why no task is forgotten
//!
//! Who has pushed a task that others could steal calls [`Idle::claim`], before it runs another (until then it is watched,
//! as `duty` tells): a full fence, then a look at the word. Who goes to
//! sleep sets its bit, a full fence, and then looks at all queues. Of two such fences one is first. If it is the pusher's,
//! the sleeper's look finds the task. If it is the sleeper's, the pusher's look finds the bit, and then either
//! - claims a sleeper, which looks at all queues when it is up; or
//! - leaves it to a worker that is NOTIFIED or SEARCHING. That one clears its flag later: before it looks for the last time
//!   (`sleep` is a fence after the clearing), or when it has found something, or something else to do. Then it looks for more,
//!   with a fence before (`found`), and claims the next if there is some. Before that it runs no code of a task or a main
//!   future, which might never end. It may come to a turn, which wakes wakers that are not pike's as well: these must not block.
//!
//! A sleeper that finds another one waking need not look itself: the other clears its flag after the sleeper's bit was set,
//! and what it finds then it claims a sleeper for.
//!
//! Source: the sync word of zap's thread pool, with the workers by name: each sleeps in a Notifier of its own.

use crate::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, SeqCst},
    fence,
};

/// As many bits as the word has for them.
pub(crate) const WORKERS_MAX: usize = 56;

const WORKERS: u64 = (1 << WORKERS_MAX) - 1;
/// A worker was claimed and is not up yet. Set by `claim`; taken by the claimed one's `rise`.
const NOTIFIED: u64 = 1 << 56;
/// A worker looks for work. Set by `search` or `rise`; cleared by the same worker's `found` or `sleep`.
const SEARCHING: u64 = 1 << 57;
/// The lowest bit of the sleeper's number that has set an alarm, to look at those that are awake (see `watch`); plus one.
const WATCHER: u64 = 1 << 58;

/// The watcher's bit, if there is one.
fn watcher(word: u64) -> u64 {
    match word / WATCHER {
        0 => 0,
        number => 1 << (number - 1),
    }
}

#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Idle(AtomicU64);

impl Idle {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Finds a sleeper for a task that was pushed before: it is to be woken. None if all are awake, or one is waking.
    #[inline]
    pub(crate) fn claim(&self) -> Option<usize> {
        // SeqCst: see above. With less, both looks could miss what the other side did before.
        fence(SeqCst);
        let word = self.0.load(Relaxed);
        if word & WORKERS == 0 || word & (NOTIFIED | SEARCHING) != 0 {
            return None;
        }
        self.claim_sleeper(word)
    }

    #[cold]
    fn claim_sleeper(&self, mut word: u64) -> Option<usize> {
        while word & WORKERS != 0 && word & (NOTIFIED | SEARCHING) == 0 {
            // The watcher last: another one would have to be woken to take its place.
            let others = word & WORKERS & !watcher(word);
            let worker = if others == 0 { word & WORKERS } else { others }.trailing_zeros();
            let claimed = word & !(1 << worker) | NOTIFIED;
            match self.0.compare_exchange_weak(word, claimed, AcqRel, Acquire) {
                Ok(_) => return Some(worker as usize),
                Err(now) => word = now,
            }
        }
        None
    }

    /// A worker is about to sleep. If it searches, it does no more. If it wants to, it is the watcher from now on, unless
    /// another one is.
    ///
    /// Whether it must look at all queues once more, and whether it is the watcher.
    pub(crate) fn sleep(&self, worker: usize, searching: bool, wants_alarm: bool) -> (bool, bool) {
        let mut word = self.0.load(Relaxed);
        loop {
            let watches = wants_alarm && word < WATCHER;
            // All at once: the worker's bit goes from 0 to 1, and SEARCHING from 1 to 0 if it was this one's.
            let more = (1 << worker) + if watches { WATCHER * (worker as u64 + 1) } else { 0 };
            let awake = if searching { word & !SEARCHING } else { word };
            match self.0.compare_exchange_weak(word, awake | more, AcqRel, Relaxed) {
                Ok(_) => {
                    fence(SeqCst); // see above
                    return (awake & (NOTIFIED | SEARCHING) == 0, watches);
                }
                Err(now) => word = now,
            }
        }
    }

    /// A worker is up again, which was the watcher or not. True if it was claimed: now it searches.
    pub(crate) fn rise(&self, worker: usize, watched: bool) -> bool {
        let bit = 1 << worker;
        let mut word = self.0.load(Relaxed);
        loop {
            let claimed = word & bit == 0;
            let mut risen = word & !bit;
            if claimed {
                risen = risen & !NOTIFIED | SEARCHING;
            }
            if watched {
                risen %= WATCHER;
            }
            match self.0.compare_exchange_weak(word, risen, AcqRel, Relaxed) {
                Ok(_) => return claimed,
                Err(now) => word = now,
            }
        }
    }

    /// A worker wants to search. False if another one is waking.
    pub(crate) fn search(&self) -> bool {
        let mut word = self.0.load(Relaxed);
        while word & (NOTIFIED | SEARCHING) == 0 {
            match self.0.compare_exchange_weak(word, word | SEARCHING, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// The worker that searches has found something, or has something else to do. Afterwards it looks whether there is more,
    /// and claims for it.
    pub(crate) fn found(&self) {
        self.0.fetch_and(!SEARCHING, AcqRel);
        fence(SeqCst); // see above
    }

    /// Whether some sleep, and none of them is the watcher: asked by a worker that has said before that it is awake, here or in
    /// another word. A sleeper that this overlooks sees that.
    pub(crate) fn is_unwatched(&self) -> bool {
        // SeqCst: pairs with the one of `sleep`.
        fence(SeqCst);
        let word = self.0.load(Relaxed);
        word < WATCHER && word & WORKERS != 0
    }

    /// Whether a sleeper has set an alarm, for the moment.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.load(Relaxed) >= WATCHER
    }

    /// Whether a worker sleeps, for the moment.
    pub(crate) fn is_asleep(&self, worker: usize) -> bool {
        self.0.load(Relaxed) & (1 << worker) != 0
    }

    /// Whether a worker other than this one is awake, of so many. Those with a bit in `absent` do not count.
    pub(crate) fn others_are_awake(&self, worker: usize, workers: usize, absent: u64) -> bool {
        let all = WORKERS >> (WORKERS_MAX - workers);
        (self.0.load(Relaxed) | 1 << worker | absent) & all != all
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_sleeper_is_claimed_at_a_time() {
        let idle = Idle::new();
        assert_eq!(idle.claim(), None, "all are awake");
        assert!(idle.sleep(3, false, false).0 && idle.sleep(5, false, false).0);
        assert_eq!(idle.claim(), Some(3));
        assert_eq!(idle.claim(), None, "one is waking");
        assert!(!idle.search());
        assert!(idle.rise(3, false), "it searches");
        assert_eq!(idle.claim(), None, "one searches");
        idle.found();
        assert_eq!(idle.claim(), Some(5));
        assert!(idle.rise(5, false));
        assert!(idle.sleep(5, true, false).0);
        assert!(idle.is_asleep(5) && !idle.is_asleep(3));
        assert_eq!(idle.claim(), Some(5));
    }

    #[test]
    fn who_rises_by_itself_searches_only_if_it_says_so() {
        let idle = Idle::new();
        assert!(idle.sleep(0, false, false).0);
        assert!(!idle.rise(0, false));
        assert!(idle.search() && !idle.search());
        assert!(!idle.sleep(1, false, false).0, "another one looks");
        assert!(idle.sleep(0, true, false).0, "the last to look must look once more");
        assert!(!idle.rise(0, false) && !idle.rise(1, false));
        assert_eq!(idle.0.load(Relaxed), 0);
    }

    #[test]
    fn the_last_worker_has_a_bit() {
        let (idle, last) = (Idle::new(), WORKERS_MAX - 1);
        assert!(idle.sleep(last, false, false).0);
        assert_eq!(idle.claim(), Some(last));
        assert!(idle.rise(last, false));
        idle.found();
        assert_eq!(idle.0.load(Relaxed), 0);
    }

    #[test]
    fn who_else_is_awake() {
        let idle = Idle::new();
        assert!(!idle.others_are_awake(0, 1, 0));
        assert!(idle.others_are_awake(0, 2, 0));
        idle.sleep(1, false, false);
        assert!(!idle.others_are_awake(0, 2, 0) && idle.others_are_awake(0, 3, 0));
        assert!(idle.others_are_awake(1, 2, 0) && !idle.others_are_awake(1, 2, 1));
    }

    #[test]
    fn one_sleeper_watches_and_is_claimed_last() {
        let (idle, last) = (Idle::new(), WORKERS_MAX - 1);
        assert!(!idle.is_unwatched(), "nobody sleeps");
        assert_eq!(idle.sleep(1, false, false), (true, false));
        assert!(idle.is_unwatched());
        assert_eq!(idle.sleep(0, false, true), (true, true));
        assert_eq!(idle.sleep(last, false, true), (true, false), "one is enough");
        assert!(!idle.is_unwatched());
        for expected in [1, last, 0] {
            assert_eq!(idle.claim(), Some(expected));
            assert!(idle.rise(expected, expected == 0));
            idle.found();
        }
        assert_eq!(idle.sleep(last, false, true), (true, true));
        assert!(!idle.rise(last, true));
        assert_eq!(idle.0.load(Relaxed), 0);
    }
}
