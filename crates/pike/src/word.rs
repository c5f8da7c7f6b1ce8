//! The word that decides whether a notify costs a system call.
//!
//! ```text
//!             begin(SLEEPING)                begin(SPINNING)
//!   AWAKE ---------------------> SLEEPING <----------------- SPINNING
//!     ^ \                           |                           |
//!     |  \ notify (no call)         | notify (one call)         | notify (no call)
//!     |   v                         v                           v
//!     +-- NOTIFIED <----------------+---------------------------+
//!     end()
//! ```
//!
//! Only the holder of the seat begins and ends; anyone notifies. A notify that finds AWAKE leaves NOTIFIED behind, so
//! that the next turn does not sleep. `end` takes the notification back: whatever was stored before it is visible to
//! the turn that ends, which looks for posted work after `end`.
//!
//! Deadlines use the weaker [`Word::notify_if_waiting`]: the turn reads the earliest deadline under the timers' lock
//! *after* it has said SPINNING or SLEEPING, and whoever inserts an earlier one looks at the word *after* its own
//! critical section. Whichever section is second sees what the first side did before it.

use crate::sync::atomic::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const NOTIFIED: u8 = 1;
const SPINNING: u8 = 2;
const SLEEPING: u8 = 3;

#[derive(Debug)]
pub(crate) struct Word(AtomicU8);

/// How a turn is about to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It looks at the word itself, again and again.
    Spinning,
    /// It is in the kernel.
    Asleep,
}

impl Word {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(AWAKE))
    }

    /// True if the kernel must be asked to wake the turn. Async-signal-safe.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        // AcqRel: publishes what the caller stored before to the `end` (or `begin`) that reads NOTIFIED.
        self.0.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING
    }

    /// As [`Word::notify`], but leaves a turn alone that is not about to wait: it will look by itself.
    #[inline]
    pub(crate) fn notify_if_waiting(&self) -> bool {
        let word = self.0.load(Ordering::Acquire);
        (word == SPINNING || word == SLEEPING) && self.interrupt(word)
    }

    /// Notifies a turn that is about to wait, unless it has looked by itself meanwhile. True as for [`Word::notify`].
    #[cold]
    fn interrupt(&self, mut word: u8) -> bool {
        while word == SPINNING || word == SLEEPING {
            match self.0.compare_exchange_weak(word, NOTIFIED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return word == SLEEPING,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Says how the turn is about to wait. False if it was notified and must not.
    #[inline]
    pub(crate) fn begin(&self, how: Waiting) -> bool {
        let to = match how {
            Waiting::Spinning => SPINNING,
            Waiting::Asleep => SLEEPING,
        };
        let mut word = self.0.load(Ordering::Relaxed);
        while word != NOTIFIED {
            match self.0.compare_exchange_weak(word, to, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Whether a spinning turn was notified.
    pub(crate) fn is_notified(&self) -> bool {
        self.0.load(Ordering::Acquire) == NOTIFIED
    }

    /// The turn waits no more. What was stored before any notify so far is visible from here on.
    #[inline]
    pub(crate) fn end(&self) {
        self.0.swap(AWAKE, Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn word(state: u8) -> Word {
        Word(AtomicU8::new(state))
    }

    /// The drawing above, edge by edge: state, what is done, what it says, state after.
    #[test]
    fn does_what_the_drawing_says() {
        type Does = fn(&Word) -> bool;
        let notify: Does = Word::notify;
        let if_waiting: Does = Word::notify_if_waiting;
        let spin: Does = |word| word.begin(Waiting::Spinning);
        let sleep: Does = |word| word.begin(Waiting::Asleep);
        let end: Does = |word| {
            word.end();
            true
        };
        for (before, does, says, after) in [
            (AWAKE, notify, false, NOTIFIED),
            (NOTIFIED, notify, false, NOTIFIED),
            (SPINNING, notify, false, NOTIFIED),
            (SLEEPING, notify, true, NOTIFIED),
            (AWAKE, if_waiting, false, AWAKE),
            (NOTIFIED, if_waiting, false, NOTIFIED),
            (SPINNING, if_waiting, false, NOTIFIED),
            (SLEEPING, if_waiting, true, NOTIFIED),
            (AWAKE, spin, true, SPINNING),
            (NOTIFIED, spin, false, NOTIFIED),
            (AWAKE, sleep, true, SLEEPING),
            (SPINNING, sleep, true, SLEEPING),
            (NOTIFIED, sleep, false, NOTIFIED),
            (AWAKE, end, true, AWAKE),
            (NOTIFIED, end, true, AWAKE),
            (SPINNING, end, true, AWAKE),
            (SLEEPING, end, true, AWAKE),
        ] {
            let word = word(before);
            assert_eq!((does(&word), word.0.load(Ordering::Relaxed)), (says, after), "from {before}");
            assert_eq!(word.is_notified(), after == NOTIFIED);
        }
    }

    #[test]
    fn only_one_of_many_notifiers_makes_the_call() {
        let word = Word::new();
        assert!(word.begin(Waiting::Asleep));
        let calls = std::thread::scope(|scope| {
            let notifiers = [(); 4].map(|()| scope.spawn(|| word.notify() || word.notify_if_waiting()));
            notifiers
                .into_iter()
                .filter(|_| true)
                .map(|notifier| notifier.join().unwrap())
                .filter(|call| *call)
                .count()
        });
        assert_eq!(calls, 1);
    }
}
