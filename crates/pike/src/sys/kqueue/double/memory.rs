//! Where the double keeps its knotes of files: not on the program's heap, since a kernel does not either, and tests count it.

use std::{
    ops::{Deref, DerefMut},
    ptr,
};

/// A list that grows, in memory of the C library's. Of values that need no drop.
pub(super) struct Outside<T> {
    first: *mut T,
    len: usize,
}

// SAFETY: owns its values, and its memory belongs to no thread.
unsafe impl<T: Send> Send for Outside<T> {}

impl<T> Outside<T> {
    pub(super) const fn new() -> Self {
        const { assert!(!std::mem::needs_drop::<T>() && align_of::<T>() <= 16) };
        Self { first: ptr::null_mut(), len: 0 }
    }

    /// Has at least `len` values from now on, the new ones made by `make`.
    pub(super) fn grow(&mut self, len: usize, make: impl Fn() -> T) {
        if len <= self.len {
            return;
        }
        let len = len.next_power_of_two();
        let bytes = len.checked_mul(size_of::<T>()).expect("less than the address space");
        // SAFETY: null, or memory of the same allocator that nobody else refers to.
        let first = unsafe { libc::realloc(self.first.cast(), bytes) }.cast::<T>();
        assert!(!first.is_null(), "no memory for {len} numbers");
        self.first = first;
        for at in self.len..len {
            // SAFETY: within the room for `len` values.
            unsafe { first.add(at).write(make()) };
        }
        self.len = len;
    }
}

impl<T> Deref for Outside<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self.len {
            0 => &[],
            // SAFETY: that many were written.
            len => unsafe { std::slice::from_raw_parts(self.first, len) },
        }
    }
}

impl<T> DerefMut for Outside<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self.len {
            0 => &mut [],
            // SAFETY: that many were written, and `self` is borrowed alone.
            len => unsafe { std::slice::from_raw_parts_mut(self.first, len) },
        }
    }
}

impl<T> Drop for Outside<T> {
    fn drop(&mut self) {
        // SAFETY: null, or ours; the values need no drop.
        unsafe { libc::free(self.first.cast()) };
    }
}
