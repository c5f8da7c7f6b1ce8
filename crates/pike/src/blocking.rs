//! Work that blocks and has no other form: name look-ups, and closing a socket that lingers.
//!
//! A pool is a queue and the threads that empty it, the *helpers*. A helper is started when work is queued that no
//! idle one is there to take, up to the pool's limit, and ends when it found nothing to do for [`IDLE`]. So a program
//! that never looks up a name never has one. There are two pools: connections that linger for minutes must not hold up
//! look-ups, nor a resolver that hangs the end of connections. Of these more are done at once: a peer hears of the end
//! of its connection only when a helper begins to close it.
//!
//! - The queue has no bound: each entry is an operation that somebody started. If all helpers hang, as with a resolver
//!   that does not answer, what is queued waits until one comes back. Its callers are futures and may have deadlines.
//! - Work whose future was dropped before a helper took it up is not done: after an outage no one works through names
//!   that nobody wants any more. Work that has begun is finished, and its result dropped.
//! - A panic ends no helper. It goes on in the task that awaits the result.
//! - A child of a fork has none of these threads, and finds the lock as it was at the fork, held perhaps. It makes
//!   pools of its own and leaves its parent's alone (I14), as `notifier::background` does.
//!
//! The plan is that of the `blocking` crate and of tokio's blocking pool, without their settings.

use std::{
    collections::VecDeque,
    future::Future,
    io, mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    ptr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use crate::{Closed, sys::platform};

/// How long a helper waits for work before it ends.
const IDLE: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(10) };

/// For looking up names.
pub(crate) static LOOK_UPS: Slot = Slot::new(4);

/// For closing sockets that linger.
pub(crate) static CLOSES: Slot = Slot::new(64);

/// The place of a process's pool.
pub(crate) struct Slot {
    /// Or null. What it points at is never freed: helpers refer to it, and a child of a fork must not touch its parent's.
    pool: AtomicPtr<Pool>,
    /// How many helpers the pool has at most.
    helpers_max: usize,
}

impl Slot {
    const fn new(helpers_max: usize) -> Self {
        Self { pool: AtomicPtr::new(ptr::null_mut()), helpers_max }
    }

    /// Runs `f` on a helper, from now on, whether the future is polled or not. It waits for nothing but the start of a
    /// thread.
    ///
    /// # Errors
    ///
    /// That of starting a thread, if it failed and no helper is alive: `f` is dropped then. [`Closed`] in a child that
    /// was forked since the call: the helper belongs to the parent.
    ///
    /// # Panics
    ///
    /// When polled, with the panic of `f`.
    ///
    /// # Cancel safety
    ///
    /// If `f` has begun it is finished and its result dropped. If not it is dropped on a helper, without being run.
    pub(crate) fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        match self.pool() {
            Ok(pool) => pool.run(f),
            Err(error) => Running(Start::Failed(Some(error))),
        }
    }

    /// This process's pool, made at the first call. No lock: one held during a fork would stay held in the child.
    #[allow(unsafe_code)]
    fn pool(&self) -> io::Result<&'static Pool> {
        platform::watch_forks()?;
        loop {
            // Acquire: sees the pool that `replace` released.
            let at = self.pool.load(Ordering::Acquire);
            // SAFETY: null, or leaked by `replace` and never freed.
            match unsafe { at.as_ref() } {
                Some(pool) if pool.forks == platform::forks() => return Ok(pool),
                _ => self.replace(at),
            }
        }
    }

    /// Puts a new pool in the place of `old`, unless another thread was faster.
    #[allow(unsafe_code)]
    fn replace(&self, old: *mut Pool) {
        let new = Box::into_raw(Box::new(Pool::new(self.helpers_max)));
        if self.pool.compare_exchange(old, new, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: made above, and given to nobody.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    /// How many forks the process that made it had behind it (I14).
    forks: u32,
    helpers_max: usize,
    state: Mutex<State>,
    /// One signal for each job pushed.
    pushed: Condvar,
}

struct State {
    /// Empty whenever there is no helper.
    queue: VecDeque<Job>,
    /// Threads that were started and have not decided to end.
    helpers: usize,
    /// Those that wait for work. A signalled one counts until it has the lock again; its job is in the queue until then.
    idle: usize,
    /// A system that starts no more threads.
    #[cfg(test)]
    exhausted: bool,
}

impl Pool {
    fn new(helpers_max: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            helpers: 0,
            idle: 0,
            #[cfg(test)]
            exhausted: false,
        };
        Self { forks: platform::forks(), helpers_max, state: Mutex::new(state), pushed: Condvar::new() }
    }

    /// No job runs, and no waker is touched, under this lock (I6).
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T: Send + 'static>(&'static self, f: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let promise = Arc::new(Promise(Mutex::new(Answer::Awaited(None))));
        let awaited = Arc::downgrade(&promise);
        let job = move || {
            if let Some(promise) = awaited.upgrade() {
                promise.keep(panic::catch_unwind(AssertUnwindSafe(f)));
            }
        };
        match self.submit(Box::new(job)) {
            Ok(()) => Running(Start::Made { promise, forks: self.forks }),
            Err((_, error)) => Running(Start::Failed(Some(error))),
        }
    }

    /// Queues a job and sees to it that a helper takes it. If there can be none the job is given back.
    ///
    /// A thread is started under the lock, so that "no helper is alive" is true of one moment for all.
    fn submit(&'static self, job: Job) -> Result<(), (Job, io::Error)> {
        let mut state = self.lock();
        // Each queued job will take one of the idle.
        if state.queue.len() >= state.idle && state.helpers < self.helpers_max {
            match self.start(&state) {
                Ok(()) => state.helpers += 1,
                Err(error) if state.helpers == 0 => return Err((job, error)),
                // One that is alive comes to it.
                Err(_) => {}
            }
        }
        state.queue.push_back(job);
        drop(state);
        self.pushed.notify_one();
        Ok(())
    }

    fn start(&'static self, _state: &State) -> io::Result<()> {
        #[cfg(test)]
        if _state.exhausted {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        platform::spawn_deaf("pike-helper", || self.help())
    }

    /// The life of a helper.
    fn help(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                catch(job);
                state = self.lock();
                continue;
            }
            state.idle += 1;
            let waited = self.pushed.wait_timeout_while(state, IDLE, |state| state.queue.is_empty());
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.idle -= 1;
            // Only with an empty queue, and under the lock: who submits next sees that this one is gone.
            if waited.timed_out() {
                state.helpers -= 1;
                return;
            }
        }
    }
}

