//! Counts what is allocated: a global allocator for the test binaries that want to know.
//!
//! It counts a thread's own operations, so that a case which does everything on its thread is not disturbed by others,
//! and the live bytes of the whole process.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicIsize, Ordering},
};

/// The system's allocator, with counters.
#[derive(Debug)]
pub struct Counting;

static INSTALLED: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    // Const and without a destructor: reading it never allocates, and works until the thread is gone.
    static HERE: Cell<Count> = const { Cell::new(Count { allocations: 0, live: 0 }) };
}

/// What a thread has done until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Allocations and growths.
    pub allocations: u64,
    /// Bytes allocated and not freed by this thread; negative if it frees what others allocated.
    pub live: isize,
}

impl std::ops::Sub for Count {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { allocations: self.allocations - earlier.allocations, live: self.live - earlier.live }
    }
}

fn note(allocations: u64, bytes: isize) {
    LIVE.fetch_add(bytes, Ordering::Relaxed);
    let _ = HERE.try_with(|here| {
        let Count { allocations: before, live } = here.get();
        here.set(Count { allocations: before + allocations, live: live + bytes });
    });
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !INSTALLED.load(Ordering::Relaxed) {
            INSTALLED.store(true, Ordering::Relaxed);
        }
        note(1, layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        note(0, -(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as isize - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// What the calling thread has done until now. None if this binary's allocator does not count.
pub fn here() -> Option<Count> {
    INSTALLED.load(Ordering::Relaxed).then(|| HERE.get())
}

/// The live bytes of the process. None if this binary's allocator does not count.
pub fn live() -> Option<isize> {
    INSTALLED.load(Ordering::Relaxed).then(|| LIVE.load(Ordering::Relaxed))
}
