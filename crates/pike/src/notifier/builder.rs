//! How a Notifier is made that is not the default one.

use std::{env, fmt, io, thread, time::Duration};

use super::{
    Backend, Notifier,
    backend::{ChosenBy, Probe, Refused, of_environment},
    core::{Core, Plan},
};
use crate::{batch::Dispatch, buf::Size};

/// Makes a [`Notifier`] with other than the default settings.
///
/// # Examples
///
/// ```
/// use pike::{Backend, Notifier};
///
/// # fn main() -> std::io::Result<()> {
/// # #[cfg(target_os = "linux")]
/// let notifier = Notifier::builder().backend(Backend::Epoll).build()?;
/// # Ok(()) }
/// ```
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder {
    backend: Option<Backend>,
    bound: bool,
    spin: Duration,
    dispatch: Option<Box<dyn Dispatch>>,
    buffers: Option<(usize, usize)>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { backend: None, bound: false, spin: Duration::ZERO, dispatch: None, buffers: None }
    }

    /// Insists on a backend. It is never replaced by another: where it is missing, [`build`](Self::build) fails.
    ///
    /// Without this, the environment variable `PIKE_BACKEND` decides if it is set and not empty (`epoll`, `io_uring`, `kqueue`,
    /// `iocp`), and else pike does: it takes the first of [`Backend::BUILT`] that the system grants, for this very Notifier, and
    /// [`Probe::refused`] says why not a better one.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Backend, Notifier, Refused};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # #[cfg(target_os = "linux")]
    /// match Notifier::builder().backend(Backend::IoUring).build() {
    ///     Ok(notifier) => assert_eq!(notifier.backend(), Backend::IoUring),
    ///     Err(error) => match error.get_ref().and_then(|cause| cause.downcast_ref::<Refused>()) {
    ///         Some(refused) => eprintln!("no ring, {:?}: {refused}", refused.cause),
    ///         None => return Err(error), // such as a lack of descriptors
    ///     },
    /// }
    /// # Ok(()) }
    /// ```
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Binds the Notifier to the first thread that turns it.
    ///
    /// Another thread's `poll` then fails with [`io::ErrorKind::PermissionDenied`] and its `block_on` panics; anyone
    /// may still register and notify. When that thread exits, the Notifier shuts down.
    ///
    /// On io_uring this is the faster form: the kernel does its part within the turn's call. On a ring that is not bound it
    /// interrupts the thread for whatever completes while that runs (bench/README.md has figures). On the others this changes
    /// nothing but who may turn it.
    ///
    /// # Platform
    ///
    /// `IORING_SETUP_SINGLE_ISSUER` and `IORING_SETUP_DEFER_TASKRUN`, where the kernel knows them (Linux 6.0 and 6.1).
    /// Source: io_uring_setup(2).
    ///
    /// Windows: `into_std` of a socket with a request in flight counts as a turn, also if it is the first.
    pub fn bound(mut self) -> Self {
        self.bound = true;
        self
    }

    /// Lets a turn look for events for this long before it sleeps. Off (zero) by default.
    ///
    /// It trades CPU time for latency: an event that comes while the turn spins is seen without a sleep and a wake
    /// of the thread. Spinning ends with the next timer or `notify`. Some 50 microseconds are a sensible value.
    pub fn spin(mut self, duration: Duration) -> Self {
        self.spin = duration;
        self
    }

    /// Hands each turn's [`Batch`](crate::Batch) to `dispatch`. By default each waker is woken in order.
    pub fn dispatch(mut self, dispatch: impl Dispatch) -> Self {
        self.dispatch = Some(Box::new(dispatch));
        self
    }

    /// Sets how many buffers there are for pooled receives, and how many bytes each has: by default 4,096 of 4,096.
    ///
    /// From 1 to 32,768 buffers, of 1 to 2,147,483,647 bytes. [`build`](Self::build) refuses what is out of that range, or more
    /// than an address space holds.
    ///
    /// Their memory is reserved at the first pooled receive, and the system has to back only as much of it as was ever in use at a
    /// time (on io_uring also what the kernel was lent). A receive brings at most one buffer: more of a stream comes with the
    /// next, and a datagram that is longer is cut. While all buffers are in use, receives wait for one to come back.
    ///
    /// # Platform
    ///
    /// io_uring: the kernel is lent 256 of them, which it fills by itself, and one more for each receive that finds none of
    /// those, up to three quarters of all. Of fewer than 16, or of buffers of less than 8 bytes, it is lent none, and pooled
    /// receives are system calls as on epoll.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::Notifier;
    /// use std::io::ErrorKind;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = Notifier::builder().buffers(1024, 16 * 1024).build()?; // 16 MiB, if all are ever in use
    /// # drop(notifier);
    /// let refused = Notifier::builder().buffers(0, 4096).build();
    /// assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    /// # Ok(()) }
    /// ```
    pub fn buffers(mut self, count: usize, len: usize) -> Self {
        self.buffers = Some((count, len));
        self
    }

    /// Makes the Notifier.
    ///
    /// # Errors
    ///
    /// Of a backend that was asked for: [`io::ErrorKind::Unsupported`] if this build or system lacks it, and
    /// [`io::ErrorKind::PermissionDenied`] or [`io::ErrorKind::OutOfMemory`] if the system has it and does not grant it. What the
    /// system says about io_uring has [`Refused`](crate::Refused) as its cause.
    ///
    /// [`io::ErrorKind::InvalidInput`] if `PIKE_BACKEND` names none, for a pool of no buffers or of too many or too large ones,
    /// or for a spin on a machine with one CPU, where it could only delay what it waits for.
    ///
    /// The system's (`EMFILE`, `ENFILE`, `ENOMEM`) if it has no descriptors or memory left.
    ///
    /// Nothing is left behind.
    pub fn build(self) -> io::Result<Notifier> {
        if !self.spin.is_zero() && thread::available_parallelism().is_ok_and(|cpus| cpus.get() == 1) {
            let message =
                "spinning on a machine with one CPU keeps the one that would be waited for from running";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let probe = choose(self.backend)?;
        self.build_as(probe)
    }

    /// As the Notifier in the background is made, whatever the environment says.
    pub(super) fn build_default(self) -> io::Result<Notifier> {
        self.build_as(Probe { backend: Backend::BACKGROUND, chosen_by: ChosenBy::Default, refused: None })
    }

    fn build_as(self, probe: Probe) -> io::Result<Notifier> {
        let buffers = self.buffers.map_or(Ok(Size::default()), |(count, len)| Size::new(count, len))?;
        let plan = Plan { probe, dispatch: self.dispatch, spin: self.spin, bound: self.bound, buffers };
        Core::new(plan).map(|core| Notifier { core })
    }
}

