//! What the kernel brings for who receives or accepts, by whoever reaps it: whose it is, and what becomes of a request that
//! goes on.

use std::sync::Arc;

use super::{
    Carries, Lane, Receiving, Request, State,
    inbox::{Copied, Datagram, Delivered},
};
use crate::{
    batch::Batch,
    op::life::Completed,
    socket::{Address, Descriptor},
    source::{Direction, READABLE},
    sys::platform,
};

/// At so many undelivered buffers a socket's receive is cancelled (I11).
const UNDELIVERED_MAX: usize = 4;
/// At so many connections that nobody has accepted a listener's accept is cancelled. The rest waits in the system's queue.
const UNACCEPTED_MAX: usize = 16;

impl Lane {
    /// What a receive whose future is gone brought is for the next.
    pub(super) fn keep(&self, state: &mut State, result: i32) {
        match result {
            1.. => {}
            0 if self.is_message => {}
            0 if self.carries == Carries::File => return state.inbox.push(Delivered::End), // a terminal tells it once
            0 => return, // the end is told as often as one asks
            code => {
                if platform::is_told_once(-code) {
                    state.inbox.push(Delivered::Failed(-code));
                }
                return;
            }
        }
        // SAFETY: the caller owns the operation, whose request and buffer are as they were.
        #[allow(unsafe_code)]
        let (bytes, sender) = unsafe { self.arrived(result as usize) };
        state.inbox.push(match self.is_message {
            true => Delivered::Datagram(Box::new(Datagram { bytes, sender })),
            false => Delivered::Copied(Box::new(Copied { bytes, from: 0 })),
        });
    }

    /// # Safety
    ///
    /// The kernel is done with the receive, brought `count` bytes, and the caller owns it.
    #[allow(unsafe_code)]
    unsafe fn arrived(&self, count: usize) -> (Vec<u8>, Option<Address>) {
        // SAFETY: it is set by who begins the next one only.
        match unsafe { self.incoming.request() } {
            Request::Receive { at, .. } | Request::Read { at, .. } => {
                // SAFETY: as many bytes were written there.
                (unsafe { std::slice::from_raw_parts(at, count) }.to_vec(), None)
            }
            Request::ReceiveMessage { envelope, .. } => {
                // SAFETY: it is the operation's.
                let envelope = unsafe { &*envelope };
                // SAFETY: its memory is where it was, and as many bytes were written there.
                (unsafe { envelope.copy(count) }, envelope.sender().ok())
            }
            // SAFETY: passed on to the caller.
            Request::ReceivePooled { envelope, slot, .. } => unsafe {
                Self::arrived_pooled(envelope, slot, count)
            },
            other => unreachable!("a receive into a buffer is none: {other:?}"),
        }
    }

    /// True as for [`Lane::ends`].
    pub(super) fn came_in(
        self: &Arc<Self>,
        result: i32,
        more: bool,
        buffer: Option<u32>,
        batch: &mut Batch,
    ) -> bool {
        // SAFETY: it is in flight until this returns.
        #[allow(unsafe_code)]
        match unsafe { self.incoming.request() } {
            Request::ReceiveMany { .. } => self.received_else(result, more, buffer, batch),
            Request::AcceptMany { .. } => self.accepted(result, more, batch),
            Request::ReceivePooled { slot, .. } => self.received_pooled(slot, result, buffer, batch),
            _ => self.received_once(result, batch),
        }
    }

    pub(super) fn received_once(self: &Arc<Self>, result: i32, batch: &mut Batch) -> bool {
        let mut state = self.state.lock();
        let later = self.ends(Direction::Read);
        // Nobody else reads before its future has the result: what comes later must not overtake.
        match self.half(Direction::Read).life.complete(result) {
            Completed::ForTheFuture(waker) => {
                drop(state);
                batch.list().extend(waker);
                if self.source().is_waited_for(Direction::Read) {
                    self.report(READABLE, batch); // for those who only look
                }
            }
            Completed::ForNobody => {
                if state.closed.is_none() {
                    self.keep(&mut state, result);
                }
                self.set_receiving(&mut state, Receiving::NobodyReceives);
                let waker = self.abandon(&mut state, Direction::Read);
                drop(state);
                batch.list().push(waker);
                self.report(READABLE, batch);
            }
        }
        later
    }

