//! An owned operation with a limit.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;

use super::{GivenUp, Owned};
use crate::{
    budget,
    buf::BufResult,
    time::{Sleep, sleep_until},
};

pin_project! {
    /// An operation that owns its buffer, with a limit. Made by [`Owned::timeout`] and [`Owned::deadline`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct OwnedDeadline<'a, T, B> {
        #[pin]
        owned: Owned<'a, T, B>,
        #[pin]
        sleep: Sleep,
    }
}

impl<'a, T, B> OwnedDeadline<'a, T, B> {
    pub(super) fn new(owned: Owned<'a, T, B>, at: Instant) -> Self {
        Self { owned, sleep: sleep_until(at) }
    }

    /// As [`Owned::cancel`].
    pub fn cancel(self: Pin<&mut Self>) {
        self.project().owned.cancel();
    }
}

impl<T, B> Future for OwnedDeadline<'_, T, B> {
    type Output = BufResult<T, B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<T, B>> {
        let mut this = self.project();
        match budget::gave_way(|| this.owned.as_mut().poll(cx)) {
            (Poll::Ready(output), _) => return Poll::Ready(output),
            // It has not been tried, so it is not late.
            (Poll::Pending, true) => return Poll::Pending,
            (Poll::Pending, false) => {}
        }
        ready!(this.sleep.poll(cx));
        // If the kernel has the buffer, it is asked for it; if the operation was done before that, it has won.
        this.owned.as_mut().give_up(GivenUp::Elapsed);
        this.owned.poll(cx)
    }
}
