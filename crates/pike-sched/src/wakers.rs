//! A slab of wakers: put in, replaced and taken out by a key. The lock is the owner's.
//!
//! Nothing here wakes, clones or drops a waker that it was given: each comes back to the caller, who does
//! that after the lock is released (I6).

use std::{mem, task::Waker};

/// No key: what a field holds before it has one.
pub(crate) const NO_KEY: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Wakers {
    /// In chunks, so that many tasks have no room for as many again, and nothing is moved under the lock.
    #[allow(clippy::vec_box, reason = "chunks do not move when there are more")]
    chunks: Vec<Box<Chunk>>,
    /// The first free slot, or NO_KEY.
    free: u32,
    len: usize,
}

const CHUNK: usize = 64;
type Chunk = [Slot; CHUNK];

#[derive(Debug)]
enum Slot {
    Taken(Waker),
    /// With the next free slot, or NO_KEY.
    Free(u32),
}

impl Wakers {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: NO_KEY, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// # Panics
    ///
    /// With four billion wakers in it.
    pub(crate) fn insert(&mut self, waker: Waker) -> u32 {
        self.len += 1;
        if self.free == NO_KEY {
            self.grow();
        }
        let key = self.free;
        match mem::replace(self.slot(key), Slot::Taken(waker)) {
            Slot::Free(next) => self.free = next,
            Slot::Taken(_) => unreachable!("a slot in the free list is free"),
        }
        key
    }

    /// Adds free slots: those of one chunk more.
    #[cold]
    fn grow(&mut self) {
        let first = self.chunks.len() * CHUNK;
        let end = u32::try_from(first + CHUNK).expect("fewer than u32::MAX tasks");
        let chunk = std::array::from_fn(|at| match first as u32 + at as u32 + 1 {
            next if next == end => Slot::Free(NO_KEY),
            next => Slot::Free(next),
        });
        self.chunks.push(Box::new(chunk));
        self.free = first as u32;
    }

    fn slot(&mut self, key: u32) -> &mut Slot {
        &mut self.chunks[key as usize / CHUNK][key as usize % CHUNK]
    }

    /// Puts another waker under a key in use, and returns the old one.
    pub(crate) fn replace(&mut self, key: u32, waker: Waker) -> Waker {
        match mem::replace(self.slot(key), Slot::Taken(waker)) {
            Slot::Taken(old) => old,
            Slot::Free(_) => unreachable!("only who has inserted a waker has its key"),
        }
    }

    pub(crate) fn remove(&mut self, key: u32) -> Waker {
        self.len -= 1;
        let free = self.free;
        match mem::replace(self.slot(key), Slot::Free(free)) {
            Slot::Taken(waker) => {
                self.free = key;
                waker
            }
            Slot::Free(_) => unreachable!("only who has inserted a waker has its key"),
        }
    }

    /// Every waker, in the order of their keys. The keys stay in use, each with a waker that does nothing.
    pub(crate) fn take_all(&mut self) -> Vec<Waker> {
        let slots = self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut());
        let taken = slots.filter_map(|slot| match slot {
            Slot::Taken(waker) => Some(mem::replace(waker, Waker::noop().clone())),
            Slot::Free(_) => None,
        });
        taken.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, task::Wake};

    use super::*;

    struct Flag;

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn slot_is_a_waker_wide() {
        assert_eq!(size_of::<Slot>(), size_of::<Waker>());
    }

    #[test]
    fn keys_are_used_again_and_the_length_is_exact() {
        let mut wakers = Wakers::new();
        let keys: Vec<_> = (0..4).map(|_| wakers.insert(Waker::noop().clone())).collect();
        assert_eq!((keys, wakers.len()), (vec![0, 1, 2, 3], 4));
        wakers.remove(1);
        wakers.remove(3);
        assert_eq!(wakers.len(), 2);
        assert_eq!(wakers.insert(Waker::noop().clone()), 3);
        assert_eq!(wakers.insert(Waker::noop().clone()), 1);
        assert_eq!(wakers.insert(Waker::noop().clone()), 4);
        assert_eq!(wakers.len(), 5);
        for key in 0..5 {
            wakers.remove(key);
        }
        assert!(wakers.is_empty());
    }

    #[test]
    fn keys_go_on_in_the_next_chunk() {
        let mut wakers = Wakers::new();
        let all = 2 * CHUNK as u32 + 1;
        assert!((0..all).all(|key| wakers.insert(Waker::noop().clone()) == key));
        assert_eq!((wakers.take_all().len(), wakers.len()), (all as usize, all as usize));
        (0..all).for_each(|key| drop(wakers.remove(key)));
        assert_eq!((wakers.insert(Waker::noop().clone()), wakers.len()), (all - 1, 1));
    }

    #[test]
    fn what_was_taken_keeps_its_key() {
        let (flag, mut wakers) = (Arc::new(Flag), Wakers::new());
        let key = wakers.insert(Waker::from(Arc::clone(&flag)));
        assert_eq!(Arc::strong_count(&flag), 2);
        let taken = wakers.take_all();
        assert_eq!((taken.len(), wakers.len()), (1, 1));
        drop(taken);
        assert_eq!(Arc::strong_count(&flag), 1);
        drop(wakers.replace(key, Waker::from(Arc::clone(&flag))));
        assert_eq!(Arc::strong_count(&flag), 2);
        drop(wakers.remove(key));
        assert_eq!((Arc::strong_count(&flag), wakers.len()), (1, 0));
    }
}
