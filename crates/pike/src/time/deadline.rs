//! Deadlines for single operations, without a second layer of results.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use super::{
    sleep::after,
    timeout::{Timeout, timeout_at},
};

/// Gives every future of an [`io::Result`] a deadline.
///
/// # Examples
///
/// ```
/// use pike::{Event, Notifier, time::{Deadline, Elapsed}};
/// use std::{io, time::Duration};
///
/// # fn main() -> io::Result<()> {
/// let error = Notifier::new()?.block_on(async {
///     Event::new()?.wait().timeout(Duration::from_millis(1)).await
/// }).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// assert!(Elapsed::is(&error));
/// # Ok(()) }
/// ```
pub trait Deadline<T>: Future<Output = io::Result<T>> + Sized {
    /// Fails with [`io::ErrorKind::TimedOut`], and no OS code, if it is not done within `limit` from this call.
    ///
    /// # Cancel safety
    ///
    /// The operation is dropped when the time is up: what it says of that holds here.
    fn timeout(self, limit: Duration) -> WithDeadline<Self> {
        self.deadline(after(limit))
    }

    /// As [`timeout`](Self::timeout), with the moment given.
    fn deadline(self, at: Instant) -> WithDeadline<Self> {
        WithDeadline { inner: timeout_at(at, self) }
    }
}

impl<F: Future<Output = io::Result<T>>, T> Deadline<T> for F {}

pin_project! {
    /// An operation with a deadline. Made by [`Deadline`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WithDeadline<F> {
        #[pin]
        inner: Timeout<F>,
    }
}

impl<F: Future<Output = io::Result<T>>, T> Future for WithDeadline<F> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.project().inner.poll(cx).map(|result| result.unwrap_or_else(|elapsed| Err(elapsed.into())))
    }
}
