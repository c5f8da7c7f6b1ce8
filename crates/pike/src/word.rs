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
        let mut word = self.0.load(Ordering::Acquire);
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