/// The builder's demand, else the environment's, else the best there is.
fn choose(demand: Option<Backend>) -> io::Result<Probe> {
    if let Some(backend) = demand {
        return insist(backend, ChosenBy::Builder);
    }
    if let Some(name) = env::var_os("PIKE_BACKEND").filter(|name| !name.is_empty()) {
        let backend = name.to_string_lossy().parse().map_err(|error| of_environment(&error))?;
        return insist(backend, ChosenBy::Environment);
    }
    let (mut backend, mut refused) = (Backend::BUILT[0], None);
    for candidate in Backend::BUILT {
        backend = *candidate;
        match test(backend) {
            Ok(()) => break,
            Err(reason) => refused = refused.or(Some(reason)),
        }
    }
    Ok(Probe { backend, chosen_by: ChosenBy::Default, refused })
}

/// A backend that somebody asked for is never replaced by another.
fn insist(backend: Backend, chosen_by: ChosenBy) -> io::Result<Probe> {
    test(backend).map_err(Refused::into_error)?;
    Ok(Probe { backend, chosen_by, refused: None })
}

/// Whether the system grants a backend. The others are there on every system that pike runs on, or say so when they
/// are made.
fn test(backend: Backend) -> Result<(), Refused> {
    match backend {
        #[cfg(target_os = "linux")]
        Backend::IoUring => crate::sys::probe_io_uring().map_err(Refused::io_uring),
        _ => Ok(()),
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("backend", &self.backend)
            .field("bound", &self.bound)
            .field("spin", &self.spin)
            .finish_non_exhaustive()
    }
}
