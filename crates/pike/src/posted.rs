//! Events notified since the last turn: a stack that takes a push from anywhere, a signal handler included.
//!
//! A push is one flag, one compare-and-swap loop and no lock (Treiber's stack, R. K. Treiber, 1986); the only pop takes
//! the whole stack at once, so the ABA problem of its usual pop does not arise. An entry is in the stack at most once:
//! its `queued` flag is set by the push that links it and cleared by the drain *before* its count is looked at, so a
//! notification after that look links it again.

use std::ptr;

use crate::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
    },
    token::Token,
};

/// What an Event shares with the stack.
#[derive(Debug)]
pub(crate) struct Post {
    /// Notifications that no wait has taken yet.
    pub(crate) count: AtomicU64,
    /// The source whose waiters a turn wakes for it.
    pub(crate) token: Token,
    queued: AtomicBool,
    next: AtomicPtr<Post>,
}

impl Post {
    pub(crate) fn new(token: Token) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicU64::new(0),
            token,
            queued: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        })
    }
}

/// The entries that wait for the next turn.
#[derive(Debug)]
pub(crate) struct Posted {
    head: AtomicPtr<Post>,
}

#[allow(unsafe_code)]
impl Posted {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// True if the entry was not queued yet, and a turn has to be asked for. Async-signal-safe.
    pub(crate) fn push(&self, post: &Arc<Post>) -> bool {
        // AcqRel: pairs with the drain's swap, which sees what the caller counted before.
        if post.queued.swap(true, Ordering::AcqRel) {
            return false;
        }
        // The stack's own share; adding one is an atomic increment.
        let raw = Arc::into_raw(Arc::clone(post)).cast_mut();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            post.next.store(head, Ordering::Relaxed);
            // Release: publishes `next`. Pairs with the drain's swap.
            match self.head.compare_exchange_weak(head, raw, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all entries out, each with its flag cleared first.
    #[inline]
    pub(crate) fn drain(&self, mut each: impl FnMut(&Post)) {
        if self.head.load(Ordering::Relaxed).is_null() {
            // What was pushed before a notify that ended this turn is visible by the word's ordering.
            return;
        }
        let mut at = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        while !at.is_null() {
            // SAFETY: the share that `push` gave to the stack, taken back once, since the swap took the whole stack.
            let post = unsafe { Arc::from_raw(at) };
            // Read before the flag is cleared: from then on a push may write it.
            at = post.next.load(Ordering::Relaxed);
            post.queued.swap(false, Ordering::AcqRel);
            each(&post);
        }
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.drain(|_| {});
    }
}
