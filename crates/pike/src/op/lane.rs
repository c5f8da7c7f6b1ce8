//! What a socket has in a completion backend: one receive that goes on, one send, and what arrived for nobody yet.
//!
//! I11: per direction at most one kernel consumer.
//!
//! - Receiving. A pooled receive starts a request that brings buffers of the pool until it is cancelled. What it brings
//!   queues here, and every reader takes from the queue first, in order. A reader of another kind that finds the queue
//!   empty has the request cancelled, and waits for the end of it before it makes a system call. It is cancelled too
//!   while `UNDELIVERED_MAX` buffers are queued, so that one socket cannot have the whole pool. A receive that is dropped
//!   was never in the kernel: what arrives stays here for the next.
//! - Sending. One at a time; every other writer waits. A send whose future is gone is cancelled, and still goes before
//!   whatever is sent later.
//!
//! Both report the source ready, as the kernel does, so waiting, order and the end are those of every operation.
//!
//! The kernel's share (I2): while one of the two requests is in flight, a count of the lane is in its block's address. Who
//! reaps the final completion ends it. A descriptor that is closed meanwhile is kept here, and closed by the reaper
//! (I12): nothing that names its number is in flight then.
#![allow(unsafe_code)]

use std::{
    collections::VecDeque,
    io, mem,
    mem::ManuallyDrop,
    net::Shutdown,
    ptr::{self, NonNull},
    sync::Arc,
    task::{Context, Wake, Waker},
};

use super::{
    block::{Block, Request},
    cargo::Cargo,
    life::{Completed, Left, Life},
};
use crate::{
    batch::Batch,
    buf::{Lease, Slot},
    notifier::core::Core,
    socket::Descriptor,
    source::{Direction, READABLE, Source, WRITABLE},
    sync::Mutex,
    sys::{Completion, Raw, platform},
    token::Token,
};

/// At so many undelivered buffers a socket's receive is cancelled (DESIGN: I11).
const UNDELIVERED_MAX: usize = 4;

/// In this order: a block's address says where its lane is.
#[repr(C)]
pub(crate) struct Lane {
    receive: Block,
    send: Block,
    descriptor: Raw,
    token: Token,
    source: NonNull<Source>,
    core: Arc<Core>,
    sending: Life,
    /// The buffer of the send, by whom `sending` names.
    cargo: Cargo,
    state: Mutex<State>,
}

// SAFETY: the blocks are set while nothing is in flight, under the lock or by who began the send; `cargo` is its owner's.
unsafe impl Send for Lane {}
// SAFETY: as for Send.
unsafe impl Sync for Lane {}

struct State {
    receiving: Receiving,
    inbox: VecDeque<Delivered>,
    /// The pool ran dry under the receive.
    dry: bool,
    /// Requests whose final completion was not reaped.
    in_flight: u8,
    /// To be done once the send has ended.
    shutdown: Option<Shutdown>,
    /// The socket is closed, and this is what is left to do.
    closing: Option<Closing>,
}

struct Closing {
    descriptor: platform::Owned,
    lingers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    NobodyReceives,
    TheKernelReceives,
    TheKernelWasAskedToStop,
}

enum Delivered {
    /// A buffer, of whose bytes some may have been taken.
    Bytes {
        slot: Slot,
        from: usize,
        to: usize,
    },
    End,
    Failed(i32),
}

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

impl Lane {
    pub(crate) fn new(core: Arc<Core>, descriptor: Raw, token: Token, source: NonNull<Source>) -> Arc<Self> {
        let state = State {
            receiving: Receiving::NobodyReceives,
            inbox: VecDeque::new(),
            dry: false,
            in_flight: 0,
            shutdown: None,
            closing: None,
        };
        Arc::new(Self {
            receive: Block::new(true),
            send: Block::new(false),
            descriptor,
            token,
            source,
            core,
            sending: Life::new(),
            cargo: Cargo::new(),
            state: Mutex::new(state),
        })
    }

