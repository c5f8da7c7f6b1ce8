//! Unit tests of `source`.

use std::pin::Pin;
use std::sync::Arc;

use super::*;
use crate::testing::{Log, rounds, spy};
use crate::waiter::{Kind, Node, State};

impl Source {
    /// As if the slot had been used so often.
    pub(crate) fn set_generation(&self, generation: u32) {
        self.generation.store(generation, Ordering::Relaxed);
    }
}

const CONSUMES: Kind = Kind::plain(Direction::Read);
const LOOKS: Kind = Kind::new(READ_BITS, false);
const URGENT: Kind = Kind::new(PRIORITY, false);

fn source() -> Arc<Source> {
    let source = Source::new();
    source.open(0);
    Arc::new(source)
}

/// As `handle::waiting::Waiting`, on the reading side.
struct Reader {
    source: Arc<Source>,
    kind: Kind,
    node: Node,
}

impl Reader {
    fn new(source: &Arc<Source>, kind: Kind) -> Pin<Box<Self>> {
        Box::pin(Self { source: source.clone(), kind, node: Node::new() })
    }

    fn node(&self) -> Pin<&Node> {
        // SAFETY: every Reader is made pinned.
        unsafe { Pin::new_unchecked(&self.node) }
    }

    fn poll(&self, waker: &Waker) -> Wait {
        match self.node.state() {
            State::Idle | State::Notified => {
                let seen = self.source.seen();
                if seen.any(self.kind.bits() | CLOSED) {
                    return Wait::Ready;
                }
                // SAFETY: only on this source and side, and unlinked by `finish` before the drop.
                unsafe { self.source.link(Direction::Read, self.node(), self.kind, seen, waker.clone()) }
            }
            // SAFETY: as above.
            _ => unsafe { self.source.relink(Direction::Read, self.node(), self.kind, waker) },
        }
    }

    fn finish(&self) {
        if self.sleeps() {
            // SAFETY: linked by `poll`.
            unsafe { self.source.unlink(Direction::Read, self.node()) };
        }
        if self.owns_wake() {
            self.node.reset();
            if self.source.has_more(self.kind) {
                self.source.pass(Direction::Read, self.kind);
            }
        }
    }

    fn sleeps(&self) -> bool {
        matches!(self.node.state(), State::Front | State::Linked)
    }

    fn owns_wake(&self) -> bool {
        self.node.state() == State::Notified
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.finish();
    }
}

fn report(source: &Source, bits: u64) {
    let mut woken = Vec::new();
    source.report(source.generation(), bits, &mut woken);
    woken.into_iter().for_each(Waker::wake);
}

/// All sequences of polls, drops, reports and clears over three receives: while there is something to receive,
/// no receive sleeps unless another one owns the wake.
#[test]
fn somebody_owns_the_wake_in_every_sequence() {
    let steps = rounds(6, 3);
    for sequence in (0..8_usize.pow(steps as u32)).step_by(rounds(1, 3)) {
        let source = source();
        let mut readers = [(); 3].map(|()| Reader::new(&source, CONSUMES));
        // Under Miri the few steps start with all linked, where it gets interesting.
        if cfg!(miri) {
            readers.iter().for_each(|reader| assert_eq!(reader.poll(Waker::noop()), Wait::Linked));
        }
        for step in 0..steps {
            match sequence / 8_usize.pow(step as u32) % 8 {
                name @ 0..=2 => drop(readers[name].poll(Waker::noop())),
                name @ 3..=5 => readers[name - 3] = Reader::new(&source, CONSUMES),
                6 => report(&source, READABLE),
                _ => _ = source.clear(source.seen(), READ_BITS),
            }
            if source.seen().any(READ_BITS) && readers.iter().any(|reader| reader.sleeps()) {
                let owned = readers.iter().any(|reader| reader.owns_wake());
                assert!(owned, "sequence {sequence}, step {step}: the wake was lost");
            }
        }
    }
}

