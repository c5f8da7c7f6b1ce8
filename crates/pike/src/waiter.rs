//! The intrusive list of suspended waiters: its nodes live inside the suspended futures, so that waiting allocates
//! nothing (lithdew/pike's idea; tokio's `ScheduledIo` shows the same in Rust).
//!
//! ```text
//!              push (owner, lock)            take (waker side, lock)
//!   IDLE ------------------------> LINKED ---------------------------> NOTIFIED
//!    ^ ^                             |                                 ^  |
//!    | +---- remove (owner, lock) ---+                                 |  |
//!    |                                                                 |  |
//!    +--- put (owner), take_back (owner) --> FRONT -- take (swap) -----+  |
//!    +--------------------------- (owner, no lock) -----------------------+
//! ```
//!
//! FRONT is the place before the list, for the one waiter that most sources have: see `front.rs`.
//!
//! Who may touch what, when:
//! - Taking a node stores NOTIFIED *last*: from that store on the owner may free the node without any lock. All other
//!   stores to `state` are the owner's, or made under the list's lock.
//! - `inner` and `kind` are filled while the node is LINKED, and `inner` while it is FRONT; they are empty otherwise. They are
//!   touched under the lock while LINKED, by whoever takes it out of the front while FRONT, and by the owner otherwise.
//! - The order in the list: first those that are all woken, in any order, then the consuming ones, first in first
//!   out. So a wake walks the first group and stops at the first of the second.

use std::{marker::PhantomPinned, mem::MaybeUninit, pin::Pin, ptr, task::Waker};

use crate::{
    source::{Direction, ERROR_QUEUE, PRIORITY},
    sync::{
        UnsafeCell,
        atomic::{AtomicU8, Ordering},
    },
};

/// Not in a list.
const IDLE: u8 = 0;
/// Taken and woken: the owner has the wake, and must use it or pass it on.
const NOTIFIED: u8 = 1;
/// In a list: only the holder of the list's lock may change that.
const LINKED: u8 = 2;
/// In the front.
const FRONT: u8 = 3;

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
        // All that consume on one side wait for the same, or the one that is woken might have no use for what another
        // waits for, and know of nothing to pass on. So who waits for priority or for an error only looks.
        Self { bits: bits as u16, consumes: consumes && bits & (PRIORITY | ERROR_QUEUE) == 0 }
    }

    /// That of an operation which waits for its direction and nothing else: nearly all.
    #[inline]
    pub(crate) const fn plain(direction: Direction) -> Self {
        Self::new(direction.bits(), true)
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
    /// What it waits for. Of a linked one; in the front all wait for the same. Here, where it takes no room of its own.
    kind: UnsafeCell<MaybeUninit<Kind>>,
    inner: UnsafeCell<MaybeUninit<Inner>>,
    /// Others point at this one, so it must not move.
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Inner {
    /// The neighbours in the list; meaningless in the front.
    previous: *const Node,
    next: *const Node,
    waker: Waker,
}

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Notified,
    Linked,
    Front,
}

