//! Receives and accepts, by the futures that ask for them: what they find, and what they begin. What the kernel brings is in
//! `arrivals`.

use std::{io, mem, sync::Arc, task::Context};

use super::{
    Carries, Lane, Receiving, Request, State, Unsent, going_on,
    half::{Half, Pieces},
    inbox::{Emptied, Front},
};
use crate::{buf::Lease, socket::Address, source::Direction, sync::atomic::Ordering, sys::platform};

/// What a reader finds.
pub(crate) enum Found<T> {
    /// This came before anything that a system call could bring.
    Delivered(T),
    Failed(io::Error),
    /// Nothing, and a request in the kernel: no system call before that has ended.
    Wait,
    /// Nothing, and nobody receives.
    Free,
}

impl<T> From<Front<T>> for Option<Found<T>> {
    fn from(front: Front<T>) -> Self {
        match front {
            Front::Taken(taken) => Some(Found::Delivered(taken)),
            Front::Failed(code) => Some(Found::Failed(io::Error::from_raw_os_error(code))),
            Front::Empty => None,
        }
    }
}

impl State {
    /// What a reader that takes what the kernel brings makes of an empty inbox.
    fn wait_or_free<T>(&mut self) -> Found<T> {
        if self.receiving == Receiving::NobodyReceives {
            return Found::Free;
        }
        self.turned_away = true;
        Found::Wait
    }
}

impl Lane {
    /// A reader's look that takes up to `len` bytes, or one buffer's or datagram's, with `take`. `peek`: it leaves them.
    pub(crate) fn read<T>(
        &self,
        len: usize,
        peek: bool,
        take: impl FnOnce(&[u8], Option<Address>) -> T,
    ) -> Found<T> {
        let mut emptied = None;
        let mut state = self.state.lock();
        let found = Option::from(state.inbox.read(self.pool(), len, peek, &mut emptied, take));
        let stop = found.is_none() && state.receiving == Receiving::TheKernelReceives;
        if stop {
            state.receiving = Receiving::TheKernelWasAskedToStop;
        }
        let found = match (found, state.receiving) {
            (Some(found), _) => found,
            (None, Receiving::TheKernelAccepts) => Found::Free, // the system says what it thinks of that
            (None, _) => state.wait_or_free(),
        };
        drop(state);
        drop(emptied); // after the unlock: it may wake who waits for a buffer
        if stop {
            self.stop(Direction::Read);
        }
        found
    }

    /// The look of somebody who makes a system call of his own: whether that may be. Whatever the kernel does by itself is
    /// asked to end. `Found::Delivered`: something has arrived that comes first.
    pub(crate) fn step_aside(&self) -> Found<()> {
        let mut state = self.state.lock();
        if !state.inbox.is_empty() {
            return Found::Delivered(());
        }
        let stop = matches!(state.receiving, Receiving::TheKernelReceives | Receiving::TheKernelAccepts);
        if stop {
            state.receiving = Receiving::TheKernelWasAskedToStop;
        }
        let found = state.wait_or_free();
        drop(state);
        if stop {
            self.stop(Direction::Read);
        }
        found
    }

    /// A pooled receive's look: the next buffer, whole, if that is what comes next, as it nearly always is. And whether nothing
    /// is left while the kernel receives: what comes then is reported, as is the end of the receive.
    #[inline(always)]
    pub(crate) fn lease_bytes(&self) -> Option<(Lease, bool)> {
        let mut state = self.state.lock();
        let lease = state.inbox.lease_bytes(self.pool())?;
        Some((lease, state.inbox.is_empty() && state.receiving == Receiving::TheKernelReceives))
    }

    /// The same of whatever comes next. None in it if the next bytes are in no buffer: they are to be read. `Found::Free`: nobody
    /// receives; [`Lane::is_dry`] says whether for want of a buffer.
    pub(crate) fn lease(&self) -> Found<Option<Lease>> {
        let state = &mut *self.state.lock();
        match state.inbox.lease(self.pool()) {
            Front::Taken(lease) => Found::Delivered(lease),
            Front::Failed(code) => Found::Failed(io::Error::from_raw_os_error(code)),
            // It listens: the system says what it thinks of that. No receive could be begun meanwhile.
            Front::Empty if state.receiving == Receiving::TheKernelAccepts || !state.inbox.is_empty() => {
                Found::Delivered(None)
            }
            Front::Empty => state.wait_or_free(),
        }
    }

    /// Whether the receive has ended because the pool was dry; it is told once.
    pub(crate) fn is_dry(&self) -> bool {
        mem::take(&mut self.state.lock().dry)
    }

    /// Whether the kernel receives or accepts, or has been asked to stop and has not told of that yet. Then the caller is told
    /// of the end.
    #[inline(always)]
    pub(crate) fn is_receiving(&self) -> bool {
        match self.going_on.load(Ordering::Acquire) & going_on::RECEIVES {
            going_on::GOES_ON => true,
            0 => false,
            _ => self.is_turned_away(),
        }
    }

    /// Whether one receives, whose end is told of to those who wait or were turned away.
    #[cold]
    fn is_turned_away(&self) -> bool {
        matches!(self.state.lock().wait_or_free::<()>(), Found::Wait)
    }

