//! The waiter list and the baton.

use loom::thread;

use super::{CONSUMES, LOOKS, Reader, Wakes, report, source};
use crate::source::{PRIORITY, READABLE, Wait};

/// A report races the first link, in the front or in the list. Caught: a look at the readiness before the flag is set,
/// or before the lock.
#[test]
fn loom_waiter_report_races_link() {
    for kind in [CONSUMES, LOOKS] {
        loom::model(move || {
            let source = source(0);
            let reader = Reader::new(&source, kind);
            let reporter = {
                let source = source.clone();
                thread::spawn(move || report(&source, READABLE))
            };
            let waited = reader.poll();
            reporter.join().unwrap();
            assert!(waited == Wait::Ready || reader.wakes.count() == 1);
            assert!(reader.source.seen().any(READABLE));
        });
    }
}

/// As above when the flag was left behind by an earlier waiter, and the first of two reports clears it. Caught: MORE
/// cleared without the lock.
#[test]
fn loom_waiter_report_races_link_with_a_flag_left_behind() {
    for kind in [CONSUMES, LOOKS] {
        loom::model(move || {
            let source = source(0);
            let earlier = Reader::new(&source, kind);
            assert_eq!(earlier.poll(), Wait::Linked);
            drop(earlier);
            let reader = Reader::new(&source, kind);
            let reporter = {
                let source = source.clone();
                thread::spawn(move || {
                    report(&source, PRIORITY); // nobody waits for it
                    report(&source, READABLE);
                })
            };
            let waited = reader.poll();
            reporter.join().unwrap();
            assert!(waited == Wait::Ready || reader.wakes.count() == 1);
        });
    }
}

/// Two wait for a datagram each, one report comes, the first is dropped unpolled: the second gets the wake. Caught:
/// `unlink` without its second look at the state, and without `pass`.
#[test]
fn loom_waiter_dropped_before_its_poll_passes_the_wake() {
    loom::model(|| {
        let source = source(0);
        let (first, second) = (Reader::new(&source, CONSUMES), Reader::new(&source, CONSUMES));
        assert_eq!(first.poll(), Wait::Linked);
        assert_eq!(second.poll(), Wait::Linked);
        let reporter = thread::spawn(move || report(&source, READABLE));
        drop(first);
        reporter.join().unwrap();
        assert_eq!(second.wakes.count(), 1);
    });
}

/// The same with both dropped on threads of their own, so that a baton may be passed to one that leaves: the third
/// gets it all the same.
#[test]
fn loom_waiter_baton_passes_through_two() {
    loom::model(|| {
        let source = source(0);
        let readers = [(); 3].map(|()| Reader::new(&source, CONSUMES));
        assert!(readers.iter().all(|reader| reader.poll() == Wait::Linked));
        let [first, second, third] = readers;
        let leaver = thread::spawn(move || drop(first));
        let reporter = thread::spawn(move || report(&source, READABLE));
        drop(second);
        leaver.join().unwrap();
        reporter.join().unwrap();
        assert_eq!(third.wakes.count(), 1);
    });
}

/// A waiter leaves, and its memory goes, while a report takes it: loom sees the drop of the node as an access. Caught:
/// NOTIFIED stored before the node was unlinked; Relaxed instead of the Release and Acquire of the state.
#[test]
fn loom_waiter_is_freed_as_it_is_taken() {
    loom::model(|| {
        let source = source(0);
        let (first, second) = (Reader::new(&source, LOOKS), Reader::new(&source, LOOKS));
        assert_eq!(first.poll(), Wait::Linked);
        assert_eq!(second.poll(), Wait::Linked);
        let reporter = thread::spawn(move || report(&source, READABLE));
        drop(second);
        reporter.join().unwrap();
        assert_eq!(first.wakes.count(), 1);
    });
}

/// Two that only look link as a report comes: none of them sleeps.
#[test]
fn loom_waiters_that_look_are_all_woken() {
    loom::model(|| {
        let source = source(0);
        let other = Reader::new(&source, LOOKS);
        let other = thread::spawn(move || {
            let waited = other.poll();
            (waited, other)
        });
        let reporter = {
            let source = source.clone();
            thread::spawn(move || report(&source, READABLE))
        };
        let reader = Reader::new(&source, LOOKS);
        let waited = reader.poll();
        let (other_waited, other) = other.join().unwrap();
        reporter.join().unwrap();
        assert_eq!(waited == Wait::Linked, reader.wakes.count() == 1);
        assert_eq!(other_waited == Wait::Linked, other.wakes.count() == 1);
    });
}

/// A waiter changes its waker while a report takes it: the one that counts is woken. Caught: `renew` without its look
/// at the state.
#[test]
fn loom_waiter_relink_races_take() {
    for kind in [CONSUMES, LOOKS] {
        loom::model(move || {
            let source = source(0);
            let reader = Reader::new(&source, kind);
            assert_eq!(reader.poll(), Wait::Linked);
            let reporter = thread::spawn(move || report(&source, READABLE));
            let (wakes, waker) = Wakes::new();
            let waited = reader.poll_with(&waker);
            reporter.join().unwrap();
            match waited {
                Wait::Linked => assert_eq!(wakes.count(), 1),
                Wait::Ready => assert!(reader.source.seen().any(READABLE)),
            }
        });
    }
}
