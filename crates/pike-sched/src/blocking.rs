//! Work that blocks, away from the workers.

use crate::{JoinHandle, Pool, spawn};

/// Runs a closure on a thread where it may block, for a task of the pool that the calling thread is in.
///
/// The threads are those of the crate `blocking`, up to some hundreds for the whole process (`BLOCKING_MAX_THREADS`), and
/// start and end as they are needed. A panic of the closure is reported through the handle, as that of a task.
///
/// Aborting it, or the end of the pool, drops a closure that has not begun. One that has goes on, and its result is dropped.
///
/// # Panics
///
/// On a thread that is in no pool. From such a thread, use [`Pool::spawn_blocking`].
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let contents = pike_sched::spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await??;
///     assert!(contents.contains("pike"));
///     Ok(())
/// })
/// # }
/// ```
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn(blocking::unblock(work))
}

impl Pool {
    /// As [`spawn_blocking`], from any thread.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn(blocking::unblock(work))
    }
}
