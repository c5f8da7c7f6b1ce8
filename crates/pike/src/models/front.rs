//! The front: one waiter without a lock, before the others.

use loom::thread;

use super::{CONSUMES, LOOKS, Reader, Wakes, report, source};
use crate::source::{READABLE, Wait};

/// The one waiter leaves, and its memory goes, while a report takes it: loom sees the drop of the node as an access.
/// Caught: NOTIFIED stored before the waker was taken out; an owner that does not wait for it; Relaxed instead of the
/// Release and Acquire of the place and of the state.
#[test]
fn loom_front_waiter_is_freed_as_it_is_taken() {
    loom::model(|| {
        let source = source(0);
        let reader = Reader::new(&source, CONSUMES);
        assert_eq!(reader.poll(), Wait::Linked);
        let wakes = reader.wakes.clone();
        let reporter = thread::spawn(move || report(&source, READABLE));
        drop(reader);
        reporter.join().unwrap();
        assert!(wakes.count() <= 1);
    });
}

/// The one waiter comes, by the exchange that finds nothing changed or by the flag set after it failed, as another
/// comes behind it and a report is made: one of them is awake, and when it is done so is the other. Caught: no second look once the exchange
/// has failed; a report that does not look at the front.
#[test]
fn loom_front_and_list_race_one_report() {
    loom::model(|| {
        let source = source(0);
        let (first, second) = (Reader::new(&source, CONSUMES), Reader::new(&source, CONSUMES));
        let other = thread::spawn(move || {
            let waited = second.poll();
            (waited, second)
        });
        let reporter = {
            let source = source.clone();
            thread::spawn(move || report(&source, READABLE))
        };
        let waited = first.poll();
        let (other_waited, second) = other.join().unwrap();
        reporter.join().unwrap();
        let first_is_awake = waited == Wait::Ready || first.wakes.count() > 0;
        let second_is_awake = || other_waited == Wait::Ready || second.wakes.count() > 0;
        if first_is_awake {
            first.finish();
            assert!(second_is_awake());
        } else {
            assert!(second_is_awake());
            second.finish();
            assert_eq!(first.wakes.count(), 1);
        }
    });
}

/// A wake is passed on while the next waiter comes to the front: that one gets it, or sees the readiness itself.
/// Caught: the exchange of the word before the node is in the front; Relaxed instead of the orderings of the place.
#[test]
fn loom_front_put_races_pass() {
    loom::model(|| {
        let source = source(0);
        let first = Reader::new(&source, CONSUMES);
        assert_eq!(first.poll(), Wait::Linked);
        let second = Reader::new(&source, CONSUMES);
        let other = {
            let source = source.clone();
            thread::spawn(move || {
                report(&source, READABLE);
                drop(first); // has the wake, and leaves
            })
        };
        let waited = second.poll();
        other.join().unwrap();
        assert!(waited == Wait::Ready || second.wakes.count() == 1);
    });
}

/// The waiter in the front is dropped unpolled while a report takes it: one in the list gets the wake, or one that
/// takes the front after it. Caught: `pass` left out; `unlink` that takes back without a look at what came of it.
#[test]
fn loom_front_dropped_passes_the_wake() {
    for looks_too in [false, true] {
        loom::model(move || {
            let source = source(0);
            let (first, second) = (Reader::new(&source, CONSUMES), Reader::new(&source, CONSUMES));
            assert_eq!(first.poll(), Wait::Linked);
            assert_eq!(second.poll(), Wait::Linked);
            let looks = looks_too.then(|| Reader::new(&source, LOOKS));
            if let Some(looks) = &looks {
                assert_eq!(looks.poll(), Wait::Linked);
            }
            let reporter = thread::spawn(move || report(&source, READABLE));
            drop(first);
            reporter.join().unwrap();
            assert_eq!(second.wakes.count(), 1);
            assert!(looks.is_none_or(|looks| looks.wakes.count() == 1));
        });
    }
}

/// A waiter changes its waker, for which it leaves the front for a moment, while a wake is passed on: somebody gets
/// it. Caught: a relink that does not look at the word again.
#[test]
fn loom_front_relink_races_pass() {
    loom::model(|| {
        let source = source(0);
        let first = Reader::new(&source, CONSUMES);
        assert_eq!(first.poll(), Wait::Linked);
        report(&source, READABLE);
        source.clear(source.seen(), READABLE);
        let second = Reader::new(&source, CONSUMES);
        assert_eq!(second.poll(), Wait::Linked); // in the front, since the first was woken
        let other = {
            let source = source.clone();
            thread::spawn(move || {
                report(&source, READABLE);
                drop(first);
            })
        };
        let (wakes, waker) = Wakes::new();
        let waited = second.poll_with(&waker);
        other.join().unwrap();
        assert!(waited == Wait::Ready || wakes.count() > 0);
    });
}
