//! Ending an operation so that its descriptor may be closed, without a turn.

use std::sync::atomic::Ordering;

use super::{Driver, cancel, ops::At};
use crate::op::block::Block;

impl Driver {
    /// Whether what was submitted had not been begun, and never will be: nothing follows.
    pub(crate) fn withdraw(&self, block: &Block) -> bool {
        self.mailbox.withdraw(At::of(block))
    }

    /// Whether the kernel has let go of what was submitted, or never had it: nothing names its descriptor any more, and it
    /// ends by a final completion as ever. If not, it is where only the seat reaches it, or it has ended, or the ring is
    /// another thread's, or the kernel too old. After the shutdown the kernel has all that it ever gets, and by no number.
    pub(crate) fn cancel_now(&self, block: &Block) -> bool {
        let at = At::of(block);
        self.mailbox.refuse(at)
            || cancel::cancel(self.ring, at.key()).is_ok()
            || self.ended.load(Ordering::Acquire)
    }
}
