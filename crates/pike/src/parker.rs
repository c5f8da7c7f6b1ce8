//! How `block_on` sleeps: in the kernel with the seat, or parked without it; and how its future's waker ends both.
//!
//! One atomic word of bits. WOKEN is set by the waker and taken by the thread before it polls its future; SEAT is set
//! by who leaves the seat to it. TURNING and PARKED say where the thread sleeps, so that a wake costs a system call
//! only if it does: a wake sets its bit first and then sees where the thread is; the thread says where it is and then
//! sees whether it was woken. Both are read-modify-writes of the one word, so one of them sees the other.

use crate::sync::{
    atomic::{AtomicU8, Ordering},
    thread::{self, Thread},
};

const WOKEN: u8 = 1;
const SEAT: u8 = 2;
const TURNING: u8 = 4;
const PARKED: u8 = 8;

#[derive(Debug)]
pub(crate) struct Parker {
    state: AtomicU8,
    thread: Thread,
}

impl Parker {
    /// For the calling thread, whose future is to be polled at once.
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(WOKEN), thread: thread::current() }
    }

    /// The future wants to be polled. True if the thread is in a turn, which then has to be notified.
    pub(crate) fn wake(&self) -> bool {
        let before = self.state.fetch_or(WOKEN, Ordering::AcqRel);
        if before & WOKEN != 0 {
            return false;
        }
        if before & PARKED != 0 {
            self.thread.unpark();
        }
        before & TURNING != 0
    }

    /// The seat was left, and this thread is the next.
    pub(crate) fn hand_seat(&self) {
        if self.state.fetch_or(SEAT, Ordering::AcqRel) & PARKED != 0 {
            self.thread.unpark();
        }
    }

    /// Whether the future was woken since the last call.
    pub(crate) fn take_woken(&self) -> bool {
        self.state.fetch_and(!WOKEN, Ordering::AcqRel) & WOKEN != 0
    }

    pub(crate) fn is_woken(&self) -> bool {
        self.state.load(Ordering::Acquire) & WOKEN != 0
    }

    /// The thread is about to turn. False if the future was woken and the turn must not wait.
    pub(crate) fn begin_turn(&self) -> bool {
        self.state.fetch_or(TURNING, Ordering::AcqRel) & WOKEN == 0
    }

    /// The thread waits no more in its turn.
    pub(crate) fn end_turn(&self) {
        self.state.fetch_and(!TURNING, Ordering::AcqRel);
    }

    /// Sleeps until the future was woken or the seat was handed over; takes the latter.
    pub(crate) fn park(&self) {
        let mut state = self.state.fetch_or(PARKED, Ordering::AcqRel);
        while state & (WOKEN | SEAT) == 0 {
            thread::park();
            state = self.state.load(Ordering::Acquire);
        }
        self.state.fetch_and(!(PARKED | SEAT), Ordering::AcqRel);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn starts_woken_and_is_woken_once() {
        let parker = Parker::new();
        assert!(parker.is_woken() && parker.take_woken());
        assert!(!parker.is_woken() && !parker.take_woken());
        parker.wake();
        parker.wake();
        assert!(parker.take_woken() && !parker.take_woken());
    }

    #[test]
    fn a_turn_is_notified_by_the_first_wake_alone() {
        let parker = Parker::new();
        assert!(!parker.begin_turn(), "woken: it must not wait");
        assert!(!parker.wake(), "and needs no notification");
        parker.end_turn();
        assert!(parker.take_woken());
        assert!(parker.begin_turn());
        assert!(parker.wake());
        assert!(!parker.wake());
        parker.end_turn();
        assert!(parker.take_woken());
        assert!(!parker.wake(), "it is in no turn");
    }

    #[test]
    fn a_park_ends_for_a_wake_and_keeps_it() {
        let parker = Parker::new();
        parker.park();
        parker.park();
        assert!(parker.take_woken());
    }

    #[test]
    fn a_park_ends_for_the_seat_and_takes_it() {
        let parker = Parker::new();
        parker.take_woken();
        parker.hand_seat();
        parker.park();
        assert_eq!(parker.state.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_parked_thread_is_unparked() {
        for by_wake in [true, false] {
            let (tell, told) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                let parker = Arc::new(Parker::new());
                parker.take_woken();
                tell.send(parker.clone()).unwrap();
                parker.park();
                parker.take_woken()
            });
            let parker = told.recv().unwrap();
            if by_wake {
                assert!(!parker.wake());
            } else {
                parker.hand_seat();
            }
            assert_eq!(thread.join().unwrap(), by_wake);
        }
    }

    /// A token that an earlier `unpark` left with the thread ends nothing.
    #[test]
    fn a_stray_unpark_does_not_end_a_park() {
        let parker = Arc::new(Parker::new());
        parker.take_woken();
        std::thread::current().unpark();
        let waker = {
            let parker = parker.clone();
            std::thread::spawn(move || parker.wake())
        };
        parker.park();
        assert!(parker.take_woken());
        waker.join().unwrap();
    }
}
