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
    fmt, io, mem, ptr,
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use windows_sys::Win32::{
    Networking::WinSock::{
        SOCKET, WSA_IO_PENDING, WSABUF, WSAGetLastError, WSAGetOverlappedResult, WSARecv, WSARecvFrom,
        WSASend, WSASendTo,
    },
    System::IO::{OVERLAPPED, OVERLAPPED_ENTRY},
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

/// What a port keeps in a block.
#[repr(C)]
pub(crate) struct Space {
    /// The kernel's while the request is in flight.
    head: UnsafeCell<Head>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: bool,
    /// It is to end at once, if it is started.
    cancelled: bool,
}

// SAFETY: the head is touched under the lock only, and by the kernel only while it is in flight.
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
        Self { head: UnsafeCell::new(Head::new(Role::Block)), state: Mutex::default() }
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

/// What became of a request that was started.
enum Started {
    Pending,
    /// It succeeded at once, with so many bytes. Whether a packet follows is the socket's mode to say.
    Done(u32),
    /// It ended at once, and no packet follows.
    Failed(i32),
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
        // SAFETY: all that it names stays until its completion (I2).
        match unsafe { start(request, &raw mut (*head).overlapped) } {
            Started::Pending => state.in_flight = true,
            Started::Done(count) if ends == Ends::Skips => {
                self.finished.put(Done(at, result(count)));
            }
            Started::Done(_) => state.in_flight = true,
            // SAFETY: whatever became of it, its packet is looked at under the lock.
            Started::Failed(code) => match unsafe { is_warning(&raw const (*head).overlapped) } {
                true if ends == Ends::Posts => state.in_flight = true,
                _ => self.finished.put(Done(at, -code)),
            },
        }
        true
    }

    /// Asks for the end of what was submitted, or is about to be.
    pub(crate) fn cancel(&self, block: &Block) {
        let space = block.space();
        let mut state = space.lock();
        if !state.in_flight {
            state.cancelled = true;
            return;
        }
        // SAFETY: only read: what the block asks is set while nothing is in flight.
        let request = unsafe { block.request() };
        // SAFETY: its packet is not taken while the lock is held, so it is this request that is cancelled.
        unsafe { port::cancel(socket::handle(socket_of(request)), space.head.get().cast::<OVERLAPPED>()) };
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
        // After the submitter is done with it.
        block.space().lock().in_flight = false;
        // SAFETY: in flight until the completion that is made here.
        let request = unsafe { block.request() };
        // SAFETY: the kernel is done with it.
        let result = unsafe { ended(request, packet) };
        self.operations.fetch_sub(1, Ordering::SeqCst);
        Told::Completed(Completion { block: at, result, more: false, buffer: None })
    }
}

fn socket_of(request: Request) -> Raw {
    match request {
        Request::Send { descriptor, .. }
        | Request::SendMessage { descriptor, .. }
        | Request::Connect { descriptor, .. }
        | Request::Receive { descriptor, .. }
        | Request::ReceiveMessage { descriptor, .. }
        | Request::ReceiveMany { descriptor }
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

fn result(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// # Safety
///
/// All that the request names, and the OVERLAPPED, stays until its completion.
unsafe fn start(request: Request, overlapped: *mut OVERLAPPED) -> Started {
    let mut count = 0;
    let mut no_flags = 0;
    let failed = match request {
        Request::Send { descriptor, at, len, flags } => {
            let vector = WSABUF { len, buf: at.cast_mut() };
            // SAFETY: the vector is read during the call; what it names is the caller's promise.
            unsafe { WSASend(descriptor as SOCKET, &vector, 1, &mut count, flags as u32, overlapped, None) }
        }
        Request::Receive { descriptor, at, len } => {
            let vector = WSABUF { len, buf: at };
            // SAFETY: as above, and of the flags.
            unsafe { WSARecv(descriptor as SOCKET, &vector, 1, &mut count, &mut no_flags, overlapped, None) }
        }
        Request::SendMessage { descriptor, envelope, flags } => {
            // SAFETY: the envelope is the request's.
            let header = unsafe { (*envelope).seal() };
            // SAFETY: as above.
            unsafe {
                let header = &*header;
                let (buffers, buffer_count) = (header.lpBuffers, header.dwBufferCount);
                let name_len = if header.name.is_null() { 0 } else { header.namelen };
                WSASendTo(
                    descriptor as SOCKET,
                    buffers,
                    buffer_count,
                    &mut count,
                    flags as u32,
                    header.name,
                    name_len,
                    overlapped,
                    None,
                )
            }
        }
        Request::ReceiveMessage { descriptor, envelope } => {
            // SAFETY: the envelope is the request's.
            let header = unsafe { (*envelope).seal() };
            // SAFETY: as above. The length of the name is written as late as the request ends, in the envelope.
            unsafe {
                let (buffers, buffer_count, name) =
                    ((*header).lpBuffers, (*header).dwBufferCount, (*header).name);
                let name_len = if name.is_null() { ptr::null_mut() } else { &raw mut (*header).namelen };
                WSARecvFrom(
                    descriptor as SOCKET,
                    buffers,
                    buffer_count,
                    &mut count,
                    &mut no_flags,
                    name,
                    name_len,
                    overlapped,
                    None,
                )
            }
        }
        Request::Connect { .. } | Request::ReceiveMany { .. } | Request::AcceptMany { .. } => {
            return Started::Failed(not_here(request));
        }
    };
    if failed == 0 {
        return Started::Done(count);
    }
    // SAFETY: takes nothing.
    match unsafe { WSAGetLastError() } {
        WSA_IO_PENDING => Started::Pending,
        code => Started::Failed(code),
    }
}

/// Whether a request that failed at once did so with a warning, such as of a datagram that is too long: a packet follows
/// then, as it does for a success. An error leaves the status as the call set it at first, or says so.
///
/// # Safety
///
/// The OVERLAPPED is there.
unsafe fn is_warning(overlapped: *const OVERLAPPED) -> bool {
    // SAFETY: passed on to the caller; the kernel may have written it during the call.
    let status = unsafe { (&raw const (*overlapped).Internal).read_volatile() } as u32;
    status >> 30 == 2
}

/// The result of a request whose packet was taken: a count, or the negative of an error code of Winsock.
///
/// Asked of the socket, which is open still: the status alone names the error of the driver below.
///
/// # Safety
///
/// The packet is the request's.
unsafe fn ended(request: Request, packet: &OVERLAPPED_ENTRY) -> i32 {
    let (mut count, mut flags) = (0, 0);
    // SAFETY: the kernel is done with the OVERLAPPED, and the call writes to the two places.
    let succeeded = unsafe {
        (*packet.lpOverlapped).Internal == 0 || {
            let socket = socket_of(request) as SOCKET;
            WSAGetOverlappedResult(socket, packet.lpOverlapped, &mut count, 0, &mut flags) != 0
        }
    };
    if succeeded {
        return result(packet.dwNumberOfBytesTransferred);
    }
    let error = io::Error::last_os_error();
    -error.raw_os_error().filter(|code| *code > 0).unwrap_or(platform::CANCELLED)
}

#[cfg(test)]
mod tests;
