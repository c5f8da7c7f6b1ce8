//! A readiness operation: try the system call, wait for the edge, try again.

use std::{
    future::Future,
    io,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{
    registration::Registration,
    waiting::{Aim, Place, Waiting},
};
use crate::{budget, source::Seen};

/// What an operation does when its side is ready: most often one system call.
pub(crate) trait Work<R> {
    /// What an attempt that succeeds brings.
    type Brings;

    fn attempt(&mut self, seen: Seen) -> Attempt<Self::Brings>;

    /// Makes the result of it, once the operation waits no more.
    fn complete(&mut self, brought: Self::Brings) -> R;

    /// Whether it was asked for nothing, and so has nothing to wait for.
    #[inline]
    fn is_nothing(&self) -> bool {
        false
    }
}

impl<R, F: FnMut(Seen) -> Attempt<R>> Work<R> for F {
    type Brings = R;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<R> {
        self(seen)
    }

    #[inline]
    fn complete(&mut self, brought: R) -> R {
        brought
    }
}

/// What came of one attempt, and what it found out about the side that it worked on.
#[derive(Debug)]
pub(crate) enum Attempt<R> {
    /// The operation is done, and there may be more.
    Done(R),
    /// The operation is done, and there was no more.
    Drained(R),
    /// It is done in part, and there may be more.
    Partly,
    /// It is not done, or in part, and there was no more.
    Empty,
    /// The system call failed. `WouldBlock` is the same as `Empty`.
    Failed(io::Error),
}

impl<R> From<io::Result<R>> for Attempt<R> {
    #[inline]
    fn from(result: io::Result<R>) -> Self {
        match result {
            Ok(result) => Self::Done(result),
            Err(error) => Self::Failed(error),
        }
    }
}

impl<R> Attempt<R> {
    /// The same of what `f` makes of the result.
    #[inline]
    pub(crate) fn map<T>(self, f: impl FnOnce(R) -> T) -> Attempt<T> {
        match self {
            Self::Done(result) => Attempt::Done(f(result)),
            Self::Drained(result) => Attempt::Drained(f(result)),
            Self::Partly => Attempt::Partly,
            Self::Empty => Attempt::Empty,
            Self::Failed(error) => Attempt::Failed(error),
        }
    }
}

/// The error, if it is one. Out of line: the way of an operation that succeeds has no room for it.
#[cold]
pub(crate) fn unless_would_block(error: io::Error) -> Option<io::Error> {
    (error.kind() != io::ErrorKind::WouldBlock).then_some(error)
}

pin_project! {
    /// Runs `work` until it is done. Dropped at any time it has either done nothing or returned its result.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Op<'a, A: Aim, W, R> {
        #[pin]
        waiting: Waiting<&'a Registration, A>,
        work: W,
        _result: PhantomData<fn() -> R>,
    }
}

impl<'a, A: Aim, W: Work<R>, R> Op<'a, A, W, R> {
    #[inline]
    pub(crate) fn new(registration: &'a Registration, aim: A, work: W) -> Self {
        Self { waiting: Waiting::new(registration, aim), work, _result: PhantomData }
    }
}

impl<'a, A: Aim, W, R> Op<'a, A, W, R> {
    /// The work, which is not pinned.
    #[inline]
    pub(crate) fn work(self: Pin<&mut Self>) -> &mut W {
        self.project().work
    }

    #[inline]
    pub(crate) fn registration(&self) -> &'a Registration {
        self.waiting.place()
    }

    /// Waits no more, without having been done.
    pub(crate) fn stop(self: Pin<&mut Self>) {
        self.project().waiting.finish();
    }
}

impl<A: Aim, W: Work<R>, R> Future for Op<'_, A, W, R> {
    type Output = io::Result<R>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<R>> {
        let this = self.project();
        poll_work(this.waiting, this.work, cx)
    }
}

/// Does the work as soon as it can be done, or waits.
///
/// What is rare is out of line, and each end of an attempt has a way of its own: this is most of what an operation costs beside
/// its system call, and merging the ways costs more than it saves.
#[inline(always)]
pub(crate) fn poll_work<P: Place, A: Aim, W: Work<R>, R>(
    mut waiting: Pin<&mut Waiting<P, A>>,
    work: &mut W,
    cx: &mut Context<'_>,
) -> Poll<io::Result<R>> {
    let (place, bits) = (waiting.place(), waiting.bits());
    let source = place.registration().source();
    loop {
        let seen = ready!(waiting.as_mut().poll_ready(cx, || work.is_nothing())?);
        if !budget::take(cx) {
            return Poll::Pending;
        }
        let brought = match work.attempt(seen) {
            Attempt::Done(brought) => {
                waiting.finish();
                brought
            }
            Attempt::Drained(brought) => {
                match source.clear(seen, bits) {
                    true => waiting.finish_drained(),
                    false => waiting.finish(),
                }
                brought
            }
            Attempt::Failed(error) => {
                if let Some(error) = unless_would_block(error) {
                    waiting.finish();
                    return Poll::Ready(Err(error));
                }
                source.clear(seen, bits);
                budget::give_back();
                continue;
            }
            Attempt::Empty => {
                source.clear(seen, bits);
                budget::give_back();
                continue;
            }
            Attempt::Partly => {
                budget::give_back();
                continue;
            }
        };
        return Poll::Ready(Ok(work.complete(brought)));
    }
}
