//! Readiness: what is cleared, what is kept, and the end of it.

use std::task::Waker;

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{CONSUMES, LOOKS, Reader, Wakes, report, source};
use crate::source::{Direction, READ_BITS, READABLE, Seen, Source, Wait};

/// The queue behind a descriptor. A system call is a lock of it.
type Queue = Arc<Mutex<usize>>;

fn arrive(source: &Source, queue: &Queue) {
    *queue.lock().unwrap() += 1;
    report(source, READABLE);
}

/// A receive of one datagram: what it was, with the readiness it saw before.
fn receive(source: &Source, queue: &Queue) -> (Seen, bool) {
    let seen = source.seen();
    let mut queue = queue.lock().unwrap();
    let got = *queue > 0;
    *queue -= usize::from(got);
    (seen, got)
}

/// A report comes between an operation's look, its system call and its clearing: the readiness stays. Caught: a clear
/// that does not compare the tick.
#[test]
fn loom_readiness_report_between_seen_and_clear_is_kept() {
    loom::model(|| {
        let (source, queue) = (source(READABLE), Queue::default());
        let kernel = {
            let (source, queue) = (source.clone(), queue.clone());
            thread::spawn(move || arrive(&source, &queue))
        };
        let (seen, got) = receive(&source, &queue);
        if !got {
            source.clear(seen, Direction::Read.bits());
        }
        kernel.join().unwrap();
        let left = *queue.lock().unwrap() > 0;
        assert!(!left || source.seen().any(READABLE));
    });
}

/// The whole operation: try, clear, wait, try again. It gets what arrives, however the two interleave. Caught: the
/// above, and a report that looks for waiters before it sets the readiness.
#[test]
fn loom_readiness_operation_gets_what_arrives() {
    loom::model(|| {
        let (source, queue) = (source(READABLE), Queue::default());
        let reader = Reader::new(&source, CONSUMES);
        let kernel = {
            let (source, queue) = (source.clone(), queue.clone());
            thread::spawn(move || arrive(&source, &queue))
        };
        let got = operation(&reader, &queue);
        kernel.join().unwrap();
        assert!(got || reader.wakes.count() > 0);
        if !got {
            assert!(operation(&reader, &queue), "woken for nothing");
        }
    });
}

/// Two datagrams and one report: the operation that gets the first passes the wake on for the second.
#[test]
fn loom_readiness_completion_passes_the_wake() {
    loom::model(|| {
        let (source, queue) = (source(0), Queue::default());
        let readers = [(); 2].map(|()| Reader::new(&source, CONSUMES));
        assert!(readers.iter().all(|reader| reader.poll() == Wait::Linked));
        *queue.lock().unwrap() = 2;
        let [first, second] = readers;
        let other = {
            let queue = queue.clone();
            thread::spawn(move || (second.wakes.count() > 0 && operation(&second, &queue), second))
        };
        report(&source, READABLE);
        assert!(first.wakes.count() == 1 && operation(&first, &queue));
        let (got, second) = other.join().unwrap();
        assert!(got || second.wakes.count() > 0);
        assert!(got || operation(&second, &queue));
    });
}

/// As `handle::op::Op::poll`: true when it got a datagram, false when it waits.
fn operation(reader: &Reader, queue: &Queue) -> bool {
    loop {
        if reader.source.seen().any(reader.kind.bits()) {
            let (seen, got) = receive(&reader.source, queue);
            if got {
                reader.finish();
                return true;
            }
            reader.source.clear(seen, reader.kind.bits());
        } else if reader.poll() == Wait::Linked {
            return false;
        }
    }
}

/// Close races link: whoever sleeps is woken, whoever does not has seen it. Caught: a look that forgets CLOSED; the
/// waiters taken before CLOSED is set.
#[test]
fn loom_readiness_close_races_link() {
    loom::model(|| {
        let source = source(0);
        let readers = [CONSUMES, LOOKS].map(|kind| Reader::new(&source, kind)); // the front and the list
        let closer = {
            let source = source.clone();
            thread::spawn(move || {
                let mut woken = Vec::new();
                source.close(&mut woken);
                woken.into_iter().for_each(Waker::wake);
            })
        };
        let waited = [0, 1].map(|at: usize| readers[at].poll());
        closer.join().unwrap();
        for (reader, waited) in readers.iter().zip(waited) {
            assert!(waited == Wait::Ready || reader.wakes.count() == 1);
            assert!(reader.source.seen().is_closed());
        }
    });
}

/// The slot of the poll traits against a report and a close. Caught: the look before the lock; a look that
/// forgets CLOSED.
#[test]
fn loom_readiness_poll_slot_races_report() {
    for close in [false, true] {
        loom::model(move || {
            let source = source(0);
            let other = {
                let source = source.clone();
                thread::spawn(move || match close {
                    false => report(&source, READABLE),
                    true => {
                        let mut woken = Vec::new();
                        source.close(&mut woken);
                        woken.into_iter().for_each(Waker::wake);
                    }
                })
            };
            let (wakes, waker) = Wakes::new();
            let waited = source.wait_in_slot(Direction::Read, READ_BITS, &waker);
            other.join().unwrap();
            assert!(waited == Wait::Ready || wakes.count() == 1);
        });
    }
}

/// A waiter that relies on a request in the kernel, whose end is reported; another reader takes that report's readiness back.
/// Who sleeps relies on one that has not ended, or is woken. Caught: a waiter that does not look again once it is linked.
#[test]
fn loom_readiness_who_relies_on_a_request_is_told_of_its_end() {
    loom::model(|| {
        let (source, goes_on) = (source(0), Arc::new(AtomicBool::new(true)));
        let reader = Reader::new(&source, CONSUMES);
        let other = {
            let (source, goes_on) = (source.clone(), goes_on.clone());
            thread::spawn(move || {
                goes_on.swap(false, Ordering::AcqRel);
                report(&source, READABLE);
                source.clear(source.seen(), Direction::Read.bits());
            })
        };
        let is_nothing = || !goes_on.load(Ordering::Acquire);
        let sleeps = !is_nothing() && reader.poll() == Wait::Linked && !is_nothing();
        other.join().unwrap();
        assert!(!sleeps || reader.wakes.count() == 1);
    });
}
