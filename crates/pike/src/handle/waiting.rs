//! One waiter of one registration, inside a suspended future.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::registration::Registration;
use crate::{
    source::{Direction, PRIORITY, READABLE, Seen, Wait},
    sys::platform,
    waiter::{Kind, Node, State},
};

/// Where an operation waits.
pub(crate) trait Place: Copy {
    fn registration(&self) -> &Registration;
}

impl Place for &Registration {
    #[inline]
    fn registration(&self) -> &Registration {
        self
    }
}

/// What an operation waits for. A type of its own where that is known to the compiler, which it is on the hot path.
pub(crate) trait Aim: Copy {
    fn direction(self) -> Direction;

    /// Of nearly all: what any of its direction waits for.
    #[inline]
    fn kind(self) -> Kind {
        Kind::plain(self.direction())
    }

    /// Whether who waits for this has the backend report the source's readiness, where it has to be asked.
    #[inline]
    fn arms(self) -> bool {
        true
    }

    /// Any of which lets the operation try.
    #[inline]
    fn bits(self) -> u64 {
        self.kind().bits()
    }
}

/// The next bytes, datagram or connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads;

/// What a request brings that is in the kernel, and reports the source ready itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brought;

/// As [`Reads`], or as [`Brought`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comes {
    /// Nobody has looked yet, or waits.
    Somehow,
    ByCalls,
    Brought,
}

/// Room to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writes;

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
}

impl Aim for Brought {
    #[inline]
    fn arms(self) -> bool {
        false
    }

    #[inline]
    fn direction(self) -> Direction {
        Direction::Read
    }
}

impl Aim for Comes {
    #[inline]
    fn arms(self) -> bool {
        self != Self::Brought
    }

    #[inline]
    fn direction(self) -> Direction {
        Direction::Read
    }
}

impl Aim for Writes {
    #[inline]
    fn direction(self) -> Direction {
        Direction::Write
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
    //
    // In this order, because a flag beside a node that was not made yet is stored together with it: 41 zeros for one.
    #[derive(Debug)]
    #[repr(C)]
    pub(crate) struct Waiting<P: Place, A: Aim> {
        // Whether there is a node. Most operations never wait, or end just after: one plain flag tells, which the
        // compiler follows to the drop, and no node is made for nothing.
        waits: bool,
        aim: A,
        place: P,
        #[pin]
        node: MaybeUninit<Node>,
    }

    impl<P: Place, A: Aim> PinnedDrop for Waiting<P, A> {
        fn drop(this: Pin<&mut Self>) {
            if this.waits {
                this.give_up();
            }
        }
    }
}

impl<P: Place> Waiting<P, Comes> {
    #[inline]
    pub(crate) fn aim(&self) -> Comes {
        self.aim
    }

    /// Of one that has not waited yet; or for the same.
    #[inline]
    pub(crate) fn set_aim(self: Pin<&mut Self>, aim: Comes) {
        debug_assert!(!self.waits || self.aim == aim);
        *self.project().aim = aim;
    }
}

#[allow(unsafe_code)]
impl<P: Place, A: Aim> Waiting<P, A> {
    #[inline]
    pub(crate) fn new(place: P, aim: A) -> Self {
        Self { place, aim, waits: false, node: MaybeUninit::uninit() }
    }

    #[inline]
    pub(crate) fn place(&self) -> P {
        self.place
    }

    #[inline]
    fn registration(&self) -> &Registration {
        self.place.registration()
    }

    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        self.aim.bits()
    }

    /// # Safety
    ///
    /// There is one: `waits` is set.
    #[inline]
    unsafe fn node(self: Pin<&Self>) -> Pin<&Node> {
        debug_assert!(self.waits);
        // SAFETY: pinned with `self`, and there, as the caller promises.
        unsafe { self.project_ref().node.map_unchecked(|node| node.assume_init_ref()) }
    }

