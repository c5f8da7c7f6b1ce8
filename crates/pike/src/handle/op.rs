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
        let kind = Kind::new(direction.bits(), true);
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

/// What came of one attempt.
pub(crate) enum Attempt<R> {
    /// The operation is done.
    Done(io::Result<R>, Side),
    /// It is not: nothing was there, or only a part was done.
    Again(Side),
}

/// What an attempt found out about the side it worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// There may be more.
    Open,
    /// There was no more.
    Drained,
}

impl<R> From<io::Result<R>> for Attempt<R> {
    #[inline]
    fn from(result: io::Result<R>) -> Self {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::Again(Side::Drained),
            result => Self::Done(result, Side::Open),
        }
    }
}

impl<R> Attempt<R> {
    #[inline]
    pub(crate) fn side(&self) -> Side {
        let (Self::Done(_, side) | Self::Again(side)) = self;
        *side
    }

    #[inline]
    pub(crate) fn map<U>(self, f: impl FnOnce(R) -> U) -> Attempt<U> {
        match self {
            Self::Done(result, side) => Attempt::Done(result.map(f), side),
            Self::Again(side) => Attempt::Again(side),
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
                let attempt = (this.attempt)(seen);
                if attempt.side() == Side::Drained {
                    source.clear(seen, bits);
                }
                if let Attempt::Done(result, _) = attempt {
                    waiting.finish();
                    return Poll::Ready(result);
                }
                continue;
            }
            if waiting.poll(cx).is_pending() {
                budget::give_back();
                return Poll::Pending;
            }
        }
    }
}
