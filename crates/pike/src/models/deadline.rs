//! Deadlines set while a turn begins to sleep, and timers freed while they expire.

use std::{
    pin::Pin,
    task::Waker,
    time::{Duration, Instant},
};

use loom::{sync::Arc, thread};

use super::{Kernel, Wakes};
use crate::{
    time::{
        queue::{State, Timer},
        timers::{Inserted, Timers},
    },
    word::{Waiting, Word},
};

struct Shared {
    timers: Timers,
    word: Word,
    kernel: Kernel,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { timers: Timers::new(), word: Word::new(), kernel: Kernel::new() })
    }

    /// As `Sleep::poll`.
    #[allow(unsafe_code)]
    fn insert(&self, timer: Pin<&Timer>, at: Instant) {
        // SAFETY: the models expire or remove every timer before they drop it.
        if unsafe { self.timers.insert(timer, at, Waker::noop().clone()) } == Inserted::Earliest
            && self.word.notify_if_waiting()
        {
            self.kernel.0.notify();
        }
    }

    /// A turn elsewhere that has the timers give wakers, and wakes them without the lock.
    fn told_elsewhere(shared: &Arc<Self>, tell: fn(&Timers, &mut Vec<Waker>)) -> thread::JoinHandle<()> {
        let shared = shared.clone();
        thread::spawn(move || {
            let mut woken = Vec::new();
            tell(&shared.timers, &mut woken);
            woken.into_iter().for_each(Waker::wake);
        })
    }

    /// Turns until one would sleep until `at` at the latest, as `notifier::turn` does.
    fn turn_until_it_knows(&self, at: Instant, spins: bool) {
        loop {
            let looks = spins && self.word.begin(Waiting::Spinning) && !self.word.is_notified();
            if looks && self.timers.earliest().is_some_and(|earliest| earliest <= at) {
                break;
            }
            if self.word.begin(Waiting::Asleep) {
                if self.timers.earliest().is_some_and(|earliest| earliest <= at) {
                    break;
                }
                self.kernel.0.wait();
            }
            self.word.end();
        }
        self.word.end();
    }
}

/// The first deadline, as a turn goes to sleep without any: the turn sees it or is notified. Caught: a
/// `notify_if_waiting` that leaves a sleeping turn alone; an insert that does not say it is the earliest; the turn's
/// look before its `begin`.
#[test]
fn loom_deadline_races_a_turn_that_begins_to_sleep() {
    let at = Instant::now();
    for spins in [false, true] {
        loom::model(move || {
            let shared = Shared::new();
            let sleeper = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let timer = Box::pin(Timer::new());
                    shared.insert(timer.as_ref(), at);
                    timer
                })
            };
            shared.turn_until_it_knows(at, spins);
            let timer = sleeper.join().unwrap();
            shared.timers.expire(&mut Vec::new());
            assert_eq!(timer.state(), State::Fired);
        });
    }
}

/// A later deadline is inserted between an earlier one and its notification: it can rely on that.
#[test]
fn loom_deadline_behind_another_relies_on_its_notification() {
    let at = Instant::now();
    loom::model(move || {
        let shared = Shared::new();
        let sleepers = [at, at + Duration::from_nanos(1)].map(|at| {
            let shared = shared.clone();
            thread::spawn(move || {
                let timer = Box::pin(Timer::new());
                shared.insert(timer.as_ref(), at);
                timer
            })
        });
        shared.turn_until_it_knows(at, false);
        let timers = sleepers.map(|sleeper| sleeper.join().unwrap());
        shared.timers.expire(&mut Vec::new());
        assert!(timers.iter().all(|timer| timer.state() == State::Fired));
    });
}

/// A sleeper leaves, and its memory goes, while its time comes: loom sees the drop of the timer as an access. Caught:
/// FIRED stored before the timer was unlinked; Relaxed instead of the Release and Acquire of the state.
#[test]
#[allow(unsafe_code)]
fn loom_deadline_expires_as_its_timer_is_freed() {
    let at = Instant::now();
    loom::model(move || {
        let shared = Shared::new();
        let timers = [(); 2].map(|()| Box::pin(Timer::new()));
        let wakes = [(); 2].map(|()| Wakes::new());
        for (timer, (_, waker)) in timers.iter().zip(&wakes) {
            // SAFETY: expired or removed below.
            unsafe { shared.timers.insert(timer.as_ref(), at, waker.clone()) };
        }
        let turn = Shared::told_elsewhere(&shared, Timers::expire);
        let [first, second] = timers;
        if first.state() == State::Queued {
            // SAFETY: inserted there.
            unsafe { shared.timers.remove(first.as_ref()) };
        }
        drop(first);
        turn.join().unwrap();
        assert_eq!((second.state(), wakes[1].0.count()), (State::Fired, 1));
    });
}

/// A sleeper changes its waker while its time comes: it sees that, or the new waker is woken. Caught: the
/// sleeper's second look at the state left out.
#[test]
#[allow(unsafe_code)]
fn loom_deadline_expires_as_its_waker_changes() {
    let at = Instant::now();
    loom::model(move || {
        let shared = Shared::new();
        let timer = Box::pin(Timer::new());
        shared.insert(timer.as_ref(), at);
        let turn = Shared::told_elsewhere(&shared, Timers::expire);
        let (wakes, waker) = Wakes::new();
        // SAFETY: inserted there, if anywhere.
        unsafe { shared.timers.renew(timer.as_ref(), &waker) };
        let fired = timer.state() == State::Fired;
        turn.join().unwrap();
        assert!(fired || wakes.count() == 1);
    });
}

/// A timer is inserted as the Notifier goes: it is refused, or expelled and woken.
#[test]
#[allow(unsafe_code)]
fn loom_deadline_inserted_as_the_notifier_goes() {
    let at = Instant::now();
    loom::model(move || {
        let shared = Shared::new();
        let timer = Box::pin(Timer::new());
        let closer = Shared::told_elsewhere(&shared, Timers::close);
        let (wakes, waker) = Wakes::new();
        // SAFETY: expelled before it is dropped, if it is taken in at all.
        let inserted = unsafe { shared.timers.insert(timer.as_ref(), at, waker) };
        closer.join().unwrap();
        match inserted {
            Inserted::Closed => assert_eq!((timer.state(), wakes.count()), (State::Idle, 0)),
            _ => assert_eq!((timer.state(), wakes.count()), (State::Expelled, 1)),
        }
    });
}
