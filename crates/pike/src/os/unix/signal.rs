//! The signals of Unix, and which of them a thread blocks.

use std::io;

use crate::{
    signal::{SignalKind, SignalSet},
    sys::platform,
};

macro_rules! kinds {
    ($($(#[$attribute:meta])* $name:ident = $number:ident, $what:literal;)*) => {$(
        #[doc = concat!(stringify!($number), ": ", $what, ".")]
        $(#[$attribute])*
        pub const $name: SignalKind = SignalKind::from_raw(libc::$number);
    )*};
}

kinds! {
    ALARM = SIGALRM, "a timer of `alarm` or `setitimer` has expired";
    CHILD = SIGCHLD, "a child has ended, or was stopped, or goes on";
    CONTINUE = SIGCONT, "the process goes on after it was stopped";
    HANGUP = SIGHUP, "the terminal is gone; to a daemon, read your configuration again";
    IO = SIGIO, "a descriptor in signal-driven mode is ready";
    PIPE = SIGPIPE, "a write to a closed pipe or socket. Rust programs ignore it, and pike's writes never raise it";
    QUIT = SIGQUIT, "ctrl-\\: quit, and leave a core dump";
    TERMINATE = SIGTERM, "please end";
    TERMINAL_STOP = SIGTSTP, "ctrl-z: please stop";
    USER_DEFINED1 = SIGUSR1, "whatever the program says";
    USER_DEFINED2 = SIGUSR2, "whatever the program says";
    WINDOW_CHANGE = SIGWINCH, "the terminal's window has another size";
    #[cfg(any(
        target_os = "dragonfly", target_os = "freebsd", target_os = "macos", target_os = "netbsd", target_os = "openbsd"
    ))]
    INFO = SIGINFO, "ctrl-t: say what you are doing";
}

/// A real-time signal: SIGRTMIN + `n`.
///
/// The system queues them: each that is sent is delivered, in order, with a value. A [`Signal`](crate::Signal) made by
/// [`Signal::new`](crate::Signal::new) counts them and receives those that came meanwhile as one, without their values;
/// one of a signalfd (`os::linux::signal`) receives each.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidInput`] if there is none with this number. Linux has 0 to 30 with glibc, 0 to 29 with musl;
/// FreeBSD 0 to 61, NetBSD 0 to 30. [`io::ErrorKind::Unsupported`] on systems that have none: macOS, OpenBSD.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let kind = pike::os::unix::signal::real_time(3)?;
/// assert_eq!(kind.to_string(), "SIGRTMIN+3");
/// # Ok(()) }
/// ```
///
/// # Source
///
/// signal(7)
pub fn real_time(n: u32) -> io::Result<SignalKind> {
    let (first, last) = platform::real_time_signals().ok_or(io::ErrorKind::Unsupported)?;
    match i32::try_from(n).ok().and_then(|n| first.checked_add(n)) {
        Some(number) if number <= last => Ok(SignalKind::from_raw(number)),
        _ => {
            let text = format!("there is no real-time signal {n}: the last is {}", last - first);
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// Blocks signals on the calling thread: they stay pending until it, or another thread, unblocks them, or a signalfd
/// reads them.
///
/// Threads that it starts from now on inherit this, and so does every program that it starts: std's `Command` leaves the
/// mask as it is, and few programs expect one. Signals that cannot be blocked (SIGKILL, SIGSTOP) are left as they are.
///
/// # Errors
///
/// The system's `EINVAL` for a number that is no signal. Nothing has changed then.
///
/// # Source
///
/// pthread_sigmask(3)
pub fn block(kinds: impl Into<SignalSet>) -> io::Result<()> {
    platform::change_mask(libc::SIG_BLOCK, kinds.into().iter().map(SignalKind::as_raw))
}

/// Undoes [`block`], on the calling thread. What is pending is handled before it returns.
///
/// # Errors
///
/// As [`block`].
pub fn unblock(kinds: impl Into<SignalSet>) -> io::Result<()> {
    platform::change_mask(libc::SIG_UNBLOCK, kinds.into().iter().map(SignalKind::as_raw))
}