    /// The word, once an operation may try: its side is ready, or `is_nothing` says that it needs nothing to be.
    #[inline(always)]
    pub(crate) fn poll_ready(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        is_nothing: impl Fn() -> bool,
    ) -> Poll<io::Result<Seen>> {
        let (place, direction, kind) = (self.place, self.aim.direction(), self.aim.kind());
        let (registration, bits) = (place.registration(), self.bits());
        let source = registration.source();
        loop {
            let mut seen = source.seen().with(platform::forked());
            if !seen.any(bits) && !is_nothing() {
                // Priority conditions may have to be asked for each time, or are never reported: `poll` sees to that.
                if self.waits || !seen.is_front_free(direction, self.aim.arms()) || bits & PRIORITY != 0 {
                    if self.as_mut().poll(cx, seen)?.is_pending() && self.as_mut().stays(&is_nothing) {
                        return Poll::Pending;
                    }
                    continue;
                }
                let node = self.as_mut().make_node();
                // SAFETY: this node waits on this source and direction only, and `finish` unlinks it before it is
                // dropped.
                match unsafe { source.link_at(false, direction, node, kind, seen, cx.waker().clone()) } {
                    Wait::Linked if self.as_mut().stays(&is_nothing) => return Poll::Pending,
                    Wait::Linked | Wait::Ready => continue,
                }
            }
            if seen.is_closed() {
                // The word of a process with a fork behind it says nothing about the source.
                match registration.look_again() {
                    Ok(word) => seen = word,
                    Err(error) => {
                        self.finish();
                        return Poll::Ready(Err(error));
                    }
                }
                if !seen.any(bits) && !is_nothing() {
                    if self.as_mut().poll(cx, seen)?.is_pending() && self.as_mut().stays(&is_nothing) {
                        return Poll::Pending;
                    }
                    continue;
                }
            }
            return Poll::Ready(Ok(seen));
        }
    }

    /// Of one that was just linked: whether it may sleep. Who has nothing reported relies on a request, which was in the kernel
    /// when this looked before. It may have ended since, and been reported, and another reader have found nothing and taken the
    /// readiness back: all before there was anybody to wake. If it ends from here on, that is told.
    #[inline(always)]
    fn stays(self: Pin<&mut Self>, is_nothing: &impl Fn() -> bool) -> bool {
        let stays = self.aim.arms() || !is_nothing();
        if !stays {
            self.finish();
        }
        stays
    }

