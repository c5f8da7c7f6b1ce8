//! A worker's own queue: bounded, first in first out, and open to thieves.
//!
//! ```text
//!            head (taken up to here)            tail (put in up to here)
//!              |                                  |
//!      . . . . [ task ][ task ][ task ][ task ]   . . . .      slots, by number modulo CAPACITY
//!
//!   push    the owner       writes a slot, then moves `tail` on
//!   pop     the owner       reads the first slot, then moves `head` on by a compare-exchange
//!   steal   anyone else     reads the first half of the slots, then moves `head` on by a compare-exchange
//! ```
//!
//! Head and tail only grow (and wrap around, after four billion tasks). Whoever moves `head` from where he read it owns
//! what he had read: nobody else can have moved it, and the owner writes over a slot only once `head` is past it. What a
//! thief has read whose compare-exchange fails may be anything, and is forgotten.
//!
//! It holds raw pointers, which it gives back each exactly once, as long as one thread at a time is the owner.
//!
//! Source: the run queue of Go's scheduler, and of zap's thread pool, which has it from there.

use crate::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

/// A power of two. Small where every interleaving is looked at, so that it wraps around and overflows.
pub(crate) const CAPACITY: u32 = if cfg!(any(loom, miri)) { 4 } else { 256 };

/// On cache lines of its own: the owner writes it at every task.
#[repr(align(128))]
pub(crate) struct Ring {
    /// The number of the first task. Moved on by whoever takes.
    head: AtomicU32,
    /// One past the number of the last task. Moved on by the owner.
    tail: AtomicU32,
    slots: [AtomicPtr<()>; CAPACITY as usize],
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            slots: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
        }
    }

    #[inline]
    fn slot(&self, number: u32) -> &AtomicPtr<()> {
        &self.slots[(number % CAPACITY) as usize]
    }

    /// From any thread, and true only for the moment.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Acquire on the head, so that the tail read is not an older one than that.
        self.head.load(Acquire) == self.tail.load(Acquire)
    }

    /// Puts in what `next` gives, until it gives nothing or the ring is full, and shows all of it at once. By the owner.
    ///
    /// Returns whether there was room for one more.
    #[inline]
    pub(crate) fn fill(&self, mut next: impl FnMut() -> Option<*mut ()>) -> bool {
        // Relaxed: its own.
        let first = self.tail.load(Relaxed);
        // Acquire: pairs with the Release of who took a task: his read of the slot is over before it is written again.
        let room = CAPACITY - first.wrapping_sub(self.head.load(Acquire));
        let mut count = 0;
        while count < room {
            let Some(task) = next() else { break };
            self.slot(first.wrapping_add(count)).store(task, Relaxed);
            count += 1;
        }
        // Release: pairs with a thief's Acquire, and shows him the slots and the tasks behind them.
        self.tail.store(first.wrapping_add(count), Release);
        count < room
    }

    /// Puts one task in, or gives it back if the ring is full. By the owner.
    #[inline]
    pub(crate) fn push(&self, task: *mut ()) -> Result<(), *mut ()> {
        let tail = self.tail.load(Relaxed);
        // Acquire and Release as in `fill`.
        if tail.wrapping_sub(self.head.load(Acquire)) == CAPACITY {
            return Err(task);
        }
        self.slot(tail).store(task, Relaxed);
        self.tail.store(tail.wrapping_add(1), Release);
        Ok(())
    }

    /// Takes the first task. By the owner.
    #[inline]
    pub(crate) fn pop(&self) -> Option<*mut ()> {
        let tail = self.tail.load(Relaxed);
        let mut head = self.head.load(Relaxed);
        while head != tail {
            let task = self.slot(head).load(Relaxed);
            // Release: pairs with a thief's Acquire, so that the tail he reads then is not older than the head. What is in
            // the slot was written by this thread, which is also the one to write it again.
            match self.head.compare_exchange_weak(head, head.wrapping_add(1), Release, Relaxed) {
                Ok(_) => return Some(task),
                Err(now) => head = now,
            }
        }
        None
    }

    /// Takes half of the tasks, rounded up: the last of them for the caller, and the others into his own ring, which is
    /// empty. Also says how many they were.
    pub(crate) fn steal_into(&self, own: &Ring) -> Option<(*mut (), u32)> {
        let first = own.tail.load(Relaxed);
        // Acquire: the tail that is read next is not older.
        let mut head = self.head.load(Acquire);
        loop {
            // Acquire: pairs with the owner's Release, whose slots and tasks are then seen.
            let len = self.tail.load(Acquire).wrapping_sub(head);
            if len == 0 {
                return None;
            }
            if len > CAPACITY {
                // The owner has gone round since the head was read.
                head = self.head.load(Acquire);
                continue;
            }
            let count = len - len / 2;
            for at in 0..count {
                own.slot(first.wrapping_add(at))
                    .store(self.slot(head.wrapping_add(at)).load(Relaxed), Relaxed);
            }
            // Release: pairs with the owner's Acquire, who may write to the slots from here on.
            match self.head.compare_exchange(head, head.wrapping_add(count), AcqRel, Acquire) {
                Ok(_) => {
                    let last = first.wrapping_add(count - 1);
                    let task = own.slot(last).load(Relaxed);
                    // Release: as in `fill`.
                    own.tail.store(last, Release);
                    return Some((task, count));
                }
                Err(now) => head = now,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{collections::HashSet, ptr, sync::Mutex, thread};

    use super::*;

    fn task(number: usize) -> *mut () {
        ptr::without_provenance_mut(number)
    }

    fn drain(ring: &Ring) -> Vec<usize> {
        std::iter::from_fn(|| ring.pop()).map(<*mut ()>::addr).collect()
    }

    #[test]
    fn first_in_first_out_round_and_round() {
        let ring = Ring::new();
        for round in 0..10 {
            for number in 1..=3 {
                ring.push(task(round * 10 + number)).unwrap();
            }
            assert!(!ring.is_empty());
            assert_eq!(drain(&ring), [1, 2, 3].map(|number| round * 10 + number));
            assert!(ring.is_empty());
        }
    }

    #[test]
    fn a_full_ring_gives_back() {
        let ring = Ring::new();
        let mut numbers = 1..=CAPACITY as usize;
        assert!(!ring.fill(|| numbers.next().map(task)));
        assert_eq!(ring.push(task(7)), Err(task(7)));
        let mut more = 100..200;
        assert!(!ring.fill(|| more.next().map(task)));
        assert_eq!(more.next(), Some(100), "nothing was asked for that has no room");
        assert_eq!(drain(&ring).len(), CAPACITY as usize);
        assert!(ring.fill(|| None));
    }

    #[test]
    fn a_thief_gets_the_first_half() {
        for len in 1..=CAPACITY as usize {
            let (ring, own) = (Ring::new(), Ring::new());
            let mut numbers = 1..=len;
            ring.fill(|| numbers.next().map(task));
            let (last, count) = ring.steal_into(&own).unwrap();
            assert_eq!(count as usize, len - len / 2);
            let mut stolen = drain(&own);
            stolen.push(last.addr());
            assert_eq!(stolen, (1..=len - len / 2).collect::<Vec<_>>());
            assert_eq!(drain(&ring), (len - len / 2 + 1..=len).collect::<Vec<_>>());
        }
        assert!(Ring::new().steal_into(&Ring::new()).is_none());
    }

    /// The owner pushes and pops, two thieves steal: every task is taken once.
    #[test]
    fn each_task_is_taken_once() {
        let tasks = if cfg!(miri) { 200 } else { 200_000 };
        let ring = Ring::new();
        let taken = Mutex::new(Vec::new());
        let done = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let (own, mut mine) = (Ring::new(), Vec::new());
                    while !done.load(Acquire) || !ring.is_empty() {
                        if let Some((task, _)) = ring.steal_into(&own) {
                            mine.push(task.addr());
                            mine.extend(drain(&own));
                        } else {
                            thread::yield_now();
                        }
                    }
                    taken.lock().unwrap().extend(mine);
                });
            }
            let mut mine = Vec::new();
            for number in 1..=tasks {
                if ring.push(task(number)).is_err() || number % 3 == 0 {
                    mine.extend(ring.pop().map(<*mut ()>::addr));
                    if ring.push(task(tasks + number)).is_err() {
                        mine.push(tasks + number);
                    }
                }
            }
            mine.extend(drain(&ring));
            done.store(true, Release);
            taken.lock().unwrap().extend(mine);
        });
        let taken = taken.into_inner().unwrap();
        let distinct: HashSet<_> = taken.iter().collect();
        assert_eq!(distinct.len(), taken.len(), "none was taken twice");
        assert!(taken.len() > tasks / 2);
    }
}
