//! A future with a limit.

use std::{
    error::Error,
    fmt,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use crate::budget;

use super::sleep::{Sleep, after, sleep_until};

/// What a [`timeout`] gives when the time was up first; also the cause of the [`io::Error`]s of
/// [`Deadline`](super::Deadline).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed;

impl Elapsed {
    /// Whether `error` was made by a deadline of ours. One that the system reports (`ETIMEDOUT`) is not.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

pin_project! {
    /// A future with a limit. Made by [`timeout`] and [`timeout_at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

/// Gives `future` at most `limit` from this call.
///
/// # Errors
///
/// [`Elapsed`] if the time is up and `future`, polled first, is not ready. It is dropped with the `Timeout`.
///
/// # Panics
///
/// As [`sleep`](super::sleep).
///
/// # Cancel safety
///
/// That of `future`.
///
/// # Examples
///
/// ```
/// use pike::time::timeout;
/// use std::{future::pending, time::Duration};
/// # fn main() -> std::io::Result<()> {
/// let late = pike::Notifier::new()?.block_on(timeout(Duration::from_millis(1), pending::<()>()));
/// assert!(late.is_err());
/// # Ok(()) }
/// ```
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    timeout_at(after(limit), future)
}

/// Gives `future` until `at`. Otherwise as [`timeout`].
///
/// # Errors
///
/// As [`timeout`].
pub fn timeout_at<F: Future>(at: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(at) }
}

impl<F> Timeout<F> {
    /// The future inside.
    pub fn get_ref(&self) -> &F {
        &self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match budget::gave_way(|| this.future.poll(cx)) {
            (Poll::Ready(output), _) => return Poll::Ready(Ok(output)),
            // It has not been tried, so it is not late.
            (Poll::Pending, true) => return Poll::Pending,
            (Poll::Pending, false) => {}
        }
        this.sleep.poll(cx).map(|()| Err(Elapsed))
    }
}
