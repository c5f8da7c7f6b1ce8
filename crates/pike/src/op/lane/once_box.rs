//! A box that is made when it is needed for the first time, and kept: one word, where a `OnceLock` of a box takes two.
#![allow(unsafe_code)]

use std::{marker::PhantomData, ptr};

use crate::sync::atomic::{AtomicPtr, Ordering};

/// Null, or from a box that is freed with this.
pub(super) struct OnceBox<T> {
    at: AtomicPtr<T>,
    _owns: PhantomData<Box<T>>,
}

impl<T> OnceBox<T> {
    pub(super) fn new() -> Self {
        Self { at: AtomicPtr::new(ptr::null_mut()), _owns: PhantomData }
    }

    #[inline]
    pub(super) fn get(&self) -> Option<&T> {
        // Acquire: pairs with `make`.
        // SAFETY: null, or of a box that stays as long as `self`.
        unsafe { self.at.load(Ordering::Acquire).as_ref() }
    }

    #[inline]
    pub(super) fn get_or_init(&self, new: impl FnOnce() -> T) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.make(Box::new(new())),
        }
    }

    /// Whoever comes first makes it; what the other made is dropped.
    #[cold]
    fn make(&self, value: Box<T>) -> &T {
        let made = Box::into_raw(value);
        // Release: publishes what is in the box. Acquire: another's is looked at.
        let at = match self.at.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => made,
            Err(before) => {
                // SAFETY: from a box just now, and nobody else has it.
                drop(unsafe { Box::from_raw(made) });
                before
            }
        };
        // SAFETY: of a box that stays as long as `self`.
        unsafe { &*at }
    }

    pub(super) fn get_mut(&mut self) -> Option<&mut T> {
        // SAFETY: null, or of a box that is ours alone while `self` is borrowed exclusively.
        unsafe { self.at.load(Ordering::Acquire).as_mut() }
    }
}

impl<T> Drop for OnceBox<T> {
    fn drop(&mut self) {
        let at = self.at.load(Ordering::Acquire);
        if !at.is_null() {
            // SAFETY: from a box, and given up once.
            drop(unsafe { Box::from_raw(at) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn one_is_made_and_all_have_it() {
        let (count, place) = (Arc::new(()), OnceBox::new());
        assert!(place.get().is_none());
        let at = thread::scope(|scope| {
            let make = || ptr::from_ref(place.get_or_init(|| count.clone())).addr();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(at.iter().all(|one| *one == at[0]));
        assert_eq!(Arc::strong_count(&count), 2, "the others were dropped");
        drop(place);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
