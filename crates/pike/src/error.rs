//! The two causes of failure that are pike's own. Every other error carries the operating system's code.

use std::{error::Error, fmt, io};

/// The cause of an [`io::Error`] from an operation that was cancelled, alone or with its Handle, or whose Notifier is
/// gone.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pike::{Closed, Event, Notifier};
///
/// let notifier = Notifier::new()?;
/// let event = { let _here = notifier.enter(); Event::new()? };
/// drop(notifier);
/// let error = futures_lite::future::block_on(event.wait()).unwrap_err();
/// assert!(Closed::is(&error));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Handle,
    Operation,
    Notifier,
    Fork,
}

impl Closed {
    /// Whether `error` was made by this cause. Such an error has the kind [`io::ErrorKind::Other`] and no OS code.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }

    #[cold]
    pub(crate) fn handle() -> io::Error {
        io::Error::other(Self { why: Why::Handle })
    }

    #[cold]
    pub(crate) fn operation() -> io::Error {
        io::Error::other(Self { why: Why::Operation })
    }

    #[cold]
    pub(crate) fn notifier() -> io::Error {
        io::Error::other(Self { why: Why::Notifier })
    }

    #[cold]
    pub(crate) fn fork() -> io::Error {
        io::Error::other(Self { why: Why::Fork })
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            Why::Handle => "the handle was cancelled, or its Notifier is gone",
            Why::Operation => "the operation was cancelled",
            Why::Notifier => "the Notifier was shut down",
            Why::Fork => "the Notifier belongs to the process that this one was forked from",
        })
    }
}

impl Error for Closed {}
