//! Giving way.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Lets other tasks that are ready run before the caller goes on.
///
/// With one worker that is every task that is ready on its thread. With several it is those that wait there before the caller,
/// or sixteen of them if that is a main future; what other workers have, or other threads have just spawned, may come later.
///
/// It wakes its own task and is pending once, so it works under any executor. In a pool it allocates nothing,
/// and sockets are looked at after 16 to 64 runs of tasks, or once each task that was ready has run.
///
/// # Cancel safety
///
/// Dropping it leaves a wake behind that does nothing.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let task = pike_sched::spawn(async {});
///     pike_sched::yield_now().await;
///     assert!(task.is_finished());
/// });
/// # Ok(()) }
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
