//! A thread in `block_on`, and the waker of its future.

use loom::{sync::Arc, thread};

use super::Kernel;
use crate::{
    parker::Parker,
    seat::Seat,
    word::{Waiting, Word},
};

/// The wake races the park. Caught: PARKED set after the look at WOKEN.
#[test]
fn loom_parker_wake_races_park() {
    loom::model(|| {
        let parker = Arc::new(Parker::new());
        assert!(parker.take_woken());
        let waker = {
            let parker = parker.clone();
            thread::spawn(move || assert!(!parker.wake(), "it is in no turn"))
        };
        parker.park();
        assert!(parker.take_woken(), "it was not the seat");
        waker.join().unwrap();
        assert!(!parker.is_woken());
    });
}

/// The wake and the hand-over come together: neither is lost.
#[test]
fn loom_parker_wake_races_hand_over() {
    loom::model(|| {
        let seat = Arc::new(Seat::new(()));
        let holder = seat.take().unwrap();
        let parker = Arc::new(Parker::new());
        assert!(parker.take_woken());
        assert!(seat.queue(&parker));
        let waker = {
            let parker = parker.clone();
            thread::spawn(move || {
                parker.wake();
            })
        };
        drop(holder);
        // Two things to wake up for, so two parks at most; the second may find the first's and last no time.
        while !parker.take_woken() {
            parker.park();
        }
        waker.join().unwrap();
        assert!(seat.take().is_some());
    });
}

/// The wake races a turn that is about to sleep in the kernel: the turn ends. Caught: TURNING set after the look at
/// WOKEN; `begin_turn` after the word says SLEEPING.
#[test]
fn loom_parker_wake_races_turn() {
    loom::model(|| {
        let shared = Arc::new((Parker::new(), Word::new(), Kernel::new()));
        let (parker, word, kernel) = &*shared;
        assert!(parker.take_woken());
        let waker = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (parker, word, kernel) = &*shared;
                if parker.wake() && word.notify() {
                    kernel.0.notify();
                }
            })
        };
        while !parker.take_woken() {
            if parker.begin_turn() && word.begin(Waiting::Asleep) {
                kernel.0.wait();
            }
            word.end();
            parker.end_turn();
        }
        waker.join().unwrap();
    });
}
