//! The seat: the right to turn a Notifier, held by one thread at a time, and the queue of threads parked for it.
//!
//! ```text
//!   state = HELD | QUEUED            leave: clear HELD; if QUEUED was set, wake the first in the queue
//!                                    queue: under the queue's lock set QUEUED; if HELD was clear, do not queue
//!         | ENDING                   beside HELD: its holder does not turn, but ends what was closed
//! ```
//!
//! A thread is queued only while the seat is held, and its holder sees QUEUED when it leaves: set before, by the one
//! atomic word; with the entry, by the queue's lock. So no thread stays parked beside a free seat. A thread that was
//! woken for the seat and does not take it (its future finished) calls [`Seat::pass_on`]: the wake is a baton.

use std::collections::VecDeque;

use crate::{
    parker::Parker,
    sync::{
        Arc, Mutex, UnsafeCell,
        atomic::{AtomicU8, Ordering},
    },
};

const HELD: u8 = 1;
const QUEUED: u8 = 2;
const ENDING: u8 = 4;

/// What another thread has the seat for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A turn, which it leaves when it is notified.
    Turns,
    /// The end of what was closed.
    Ends,
}

/// The seat, and what only its holder may touch.
#[derive(Debug)]
pub(crate) struct Seat<T> {
    state: AtomicU8,
    queue: Mutex<VecDeque<Arc<Parker>>>,
    inner: UnsafeCell<T>,
}

// SAFETY: `inner` is reached through the one Taken there is at a time, by the HELD bit.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Seat<T> {}

/// The seat, taken. Dropping it leaves the seat.
#[derive(Debug)]
pub(crate) struct Taken<'a, T> {
    seat: &'a Seat<T>,
}

impl<T> Seat<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { state: AtomicU8::new(0), queue: Mutex::new(VecDeque::new()), inner: UnsafeCell::new(inner) }
    }

    /// None while another thread has it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Taken<'_, T>> {
        // Acquire: pairs with the Release of the last holder, whose writes to `inner` this one continues. Release: who finds it
        // taken has its writes seen by the holder that leaves (`Core::end`).
        let before = self.state.fetch_or(HELD, Ordering::AcqRel);
        // Made only if it is taken: a Taken that is dropped leaves the seat.
        (before & HELD == 0).then(|| Taken { seat: self })
    }

    /// As [`Seat::take`], for the end: others that come for that see that it is not for a turn.
    pub(crate) fn take_to_end(&self) -> Result<Taken<'_, T>, Holder> {
        // As in `take`, also if it is taken: then the word is written as it was.
        let take = |state| Some(if state & HELD == 0 { state | HELD | ENDING } else { state });
        let (Ok(before) | Err(before)) = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take);
        match before & (HELD | ENDING) {
            0 => Ok(Taken { seat: self }),
            HELD => Err(Holder::Turns),
            _ => Err(Holder::Ends),
        }
    }

    /// Puts a thread in the queue, to be handed the seat when its holder leaves. False if it is free now.
    pub(crate) fn queue(&self, parker: &Arc<Parker>) -> bool {
        let mut queue = self.queue.lock();
        // AcqRel: ordered against the holder's `fetch_and` in drop, one of which sees the other.
        if self.state.fetch_or(QUEUED, Ordering::AcqRel) & HELD == 0 {
            if queue.is_empty() {
                self.state.fetch_and(!QUEUED, Ordering::Relaxed);
            }
            return false;
        }
        queue.push_back(Arc::clone(parker));
        true
    }

    /// Takes a thread out of the queue that was woken for another reason.
    pub(crate) fn unqueue(&self, parker: &Arc<Parker>) {
        let mut queue = self.queue.lock();
        queue.retain(|queued| !Arc::ptr_eq(queued, parker));
        if queue.is_empty() {
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Wakes the first in the queue if the seat is free: called by who will not take it now.
    #[inline]
    pub(crate) fn pass_on(&self) {
        if self.state.load(Ordering::Acquire) == QUEUED {
            self.wake_first();
        }
    }

    #[cold]
    fn wake_first(&self) {
        let mut queue = self.queue.lock();
        let first = queue.pop_front();
        if queue.is_empty() {
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
        drop(queue);
        if let Some(parker) = first {
            parker.hand_seat();
        }
    }
}

impl<T> Taken<'_, T> {
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn with<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: this is the only Taken, by the HELD bit, and it is borrowed exclusively.
        self.seat.inner.with_mut(|inner| f(unsafe { &mut *inner }))
    }
}

