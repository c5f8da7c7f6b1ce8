//! The pool: where tasks run.

use std::{
    fmt,
    future::Future,
    io, mem,
    pin::pin,
    sync::{Arc, atomic::AtomicBool},
    task::Waker,
    thread,
};

use pike::Notifier;

use crate::{
    Builder, Counters, JoinHandle,
    crew::{Crew, Slot},
    current::Entered,
    ending::{Ends, Leaving, refuse_nested},
    failures::Failures,
    home::Home,
    schedule,
    seat::Seat,
    spawn,
    threads::{self, Plan},
    worker::Worker,
};

/// Workers, each with its Notifier, and the tasks that they run.
///
/// The first worker is the thread that is in [`run`](Self::run) or [`block_on`](Self::block_on). A pool of one worker, as
/// [`new`](Self::new) makes it, starts no thread: tasks that were spawned before, or are left over, wait until a thread
/// comes. With more [`workers`](Builder::workers) each of the others has a thread of its own, from the moment the pool is
/// made until it ends; a task runs on any of them, and moves to one that has nothing to do.
///
/// Dropping a pool [shuts it down](Self::shutdown).
///
/// # Examples
///
/// ```
/// fn main() -> std::io::Result<()> {
///     pike_sched::Pool::new()?.run(async {
///         let hello = pike_sched::spawn(async { "hello" });
///         println!("{}, world", hello.await?);
///         Ok(())
///     })
/// }
/// ```
pub struct Pool {
    shared: Arc<Shared>,
    /// Those of the workers after the first.
    threads: Vec<thread::JoinHandle<()>>,
}

/// What the pool's threads share.
pub(crate) struct Shared {
    /// One a worker.
    pub(crate) notifiers: Box<[Notifier]>,
    /// Whether these are bound, so that a task stays where it was run first.
    pub(crate) bound: bool,
    /// Of the tasks of `spawn`.
    pub(crate) home: Arc<Home>,
    pub(crate) crew: Arc<Crew>,
    /// Of the first worker.
    pub(crate) seat: Seat,
    pub(crate) failures: Failures,
    /// Whether the workers were told to end.
    pub(crate) ending: AtomicBool,
}

impl Shared {
    /// Whether several workers share the tasks.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.home.crew.is_some()
    }
}

