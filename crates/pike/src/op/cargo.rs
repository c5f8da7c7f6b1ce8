//! A place for a buffer of any type, which stays there while the kernel has it. Used again and again: a buffer that is a
//! pointer and some lengths, as nearly all are, costs no allocation.
#![allow(unsafe_code)]

use std::{mem::MaybeUninit, ptr::NonNull};

use crate::sync::UnsafeCell;

/// What fits without a box.
const WORDS: usize = 6;

type Place = MaybeUninit<[usize; WORDS]>;
type DropIn = unsafe fn(NonNull<Place>);

#[derive(Debug)]
pub(super) struct Cargo {
    place: UnsafeCell<Place>,
    /// Drops what is in the place; none while it is empty.
    drop: UnsafeCell<Option<DropIn>>,
}

// SAFETY: what is put in is Send, and reached by the one who owns the operation at that moment.
unsafe impl Send for Cargo {}
// SAFETY: as for Send.
unsafe impl Sync for Cargo {}

const fn fits<B>() -> bool {
    size_of::<B>() <= size_of::<Place>() && align_of::<B>() <= align_of::<Place>()
}

/// Where the buffer itself is.
///
/// # Safety
///
/// A `B` was put in this place.
unsafe fn buffer<B>(place: NonNull<Place>) -> NonNull<B> {
    if fits::<B>() {
        return place.cast();
    }
    // SAFETY: what does not fit is in a box, whose pointer was put in the place.
    unsafe { place.cast::<NonNull<B>>().read() }
}

impl Cargo {
    pub(super) fn new() -> Self {
        Self { place: UnsafeCell::new(MaybeUninit::uninit()), drop: UnsafeCell::new(None) }
    }

    fn place(&self) -> NonNull<Place> {
        self.place.with_mut(|place| {
            // SAFETY: a cell's content is never at null.
            unsafe { NonNull::new_unchecked(place) }
        })
    }

    pub(super) fn is_full(&mut self) -> bool {
        // SAFETY: borrowed exclusively.
        self.drop.with_mut(|drop| unsafe { (*drop).is_some() })
    }

    /// Puts a buffer in, and shows where it is from now on.
    ///
    /// # Safety
    ///
    /// It is empty, and the caller owns it.
    pub(super) unsafe fn put<B: 'static>(&self, value: B) -> NonNull<B> {
        let place = self.place();
        if fits::<B>() {
            // SAFETY: large and aligned enough, and empty.
            unsafe { place.cast().write(value) };
        } else {
            let boxed = NonNull::from(Box::leak(Box::new(value)));
            // SAFETY: as above, for a pointer.
            unsafe { place.cast().write(boxed) };
        }
        // SAFETY: the caller owns it.
        self.drop.with_mut(|drop| unsafe { *drop = Some(drop_in::<B>) });
        // SAFETY: just put in.
        unsafe { buffer(place) }
    }

    /// Takes the buffer out.
    ///
    /// # Safety
    ///
    /// A `B` was put in, and the caller owns it.
    pub(super) unsafe fn take<B: 'static>(&self) -> B {
        // SAFETY: the caller owns it.
        self.drop.with_mut(|drop| unsafe { *drop = None });
        // SAFETY: by the caller's promise.
        let at = unsafe { buffer::<B>(self.place()) };
        match fits::<B>() {
            // SAFETY: read once, since it counts as empty now.
            true => unsafe { at.read() },
            // SAFETY: from a box, and given up once, as above.
            false => *unsafe { Box::from_raw(at.as_ptr()) },
        }
    }

    /// Drops the buffer.
    ///
    /// # Safety
    ///
    /// The caller owns it.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: the caller owns it.
        let drop = self.drop.with_mut(|drop| unsafe { (*drop).take() });
        if let Some(drop) = drop {
            // SAFETY: what is in the place is of the type that this function was made for, and counts as gone.
            unsafe { drop(self.place()) };
        }
    }
}

/// # Safety
///
/// A `B` is in the place, and is looked at no more.
unsafe fn drop_in<B>(place: NonNull<Place>) {
    // SAFETY: by the caller's promise.
    let at = unsafe { buffer::<B>(place) };
    match fits::<B>() {
        // SAFETY: as above.
        true => unsafe { at.drop_in_place() },
        // SAFETY: from a box.
        false => drop(unsafe { Box::from_raw(at.as_ptr()) }),
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more.
        unsafe { self.clear() };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_was_put_in_comes_out_or_is_dropped() {
        let cargo = Cargo::new();
        let count = Arc::new(());
        // SAFETY: empty, and this test's own; as below.
        let at = unsafe { cargo.put(vec![count.clone(); 3]) };
        // SAFETY: it is there.
        assert_eq!(unsafe { at.as_ref() }.len(), 3);
        // SAFETY: a Vec of these was put in.
        assert_eq!(unsafe { cargo.take::<Vec<Arc<()>>>() }.len(), 3);
        assert_eq!(Arc::strong_count(&count), 1);
        // SAFETY: empty again.
        unsafe { cargo.put((count.clone(), [0_u64; 100])) };
        assert_eq!(Arc::strong_count(&count), 2);
        // SAFETY: as above.
        unsafe { cargo.clear() };
        assert_eq!(Arc::strong_count(&count), 1);
        // SAFETY: as above.
        unsafe { cargo.put((count.clone(), [7_u64; 100])) };
        // SAFETY: as above.
        let (_, numbers) = unsafe { cargo.take::<(Arc<()>, [u64; 100])>() };
        assert_eq!(numbers, [7; 100]);
        // SAFETY: as above.
        unsafe { cargo.put(count.clone()) };
        drop(cargo);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
