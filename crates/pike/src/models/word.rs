//! The notify word.

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::Kernel;
use crate::word::{Waiting, Word};

struct Shared {
    word: Word,
    kernel: Kernel,
    /// Published by each notify: it has no ordering of its own.
    data: [AtomicUsize; 2],
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: Word::new(), kernel: Kernel::new(), data: Default::default() })
    }

    fn notify(&self, at: usize) {
        self.data[at].store(1, Relaxed);
        if self.word.notify() {
            self.kernel.0.notify();
        }
    }

    /// The turn of `notifier::turn`, spinning first if it is to. What it finds published after its end.
    fn turn(&self, spins: bool) -> usize {
        if spins && self.word.begin(Waiting::Spinning) && self.word.is_notified() {
            self.word.end();
        } else {
            if self.word.begin(Waiting::Asleep) {
                self.kernel.0.wait();
            }
            self.word.end();
        }
        self.data.iter().map(|data| data.load(Relaxed)).sum()
    }
}

/// A notify before, during and after the begin and the end of a turn: no turn sleeps on it, and what it published is
/// there after the end. Caught: `end` as a plain store; `begin` as a plain store; Relaxed notifies.
#[test]
fn loom_word_turn_never_sleeps_on_a_notification() {
    for spins in [false, true] {
        loom::model(move || {
            let shared = Shared::new();
            let notifier = {
                let shared = shared.clone();
                thread::spawn(move || shared.notify(0))
            };
            while shared.turn(spins) != 1 {}
            notifier.join().unwrap();
        });
    }
}

/// Two notifiers, of which one finds the other's NOTIFIED: both are heard. Caught: a notify that does nothing when it
/// finds NOTIFIED.
#[test]
fn loom_word_two_notifications_are_one_but_publish_both() {
    loom::model(|| {
        let shared = Shared::new();
        let notifiers = [0, 1].map(|at| {
            let shared = shared.clone();
            thread::spawn(move || shared.notify(at))
        });
        while shared.turn(false) != 2 {}
        notifiers.into_iter().for_each(|notifier| notifier.join().unwrap());
    });
}

/// A turn that does not wait takes a notification back only together with what was published.
#[test]
fn loom_word_end_without_begin_sees_what_was_published() {
    loom::model(|| {
        let shared = Shared::new();
        let notifier = {
            let shared = shared.clone();
            thread::spawn(move || shared.notify(0))
        };
        shared.word.end(); // a turn with zero timeout
        let mut seen = shared.data[0].load(Relaxed);
        while seen == 0 {
            seen = shared.turn(false);
        }
        notifier.join().unwrap();
    });
}