impl Pool {
    /// A pool with one worker, and a Notifier on what `PIKE_BACKEND` names, or else epoll, kqueue or I/O completion ports.
    ///
    /// # Errors
    ///
    /// Those of [`Notifier::new`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let answer = pike_sched::Pool::new()?.run(async { 42 });
    /// assert_eq!(answer, 42);
    /// # Ok(()) }
    /// ```
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A pool with other settings.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = pike::Notifier::new()?;
    /// let pool = pike_sched::Pool::builder().notifier(notifier).build()?;
    /// assert_eq!(pool.workers(), 1);
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A pool with a worker for each of these Notifiers.
    pub(crate) fn with_notifiers(
        notifiers: Vec<Notifier>,
        failures: Failures,
        plan: &Plan,
    ) -> io::Result<Self> {
        let crew = |slots| Arc::new(Crew::new(slots));
        let (home, crew) = match notifiers.len() {
            1 => {
                let home = Home::new();
                (Arc::clone(&home), crew([Slot::new(home)].into()))
            }
            workers => {
                let crew = crew((0..workers).map(|_| Slot::new(Home::new())).collect());
                (Home::of_crew(Arc::clone(&crew)), crew)
            }
        };
        let bound = notifiers.len() > 1 && notifiers.iter().any(Notifier::is_bound);
        let notifiers = notifiers.into_boxed_slice();
        let (seat, ending) = (Seat::new(), AtomicBool::new(false));
        let shared = Shared { notifiers, bound, home, crew, seat, failures, ending };
        let shared = Arc::new(shared);
        let mut pool = Self { shared, threads: Vec::new() };
        for worker in 1..pool.workers() {
            match threads::start(&pool.shared, worker, plan) {
                Ok(thread) => pool.threads.push(thread),
                Err(error) => {
                    // They count as stopped, so that the end does not wait for them.
                    (worker..pool.workers()).for_each(|_| pool.shared.worker_has_stopped());
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    /// Runs a future and the pool's tasks on the calling thread, and ends the pool with the future.
    ///
    /// The future need not be `Send` or `'static`. When it is ready, it is dropped, then every task that is
    /// left is cancelled and its future dropped, on this thread (those of [`spawn_local`](crate::spawn_local) on theirs); and
    /// then this returns. A panic of the future comes out of here, after the same.
    ///
    /// # Panics
    ///
    /// If the thread is in a pool already, or in [`Notifier::block_on`]. If the pool's Notifier is bound to
    /// another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let name = String::from("pike");
    /// let len = pike_sched::Pool::new()?.run(async { name.len() });
    /// assert_eq!(len, 4);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn run<F: Future>(self, future: F) -> F::Output {
        refuse_nested("Pool::run");
        self.drive(future, Ends::Pool)
    }

    /// Runs a future on the calling thread, and the pool's tasks while it waits for it.
    ///
    /// It returns as soon as its own future is ready. The pool goes on: tasks of [`spawn`](Self::spawn) that
    /// have not finished wait for the next `block_on` or `run`, from whichever thread. Tasks of
    /// [`spawn_local`](crate::spawn_local) belong to this thread and end here: they are cancelled.
    ///
    /// With several threads in it at once, one of them, the worker, runs the pool's tasks, and the others
    /// sleep until their futures are woken. When the worker's future is ready, another one of them takes
    /// over.
    ///
    /// The future need not be `Send` or `'static`.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run): a task must not block its worker. With a panic of the future.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// let task = pool.spawn(async { 1 });
    /// assert_eq!(pool.block_on(async { 2 }), 2);
    /// assert_eq!(pool.block_on(task)?, 1);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        refuse_nested("Pool::block_on");
        self.drive(future, Ends::Local)
    }

    #[track_caller]
    fn drive<F: Future>(&self, future: F, ends: Ends) -> F::Output {
        let worker = Worker::new(Arc::clone(&self.shared), 0);
        // Dropped in the reverse of this order: first the future, then what `Leaving` ends, as long as the
        // thread is still in the pool.
        let _notifier = self.shared.notifiers[0].enter();
        let _worker = Entered::new(&worker);
        let _leaving = Leaving::new(&worker, ends);
        let main = pin!(future);
        worker.drive(main)
    }

    /// Spawns a task to this pool, from any thread.
    ///
    /// With one worker it runs when a thread drives the pool. A task that keeps its own pool alive, as with an [`Arc`] of
    /// it, and that no thread comes to run, is leaked with the pool. After [`shutdown`](Self::shutdown) the future is
    /// dropped at once, and the handle gives an error that [`is_shutdown`](crate::JoinError::is_shutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// let task = pool.spawn(async { 1 + 2 });
    /// assert_eq!(pool.block_on(task)?, 3);
    /// # Ok(()) }
    /// ```
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn::spawn_to(Arc::clone(&self.shared.home), future)
    }

    /// Spawns one task for each worker, made by calling `task` with the worker's number, from 0.
    ///
    /// For what every worker should have its own of, such as a listener. Each task stays with its worker.
    /// What it makes, it should make in the future and not before: that is when it belongs to the worker's
    /// Notifier.
    ///
    /// That of the first worker is run only while a thread is in [`run`](Self::run) or [`block_on`](Self::block_on): so who
    /// waits for it anywhere else, with no thread there, waits for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// for task in pool.spawn_each(|worker| async move { worker * 10 }) {
    ///     assert_eq!(pool.block_on(task)?, 0);
    /// }
    /// # Ok(()) }
    /// ```
    pub fn spawn_each<F, Fut>(&self, task: F) -> Vec<JoinHandle<Fut::Output>>
    where
        F: Fn(usize) -> Fut,
        Fut: Future + Send + 'static,
        Fut::Output: Send + 'static,
    {
        let slots = self.shared.crew.slots.iter().enumerate();
        slots.map(|(worker, slot)| spawn::spawn_to(Arc::clone(&slot.home), task(worker))).collect()
    }

    /// Wakes all of a batch: those that are tasks of this pool reach it by one push, and at most one worker is woken for them.
    ///
    /// What a worker's own Notifier makes ready is such a batch by itself. This is for a Notifier that other threads turn,
    /// as the end of its [`Dispatch`](pike::Dispatch), or for anything else that has many wakers at once. Wakers of anything
    /// else are woken as they come. What belongs to one worker alone, as the tasks of [`spawn_each`](Self::spawn_each) do,
    /// goes to it one by one.
    ///
    /// # Panics
    ///
    /// If a waker does. Those before it are woken, and with a [`Batch`](pike::Batch) those behind it too.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let pool = Arc::new(pike_sched::Pool::new()?);
    /// let to = Arc::clone(&pool);
    /// let notifier = pike::Notifier::builder().dispatch(move |batch: &mut pike::Batch| to.schedule(batch)).build()?;
    /// # drop(notifier); Ok(()) }
    /// ```
    pub fn schedule(&self, batch: impl IntoIterator<Item = Waker>) {
        schedule::wake_all(&self.shared.home, batch);
    }

    /// Cancels all tasks and refuses new ones, from any thread.
    ///
    /// When it returns, the future of every task has been dropped: by the worker if a thread drives the pool,
    /// and by the calling thread if none does. Called in the pool itself, it does not wait: the tasks go when
    /// the caller gives way. A future that is in [`block_on`](Self::block_on) goes on, and so do the tasks of
    /// [`spawn_local`](crate::spawn_local), until that returns.
    ///
    /// It waits for the thread that drives the pool, so two pools whose tasks shut each other down wait for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// let task = pool.spawn(std::future::pending::<()>());
    /// pool.shutdown();
    /// assert!(pool.block_on(task).unwrap_err().is_shutdown());
    /// # Ok(()) }
    /// ```
    pub fn shutdown(&self) {
        self.shared.shut_down();
    }

    /// The Notifier that the first worker sleeps in.
    ///
    /// Turning it by hand is allowed, and seldom useful: the wakes of that turn come to the worker as from
    /// any other thread.
    pub fn notifier(&self) -> &Notifier {
        &self.shared.notifiers[0]
    }

    /// The Notifiers of all workers, by their numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder().workers(2).build()?;
    /// assert_eq!(pool.notifiers().len(), pool.workers());
    /// # Ok(()) }
    /// ```
    pub fn notifiers(&self) -> &[Notifier] {
        &self.shared.notifiers
    }

    /// How many workers the pool has.
    pub fn workers(&self) -> usize {
        self.shared.notifiers.len()
    }

    /// What each worker has done so far, by their numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// pool.block_on(pool.spawn(async {}))?;
    /// assert_eq!(pool.counters()[0].runs, 1);
    /// # Ok(()) }
    /// ```
    pub fn counters(&self) -> Vec<Counters> {
        let slots = self.shared.crew.slots.iter().zip(&self.shared.notifiers);
        slots.map(|(slot, notifier)| slot.tally.read(notifier.turns())).collect()
    }

    /// The workers whose Notifiers have failed, and why. See [`Builder::on_failure`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// for (worker, error) in pool.failures() {
    ///     eprintln!("worker {worker} has lost its Notifier: {error}");
    /// }
    /// # Ok(()) }
    /// ```
    pub fn failures(&self) -> Vec<(usize, io::Error)> {
        self.shared.failures.list()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How many tasks there are, those of `spawn_local` aside.
    fn tasks(&self) -> usize {
        let homes = self.shared.crew.slots.iter().map(|slot| &slot.home);
        let homes = homes.filter(|home| !Arc::ptr_eq(home, &self.shared.home));
        self.shared.home.len() + homes.map(|home| home.len()).sum::<usize>()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.shut_down();
        let threads = mem::take(&mut self.threads);
        // A thread of the pool's own cannot wait for itself, and need not for the others.
        if !self.shared.is_here() {
            for thread in threads {
                // They contain every panic.
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("workers", &self.workers())
            .field("tasks", &self.tasks())
            .field("backend", &self.notifier().backend())
            .finish_non_exhaustive()
    }
}
