//! Which buffers of a pool are free, and who waits for one.
//!
//! First come, first served: while anybody waits, a buffer that comes back is *promised* to the first of them, and nobody
//! else can take it. Who was woken and does not want it any more passes the promise on.
//!
//! Some buffers may be neither here nor with anybody, but lent to a kernel that has no use for them. So who begins to wait has it
//! asked for one ([`Free::asks_kernel`]), one question at a time, which goes on as long as it gives some and others wait.
//!
//! Under one lock, which no code of others runs under (I6). The buffer that came back last is the next one taken, so that
//! a pool touches as much of its memory as it ever needed at a time.

use std::{pin::Pin, task::Waker};

use crate::{
    source::Direction,
    sync::{Brief, BriefGuard},
    waiter::{Kind, List, Node, State as Place},
};

/// All wait for the same.
const WAITS: Kind = Kind::plain(Direction::Read);

#[derive(Debug)]
pub(crate) struct Free(Brief<State>);

#[derive(Debug)]
struct State {
    /// Buffers that came back. Its room is for all of them, so that giving one back allocates nothing.
    back: Vec<u32>,
    /// From here on none was ever taken.
    fresh: u32,
    count: u32,
    /// How many of those that can be taken are promised to waiters that have been woken.
    promised: usize,
    waiters: List,
    asked: KernelAsked,
}

/// Whether the kernel was asked to give back a buffer of those that it was lent, for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KernelAsked {
    No,
    Once,
    /// And somebody has begun to wait since, for whom it may have one although it had none before.
    Again,
}

impl State {
    fn can_be_taken(&self) -> usize {
        self.back.len() + (self.count - self.fresh) as usize
    }

    fn pop(&mut self) -> Option<u32> {
        self.back.pop().or_else(|| {
            let fresh = self.fresh;
            (fresh < self.count).then(|| {
                self.fresh += 1;
                fresh
            })
        })
    }

    /// For all, when the first comes back.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        self.back.reserve_exact(self.count as usize);
    }

    /// Promises a buffer that nobody has been promised to the first who waits.
    #[cold]
    #[inline(never)]
    fn promise(&mut self) -> Option<Waker> {
        let waker = self.waiters.take_next(WAITS.bits())?;
        self.promised += 1;
        Some(waker)
    }
}

/// What came of asking for a buffer.
#[derive(Debug)]
pub(crate) enum Asked {
    /// This one is the caller's.
    Taken(u32),
    /// There is none. The caller will be woken, with a promise.
    Linked,
}

impl Free {
    pub(crate) fn new(count: u32) -> Self {
        let state = State {
            back: Vec::new(),
            fresh: 0,
            count,
            promised: 0,
            waiters: List::new(),
            asked: KernelAsked::No,
        };
        Self(Brief::new(state))
    }

    /// Takes one that nobody waits for.
    #[inline]
    pub(crate) fn take(&self) -> Option<u32> {
        let mut state = self.0.lock();
        match state.can_be_taken() > state.promised {
            true => state.pop(),
            false => None,
        }
    }

    /// Hands over `most` of those that nobody waits for, or fewer, so that `reserve` are left.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    #[inline]
    pub(crate) fn take_beyond(&self, reserve: usize, most: usize, mut each: impl FnMut(u32)) {
        let mut state = self.0.lock();
        let spare = state.can_be_taken().saturating_sub(state.promised + reserve).min(most);
        let back = spare.min(state.back.len());
        let left = state.back.len() - back;
        state.back.drain(left..).rev().for_each(&mut each);
        for _ in back..spare {
            each(state.fresh);
            state.fresh += 1;
        }
    }

    /// Gives one back. Whom it is promised to is to be woken.
    #[inline]
    #[must_use = "somebody waits for it"]
    pub(crate) fn give_back(&self, buffer: u32) -> Option<Waker> {
        let mut state = self.0.lock();
        if state.back.len() == state.back.capacity() {
            state.make_room();
        }
        state.back.push(buffer);
        if state.waiters.is_empty() { None } else { state.promise() }
    }

