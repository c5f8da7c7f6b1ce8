//! Who waits at a source: into the front or the list, out of them, and on to the next. How no wake is lost is said in `source`.
#![allow(unsafe_code)]

use std::{pin::Pin, task::Waker};

use super::{CLOSED, Direction, Seen, Source, Wait};
use crate::{
    sync::atomic::Ordering,
    waiter::{Kind, Node, State},
};

impl Source {
    /// With the lock held: makes sure that reports will take the lock too, then looks whether waiting makes sense.
    fn nothing_to_see(&self, direction: Direction, bits: u64) -> bool {
        let mut word = self.word.load(Ordering::Acquire);
        if word & direction.more_flag() == 0 {
            word = self.word.fetch_or(direction.more_flag(), Ordering::AcqRel);
        }
        word & (bits | CLOSED) == 0
    }

    /// Makes a node wait that does not, unless there is something to see. `seen`: the word, just read.
    ///
    /// # Safety
    ///
    /// The node waits on this source and direction only, and is given to [`Source::unlink`] before it is dropped
    /// unless it is idle.
    #[inline]
    pub(crate) unsafe fn link(
        &self,
        direction: Direction,
        node: Pin<&Node>,
        kind: Kind,
        seen: Seen,
        waker: Waker,
    ) -> Wait {
        // Who was woken and found nothing was the first, and is the first again.
        let was_first = node.state() == State::Notified;
        // SAFETY: passed on to the caller.
        unsafe { self.link_at(was_first, direction, node, kind, seen, waker) }
    }

    /// As [`Source::link`], where it is known whether the node `was_first` before: one that has not waited was not.
    ///
    /// # Safety
    ///
    /// As for [`Source::link`].
    #[inline]
    pub(crate) unsafe fn link_at(
        &self,
        was_first: bool,
        direction: Direction,
        node: Pin<&Node>,
        kind: Kind,
        seen: Seen,
        mut waker: Waker,
    ) -> Wait {
        if kind == Kind::plain(direction) && (was_first || !seen.any(direction.more_flag())) {
            // SAFETY: passed on to the caller.
            match unsafe { self.front(direction).put(node, waker) } {
                // Nothing has changed since the word was read, and there was nothing to see.
                Ok(()) if self.exchange(seen, seen.0 | direction.wait_flag()).is_ok() => return Wait::Linked,
                // SAFETY: put there just now.
                Ok(()) => return unsafe { self.stay_in_front(direction, node) },
                Err(returned) => waker = returned,
            }
        }
        // SAFETY: passed on to the caller.
        unsafe { self.link_in_list(direction, node, kind, waker) }
    }

    /// For a node in the front: sets the flag that says so, unless there is something to see.
    ///
    /// # Safety
    ///
    /// The node was put in the front.
    #[cold]
    unsafe fn stay_in_front(&self, direction: Direction, node: Pin<&Node>) -> Wait {
        // AcqRel: as in `exchange`.
        let word = self.word.fetch_or(direction.wait_flag(), Ordering::AcqRel);
        if word & (direction.bits() | CLOSED) == 0 {
            return Wait::Linked;
        }
        // SAFETY: passed on to the caller.
        drop(unsafe { self.front(direction).take_back(node) });
        Wait::Ready
    }

    /// # Safety
    ///
    /// As for [`Source::link`].
    #[cold]
    unsafe fn link_in_list(&self, direction: Direction, node: Pin<&Node>, kind: Kind, waker: Waker) -> Wait {
        let mut waiters = self.waiters.lock();
        if self.nothing_to_see(direction, kind.bits()) {
            // SAFETY: this direction's list and lock; the caller promises the rest.
            unsafe { waiters.side(direction).list.push(node, kind, waker) };
            return Wait::Linked;
        }
        drop(waiters);
        drop(waker); // I6: after the unlock
        Wait::Ready
    }

    /// Lets a node that waits wake another task from now on. `Ready` if it has been woken meanwhile, or there is
    /// something to see.
    ///
    /// # Safety
    ///
    /// As for [`Source::link`].
    #[cold]
    pub(crate) unsafe fn relink(
        &self,
        direction: Direction,
        node: Pin<&Node>,
        kind: Kind,
        waker: &Waker,
    ) -> Wait {
        if node.state() == State::Front {
            // SAFETY: it was put there.
            return match unsafe { self.front(direction).take_back(node) } {
                None => Wait::Ready,
                Some(held) => {
                    let seen = self.seen();
                    if seen.any(kind.bits() | CLOSED) {
                        return Wait::Ready;
                    }
                    let waker = if held.will_wake(waker) { held } else { waker.clone() };
                    // SAFETY: passed on to the caller; the node is idle again.
                    unsafe { self.link_at(true, direction, node, kind, seen, waker) }
                }
            };
        }
        // SAFETY: pushed on this direction's list if on any, as the caller promises; the lock is held for the call.
        if unsafe { self.waiters.lock().side(direction).list.would_wake(node, waker) } {
            return Wait::Linked;
        }
        let waker = waker.clone(); // I6: before the lock
        // SAFETY: as above.
        let renewed = unsafe { self.waiters.lock().side(direction).list.renew(node, waker) };
        if renewed.is_ok() { Wait::Linked } else { Wait::Ready }
    }

    /// Takes a node that waits out of the front or the list. It may have been notified meanwhile, and still is then.
    ///
    /// # Safety
    ///
    /// As for [`Source::link`].
    #[cold]
    pub(crate) unsafe fn unlink(&self, direction: Direction, node: Pin<&Node>) {
        let waker = match node.state() {
            // SAFETY: it was put there.
            State::Front => unsafe { self.front(direction).take_back(node) },
            // SAFETY: this direction's list, if any; the lock is held for the call.
            _ => unsafe { self.waiters.lock().side(direction).list.remove(node) },
        };
        drop(waker); // I6: after the unlock
    }

    /// Whether a wake that a waiter of this kind owned and leaves behind may serve another.
    #[inline]
    pub(crate) fn has_more(&self, kind: Kind) -> bool {
        kind.consumes() && self.seen().any(kind.bits() | CLOSED)
    }

    /// Gives such a wake to the next waiter that consumes.
    #[cold]
    pub(crate) fn pass(&self, direction: Direction, kind: Kind) {
        // Who is in the front came before all in the list.
        let in_front = if kind.bits() & direction.bits() != 0 { self.front(direction).take() } else { None };
        let next = in_front.or_else(|| self.waiters.lock().side(direction).list.take_next(kind.bits()));
        if let Some(waker) = next {
            waker.wake();
        }
    }

    /// The poll traits' way to wait: one reserved slot a direction, in which the last waker wins.
    pub(crate) fn wait_in_slot(&self, direction: Direction, bits: u64, waker: &Waker) -> Wait {
        let waker = waker.clone(); // I6: before the lock
        let mut waiters = self.waiters.lock();
        let replaced = waiters.side(direction).slot.replace(waker);
        let nothing = self.nothing_to_see(direction, bits);
        drop(waiters);
        drop(replaced); // I6: after the unlock
        if nothing { Wait::Linked } else { Wait::Ready }
    }
}