#[test]
fn consumers_are_woken_one_by_one_and_lookers_together() {
    let (source, log) = (source(), Log::default());
    let kinds = [CONSUMES, LOOKS, CONSUMES, LOOKS];
    let readers: Vec<_> = kinds.iter().map(|kind| Reader::new(&source, *kind)).collect();
    for (name, reader) in readers.iter().enumerate() {
        assert_eq!(reader.poll(&log.waker(name)), Wait::Linked);
    }
    report(&source, READABLE);
    assert_eq!(log.take(), [0, 3, 1]); // the front before the list
    report(&source, READABLE);
    assert_eq!(log.take(), [2]);
    report(&source, READABLE);
    assert!(log.take().is_empty());
}

#[test]
fn an_unused_wake_is_passed_on_only_if_there_is_something() {
    for something in [true, false] {
        let (source, log) = (source(), Log::default());
        let readers = [(); 2].map(|()| Reader::new(&source, CONSUMES));
        for (name, reader) in readers.iter().enumerate() {
            assert_eq!(reader.poll(&log.waker(name)), Wait::Linked);
        }
        report(&source, READABLE);
        assert_eq!(log.take(), [0]);
        if !something {
            source.clear(source.seen(), READ_BITS);
        }
        readers[0].finish();
        assert_eq!(log.take(), if something { vec![1] } else { vec![] });
    }
}

#[test]
fn who_only_looks_passes_nothing_on() {
    let (source, log) = (source(), Log::default());
    let (looks, first, second) =
        (Reader::new(&source, LOOKS), Reader::new(&source, CONSUMES), Reader::new(&source, CONSUMES));
    for (name, reader) in [&looks, &first, &second].into_iter().enumerate() {
        assert_eq!(reader.poll(&log.waker(name)), Wait::Linked);
    }
    report(&source, READABLE);
    assert_eq!(log.take(), [0, 1]);
    drop(looks);
    assert!(log.take().is_empty());
    drop(first);
    assert_eq!(log.take(), [2]);
}

#[test]
fn priority_wakes_who_waits_for_it_and_nobody_else() {
    let (source, log) = (source(), Log::default());
    let readers = [Reader::new(&source, URGENT), Reader::new(&source, CONSUMES)];
    for (name, reader) in readers.iter().enumerate() {
        assert_eq!(reader.poll(&log.waker(name)), Wait::Linked);
    }
    report(&source, READABLE);
    assert_eq!(log.take(), [1]);
    report(&source, PRIORITY);
    assert_eq!(log.take(), [0]);
}

#[test]
fn priority_and_data_in_one_report_wake_both() {
    // As a receive of urgent data, which takes what it waits for, but must not be the one that is woken.
    let urgent = Kind::new(PRIORITY | READ_CLOSED, true);
    for kinds in [[CONSUMES, urgent], [urgent, CONSUMES]] {
        let (source, log) = (source(), Log::default());
        let readers = kinds.map(|kind| Reader::new(&source, kind));
        for (name, reader) in readers.iter().enumerate() {
            assert_eq!(reader.poll(&log.waker(name)), Wait::Linked);
        }
        report(&source, READABLE | PRIORITY | URGENT_SEEN);
        assert_eq!(log.take(), [0, 1]);
    }
}

#[test]
fn the_two_sides_do_not_wake_each_other() {
    let (source, log) = (source(), Log::default());
    let slot =
        |direction: Direction, name| source.wait_in_slot(direction, direction.bits(), &log.waker(name));
    assert_eq!(slot(Direction::Read, 0), Wait::Linked);
    assert_eq!(slot(Direction::Write, 1), Wait::Linked);
    report(&source, WRITABLE);
    assert_eq!(log.take(), [1]);
    report(&source, READ_CLOSED);
    assert_eq!(log.take(), [0]);
}

