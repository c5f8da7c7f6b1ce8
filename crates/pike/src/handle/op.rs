//! A readiness operation: try the system call, wait for the edge, try again.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{registration::Registration, waiting::Waiting};
use crate::{
    Closed, budget,
    source::{Direction, Seen},
    waiter::Kind,
};

pin_project! {
    /// Runs `attempt` until it does not say `WouldBlock`. Dropped at any time it has either done nothing or returned
    /// its result.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Op<'a, F> {
        #[pin]
        waiting: Waiting<'a>,
        attempt: F,
    }
}

impl<'a, F> Op<'a, F> {
    /// An operation that consumes what it waits for: waiters of its kind are woken one at a time.
    #[inline]
    pub(crate) fn new(registration: &'a Registration, direction: Direction, attempt: F) -> Self {
        let kind = Kind { bits: direction.bits(), consumes: true };
        Self { waiting: Waiting::new(registration, direction, kind), attempt }
    }

    /// The same with other bits to wait for than the direction's own.
    pub(crate) fn with_kind(
        registration: &'a Registration,
        direction: Direction,
        kind: Kind,
        attempt: F,
    ) -> Self {
        Self { waiting: Waiting::new(registration, direction, kind), attempt }
    }
}

/// What an attempt made of the readiness it saw.
pub(crate) enum Attempt<R> {
    /// Done, and the side may have more.
    Done(io::Result<R>),
    /// Done, and the side is drained.
    Drained(io::Result<R>),
    /// Nothing was there.
    WouldBlock,
}

impl<R> From<io::Result<R>> for Attempt<R> {
    #[inline]
    fn from(result: io::Result<R>) -> Self {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::WouldBlock,
            result => Self::Done(result),
        }
    }
}

impl<F, R> Future for Op<'_, F>
where
    F: FnMut(Seen) -> Attempt<R>,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.project();
        let waiting = this.waiting.into_ref();
        let registration = waiting.registration();
        let source = registration.source();
        let bits = waiting.bits();
        if registration.core().is_forked() {
            return Poll::Ready(Err(Closed::fork()));
        }
        loop {
            let seen = source.seen();
            if seen.is_closed() {
                waiting.finish();
                return Poll::Ready(Err(registration.why_closed()));
            }
            if seen.any(bits) {
                if !budget::take(cx) {
                    return Poll::Pending;
                }
                let result = match (this.attempt)(seen) {
                    Attempt::WouldBlock => {
                        source.clear(seen, bits);
                        continue;
                    }
                    Attempt::Drained(result) => {
                        source.clear(seen, bits);
                        result
                    }
                    Attempt::Done(result) => result,
                };
                waiting.finish();
                return Poll::Ready(result);
            }
            if waiting.poll(cx).is_pending() {
                budget::give_back();
                return Poll::Pending;
            }
        }
    }
}
