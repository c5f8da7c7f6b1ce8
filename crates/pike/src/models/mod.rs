//! The loom models of the pure modules, one file a protocol: `ci/loom` runs them.
//!
//! Each was seen to fail with the protection removed that its comment names. They either let the threads run out and
//! judge the end state, or block where the real thing does; a wake that is lost is then a deadlock, which loom reports.

use std::{
    pin::Pin,
    sync::{
        Arc as StdArc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
};

use crate::{
    source::{CLOSED, Direction, READ_BITS, Source, Wait},
    sync::Arc,
    waiter::{Kind, Node, State},
};

mod brief;
mod deadline;
mod front;
mod hold;
mod life;
mod parker;
mod pool;
mod posted;
mod readiness;
mod seat;
mod signals;
mod slot;
mod waiters;
mod word;

/// What a receive waits for.
const CONSUMES: Kind = Kind::plain(Direction::Read);
/// What `readable()` waits for.
const LOOKS: Kind = Kind::new(READ_BITS, false);

/// A waker that counts. Its counter is no part of the model: it adds no interleavings.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn new() -> (StdArc<Self>, Waker) {
        let wakes = StdArc::<Self>::default();
        (wakes.clone(), wakes.into())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A reader's wait, as `handle::waiting::Waiting` does it, with its source kept alive and its wakes counted.
struct Reader {
    source: Arc<Source>,
    kind: Kind,
    node: Node,
    wakes: StdArc<Wakes>,
    waker: Waker,
}

#[allow(unsafe_code)]
impl Reader {
    fn new(source: &Arc<Source>, kind: Kind) -> Pin<Box<Self>> {
        let (wakes, waker) = Wakes::new();
        Box::pin(Self { source: source.clone(), kind, node: Node::new(), wakes, waker })
    }

    fn node(&self) -> Pin<&Node> {
        // SAFETY: every Reader is made pinned.
        unsafe { Pin::new_unchecked(&self.node) }
    }

    fn poll(&self) -> Wait {
        self.poll_with(&self.waker)
    }

    fn poll_with(&self, waker: &Waker) -> Wait {
        match self.node.state() {
            State::Idle | State::Notified => {
                let seen = self.source.seen();
                if seen.any(self.kind.bits() | CLOSED) {
                    return Wait::Ready;
                }
                // SAFETY: always on this source and direction, and unlinked by `finish` before the drop.
                unsafe { self.source.link(Direction::Read, self.node(), self.kind, seen, waker.clone()) }
            }
            // SAFETY: as above.
            _ => unsafe { self.source.relink(Direction::Read, self.node(), self.kind, waker) },
        }
    }

    fn finish(&self) {
        if matches!(self.node.state(), State::Front | State::Linked) {
            // SAFETY: linked by `poll`.
            unsafe { self.source.unlink(Direction::Read, self.node()) };
        }
        if self.node.state() == State::Notified {
            self.node.reset();
            if self.source.has_more(self.kind) {
                self.source.pass(Direction::Read, self.kind);
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An open source with these bits set.
fn source(bits: u64) -> Arc<Source> {
    let source = Source::new();
    source.open(bits);
    Arc::new(source)
}

/// A report as a turn makes it: applied, then dispatched.
fn report(source: &Source, bits: u64) {
    let mut woken = Vec::new();
    source.report(0, bits, &mut woken);
    woken.into_iter().for_each(Waker::wake);
}

/// The kernel, as a place to sleep in that a notify ends.
struct Kernel(loom::sync::Notify);

impl Kernel {
    fn new() -> Self {
        Self(loom::sync::Notify::new())
    }
}
