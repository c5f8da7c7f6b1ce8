//! Signals: asked for by kind, received one after the other.
//!
//! # How it works
//!
//! The default source is a signal handler. It is installed when the first listener for a kind comes, and taken away with
//! the last, if it is still in place. It adds to a word of each listener and notifies its [`Event`](crate::Event): the
//! next turn of that listener's Notifier wakes who waits. Listeners are in slots that the handler walks without a lock
//! (`slots.rs` has the proof), and everything belongs to one process (`process.rs`).
//!
//! What the handler does, where it may run (any thread, at any time, inside pike with all its locks held, in the child of a
//! fork) and how it treats handlers that were there before is in `sys/unix/disposition.rs`.
//!
//! On Windows the handler is one of console events (`sys/windows/console.rs`), which the system runs on a thread of its own,
//! and which waits for what was received of those that end the process (`hold.rs`).
//!
//! Linux has a second source, a signalfd, for who needs to know each sender and value: `os::linux::signal`.

use std::{fmt, future::Future, io};

pub(crate) mod heard;
#[cfg(any(windows, test))]
pub(crate) mod hold;
mod kind;
mod listener;
mod process;
mod received;
#[cfg(target_os = "linux")]
mod reserved;
#[cfg(target_os = "linux")]
mod signalfd;
pub(crate) mod slots;

pub(crate) use heard::Sender;
pub use kind::{SignalKind, SignalSet};
pub use received::{Info, Received, Value};

#[cfg(target_os = "linux")]
pub(crate) use signalfd::signalfd;

use self::{
    listener::Listener,
    process::{Listening, Process},
};
use crate::sys::platform;

/// Receives signals of some kinds.
///
/// While it lives, these signals do not do what they do by default, such as to end the process. Any number of Signals,
/// on any Notifiers and threads, may listen to the same kind: each receives every signal. Any number of tasks may wait
/// on one Signal: each signal goes to one of them. Several signals of a kind that nobody has received yet are received
/// as one, with their count; the order of different kinds is lost. What arrives is delivered by a turn of the Signal's
/// Notifier, the one that was current when it was made.
///
/// With the last Signal for a kind the signal's former handling comes back: a second ctrl-c ends a program that has
/// dropped its Signal and hangs in its shutdown.
///
/// # Handlers of others
///
/// A handler that was installed before is called after pike's, in the same way that the system would have called it, but
/// with all signals blocked (except faults), and not taken away even if it was meant for one call (`SA_RESETHAND`). A
/// default or ignored disposition is not carried out. System calls that a handler without `SA_RESTART` interrupted go on
/// while a Signal lives. A handler that is installed over pike's must call it: one that does not keeps the signals from
/// pike, and pike neither puts itself on top of it nor takes it away. One that is installed over pike's for a second time
/// must not: pike's calls it already, and each would call the other without end.
///
/// A signal that is ignored, or set to its default, and then given back to pike's handler, as system(3) does with SIGINT and
/// SIGQUIT while its program runs, keeps what pike had found; if the last Signal for it was dropped in between, it does
/// nothing at all until another Signal for it was made and dropped.
///
/// With SIGCHLD, a handler's `SA_NOCLDSTOP` stays in force, so that Signals do not hear of stopped children either; on
/// Linux children stay unwaited for where they were by `SA_NOCLDWAIT` or an ignored SIGCHLD.
///
/// # Threads
///
/// The handler runs on any thread that does not block the signal. A signal that all threads block is not received. The
/// threads that pike starts itself block all signals (except faults) from their start; those of a scheduler that runs a
/// program's tasks, pike-sched's among them, block what the thread that started them did.
///
/// # Forks
///
/// In the child of a fork this Signal is closed, and what the child is sent reaches neither it nor the parent. The child
/// may make its own. The handler stays installed in the child until it becomes another program; what the signal did
/// before, it does again then.
///
/// # Platform
///
/// On Unix, a handler by `sigaction`, with `SA_RESTART`, `SA_ONSTACK` and `SA_SIGINFO`: system calls of the program go on
/// where they were interrupted, if the system can. What is said above of handlers, threads that block signals, and forks is
/// of Unix. On macOS and the BSDs the handler only keeps the default action away and (FreeBSD) remembers the sender, which
/// the others do not tell; the signals are counted by the kqueue, which hears of them whatever handles or blocks them.
///
/// On Windows, the handler of console events: ctrl-c, and those of `os::windows::signal`. An event that somebody listens to
/// is handled by that; no handler that was added before is called, and one that was added later may keep it to itself. A
/// closed console, a logoff and a shutdown end the process once every [`Received`] for them was dropped. A process that was
/// started with ctrl-c ignored, as one of a new process group is, hears of none.
///
/// # Examples
///
/// ```
/// # #[cfg(windows)]
/// # fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use pike::{Notifier, Signal, os::unix::signal::{HANGUP, USER_DEFINED1}};
///
/// let notifier = Notifier::new()?;
/// notifier.block_on(async {
///     let signal = Signal::new([HANGUP, USER_DEFINED1])?;
/// #   #[allow(unsafe_code)]
/// #   fn reload() { unsafe { libc::raise(libc::SIGHUP) }; }
///     reload(); // kill -HUP, from another terminal
///     assert_eq!(signal.recv().await?.kind(), HANGUP);
///     Ok(())
/// })
/// # }
/// ```
pub struct Signal {
    source: Source,
}

