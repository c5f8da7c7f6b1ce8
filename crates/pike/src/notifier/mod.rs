//! The Notifier: the one object that waits in the kernel.
//!
//! `core` is the state, `turn` one wait and its dispatch, `block_on` a future with it; `current` and `background` say
//! which Notifier a type belongs to that names none; `bound` ties one to a thread; `end` is its end.

use std::{
    fmt,
    future::Future,
    io, mem,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Duration,
};

mod backend;
mod background;
mod block_on;
mod bound;
mod builder;
pub(crate) mod core;
pub(crate) mod current;
mod end;
mod turn;

use self::core::Core;
pub use self::{
    backend::{Backend, Cause, ChosenBy, Probe, Refused},
    builder::Builder,
    current::Enter,
};

/// Waits in the kernel for everything that was registered with it, and dispatches what became runnable, in batches.
///
/// A Notifier is cheap to clone, and all clones are the same one. Anyone may register with it and notify it, from any
/// thread; one thread at a time turns it, with [`poll`](Self::poll) or [`block_on`](Self::block_on). Sockets do not
/// keep it alive: when its last value is dropped it shuts down, and whoever waits gets [`Closed`](crate::Closed).
///
/// A type made without naming a Notifier belongs to the thread's current one: the innermost of [`enter`](Self::enter),
/// `block_on`, a turn's dispatch or a scheduler's worker. Where there is none, it belongs to a shared one in the
/// background, whose thread starts at first need.
///
/// # Forks
///
/// A Notifier stays with the process that made it. In a child of a fork every call on it fails with `Closed`, and
/// dropping what belongs to it only closes descriptors. The child may make Notifiers of its own.
///
/// # Examples
///
/// ```
/// use pike::{Notifier, time};
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let notifier = Notifier::new()?;
/// notifier.block_on(async {
///     time::sleep(Duration::from_millis(1)).await;
/// });
/// # Ok(()) }
/// ```
pub struct Notifier {
    pub(crate) core: Arc<Core>,
}

impl Notifier {
    /// Makes one that any thread may turn, with the best backend that the system grants: on Linux io_uring where a self-test of
    /// it passes, and else epoll. `PIKE_BACKEND` in the environment overrules that; [`Builder::backend`] has the order.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Makes one with other settings: a backend, a pool of other buffers, one thread alone.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The thread's current one, or the shared one in the background.
    ///
    /// # Errors
    ///
    /// As [`Notifier::background`]; none if the thread has a current one.
    pub fn current() -> io::Result<Self> {
        let core = current::current_or_background()?;
        core.add_value();
        Ok(Self { core })
    }

    /// The shared one in the background, which has a thread of its own. It starts with the first call, and again with
    /// the first after a [`shutdown`](Self::shutdown). Its backend is always epoll, kqueue or I/O completion ports:
    /// `PIKE_BACKEND` does not count.
    ///
    /// # Errors
    ///
    /// The system's error if it has no descriptors, memory or threads left; a later call tries again.
    pub fn background() -> io::Result<Self> {
        background::background().cloned()
    }

    /// What it waits with. [`probe`](Self::probe) says why.
    pub fn backend(&self) -> Backend {
        self.core.probe.backend
    }

