//! Timers: [`sleep`], [`timeout`], [`interval`], and deadlines for single operations with [`Deadline`].
//!
//! A timer belongs to a Notifier and fires in one of its turns: never early, and as late as the turn is. The kernel
//! sleeps with the clock's resolution where it can (Linux 5.11 and later, or a timer descriptor before that). A timer
//! lives inside its future: nothing is allocated, a million of them are fine, and cancelling one is cheap. When its
//! Notifier goes, a timer moves on to the one in the background.

mod deadline;
mod interval;
pub(crate) mod queue;
mod sleep;
mod timeout;
pub(crate) mod timers;

pub use deadline::{Deadline, WithDeadline};
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub(crate) use sleep::after;
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
