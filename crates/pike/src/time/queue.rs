//! The deadline queue: an intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986) over nodes inside the
//! sleeping futures.
//!
//! Inserting is O(1), and so is cancelling a deadline that is not the earliest nor has others below it, which is what
//! nearly every timeout is. Taking the earliest is O(log n) amortised. Nothing is allocated, and deadlines keep the
//! clock's full resolution, which a timing wheel would round.
//!
//! ```text
//!        root                 A node is never earlier than its parent. `previous` is the elder sibling, or the parent
//!       /                     for the eldest child; `next` is the younger sibling; `child` the eldest child.
//!     child -> next -> next
//! ```
//!
//! Every method is called with the lock held that guards the queue. A node in the queue belongs to that lock, but for
//! `state`, whose store of FIRED is the last touch of a taken node: its owner may free it from there on.

use std::{marker::PhantomPinned, pin::Pin, ptr, task::Waker, time::Instant};

use crate::sync::{
    UnsafeCell,
    atomic::{AtomicU8, Ordering},
};

/// In no queue.
const IDLE: u8 = 0;
/// In the queue.
const QUEUED: u8 = 1;
/// Taken out of the queue and woken, because its time came.
const FIRED: u8 = 2;
/// Taken out of the queue and woken, because the queue's Notifier is gone.
const EXPELLED: u8 = 3;

/// One deadline, inside a future that sleeps until then.
#[derive(Debug)]
pub(crate) struct Timer {
    state: AtomicU8,
    inner: UnsafeCell<Inner>,
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Inner {
    at: Option<Instant>,
    waker: Option<Waker>,
    previous: *const Timer,
    next: *const Timer,
    child: *const Timer,
}

// SAFETY: `inner` is reached under the queue's lock while queued, and by the owner alone otherwise.
#[allow(unsafe_code)]
unsafe impl Send for Timer {}
// SAFETY: as for Send.
#[allow(unsafe_code)]
unsafe impl Sync for Timer {}

/// Where a timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Queued,
    Fired,
    Expelled,
}

impl Timer {
    pub(crate) fn new() -> Self {
        let inner =
            Inner { at: None, waker: None, previous: ptr::null(), next: ptr::null(), child: ptr::null() };
        Self { state: AtomicU8::new(IDLE), inner: UnsafeCell::new(inner), _pinned: PhantomPinned }
    }

    pub(crate) fn state(&self) -> State {
        // Acquire: pairs with the store that took it out of the queue.
        match self.state.load(Ordering::Acquire) {
            IDLE => State::Idle,
            QUEUED => State::Queued,
            FIRED => State::Fired,
            _ => State::Expelled,
        }
    }
}

/// A pairing heap of timers, earliest at the root.
#[derive(Debug)]
pub(crate) struct Queue {
    root: *const Timer,
}

// SAFETY: the pointers are followed only in methods that take `&mut self`; what they reach is Sync.
#[allow(unsafe_code)]
unsafe impl Send for Queue {}

/// Runs `f` on the inside of a timer.
///
/// # Safety
///
/// `timer` is alive, and belongs to the queue whose lock is held, or to the caller.
#[allow(unsafe_code)]
#[inline]
unsafe fn with<R>(timer: *const Timer, f: impl FnOnce(&mut Inner) -> R) -> R {
    // SAFETY: alive, by the caller's promise.
    let timer = unsafe { &*timer };
    // SAFETY: reached by one thread at a time, by the caller's promise.
    timer.inner.with_mut(|inner| f(unsafe { &mut *inner }))
}

