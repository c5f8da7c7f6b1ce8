//! Which kernel interface a Notifier waits with, and why that one.

use std::{fmt, io, str::FromStr};

/// A kernel interface to wait with.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let notifier = pike::Notifier::new()?;
/// println!("waits with {}", notifier.backend());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// Readiness on Linux: epoll(7).
    Epoll,
    /// Completion on Linux: io_uring(7).
    IoUring,
    /// Readiness on macOS and the BSDs: kqueue(2).
    Kqueue,
    /// Completion on Windows: I/O completion ports.
    Iocp,
}

impl Backend {
    /// The backends that this build of pike has, preferred first.
    pub const BUILT: &'static [Backend] = &[
        #[cfg(kqueue)]
        Backend::Kqueue,
        #[cfg(target_os = "linux")]
        Backend::IoUring,
        #[cfg(target_os = "linux")]
        Backend::Epoll,
        #[cfg(windows)]
        Backend::Iocp,
    ];

    /// What the Notifier in the background has, whatever is preferred: a readiness backend, which needs least of a system.
    #[cfg(all(target_os = "linux", not(kqueue)))]
    pub(super) const BACKGROUND: Self = Self::Epoll;
    #[cfg(not(all(target_os = "linux", not(kqueue))))]
    pub(super) const BACKGROUND: Self = Self::BUILT[0];

    fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::IoUring => "io_uring",
            Self::Kqueue => "kqueue",
            Self::Iocp => "iocp",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = io::Error;

    /// Reads the name that `Display` writes.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for any other.
    fn from_str(name: &str) -> io::Result<Self> {
        [Self::Epoll, Self::IoUring, Self::Kqueue, Self::Iocp]
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| {
                let message = format!("no backend is called {name:?}: use epoll, io_uring, kqueue or iocp");
                io::Error::new(io::ErrorKind::InvalidInput, message)
            })
    }
}

/// Why a Notifier has the backend it has.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// println!("{}", pike::Notifier::new()?.probe());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// What it waits with.
    pub backend: Backend,
    /// Who decided that.
    pub chosen_by: ChosenBy,
    /// Why it is not the backend that this build prefers. None if it is, or if somebody asked for this one.
    pub refused: Option<Refused>,
}

impl Probe {
    /// The next best, if nobody insists on this backend, which passed its test and could not be made all the same.
    #[cold]
    pub(super) fn instead(&self, error: io::Error) -> io::Result<Self> {
        match (self.chosen_by, self.backend) {
            #[cfg(target_os = "linux")]
            (ChosenBy::Default, Backend::IoUring) => {
                let refused = Refused::io_uring(crate::sys::Failure::of_setup(&error));
                Ok(Self { backend: Backend::Epoll, refused: Some(refused), ..*self })
            }
            _ => Err(error),
        }
    }
}

/// Who decided on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChosenBy {
    /// [`Builder::backend`](crate::Builder::backend), which is never replaced by another.
    Builder,
    /// The environment variable `PIKE_BACKEND`.
    Environment,
    /// The best that this build has and the system grants.
    Default,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, chosen_by, refused } = self;
        match chosen_by {
            ChosenBy::Builder => write!(f, "{backend}: the builder asked for it"),
            ChosenBy::Environment => write!(f, "{backend}: PIKE_BACKEND asked for it"),
            ChosenBy::Default => match refused {
                Some(refused) => write!(f, "{backend}: {refused}"),
                None => write!(f, "{backend}: the one that this build prefers"),
            },
        }
    }
}

/// Why a backend cannot be had: what failed of a test that does what pike needs of it.
///
/// It is the cause of the error that [`Builder::build`](crate::Builder::build) returns for a backend that was asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// Which backend.
    pub backend: Backend,
    /// What kind of failure it was.
    pub cause: Cause,
    /// What was tried.
    pub step: &'static str,
    /// The system's error code, if there was one.
    pub code: Option<i32>,
}

/// The kinds of failure that keep a backend from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The system does not have it at all (`ENOSYS`).
    Missing,
    /// The system has it and forbids it: a filter (seccomp), or a setting of the administrator (`EPERM`, `EACCES`).
    Forbidden,
    /// The system is too old for a part of it (`EINVAL`, or no error and no effect).
    TooOld,
    /// No memory for it, or no locked memory (`RLIMIT_MEMLOCK`; see PLATFORM.md), or no descriptors. It may pass.
    NoResources,
    /// Something else.
    Other,
}

impl Refused {
    #[cfg(target_os = "linux")]
    pub(super) fn io_uring(failure: crate::sys::Failure) -> Self {
        let (cause, step, code) = (failure.cause(), failure.step.name(), failure.code);
        Self { backend: Backend::IoUring, cause, step, code }
    }

    pub(super) fn into_error(self) -> io::Error {
        let kind = match self.cause {
            Cause::Missing | Cause::TooOld => io::ErrorKind::Unsupported,
            Cause::Forbidden => io::ErrorKind::PermissionDenied,
            Cause::NoResources => io::ErrorKind::OutOfMemory,
            Cause::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, cause, step, code } = self;
        let cause = match cause {
            Cause::Missing => "does not exist on this system",
            Cause::Forbidden => "is forbidden here",
            Cause::TooOld => "is too old on this system",
            Cause::NoResources => "gets no memory or descriptors",
            Cause::Other => "does not work here",
        };
        write!(f, "{backend} {cause}: {step}")?;
        code.map_or(Ok(()), |code| write!(f, ": {}", io::Error::from_raw_os_error(code)))
    }
}

impl std::error::Error for Refused {}
