//! Operations that own their buffers: the requests of blocks, native on a port.
//!
//! The OVERLAPPED lies in the block, and so stays until the final completion was handed over (I2). What the kernel does at
//! once on a socket that posts no packet for that is put on a list, which the next wait hands over before it asks the kernel:
//! no operation ends inside of its submission, and a busy socket is not served before others.
//!
//! Each block has a lock of its own, held while its request is started and while it is cancelled. So a cancellation finds the
//! request started, or says that it is not to be (the bit `cancelled`): CancelIoEx finds nothing before the start. A packet
//! that comes meanwhile waits for the lock. A cancellation that comes late ends the next request of the block too soon, which
//! the layer above submits again (contract item 7).
#![allow(unsafe_code)]

use std::{
    cell::UnsafeCell,
    fmt, io, mem,
    os::windows::io::BorrowedSocket,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use windows_sys::Win32::{
    Networking::WinSock::{SOCKET, WSAGetOverlappedResult},
    System::IO::{OVERLAPPED, OVERLAPPED_ENTRY},
};

use self::{
    accept::Accept,
    start::{Started, start},
};
use super::{
    Driver,
    places::{self, Ends},
    port::{self, Head, Role},
    socket,
};
use crate::{
    op::block::{Block, Request},
    sys::{Completion, Raw, Told, platform},
};

mod accept;
mod connect;
mod start;

/// What a port keeps in a block.
#[repr(C)]
pub(crate) struct Space {
    /// The kernel's while the request is in flight.
    head: UnsafeCell<Head>,
    /// Made by the first accept, and kept.
    accept: UnsafeCell<Option<Box<Accept>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: bool,
    /// It is to end at once, if it is started.
    cancelled: bool,
    /// The socket was closed meanwhile: its number says nothing any more.
    is_gone: bool,
}

// SAFETY: the cells are touched under the lock only, and by the kernel only while it is in flight.
unsafe impl Send for Space {}
// SAFETY: as above.
unsafe impl Sync for Space {}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Default for Space {
    fn default() -> Self {
        let head = UnsafeCell::new(Head::new(Role::Block));
        Self { head, accept: UnsafeCell::default(), state: Mutex::default() }
    }
}

impl Space {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was over at once, for the next wait.
#[derive(Debug, Default)]
pub(super) struct Finished(Mutex<Vec<Done>>);

/// A block whose request is over, and the result.
#[derive(Debug)]
pub(super) struct Done(NonNull<Block>, i32);

// SAFETY: a block is submitted and reaped by whatever thread; only its address travels here.
unsafe impl Send for Done {}

impl Done {
    pub(super) fn completion(self) -> Completion {
        Completion { block: self.0, result: self.1, more: false, buffer: None }
    }
}

impl Finished {
    fn put(&self, done: Done) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }

    /// Takes all, and leaves the empty `into` in their place: the two change roles, and nothing is allocated.
    pub(super) fn take(&self, into: &mut Vec<Done>) {
        debug_assert!(into.is_empty());
        let mut finished = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !finished.is_empty() {
            mem::swap(&mut *finished, into);
        }
    }
}

impl Driver {
    /// Starts what the block asks. False if the port has ended, and nothing follows. The caller notifies a turn that sleeps.
    pub(crate) fn submit(&self, block: &Block) -> bool {
        // SeqCst: either the shutdown sees this one, or this one sees the shutdown.
        self.operations.fetch_add(1, Ordering::SeqCst);
        if self.ended.load(Ordering::SeqCst) {
            self.operations.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        let space = block.space();
        let mut state = space.lock();
        let at = NonNull::from(block);
        state.is_gone = false; // a block may be another socket's now
        if mem::take(&mut state.cancelled) {
            self.finished.put(Done(at, -platform::CANCELLED));
            return true;
        }
        // SAFETY: submitted just now.
        let request = unsafe { block.request() };
        let ends = places::ends(socket_of(request));
        if ends == Ends::Elsewhere {
            self.finished.put(Done(at, -not_here(request)));
            return true;
        }
        // SAFETY: inside of the block. From the block's own address, which comes back in the packet.
        let head = unsafe { at.byte_add(Block::SPACE).cast::<Head>() }.as_ptr();
        // SAFETY: nothing is in flight, and the lock is held.
        unsafe { head.write(Head::new(Role::Block)) };
        // SAFETY: the lock is held.
        let accept = unsafe { &mut *space.accept.get() };
        // SAFETY: all that it names stays until its completion (I2).
        let result = match unsafe { start(request, accept, &raw mut (*head).overlapped) } {
            Started::Done(count) if ends == Ends::Skips => succeeded(request, accept, count, true),
            // SAFETY: whatever became of it, its packet is looked at under the lock.
            Started::Failed(code) => match unsafe { is_warning(&raw const (*head).overlapped) } {
                true if ends == Ends::Posts => {
                    state.in_flight = true;
                    return true;
                }
                _ => failed(request, accept, code),
            },
            Started::Pending | Started::Done(_) => {
                state.in_flight = true;
                return true;
            }
        };
        self.finished.put(Done(at, result));
        true
    }

    /// Asks for the end of what was submitted, or is about to be.
    pub(crate) fn cancel(&self, block: &Block) {
        let space = block.space();
        let mut state = space.lock();
        match state.in_flight {
            true => end(block, &state),
            false => state.cancelled = true,
        }
    }

    /// The same for a block whose socket is about to be closed. Nothing keeps that open: the memory alone stays.
    pub(crate) fn cancel_now(&self, block: &Block) -> bool {
        let mut state = block.space().lock();
        state.is_gone = true;
        if state.in_flight {
            end(block, &state);
        }
        true
    }

    /// The completion that a packet of a block brings.
    ///
    /// # Safety
    ///
    /// The packet is one of a block, just taken from the port.
    pub(super) unsafe fn completed(&self, packet: &OVERLAPPED_ENTRY) -> Told {
        let head = NonNull::new(packet.lpOverlapped).expect("looked at before").cast::<Head>();
        // SAFETY: the head is inside of its block, and has the block's provenance: see `submit`.
        let at = unsafe { head.byte_sub(Block::SPACE).cast::<Block>() };
        // SAFETY: it is there until its final completion was handed over, which is later.
        let block = unsafe { at.as_ref() };
        let space = block.space();
        // After the submitter is done with it. Until the result is known, so that the socket is not closed meanwhile.
        let mut state = space.lock();
        state.in_flight = false;
        // SAFETY: in flight until the completion that is made here.
        let request = unsafe { block.request() };
        // SAFETY: the lock is held, and the kernel is done with it.
        let accept = unsafe { &mut *space.accept.get() };
        // SAFETY: as above.
        let result = match unsafe { ended(request, packet, !state.is_gone) } {
            Ok(count) => succeeded(request, accept, count, !state.is_gone),
            Err(code) => failed(request, accept, code),
        };
        drop(state);
        self.operations.fetch_sub(1, Ordering::SeqCst);
        Told::Completed(Completion { block: at, result, more: false, buffer: None })
    }
}

/// Cancels what is in flight.
fn end(block: &Block, locked: &MutexGuard<'_, State>) {
    debug_assert!(locked.in_flight);
    // SAFETY: only read: what the block asks is set while nothing is in flight.
    let request = unsafe { block.request() };
    let overlapped = block.space().head.get().cast::<OVERLAPPED>();
    // SAFETY: its packet is not looked at while the lock is held, so it is this request that is cancelled.
    unsafe { port::cancel(socket::handle(socket_of(request)), overlapped) };
}

fn socket_of(request: Request) -> Raw {
    match request {
        Request::Send { descriptor, .. }
        | Request::SendMessage { descriptor, .. }
        | Request::Read { descriptor, .. }
        | Request::Write { descriptor, .. }
        | Request::Connect { descriptor, .. }
        | Request::Receive { descriptor, .. }
        | Request::ReceiveMessage { descriptor, .. }
        | Request::ReceivePooled { descriptor, .. }
        | Request::ReceiveMany { descriptor, .. }
        | Request::AcceptMany { descriptor } => descriptor,
    }
}

/// What says that the port does not do it.
fn not_here(request: Request) -> i32 {
    match request {
        // For good, so that nobody asks again.
        Request::AcceptMany { .. } => platform::INVALID,
        // The operation goes on as a loop that waits for readiness.
        _ => platform::WOULD_BLOCK,
    }
}

/// What one that has succeeded brings. Not `is_open`: its socket is gone, and nobody will use that.
fn succeeded(request: Request, accept: &mut Option<Box<Accept>>, count: u32, is_open: bool) -> i32 {
    match (request, accept) {
        (Request::AcceptMany { descriptor }, Some(accept)) => accept.finish(is_open.then_some(descriptor)),
        (Request::Connect { descriptor, .. }, _) if is_open => connect::finish(descriptor),
        _ => i32::try_from(count).unwrap_or(i32::MAX),
    }
}

/// What it means that one has failed: as of the calls that do not wait (`platform`'s transfer).
fn failed(request: Request, accept: &mut Option<Box<Accept>>, code: i32) -> i32 {
    match (request, accept) {
        (Request::Receive { descriptor, .. } | Request::ReceiveMessage { descriptor, .. }, _)
            if code != platform::CANCELLED =>
        {
            // SAFETY: open: of one that is gone no other code is known.
            -platform::receive_failed(code, unsafe { BorrowedSocket::borrow_raw(descriptor) })
        }
        (Request::Send { .. } | Request::SendMessage { .. }, _) => -platform::send_failed(code),
        (Request::AcceptMany { .. }, Some(accept)) => {
            accept.give_up();
            -code
        }
        _ => -code,
    }
}

/// Whether a request that failed at once did so with a warning, such as of a datagram that is too long: a packet follows
/// then, as it does for a success. An error leaves the status as the call set it at first, or says so.
///
/// # Safety
///
/// The OVERLAPPED is there.
pub(super) unsafe fn is_warning(overlapped: *const OVERLAPPED) -> bool {
    // SAFETY: passed on to the caller; the kernel may have written it during the call.
    let status = unsafe { (&raw const (*overlapped).Internal).read_volatile() } as u32;
    status >> 30 == 2
}

/// How a request has ended whose packet was taken: how many bytes it moved, or an error code of Winsock.
///
/// Asked of the socket while it is open: the status alone names the error of the driver below.
///
/// # Safety
///
/// The packet is the request's.
unsafe fn ended(request: Request, packet: &OVERLAPPED_ENTRY, is_open: bool) -> Result<u32, i32> {
    // SAFETY: the kernel is done with the OVERLAPPED.
    if unsafe { (*packet.lpOverlapped).Internal } == 0 {
        return Ok(packet.dwNumberOfBytesTransferred);
    }
    if !is_open {
        return Err(platform::CANCELLED);
    }
    let (mut count, mut flags) = (0, 0);
    let socket = socket_of(request) as SOCKET;
    // SAFETY: as above, and the call writes to the two places.
    if unsafe { WSAGetOverlappedResult(socket, packet.lpOverlapped, &mut count, 0, &mut flags) } != 0 {
        return Ok(packet.dwNumberOfBytesTransferred);
    }
    let code = io::Error::last_os_error().raw_os_error();
    Err(code.filter(|code| *code > 0).unwrap_or(platform::CANCELLED))
}

#[cfg(test)]
mod tests;
