//! The console events of Windows, beside ctrl-c, which is [`SignalKind::INTERRUPT`].
//!
//! Once the handlers of [`CLOSE`], [`LOGOFF`] and [`SHUTDOWN`] have returned, the system ends the process. pike's waits until
//! every [`Received`](crate::signal::Received) for the event was dropped, and every [`Signal`](crate::Signal) that has not
//! received it. So keep it until all is done that should be:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use pike::{Notifier, Signal};
//!
//! Notifier::new()?.block_on(async {
//!     let event = Signal::termination()?.recv().await?;
//!     // Finish what has begun, write what must not be lost.
//!     drop(event);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! The system has a limit of its own for this, after which it ends the process all the same: about 5 seconds for a closed
//! console, and 20 seconds for a service at a shutdown, unless somebody has changed that. pike's handler returns after 60
//! seconds, in case a `Received` was leaked in a service.

use crate::signal::SignalKind;

/// `CTRL_BREAK_EVENT`: ctrl-break was pressed, or a process sends it to this one's group.
pub const CTRL_BREAK: SignalKind = SignalKind::from_raw(1);

/// `CTRL_CLOSE_EVENT`: the user closes the console, or ends the task.
pub const CLOSE: SignalKind = SignalKind::from_raw(2);

/// `CTRL_LOGOFF_EVENT`: a user logs off, and nobody says which. Services alone are told.
pub const LOGOFF: SignalKind = SignalKind::from_raw(5);

/// `CTRL_SHUTDOWN_EVENT`: the system shuts down. Services alone are told.
pub const SHUTDOWN: SignalKind = SignalKind::from_raw(6);

#[cfg(test)]
mod tests {
    use windows_sys::Win32::System::Console;

    use super::*;

    #[test]
    fn numbers_are_the_systems() {
        let numbers =
            [SignalKind::INTERRUPT, CTRL_BREAK, CLOSE, LOGOFF, SHUTDOWN].map(|kind| kind.as_raw() as u32);
        use Console::{
            CTRL_BREAK_EVENT, CTRL_C_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT,
        };
        assert_eq!(
            numbers,
            [CTRL_C_EVENT, CTRL_BREAK_EVENT, CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT]
        );
    }
}