enum Source {
    Listening(Listening),
    #[cfg(target_os = "linux")]
    Descriptor(Box<signalfd::Descriptor>),
}

impl Signal {
    /// Listens to some kinds of signals, from now on: one [`SignalKind`], an array of them, or a [`SignalSet`].
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    ///
    /// - [`io::ErrorKind::InvalidInput`] for none at all, and for a signal that cannot be handled (SIGKILL, SIGSTOP) or
    ///   whose handler must not return (SIGSEGV, SIGBUS, SIGFPE, SIGILL).
    /// - The system's `EINVAL` for a number that is no signal, or one that the C library keeps for itself.
    /// - [`io::ErrorKind::Unsupported`] for ctrl-c, ctrl-break and a closed console in a process that has no console
    ///   (Windows).
    /// - [`io::ErrorKind::ResourceBusy`] while a signalfd of this process receives one of them.
    /// - [`Closed`](crate::Closed) if the current Notifier is gone; those of
    ///   [`Notifier::background`](crate::Notifier::background) if there is none.
    ///
    /// # Source
    ///
    /// sigaction(2), signal-safety(7); SetConsoleCtrlHandler
    pub fn new(kinds: impl Into<SignalSet>) -> io::Result<Self> {
        let kinds = kinds.into();
        check(kinds)?;
        let listener = Listener::new(kinds)?;
        Process::this().listen(listener).map(|listening| Self { source: Source::Listening(listening) })
    }

    /// Listens to what asks a program to end: on Unix SIGINT and SIGTERM, on Windows ctrl-c, ctrl-break, a closed console,
    /// logoff and shutdown.
    ///
    /// # Errors
    ///
    /// As [`Signal::new`].
    pub fn termination() -> io::Result<Self> {
        Self::new(
            platform::TERMINATION.iter().map(|number| SignalKind::from_raw(*number)).collect::<SignalSet>(),
        )
    }

    /// Waits for a signal, and takes it.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    ///
    /// No signal is lost: one that woke a receive which was dropped goes to the next.
    pub async fn recv(&self) -> io::Result<Received> {
        match &self.source {
            Source::Listening(listening) => listening.listener().recv().await,
            #[cfg(target_os = "linux")]
            Source::Descriptor(descriptor) => descriptor.recv().await,
        }
    }

    /// The kinds that it listens to.
    pub fn kinds(&self) -> SignalSet {
        match &self.source {
            Source::Listening(listening) => listening.listener().kinds(),
            #[cfg(target_os = "linux")]
            Source::Descriptor(descriptor) => descriptor.kinds(),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("kinds", &self.kinds()).finish_non_exhaustive()
    }
}

/// Waits for ctrl-c, or what else sends SIGINT.
///
/// It listens from the call on, not from the first poll. Once the future is gone, and no [`Signal`] listens, the next
/// ctrl-c does again what it does by default: to end the process.
///
/// # Errors
///
/// As [`Signal::new`] and [`Signal::recv`].
///
/// # Cancel safety
///
/// A signal that came before the future was dropped is lost with it. To wait again and again, keep a [`Signal`].
///
/// # Examples
///
/// ```
/// # #[cfg(windows)]
/// # fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// let notifier = pike::Notifier::new()?;
/// notifier.block_on(async {
///     let ctrl_c = pike::signal::ctrl_c();
/// #   #[allow(unsafe_code)]
/// #   fn press() { unsafe { libc::raise(libc::SIGINT) }; }
///     press();
///     ctrl_c.await
/// })
/// # }
/// ```
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> + Send + 'static {
    let signal = Signal::new(SignalKind::INTERRUPT);
    async move { signal?.recv().await.map(drop) }
}

/// Whether each is a signal that may be received.
fn check(kinds: SignalSet) -> io::Result<()> {
    if kinds.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no signal to listen to"));
    }
    kinds.iter().try_for_each(|kind| match platform::is_refused(kind.as_raw()) {
        true => {
            let why = match platform::is_kept(kind.as_raw()) {
                true => "the system lets nobody handle it",
                false => "it comes again as soon as its handler returns",
            };
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{kind} cannot be received: {why}")))
        }
        false => platform::check_signal(kind.as_raw()),
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn is_usable_everywhere<T: Send + Sync + fmt::Debug + 'static>() {}

    #[test]
    fn auto_traits() {
        is_usable_everywhere::<Signal>();
        is_usable_everywhere::<Received>();
        is_usable_everywhere::<SignalSet>();
        fn is_send<T: Send>(_: T) {}
        is_send(|signal: &'static Signal| is_send(signal.recv()));
        is_send(ctrl_c as fn() -> _);
    }
}
