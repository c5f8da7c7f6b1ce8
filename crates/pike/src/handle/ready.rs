//! Waiting for readiness as such, consuming nothing.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    registration::Registration,
    waiting::{Special, Waiting},
};
use crate::{
    Closed, budget,
    interest::{Interest, Ready},
    source::{self, Direction},
    waiter::Kind,
};

pin_project! {
    /// Resolves once any of its interests is ready. A waiter on each side that it looks at.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct UntilReady<'a> {
        #[pin]
        read: Waiting<&'a Registration, Special>,
        #[pin]
        write: Waiting<&'a Registration, Special>,
        registration: &'a Registration,
    }
}

impl<'a> UntilReady<'a> {
    pub(crate) fn new(registration: &'a Registration, interest: Interest) -> Self {
        let (read, write) = interest.bits();
        let waiting =
            |direction, bits| Waiting::new(registration, Special { direction, kind: Kind::new(bits, false) });
        Self { read: waiting(Direction::Read, read), write: waiting(Direction::Write, write), registration }
    }
}

impl Future for UntilReady<'_> {
    type Output = io::Result<Ready>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        let this = self.project();
        if this.registration.core().is_forked() {
            return Poll::Ready(Err(Closed::fork()));
        }
        let mut sides = [this.read, this.write];
        let wanted = sides[0].bits() | sides[1].bits();
        loop {
            let seen = this.registration.source().seen();
            if seen.is_closed() {
                return Poll::Ready(Err(this.registration.why_closed()));
            }
            if seen.any(wanted) {
                if wanted & source::PRIORITY != 0 && this.registration.is_priority_over(seen) {
                    this.registration.source().clear(seen, source::PRIORITY);
                    continue;
                }
                if !budget::take(cx) {
                    return Poll::Pending;
                }
                sides.iter_mut().for_each(|side| side.as_mut().finish());
                // The peer's end may come after the data that is told of: a port, whose request has ended, is asked again. If it
                // cannot tell, who reads finds out.
                if wanted & source::READABLE != 0 && !seen.any(source::READ_CLOSED) {
                    let _ = this.registration.arm(seen, Direction::Read, source::READ_BITS);
                }
                return Poll::Ready(Ok(Ready::from_bits(seen.bits())));
            }
            let mut pending = true;
            for side in &mut sides {
                pending = pending && (side.bits() == 0 || side.as_mut().poll(cx, seen)?.is_pending());
            }
            if pending {
                return Poll::Pending;
            }
        }
    }
}