impl<T> Drop for Taken<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the next holder's Acquire. Acquire: sees the entry of who set QUEUED.
        if self.seat.state.fetch_and(!(HELD | ENDING), Ordering::AcqRel) & QUEUED != 0 {
            self.seat.wake_first();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::atomic::AtomicUsize, thread};

    use super::*;
    use crate::testing::rounds;

    fn parker() -> Arc<Parker> {
        let parker = Arc::new(Parker::new());
        assert!(parker.take_woken());
        parker
    }

    #[test]
    fn there_is_one_seat() {
        let seat = Seat::new(0);
        let mut taken = seat.take().unwrap();
        taken.with(|count| *count += 1);
        // Twice: an attempt that fails leaves the seat with its holder.
        assert!(seat.take().is_none());
        assert!(seat.take().is_none());
        drop(taken);
        assert_eq!(seat.take().unwrap().with(|count| *count), 1);
    }

    #[test]
    fn who_ends_is_told_from_who_turns() {
        let seat = Seat::new(());
        let turns = seat.take().unwrap();
        for _ in 0..2 {
            assert_eq!(seat.take_to_end().unwrap_err(), Holder::Turns);
        }
        let queued = parker();
        assert!(seat.queue(&queued));
        drop(turns);
        queued.park();
        let ends = seat.take_to_end().unwrap();
        assert!(seat.take().is_none());
        for _ in 0..2 {
            assert_eq!(seat.take_to_end().unwrap_err(), Holder::Ends);
        }
        assert!(seat.queue(&queued));
        drop(ends);
        queued.park();
        assert_eq!(seat.state.load(Ordering::Relaxed), 0);
        let turns = seat.take();
        assert_eq!(seat.take_to_end().unwrap_err(), Holder::Turns);
        drop(turns);
    }

    #[test]
    fn a_free_seat_has_no_queue() {
        let seat = Seat::new(());
        assert!(!seat.queue(&parker()));
        assert_eq!(seat.state.load(Ordering::Relaxed), 0);
        assert!(seat.queue.lock().is_empty());
    }

    #[test]
    fn it_is_handed_over_in_order_to_one_at_a_time() {
        let seat = Seat::new(());
        let taken = seat.take().unwrap();
        let parkers = [(); 3].map(|()| parker());
        parkers.iter().for_each(|parker| assert!(seat.queue(parker)));
        seat.unqueue(&parkers[1]); // woken for another reason
        drop(taken);
        parkers[0].park(); // would not return otherwise
        assert_eq!(seat.state.load(Ordering::Relaxed), QUEUED);
        // The first does not want it after all, and leaves.
        seat.unqueue(&parkers[0]);
        seat.pass_on();
        parkers[2].park();
        assert_eq!(seat.state.load(Ordering::Relaxed), 0);
        seat.pass_on(); // to nobody
        assert!(seat.take().is_some());
    }

    #[test]
    fn nothing_is_passed_on_while_somebody_has_it() {
        let seat = Seat::new(());
        let taken = seat.take().unwrap();
        let queued = parker();
        assert!(seat.queue(&queued));
        seat.pass_on();
        assert_eq!(seat.queue.lock().len(), 1);
        drop(taken);
        queued.park();
    }

    #[test]
    fn an_empty_queue_is_forgotten() {
        let seat = Seat::new(());
        let taken = seat.take().unwrap();
        let queued = parker();
        assert!(seat.queue(&queued));
        seat.unqueue(&queued);
        assert_eq!(seat.state.load(Ordering::Relaxed), HELD);
        drop(taken);
        assert_eq!(seat.state.load(Ordering::Relaxed), 0);
    }

    /// Threads that take it as `block_on` does, many times: each gets it as often as it wants to, one at a time.
    #[test]
    fn many_threads_take_turns() {
        let (threads, turns) = (4, rounds(2_000, 10));
        let seat = Seat::new(0);
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let parker = parker();
                    let mut had = 0;
                    while had < turns {
                        if let Some(mut taken) = seat.take() {
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            taken.with(|count| *count += 1);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::Relaxed);
                            had += 1;
                        } else if seat.queue(&parker) {
                            parker.park();
                            seat.unqueue(&parker);
                        }
                    }
                    seat.pass_on();
                });
            }
        });
        assert_eq!(seat.take().unwrap().with(|count| *count), threads * turns);
    }
}