    /// A reader's look that takes up to `len` bytes, or one buffer's, with `take`. `peek`: it leaves them.
    pub(crate) fn read<T>(
        self: &Arc<Self>,
        len: usize,
        peek: bool,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Found<T> {
        let mut state = self.state.lock();
        match state.inbox.front_mut() {
            Some(Delivered::Bytes { slot, from, to }) => {
                let end = (*from + len).min(*to);
                let taken = take(&slot.bytes(*to)[*from..end]);
                let mut emptied = None;
                if !peek {
                    *from = end;
                    if end == *to {
                        emptied = state.inbox.pop_front();
                    }
                }
                drop(state);
                drop(emptied); // after the unlock: it may wake who waits for a buffer
                Found::Delivered(taken)
            }
            Some(Delivered::End) => {
                if !peek {
                    state.inbox.pop_front();
                }
                Found::Delivered(take(&[]))
            }
            Some(&mut Delivered::Failed(code)) => {
                state.inbox.pop_front();
                Found::Failed(io::Error::from_raw_os_error(code))
            }
            None => match state.receiving {
                Receiving::NobodyReceives => Found::Free,
                Receiving::TheKernelReceives => {
                    state.receiving = Receiving::TheKernelWasAskedToStop;
                    drop(state);
                    self.core.cancel_block(&self.receive);
                    Found::Wait
                }
                Receiving::TheKernelWasAskedToStop => Found::Wait,
            },
        }
    }

    /// A pooled receive's look: the next buffer, whole. `Found::Free` with `dry` if the pool is: see [`Lane::is_dry`].
    pub(crate) fn lease(&self) -> Found<Lease> {
        let mut state = self.state.lock();
        match state.inbox.pop_front() {
            Some(Delivered::Bytes { slot, from, to }) => Found::Delivered(Lease::part(slot, from, to)),
            Some(Delivered::End) => Found::Delivered(Lease::empty()),
            Some(Delivered::Failed(code)) => Found::Failed(io::Error::from_raw_os_error(code)),
            None if state.receiving == Receiving::NobodyReceives => Found::Free,
            None => Found::Wait,
        }
    }

    /// Whether the receive has ended because the pool was dry; it is told once.
    pub(crate) fn is_dry(&self) -> bool {
        std::mem::take(&mut self.state.lock().dry)
    }

    /// Starts the receive, if nobody receives.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool.
    pub(crate) fn arm(self: &Arc<Self>) -> io::Result<()> {
        self.core.pool().prepare()?;
        let mut state = self.state.lock();
        if state.receiving != Receiving::NobodyReceives || !state.inbox.is_empty() {
            return Ok(());
        }
        // A reader that waits for the end of it takes back readiness, closed bits too. The end of the stream may be reported
        // and forgotten then; so from the first time on a short read does not mean that nothing is behind it.
        self.source().make_vague();
        state.receiving = Receiving::TheKernelReceives;
        state.in_flight += 1;
        // SAFETY: nobody receives, and the lock is held.
        unsafe { self.receive.set(Request::ReceiveMany { descriptor: self.descriptor }) };
        drop(state);
        self.submit(&self.receive);
        Ok(())
    }

    /// Whether the kernel receives, or has been asked to stop and has not told of that yet.
    pub(crate) fn is_receiving(&self) -> bool {
        self.state.lock().receiving != Receiving::NobodyReceives
    }

    /// Whether a send is in the kernel, or one that was has not been looked at.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending.is_busy()
    }

