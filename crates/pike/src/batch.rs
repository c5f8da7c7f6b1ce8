//! What a turn hands to a scheduler: everything that became runnable, at once.

use std::{cell::Cell, fmt, task::Waker};

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
    /// Once it is closed, the last reported first: so the first is taken off the end.
    wakers: Vec<Waker>,
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
        Self { wakers: SPARE.try_with(Cell::take).unwrap_or_default() }
    }

    /// Where wakers are collected, until it is closed.
    #[inline]
    pub(crate) fn list(&mut self) -> &mut Vec<Waker> {
        &mut self.wakers
    }

    /// All are collected: the first reported comes out first from now on.
    #[inline]
    pub(crate) fn close(&mut self) {
        self.wakers.reverse();
    }
}

impl Iterator for Batch {
    type Item = Waker;

    #[inline]
    fn next(&mut self) -> Option<Waker> {
        self.wakers.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.wakers.len(), Some(self.wakers.len()))
    }
}

impl ExactSizeIterator for Batch {}

impl Drop for Batch {
    #[inline]
    fn drop(&mut self) {
        while let Some(waker) = self.wakers.pop() {
            waker.wake();
        }
        let spare = std::mem::take(&mut self.wakers);
        // A thread that is going away keeps nothing.
        let _ = SPARE.try_with(|cell| cell.set(spare));
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("len", &self.wakers.len()).finish()
    }
}