#[allow(unsafe_code)]
impl Queue {
    pub(crate) const fn new() -> Self {
        Self { root: ptr::null() }
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn earliest(&self) -> Option<Instant> {
        // SAFETY: what the root points at is queued.
        (!self.root.is_null()).then(|| unsafe { with(self.root, |root| root.at) }).flatten()
    }

    /// Puts a timer in that is in no queue. True if it is the earliest now.
    ///
    /// # Safety
    ///
    /// The caller owns the timer, and calls [`Queue::remove`] before it is dropped unless it was taken out.
    pub(crate) unsafe fn insert(&mut self, timer: Pin<&Timer>, at: Instant, waker: Waker) -> bool {
        let timer: *const Timer = Pin::get_ref(timer);
        // SAFETY: in no queue, so it is the caller's.
        unsafe {
            with(timer, |inner| {
                *inner = Inner {
                    at: Some(at),
                    waker: Some(waker),
                    previous: ptr::null(),
                    next: ptr::null(),
                    child: ptr::null(),
                }
            })
        };
        // SAFETY: alive.
        unsafe { &*timer }.state.store(QUEUED, Ordering::Relaxed);
        // SAFETY: two heaps of this queue's timers.
        self.root = unsafe { meld(self.root, timer) };
        ptr::eq(self.root, timer)
    }

    /// Takes a timer out for its owner; its waker is to be dropped after the unlock (I6).
    ///
    /// # Safety
    ///
    /// It was inserted in this very queue, if in any.
    pub(crate) unsafe fn remove(&mut self, timer: Pin<&Timer>) -> Option<Waker> {
        let timer = Pin::get_ref(timer);
        if timer.state.load(Ordering::Relaxed) != QUEUED {
            return None;
        }
        // SAFETY: queued here.
        let waker = unsafe { self.unlink(timer) };
        timer.state.store(IDLE, Ordering::Relaxed);
        waker
    }

    /// Swaps the waker of a queued timer; gives back the one to drop after the unlock. `Err` if it is not queued.
    ///
    /// # Safety
    ///
    /// As for [`Queue::remove`].
    pub(crate) unsafe fn renew(&mut self, timer: Pin<&Timer>, waker: Waker) -> Result<Option<Waker>, Waker> {
        if timer.state.load(Ordering::Relaxed) != QUEUED {
            return Err(waker);
        }
        // SAFETY: queued here.
        Ok(unsafe { with(Pin::get_ref(timer), |inner| inner.waker.replace(waker)) })
    }

    /// Whether a queued timer would wake the same task.
    ///
    /// # Safety
    ///
    /// As for [`Queue::remove`].
    pub(crate) unsafe fn would_wake(&mut self, timer: Pin<&Timer>, waker: &Waker) -> bool {
        timer.state.load(Ordering::Relaxed) == QUEUED
            // SAFETY: queued here.
            && unsafe { with(Pin::get_ref(timer), |inner| inner.waker.as_ref().is_some_and(|w| w.will_wake(waker))) }
    }

    /// Takes out every timer whose time has come at `now`.
    pub(crate) fn expire(&mut self, now: Instant, into: &mut Vec<Waker>) {
        while self.earliest().is_some_and(|at| at <= now) {
            self.take_root(FIRED, into);
        }
    }

    /// Takes out all: the Notifier is gone.
    pub(crate) fn expel(&mut self, into: &mut Vec<Waker>) {
        while !self.root.is_null() {
            self.take_root(EXPELLED, into);
        }
    }

    fn take_root(&mut self, state: u8, into: &mut Vec<Waker>) {
        // SAFETY: the root is queued.
        let root = unsafe { &*self.root };
        // SAFETY: as above.
        into.extend(unsafe { self.unlink(root) });
        // The last touch: the owner may free it from here on. Pairs with `Timer::state`.
        root.state.store(state, Ordering::Release);
    }

    /// # Safety
    ///
    /// `timer` is queued here.
    unsafe fn unlink(&mut self, timer: &Timer) -> Option<Waker> {
        // SAFETY: queued, and the lock is held.
        let (waker, previous, next, child) =
            unsafe { with(timer, |inner| (inner.waker.take(), inner.previous, inner.next, inner.child)) };
        // SAFETY: the children of a queued timer.
        let rest = unsafe { merge_siblings(child) };
        if previous.is_null() {
            self.root = rest;
            return waker;
        }
        // SAFETY: a parent or sibling of a queued timer is queued.
        unsafe {
            with(previous, |inner| match ptr::eq(inner.child, timer) {
                true => inner.child = next,
                false => inner.next = next,
            })
        };
        if !next.is_null() {
            // SAFETY: as above.
            unsafe { with(next, |inner| inner.previous = previous) };
        }
        // SAFETY: two heaps of this queue's timers.
        self.root = unsafe { meld(self.root, rest) };
        waker
    }
}

/// Makes one heap of two: the later root becomes the eldest child of the earlier.
///
/// # Safety
///
/// Both are null or roots without siblings, of timers that the held lock guards.
#[allow(unsafe_code)]
unsafe fn meld(one: *const Timer, other: *const Timer) -> *const Timer {
    if one.is_null() || other.is_null() {
        return if one.is_null() { other } else { one };
    }
    // SAFETY: both are alive and guarded, by the caller's promise.
    let (of_one, of_other) = unsafe { (with(one, |inner| inner.at), with(other, |inner| inner.at)) };
    let (parent, child) = if of_other < of_one { (other, one) } else { (one, other) };
    // SAFETY: as above.
    let eldest = unsafe { with(parent, |inner| std::mem::replace(&mut inner.child, child)) };
    // SAFETY: as above.
    unsafe { with(child, |inner| (inner.previous, inner.next) = (parent, eldest)) };
    if !eldest.is_null() {
        // SAFETY: a child of a guarded timer.
        unsafe { with(eldest, |inner| inner.previous = child) };
    }
    parent
}

/// Makes one heap of a row of siblings: melds them in pairs from the left, then the pairs from the right.
///
/// # Safety
///
/// `first` is null or an eldest child of a timer that the held lock guards, and is being cut off from it.
#[allow(unsafe_code)]
unsafe fn merge_siblings(mut first: *const Timer) -> *const Timer {
    // The pairs melded so far, last first, linked by `next`.
    let mut pairs: *const Timer = ptr::null();
    while !first.is_null() {
        let one = first;
        // SAFETY: siblings of a guarded timer.
        let other = unsafe { cut(one) };
        // SAFETY: as above.
        first = if other.is_null() { other } else { unsafe { cut(other) } };
        // SAFETY: both were cut off.
        let pair = unsafe { meld(one, other) };
        // SAFETY: guarded; a root has no sibling, so its `next` is free to link the pairs.
        unsafe { with(pair, |inner| inner.next = pairs) };
        pairs = pair;
    }
    let mut root: *const Timer = ptr::null();
    while !pairs.is_null() {
        let pair = pairs;
        // SAFETY: linked above.
        pairs = unsafe { cut(pair) };
        // SAFETY: two roots without siblings.
        root = unsafe { meld(root, pair) };
    }
    root
}

/// Cuts a timer off from its siblings, and returns the next of them.
///
/// # Safety
///
/// `timer` is alive and guarded by the held lock.
#[allow(unsafe_code)]
unsafe fn cut(timer: *const Timer) -> *const Timer {
    // SAFETY: by the caller's promise.
    unsafe {
        with(timer, |inner| {
            inner.previous = ptr::null();
            std::mem::replace(&mut inner.next, ptr::null())
        })
    }
}

/// So that loom takes the end of a timer for the access that it is.
#[cfg(all(test, loom))]
impl Drop for Timer {
    fn drop(&mut self) {
        self.inner.with_mut(|_| ());
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::testing::{Log, Random, rounds};

    /// Walks the heap: each timer is no earlier than its parent, and each link has its counterpart.
    fn count(queue: &Queue) -> usize {
        fn walk(above: *const Timer, mut at: *const Timer, no_earlier: Option<Instant>) -> usize {
            let (mut count, mut previous) = (0, above);
            while !at.is_null() {
                // SAFETY: queued, and nobody else has the queue.
                let (here, back, next, child) =
                    unsafe { with(at, |inner| (inner.at, inner.previous, inner.next, inner.child)) };
                assert!(here >= no_earlier && ptr::eq(back, previous));
                count += 1 + walk(at, child, here);
                (previous, at) = (at, next);
            }
            count
        }
        walk(ptr::null(), queue.root, None)
    }

    /// Random calls against a sorted set: the earliest is the set's, what expires is what is due, in order, and every
    /// timer says where it is.
    #[test]
    fn agrees_with_a_sorted_set() {
        let start = Instant::now();
        let moment = |n: usize| start + Duration::from_nanos(n as u64);
        for seed in 0..rounds(20, 2) as u64 {
            let mut random = Random::new(seed);
            let log = Log::default();
            let mut timers: Vec<_> = (0..40).map(|_| Box::pin(Timer::new())).collect();
            let mut at = vec![0; timers.len()];
            let (mut queue, mut model, mut now) = (Queue::new(), BTreeSet::new(), 0);
            for _ in 0..rounds(5_000, 120) {
                let name = random.below(timers.len());
                let timer = timers[name].as_ref();
                let queued = model.contains(&(at[name], name));
                let mut taken = Vec::new();
                match random.below(10) {
                    0..=4 if !queued => {
                        at[name] = now + random.below(50); // so that many are equal
                        model.insert((at[name], name));
                        let earlier = queue.earliest();
                        // SAFETY: only in this queue, and taken out of it before it is dropped.
                        let is_earliest = unsafe { queue.insert(timer, moment(at[name]), log.waker(name)) };
                        assert_eq!(is_earliest, earlier.is_none_or(|earlier| moment(at[name]) < earlier));
                    }
                    5..=6 => {
                        // SAFETY: as above.
                        assert_eq!(unsafe { queue.remove(timer) }.is_some(), queued);
                        if model.remove(&(at[name], name)) {
                            assert_eq!(timer.state(), State::Idle);
                            timers[name] = Box::pin(Timer::new()); // its memory goes
                        }
                    }
                    7 => {
                        // SAFETY: as above.
                        assert_eq!(unsafe { queue.renew(timer, log.waker(name)) }.is_ok(), queued);
                    }
                    8 => {
                        now += random.below(20);
                        queue.expire(moment(now), &mut taken);
                        taken.into_iter().for_each(Waker::wake);
                        let expired = log.take();
                        assert!(expired.is_sorted_by_key(|name| at[*name]));
                        let due: BTreeSet<_> = model.iter().copied().filter(|(at, _)| *at <= now).collect();
                        assert_eq!(
                            expired.iter().map(|name| (at[*name], *name)).collect::<BTreeSet<_>>(),
                            due
                        );
                        model.retain(|(at, _)| *at > now);
                        for name in expired {
                            assert_eq!(timers[name].state(), State::Fired);
                            timers[name] = Box::pin(Timer::new());
                        }
                    }
                    _ if random.below(100) == 0 => {
                        queue.expel(&mut taken);
                        taken.into_iter().for_each(Waker::wake);
                        let expelled = log.take();
                        assert_eq!(expelled.len(), model.len());
                        assert!(expelled.iter().all(|name| timers[*name].state() == State::Expelled));
                        model.clear();
                    }
                    _ => {}
                }
                assert_eq!(queue.earliest(), model.first().map(|(at, _)| moment(*at)));
                assert_eq!(count(&queue), model.len());
            }
            queue.expel(&mut Vec::new());
        }
    }

    #[test]
    fn a_renewed_waker_is_the_one_that_is_woken() {
        let (log, now) = (Log::default(), Instant::now());
        let timer = Box::pin(Timer::new());
        let (old, new) = (log.waker(1), log.waker(2));
        let mut queue = Queue::new();
        let mut taken = Vec::new();
        // SAFETY: the timer is only ever in this queue, and expires before it is dropped.
        unsafe {
            assert!(!queue.would_wake(timer.as_ref(), &old));
            assert!(queue.renew(timer.as_ref(), old.clone()).is_err());
            queue.insert(timer.as_ref(), now, old.clone());
            // Under Miri a clone may not know its original: `will_wake` is a best effort.
            assert!(cfg!(miri) || queue.would_wake(timer.as_ref(), &old));
            assert!(!queue.would_wake(timer.as_ref(), &new));
            let replaced = queue.renew(timer.as_ref(), new.clone()).unwrap();
            assert!(replaced.is_some_and(|replaced| cfg!(miri) || replaced.will_wake(&old)));
        }
        queue.expire(now, &mut taken);
        taken.into_iter().for_each(Waker::wake);
        assert_eq!(log.take(), [2]);
        // SAFETY: as above.
        assert!(unsafe { queue.renew(timer.as_ref(), old) }.is_err());
        // SAFETY: as above.
        assert!(unsafe { queue.remove(timer.as_ref()) }.is_none());
    }

    /// The longest row of siblings and the deepest chain: neither takes a stack.
    #[test]
    fn many_in_either_order() {
        let (start, many) = (Instant::now(), rounds(100_000, 60));
        for ascending in [true, false] {
            let timers: Vec<_> = (0..many).map(|_| Box::pin(Timer::new())).collect();
            let mut queue = Queue::new();
            for (n, timer) in timers.iter().enumerate() {
                let n = if ascending { n } else { many - n };
                // SAFETY: only in this queue, and expired before it is dropped.
                unsafe {
                    queue.insert(
                        timer.as_ref(),
                        start + Duration::from_nanos(n as u64),
                        Waker::noop().clone(),
                    )
                };
            }
            let mut taken = Vec::new();
            queue.expire(start + Duration::from_nanos(many as u64), &mut taken);
            assert_eq!(taken.len(), many);
        }
    }
}