    /// Starts the receive that goes on, if nobody receives. `is_late`: as the request has it, for who has waited for a buffer.
    ///
    /// A reader that waits for the end of it takes back readiness, closed bits too. The end of the stream may be reported
    /// and forgotten then; so from the first time on a short read does not mean that nothing is behind it.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool.
    pub(crate) fn arm(self: &Arc<Self>, is_late: bool) -> io::Result<()> {
        self.core().pool().prepare()?;
        let request = Request::ReceiveMany { descriptor: self.descriptor, is_late };
        self.go_on(Receiving::TheKernelReceives, request);
        Ok(())
    }

    /// An accept's look: the next connection.
    pub(crate) fn accept(&self) -> Found<platform::Owned> {
        let mut state = self.state.lock();
        match state.inbox.accept() {
            Some(connection) => Found::Delivered(connection),
            None => state.wait_or_free(),
        }
    }

    /// Starts the accept that goes on, if nobody accepts. False if the kernel has none.
    pub(crate) fn arm_accept(self: &Arc<Self>) -> bool {
        if self.state.lock().refused {
            return false;
        }
        self.go_on(Receiving::TheKernelAccepts, Request::AcceptMany { descriptor: self.descriptor });
        true
    }

    #[allow(unsafe_code)]
    fn go_on(self: &Arc<Self>, receiving: Receiving, request: Request) {
        let _stale; // dropped after the unlock: it may wake who waits for a buffer
        let mut state = self.state.lock();
        if state.receiving != Receiving::NobodyReceives {
            return;
        }
        // The system has just said that it listens: what a receive came to that was dropped is of the time before that.
        let accepts = receiving == Receiving::TheKernelAccepts;
        _stale = accepts.then(|| Emptied(state.inbox.take_all_before_connections(), self.pool()));
        if !state.inbox.is_empty() {
            return;
        }
        self.source().make_vague();
        self.set_receiving(&mut state, receiving);
        self.begins(Direction::Read);
        // SAFETY: nobody receives, and the lock is held.
        unsafe { self.incoming.set(request) };
        drop(state);
        self.submit(&self.incoming, Direction::Read);
    }

    /// Takes what comes in for one receive: the place of that. None if something has arrived already, or somebody else receives
    /// or waits.
    pub(super) fn begin_one(&self, cx: &Context<'_>) -> Option<&Half> {
        let taking = self.taking.get_or_init(Half::new);
        if self.source().is_waited_for(Direction::Read) || !taking.life.begin(cx.waker()) {
            return None;
        }
        let mut state = self.state.lock();
        let is_free = state.receiving == Receiving::NobodyReceives && state.inbox.is_empty();
        if !is_free {
            drop(state);
            let _waker = taking.life.take_waker();
            if taking.life.release() {
                self.tell(Direction::Read);
            }
            return None;
        }
        self.source().make_vague();
        self.set_receiving(&mut state, Receiving::OneReceives);
        self.begins(Direction::Read);
        Some(taking)
    }

    /// Takes the buffer, and starts to receive into what `name` names of it. False if it could not begin, or nothing was named.
    #[allow(unsafe_code)]
    pub(crate) fn receive<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: &mut Option<B>,
        name: impl FnOnce(&mut B, &mut Pieces<'_>),
    ) -> bool {
        let Some(taking) = self.begin_one(cx) else { return false };
        // If `name` panics, nothing was submitted.
        let unsent = Unsent(self, Direction::Read);
        // SAFETY: this operation has just begun, so the place is empty and ours.
        let mut at =
            unsafe { taking.cargo.put(buffer.take().expect("an operation is polled after it was done")) };
        // SAFETY: this operation has just begun, and is nobody else's.
        let mut pieces = unsafe { Pieces::new(taking, self.is_message) };
        // SAFETY: it is there, and stays until the final completion; nobody calls it meanwhile.
        name(unsafe { at.as_mut() }, &mut pieces);
        let Some(request) = pieces.receive(self.descriptor, self.carries.spill()) else {
            // SAFETY: put in just now.
            *buffer = Some(unsafe { taking.cargo.take() });
            return false;
        };
        let request = if self.carries == Carries::File { request.of_file() } else { request };
        // SAFETY: this operation has just begun.
        unsafe { self.incoming.set(request) };
        mem::forget(unsent);
        self.submit(&self.incoming, Direction::Read);
        true
    }

    /// Who sent the datagram of a receive that is done, and how much room each of its buffers had.
    ///
    /// # Safety
    ///
    /// The caller began it, and has its result.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn envelope(&self) -> &platform::Envelope {
        // SAFETY: it is the caller's, and stays until that releases it.
        unsafe { self.half(Direction::Read).envelope().as_ref() }
    }

    /// How much room a receive into one buffer had, if it may have brought more than that.
    ///
    /// # Safety
    ///
    /// As for [`Lane::envelope`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn room(&self) -> Option<usize> {
        // SAFETY: passed on to the caller.
        self.is_message.then(|| unsafe { self.envelope() }.lens().next().unwrap_or(0))
    }
}