    /// Why it has that backend: who chose it, and what the system said of a better one.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Backend, Cause, Notifier};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = Notifier::new()?;
    /// match &notifier.probe().refused {
    ///     Some(refused) if refused.cause == Cause::NoResources => eprintln!("for the moment: {refused}"),
    ///     Some(refused) => eprintln!("{refused}"),
    ///     None => assert!(Backend::BUILT.contains(&notifier.backend())),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn probe(&self) -> &Probe {
        &self.core.probe
    }

    /// Whether only one thread may turn it: the first that does. See [`Builder::bound`].
    pub fn is_bound(&self) -> bool {
        self.core.bound.is_some()
    }

    /// How often it was turned so far, by whichever thread. For schedulers: a Notifier whose number stays the same while
    /// its thread is busy may need somebody else to turn it.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = pike::Notifier::new()?;
    /// let before = notifier.turns();
    /// notifier.poll(Some(std::time::Duration::ZERO))?;
    /// assert_eq!(notifier.turns(), before + 1);
    /// # Ok(()) }
    /// ```
    pub fn turns(&self) -> u64 {
        self.core.turns.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Why a [`block_on`](Self::block_on) could not turn it any more: [`Closed`](crate::Closed) after a shutdown, or the
    /// system's error, after which it was shut down. None as long as none has failed.
    ///
    /// The future of that `block_on` is polled once more, so that it may look here.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::{task::Poll, time::Duration};
    /// let notifier = pike::Notifier::new()?;
    /// notifier.shutdown(Duration::ZERO);
    /// notifier.block_on(std::future::poll_fn(|_| match notifier.failure() {
    ///     Some(error) => Poll::Ready(assert!(pike::Closed::is(error))),
    ///     None => Poll::Pending,
    /// }));
    /// # Ok(()) }
    /// ```
    pub fn failure(&self) -> Option<&io::Error> {
        self.core.failure.get()
    }

    /// Whether nothing is registered with it and no timer sleeps on it, so that a turn would have nothing to report but a
    /// `notify`. From any thread, and true only for the moment.
    pub fn is_unused(&self) -> bool {
        self.core.registry.used() == 0 && self.core.timers.earliest().is_none()
    }

    /// Turns once: waits for at most `timeout` (`None`: as long as it takes), then wakes what became runnable.
    /// Returns how many wakers that were; zero after a timeout, a [`notify`](Self::notify), a signal, or a report that
    /// nobody waits for. So it may return early: a loop that must not, looks at the clock.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::ResourceBusy`] while another thread turns it; [`io::ErrorKind::Deadlock`] from inside a waker
    /// or dispatcher; [`io::ErrorKind::PermissionDenied`] if it is bound to another thread;
    /// [`Closed`](crate::Closed) after a shutdown or in a forked child. Nothing has happened then.
    ///
    /// Any other is the system's, with its code: the kernel refuses the wait itself, such as under a filter of system calls that
    /// was installed since. The operations that it has are still in flight, and a later turn may go on with them. Where the
    /// kernel only lacks memory for the moment, that is no error: the turn is a short one, and the next tries again.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    /// let notifier = pike::Notifier::new()?;
    /// assert_eq!(notifier.poll(Some(Duration::ZERO))?, 0);
    /// # Ok(()) }
    /// ```
    pub fn poll(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.core.turn(timeout)
    }

    /// Makes a turn that waits return, or the next one not wait. From any thread, and from a signal handler; several
    /// calls count as one. No system call while no turn waits.
    #[inline]
    pub fn notify(&self) {
        self.core.notify();
    }

    /// Drives `future` to its end on the calling thread, and the Notifier with it.
    ///
    /// The thread turns the Notifier while nobody else does, and never while it polls the future. While another
    /// thread has the seat it sleeps, and takes the seat over when that one leaves. A future that wakes itself all
    /// the time lets a turn happen at least every 61 polls.
    ///
    /// If the Notifier is shut down meanwhile, or the system refuses to wait, which shuts it down, the future goes on with what
    /// its own wakers bring; [`failure`](Self::failure) says why. An owned operation that such a system does not give back stays
    /// pending for ever, and its memory is leaked.
    ///
    /// # Panics
    ///
    /// Inside another `block_on` on the same thread, and if the Notifier is bound to another thread.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// assert_eq!(pike::Notifier::new()?.block_on(async { 6 * 7 }), 42);
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.core.block_on(future)
    }

    /// Makes it the thread's current Notifier until the guard is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = pike::Notifier::new()?;
    /// let _here = notifier.enter();
    /// let event = pike::Event::new()?; // belongs to `notifier`
    /// # Ok(()) }
    /// ```
    pub fn enter(&self) -> Enter<'_> {
        Enter::new(&self.core)
    }

    /// Shuts it down for all its values: refuses new operations, wakes every waiter with [`Closed`](crate::Closed), and cancels
    /// what the kernel has in flight. Waits at most `limit` for the end of that, and returns how many operations are left: their
    /// memory is leaked rather than freed while the kernel may write to it. With epoll none ever is, and it returns at once.
    ///
    /// What is left may still end in a later call, once the kernel is done with it. A [`block_on`](Self::block_on) that finds the
    /// Notifier shut down waits for 200 milliseconds more, once, and so does the drop of the last value; what is left then stays
    /// pending for ever.
    ///
    /// Where another thread has to do this, it returns 0 without waiting. That is the thread that is in a turn, which does it as
    /// it leaves the turn, or the one that the Notifier is bound to, which does it as it exits; each takes 200 milliseconds at
    /// most. A thread that is doing it already, such as in a [`poll`](Self::poll) that found the Notifier shut down, is waited
    /// for, within `limit`.
    ///
    /// Sleeping timers move on to the background Notifier, so that none is lost. In the child of a fork it does nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Closed, Event, Notifier};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = Notifier::new()?;
    /// let event = { let _here = notifier.enter(); Event::new()? };
    /// assert_eq!(notifier.shutdown(Duration::from_secs(1)), 0);
    /// let error = futures_lite::future::block_on(event.wait()).unwrap_err();
    /// assert!(Closed::is(&error));
    /// # Ok(()) }
    /// ```
    pub fn shutdown(&self, limit: Duration) -> usize {
        if !self.core.is_forked() {
            return self.core.shutdown(limit);
        }
        0
    }
}

/// Runs what wakes others where no panic of a waker may get out. The panic hook has reported it.
fn contain_panics(run: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(run)) {
        mem::forget(payload); // which might panic when dropped
    }
}

impl Clone for Notifier {
    fn clone(&self) -> Self {
        self.core.add_value();
        Self { core: Arc::clone(&self.core) }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.core.drop_value();
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("backend", &self.backend())
            .field("sources", &self.core.registry.used())
            .field("closed", &self.core.is_closed())
            .finish()
    }
}