// SAFETY: `inner` is reached only as the module's docs say: by one thread at a time.
#[allow(unsafe_code)]
unsafe impl Send for Node {}
// SAFETY: as for Send: a shared Node gives no access to `inner` but through a list and its lock, or through a front.
#[allow(unsafe_code)]
unsafe impl Sync for Node {}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            state: AtomicU8::new(IDLE),
            kind: UnsafeCell::new(MaybeUninit::uninit()),
            inner: UnsafeCell::new(MaybeUninit::uninit()),
            _pinned: PhantomPinned,
        }
    }

    /// Makes one in place. Field by field, for a whole one would be copied with all that is not used yet.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn make(place: &mut MaybeUninit<Self>) -> &Self {
        let at = place.as_mut_ptr();
        // SAFETY: in bounds of `place`, which is borrowed exclusively.
        unsafe { (&raw mut (*at).state).write(AtomicU8::new(IDLE)) };
        // SAFETY: as above.
        unsafe { (&raw mut (*at).kind).write(UnsafeCell::new(MaybeUninit::uninit())) };
        // SAFETY: as above.
        unsafe { (&raw mut (*at).inner).write(UnsafeCell::new(MaybeUninit::uninit())) };
        // SAFETY: all fields with a size have been written.
        unsafe { place.assume_init_ref() }
    }

    /// Acquire: pairs with the store in [`Node::notify`].
    #[inline]
    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            IDLE => State::Idle,
            NOTIFIED => State::Notified,
            LINKED => State::Linked,
            _ => State::Front,
        }
    }

    /// The owner gives up the wake it had, and keeps the node.
    pub(crate) fn reset(&self) {
        debug_assert_eq!(self.state(), State::Notified);
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// Fills an empty node for the front.
    ///
    /// # Safety
    ///
    /// The caller owns the node, and it is idle or notified.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) unsafe fn fill(&self, waker: Waker) {
        // SAFETY: empty, and the caller's.
        self.inner.with_mut(|at| unsafe { (&raw mut (*(*at).as_mut_ptr()).waker).write(waker) });
        self.state.store(FRONT, Ordering::Relaxed);
    }

    /// Empties a node that was taken out of the front by its owner.
    ///
    /// # Safety
    ///
    /// It was filled, and the caller took it out of the front.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) unsafe fn empty(&self) -> Waker {
        // SAFETY: passed on to the caller.
        let waker = unsafe { self.take_waker() };
        self.state.store(IDLE, Ordering::Relaxed);
        waker
    }

    /// Empties a node that was taken out of the front for its waker. The node may be gone when this returns.
    ///
    /// # Safety
    ///
    /// As for [`Node::empty`].
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) unsafe fn notify(&self) -> Waker {
        // SAFETY: passed on to the caller.
        let waker = unsafe { self.take_waker() };
        // The last touch: the owner may free the node from here on. Pairs with `state`.
        self.state.store(NOTIFIED, Ordering::Release);
        waker
    }

    /// # Safety
    ///
    /// The node is filled, and the caller's or under the lock; it counts as empty from here on.
    #[allow(unsafe_code)]
    #[inline]
    unsafe fn take_waker(&self) -> Waker {
        // SAFETY: filled, and read once.
        self.inner.with_mut(|inner| unsafe { ptr::read(&raw const (*(*inner).as_ptr()).waker) })
    }

    /// Runs `f` on what is inside.
    ///
    /// # Safety
    ///
    /// The node is filled, and the caller's or under the lock.
    #[allow(unsafe_code)]
    #[inline]
    unsafe fn with<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        // SAFETY: filled, and reached by one thread at a time.
        self.inner.with_mut(|inner| f(unsafe { (*inner).assume_init_mut() }))
    }

    /// The one behind it, and what it waits for itself.
    ///
    /// # Safety
    ///
    /// The node is linked, and the caller holds the lock.
    #[allow(unsafe_code)]
    #[inline]
    unsafe fn next_and_kind(&self) -> (*const Self, Kind) {
        // SAFETY: linked, so it is filled.
        let kind = self.kind.with_mut(|kind| unsafe { (*kind).assume_init() });
        // SAFETY: passed on to the caller.
        (unsafe { self.with(|inner| inner.next) }, kind)
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Node>() <= 5 * size_of::<usize>(), "each suspended operation has one");

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

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Links `node`, which is idle or notified.
    ///
    /// # Safety
    ///
    /// The caller owns the node, keeps calling with the same list's lock held, and removes it before it is dropped
    /// unless a take has notified it.
    pub(crate) unsafe fn push(&mut self, node: Pin<&Node>, kind: Kind, waker: Waker) {
        let node = Pin::get_ref(node);
        debug_assert!(matches!(node.state(), State::Idle | State::Notified));
        let (previous, next) = match kind.consumes {
            // Who was woken and found nothing was the first of these, and is the first again.
            true if node.state() == State::Notified => self.before_consumers(),
            true => (self.tail, ptr::null()),
            false => (ptr::null(), self.head),
        };
        // SAFETY: empty, and the caller's.
        node.kind.with_mut(|at| unsafe { (*at).write(kind) });
        // SAFETY: as above.
        node.inner.with_mut(|at| unsafe { (*at).write(Inner { previous, next, waker }) });
        node.state.store(LINKED, Ordering::Relaxed);
        // SAFETY: the node is filled, and its neighbours are linked nodes of this list.
        unsafe { self.join(previous, node) };
        // SAFETY: as above.
        unsafe { self.join(node, next) };
    }

    /// The neighbours of a node that would be the first of those that consume.
    fn before_consumers(&self) -> (*const Node, *const Node) {
        let (mut previous, mut next) = (ptr::null(), self.head);
        // SAFETY: null, or a linked node, which lives; the lock is held.
        while let Some(node) = unsafe { next.as_ref() } {
            // SAFETY: linked, and the lock is held.
            let (after, kind) = unsafe { node.next_and_kind() };
            if kind.consumes {
                break;
            }
            (previous, next) = (next, after);
        }
        (previous, next)
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
        Some(waker)
    }

    /// Swaps the waker of a linked node; gives back the one to drop after the unlock. `Err` if it is not linked.
    ///
    /// # Safety
    ///
    /// As for [`List::remove`].
    pub(crate) unsafe fn renew(&mut self, node: Pin<&Node>, waker: Waker) -> Result<Waker, Waker> {
        if node.state.load(Ordering::Relaxed) != LINKED {
            return Err(waker);
        }
        // SAFETY: linked in this list, whose lock the caller holds.
        Ok(unsafe { node.with(|inner| std::mem::replace(&mut inner.waker, waker)) })
    }

    /// Whether a linked node would wake the same task.
    ///
    /// # Safety
    ///
    /// As for [`List::remove`].
    pub(crate) unsafe fn would_wake(&mut self, node: Pin<&Node>, waker: &Waker) -> bool {
        node.state.load(Ordering::Relaxed) == LINKED
            // SAFETY: linked in this list, whose lock the caller holds.
            && unsafe { node.with(|inner| inner.waker.will_wake(waker)) }
    }

    /// Takes every waiter that only looks, of those that wait for any of `bits`; and, unless one was `served` already,
    /// the first that consumes.
    pub(crate) fn take(&mut self, bits: u64, served: bool, into: &mut Vec<Waker>) {
        self.take_while(
            |waker| into.push(waker),
            |kind| match kind {
                kind if kind.consumes && served => Step::Stop,
                kind if kind.bits() & bits == 0 => Step::Skip,
                kind if kind.consumes => Step::TakeAndStop,
                _ => Step::Take,
            },
        );
    }

    /// Takes the first waiter that consumes one of `bits`: the wake passed on.
    pub(crate) fn take_next(&mut self, bits: u64) -> Option<Waker> {
        let mut taken = None;
        let step = |kind: Kind| match kind.consumes && kind.bits() & bits != 0 {
            true => Step::TakeAndStop,
            false => Step::Skip,
        };
        self.take_while(|waker| taken = Some(waker), step);
        taken
    }

    /// Takes all: the end of the source.
    pub(crate) fn take_all(&mut self, into: &mut Vec<Waker>) {
        self.take_while(|waker| into.push(waker), |_| Step::Take);
    }

    fn take_while(&mut self, mut into: impl FnMut(Waker), step: impl Fn(Kind) -> Step) {
        let mut at = self.head;
        while !at.is_null() {
            // SAFETY: a linked node lives until it is unlinked, and the lock is held.
            let node = unsafe { &*at };
            // SAFETY: linked, and the lock is held.
            let (next, kind) = unsafe { node.next_and_kind() };
            let step = step(kind);
            if matches!(step, Step::Take | Step::TakeAndStop) {
                // SAFETY: linked in this list.
                into(unsafe { self.unlink(node) });
                // The last touch: the owner may free the node from here on. Pairs with `Node::state`.
                node.state.store(NOTIFIED, Ordering::Release);
            }
            if matches!(step, Step::Stop | Step::TakeAndStop) {
                return;
            }
            at = next;
        }
    }

    /// # Safety
    ///
    /// `node` is linked in this list.
    unsafe fn unlink(&mut self, node: &Node) -> Waker {
        // SAFETY: linked, and the lock is held.
        let (previous, next) = unsafe { node.with(|inner| (inner.previous, inner.next)) };
        // SAFETY: both are linked nodes of this list, or null.
        unsafe { self.join(previous, next) };
        // SAFETY: filled, and the lock is held.
        unsafe { node.take_waker() }
    }

    /// Makes `next` follow `previous`; null stands for the list's own ends.
    ///
    /// # Safety
    ///
    /// Both are null or filled nodes of this list.
    unsafe fn join(&mut self, previous: *const Node, next: *const Node) {
        // SAFETY: null, or a node of this list.
        match unsafe { previous.as_ref() } {
            None => self.head = next,
            // SAFETY: linked, and the lock is held.
            Some(node) => unsafe { node.with(|inner| inner.next = next) },
        }
        // SAFETY: as above.
        match unsafe { next.as_ref() } {
            None => self.tail = previous,
            // SAFETY: as above.
            Some(node) => unsafe { node.with(|inner| inner.previous = previous) },
        }
    }
}

