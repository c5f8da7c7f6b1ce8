//! How it ends: a cancel, a shutdown that waits for the send before it, a close that waits for both requests.

use std::{mem, net::Shutdown};

use super::{Lane, Receiving, Undelivered, going_on};
use crate::{
    batch::Batch,
    socket::Descriptor,
    source::{Direction, READABLE, WRITABLE},
    sync::atomic::Ordering,
    sys::platform,
};

impl Lane {
    /// The socket has ended reading by itself, which not every system tells a receive that is under way: that is asked to
    /// end, and begun again.
    pub(crate) fn reads_no_more(&self) {
        if !platform::REPORTS_SHUTDOWN
            && self.going_on.load(Ordering::Acquire) & going_on::in_flight(Direction::Read) != 0
        {
            self.stop(Direction::Read);
        }
    }

    /// Both requests are asked to end, for a socket that is cancelled or closed. What they bring is as ever.
    pub(crate) fn cancel(&self) {
        if self.is_forked() {
            return;
        }
        let mut state = self.state.lock();
        let receives = match state.receiving {
            Receiving::TheKernelReceives | Receiving::TheKernelAccepts => {
                state.receiving = Receiving::TheKernelWasAskedToStop; // which still receives
                true
            }
            Receiving::OneReceives => true,
            Receiving::NobodyReceives | Receiving::TheKernelWasAskedToStop => false,
        };
        drop(state);
        if receives {
            self.stop(Direction::Read);
        }
        // An exchange, as who begins one makes: this sees what has begun, or that one sees that the source was closed before.
        if self.going_on.fetch_or(0, Ordering::AcqRel) & going_on::in_flight(Direction::Write) != 0 {
            self.stop(Direction::Write);
        }
    }

    /// Whether the kernel does anything for the socket.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.going_on.load(Ordering::Acquire) & going_on::IN_FLIGHT != 0
    }

    /// All that nobody has taken, of a descriptor that is taken elsewhere, for which nothing is in flight any more.
    pub(crate) fn take_undelivered(&self) -> Undelivered {
        let mut state = self.state.lock();
        // The reaper may be about to do this, and the number be another's by then.
        if let Some(how) = state.shutdown.take() {
            let _ = platform::shutdown_raw(self.descriptor, how);
        }
        let inbox = mem::take(&mut state.inbox);
        drop(state);
        Undelivered::new(inbox, self.pool())
    }

    /// Keeps a descriptor until nothing that names it is in flight, and closes it then. Gives it back if it can be closed
    /// now.
    pub(crate) fn close(&self, descriptor: platform::Owned, lingers: bool) -> Option<platform::Owned> {
        if self.is_forked() {
            return Some(descriptor);
        }
        let mut state = self.state.lock();
        let inbox = mem::take(&mut state.inbox);
        // From here on nobody else touches the descriptor, before it is left to who reaps.
        state.closed = Some(lingers);
        let shutdown = state.shutdown.take();
        drop(state);
        // After the unlock: it may wake who waits for a buffer. Connections end as what was not accepted does, without waiting.
        for connection in Undelivered::new(inbox, self.pool()).connections {
            drop(Descriptor::new(connection, lingers));
        }
        // Where the kernel lets go of a descriptor at once, the peer is told at once.
        let in_flight = self.going_on.load(Ordering::Acquire);
        let lets_go = |direction: Direction| {
            in_flight & going_on::in_flight(direction) == 0 || self.core().cancel_now(self.block(direction))
        };
        // Both are asked, so that nothing that was not begun yet is ever begun with this number. A Notifier that is closed may have
        // a turn under way still, which begins what was mailed: only the backend knows when it does not.
        if lets_go(Direction::Read) & lets_go(Direction::Write) {
            return Some(self.shut_down(descriptor, shutdown));
        }
        let mut state = self.state.lock();
        if self.going_on.fetch_or(going_on::LATER, Ordering::AcqRel) & going_on::IN_FLIGHT == 0 {
            return Some(self.shut_down(descriptor, shutdown)); // meanwhile
        }
        state.shutdown = shutdown;
        state.closing = Some(descriptor);
        drop(state);
        self.cancel();
        None
    }

    /// Does what was to be done once the send had ended.
    fn shut_down(&self, descriptor: platform::Owned, how: Option<Shutdown>) -> platform::Owned {
        if let Some(how) = how {
            // It fails if the connection is gone, and then the peer knows.
            let _ = platform::shutdown_raw(self.descriptor, how);
        }
        descriptor
    }

    /// Does what was to be done once requests had ended.
    #[cold]
    pub(super) fn do_later(&self, batch: &mut Batch) {
        let mut state = self.state.lock();
        let in_flight = self.going_on.load(Ordering::Acquire);
        // Closed by its owner, it may be another's number by now.
        let is_ours = state.closed.is_none() || state.closing.is_some();
        let mut shut = None;
        if in_flight & going_on::in_flight(Direction::Write) == 0 {
            let shutdown = state.shutdown.take();
            if let Some(how) = shutdown.filter(|_| is_ours) {
                // It fails if the connection is gone, and then the peer knows. Under the lock: who closes it comes after.
                let _ = platform::shutdown_raw(self.descriptor, how);
                shut = Some(how);
            }
        }
        let closing = if in_flight & going_on::IN_FLIGHT == 0 { state.closing.take() } else { None };
        if state.shutdown.is_none() && state.closing.is_none() {
            self.going_on.fetch_and(!going_on::LATER, Ordering::AcqRel);
        }
        let lingers = state.closed == Some(true);
        drop(state);
        if shut.is_some() && !platform::REPORTS_SHUTDOWN {
            self.report(READABLE | WRITABLE, batch);
        }
        if shut.is_some_and(|how| how != Shutdown::Write) {
            self.reads_no_more();
        }
        if let Some(descriptor) = closing {
            drop(Descriptor::new(descriptor, lingers));
        }
    }
}
