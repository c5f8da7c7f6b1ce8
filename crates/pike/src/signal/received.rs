//! What a listener is given: a signal, and what is known about it.

use std::fmt;

use super::SignalKind;
use crate::sys::platform::Held;

/// A signal that was received.
///
/// It is also a guard. On Windows, the system ends the process once the handlers of a closed console, a logoff or a
/// shutdown return: there they wait until this is dropped. So keep it until all is done that should be. On Unix a drop does
/// nothing, and the same source text serves both.
///
/// # Examples
///
/// ```
/// # #[cfg(windows)]
/// # fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use pike::{Notifier, Signal, os::unix::signal::WINDOW_CHANGE};
///
/// let notifier = Notifier::new()?;
/// let signal = { let _here = notifier.enter(); Signal::new(WINDOW_CHANGE)? };
/// # #[allow(unsafe_code)]
/// # fn resize() { unsafe { libc::raise(libc::SIGWINCH) }; }
/// resize(); // or somebody else does
/// let received = notifier.block_on(signal.recv())?;
/// assert_eq!(received.kind(), WINDOW_CHANGE);
/// assert_eq!(received.count(), 1);
/// assert_eq!(received.info().map(|info| info.pid()), Some(std::process::id()));
/// # Ok(()) }
/// ```
#[must_use = "on Windows the process may end when it is dropped"]
pub struct Received {
    kind: SignalKind,
    count: u64,
    info: Option<Info>,
    /// Lets the system go on once it is dropped.
    _held: Held,
}

impl Received {
    pub(super) fn new(kind: SignalKind, count: u64, info: Option<Info>, held: Held) -> Self {
        Self { kind, count, info, _held: held }
    }

    /// Which one.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// How many of this kind are received as one, from 1 to 1,023, where it stops.
    ///
    /// The system itself makes one of several of the same kind that nobody has handled yet, unless they are real-time
    /// signals, so there may have been more. A signal from a signalfd is received for itself, and its count is 1.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Who sent it; of several that are received as one, the last.
    ///
    /// None if nothing is known: the kernel sent it (ctrl-c at a terminal, a timer), or a process that cannot be seen from
    /// here. On Windows, always None.
    pub fn info(&self) -> Option<&Info> {
        self.info.as_ref()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, count, info, _held } = self;
        f.debug_struct("Received").field("kind", kind).field("count", count).field("info", info).finish()
    }
}

/// Who sent a signal, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    pub(super) process: u32,
    pub(super) user: u32,
    pub(super) value: Option<Value>,
}

impl Info {
    /// The process that sent it; of a SIGCHLD, the child.
    pub fn pid(&self) -> u32 {
        self.process
    }

    /// That process's real user.
    pub fn uid(&self) -> u32 {
        self.user
    }

    /// What was sent along by `sigqueue`. Known only from a signalfd (`os::linux::signal::signalfd`).
    pub fn value(&self) -> Option<Value> {
        self.value
    }
}

/// What `sigqueue` sends along: a number or a pointer, and nobody says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Value {
    pub(super) int: i32,
    pub(super) pointer: u64,
}

impl Value {
    /// As a number: `sival_int`.
    pub fn as_int(&self) -> i32 {
        self.int
    }

    /// As a pointer of the sender, by its number: `sival_ptr`.
    pub fn as_ptr(&self) -> u64 {
        self.pointer
    }
}
