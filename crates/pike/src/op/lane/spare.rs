//! Lanes that nobody has any more: the next socket takes one, so that connections which come and go cost no allocation.

use std::{ptr::NonNull, sync::Arc, task::Waker};

use super::{Carries, Lane, State};
use crate::{
    batch::Batch,
    notifier::core::Core,
    source::Source,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    sys::Raw,
    token::Token,
};

/// So many are kept; what is more is freed.
const SPARES_MAX: usize = 128;

/// Those of one Notifier, to which none of them refers: they would keep each other alive.
#[derive(Debug)]
pub(crate) struct Spares(pub(super) Mutex<Vec<Arc<Lane>>>);

impl Spares {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn put(&self, lane: Arc<Lane>) {
        let mut spares = self.0.lock();
        if spares.len() < SPARES_MAX {
            spares.push(lane);
        }
    }
}

impl Lane {
    /// A spare one, or a new one.
    pub(crate) fn get(
        core: Arc<Core>,
        descriptor: Raw,
        carries: Carries,
        token: Token,
        source: NonNull<Source>,
    ) -> Arc<Self> {
        // In a child of a fork the lock may be held for ever (I14).
        let spare = if core.is_forked() { None } else { core.spare_lanes().0.lock().pop() };
        let Some(mut spare) = spare else {
            return Self::new(core, descriptor, carries, token, source);
        };
        let lane = Arc::get_mut(&mut spare).expect("a spare lane is nobody's");
        (lane.descriptor, lane.carries) = (descriptor, carries);
        lane.is_message = carries.is_message();
        lane.refuses = AtomicBool::new(false);
        (lane.generation, lane.source) = (token.generation(), source);
        lane.brings = carries.brings(&core);
        lane.core = Some(core);
        spare
    }

    /// Leaves it to another socket. Gives it back if it has something: a request in the kernel, or what one brought.
    pub(crate) fn give_up(mut self: Arc<Self>) -> Result<(), Arc<Self>> {
        // Likewise.
        let lane = Arc::get_mut(&mut self).filter(|lane| !lane.is_forked());
        let core = lane.and_then(|lane| if lane.is_idle() { lane.reset() } else { None });
        match core {
            Some(core) => {
                core.spare_lanes().put(self);
                Ok(())
            }
            None => Err(self),
        }
    }

    /// Whether it is as a new one is, but for memory that it keeps.
    fn is_idle(&mut self) -> bool {
        let takes = self.taking.get_mut().is_some_and(|taking| taking.life.is_busy());
        !takes && !self.is_sending() && !self.is_in_flight() && self.state.lock().is_idle()
    }

    /// Makes it one of nobody.
    fn reset(&mut self) -> Option<Arc<Core>> {
        if let Some(taking) = self.taking.get_mut() {
            taking.forget_spill();
        }
        let mut state = self.state.lock();
        let inbox = std::mem::take(&mut state.inbox); // its memory stays
        *state = State { inbox, ..State::new() };
        self.going_on.store(0, Ordering::Relaxed); // nobody else has it
        drop(state);
        self.core.take()
    }

    /// The kernel's share ends, on the seat.
    #[inline]
    pub(super) fn end_share(self: Arc<Self>, batch: &mut Batch) {
        if let Some(lane) = Arc::into_inner(self) {
            lane.end_with_share(batch);
        }
    }

    /// The socket is gone. If a future was leaked it has left a buffer, which is dropped after the seat was left, as one that
    /// was abandoned is: that is its owner's code (I6).
    #[cold]
    fn end_with_share(mut self, batch: &mut Batch) {
        if self.has_buffer() {
            batch.list().push(Waker::from(Arc::new(self)));
        }
    }

    fn has_buffer(&mut self) -> bool {
        let outgoing = self.outgoing.get_mut().map(|outgoing| &mut outgoing.half);
        let mut halves = self.taking.get_mut().into_iter().chain(outgoing);
        halves.any(|half| half.cargo.is_full())
    }
}
