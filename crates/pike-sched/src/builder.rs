//! What can be chosen about a pool.

use std::{env, fmt, io, time::Duration};

use pike::{Backend, Notifier};

use crate::{
    Pool,
    failures::{Failures, Hook},
    idle::WORKERS_MAX,
    threads::Plan,
};

/// Settings for a [`Pool`]. Made by [`Pool::builder`].
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let pool = pike_sched::Pool::builder().build()?;
/// println!("on {}", pool.notifier().backend());
/// # Ok(()) }
/// ```
#[must_use = "a builder does nothing before build()"]
pub struct Builder {
    workers: usize,
    backend: Option<Backend>,
    notifier: Option<Notifier>,
    bound: bool,
    spin: Duration,
    buffers: Option<(usize, usize)>,
    threads: Plan,
    on_failure: Option<Hook>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let threads = Plan { name: "pike".into(), stack_size: None };
        Self {
            workers: 1,
            backend: None,
            notifier: None,
            bound: false,
            spin: Duration::ZERO,
            buffers: None,
            threads,
            on_failure: None,
        }
    }

    /// How many workers the pool has: one by default, and 56 at most, whatever more is asked for.
    ///
    /// The first is the thread that is in `run` or `block_on`, and each of the others has a thread of its own. Usually
    /// as many as [`std::thread::available_parallelism`] says.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder().workers(2).build()?;
    /// assert_eq!(pool.workers(), 2);
    /// # Ok(()) }
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.min(WORKERS_MAX);
        self
    }

    /// What the threads of the pool are called, each with its worker's number behind: `pike-1`, `pike-2` by default.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder().workers(2).thread_name("crawler").build()?;
    /// # drop(pool);
    /// # Ok(()) }
    /// ```
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.threads.name = name.into();
        self
    }

    /// How many bytes the stacks of the pool's threads have. The standard library's default otherwise.
    ///
    /// The first worker has the stack of the thread that is in `run` or `block_on`.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder().workers(2).stack_size(256 * 1024).build()?;
    /// # drop(pool);
    /// # Ok(()) }
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.threads.stack_size = Some(bytes);
        self
    }

    /// Lets each worker look for events for this long before it sleeps. Off (zero) by default. See
    /// [`pike::Builder::spin`](pike::Builder::spin), which refuses it on one CPU.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let pool = pike_sched::Pool::builder().spin(Duration::from_micros(50)).build()?;
    /// # drop(pool);
    /// # Ok(()) }
    /// ```
    pub fn spin(mut self, duration: Duration) -> Self {
        self.spin = duration;
        self
    }

    /// Insists on a backend for the workers' Notifiers. Without this the environment variable `PIKE_BACKEND` decides if it is
    /// set, and else it is epoll, kqueue or I/O completion ports: a ring a worker is for whoever has use for it. (What the pool
    /// asks for so, [`pike::Probe`] calls the builder's demand.)
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let backend = pike::Backend::BUILT[0];
    /// match pike_sched::Pool::builder().backend(backend).build() {
    ///     Ok(pool) => assert_eq!(pool.notifier().backend(), backend),
    ///     Err(error) => println!("not here: {error}"),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Binds each worker's Notifier to its thread. See [`pike::Builder::bound`](pike::Builder::bound).
    ///
    /// In a pool of several workers a task then stays with the worker that runs it first, since no other could turn the
    /// Notifier of its sockets. Those that it makes are meant, or that [`Listener`](crate::Listener) gives it. One that was made
    /// elsewhere and moved into the task works as well, at the price of a wake from thread to thread each time.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder().workers(2).bound().build()?;
    /// assert!(pool.notifiers().iter().all(pike::Notifier::is_bound));
    /// # Ok(()) }
    /// ```
    pub fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Sets how many buffers each worker's Notifier has for pooled receives, and how many bytes each has. See
    /// [`pike::Builder::buffers`](pike::Builder::buffers), whose defaults there are without this. A Notifier that
    /// [`notifier`](Self::notifier) gives keeps its own.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder().workers(2).buffers(1024, 16 * 1024).build()?; // 2,048 in all
    /// # drop(pool);
    /// # Ok(()) }
    /// ```
    pub fn buffers(mut self, count: usize, len: usize) -> Self {
        self.buffers = Some((count, len));
        self
    }

    /// Makes the worker sleep in this Notifier, for settings that only [`Notifier::builder`] has. With several workers it
    /// is that of the first.
    ///
    /// A pool on a bound Notifier is driven by the one thread that the Notifier is bound to.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = pike::Notifier::builder().build()?;
    /// let pool = pike_sched::Pool::builder().notifier(notifier.clone()).build()?;
    /// assert_eq!(pool.notifier().backend(), notifier.backend());
    /// # Ok(()) }
    /// ```
    pub fn notifier(mut self, notifier: Notifier) -> Self {
        self.notifier = Some(notifier);
        self
    }

    /// Calls `report`, once for each worker whose Notifier fails, with the worker's number and the reason, on its thread.
    ///
    /// A Notifier fails if it was shut down, or if the system refuses to wait; what waits there gets
    /// [`Closed`](pike::Closed). The worker goes on with the tasks that have to stay with it, and leaves the others to those
    /// workers whose Notifiers have not failed, if there are any: the first counts while a thread drives it.
    /// [`Pool::failures`] tells of it as well. A panic of `report` is contained.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::builder()
    ///     .workers(2)
    ///     .on_failure(|worker, error| eprintln!("worker {worker} has lost its Notifier: {error}"))
    ///     .build()?;
    /// # drop(pool); Ok(()) }
    /// ```
    pub fn on_failure(mut self, report: impl Fn(usize, &io::Error) + Send + Sync + 'static) -> Self {
        self.on_failure = Some(Box::new(report));
        self
    }

    /// Makes the pool, and starts its threads.
    ///
    /// # Errors
    ///
    /// Those of pike's `Builder::build`, among them that the system lacks the backend that was asked for, or that there is no
    /// such pool of buffers.
    /// [`io::ErrorKind::InvalidInput`] if a Notifier was given that has another, or if there are to be no
    /// workers. The system's error if a thread cannot be started. No thread is left then.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let refused = pike_sched::Pool::builder().workers(0).build();
    /// assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    ///
    /// let pool = pike_sched::Pool::builder().workers(2).build()?;
    /// assert_eq!(pool.run(async { 42 }), 42);
    /// # Ok(()) }
    /// ```
    pub fn build(self) -> io::Result<Pool> {
        if self.workers == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a pool has at least one worker"));
        }
        let mut notifiers = Vec::with_capacity(self.workers);
        if let Some(notifier) = &self.notifier {
            self.check(notifier)?;
            notifiers.push(notifier.clone());
        }
        while notifiers.len() < self.workers {
            notifiers.push(self.make_notifier()?);
        }
        Pool::with_notifiers(notifiers, Failures::new(self.workers, self.on_failure), &self.threads)
    }

    fn check(&self, notifier: &Notifier) -> io::Result<()> {
        match self.backend {
            Some(backend) if notifier.backend() != backend => {
                let message =
                    format!("the pool should be on {backend}, but its Notifier is on {}", notifier.backend());
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
            _ => Ok(()),
        }
    }

    fn make_notifier(&self) -> io::Result<Notifier> {
        let mut builder = Notifier::builder().spin(self.spin);
        if let Some(backend) = self.backend.or_else(unasked) {
            builder = builder.backend(backend);
        }
        if let Some((count, len)) = self.buffers {
            builder = builder.buffers(count, len);
        }
        if self.bound {
            builder = builder.bound();
        }
        builder.build()
    }
}

/// What the workers wait with if nobody asks for anything: none, if the environment does.
fn unasked() -> Option<Backend> {
    match env::var_os("PIKE_BACKEND").is_some_and(|name| !name.is_empty()) {
        true => None,
        false => Backend::BUILT.iter().copied().find(|backend| *backend != Backend::IoUring),
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("backend", &self.backend)
            .field("notifier", &self.notifier)
            .field("bound", &self.bound)
            .field("spin", &self.spin)
            .field("buffers", &self.buffers)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}