#[test]
fn in_the_slot_the_last_waker_wins() {
    let (source, log) = (source(), Log::default());
    for name in [0, 1] {
        assert_eq!(source.wait_in_slot(Direction::Read, READ_BITS, &log.waker(name)), Wait::Linked);
    }
    report(&source, PRIORITY); // not what it waits for
    assert!(log.take().is_empty());
    report(&source, READABLE);
    report(&source, READABLE);
    assert_eq!(log.take(), [1]);
    assert_eq!(source.wait_in_slot(Direction::Read, READ_BITS, &log.waker(2)), Wait::Ready);
}

#[test]
fn only_the_readiness_that_was_seen_is_cleared() {
    let source = source();
    report(&source, READABLE);
    let seen = source.seen();
    report(&source, READABLE);
    source.clear(seen, READ_BITS);
    assert!(source.seen().any(READABLE));
    source.clear(source.seen(), READ_BITS);
    assert!(!source.seen().any(READABLE));
}

#[test]
fn a_waiter_that_comes_between_seen_and_clear_does_not_keep_the_readiness() {
    let source = source();
    report(&source, READABLE);
    let seen = source.seen();
    let reader = Reader::new(&source, URGENT);
    assert_eq!(reader.poll(Waker::noop()), Wait::Linked); // sets a flag in the word, but is no report
    source.clear(seen, READ_BITS);
    assert!(!source.seen().any(READABLE));
}

#[test]
fn a_reset_forgets_readiness_and_keeps_waiters_and_the_end() {
    let (source, log) = (source(), Log::default());
    let reader = Reader::new(&source, CONSUMES);
    assert_eq!(reader.poll(&log.waker(0)), Wait::Linked);
    report(&source, WRITABLE | ERROR);
    let seen = source.seen();
    source.reset(TRY_WRITE);
    assert_eq!(source.seen().bits() & 0xff, TRY_WRITE);
    source.clear(seen, TRY_WRITE); // seen before the reset
    assert!(source.seen().any(TRY_WRITE));
    report(&source, READABLE);
    assert_eq!(log.take(), [0]);
    source.close(&mut Vec::new());
    source.reset(0);
    assert!(source.seen().is_closed());
}

#[test]
fn a_short_transfer_means_drained_unless_something_was_reported() {
    let source = source();
    report(&source, READABLE | WRITABLE);
    assert!(source.seen().short_means_drained());
    for bits in [URGENT_SEEN, READ_CLOSED, WRITE_CLOSED, ERROR] {
        source.reset(READABLE);
        report(&source, bits);
        assert!(!source.seen().short_means_drained());
    }
}

#[test]
fn a_closed_source_lets_nobody_wait() {
    let (source, log) = (source(), Log::default());
    let (reader, late) = (Reader::new(&source, CONSUMES), Reader::new(&source, LOOKS));
    assert_eq!(reader.poll(&log.waker(0)), Wait::Linked);
    assert_eq!(source.wait_in_slot(Direction::Write, WRITE_BITS, &log.waker(1)), Wait::Linked);
    let mut woken = Vec::new();
    source.close(&mut woken);
    woken.into_iter().for_each(Waker::wake);
    assert_eq!(log.take(), [0, 1]);
    assert_eq!(late.poll(Waker::noop()), Wait::Ready);
    assert_eq!(source.wait_in_slot(Direction::Write, WRITE_BITS, Waker::noop()), Wait::Ready);
}

#[test]
fn a_retired_source_refuses_reports_and_wakes_who_waits() {
    let (source, log) = (source(), Log::default());
    let reader = Reader::new(&source, CONSUMES);
    assert_eq!(reader.poll(&log.waker(0)), Wait::Linked);
    let mut woken = Vec::new();
    assert!(source.retire(&mut woken));
    source.report(0, READABLE, &mut woken);
    assert_eq!(woken.len(), 1);
    source.open(0);
    source.report(0, READABLE, &mut woken);
    assert!(woken.len() == 1 && !source.seen().any(READABLE) && !source.seen().is_closed());
    source.set_generation(u32::MAX);
    assert!(!source.retire(&mut woken), "its generations are used up");
}

