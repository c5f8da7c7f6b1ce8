//! A readiness operation: try the system call, wait for the edge, try again.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    registration::Registration,
    waiting::{Aim, Waiting},
};
use crate::{budget, source::Seen, sys::platform};

pin_project! {
    /// Runs `attempt` until it is done. Dropped at any time it has either done nothing or returned its result.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Op<'a, A: Aim, F> {
        #[pin]
        waiting: Waiting<'a, A>,
        attempt: F,
    }
}

impl<'a, A: Aim, F> Op<'a, A, F> {
    #[inline]
    pub(crate) fn new(registration: &'a Registration, aim: A, attempt: F) -> Self {
        Self { waiting: Waiting::new(registration, aim), attempt }
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

impl<A, F, R> Future for Op<'_, A, F>
where
    A: Aim,
    F: FnMut(Seen) -> Attempt<R>,
{
    type Output = io::Result<R>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.project();
        let waiting = this.waiting.into_ref();
        let source = waiting.registration().source();
        let bits = waiting.bits();
        loop {
            let mut seen = source.seen().with(platform::forked());
            if seen.is_closed() {
                match waiting.look_again() {
                    Ok(word) => seen = word,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if !seen.any(bits) {
                match waiting.poll(cx, seen) {
                    Poll::Ready(()) => continue,
                    Poll::Pending => return Poll::Pending,
                }
            }
            if !budget::check(cx) {
                return Poll::Pending;
            }
            let attempt = (this.attempt)(seen);
            let nothing_left = attempt.side() == Side::Drained && source.clear(seen, bits);
            if let Attempt::Done(result, _) = attempt {
                budget::spend();
                match nothing_left {
                    true => waiting.finish_drained(),
                    false => waiting.finish(),
                }
                return Poll::Ready(result);
            }
        }
    }
}