    /// Starts to send what `bytes` shows of `buffer`, behind the first `done`. Gives the buffer back if another send is
    /// under way.
    pub(crate) fn send<B: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context<'_>,
        buffer: B,
        bytes: fn(&B) -> &[u8],
        done: usize,
        flags: i32,
    ) -> Result<(), B> {
        if !self.sending.begin(cx.waker()) {
            return Err(buffer);
        }
        self.state.lock().in_flight += 1;
        // If `bytes` panics, nothing was submitted.
        let unsent = Unsent(self);
        // SAFETY: this send has just begun, so the place is empty and ours.
        let buffer = unsafe { self.cargo.put(buffer) };
        // SAFETY: it is there, and stays until the final completion; nobody calls it meanwhile.
        let bytes = bytes(unsafe { buffer.as_ref() }).get(done..).unwrap_or_default();
        let len = bytes.len().min(platform::TRANSFER_MAX) as u32;
        let request = Request::Send { descriptor: self.descriptor, at: bytes.as_ptr(), len, flags };
        // SAFETY: this send has just begun.
        unsafe { self.send.set(request) };
        std::mem::forget(unsent);
        self.submit(&self.send);
        Ok(())
    }

    /// The result of the send that the caller began, once there is one. The buffer is the caller's then.
    pub(crate) fn poll_send(&self, cx: &Context<'_>) -> Option<i32> {
        self.sending.poll(cx.waker())
    }

    /// The buffer of a send that is done, which ends here: others may send.
    ///
    /// # Safety
    ///
    /// The caller began it with a `B`, and has its result.
    pub(crate) unsafe fn take_back<B: 'static>(&self) -> B {
        // SAFETY: put in by `send`, and the kernel is done.
        let buffer = unsafe { self.cargo.take() };
        self.release();
        buffer
    }

    /// By the future that began the send, which ends before it has the result: the send is cancelled, and the buffer
    /// dropped once the kernel is done.
    pub(crate) fn leave_send(&self) {
        if self.core.is_forked() {
            return; // the kernel does it for the parent, and a lock may be held for ever (I14)
        }
        match self.sending.leave() {
            Left::InTheKernel => self.cancel_send(),
            Left::WithMe => {
                // SAFETY: the kernel is done, and the future is the caller.
                unsafe { self.cargo.clear() };
                self.release();
            }
        }
    }

    /// Asks for the end of the send that is in the kernel.
    pub(crate) fn cancel_send(&self) {
        self.core.cancel_block(&self.send);
    }

    /// Nobody sends any more: who waited for that goes on.
    fn release(&self) {
        self.sending.release();
        if self.source().is_waited_for(Direction::Write) {
            let mut batch = Batch::new();
            self.report(WRITABLE, &mut batch);
            drop(batch); // wakes all
        }
    }

    /// Both requests are asked to end, for a socket that is cancelled or closed. What they bring is as ever.
    pub(crate) fn cancel(&self) {
        let mut state = self.state.lock();
        let receives = state.receiving == Receiving::TheKernelReceives;
        if receives {
            state.receiving = Receiving::TheKernelWasAskedToStop;
        }
        drop(state);
        if receives {
            self.core.cancel_block(&self.receive);
        }
        if self.sending.is_busy() {
            self.cancel_send();
        }
    }

    /// Ends writing (and reading) once the send that is under way has ended. False if there is none.
    pub(crate) fn shutdown_later(&self, how: Shutdown) -> bool {
        let mut state = self.state.lock();
        let busy = self.sending.is_in_the_kernel();
        if busy {
            state.shutdown = Some(how);
        }
        busy
    }

    /// Whether the kernel does anything for the socket.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.state.lock().in_flight > 0
    }

    /// All bytes that nobody has read.
    pub(crate) fn take_undelivered(&self) -> Vec<u8> {
        let inbox = std::mem::take(&mut self.state.lock().inbox);
        let mut bytes = Vec::new();
        for delivered in inbox {
            if let Delivered::Bytes { slot, from, to } = delivered {
                bytes.extend_from_slice(&slot.bytes(to)[from..]);
            }
        }
        bytes
    }

    /// Keeps a descriptor until nothing that names it is in flight, and closes it then. Gives it back if it can be closed
    /// now.
    pub(crate) fn close(&self, descriptor: platform::Owned, lingers: bool) -> Option<platform::Owned> {
        if self.core.is_forked() {
            return Some(descriptor);
        }
        let mut state = self.state.lock();
        let inbox = std::mem::take(&mut state.inbox);
        if state.in_flight == 0 || self.core.is_closed() {
            drop(state);
            drop(inbox); // after the unlock: it may wake who waits for a buffer
            return Some(descriptor);
        }
        state.closing = Some(Closing { descriptor, lingers });
        drop(state);
        drop(inbox);
        self.cancel();
        None
    }

    fn submit(self: &Arc<Self>, block: &Block) {
        // The kernel's share: ended by `reap`.
        let _ = Arc::into_raw(Arc::clone(self)).expose_provenance();
        if !self.core.submit(block) {
            let mut batch = Batch::new();
            let (block, result) = (NonNull::from(block), -platform::CANCELLED);
            Self::reap(Completion { block, result, more: false, buffer: None }, &mut batch);
            drop(batch); // wakes all
        }
    }

    fn source(&self) -> &Source {
        // SAFETY: slots live as long as the core, which the lane keeps.
        unsafe { self.source.as_ref() }
    }

    fn report(&self, bits: u64, batch: &mut Batch) {
        self.source().report(self.token.generation(), bits, batch.list());
    }

    /// On the seat: what the kernel said about a block.
    pub(crate) fn reap(completion: Completion, batch: &mut Batch) {
        let Completion { block, result, more, buffer } = completion;
        // SAFETY: the block is in flight, so the kernel's share keeps its lane. A lane begins with the block for
        // receiving, and the one for sending is the next.
        let (lane, receives) = unsafe { Self::of(block) };
        // SAFETY: as above; a lane is in an Arc.
        let lane = unsafe { ManuallyDrop::new(Arc::from_raw(lane)) };
        match receives {
            true => lane.received(result, more, buffer, batch),
            false => lane.sent(result, batch),
        }
        if !more {
            lane.ended();
            let _share = ManuallyDrop::into_inner(lane); // the kernel's
        }
    }

    /// # Safety
    ///
    /// The block is one of a lane, which is in an Arc and lives.
    unsafe fn of(block: NonNull<Block>) -> (*const Self, bool) {
        // SAFETY: alive, and its role is never written.
        let receives = unsafe { block.as_ref() }.is_first();
        let offset = if receives { 0 } else { mem::offset_of!(Self, send) };
        // Exposed by `submit`: a reference to the block alone does not reach the lane around it.
        (ptr::with_exposed_provenance(block.addr().get() - offset), receives)
    }

    fn received(self: &Arc<Self>, result: i32, more: bool, buffer: Option<u32>, batch: &mut Batch) {
        let slot = buffer.map(|index| self.core.pool().adopt(index));
        let mut state = self.state.lock();
        let is_open = state.closing.is_none();
        let mut unused = None;
        match (result, slot) {
            (1.., Some(slot)) if is_open => {
                state.inbox.push_back(Delivered::Bytes { slot, from: 0, to: result as usize });
            }
            (0, slot) => {
                unused = slot;
                state.inbox.push_back(Delivered::End);
            }
            (code, slot) => {
                unused = slot;
                match -code {
                    _ if code > 0 => {} // closed: nobody will ask for it
                    platform::CANCELLED => {}
                    platform::NO_BUFFERS => state.dry = true,
                    code => state.inbox.push_back(Delivered::Failed(code)),
                }
            }
        }
        let mut stop = false;
        if !more {
            state.receiving = Receiving::NobodyReceives;
        } else if state.inbox.len() >= UNDELIVERED_MAX && state.receiving == Receiving::TheKernelReceives {
            state.receiving = Receiving::TheKernelWasAskedToStop;
            stop = true;
        }
        drop(state);
        if stop {
            self.core.cancel_block(&self.receive);
        }
        if let Some(slot) = unused {
            slot.give_back(batch);
        }
        self.report(READABLE, batch);
    }

    fn sent(self: &Arc<Self>, result: i32, batch: &mut Batch) {
        match self.sending.complete(result) {
            Completed::ForTheFuture(waker) => batch.list().extend(waker),
            // The buffer is dropped after the seat was left: that is its owner's code (I6).
            Completed::ForNobody => batch.list().push(Waker::from(Arc::clone(self))),
        }
    }

    /// A request has ended.
    fn ended(&self) {
        let mut state = self.state.lock();
        state.in_flight -= 1;
        let shutdown = match self.sending.is_in_the_kernel() {
            false => state.shutdown.take(),
            true => None,
        };
        let closing = if state.in_flight == 0 { state.closing.take() } else { None };
        drop(state);
        if let Some(how) = shutdown {
            // It fails if the connection is gone, and then the peer knows.
            let _ = platform::shutdown_raw(self.descriptor, how);
        }
        if let Some(Closing { descriptor, lingers }) = closing {
            drop(Descriptor::new(descriptor, lingers));
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("sending", &self.sending).finish_non_exhaustive()
    }
}

/// Drops the buffer of a send whose future is gone.
impl Wake for Lane {
    fn wake(self: Arc<Self>) {
        // SAFETY: the kernel is done, the future is gone, and the reaper has given this away once.
        unsafe { self.cargo.clear() };
        self.release();
    }
}

/// Ends a send that was begun and not submitted.
struct Unsent<'a>(&'a Lane);

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.0.state.lock().in_flight -= 1;
        let _ = self.0.sending.leave();
        let _ = self.0.sending.complete(0);
        // SAFETY: nothing was submitted, so this is its only owner.
        unsafe { self.0.cargo.clear() };
        self.0.release();
    }
}
