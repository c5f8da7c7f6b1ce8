//! A list that a signal handler walks while threads add to it and remove from it. No lock, and nothing is freed under it.
//!
//! A slot, once made, stays for ever and is used again. An item is in it by reference only, and its owner may free it once
//! [`Slots::remove`] has returned. How that is safe, with one word a slot:
//!
//! ```text
//!   n ......... 2      1          0
//!  +-------------+----------+---------+
//!  | visitors    | LISTENED | CLAIMED |     one AtomicUsize
//!  +-------------+----------+---------+
//! ```
//!
//! - A *walk* adds one visitor, and that same read-modify-write shows it whether the slot is LISTENED. Only then it looks
//!   at the item. It takes the visitor away when it is done.
//! - A *remove* clears LISTENED, and then waits until there are no visitors. All changes of the word have one order: a
//!   walk whose addition comes before the clearing is waited for; one that comes after sees no LISTENED and leaves the
//!   item alone. Visitors who came in vain are waited for too, which is harmless.
//! - An *add* claims a slot that is not CLAIMED, which its last user gave up after that wait, writes the item, and sets
//!   LISTENED. A walk that still visits from before has seen no LISTENED.
//!
//! Why the wait ends: a walk makes a bounded number of steps, waits for nobody, and runs in a handler that blocks all
//! signals (but faults, of which it makes none). If the signal hit the thread that removes, the walk is over before that
//! thread goes on. To one that was preempted inside its walk the wait leaves the processor: by yielding, and then by
//! sleeping, as a yield leaves nothing to a lower priority. How long that takes is up to the scheduler: a real-time thread
//! that removes waits for all that run before the walk's. The child of a fork may have inherited a visitor whose thread it
//! does not have: it never removes from its parent's list.
//!
//! The idea is the use count of signal-hook's `half_lock`, and hazard pointers' reuse of records (M. M. Michael, 2004).

use std::ptr::{self, NonNull};

use crate::sync::{
    atomic::{AtomicPtr, AtomicUsize, Ordering},
    hint,
};

/// Somebody owns the slot. Set by `add`, cleared by `remove` when no visitor is left.
const CLAIMED: usize = 1;
/// The slot's item may be visited. Set by `add` once the item is in, cleared first by `remove`.
const LISTENED: usize = 1 << 1;
const VISITOR: usize = 1 << 2;

#[derive(Debug)]
pub(crate) struct Slots<T> {
    head: AtomicPtr<Slot<T>>,
}

#[derive(Debug)]
pub(crate) struct Slot<T> {
    word: AtomicUsize,
    /// Written by who claimed the slot, while it is not LISTENED.
    item: AtomicPtr<T>,
    /// Never changes once the slot is in the list.
    next: *mut Slot<T>,
}

// SAFETY: `next` never changes, and the item is only shared, by threads that a T may be shared with.
#[allow(unsafe_code)]
unsafe impl<T: Sync> Sync for Slot<T> {}
// SAFETY: a slot owns nothing but its memory.
#[allow(unsafe_code)]
unsafe impl<T: Sync> Send for Slot<T> {}

#[allow(unsafe_code)]
impl<T: Sync> Slots<T> {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    fn head(&self) -> Option<&Slot<T>> {
        // SAFETY: slots live as long as the list. Acquire: pairs with `grow`.
        unsafe { self.head.load(Ordering::Acquire).as_ref() }
    }

    /// Calls `visit` with each item. Async-signal-safe if that is.
    pub(crate) fn walk(&self, mut visit: impl FnMut(&T)) {
        let mut at = self.head();
        while let Some(slot) = at {
            // Acquire: pairs with the Release by which `add` has set LISTENED.
            let word = slot.word.fetch_add(VISITOR, Ordering::Acquire);
            if word & LISTENED != 0 {
                let item = slot.item.load(Ordering::Relaxed);
                // SAFETY: LISTENED, so `add` put it in, and `remove` waits for this visitor.
                visit(unsafe { &*item });
            }
            // Release: pairs with the Acquire of `remove`, after which the item may be freed.
            slot.word.fetch_sub(VISITOR, Ordering::Release);
            at = slot.next();
        }
    }

    /// Lets walks see `item` from now on.
    ///
    /// # Safety
    ///
    /// The item stays where it is until a [`Slots::remove`] of the slot returned here has returned.
    pub(crate) unsafe fn add(&self, item: NonNull<T>) -> &Slot<T> {
        let slot = self.claim();
        slot.item.store(item.as_ptr(), Ordering::Relaxed);
        // Release: publishes the item to `walk`.
        slot.word.fetch_or(LISTENED, Ordering::Release);
        slot
    }

    /// Returns once no walk visits the item of `slot` any more, nor will.
    pub(crate) fn remove(&self, slot: &Slot<T>) {
        let mut word = slot.word.fetch_and(!LISTENED, Ordering::Relaxed) & !LISTENED;
        let mut spins = 0;
        while word >= VISITOR {
            hint::spin(&mut spins);
            word = slot.word.load(Ordering::Relaxed);
        }
        // Acquire: pairs with the visitors' Release: this reads what their subtractions left, or additions after those,
        // which continue them. Release: to who claims it next.
        slot.word.fetch_and(!CLAIMED, Ordering::AcqRel);
    }

