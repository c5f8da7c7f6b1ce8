//! The handle of a task.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use crate::{JoinError, task::Task};

/// A task that was spawned: a future of its result.
///
/// Awaiting it gives what the task's future returned, or the [`JoinError`] that says why it returned nothing.
/// Any executor may await it, on any thread.
///
/// Dropping it detaches the task, which goes on. To end the task, [`abort`](Self::abort) it.
///
/// # Panics
///
/// When it is polled after it was ready.
///
/// If the waker that it is awaited with panics where the task wakes it, or it is cloned or dropped, the process is aborted: that
/// is inside of the task, where nothing can contain it. Wakers of pike never panic.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` and dropping that future loses nothing.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let sum = pike_sched::spawn(async { 1 + 2 }).await?;
///     assert_eq!(sum, 3);
///     Ok(())
/// })
/// # }
/// ```
pub struct JoinHandle<T> {
    /// None once the result was taken.
    task: Option<Task<T>>,
    /// Of the task.
    waker: Waker,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(task: Task<T>, waker: Waker) -> Self {
        Self { task: Some(task), waker }
    }

    /// Cancels the task: its future is dropped, by its worker, the next time it would have been polled, and
    /// the handle gives a [`JoinError`].
    ///
    /// It does not wait for that; awaiting the handle does. A task that has finished, or finishes first,
    /// keeps its result. A poll that is under way is not interrupted.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// pike_sched::Pool::new()?.run(async {
    ///     let task = pike_sched::spawn(std::future::pending::<()>());
    ///     task.abort();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// # Ok(()) }
    /// ```
    pub fn abort(&self) {
        if let Some(task) = &self.task {
            task.metadata().abort();
            self.waker.wake_by_ref();
        }
    }

    /// Whether the task has ended, so that awaiting the handle does not wait.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// pike_sched::Pool::new()?.run(async {
    ///     let task = pike_sched::spawn(async {});
    ///     assert!(!task.is_finished());
    ///     pike_sched::yield_now().await;
    ///     assert!(task.is_finished());
    /// });
    /// # Ok(()) }
    /// ```
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(Task::is_finished)
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.as_mut().expect("a JoinHandle was polled after it was ready");
        let output = ready!(Pin::new(task).poll(cx));
        if let Some(task) = self.task.take() {
            task.detach();
        }
        Poll::Ready(output.into_result())
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<pike_sched::JoinHandle<std::rc::Rc<u8>>>();
/// ```
#[cfg(doctest)]
struct NotSendIfItsOutputIsNot;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    #[test]
    fn auto_traits() {
        fn send<T: Send + 'static>() {}
        fn sync_unpin_debug<T: Sync + Unpin + fmt::Debug>() {}
        send::<JoinHandle<Cell<u8>>>();
        sync_unpin_debug::<JoinHandle<Cell<u8>>>();
        sync_unpin_debug::<JoinHandle<Rc<u8>>>();
    }
}
