//! Spawning from inside a pool.

#![allow(unsafe_code)]

use std::{future::Future, sync::Arc};

use crate::{
    JoinHandle, current,
    home::Home,
    task::{self, Membership},
};

/// Spawns a task on the pool that the calling thread is in.
///
/// The task runs beside its spawner: with one worker first when the latter has given way, with several perhaps before that, on
/// another thread. It ends with its future, by [`JoinHandle::abort`], or with the pool; dropping the handle detaches it.
///
/// In a pool that is being shut down the future is dropped at once, and the handle gives an error that
/// [`is_shutdown`](crate::JoinError::is_shutdown).
///
/// # Panics
///
/// On a thread that is in no pool. From such a thread, use [`Pool::spawn`](crate::Pool::spawn).
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let tasks: Vec<_> = (0..10).map(|n| pike_sched::spawn(async move { n * n })).collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await?;
///     }
///     assert_eq!(sum, 285);
///     Ok(())
/// })
/// # }
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_to(pool_home("spawn"), future)
}

/// Spawns a task on the calling thread, for futures that are not `Send`.
///
/// The task never leaves the thread, and ends with the [`Pool::run`](crate::Pool::run) or
/// [`Pool::block_on`](crate::Pool::block_on) that the thread is in: when that returns, the task is cancelled. On a thread of the
/// pool's own it ends with the pool. Everything else is as with [`spawn`].
///
/// # Panics
///
/// On a thread that is in no pool.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let shared = Rc::new(7);
///     let task = pike_sched::spawn_local({ let shared = shared.clone(); async move { *shared } });
///     assert_eq!(task.await?, *shared);
///     Ok(())
/// })
/// # }
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let Some(home) = current::with(|worker| worker.map(|worker| Arc::clone(worker.local()))) else {
        outside("spawn_local");
    };
    // SAFETY: the home is that of the calling thread's worker.
    let (runnable, handle) = unsafe { task::create(home, future, ()) };
    task::launch(runnable);
    handle
}

/// Spawns a task to a pool.
pub(crate) fn spawn_to<F>(home: Arc<Home>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (runnable, handle) = create(home, future, ());
    task::launch(runnable);
    handle
}

/// As [`task::create`], for a future that any thread may use.
pub(crate) fn create<F, M>(
    home: Arc<Home>,
    future: F,
    membership: M,
) -> (task::Runnable, JoinHandle<F::Output>)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
    M: Membership + Send + 'static,
{
    // SAFETY: both are Send.
    unsafe { task::create(home, future, membership) }
}

/// The home of the pool that the calling thread is in.
#[track_caller]
pub(crate) fn pool_home(function: &str) -> Arc<Home> {
    match current::with(|worker| worker.map(|worker| Arc::clone(worker.pool_home()))) {
        Some(home) => home,
        None => outside(function),
    }
}

#[cold]
#[track_caller]
fn outside(function: &str) -> ! {
    panic!(
        "{function} was called outside of a pool: it must be called in Pool::run or Pool::block_on, or in a task"
    )
}
