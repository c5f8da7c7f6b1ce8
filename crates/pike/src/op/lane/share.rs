//! The kernel's share of a lane (I2): a submission takes it, and the final completion ends it. Between the two the address of a
//! block is all that there is.
#![allow(unsafe_code)]

use std::{
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::Arc,
};

use super::{Lane, going_on, outgoing::Outgoing};
use crate::{
    batch::Batch,
    op::block::Block,
    source::Direction,
    sync::atomic::Ordering,
    sys::{Completion, platform},
};

impl Lane {
    /// The direction's block is set, and counted as in flight. What it is part of was exposed.
    #[inline(always)]
    pub(super) fn submit(self: &Arc<Self>, block: &Block, direction: Direction) {
        // The kernel's share: ended by `reap`.
        let _ = Arc::into_raw(Arc::clone(self)).expose_provenance();
        if !self.core().submit(block) {
            let mut batch = Batch::new();
            Self::reap_refused(NonNull::from(block), &mut batch);
            drop(batch); // wakes all
        } else if self.source().seen().is_closed() {
            // Who closed it may have looked before there was anything to end.
            self.stop(direction);
        }
    }

    /// Ends what was submitted and not begun. That takes no turn, which on a bound Notifier that nobody has turned yet would make
    /// the caller its owner.
    #[cold]
    pub(super) fn withdraw(&self) {
        for direction in [Direction::Read, Direction::Write] {
            let in_flight = self.going_on.load(Ordering::Acquire) & going_on::in_flight(direction);
            if in_flight != 0 && self.core().withdraw(self.block(direction)) {
                let mut batch = Batch::new();
                Self::reap_refused(NonNull::from(self.block(direction)), &mut batch);
                drop(batch); // wakes all
            }
        }
    }

    /// Nothing was begun, and nothing follows.
    #[cold]
    fn reap_refused(block: NonNull<Block>, batch: &mut Batch) {
        let result = -platform::CANCELLED;
        Self::reap(Completion { block, result, more: false, buffer: None }, batch);
    }

    /// On the seat: what the kernel said about a block.
    pub(crate) fn reap(completion: Completion, batch: &mut Batch) {
        Self::reap_inline(completion, batch);
    }

    /// As [`Lane::reap`], with what is frequent in it, for the loop over all completions of a turn.
    #[inline(always)]
    pub(crate) fn reap_inline(completion: Completion, batch: &mut Batch) {
        let Completion { block, result, more, buffer } = completion;
        // SAFETY: the block is in flight, so the kernel's share keeps its lane.
        let (lane, outgoing) = unsafe { Self::of(block) };
        // SAFETY: as above; a lane is in an Arc.
        let lane = unsafe { ManuallyDrop::new(Arc::from_raw(lane)) };
        // First what nearly all is: a buffer of a receive that goes on, and the end of a send.
        match (outgoing, buffer) {
            (None, Some(index)) if more && result > 0 && lane.received_first(index, result as u32, batch) => {
            }
            (None, _) => Self::reap_else(lane, result, more, buffer, batch),
            (Some(outgoing), _) => {
                lane.went_out(&outgoing.half, result, batch);
                ManuallyDrop::into_inner(lane).end_share(batch);
            }
        }
    }

    /// For what comes in, but the first buffer of a receive that goes on.
    #[inline(never)]
    fn reap_else(
        lane: ManuallyDrop<Arc<Self>>,
        result: i32,
        more: bool,
        buffer: Option<u32>,
        batch: &mut Batch,
    ) {
        if lane.came_in(result, more, buffer, batch) {
            lane.do_later(batch);
        }
        if !more {
            ManuallyDrop::into_inner(lane).end_share(batch);
        }
    }

    /// The lane, and its place of what goes out if the block is that one's.
    ///
    /// # Safety
    ///
    /// The block is one of a lane, which is in an Arc, and lives as long as the place is looked at.
    #[inline]
    unsafe fn of<'a>(block: NonNull<Block>) -> (*const Self, Option<&'a Outgoing>) {
        // SAFETY: alive, and its role is never written.
        let comes_in = unsafe { block.as_ref() }.is_first();
        // Exposed by `submit`: a reference to the block alone does not reach what is around it. Both begin with their block.
        let address = block.addr().get();
        if comes_in {
            return (ptr::with_exposed_provenance(address), None);
        }
        // SAFETY: it lives as its lane does.
        let outgoing = unsafe { &*ptr::with_exposed_provenance::<Outgoing>(address) };
        (outgoing.lane, Some(outgoing))
    }
}
