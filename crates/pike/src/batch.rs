//! What a turn hands to a scheduler: everything that became runnable, at once.

use std::{
    cell::Cell,
    fmt, mem,
    panic::{self, AssertUnwindSafe},
    task::Waker,
};

use crate::sync::thread;

/// The wakers of one turn, first reported first.
///
/// A [`Dispatch`] takes what it wants out of it; what it leaves is woken when the batch is dropped, so no wake is lost
/// if a dispatcher stops early or panics.
///
/// # Examples
///
/// ```
/// fn wake_all(batch: &mut pike::Batch) {
///     for waker in batch {
///         waker.wake();
///     }
/// }
/// ```
pub struct Batch {
    wakers: Vec<Waker>,
    /// How many have been taken: those before this are gone, though the vector does not know it.
    taken: usize,
}

/// Receives the [`Batch`] of each turn that made something runnable.
///
/// It runs on the thread that turned, after the seat was left and with no lock held; it may use the Notifier, but a
/// nested `poll` fails. A closure of the same shape is a `Dispatch`.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let notifier = pike::Notifier::builder()
///     .dispatch(|batch: &mut pike::Batch| batch.for_each(|waker| waker.wake()))
///     .build()?;
/// # drop(notifier); Ok(()) }
/// ```
pub trait Dispatch: Send + Sync + 'static {
    /// Wakes the batch's wakers, or hands them on to be woken.
    fn dispatch(&self, batch: &mut Batch);
}

impl<F: Fn(&mut Batch) + Send + Sync + 'static> Dispatch for F {
    fn dispatch(&self, batch: &mut Batch) {
        self(batch);
    }
}

thread_local! {
    /// The empty list of this thread's last batch, kept for its memory.
    static SPARE: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
}

impl Batch {
    /// An empty batch, on memory that the thread's last one left behind.
    #[inline]
    pub(crate) fn new() -> Self {
        Self { wakers: SPARE.try_with(Cell::take).unwrap_or_default(), taken: 0 }
    }

    /// Where wakers are collected, before the first is taken.
    #[inline]
    pub(crate) fn list(&mut self) -> &mut Vec<Waker> {
        debug_assert_eq!(self.taken, 0);
        &mut self.wakers
    }
}

impl Iterator for Batch {
    type Item = Waker;

    #[inline]
    fn next(&mut self) -> Option<Waker> {
        let waker: *const Waker = self.wakers.get(self.taken)?;
        self.taken += 1;
        // SAFETY: each is read once, since `taken` has moved on; drop forgets those before it.
        #[allow(unsafe_code)]
        Some(unsafe { waker.read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.wakers.len() - self.taken;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batch {}

impl Drop for Batch {
    #[inline]
    fn drop(&mut self) {
        if self.taken < self.wakers.len() {
            self.wake_rest();
        } else {
            self.keep_memory();
        }
    }
}

impl Batch {
    /// Wakes what a dispatcher left, or what a waker's panic kept from being woken. A panic of one waker does not keep
    /// the others from it, and goes on when all are done.
    #[cold]
    fn wake_rest(&mut self) {
        let mut first = None;
        for waker in self.by_ref() {
            if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                match first {
                    None => first = Some(payload),
                    Some(_) => mem::forget(payload), // which might panic when dropped
                }
            }
        }
        self.keep_memory();
        match first {
            Some(payload) if !thread::panicking() => panic::resume_unwind(payload),
            payload => mem::forget(payload),
        }
    }

    /// For the thread's next batch, once all have been taken.
    #[inline]
    fn keep_memory(&mut self) {
        let mut spare = mem::take(&mut self.wakers);
        // SAFETY: zero is within the capacity, and all that was in it has been taken.
        #[allow(unsafe_code)]
        unsafe {
            spare.set_len(0)
        };
        self.taken = 0;
        // A thread that is going away keeps nothing.
        let _ = SPARE.try_with(|cell| cell.set(spare));
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.len()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{panic, sync::Arc, task::Wake};

    use super::*;
    use crate::testing::Log;

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }

    fn batch(log: &Log, names: std::ops::Range<usize>) -> Batch {
        let mut batch = Batch::new();
        batch.list().extend(names.map(|name| log.waker(name)));
        batch
    }

    #[test]
    fn hands_out_its_wakers_in_order_and_wakes_the_rest() {
        let log = Log::default();
        let mut batch = batch(&log, 0..5);
        assert_eq!((batch.len(), batch.size_hint()), (5, (5, Some(5))));
        let kept = batch.next();
        batch.next().unwrap().wake();
        assert_eq!(log.take(), [1]);
        drop(batch);
        assert_eq!(log.take(), [2, 3, 4]);
        drop(kept);
        assert!(log.take().is_empty());
    }

    #[test]
    fn a_waker_that_panics_costs_no_other_its_wake() {
        let log = Log::default();
        let mut batch = batch(&log, 0..3);
        batch.list().insert(1, Arc::new(Panics).into());
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(batch)));
        assert!(result.is_err(), "the panic comes out");
        assert_eq!(log.take(), [0, 1, 2]);
    }

    #[test]
    fn a_dispatcher_that_panics_costs_nobody_a_wake() {
        let log = Log::default();
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let mut batch = batch(&log, 0..3);
            batch.next().unwrap().wake();
            panic!("a dispatcher that panics");
        }));
        assert!(result.is_err());
        assert_eq!(log.take(), [0, 1, 2]);
    }

    #[test]
    fn a_batch_inside_a_wake_is_one_of_its_own() {
        struct Nested(Log);
        impl Wake for Nested {
            fn wake(self: Arc<Self>) {
                let inner = batch(&self.0, 10..12);
                assert_eq!(inner.len(), 2);
            }
        }
        let log = Log::default();
        let mut outer = batch(&log, 0..2);
        outer.list().insert(1, Arc::new(Nested(log.clone())).into());
        drop(outer);
        assert_eq!(log.take(), [0, 10, 11, 1]);
    }

    #[test]
    fn the_next_batch_of_a_thread_allocates_nothing() {
        let log = Log::default();
        drop(batch(&log, 0..100));
        assert!(Batch::new().list().capacity() >= 100);
    }
}