enum Step {
    Skip,
    Take,
    Stop,
    TakeAndStop,
}

/// So that loom takes the end of a node for the access that it is.
#[cfg(all(test, loom))]
impl Drop for Node {
    fn drop(&mut self) {
        self.inner.with_mut(|_| ());
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::testing::{Log, Random, rounds};

    const KINDS: [Kind; 4] =
        [Kind::new(1, false), Kind::new(1, true), Kind::new(2, true), Kind::new(3, false)];

    /// The obvious list: those who look in front, those who consume behind.
    #[derive(Default)]
    struct Model(VecDeque<usize>);

    impl Model {
        /// `first`: it was woken, and goes before all others that consume.
        fn push(&mut self, name: usize, first: bool) {
            let consumes = |name: usize| KINDS[name % 4].consumes;
            let at = match (consumes(name), first) {
                (true, true) => self.0.iter().take_while(|name| !consumes(**name)).count(),
                (true, false) => self.0.len(),
                (false, _) => 0,
            };
            self.0.insert(at, name);
        }

        fn take(&mut self, bits: u64, may_take: impl Fn(Kind) -> bool) -> Vec<usize> {
            let mut taken = Vec::new();
            for name in self.0.clone() {
                let kind = KINDS[name % 4];
                if kind.bits() & bits != 0 && may_take(kind) {
                    taken.push(name);
                    if kind.consumes {
                        break;
                    }
                }
            }
            self.0.retain(|name| !taken.contains(name));
            taken
        }
    }

    fn wake(taken: Vec<Waker>, log: &Log) -> Vec<usize> {
        taken.into_iter().for_each(Waker::wake);
        log.take()
    }

    /// Random calls against the obvious list: who is taken, in which order, and what each node says afterwards.
    #[test]
    fn agrees_with_the_obvious_list() {
        let mut random = Random::new(1);
        let log = Log::default();
        let nodes: Vec<_> = (0..12).map(|_| Box::pin(Node::new())).collect();
        let (mut list, mut model) = (List::new(), Model::default());
        for _ in 0..rounds(50_000, 200) {
            let name = random.below(nodes.len());
            let node = nodes[name].as_ref();
            let linked = model.0.contains(&name);
            let bits = [1, 4, 5][random.below(3)];
            let mut taken = Vec::new();
            match random.below(12) {
                0..=4 if !linked => {
                    let first = node.state() == State::Notified;
                    // SAFETY: every node is only ever in this list, which is emptied before the nodes go.
                    unsafe { list.push(node, KINDS[name % 4], log.waker(name)) };
                    model.push(name, first);
                }
                5..=6 => {
                    // SAFETY: as above.
                    assert_eq!(unsafe { list.remove(node) }.is_some(), linked);
                    model.0.retain(|other| *other != name);
                }
                7 => {
                    let served = random.below(2) == 0;
                    list.take(bits, served, &mut taken);
                    assert_eq!(wake(taken, &log), model.take(bits, |kind| !(kind.consumes && served)));
                }
                8 => {
                    taken.extend(list.take_next(bits));
                    assert_eq!(wake(taken, &log), model.take(bits, Kind::consumes));
                }
                9 => {
                    // SAFETY: as above.
                    assert_eq!(unsafe { list.renew(node, log.waker(name)) }.is_ok(), linked);
                }
                10 if random.below(20) == 0 => {
                    list.take_all(&mut taken);
                    assert_eq!(wake(taken, &log), Vec::from(std::mem::take(&mut model.0)));
                }
                _ if node.state() == State::Notified => node.reset(),
                _ => {}
            }
            assert_eq!(list.is_empty(), model.0.is_empty());
            assert!(
                nodes
                    .iter()
                    .enumerate()
                    .all(|(name, node)| { model.0.contains(&name) == (node.state() == State::Linked) })
            );
        }
        list.take_all(&mut Vec::new());
    }

    #[test]
    fn a_renewed_waker_is_the_one_that_is_woken() {
        let log = Log::default();
        let node = Box::pin(Node::new());
        let (old, new) = (log.waker(1), log.waker(2));
        let mut list = List::new();
        let mut taken = Vec::new();
        // SAFETY: the node is only ever in this list, and taken before it is dropped.
        unsafe {
            assert!(!list.would_wake(node.as_ref(), &old));
            assert!(list.renew(node.as_ref(), old.clone()).is_err());
            list.push(node.as_ref(), KINDS[1], old.clone());
            // Under Miri a clone may not know its original: `will_wake` is a best effort.
            assert!(cfg!(miri) || list.would_wake(node.as_ref(), &old));
            assert!(!list.would_wake(node.as_ref(), &new));
            let replaced = list.renew(node.as_ref(), new.clone()).unwrap();
            assert!(cfg!(miri) || replaced.will_wake(&old));
        }
        list.take(1, false, &mut taken);
        assert_eq!(wake(taken, &log), [2]);
        // SAFETY: as above.
        assert!(unsafe { list.renew(node.as_ref(), old) }.is_err(), "it is not linked any more");
    }

    #[test]
    fn a_node_taken_may_be_freed_and_its_neighbours_stay() {
        let log = Log::default();
        let mut nodes: VecDeque<_> = (0..5).map(|_| Box::pin(Node::new())).collect();
        let mut list = List::new();
        for (name, node) in nodes.iter().enumerate() {
            // SAFETY: only in this list, and taken off it before it is dropped.
            unsafe { list.push(node.as_ref(), KINDS[1], log.waker(name)) };
        }
        // SAFETY: as above.
        unsafe { list.remove(nodes[2].as_ref()) };
        nodes.remove(2);
        for name in [0, 1, 3, 4] {
            let mut taken = Vec::new();
            list.take(1, false, &mut taken);
            assert!(nodes.pop_front().unwrap().state() == State::Notified);
            assert_eq!(wake(taken, &log), [name]);
        }
        assert!(list.is_empty());
    }
}
