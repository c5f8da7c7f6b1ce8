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
    /// Why it is not the backend that this build prefers. None if it is, if somebody asked for this one, and of the Notifier in
    /// the background.
    pub refused: Option<Refused>,
}

impl Probe {
    /// The next best, if nobody insists on this backend, which passed its test and could not be made all the same. Else what to
    /// tell who does.
    #[cold]
    pub(super) fn instead(&self, error: io::Error) -> io::Result<Self> {
        match (self.chosen_by, self.backend) {
            #[cfg(target_os = "linux")]
            (chosen_by, Backend::IoUring) => {
                let refused = Refused::io_uring(crate::sys::Failure::of_setup(&error));
                match chosen_by {
                    ChosenBy::Default => {
                        Ok(Self { backend: Backend::Epoll, refused: Some(refused), ..*self })
                    }
                    ChosenBy::Builder | ChosenBy::Environment => Err(refused.into_error()),
                }
            }
            (ChosenBy::Environment, _) if error.kind() == io::ErrorKind::Unsupported => {
                Err(of_environment(&error))
            }
            _ => Err(error),
        }
    }
}

/// Says where a demand came from that cannot be met: whoever reads the message did not write it into the program.
#[cold]
pub(super) fn of_environment(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("PIKE_BACKEND: {error}"))
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
                None if *backend == Backend::BUILT[0] => {
                    write!(f, "{backend}: the one that this build prefers")
                }
                None => write!(f, "{backend}: what the Notifier in the background has"),
            },
        }
    }
}

/// Why a backend cannot be had: what failed of a test that does what pike needs of it, or of making it for this Notifier.
///
/// It is the cause of the error that [`Builder::build`](crate::Builder::build) returns where io_uring was asked for, and stands in
/// [`Probe::refused`] where it was not. Its `Display` is a sentence for whoever runs the program, such as
/// `io_uring gets no memory or descriptors (see RLIMIT_MEMLOCK and RLIMIT_NOFILE): io_uring_setup: Cannot allocate memory (os error 12)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// Which backend.
    pub backend: Backend,
    /// What kind of failure it was.
    pub cause: Cause,
    /// What was tried, in words: not for programs to tell apart.
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
    /// No memory for it, or none that may be locked (`RLIMIT_MEMLOCK`; see PLATFORM.md), or no descriptors. It may pass.
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
            Cause::Forbidden => "is forbidden here (seccomp, or the sysctl kernel.io_uring_disabled)",
            Cause::TooOld => "is too old on this system",
            Cause::NoResources => "gets no memory or descriptors (see RLIMIT_MEMLOCK and RLIMIT_NOFILE)",
            Cause::Other => "does not work here",
        };
        write!(f, "{backend} {cause}: {step}")?;
        code.map_or(Ok(()), |code| write!(f, ": {}", io::Error::from_raw_os_error(code)))
    }
}

impl std::error::Error for Refused {}
