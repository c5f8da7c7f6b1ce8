//! SIGINT and SIGTERM as an Event. The least that works: pike's own signals are still to come.

#![allow(unsafe_code)]

use std::{
    io, mem, ptr,
    sync::{Arc, OnceLock},
};

use pike::Event;

static TERMINATED: OnceLock<Arc<Event>> = OnceLock::new();

/// A latch on the current Notifier that SIGINT and SIGTERM set. The same signal once more ends the process at once.
///
/// # Errors
///
/// Those of [`Event::latch`]; [`io::ErrorKind::AlreadyExists`] for a second call.
pub fn termination() -> io::Result<Arc<Event>> {
    let event = Arc::new(Event::latch()?);
    TERMINATED.set(event.clone()).map_err(|_| io::ErrorKind::AlreadyExists)?;
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: all zeroes is a `sigaction`, with an empty mask.
        let mut action: libc::sigaction = unsafe { mem::zeroed() };
        action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_RESETHAND;
        // SAFETY: the handler does only what is async-signal-safe.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

extern "C" fn on_signal(_: libc::c_int) {
    // One atomic load, and a notify that promises to be async-signal-safe.
    if let Some(event) = TERMINATED.get() {
        event.notify();
    }
}
