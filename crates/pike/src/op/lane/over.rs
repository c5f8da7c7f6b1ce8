//! Operations that are over, or were never submitted: what they needed goes, and others may begin.
#![allow(unsafe_code)]

use std::{
    mem,
    sync::Arc,
    task::{Wake, Waker},
};

use super::{Lane, State};
use crate::{batch::Batch, source::Direction};

impl Lane {
    /// Has the buffer of an operation dropped whose future is gone, after the seat was left: that is its owner's code (I6).
    pub(super) fn abandon(self: &Arc<Self>, state: &mut State, direction: Direction) -> Waker {
        state.abandoned |= 1 << direction as u8;
        Waker::from(Arc::clone(self))
    }
}

/// Drops the buffers of operations whose futures are gone.
impl Wake for Lane {
    fn wake(self: Arc<Self>) {
        // Of a fork within a waker, the child has what the dispatch had left: the buffer goes with its copy of the lane (I14).
        if self.is_forked() {
            return;
        }
        let abandoned = mem::take(&mut self.state.lock().abandoned);
        // Both are dropped, even if one panics.
        let of = |direction| (abandoned & 1 << direction as u8 != 0).then(|| Abandoned(&self, direction));
        let _both = (of(Direction::Read), of(Direction::Write));
    }
}

/// An operation that is done, and whose future is gone: by who has it then, once. Its buffer goes, whose drop is its
/// owner's code, and then others may begin.
pub(super) struct Abandoned<'a>(pub(super) &'a Lane, pub(super) Direction);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let Self(lane, direction) = *self;
        let _release = Release(lane, direction); // if the buffer panics, too
        // SAFETY: the kernel is done, and whoever made this has the operation.
        unsafe { lane.half(direction).cargo.clear() };
    }
}

/// Ends an operation that is done.
pub(super) struct Release<'a>(pub(super) &'a Lane, pub(super) Direction);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release(self.1);
    }
}

/// Ends an operation that was begun and not submitted.
pub(super) struct Unsent<'a>(pub(super) &'a Lane, pub(super) Direction);

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        let Self(lane, direction) = *self;
        let mut batch = Batch::new(); // wakes all, last
        if lane.ends(direction) {
            lane.do_later(&mut batch);
        }
        let _waker = lane.half(direction).life.take_waker();
        drop(Abandoned(lane, direction)); // nothing was submitted, so this is its only owner
    }
}
