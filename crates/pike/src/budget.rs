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
    cx.waker().wake_by_ref();
    false
}

/// What was taken was no success.
#[inline]
pub(crate) fn give_back() {
    LEFT.set(LEFT.get().wrapping_add(1));
}
