//! What a signal handler has to tell, in one word: how many signals of a kind came, and who sent the last of them.
//!
//! ```text
//!   63              32 31         10 9        0
//!  +------------------+-------------+----------+
//!  | its user         | its process | how many |     one AtomicU64; zero: nothing came
//!  +------------------+-------------+----------+
//! ```
//!
//! The handler adds with a compare-and-swap loop, any number of threads at once; the receiver takes all of it with one
//! swap. So the count and the sender always belong together. 22 bits hold every process number of Linux and the BSDs; one
//! that is larger counts as unknown. The count stays at its maximum rather than wrap around.

use crate::sync::atomic::{AtomicU64, Ordering};

const PROCESS_SHIFT: u32 = 10;
const USER_SHIFT: u32 = 32;
const COUNT_MASK: u64 = (1 << PROCESS_SHIFT) - 1;
const PROCESS_MAX: u32 = (1 << (USER_SHIFT - PROCESS_SHIFT)) - 1;

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    /// Zero if it is not known, or was the kernel.
    pub(crate) process: u32,
    pub(crate) user: u32,
}

impl Sender {
    pub(crate) const UNKNOWN: Self = Self { process: 0, user: 0 };
}

/// The signals of one kind that one listener has not received yet.
#[derive(Debug)]
pub(crate) struct Heard(AtomicU64);

impl Heard {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more. Async-signal-safe. Whether there was nothing before.
    pub(crate) fn add(&self, sender: Sender) -> bool {
        self.add_many(1, sender)
    }

    /// So many more. Async-signal-safe. Whether there was nothing before.
    pub(crate) fn add_many(&self, more: u64, sender: Sender) -> bool {
        let sender = match sender.process {
            0 => Sender::UNKNOWN,
            process if process > PROCESS_MAX => Sender::UNKNOWN,
            _ => sender,
        };
        let from = u64::from(sender.user) << USER_SHIFT | u64::from(sender.process) << PROCESS_SHIFT;
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let count = (word & COUNT_MASK).saturating_add(more).min(COUNT_MASK);
            // Release: what the sender did before it sent is the kernel's to order; ours is that of the swap below.
            match self.0.compare_exchange_weak(word, from | count, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return word == 0,
                Err(now) => word = now,
            }
        }
    }

    /// Remembers who sends, for a count that comes by another way. Async-signal-safe.
    pub(crate) fn note(&self, sender: Sender) {
        self.0.store(0, Ordering::Relaxed);
        self.add(sender);
    }

    /// Whether there is something to take.
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// All there is: how many, and who sent the last.
    pub(crate) fn take(&self) -> Option<(u64, Sender)> {
        match self.0.swap(0, Ordering::Acquire) {
            0 => None,
            word => {
                let process = (word >> PROCESS_SHIFT) as u32 & PROCESS_MAX;
                Some((word & COUNT_MASK, Sender { process, user: (word >> USER_SHIFT) as u32 }))
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::rounds;

    #[test]
    fn counts_and_remembers_the_last_sender() {
        let heard = Heard::new();
        assert!(!heard.any());
        assert_eq!(heard.take(), None);
        let one = Sender { process: 1, user: u32::MAX };
        let other = Sender { process: PROCESS_MAX, user: 0 };
        assert!(heard.add(one));
        assert!(heard.any());
        assert_eq!(heard.take(), Some((1, one)));
        assert!(heard.add(one));
        assert!(!heard.add(other), "there was one");
        assert_eq!(heard.take(), Some((2, other)));
        heard.add(one);
        heard.add(Sender::UNKNOWN);
        assert_eq!(heard.take(), Some((2, Sender::UNKNOWN)));
        assert_eq!(heard.take(), None);
    }

    #[test]
    fn a_sender_that_does_not_fit_is_unknown() {
        let heard = Heard::new();
        for process in [0, PROCESS_MAX + 1, u32::MAX] {
            heard.add(Sender { process, user: 7 });
            assert_eq!(heard.take(), Some((1, Sender::UNKNOWN)));
        }
    }

    #[test]
    fn the_count_stays_at_its_maximum() {
        let (heard, sender) = (Heard::new(), Sender { process: 5, user: 6 });
        for _ in 0..COUNT_MASK + 10 {
            heard.add(sender);
        }
        assert_eq!(heard.take(), Some((COUNT_MASK, sender)));
    }

    /// Threads add while one takes: nothing is lost, and no count comes with parts of two senders.
    #[test]
    fn nothing_is_lost_between_threads() {
        let (threads, times) = (3, rounds(10_000, 30) as u64);
        let heard = Heard::new();
        let mut sum = 0;
        std::thread::scope(|scope| {
            for id in 1..=threads {
                let heard = &heard;
                scope.spawn(move || {
                    (0..times).for_each(|_| _ = heard.add(Sender { process: id, user: id }));
                });
            }
            // Takers that never run for 1,023 adds would miss some: this one runs until all threads are done.
            let mut left = u64::from(threads) * times;
            while left > 0 {
                if let Some((count, sender)) = heard.take() {
                    assert_eq!(sender.process, sender.user);
                    if count == COUNT_MASK {
                        return; // some were cut off, as promised: there is nothing more to check
                    }
                    sum += count;
                    left -= count;
                }
                std::thread::yield_now();
            }
            assert_eq!(sum, u64::from(threads) * times);
        });
    }
}