    /// Takes one, or waits for it.
    ///
    /// # Safety
    ///
    /// The node waits here only, and is given to [`Free::leave`] before it is dropped, unless this has just returned
    /// `Taken`.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn ask(&self, node: Pin<&Node>, waker: &Waker) -> Asked {
        let mut waker = waker.clone(); // I6: before the lock
        let mut state = self.0.lock();
        match node.state() {
            Place::Notified => {
                // The promise is kept.
                node.reset();
                state.promised -= 1;
                if let Some(buffer) = state.pop() {
                    return after(state, waker, Asked::Taken(buffer));
                }
                unreachable!("a promise without a buffer");
            }
            // SAFETY: linked in this list, by the caller's promise.
            Place::Linked => match unsafe { state.waiters.renew(node, waker) } {
                Ok(replaced) | Err(replaced) => waker = replaced,
            },
            Place::Idle | Place::Front => {
                if state.can_be_taken() > state.promised {
                    if let Some(buffer) = state.pop() {
                        return after(state, waker, Asked::Taken(buffer));
                    }
                }
                // SAFETY: passed on to the caller.
                unsafe { state.waiters.push(node, WAITS, waker) };
                return Asked::Linked;
            }
        }
        after(state, waker, Asked::Linked)
    }

    /// By who has begun to wait. True if the kernel is to be asked for a buffer, whose answer is told to [`Free::answered`].
    #[cold]
    pub(crate) fn asks_kernel(&self) -> bool {
        let mut state = self.0.lock();
        let is_first = state.asked == KernelAsked::No;
        state.asked = if is_first { KernelAsked::Once } else { KernelAsked::Again };
        is_first
    }

    /// The kernel has given one back, which is here already, or has none. True if it is to be asked again.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    #[cold]
    pub(crate) fn answered(&self, has_given: bool) -> bool {
        let mut state = self.0.lock();
        let again = (has_given || state.asked == KernelAsked::Again) && !state.waiters.is_empty();
        state.asked = if again { KernelAsked::Once } else { KernelAsked::No };
        again
    }

    /// Waits no more; a promise goes to the next, who is to be woken.
    ///
    /// # Safety
    ///
    /// The node waits here, if anywhere.
    #[allow(unsafe_code)]
    #[must_use = "somebody waits for it"]
    pub(crate) unsafe fn leave(&self, node: Pin<&Node>) -> Option<Waker> {
        let mut state = self.0.lock();
        // SAFETY: linked in this list if in any, by the caller's promise.
        let own = unsafe { state.waiters.remove(node) };
        let next = match node.state() {
            Place::Notified => {
                node.reset();
                state.promised -= 1;
                state.promise()
            }
            _ => None,
        };
        drop(state);
        drop(own); // I6: after the unlock
        next
    }
}