    /// A slot that nobody owns, or a new one if each was owned when it was looked at.
    ///
    /// It looks by read-modify-writes, which never see an old value, as a load may: slots are never freed, so one too many
    /// is one for ever.
    fn claim(&self) -> &Slot<T> {
        let mut looked_at = ptr::null_mut();
        loop {
            // Acquire: pairs with `grow`.
            let head = self.head.load(Ordering::Acquire);
            // SAFETY: slots live as long as the list.
            let mut at = unsafe { head.as_ref() };
            while let Some(slot) = at.filter(|slot| !ptr::eq(*slot, looked_at)) {
                // Acquire: pairs with `remove`. It leaves a slot that is claimed as it was.
                if slot.word.fetch_or(CLAIMED, Ordering::Acquire) & CLAIMED == 0 {
                    return slot;
                }
                at = slot.next();
            }
            if let Some(slot) = self.grow(head) {
                return slot;
            }
            looked_at = head;
        }
    }

    /// A new slot at the head of the list, claimed; none if `head` is not the head any more.
    fn grow(&self, head: *mut Slot<T>) -> Option<&Slot<T>> {
        let slot = Box::into_raw(Box::new(Slot {
            word: AtomicUsize::new(CLAIMED),
            item: AtomicPtr::new(ptr::null_mut()),
            next: head,
        }));
        // Release: publishes the slot to `head`.
        match self.head.compare_exchange(head, slot, Ordering::Release, Ordering::Relaxed) {
            // SAFETY: slots live as long as the list.
            Ok(_) => Some(unsafe { &*slot }),
            Err(_) => {
                // SAFETY: made above, and in no list.
                drop(unsafe { Box::from_raw(slot) });
                None
            }
        }
    }
}

#[allow(unsafe_code)]
impl<T> Slot<T> {
    fn next(&self) -> Option<&Self> {
        // SAFETY: slots live as long as their list, which whoever has `self` has borrowed.
        unsafe { self.next.as_ref() }
    }
}

#[allow(unsafe_code)]
impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        let mut at = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        while !at.is_null() {
            // SAFETY: made by `grow` from a box; nobody walks any more, as `self` is borrowed for good.
            let slot = unsafe { Box::from_raw(at) };
            at = slot.next;
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    use super::*;
    use crate::testing::rounds;

    fn seen(slots: &Slots<u32>) -> Vec<u32> {
        let mut seen = Vec::new();
        slots.walk(|item| seen.push(*item));
        seen.sort_unstable();
        seen
    }

    fn count(slots: &Slots<u32>) -> usize {
        let (mut at, mut count) = (slots.head(), 0);
        while let Some(slot) = at {
            (at, count) = (slot.next(), count + 1);
        }
        count
    }

    #[test]
    fn a_walk_sees_what_is_in_and_slots_are_used_again() {
        let slots = Slots::new();
        assert!(seen(&slots).is_empty());
        let items = [1, 2, 3];
        for _ in 0..5 {
            // SAFETY: `items` outlives all slots.
            let added = items.each_ref().map(|item| unsafe { slots.add(NonNull::from(item)) });
            assert_eq!(seen(&slots), items);
            slots.remove(added[1]);
            assert_eq!(seen(&slots), [1, 3]);
            slots.remove(added[0]);
            slots.remove(added[2]);
            assert!(seen(&slots).is_empty());
        }
        assert_eq!(count(&slots), 3);
    }

    #[test]
    fn a_walk_inside_a_walk_sees_the_same() {
        let slots = Slots::new();
        // SAFETY: a static.
        let slot = unsafe { slots.add(NonNull::from(&7)) };
        slots.walk(|_| assert_eq!(seen(&slots), [7]));
        slots.remove(slot);
        assert_eq!(slot.word.load(SeqCst), 0);
    }

    /// Two walk while two add and remove: a visited item is never one that was removed.
    #[test]
    fn nothing_removed_is_visited() {
        let slots = Slots::<Box<AtomicBool>>::new();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let walkers = [(); 2].map(|()| {
                scope.spawn(|| {
                    while !done.load(SeqCst) {
                        slots.walk(|alive| assert!(alive.load(SeqCst)));
                    }
                })
            });
            let changers = [(); 2].map(|()| {
                scope.spawn(|| {
                    for _ in 0..rounds(20_000, 50) {
                        let item = Arc::new(Box::new(AtomicBool::new(true)));
                        // SAFETY: `item` is dropped after the remove.
                        let slot = unsafe { slots.add(NonNull::from(&*item)) };
                        slots.remove(slot);
                        item.store(false, SeqCst);
                    }
                })
            });
            for changer in changers {
                changer.join().unwrap();
            }
            done.store(true, SeqCst);
            for walker in walkers {
                walker.join().unwrap();
            }
        });
        let (mut at, mut slots_made) = (slots.head(), 0);
        while let Some(slot) = at {
            (at, slots_made) = (slot.next(), slots_made + 1);
        }
        assert!(slots_made <= 2);
    }
}