    /// Ready if there may be something now: the caller looks again. Pending once the waiter is linked. Fails if the
    /// source is closed. `seen`: the word, just read, with nothing to see in it.
    #[cold]
    pub(crate) fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, seen: Seen) -> Poll<io::Result<()>> {
        if seen.is_closed() {
            if let Err(error) = self.registration().look_again() {
                self.finish();
                return Poll::Ready(Err(error));
            }
        }
        if self.is_hopeless() {
            let message = "the backend of this Notifier does not report urgent data";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, message)));
        }
        let (place, direction, kind) = (self.place, self.aim.direction(), self.aim.kind());
        let source = place.registration().source();
        if !self.waits {
            self.as_mut().make_node();
        }
        // SAFETY: made above, or before.
        let node = unsafe { self.as_ref().node() };
        let waited = match node.state() {
            // SAFETY: as in `poll_ready`.
            State::Idle | State::Notified => unsafe {
                source.link(direction, node, kind, seen, cx.waker().clone())
            },
            // SAFETY: as above.
            State::Front | State::Linked => unsafe { source.relink(direction, node, kind, cx.waker()) },
        };
        match waited {
            Wait::Linked if !self.aim.arms() => Poll::Pending,
            Wait::Linked => match place.registration().arm(seen, direction, kind.bits()) {
                Ok(()) => Poll::Pending,
                Err(error) => {
                    self.finish();
                    Poll::Ready(Err(error))
                }
            },
            Wait::Ready => Poll::Ready(Ok(())),
        }
    }

    /// Whether it waits for what the backend never reports. Of plain aims the compiler knows that they do not.
    #[inline]
    fn is_hopeless(&self) -> bool {
        self.bits() & (PRIORITY | READABLE) == PRIORITY && !self.registration().core().reports_priority()
    }

    #[inline]
    fn make_node(self: Pin<&mut Self>) -> Pin<&Node> {
        let this = self.project();
        *this.waits = true;
        // SAFETY: a node that was not made yet is not pinned yet; nothing is moved out.
        let node = Node::make(unsafe { this.node.get_unchecked_mut() });
        // SAFETY: pinned with `self` from here on.
        unsafe { Pin::new_unchecked(node) }
    }

    /// Ends the waiting, for whatever reason: leaves, or passes on a wake that may still serve another.
    #[inline]
    pub(crate) fn finish(self: Pin<&mut Self>) {
        if self.waits {
            // SAFETY: there is one.
            match unsafe { self.as_ref().node() }.state() {
                State::Notified => self.as_ref().give_up_wake(),
                _ => self.as_ref().leave(),
            }
            // SAFETY: there is one, and it is in no list.
            unsafe { self.end() };
        }
    }

    /// Who is dropped while it waits. Out of line, for nearly all have finished before.
    #[cold]
    fn give_up(self: Pin<&mut Self>) {
        self.finish();
    }

    /// As [`Waiting::finish`], for an operation that has just found that nothing is left for another.
    #[inline]
    pub(crate) fn finish_drained(self: Pin<&mut Self>) {
        if self.waits {
            // SAFETY: there is one.
            match unsafe { self.as_ref().node() }.state() {
                State::Idle | State::Notified => {}
                State::Front | State::Linked => self.as_ref().leave(),
            }
            // SAFETY: there is one, and it is in no list.
            unsafe { self.end() };
        }
    }

    /// # Safety
    ///
    /// There is a node, in no list.
    #[inline]
    unsafe fn end(self: Pin<&mut Self>) {
        let this = self.project();
        *this.waits = false;
        // SAFETY: there is one; it is not moved, and nobody looks at it again.
        unsafe { this.node.get_unchecked_mut().assume_init_drop() };
    }

    #[inline]
    fn give_up_wake(self: Pin<&Self>) {
        if self.registration().source().has_more(self.aim.kind()) {
            self.pass();
        }
    }

    #[cold]
    fn pass(self: Pin<&Self>) {
        if !self.registration().core().is_forked() {
            self.registration().source().pass(self.aim.direction(), self.aim.kind());
        }
    }

    /// For a node that is idle, or in a list.
    #[cold]
    fn leave(self: Pin<&Self>) {
        if self.registration().core().is_forked() {
            return; // nobody in this process will look for it again, and the lock may be held for ever (I14)
        }
        // SAFETY: only who has one leaves.
        let node = unsafe { self.node() };
        if node.state() == State::Idle {
            return;
        }
        // SAFETY: linked by `poll` on this source and direction.
        unsafe { self.registration().source().unlink(self.aim.direction(), node) };
        if node.state() == State::Notified {
            self.give_up_wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{cell::Cell, pin::pin, task::Waker};

    use super::*;
    use crate::Notifier;

    const READ: Direction = Direction::Read;

    /// A request ends, is told of, and another reader takes the readiness back, between the look at that request and the wait
    /// for it. Nobody would wake who sleeps then. In the front, and behind others in the list.
    #[test]
    fn who_relies_on_a_request_looks_again_once_it_waits() {
        let notifier = Notifier::new().unwrap();
        for others_wait in [false, true] {
            let registration = Registration::without_descriptor(notifier.core.clone()).unwrap();
            let source = registration.source();
            if others_wait {
                assert_eq!(source.wait_in_slot(READ, PRIORITY, Waker::noop()), Wait::Linked);
            }
            let is_in_the_kernel = Cell::new(true);
            let is_nothing = || {
                let was = is_in_the_kernel.replace(false);
                if was {
                    registration.report(READABLE);
                    source.clear(source.seen(), READ.bits());
                    if others_wait {
                        assert_eq!(source.wait_in_slot(READ, PRIORITY, Waker::noop()), Wait::Linked);
                    }
                }
                !was
            };
            let mut cx = Context::from_waker(Waker::noop());
            let mut waiting = pin!(Waiting::new(&registration, Brought));
            assert!(waiting.as_mut().poll_ready(&mut cx, is_nothing).is_ready(), "{others_wait}: it sleeps");
            // And again, for who waits already.
            is_in_the_kernel.set(true);
            assert!(waiting.as_mut().poll_ready(&mut cx, || false).is_pending());
            assert!(
                waiting.as_mut().poll_ready(&mut cx, is_nothing).is_ready(),
                "{others_wait}: it sleeps on"
            );
        }
    }
}
