//! The intrusive list of suspended waiters: its nodes live inside the suspended futures, so that waiting allocates
//! nothing (lithdew/pike's idea; tokio's `ScheduledIo` shows the same in Rust).
//!
//! ```text
//!              push (owner, lock)           take (waker side, lock)
//!   IDLE ------------------------> LINKED --------------------------> NOTIFIED
//!    ^                               |                                   |
//!    +------ remove (owner, lock) ---+        (owner, no lock) ----------+--> IDLE, or LINKED again
//! ```
//!
//! Who may touch what, when:
//! - `state` is written under the lock, but for the owner's step out of NOTIFIED. Taking a node off the list stores
//!   NOTIFIED *last*: from that store on the owner may free the node without any lock.
//! - `inner` is touched only under the lock while LINKED, and only by the owner otherwise.
//! - The order in the list: first those that are all woken, in any order, then the consuming ones, first in first
//!   out. So a wake walks the first group and stops at the first of the second.

use std::{marker::PhantomPinned, pin::Pin, ptr, task::Waker};

use crate::sync::{
    UnsafeCell,
    atomic::{AtomicU8, Ordering},
};

/// Not in a list.
const IDLE: u8 = 0;
/// In a list: only the holder of the list's lock may change that.
const LINKED: u8 = 1;
/// Taken off the list and woken: the owner has the wake, and must use it or pass it on.
const NOTIFIED: u8 = 2;

/// What a waiter waits for, and whether it takes what it was woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    bits: u16,
    consumes: bool,
}

impl Kind {
    /// `bits` of [`crate::source`], any one of which wakes it. An operation that `consumes` is woken alone and passes
    /// the wake on; those that only look are all woken.
    #[inline]
    pub(crate) const fn new(bits: u64, consumes: bool) -> Self {
        debug_assert!(bits <= u16::MAX as u64);
        Self { bits: bits as u16, consumes }
    }

    #[inline]
    pub(crate) const fn bits(self) -> u64 {
        self.bits as u64
    }

    #[inline]
    pub(crate) const fn consumes(self) -> bool {
        self.consumes
    }
}

/// One waiter, inside a suspended future.
#[derive(Debug)]
pub(crate) struct Node {
    state: AtomicU8,
    kind: Kind,
    inner: UnsafeCell<Inner>,
    /// Other nodes point at this one, so it must not move.
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Inner {
    previous: *const Node,
    next: *const Node,
    waker: Option<Waker>,
}

// SAFETY: `inner` is reached only as the module's docs say, under the list's lock or by the owner alone.
#[allow(unsafe_code)]
unsafe impl Send for Node {}
// SAFETY: as for Send: a shared Node gives no access to `inner` but through a list and its lock.
#[allow(unsafe_code)]
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            state: AtomicU8::new(IDLE),
            kind,
            inner: UnsafeCell::new(Inner { previous: ptr::null(), next: ptr::null(), waker: None }),
            _pinned: PhantomPinned,
        }
    }

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// True from a take until the owner calls [`Node::reset`] or pushes it again. Pairs with the store in `take`.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTIFIED
    }

    /// Whether the node is off every list, so that its owner may drop it without the lock.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Acquire) == IDLE
    }

    /// The owner gives up the wake it had.
    #[inline]
    pub(crate) fn reset(&self) {
        debug_assert!(self.is_notified());
        self.state.store(IDLE, Ordering::Relaxed);
    }
}

/// So that loom takes the end of a node for the access that it is.
#[cfg(all(test, loom))]
impl Drop for Node {
    fn drop(&mut self) {
        self.inner.with_mut(|_| ());
    }
}

/// A list of nodes. Every method is called with the lock held that guards this list.
#[derive(Debug)]
pub(crate) struct List {
    head: *const Node,
    tail: *const Node,
}

// SAFETY: the pointers are followed only in methods that take `&mut self`; the nodes they reach are Sync.
#[allow(unsafe_code)]
unsafe impl Send for List {}

