//! Tasks that belong together.
//!
//! A group counts its members and holds a waker of each. Aborting is an epoch: a member remembers the one in
//! which it was spawned, and a run in a later one cancels it. So a member costs its task three words, and a
//! run one comparison.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};

use crate::{
    JoinHandle, spawn,
    task::{self, Membership, discard},
    wakers::{NO_KEY, Wakers},
};

/// Tasks that are waited for, or aborted, together.
///
/// A clone is another handle on the same group. Dropping the group leaves its tasks alone.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let group = pike_sched::Group::new();
///     for _ in 0..10 {
///         group.spawn(pike_sched::yield_now());
///     }
///     assert_eq!(group.len(), 10);
///     group.wait().await;
///     assert!(group.is_empty());
/// });
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Group {
    shared: Arc<Shared>,
}

struct Shared {
    /// How often the group was aborted. Changed under the lock, before the members are woken.
    epoch: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// Of the members whose futures are alive. One that does nothing stands for a member that is about to be
    /// spawned, or was aborted.
    members: Wakers,
    /// Of the futures of `wait`.
    waiting: Wakers,
}

impl Group {
    /// A group with nothing in it.
    pub fn new() -> Self {
        let state = State { members: Wakers::new(), waiting: Wakers::new() };
        Self { shared: Arc::new(Shared { epoch: AtomicU64::new(0), state: Mutex::new(state) }) }
    }

    /// Spawns a task on the pool that the calling thread is in, as [`spawn`](crate::spawn()) does, into the
    /// group.
    ///
    /// # Panics
    ///
    /// On a thread that is in no pool.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// pike_sched::Pool::new()?.run(async {
    ///     let group = pike_sched::Group::new();
    ///     let task = group.spawn(async { 7 });
    ///     group.wait().await;
    ///     assert_eq!(task.await?, 7);
    ///     Ok(())
    /// })
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let home = spawn::pool_home("Group::spawn");
        let member = Member::join(&self.shared);
        let key = member.key;
        let (runnable, handle) = spawn::create(home, future, member);
        let waker = handle.waker().clone();
        let placeholder = self.shared.lock().members.replace(key, waker);
        drop(placeholder);
        task::launch(runnable);
        handle
    }

    /// Waits until the group has no task left, whether they finished, panicked or were aborted.
    ///
    /// A task counts until its future has been dropped. A group that never had one is waited for already.
    ///
    /// A panic of the waker that it is awaited with is contained, as one of a task is.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// pike_sched::Pool::new()?.run(async {
    ///     let group = pike_sched::Group::new();
    ///     group.wait().await;
    /// });
    /// # Ok(()) }
    /// ```
    pub fn wait(&self) -> Wait<'_> {
        Wait { group: self, key: NO_KEY }
    }

    /// Aborts every task that is in the group now, as [`JoinHandle::abort`] does. It does not wait for them;
    /// [`wait`](Self::wait) does.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// pike_sched::Pool::new()?.run(async {
    ///     let group = pike_sched::Group::new();
    ///     let task = group.spawn(std::future::pending::<()>());
    ///     group.abort();
    ///     group.wait().await;
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// # Ok(()) }
    /// ```
    pub fn abort(&self) {
        let mut state = self.shared.lock();
        // Relaxed: the wake that makes a member look comes later, and async-task orders the two. A member
        // that joins does so under the lock.
        self.shared.epoch.fetch_add(1, Relaxed);
        let members = state.members.take_all();
        drop(state);
        members.into_iter().for_each(Waker::wake);
    }

    /// How many tasks are in the group.
    pub fn len(&self) -> usize {
        self.shared.lock().members.len()
    }

    /// Whether no task is in the group.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task's place in its group, kept in the task.
struct Member {
    group: Arc<Shared>,
    epoch: u64,
    /// Of its waker among the members.
    key: u32,
}

impl Member {
    /// Counts from now on. Its waker is put in when there is one.
    fn join(group: &Arc<Shared>) -> Self {
        let mut state = group.lock();
        let key = state.members.insert(Waker::noop().clone());
        let epoch = group.epoch.load(Relaxed);
        Self { group: Arc::clone(group), epoch, key }
    }
}

impl Membership for Member {
    #[inline]
    fn is_aborted(&self) -> bool {
        self.group.epoch.load(Relaxed) != self.epoch
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        let waker = state.members.remove(self.key);
        let waiting = match state.members.is_empty() {
            true => state.waiting.take_all(),
            false => Vec::new(),
        };
        drop(state);
        drop(waker);
        for waker in waiting {
            // This is inside of the drop of a future, which a panic must not leave. It is nobody's: who waits made the waker.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                discard(payload);
            }
        }
    }
}

/// The future of [`Group::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<'a> {
    group: &'a Group,
    /// Of its waker among the waiting, once it waits.
    key: u32,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut state = self.group.shared.lock();
        if state.members.is_empty() {
            return Poll::Ready(());
        }
        let before = match self.key {
            NO_KEY => {
                let key = state.waiting.insert(waker);
                drop(state);
                self.key = key;
                None
            }
            key => {
                let before = state.waiting.replace(key, waker);
                drop(state);
                Some(before)
            }
        };
        drop(before);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.key != NO_KEY {
            let waker = self.group.shared.lock().waiting.remove(self.key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("group", self.group).finish()
    }
}