    /// By a receive that goes on: `len` bytes in this buffer of the pool, where those before have been taken, as nearly always.
    /// False if they have not, or nobody will ask for these: nothing was done.
    #[inline(always)]
    pub(super) fn received_first(&self, buffer: u32, len: u32, batch: &mut Batch) -> bool {
        let mut state = self.state.lock();
        let is_done = state.closed.is_none() && state.inbox.push_first(buffer, len);
        drop(state);
        if is_done {
            self.report_inline(READABLE, batch);
        }
        is_done
    }

    /// Whatever else a receive that goes on comes to.
    fn received_else(
        self: &Arc<Self>,
        result: i32,
        more: bool,
        buffer: Option<u32>,
        batch: &mut Batch,
    ) -> bool {
        let mut state = self.state.lock();
        let is_open = state.closed.is_none();
        let mut unused = None;
        match (result, buffer) {
            (1.., Some(buffer)) if is_open => {
                state.inbox.push(Delivered::Bytes { buffer, from: 0, to: result as u32 });
            }
            (0, buffer) => {
                unused = buffer;
                state.inbox.push(Delivered::End);
            }
            (code, buffer) => {
                unused = buffer;
                match -code {
                    _ if code > 0 => {} // closed: nobody will ask for it
                    platform::CANCELLED => {}
                    platform::NO_BUFFERS => state.dry = true,
                    code => state.inbox.push(Delivered::Failed(code)),
                }
            }
        }
        let next = self.go_on_or_stop(&mut state, more, UNDELIVERED_MAX);
        drop(state);
        if next == Next::Stop {
            self.stop(Direction::Read);
        }
        if let Some(buffer) = unused {
            self.pool().adopt(buffer).give_back(batch);
        }
        self.report(READABLE, batch);
        next == Next::EndedLater
    }

    fn accepted(self: &Arc<Self>, result: i32, more: bool, batch: &mut Batch) -> bool {
        let connection = (result >= 0).then(|| platform::adopt_accepted(result));
        let mut state = self.state.lock();
        let mut refused = None;
        let is_news = state.inbox.is_empty() || !more;
        match (connection, state.closed) {
            (Some(connection), None) => state.inbox.push(Delivered::Connection(connection)),
            (Some(connection), Some(lingers)) => refused = Some(Descriptor::new(connection, lingers)),
            // Whoever waits asks the system, which has the error too, if it is one that lasts.
            (None, _) => state.refused |= -result == platform::INVALID,
        }
        let next = self.go_on_or_stop(&mut state, more, UNACCEPTED_MAX);
        drop(state);
        drop(refused); // nobody will accept it (I7)
        if next == Next::Stop {
            self.stop(Direction::Read);
        }
        if is_news {
            self.report(READABLE, batch); // who is woken wakes the next while there is more
        }
        next == Next::EndedLater
    }

    /// What becomes of a request that goes on. At `max` things that nobody has taken it is stopped.
    #[inline]
    fn go_on_or_stop(&self, state: &mut State, more: bool, max: usize) -> Next {
        if !more {
            let later = self.ends(Direction::Read);
            self.set_receiving(state, Receiving::NobodyReceives);
            return if later { Next::EndedLater } else { Next::Nothing };
        }
        let goes_on = matches!(state.receiving, Receiving::TheKernelReceives | Receiving::TheKernelAccepts);
        if goes_on && state.inbox.len() >= max {
            state.receiving = Receiving::TheKernelWasAskedToStop;
            return Next::Stop;
        }
        Next::Nothing
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    /// The caller is to stop it, with no lock.
    Stop,
    /// It has ended, and something is to be done now.
    EndedLater,
}
