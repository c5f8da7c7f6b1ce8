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
        Backend::Epoll,
        #[cfg(target_os = "linux")]
        Backend::IoUring,
    ];

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
        let Self { backend, chosen_by } = self;
        match chosen_by {
            ChosenBy::Builder => write!(f, "{backend}: the builder asked for it"),
            ChosenBy::Environment => write!(f, "{backend}: PIKE_BACKEND asked for it"),
            ChosenBy::Default => write!(f, "{backend}: the only backend in this build"),
        }
    }
}
