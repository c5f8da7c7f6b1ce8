//! Console events, by their names: `console.rs` receives them.

use std::{io, thread};

use windows_sys::Win32::System::Console::{
    CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
};

/// What ctrl-c sends.
pub(crate) const INTERRUPT: i32 = CTRL_C_EVENT as i32;

/// What asks a program to end.
pub(crate) const TERMINATION: &[i32] = &[
    INTERRUPT,
    CTRL_BREAK_EVENT as i32,
    CTRL_CLOSE_EVENT as i32,
    CTRL_LOGOFF_EVENT as i32,
    CTRL_SHUTDOWN_EVENT as i32,
];

/// There are none that cannot be handled.
pub(crate) fn is_kept(_: i32) -> bool {
    false
}

pub(crate) fn is_refused(_: i32) -> bool {
    false
}

/// The name of an event, and a number to add to it.
pub(crate) fn signal_name(number: i32) -> Option<(&'static str, i32)> {
    let name = match u32::try_from(number).ok()? {
        CTRL_C_EVENT => "CTRL_C_EVENT",
        CTRL_BREAK_EVENT => "CTRL_BREAK_EVENT",
        CTRL_CLOSE_EVENT => "CTRL_CLOSE_EVENT",
        CTRL_LOGOFF_EVENT => "CTRL_LOGOFF_EVENT",
        CTRL_SHUTDOWN_EVENT => "CTRL_SHUTDOWN_EVENT",
        _ => return None,
    };
    Some((name, 0))
}

/// Starts a thread of pike's own. Handlers of console events run on threads of the system's.
pub(crate) fn spawn_deaf(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(f).map(drop)
}
