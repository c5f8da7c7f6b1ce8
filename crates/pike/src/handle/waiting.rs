//! One waiter of one registration, inside a suspended future.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::registration::Registration;
use crate::{
    source::{Direction, Wait},
    waiter::{Kind, Node, State},
};

pin_project! {
    /// Suspends its task until the source is ready. Dropped while it waits, it leaves the list; dropped with a wake
    /// that it did not use, it passes that on.
    #[derive(Debug)]
    pub(crate) struct Waiting<'a> {
        registration: &'a Registration,
        direction: Direction,
        #[pin]
        node: Node,
    }

    impl PinnedDrop for Waiting<'_> {
        fn drop(this: Pin<&mut Self>) {
            this.into_ref().finish();
        }
    }
}

#[allow(unsafe_code)]
impl<'a> Waiting<'a> {
    pub(crate) fn new(registration: &'a Registration, direction: Direction, kind: Kind) -> Self {
        Self { registration, direction, node: Node::new(kind) }
    }

    #[inline]
    pub(crate) fn registration(&self) -> &'a Registration {
        self.registration
    }

    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        self.node.kind().bits()
    }

    /// Ready if there may be something now: the caller looks again. Pending once the waiter is linked.
    #[inline]
    pub(crate) fn poll(self: Pin<&Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project_ref();
        let source = this.registration.source();
        let waited = match this.node.state() {
            // SAFETY: this node waits on this source and direction only, and `finish` unlinks it before it is dropped.
            State::Idle | State::Notified => unsafe {
                source.link(*this.direction, this.node, cx.waker().clone())
            },
            // SAFETY: as above.
            State::Front | State::Linked => unsafe { source.relink(*this.direction, this.node, cx.waker()) },
        };
        match waited {
            Wait::Linked => Poll::Pending,
            Wait::Ready => Poll::Ready(()),
        }
    }

    /// Ends the waiting, for whatever reason: leaves the list, or passes on a wake that may still serve another.
    #[inline]
    pub(crate) fn finish(self: Pin<&Self>) {
        if self.node.state() == State::Idle {
            return;
        }
        let this = self.project_ref();
        if this.registration.core().is_forked() {
            return; // nobody in this process will look at that list again (I14)
        }
        // SAFETY: pushed by `poll` on this source and direction, if at all.
        unsafe { this.registration.source().unlink(*this.direction, this.node) };
    }
}
