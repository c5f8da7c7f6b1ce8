//! What a task that accepts does after an error: it goes on, after a pause, unless its listener is closed.
//!
//! `accept` itself waits for descriptors and memory, on the systems whose errors for that pike knows. What it reports here is
//! what nobody has thought of, or that a connection could not be registered. A server that stops to listen for that is of less
//! use than one that tries again, and one that tries again at once keeps a processor busy with it.

use std::{io, time::Duration};

use pike::Closed;

/// The pause after the first error in a row. Each is twice as long as the one before, up to the longest.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

pub(crate) struct Patience {
    pause: Duration,
}

impl Patience {
    pub(crate) const fn new() -> Self {
        Self { pause: FIRST }
    }

    /// A connection has come.
    pub(crate) fn restore(&mut self) {
        self.pause = FIRST;
    }

    /// How long to wait before the next attempt. The error comes back if there should be none.
    pub(crate) fn after(&mut self, error: io::Error) -> io::Result<Duration> {
        if Closed::is(&error) {
            return Err(error);
        }
        if is_of_one_connection(&error) {
            return Ok(Duration::ZERO);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        Ok(pause)
    }

    /// Waits for that long.
    pub(crate) async fn wait_after(&mut self, error: io::Error) -> io::Result<()> {
        let pause = self.after(error)?;
        if !pause.is_zero() {
            pike::time::sleep(pause).await;
        }
        Ok(())
    }
}

/// Whether an error of accept tells of the connection, and not of the listener: accept(2) has the list.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
    )
}

#[cfg(all(test, not(any(loom, miri))))]
mod tests {
    use pike::{Event, Notifier};

    use super::*;

    #[test]
    fn pauses_double_up_to_a_second() {
        let (mut patience, full) = (Patience::new(), || io::Error::from(io::ErrorKind::OutOfMemory));
        let pauses: Vec<_> = (0..10).map(|_| patience.after(full()).unwrap().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(
            patience.after(io::ErrorKind::ConnectionAborted.into()).unwrap().is_zero(),
            "of one connection"
        );
        assert_eq!(patience.after(full()).unwrap(), LONGEST, "no connection has come");
        patience.restore();
        assert_eq!(patience.after(full()).unwrap(), FIRST);
    }

    #[test]
    fn what_is_closed_is_over() {
        let notifier = Notifier::new().unwrap();
        let event = {
            let _there = notifier.enter();
            Event::new().unwrap()
        };
        notifier.shutdown(Duration::ZERO);
        let closed = futures_lite::future::block_on(event.wait()).unwrap_err();
        assert!(Closed::is(&Patience::new().after(closed).unwrap_err()));
    }
}
