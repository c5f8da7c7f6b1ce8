//! The handler of console events: how it gets in place, what it does there, and how it leaves.
//!
//! The system starts a thread for each event, which runs the handlers of the process, the last that was added first, until
//! one says that it has handled it. So, other than a signal handler of Unix, this one may do anything; but what runs
//! before it, or holds, is up to others: a library that never returns from its handler of a closed console keeps the event
//! from pike.
//!
//! - For an event that somebody listens to it tells `deliver`, and says that it has handled it: nobody's handler that was
//!   added before, and no default action, comes after. For another it says that it has not.
//! - A closed console, a logoff and a shutdown end the process once the handlers have returned. There it waits until each
//!   listener's [`Received`](crate::signal::Received) was dropped (`signal/hold.rs`), for [`HOLD_MAX`] at most. The system has
//!   a limit of its own: 5 seconds, and 20 seconds for services at a shutdown, unless somebody has changed that.
//!
//! A process without a console is never told of ctrl-c, ctrl-break and a closed console. Who asks for these there is
//! refused, rather than wait for ever. Logoff and shutdown are told to services, which may have none.
//!
//! Sources: SetConsoleCtrlHandler, HandlerRoutine, GetConsoleProcessList; Wine's `dlls/kernelbase/console.c` (the lock that
//! handlers run under).
#![allow(unsafe_code)]

use std::{
    io,
    sync::{
        LazyLock,
        atomic::{AtomicPtr, Ordering},
    },
    time::Duration,
};

use windows_sys::{
    Win32::{
        Foundation::{ERROR_INVALID_PARAMETER, FALSE, TRUE},
        System::Console::{
            CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT, GetConsoleProcessList,
            SetConsoleCtrlHandler,
        },
    },
    core::BOOL,
};

use super::signals::signal_name;
use crate::signal::{Sender, hold::Hold};

/// What the handler calls.
pub(crate) type Deliver = fn(i32, Sender);

/// How long the handler waits for the program, longer than the system does for the handler: what ends a wait of the others
/// here is a `Received` that was leaked.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// A [`Deliver`], or null.
static DELIVER: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static HOLD: LazyLock<Hold> = LazyLock::new(Hold::new);

unsafe extern "system" fn on_event(kind: u32) -> BOOL {
    let Some(running) = HOLD.begin(kind as usize) else { return FALSE };
    let deliver = DELIVER.load(Ordering::Acquire);
    if !deliver.is_null() {
        // SAFETY: from `watch_signal`, which stores nothing else.
        let deliver = unsafe { std::mem::transmute::<*mut (), Deliver>(deliver) };
        deliver(kind as i32, Sender::UNKNOWN);
    }
    if is_held(kind as i32) {
        running.wait(HOLD_MAX);
    }
    TRUE
}

/// Whether the system ends the process once the handlers of this event have returned.
fn is_held(number: i32) -> bool {
    [CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT].contains(&(number as u32))
}

/// `ERROR_INVALID_PARAMETER` for what is no event; [`io::ErrorKind::Unsupported`] for one that cannot come.
pub(crate) fn check_signal(number: i32) -> io::Result<()> {
    let Some((name, _)) = signal_name(number) else {
        return Err(io::Error::from_raw_os_error(ERROR_INVALID_PARAMETER as i32));
    };
    let is_told_to_services = is_held(number) && number as u32 != CTRL_CLOSE_EVENT;
    if is_told_to_services || has_console() {
        return Ok(());
    }
    let text = format!("{name} cannot be received: this process has no console");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

/// A console has at least one process: this one.
fn has_console() -> bool {
    let mut process = 0;
    // SAFETY: room for one number, which it is told.
    unsafe { GetConsoleProcessList(&mut process, 1) > 0 }
}

/// Has the handler tell `deliver` of an event. One call of this and of [`unwatch_signal`] at a time.
pub(crate) fn watch_signal(number: i32, deliver: Deliver) -> io::Result<()> {
    DELIVER.store(deliver as *mut (), Ordering::Release);
    // A number that was checked.
    let kind = number as usize;
    // SAFETY: the handler may run on any thread at any time.
    if HOLD.listen(kind) && unsafe { SetConsoleCtrlHandler(Some(on_event), TRUE) } == FALSE {
        let error = io::Error::last_os_error();
        HOLD.failed(kind);
        return Err(error);
    }
    Ok(())
}

/// The handler handles the event no more. It goes with the last, unless it runs.
pub(crate) fn unwatch_signal(number: i32) {
    if HOLD.unlisten(number as usize) {
        // SAFETY: it was added, and is taken away once. This fails only if somebody else has done so.
        unsafe { SetConsoleCtrlHandler(Some(on_event), FALSE) };
    }
}

/// What keeps the handler of an event from returning, until this is dropped. Of ctrl-c and ctrl-break nothing does.
#[derive(Debug)]
pub(crate) struct Held {
    number: i32,
}

impl Held {
    /// For an event that comes now.
    pub(crate) fn new(number: i32) -> Self {
        if is_held(number) {
            HOLD.hold(number as usize);
        }
        Self { number }
    }

    /// Leaves it to be adopted.
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }

    /// Takes over what was left.
    pub(crate) fn adopt(number: i32) -> Self {
        Self { number }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if is_held(self.number) {
            HOLD.release(self.number as usize);
        }
    }
}

#[cfg(test)]
mod tests;
