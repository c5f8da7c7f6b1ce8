//! What the unit tests share: wakers that tell, and numbers that look random and are the same every time.
#![allow(unsafe_code)]

use std::{
    sync::{Arc, Mutex},
    task::{RawWaker, RawWakerVTable, Wake, Waker},
};

/// Marsaglia's xorshift (2003), 64 bits.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit
    }
}

/// How often to do something: few times under Miri, which is slow.
pub(crate) fn rounds(usually: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { usually }
}

/// Notes who was woken, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<usize>>>);

struct Named(Log, usize);

impl Wake for Named {
    fn wake(self: Arc<Self>) {
        self.0.0.lock().unwrap().push(self.1);
    }
}

impl Log {
    pub(crate) fn waker(&self, name: usize) -> Waker {
        Arc::new(Named(self.clone(), name)).into()
    }

    /// Who was woken since the last call.
    pub(crate) fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

type Check = Arc<dyn Fn() + Send + Sync>;

/// A waker that calls `check` at each clone, wake and drop of it: what a task's waker may do at all of these is
/// anything, so no lock may be held then (I6).
pub(crate) fn spy(check: impl Fn() + Send + Sync + 'static) -> Waker {
    let check: Check = Arc::new(check);
    // SAFETY: the table's functions keep to the contract of RawWaker, over one box a waker.
    unsafe { Waker::from_raw(raw(check)) }
}

static TABLE: RawWakerVTable = RawWakerVTable::new(
    // SAFETY: the pointer is that of a live waker's box, here and below.
    |at| raw(unsafe { called(at) }.clone()),
    // SAFETY: as above; the waker is used up.
    |at| unsafe { drop_raw(at) },
    // SAFETY: as above.
    |at| _ = unsafe { called(at) },
    // SAFETY: as above; the waker is used up.
    |at| unsafe { drop_raw(at) },
);

fn raw(check: Check) -> RawWaker {
    RawWaker::new(Box::into_raw(Box::new(check)).cast_const().cast(), &TABLE)
}

/// # Safety
///
/// `at` is the pointer of a live waker.
unsafe fn called<'a>(at: *const ()) -> &'a Check {
    // SAFETY: made by `raw`.
    let check = unsafe { &*at.cast::<Check>() };
    check();
    check
}

/// # Safety
///
/// `at` is the pointer of a live waker, which ends here.
unsafe fn drop_raw(at: *const ()) {
    // SAFETY: by the caller's promise.
    unsafe { called(at) };
    // SAFETY: made by `raw`, and used up once.
    drop(unsafe { Box::from_raw(at.cast_mut().cast::<Check>()) });
}
