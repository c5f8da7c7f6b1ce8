//! Sends and connects: one in flight, and who comes later waits.

use std::{mem, net::Shutdown, sync::Arc, task::Context};

use super::{Lane, Request, Unsent, half::Pieces};
use crate::{batch::Batch, op::life::Completed, source::Direction};

impl Lane {
    /// Whether a send is in the kernel, or one that was has not been looked at.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending.life.is_busy()
    }

    /// Starts to send what `name` names of `buffer`. Gives the buffer back if another send is under way, or others wait.
    pub(crate) fn send<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: B,
        flags: i32,
        name: impl FnOnce(&B, &mut Pieces<'_>),
    ) -> Result<(), B> {
        self.go_out(cx, buffer, |lane, buffer| {
            // SAFETY: this operation has just begun, and is nobody else's.
            let mut pieces = unsafe { Pieces::new(&lane.sending, lane.is_message) };
            name(buffer, &mut pieces);
            pieces.send(lane.descriptor, flags)
        })
    }

    fn go_out<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: B,
        request: impl FnOnce(&Self, &B) -> Request,
    ) -> Result<(), B> {
        if self.source().is_waited_for(Direction::Write) || !self.sending.life.begin(cx.waker()) {
            return Err(buffer);
        }
        self.state.lock().in_flight[Direction::Write as usize] = true;
        // If `request` panics, nothing was submitted.
        let unsent = Unsent(self, Direction::Write);
        // SAFETY: this operation has just begun, so the place is empty and ours.
        let buffer = unsafe { self.sending.cargo.put(buffer) };
        // SAFETY: it is there, and stays until the final completion; nobody calls it meanwhile.
        let request = request(self, unsafe { buffer.as_ref() });
        // SAFETY: this operation has just begun.
        unsafe { self.outgoing.set(request) };
        mem::forget(unsent);
        self.submit(Direction::Write);
        Ok(())
    }

    /// Ends writing (and reading) once the send that is under way has ended. False if there is none.
    pub(crate) fn shutdown_later(&self, how: Shutdown) -> bool {
        let mut state = self.state.lock();
        let busy = self.sending.life.is_in_the_kernel();
        if busy {
            state.shutdown = Some(how);
        }
        busy
    }

    pub(super) fn went_out(self: &Arc<Self>, result: i32, batch: &mut Batch) {
        match self.sending.life.complete(result) {
            Completed::ForTheFuture(waker) => batch.list().extend(waker),
            Completed::ForNobody => {
                let waker = self.abandon(&mut self.state.lock(), Direction::Write);
                batch.list().push(waker);
            }
        }
    }
}