/// The tick runs over into nothing: the flags are not touched by it.
#[test]
fn a_tick_that_wraps_leaves_the_flags_alone() {
    let source = source();
    source.word.store(!(TICK - 1) | WRITABLE, Ordering::Relaxed);
    report(&source, READABLE);
    assert_eq!(source.seen().bits(), READABLE | WRITABLE);
}

/// Every way a source has to deal with a waker, with wakers that look at the lock whenever they are cloned, woken
/// or dropped (I6).
#[test]
fn no_waker_is_touched_under_the_lock() {
    let source = source();
    let waker = || {
        let source = source.clone();
        spy(move || {
            assert!(!source.waiters.is_locked());
            // And it may come back in at any time.
            source.seen();
            let _ = source.wait_in_slot(Direction::Write, WRITE_BITS, Waker::noop());
        })
    };
    let readers = [(); 2].map(|()| Reader::new(&source, CONSUMES));
    let slot = || source.wait_in_slot(Direction::Read, READ_BITS, &waker());
    assert_eq!(readers[0].poll(&waker()), Wait::Linked);
    assert_eq!(readers[0].poll(&waker()), Wait::Linked); // another waker
    assert_eq!(readers[1].poll(&waker()), Wait::Linked);
    assert_eq!(slot(), Wait::Linked);
    assert_eq!(slot(), Wait::Linked);
    readers[0].finish();
    assert_eq!(readers[0].poll(&waker()), Wait::Linked);
    report(&source, READABLE);
    assert!(readers[1].owns_wake());
    assert_eq!(readers[1].poll(&waker()), Wait::Ready);
    assert_eq!(slot(), Wait::Ready);
    readers[1].finish(); // passes the wake on
    assert!(readers[0].owns_wake());
    // The word was read before the report: it is too late for the front, and for the list.
    source.clear(source.seen(), READ_BITS);
    readers.iter().for_each(|reader| reader.finish());
    let seen = source.seen();
    report(&source, READABLE);
    for (reader, kind) in readers.iter().zip([CONSUMES, LOOKS]) {
        // SAFETY: only on this source and side, and unlinked by `finish` before the drop.
        let waited = unsafe { source.link(Direction::Read, reader.node(), kind, seen, waker()) };
        assert_eq!(waited, Wait::Ready);
    }
    source.clear(source.seen(), READ_BITS);
    assert_eq!(readers[0].poll(&waker()), Wait::Linked);
    let mut woken = Vec::new();
    source.retire(&mut woken);
    assert_eq!(woken.len(), 2); // the writer of the wakers among them
    woken.into_iter().for_each(Waker::wake);
}

/// As a port does it, with a request a direction; and as a ring, with one for both.
#[test]
fn each_direction_is_armed_by_one_caller_until_its_request_ends() {
    let source = source();
    source.open(UNARMED);
    assert!(
        !source.seen().is_front_free(Direction::Read, true),
        "who waits must see that nothing is reported"
    );
    assert!(source.seen().is_front_free(Direction::Read, false), "but for who waits for something else");
    assert!(source.take_unarmed(READ_UNARMED) && !source.take_unarmed(READ_UNARMED));
    assert!(
        source.seen().is_front_free(Direction::Read, true)
            && !source.seen().is_front_free(Direction::Write, true)
    );
    assert!(source.take_unarmed(WRITE_UNARMED) && source.seen().is_front_free(Direction::Write, true));
    report(&source, READABLE | READ_UNARMED);
    source.reset(0);
    assert!(source.seen().any(READ_UNARMED) && !source.seen().any(WRITE_UNARMED));
    assert!(source.take_unarmed(UNARMED) && !source.take_unarmed(UNARMED), "one request for both");
}
