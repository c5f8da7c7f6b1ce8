//! The seat and the threads parked for it.

use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use crate::{
    parker::Parker,
    seat::{Holder, Seat},
};

/// As `block_on` when only a turn can help: it takes the seat, or parks for it until it has had it once.
fn turn_once(seat: &Seat<usize>) {
    let parker = Arc::new(Parker::new());
    parker.take_woken();
    loop {
        if let Some(mut taken) = seat.take() {
            taken.with(|turns| *turns += 1);
            return;
        }
        if seat.queue(&parker) {
            parker.park();
            seat.unqueue(&parker);
        }
    }
}

fn turns(seat: &Seat<usize>) -> usize {
    seat.take().expect("nobody has it").with(|turns| *turns)
}

/// One waits for the seat as its holder leaves. Caught: the queue entered without a look at HELD, or before QUEUED is
/// set; Relaxed instead of the orderings of `take` and drop (the content is a cell that loom checks).
#[test]
fn loom_seat_is_never_free_beside_a_parked_thread() {
    loom::model(|| {
        let seat = Arc::new(Seat::new(0));
        let waiter = {
            let seat = seat.clone();
            thread::spawn(move || turn_once(&seat))
        };
        turn_once(&seat);
        waiter.join().unwrap();
        assert_eq!(turns(&seat), 2);
    });
}

/// Two wait for it, and one holder leaves: the second is handed it by the first.
#[test]
fn loom_seat_is_handed_from_one_to_the_next() {
    loom::model(|| {
        let seat = Arc::new(Seat::new(0));
        let holder = seat.take().unwrap();
        let waiters = [(); 2].map(|()| {
            let seat = seat.clone();
            thread::spawn(move || turn_once(&seat))
        });
        drop(holder);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!(turns(&seat), 2);
    });
}

/// Two wait, one of them until its future is done, whose wake races the hand-over: the other gets the seat. Caught:
/// the `pass_on` of who leaves `block_on` left out.
#[test]
fn loom_seat_handed_to_a_finished_thread_is_passed_on() {
    for wake_first in [false, true] {
        loom::model(move || {
            let seat = Arc::new(Seat::new(0));
            let holder = seat.take().unwrap();
            let parker = Arc::new(Parker::new());
            parker.take_woken();
            // In the queue before the other, so that it is the one to be handed the seat.
            assert!(seat.queue(&parker));
            let waiter = {
                let seat = seat.clone();
                thread::spawn(move || turn_once(&seat))
            };
            let other = {
                let (seat, parker) = (seat.clone(), parker.clone());
                thread::spawn(move || {
                    // The thread of `parker`, but for `thread::park`: what it does once its future is done.
                    while !parker.take_woken() {
                        thread::yield_now();
                    }
                    seat.unqueue(&parker);
                    seat.pass_on();
                })
            };
            if wake_first {
                parker.wake();
                drop(holder);
            } else {
                drop(holder);
                parker.wake();
            }
            waiter.join().unwrap();
            other.join().unwrap();
            assert_eq!(turns(&seat), 1);
        });
    }
}

/// As `Core::end`, but that it does not wait: whether this is the thread that has ended it, or has found another at that.
fn ends(seat: &Seat<usize>) -> bool {
    match seat.take_to_end() {
        Ok(mut seat) => {
            seat.with(|ended| *ended += 1);
            true
        }
        Err(holder) => holder == Holder::Ends,
    }
}

/// One turns, and one closes: one of them ends it, or both. Caught: a `take_to_end` that does not write the word if it is taken.
#[test]
fn loom_seat_what_is_closed_is_ended() {
    loom::model(|| {
        let (seat, closed) = (Arc::new(Seat::new(0)), Arc::new(AtomicBool::new(false)));
        let turner = {
            let (seat, closed) = (seat.clone(), closed.clone());
            thread::spawn(move || {
                drop(seat.take());
                if closed.load(Relaxed) {
                    assert!(ends(&seat), "nobody else turns");
                }
            })
        };
        closed.store(true, Relaxed);
        ends(&seat);
        turner.join().unwrap();
        assert!(turns(&seat) > 0, "nobody has ended it");
    });
}