/// Drops `waker` after the unlock (I6).
fn after<T>(state: BriefGuard<'_, State>, waker: Waker, result: T) -> T {
    drop(state);
    drop(waker);
    result
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use std::{collections::VecDeque, pin::pin};

    use super::*;
    use crate::testing::{Log, Random, rounds};

    fn ask(free: &Free, node: Pin<&Node>, waker: &Waker) -> Option<u32> {
        // SAFETY: every test gives its nodes to `leave`, or ends them by taking.
        match unsafe { free.ask(node, waker) } {
            Asked::Taken(buffer) => Some(buffer),
            Asked::Linked => None,
        }
    }

    #[test]
    fn first_come_first_served() {
        let (free, log) = (Free::new(1), Log::default());
        let buffer = free.take().unwrap();
        assert!(free.take().is_none());
        let (first, second) = (pin!(Node::new()), pin!(Node::new()));
        let (first, second) = (first.as_ref(), second.as_ref());
        assert!(ask(&free, first, &log.waker(1)).is_none());
        assert!(ask(&free, second, &log.waker(2)).is_none());
        free.give_back(buffer).unwrap().wake();
        assert_eq!(log.take(), [1]);
        assert!(free.take().is_none(), "it is promised");
        assert!(ask(&free, second, &log.waker(2)).is_none(), "to the first");
        assert_eq!(ask(&free, first, &log.waker(1)), Some(buffer));
        free.give_back(buffer).unwrap().wake();
        assert_eq!(ask(&free, second, &log.waker(2)), Some(buffer));
        assert!(free.give_back(buffer).is_none());
        assert_eq!(free.take(), Some(buffer));
    }

    /// Goal: the kernel is asked while it has something to give and somebody waits, once for each who begins to wait, and no
    /// more: one that has nothing is not asked for ever.
    #[test]
    fn the_kernel_is_asked_as_long_as_that_helps() {
        let (free, log) = (Free::new(2), Log::default());
        let buffers = [free.take().unwrap(), free.take().unwrap()];
        let nodes = [pin!(Node::new()), pin!(Node::new()), pin!(Node::new())];
        let nodes = nodes.each_ref().map(|node| node.as_ref());
        assert!(ask(&free, nodes[0], &log.waker(0)).is_none());
        assert!(free.asks_kernel(), "the first");
        assert!(!free.answered(false), "it has none");
        assert!(ask(&free, nodes[1], &log.waker(1)).is_none());
        assert!(free.asks_kernel());
        assert!(ask(&free, nodes[2], &log.waker(2)).is_none());
        assert!(!free.asks_kernel(), "it is asked already");
        assert!(free.answered(false), "for the last, who came after");
        drop(free.give_back(buffers[0]));
        assert!(free.answered(true), "there may be more, and two wait");
        drop(free.give_back(buffers[1]));
        assert!(free.answered(true));
        assert!(!free.answered(false));
        for node in nodes {
            // SAFETY: it waits here.
            drop(unsafe { free.leave(node) });
        }
        assert!(free.asks_kernel());
        assert!(!free.answered(true), "nobody waits");
    }

    #[test]
    fn a_promise_is_passed_on() {
        let (free, log) = (Free::new(1), Log::default());
        let buffer = free.take().unwrap();
        let (first, second) = (pin!(Node::new()), pin!(Node::new()));
        let (first, second) = (first.as_ref(), second.as_ref());
        assert!(ask(&free, first, &log.waker(1)).is_none());
        assert!(ask(&free, second, &log.waker(2)).is_none());
        drop(free.give_back(buffer).unwrap());
        // SAFETY: it waits here.
        unsafe { free.leave(first) }.unwrap().wake();
        assert_eq!(log.take(), [2]);
        // SAFETY: as above.
        assert!(unsafe { free.leave(second) }.is_none());
        assert_eq!(free.take(), Some(buffer), "nobody waits any more");
    }

    /// Random takes, returns, waits, leaves, against a queue of names and a count.
    #[test]
    fn as_an_obvious_model() {
        for seed in 0..rounds(200, 5) as u64 {
            let mut random = Random::new(seed);
            let (count, log) = (1 + random.below(4) as u32, Log::default());
            let free = Free::new(count);
            let nodes: Vec<_> = (0..6).map(|_| Box::pin(Node::new())).collect();
            let (mut waiting, mut promised): (VecDeque<usize>, Vec<usize>) = Default::default();
            let mut held: Vec<u32> = Vec::new();
            for _ in 0..rounds(300, 60) {
                let at = random.below(nodes.len());
                let node = nodes[at].as_ref();
                match random.below(4) {
                    0 => match free.take() {
                        Some(buffer) => {
                            assert!(!held.contains(&buffer));
                            held.push(buffer);
                            assert!(held.len() + promised.len() <= count as usize);
                        }
                        None => assert_eq!(held.len() + promised.len(), count as usize),
                    },
                    1 if !held.is_empty() => {
                        let buffer = held.swap_remove(random.below(held.len()));
                        if let Some(waker) = free.give_back(buffer) {
                            waker.wake();
                        }
                    }
                    2 => match ask(&free, node, &log.waker(at)) {
                        Some(buffer) => {
                            assert!(!waiting.contains(&at) && !held.contains(&buffer));
                            promised.retain(|&name| name != at);
                            held.push(buffer);
                        }
                        None if !waiting.contains(&at) => waiting.push_back(at),
                        None => {}
                    },
                    3 => {
                        // SAFETY: it waits here, if anywhere.
                        if let Some(waker) = unsafe { free.leave(node) } {
                            waker.wake();
                        }
                        promised.retain(|&name| name != at);
                        waiting.retain(|&name| name != at);
                    }
                    _ => {}
                }
                for name in log.take() {
                    assert_eq!(waiting.pop_front(), Some(name), "first come, first served");
                    promised.push(name);
                }
            }
            for node in &nodes {
                // SAFETY: as above.
                drop(unsafe { free.leave(node.as_ref()) });
            }
        }
    }
}