#[allow(unsafe_code)]
impl List {
    pub(crate) const fn new() -> Self {
        Self { head: ptr::null(), tail: ptr::null() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Links `node`, which is in no list.
    ///
    /// # Safety
    ///
    /// The caller owns the node, keeps calling with the same list's lock held, and removes it before it is dropped
    /// unless a take has notified it.
    #[inline]
    pub(crate) unsafe fn push(&mut self, node: Pin<&Node>, waker: Waker) {
        let node = Pin::get_ref(node);
        debug_assert_ne!(node.state.load(Ordering::Relaxed), LINKED);
        node.state.store(LINKED, Ordering::Relaxed);
        let at: *const Node = node;
        // SAFETY: not linked until now, and the lock is held: nobody else reaches `inner`.
        node.inner.with_mut(|inner| unsafe { (*inner).waker = Some(waker) });
        let (previous, next) =
            if node.kind.consumes { (self.tail, ptr::null()) } else { (ptr::null(), self.head) };
        // Outside of the access above, since it reaches into the node itself.
        // SAFETY: the node is alive, and its neighbours are linked nodes of this list.
        unsafe { self.join(previous, at) };
        // SAFETY: as above.
        unsafe { self.join(at, next) };
    }

    /// Takes a linked node off the list, for its owner, and returns its waker, to be dropped after the unlock (I6).
    /// None if it was not linked.
    ///
    /// # Safety
    ///
    /// The node was pushed on this very list, if on any.
    pub(crate) unsafe fn remove(&mut self, node: Pin<&Node>) -> Option<Waker> {
        if node.state.load(Ordering::Relaxed) != LINKED {
            return None;
        }
        // SAFETY: it is linked in this list, by the caller's promise.
        let waker = unsafe { self.unlink(Pin::get_ref(node)) };
        node.state.store(IDLE, Ordering::Relaxed);
        waker
    }

    /// Swaps the waker of a linked node; gives back the one to drop after the unlock. `Err` if it is not linked.
    ///
    /// # Safety
    ///
    /// As for [`List::remove`].
    pub(crate) unsafe fn renew(&mut self, node: Pin<&Node>, waker: Waker) -> Result<Option<Waker>, Waker> {
        if node.state.load(Ordering::Relaxed) != LINKED {
            return Err(waker);
        }
        // SAFETY: linked in this list, whose lock the caller holds.
        Ok(node.inner.with_mut(|inner| unsafe { (*inner).waker.replace(waker) }))
    }

    /// Whether a linked node would wake the same task.
    ///
    /// # Safety
    ///
    /// As for [`List::remove`].
    pub(crate) unsafe fn would_wake(&mut self, node: Pin<&Node>, waker: &Waker) -> bool {
        node.state.load(Ordering::Relaxed) == LINKED
            // SAFETY: linked in this list, whose lock the caller holds.
            && node.inner.with_mut(|inner| unsafe { (*inner).waker.as_ref().is_some_and(|w| w.will_wake(waker)) })
    }

    /// Takes every waiter that only looks, and the first that consumes, of those that wait for any of `bits`.
    #[inline]
    pub(crate) fn take(&mut self, bits: u64, into: &mut Vec<Waker>) {
        self.take_while(into, |kind| match kind {
            kind if kind.bits() & bits == 0 => Step::Skip,
            kind if kind.consumes => Step::TakeAndStop,
            _ => Step::Take,
        });
    }

    /// Takes the first waiter that consumes one of `bits`: the wake passed on.
    pub(crate) fn take_next(&mut self, bits: u64, into: &mut Vec<Waker>) {
        self.take_while(into, |kind| match kind.consumes && kind.bits() & bits != 0 {
            true => Step::TakeAndStop,
            false => Step::Skip,
        });
    }

    /// Takes all: the end of the source.
    pub(crate) fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.take_while(into, |_| Step::Take);
    }

    #[inline]
    fn take_while(&mut self, into: &mut Vec<Waker>, step: impl Fn(Kind) -> Step) {
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: a linked node lives until it is unlinked, and the lock is held.
            let node = unsafe { &*at };
            // SAFETY: as above; linked nodes' `inner` belongs to the lock.
            let next = node.inner.with_mut(|inner| unsafe { (*inner).next });
            let step = step(node.kind);
            if step != Step::Skip {
                // SAFETY: linked in this list.
                if let Some(waker) = unsafe { self.unlink(node) } {
                    into.push(waker);
                }
                // The last touch: the owner may free the node from here on. Pairs with `is_notified`.
                node.state.store(NOTIFIED, Ordering::Release);
            }
            if step == Step::TakeAndStop {
                return;
            }
            at = next;
        }
    }

    /// # Safety
    ///
    /// `node` is linked in this list.
    #[inline]
    unsafe fn unlink(&mut self, node: &Node) -> Option<Waker> {
        // SAFETY: linked, and the lock is held.
        let (previous, next, waker) =
            node.inner.with_mut(|inner| unsafe { ((*inner).previous, (*inner).next, (*inner).waker.take()) });
        // SAFETY: both are linked nodes of this list, or null.
        unsafe { self.join(previous, next) };
        waker
    }

    /// Makes `next` follow `previous`; null stands for the list's own ends.
    ///
    /// # Safety
    ///
    /// Both are null or nodes of this list.
    #[inline]
    unsafe fn join(&mut self, previous: *const Node, next: *const Node) {
        match previous.is_null() {
            true => self.head = next,
            // SAFETY: a node of this list, whose lock is held.
            false => unsafe { &*previous }.inner.with_mut(|inner| unsafe { (*inner).next = next }),
        }
        match next.is_null() {
            true => self.tail = previous,
            // SAFETY: as above.
            false => unsafe { &*next }.inner.with_mut(|inner| unsafe { (*inner).previous = previous }),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Step {
    Skip,
    Take,
    TakeAndStop,
}
