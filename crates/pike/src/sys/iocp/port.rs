//! The completion port: the calls, each result checked (I10), and what a request of ours begins with.
//!
//! Sources: "I/O Completion Ports", CreateIoCompletionPort, GetQueuedCompletionStatusEx, PostQueuedCompletionStatus and
//! CancelIoEx of the Windows SDK.
#![allow(unsafe_code)]

use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
};

use windows_sys::Win32::{
    Foundation::{HANDLE, INVALID_HANDLE_VALUE, WAIT_TIMEOUT},
    System::IO::{
        CancelIoEx, CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED, OVERLAPPED_ENTRY,
        PostQueuedCompletionStatus,
    },
};

/// The key of every packet that brings back a request: its OVERLAPPED says which.
pub(super) const REQUEST: usize = 0;
/// The key of a packet that was found to bring back a block's request.
pub(super) const OPERATION: usize = 3;
/// The key of what [`Driver::notify`](super::Driver::notify) posts.
pub(super) const NOTIFY: usize = 1;
/// The key of the timer's packet.
pub(super) const TIMER: usize = 2;

/// What a request is for. It lies behind the OVERLAPPED, so that a packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Role {
    /// A zero-byte receive: readiness to read.
    Receive,
    /// A poll of AFD for reading.
    Read,
    /// A poll of AFD for writing.
    Write,
    /// A poll of AFD for urgent data.
    Priority,
    /// An operation that a block asks.
    Block,
}

/// The beginning of each request of ours, whose address the kernel hands back.
#[repr(C)]
pub(super) struct Head {
    pub(super) overlapped: OVERLAPPED,
    pub(super) role: Role,
}

impl Head {
    pub(super) fn new(role: Role) -> Self {
        Self { overlapped: OVERLAPPED::default(), role }
    }
}

/// The handle of the port.
#[derive(Debug)]
pub(super) struct Port(OwnedHandle);

impl Port {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer. Any number of threads may run: the seat admits one at a time.
        let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, ptr::null_mut(), 0, 0) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just created, and nobody else's.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(port) }))
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    /// From here on, and for good, the ends of what is started on the handle come to this port.
    pub(super) fn attach(&self, handle: HANDLE) -> io::Result<()> {
        // SAFETY: takes no pointer; a handle that is none is refused.
        let port = unsafe { CreateIoCompletionPort(handle, self.raw(), REQUEST, 0) };
        if port.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    pub(super) fn post(&self, key: usize) -> io::Result<()> {
        // SAFETY: the null OVERLAPPED is only handed back.
        let posted = unsafe { PostQueuedCompletionStatus(self.raw(), 0, key, ptr::null()) };
        if posted == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Takes packets, as many as there are and room for; waits for the first, `u32::MAX` for ever.
    pub(super) fn take(&self, entries: &mut [OVERLAPPED_ENTRY], timeout_ms: u32) -> io::Result<usize> {
        let mut count = 0;
        // SAFETY: the call writes at most `len` entries into the slice, and their number.
        let taken = unsafe {
            GetQueuedCompletionStatusEx(
                self.raw(),
                entries.as_mut_ptr(),
                entries.len() as u32,
                &mut count,
                timeout_ms,
                0,
            )
        };
        if taken != 0 {
            return Ok(count as usize);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(WAIT_TIMEOUT as i32) => Ok(0),
            error => Err(error),
        }
    }
}

/// Asks for the end of one request, or with a null of all on the handle. Its packet comes all the same, and sooner. What has
/// ended already is not found, which is as good.
///
/// # Safety
///
/// The OVERLAPPED is memory of a request that was started and whose packet was not taken, or null.
pub(super) unsafe fn cancel(handle: HANDLE, overlapped: *const OVERLAPPED) {
    // SAFETY: the address is compared; what lies there is there, by the caller's promise.
    unsafe { CancelIoEx(handle, overlapped) };
}
