//! Signals by a descriptor, with all that the system knows about each.

use std::io;

use crate::{
    Signal,
    signal::{SignalSet, signalfd as make},
};

/// A [`Signal`] whose signals come from a signalfd rather than a handler: each is received for itself
/// ([`Received::count`](crate::signal::Received::count) is 1), and real-time signals in order and each with its
/// [value](crate::signal::Info::value).
///
/// The price is that the signals must be **blocked on every thread of the program**: one thread that does not block them
/// takes them away, and does by default what they do by default. New threads inherit what is blocked, so
/// [`block`](crate::os::unix::signal::block) them at the beginning of `main`, before anything starts a thread. **Every
/// program that this one starts inherits it too**, and will not hear these signals unless somebody unblocks them there.
///
/// Signals for the process are received, on whichever thread turns the Notifier; those that were sent to one thread
/// (`pthread_kill`) only if that thread turns it. There is one signalfd for a kind, which any number of tasks may wait on.
/// What was read and not received is lost with the Signal.
///
/// # Errors
///
/// - [`io::ErrorKind::InvalidInput`] if one of them is not blocked on the calling thread. pike cannot look at the others.
/// - [`io::ErrorKind::ResourceBusy`] while a `Signal` with a handler, or another signalfd, receives one of them.
/// - The system's `EMFILE` and the like; otherwise as [`Signal::new`].
///
/// Nothing has changed then.
///
/// # Platform
///
/// Linux 2.6.27.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pike::{Notifier, os::linux::signal::signalfd, os::unix::signal::{USER_DEFINED2, block}};
///
/// block(USER_DEFINED2)?; // at the beginning of main
/// let notifier = Notifier::new()?;
/// let signal = { let _here = notifier.enter(); signalfd(USER_DEFINED2)? };
/// # #[allow(unsafe_code)]
/// # fn poke() { unsafe { libc::raise(libc::SIGUSR2) }; }
/// poke(); // kill -USR2, from another terminal
/// let received = notifier.block_on(signal.recv())?;
/// println!("{} by process {:?}", received.kind(), received.info().map(|info| info.pid()));
/// # Ok(()) }
/// ```
///
/// # Source
///
/// signalfd(2)
pub fn signalfd(kinds: impl Into<SignalSet>) -> io::Result<Signal> {
    make(kinds.into())
}
