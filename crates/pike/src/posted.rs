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
    /// How often a turn has taken it out of the stack.
    pub(crate) turns: AtomicU64,
    /// The source whose waiters a turn wakes for it.
    pub(crate) token: Token,
    queued: AtomicBool,
    next: AtomicPtr<Post>,
}

impl Post {
    pub(crate) fn new(token: Token) -> Arc<Self> {
        Arc::new(Self {
            count: AtomicU64::new(0),
            turns: AtomicU64::new(0),
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
            post.turns.fetch_add(1, Ordering::Relaxed); // published by the swap below, and by the source's report
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::rounds;

    fn slots(posted: &Posted) -> Vec<u32> {
        let mut slots = Vec::new();
        posted.drain(|post| slots.push(post.token.slot()));
        slots
    }

    #[test]
    fn an_entry_is_queued_once_until_it_is_drained() {
        let (posted, post) = (Posted::new(), Post::new(Token::new(7, 0)));
        assert!(slots(&posted).is_empty());
        assert!(posted.push(&post));
        assert!(!posted.push(&post));
        assert_eq!(slots(&posted), [7]);
        assert!(slots(&posted).is_empty());
        assert!(posted.push(&post));
        assert_eq!(slots(&posted), [7]);
    }

    #[test]
    fn all_that_are_queued_come_out() {
        let posted = Posted::new();
        let posts: Vec<_> = (0..10).map(|slot| Post::new(Token::new(slot, 0))).collect();
        assert!(posts.iter().all(|post| posted.push(post)));
        drop(posts); // the stack has shares of its own
        let mut slots = slots(&posted);
        slots.sort_unstable();
        assert!(slots.into_iter().eq(0..10));
    }

    #[test]
    fn an_entry_pushed_while_it_is_drained_is_for_the_next_drain() {
        let (posted, post) = (Posted::new(), Post::new(Token::new(0, 0)));
        posted.push(&post);
        let mut times = 0;
        posted.drain(|_| {
            times += 1;
            assert!(posted.push(&post));
        });
        assert_eq!((times, slots(&posted).len()), (1, 1));
    }

    #[test]
    fn what_is_never_drained_is_freed() {
        let (posted, post) = (Posted::new(), Post::new(Token::new(0, 0)));
        posted.push(&post);
        assert_eq!(Arc::strong_count(&post), 2);
        drop(posted);
        assert_eq!(Arc::strong_count(&post), 1);
    }

    /// Threads that notify, and one that drains until it has heard all.
    #[test]
    fn every_count_is_heard() {
        let (threads, times) = (3, rounds(10_000, 30) as u64);
        let posted = Posted::new();
        let shared = Post::new(Token::new(0, 0));
        let mut heard = 0;
        std::thread::scope(|scope| {
            for slot in 0..threads {
                let (posted, shared) = (&posted, &shared);
                scope.spawn(move || {
                    let own = Post::new(Token::new(slot, 0));
                    for _ in 0..times {
                        for post in [&own, shared] {
                            post.count.fetch_add(1, Ordering::AcqRel);
                            posted.push(post);
                        }
                    }
                });
            }
            while heard < u64::from(threads) * times * 2 {
                posted.drain(|post| heard += post.count.swap(0, Ordering::AcqRel));
                std::thread::yield_now();
            }
        });
        assert_eq!(heard, u64::from(threads) * times * 2);
    }
}