/// Runs a job and lets no panic out: its own, that of dropping a result nobody wants, or that of a waker.
fn catch(job: Job) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(job)) {
        // A payload's drop may panic in turn. There it ends.
        let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))).map_err(mem::forget);
    }
}

/// The result of work on a helper. Made by [`Slot::run`].
#[must_use = "dropped, its work may never be done"]
pub(crate) struct Running<T>(Start<T>);

enum Start<T> {
    Made {
        /// The job refers to it weakly until it begins: by that it knows whether somebody waits.
        promise: Arc<Promise<T>>,
        forks: u32,
    },
    /// None once it was handed out.
    Failed(Option<io::Error>),
}

impl<T> Future for Running<T> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match &mut self.get_mut().0 {
            Start::Failed(error) => Poll::Ready(Err(error.take().expect("polled after it was ready"))),
            // The parent's helper may have held the lock at the fork.
            Start::Made { forks, .. } if *forks != platform::forks() => Poll::Ready(Err(Closed::fork())),
            Start::Made { promise, .. } => match promise.poll(cx) {
                Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
                Poll::Ready(Err(payload)) => panic::resume_unwind(payload),
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

/// Where a helper leaves a result and the future finds it.
struct Promise<T>(Mutex<Answer<T>>);

enum Answer<T> {
    /// With the waker of the last poll.
    Awaited(Option<Waker>),
    Given(thread::Result<T>),
    Taken,
}

impl<T> Promise<T> {
    /// Nothing of the user's runs under this lock: wakers and results are moved out first (I6).
    fn lock(&self) -> MutexGuard<'_, Answer<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, result: thread::Result<T>) {
        let before = mem::replace(&mut *self.lock(), Answer::Given(result));
        if let Answer::Awaited(Some(waker)) = before {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<thread::Result<T>> {
        let waker = cx.waker().clone();
        let before = {
            let mut answer = self.lock();
            let next = match *answer {
                Answer::Awaited(_) => Answer::Awaited(Some(waker)),
                Answer::Given(_) | Answer::Taken => Answer::Taken,
            };
            mem::replace(&mut *answer, next)
        };
        match before {
            Answer::Awaited(_) => Poll::Pending,
            Answer::Given(result) => Poll::Ready(result),
            Answer::Taken => panic!("polled after it was ready"),
        }
    }
}

#[cfg(test)]
mod tests;
