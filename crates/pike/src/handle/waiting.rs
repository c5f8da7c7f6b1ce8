//! One waiter of one registration, inside a suspended future.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::registration::Registration;
use crate::{
    source::{Direction, NOW, Seen, Wait},
    waiter::{Kind, Node, State},
};

/// What an operation waits for. A type of its own where that is known to the compiler, which it is on the hot path.
pub(crate) trait Aim: Copy {
    fn direction(self) -> Direction;
    fn kind(self) -> Kind;

    /// Any of which lets the operation try.
    #[inline]
    fn bits(self) -> u64 {
        self.kind().bits()
    }
}

/// The next bytes, datagram or connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads;

/// Room to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writes;

/// The same, for an operation that has nothing to wait for if what it was given is empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnlessEmpty<A> {
    aim: A,
    bits: u64,
}

impl<A: Aim> UnlessEmpty<A> {
    #[inline]
    pub(crate) fn new(aim: A, empty: bool) -> Self {
        Self { aim, bits: aim.bits() | if empty { NOW } else { 0 } }
    }
}

/// Something else, said by a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Special {
    pub(crate) direction: Direction,
    pub(crate) kind: Kind,
}

impl Aim for Reads {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Read
    }

    #[inline]
    fn kind(self) -> Kind {
        Kind::plain(Direction::Read)
    }
}

impl Aim for Writes {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Write
    }

    #[inline]
    fn kind(self) -> Kind {
        Kind::plain(Direction::Write)
    }
}

impl<A: Aim> Aim for UnlessEmpty<A> {
    #[inline]
    fn direction(self) -> Direction {
        self.aim.direction()
    }

    #[inline]
    fn kind(self) -> Kind {
        self.aim.kind()
    }

    #[inline]
    fn bits(self) -> u64 {
        self.bits
    }
}

impl Aim for Special {
    fn direction(self) -> Direction {
        self.direction
    }

    fn kind(self) -> Kind {
        self.kind
    }
}

pin_project! {
    /// Suspends its task until the source is ready. Dropped while it waits, it leaves; dropped with a wake that it did
    /// not use, it passes that on.
    #[derive(Debug)]
    pub(crate) struct Waiting<'a, A: Aim> {
        registration: &'a Registration,
        aim: A,
        #[pin]
        node: Node,
    }

    impl<A: Aim> PinnedDrop for Waiting<'_, A> {
        fn drop(this: Pin<&mut Self>) {
            this.into_ref().finish();
        }
    }
}

#[allow(unsafe_code)]
impl<'a, A: Aim> Waiting<'a, A> {
    #[inline]
    pub(crate) fn new(registration: &'a Registration, aim: A) -> Self {
        Self { registration, aim, node: Node::new() }
    }

    #[inline]
    pub(crate) fn registration(&self) -> &'a Registration {
        self.registration
    }

    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        self.aim.bits()
    }

    /// Ready if there may be something now: the caller looks again. Pending once the waiter is linked. `seen`: the word,
    /// just read, with nothing to see in it.
    #[inline(always)]
    pub(crate) fn poll(self: Pin<&Self>, cx: &mut Context<'_>, seen: Seen) -> Poll<()> {
        let this = self.project_ref();
        let (source, direction, kind) = (this.registration.source(), this.aim.direction(), this.aim.kind());
        let waited = match this.node.state() {
            // SAFETY: this node waits on this source and direction only, and `finish` unlinks it before it is dropped.
            State::Idle | State::Notified => unsafe {
                source.link(direction, this.node, kind, seen, cx.waker().clone())
            },
            // SAFETY: as above.
            State::Front | State::Linked => unsafe { source.relink(direction, this.node, kind, cx.waker()) },
        };
        match waited {
            Wait::Linked => Poll::Pending,
            Wait::Ready => Poll::Ready(()),
        }
    }

    /// For a word that says closed, or in a process with a fork behind it: the word, if the operation may go on.
    /// Otherwise the end of the waiting, and why.
    #[cold]
    pub(crate) fn look_again(self: Pin<&Self>) -> io::Result<Seen> {
        let seen = self.registration.source().seen();
        if !seen.is_closed() && !self.registration.core().is_forked() {
            return Ok(seen);
        }
        self.finish();
        Err(self.registration.why_closed())
    }

    /// Ends the waiting, for whatever reason: leaves, or passes on a wake that may still serve another.
    #[inline]
    pub(crate) fn finish(self: Pin<&Self>) {
        match self.node.state() {
            State::Idle => {}
            State::Notified => self.give_up_wake(),
            State::Front | State::Linked => self.leave(),
        }
    }

    /// As [`Waiting::finish`], for an operation that has just found that nothing is left for another.
    #[inline]
    pub(crate) fn finish_drained(self: Pin<&Self>) {
        match self.node.state() {
            State::Idle => {}
            State::Notified => self.node.reset(),
            State::Front | State::Linked => self.leave(),
        }
    }

    #[inline]
    fn give_up_wake(self: Pin<&Self>) {
        self.node.reset();
        if self.registration.source().has_more(self.aim.kind()) {
            self.pass();
        }
    }

    #[cold]
    fn pass(self: Pin<&Self>) {
        if !self.registration.core().is_forked() {
            self.registration.source().pass(self.aim.direction(), self.aim.kind());
        }
    }

    #[cold]
    fn leave(self: Pin<&Self>) {
        if self.registration.core().is_forked() {
            return; // nobody in this process will look for it again, and the lock may be held for ever (I14)
        }
        let this = self.project_ref();
        // SAFETY: linked by `poll` on this source and direction.
        unsafe { this.registration.source().unlink(this.aim.direction(), this.node) };
        if self.node.state() == State::Notified {
            self.give_up_wake();
        }
    }
}
