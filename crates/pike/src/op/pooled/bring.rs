//! A receive of what the kernel brings by itself, in buffers of the pool.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{Endpoint, Received};
use crate::{
    budget,
    buf::{Lease, Slot},
    handle::{
        op::{Attempt, Work, poll_work},
        waiting::{Comes, Place, Waiting},
    },
    op::lane::{Found, Lane},
    socket::{Flavour, Socket},
    source::Seen,
};

/// A socket for which the kernel brings what comes in.
#[derive(Clone, Copy)]
pub(super) struct Bringing<'a> {
    socket: &'a Socket,
    lane: &'a Arc<Lane>,
}

impl<'a> Bringing<'a> {
    /// If this is one, and has its lane.
    #[inline]
    pub(super) fn of(at: Endpoint<'a>) -> Option<Self> {
        let Endpoint::Socket(socket) = at else { return None };
        let lane = socket.descriptor().lane().filter(|lane| lane.brings())?;
        Some(Self { socket, lane })
    }

    /// If this is one, whose lane may have to be made.
    pub(super) fn find(at: Endpoint<'a>) -> Option<Self> {
        match at {
            // Of a Unix stream the kernel brings nothing, and its lane is for others to make.
            Endpoint::Socket(socket) if socket.flavour() == Flavour::Tcp => {
                socket.native_lane()?;
                Self::of(at)
            }
            _ => None,
        }
    }

    /// Waits for what the kernel brings, and takes it. `Comes::Brought`.
    #[inline(always)]
    pub(super) fn poll<P: Place>(
        self,
        mut waiting: Pin<&mut Waiting<P, Comes>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Received<()>>> {
        let seen = ready!(waiting.as_mut().poll_ready(cx, move || self.is_nothing())?);
        if !budget::take(cx) {
            return Poll::Pending;
        }
        let Some((lease, is_last)) = self.lane.lease_bytes() else {
            budget::give_back();
            return self.poll_else(waiting, cx);
        };
        match is_last && self.socket.handle().registration().source().clear(seen, waiting.bits()) {
            true => waiting.finish_drained(),
            false => waiting.finish(),
        }
        Poll::Ready(Ok(Received::Some(lease, ())))
    }

    /// The same where the next is no buffer.
    #[cold]
    fn poll_else<P: Place>(
        self,
        waiting: Pin<&mut Waiting<P, Comes>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Received<()>>> {
        poll_work(waiting, &mut self.into_slot(&mut None), cx)
    }

    /// `slot`: the buffer that it waited for, when the pool was dry.
    pub(super) fn into_slot<'s>(self, slot: &'s mut Option<Slot>) -> Bring<'a, 's> {
        Bring { from: self, slot }
    }

    /// As long as nobody receives, nothing will be reported: the kernel has to be asked first, ready or not.
    #[inline(always)]
    fn is_nothing(self) -> bool {
        !self.lane.is_receiving()
    }
}

/// Takes what the kernel brings, and has it bring more.
pub(super) struct Bring<'a, 's> {
    from: Bringing<'a>,
    slot: &'s mut Option<Slot>,
}

impl Work<Received<()>> for Bring<'_, '_> {
    type Brings = Received<()>;

    fn attempt(&mut self, seen: Seen) -> Attempt<Received<()>> {
        match self.from.lane.lease() {
            Found::Delivered(Some(lease)) => Attempt::Done(Received::Some(lease, ())),
            Found::Delivered(None) => self.copy(seen),
            Found::Failed(error) => Attempt::Failed(error),
            Found::Wait => Attempt::Empty,
            Found::Free => self.begin(seen),
        }
    }

    fn complete(&mut self, brought: Received<()>) -> Received<()> {
        brought
    }

    fn is_nothing(&self) -> bool {
        self.from.is_nothing()
    }
}

impl Bring<'_, '_> {
    /// Has the kernel receive.
    fn begin(&mut self, seen: Seen) -> Attempt<Received<()>> {
        // Nobody receives: the kernel has not begun, or was stopped, or the pool was dry. If the pool still is, a receive by the
        // kernel would end at once although there is nothing to receive, and this would spin. So who was told that it is dry
        // waits for a buffer that the kernel has no part in, and makes the system call.
        let was_dry = self.slot.is_some();
        if let Some(mut slot) = self.slot.take() {
            match self.from.socket.attempt_fill(seen, slot.room()) {
                Attempt::Done(count) | Attempt::Drained(count) => {
                    return Attempt::Done(Received::Some(Lease::new(slot, count), ()));
                }
                Attempt::Failed(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Attempt::Failed(error);
                }
                _ => {}
            }
        } else if self.from.lane.is_dry() {
            return Attempt::Done(Received::NoBuffer);
        }
        match self.from.lane.arm(was_dry) {
            Ok(()) => Attempt::Empty,
            Err(error) => Attempt::Failed(error),
        }
    }

    /// Of what was left by a receive into another buffer.
    fn copy(&mut self, seen: Seen) -> Attempt<Received<()>> {
        let slot = match self.slot.take() {
            Some(slot) => Some(slot),
            None => match self.from.socket.core().pool().take() {
                Ok(slot) => slot,
                Err(error) => return Attempt::Failed(error),
            },
        };
        let Some(mut slot) = slot else { return Attempt::Done(Received::NoBuffer) };
        match self.from.socket.attempt_fill(seen, slot.room()) {
            Attempt::Done(count) | Attempt::Drained(count) => {
                Attempt::Done(Received::Some(Lease::new(slot, count), ()))
            }
            Attempt::Failed(error) => Attempt::Failed(error),
            Attempt::Partly | Attempt::Empty => Attempt::Empty,
        }
    }
}
