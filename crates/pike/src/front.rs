//! The front: the place of the one waiter that most sources have, in front of the list and without its lock.
//!
//! It holds a pointer to a node, or null. Who swaps the pointer out has the node: the owner, to leave, or a report, to
//! wake it. Exactly one of them gets it. If it was the report, an owner that wants to leave waits for its last touch,
//! which is a few instructions away and needs no lock.

use std::{pin::Pin, ptr, task::Waker};

use crate::{
    sync::{
        atomic::{AtomicPtr, Ordering},
        hint,
    },
    waiter::{Node, State},
};

#[derive(Debug)]
pub(crate) struct Front(AtomicPtr<Node>);

#[allow(unsafe_code)]
impl Front {
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts `node` here with `waker`. Gives the waker back if the place is taken.
    ///
    /// # Safety
    ///
    /// The caller owns the node, which is idle or notified, and calls [`Front::take_back`] before it is dropped, unless
    /// a take has notified it.
    #[inline]
    pub(crate) unsafe fn put(&self, node: Pin<&Node>, waker: Waker) -> Result<(), Waker> {
        let node = Pin::get_ref(node);
        // SAFETY: passed on to the caller.
        unsafe { node.fill(waker) };
        let at = ptr::from_ref(node).cast_mut();
        // Release: publishes what was filled in, to the Acquire of `take`.
        match self.0.compare_exchange(ptr::null_mut(), at, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            // SAFETY: filled above, and never put.
            Err(_) => Err(unsafe { node.empty() }),
        }
    }

    /// Takes out whoever is here, and notifies it.
    #[inline]
    pub(crate) fn take(&self) -> Option<Waker> {
        // Acquire: pairs with `put`.
        let at = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: what is put here stays alive until it was taken back or notified, and this swap took it.
        unsafe { at.as_ref().map(|node| node.notify()) }
    }

    /// Takes out `node`, which was put here, for its owner. None if it has been, or is being, taken and notified: then
    /// it is notified when this returns.
    ///
    /// # Safety
    ///
    /// The caller owns the node, and it was put here.
    pub(crate) unsafe fn take_back(&self, node: Pin<&Node>) -> Option<Waker> {
        let node = Pin::get_ref(node);
        let at = ptr::from_ref(node).cast_mut();
        if self.0.compare_exchange(at, ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            // SAFETY: filled by `put`, and taken out just now.
            return Some(unsafe { node.empty() });
        }
        // Between its swap and its last touch, the taker makes a handful of instructions. Unless it is preempted there.
        let mut spins = 0;
        while node.state() != State::Notified {
            hint::spin(&mut spins);
        }
        None
    }
}
