//! The worker that the calling thread is, if it is one.
//!
//! This is read at every wake, so it is one thread-local word: no lazy start, no destructor, and with that
//! also readable by a waker that is woken in another thread-local's destructor.

#![allow(unsafe_code)]

use std::{cell::Cell, marker::PhantomData, ptr};

use crate::{home::Home, worker::Worker};

thread_local! {
    /// Null, or the worker that the innermost [`Entered`] of this thread borrows.
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

/// Makes a worker the thread's current one until it is dropped.
///
/// It is only ever a local variable, of the functions that drive or end a pool: so it is dropped, and in the
/// reverse of the order in which they were made.
pub(crate) struct Entered<'a> {
    before: *const Worker,
    _worker: PhantomData<&'a Worker>,
}

impl<'a> Entered<'a> {
    pub(crate) fn new(worker: &'a Worker) -> Self {
        Self { before: CURRENT.replace(worker), _worker: PhantomData }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Calls `f` with the thread's worker.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    // SAFETY: CURRENT is null or was set by an Entered, which borrows the worker and takes the pointer out
    // again when it is dropped; `f` returns before its caller, which runs inside of the Entered, can.
    f(unsafe { CURRENT.get().as_ref() })
}

/// Whether `home` is one of this thread alone, which is in it.
#[inline]
pub(crate) fn is_home(home: *const Home) -> bool {
    with(|worker| worker.is_some_and(|worker| worker.is_own_home(home)))
}

/// Whether the thread is a worker, of any pool.
pub(crate) fn is_worker() -> bool {
    with(|worker| worker.is_some())
}
