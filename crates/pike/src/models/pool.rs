//! A pool's free buffers, and who waits for one.

use std::{pin::Pin, sync::Arc as StdArc, task::Waker};

use loom::{cell::UnsafeCell, thread};

use super::Wakes;
use crate::{
    buf::free::{Asked, Free},
    sync::Arc,
    waiter::{Node, State},
};

/// The free list, and the memory of two buffers, of which loom sees each use.
struct Pool {
    free: Free,
    memory: [UnsafeCell<u32>; 2],
}

impl Pool {
    fn new(count: u32) -> Arc<Self> {
        Arc::new(Self { free: Free::new(count), memory: [UnsafeCell::new(0), UnsafeCell::new(0)] })
    }

    /// What the holder of a buffer does with it: two at a time, or one before the other's give-back, is a fault to loom.
    #[allow(unsafe_code)]
    fn fill(&self, buffer: u32) {
        // SAFETY: who took it has it alone, which loom checks.
        self.memory[buffer as usize].with_mut(|at| unsafe { *at += 1 });
    }

    /// As the drop of `buf::pool::Slot`.
    fn give_back(&self, buffer: u32) {
        self.fill(buffer);
        self.free.give_back(buffer).into_iter().for_each(Waker::wake);
    }
}

/// Waits for a buffer, as `buf::pool::Acquire` does.
struct Acquire {
    pool: Arc<Pool>,
    node: Node,
    wakes: StdArc<Wakes>,
    waker: Waker,
}

#[allow(unsafe_code)]
impl Acquire {
    fn new(pool: &Arc<Pool>) -> Pin<Box<Self>> {
        let (wakes, waker) = Wakes::new();
        Box::pin(Self { pool: pool.clone(), node: Node::new(), wakes, waker })
    }

    fn node(&self) -> Pin<&Node> {
        // SAFETY: every Acquire is made pinned.
        unsafe { Pin::new_unchecked(&self.node) }
    }

    fn poll_with(&self, waker: &Waker) -> Option<u32> {
        // SAFETY: it waits on this pool only, and leaves when it is dropped.
        match unsafe { self.pool.free.ask(self.node(), waker) } {
            Asked::Taken(buffer) => Some(buffer),
            Asked::Linked => None,
        }
    }

    fn poll(&self) -> Option<u32> {
        self.poll_with(&self.waker)
    }
}

impl Drop for Acquire {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        if self.node.state() == State::Idle {
            return;
        }
        // SAFETY: it waits on this pool only.
        unsafe { self.pool.free.leave(self.node()) }.into_iter().for_each(Waker::wake);
    }
}

/// The last buffer comes back as somebody begins to wait: it is taken or promised, and the promise is kept. Caught: a look
/// at what is free before the lock; a buffer that comes back and is promised to nobody.
#[test]
fn loom_pool_give_back_races_ask() {
    loom::model(|| {
        let pool = Pool::new(1);
        let buffer = pool.free.take().unwrap();
        let waiter = Acquire::new(&pool);
        let returning = {
            let pool = pool.clone();
            thread::spawn(move || pool.give_back(buffer))
        };
        let asked = waiter.poll();
        asked.into_iter().for_each(|buffer| pool.fill(buffer));
        returning.join().unwrap();
        if asked.is_none() {
            assert_eq!(waiter.wakes.count(), 1);
            assert_eq!(waiter.poll(), Some(buffer));
        }
    });
}

/// Two wait, one buffer comes back, and the first leaves, its memory with it, with the promise or before: the second gets the
/// buffer. Caught: a promise that ends with its waiter; a `leave` that looks at the node before it has the lock.
#[test]
fn loom_pool_promise_is_passed_on() {
    loom::model(|| {
        let pool = Pool::new(1);
        let buffer = pool.free.take().unwrap();
        let (first, second) = (Acquire::new(&pool), Acquire::new(&pool));
        assert!(first.poll().is_none() && second.poll().is_none());
        let returning = {
            let pool = pool.clone();
            thread::spawn(move || pool.give_back(buffer))
        };
        drop(first);
        returning.join().unwrap();
        assert_eq!(second.wakes.count(), 1);
        assert_eq!(second.poll(), Some(buffer));
        pool.give_back(buffer);
        drop(second);
        assert_eq!(pool.free.take(), Some(buffer), "a promise was left behind");
    });
}

/// A waiter changes its waker as it is promised a buffer: it has the buffer, or the new waker is woken. Caught: `ask` that
/// looks at the node before it has the lock.
#[test]
fn loom_pool_ask_again_races_promise() {
    loom::model(|| {
        let pool = Pool::new(1);
        let buffer = pool.free.take().unwrap();
        let waiter = Acquire::new(&pool);
        assert!(waiter.poll().is_none());
        let returning = {
            let pool = pool.clone();
            thread::spawn(move || pool.give_back(buffer))
        };
        let (wakes, waker) = Wakes::new();
        let asked = waiter.poll_with(&waker);
        returning.join().unwrap();
        if asked.is_none() {
            assert_eq!(wakes.count(), 1);
            assert_eq!(waiter.poll(), Some(buffer));
        }
    });
}

/// One buffer is promised; who does not wait, and the kernel's share, find none, and the other buffer is one holder's at a
/// time. Caught: `take` and `take_beyond` that do not count the promises.
#[test]
fn loom_pool_promised_is_not_taken() {
    loom::model(|| {
        let pool = Pool::new(2);
        let (kept, buffer) = (pool.free.take().unwrap(), pool.free.take().unwrap());
        let waiter = Acquire::new(&pool);
        assert!(waiter.poll().is_none());
        let thief = {
            let pool = pool.clone();
            thread::spawn(move || {
                let mut taken: Vec<u32> = pool.free.take().into_iter().collect();
                pool.free.take_beyond(0, 2, |buffer| taken.push(buffer));
                for buffer in taken {
                    pool.give_back(buffer);
                }
            })
        };
        let returning = {
            let pool = pool.clone();
            thread::spawn(move || pool.give_back(kept))
        };
        pool.give_back(buffer);
        // Whatever the others did, the first that came back was promised and still is.
        let promised = waiter.poll().expect("the promised buffer");
        pool.give_back(promised);
        returning.join().unwrap();
        thief.join().unwrap();
        assert_eq!(waiter.wakes.count(), 1);
        assert!(pool.free.take().is_some() && pool.free.take().is_some() && pool.free.take().is_none());
    });
}
