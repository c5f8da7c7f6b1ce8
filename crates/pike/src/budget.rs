//! The fairness budget: how much one task may do without giving way.
//!
//! An operation that succeeds at once never suspends, so a task with an endless supply of ready operations would keep
//! its thread for ever. After 32 such successes on a thread since its last turn (or [`reset`]), an operation wakes its
//! own task and returns `Pending` *before* its system call: nothing is lost, others get their turn, and it goes on
//! when its task is polled again. It works under every executor, with nothing to set up.

use std::{cell::Cell, task::Context};

/// Inline successes in a row.
const INLINE_MAX: u32 = 32;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(INLINE_MAX) };
    /// How often an operation gave way on this thread.
    static GAVE_WAY: Cell<u64> = const { Cell::new(0) };
}

/// Gives the calling thread a full budget: for executors, before each poll of a task.
///
/// A turn of a Notifier does it too, as does giving way. Without any call the budget is only coarser: tasks of one
/// thread share it.
///
/// # Examples
///
/// ```
/// pike::budget::reset(); // and then poll the next task
/// ```
#[inline]
pub fn reset() {
    LEFT.set(INLINE_MAX);
}

/// Takes one inline success out of the budget. False if it is used up: the task was woken, and the caller returns
/// `Pending`.
#[inline]
pub(crate) fn take(cx: &mut Context<'_>) -> bool {
    let (left, is_used_up) = LEFT.get().overflowing_sub(1);
    LEFT.set(left);
    !is_used_up || give_way(cx)
}

#[cold]
fn give_way(cx: &mut Context<'_>) -> bool {
    reset();
    GAVE_WAY.set(GAVE_WAY.get() + 1);
    cx.waker().wake_by_ref();
    false
}

/// Whether an operation inside of `poll` gave way, and so said nothing about whether it is ready.
pub(crate) fn gave_way<R>(poll: impl FnOnce() -> R) -> (R, bool) {
    let before = GAVE_WAY.get();
    let result = poll();
    (result, GAVE_WAY.get() != before)
}

/// What was taken was no success.
#[inline]
pub(crate) fn give_back() {
    LEFT.set(LEFT.get().wrapping_add(1));
}
