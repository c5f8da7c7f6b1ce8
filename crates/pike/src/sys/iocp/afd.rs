//! Readiness of a socket by a poll of AFD, the system's socket driver: what select() is made of, without its wait.
//!
//! A poll is a request to a helper handle of `\Device\Afd`, names a socket, and ends with its first event. The helper is with
//! the port, and always posts a packet, also for a poll that was over at once; the socket itself need not be with any port.
//! One helper serves many sockets. The interface is not documented; wepoll, libuv, mio, polling and Go's tests lean on it, and
//! so does the system's own select(), so it has been the same since Windows Vista. Wine has it too.
//!
//! Sources: wepoll (Bert Belder), `afd.h` of ReactOS.
#![allow(unsafe_code)]

use std::{
    io,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
};

use windows_sys::{
    Wdk::{
        Foundation::OBJECT_ATTRIBUTES,
        Storage::FileSystem::{FILE_OPEN, NtCreateFile},
    },
    Win32::{
        Foundation::{ERROR_IO_PENDING, HANDLE, RtlNtStatusToDosError, UNICODE_STRING},
        Storage::FileSystem::{
            FILE_SHARE_READ, FILE_SHARE_WRITE, SYNCHRONIZE, SetFileCompletionNotificationModes,
        },
        System::{
            IO::{DeviceIoControl, IO_STATUS_BLOCK, OVERLAPPED},
            WindowsProgramming::FILE_SKIP_SET_EVENT_ON_HANDLE,
        },
    },
};

use super::{
    ops::is_warning,
    port::{Port, Role},
};
use crate::{
    source::{
        ERROR, PRIORITY, READ_CLOSED, READ_UNARMED, READABLE, URGENT_SEEN, WRITABLE, WRITE_CLOSED,
        WRITE_UNARMED,
    },
    sys::Raw,
};

const IOCTL_AFD_POLL: u32 = 0x0001_2024;

const RECEIVE: u32 = 1;
const RECEIVE_EXPEDITED: u32 = 1 << 1;
const SEND: u32 = 1 << 2;
/// The peer's end of file. A poll for RECEIVE alone does not see it.
pub(super) const DISCONNECT: u32 = 1 << 3;
const ABORT: u32 = 1 << 4;
const LOCAL_CLOSE: u32 = 1 << 5;
const ACCEPT: u32 = 1 << 7;
const CONNECT_FAIL: u32 = 1 << 8;

/// What ends a poll, by what it is for.
fn events(role: Role) -> u32 {
    let end = ABORT | LOCAL_CLOSE | CONNECT_FAIL;
    match role {
        Role::Write => end | SEND,
        Role::Priority => LOCAL_CLOSE | ABORT | RECEIVE_EXPEDITED,
        _ => end | RECEIVE | ACCEPT | DISCONNECT,
    }
}

/// What a poll tells, and that it has ended. A request that ends for reasons of its own is as good as ready: whoever waits
/// tries, and asks again.
pub(super) fn bits(role: Role, events: u32) -> u64 {
    let bits = match role {
        Role::Write => WRITABLE | WRITE_UNARMED,
        Role::Priority => PRIORITY | URGENT_SEEN,
        _ => READABLE | READ_UNARMED,
    };
    let end = match events & (DISCONNECT | ABORT | CONNECT_FAIL) {
        0 => 0,
        DISCONNECT => READ_CLOSED,
        // It fails on both sides.
        _ => READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED | ERROR,
    };
    bits | end
}

/// What a poll asks, and is answered in the same place.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Info {
    timeout: i64,
    sockets: u32,
    exclusive: u32,
    socket: HANDLE,
    events: u32,
    status: i32,
}

impl Info {
    pub(super) fn none() -> Self {
        Self { timeout: 0, sockets: 0, exclusive: 0, socket: ptr::null_mut(), events: 0, status: 0 }
    }

    pub(super) fn new(base: Raw, role: Role) -> Self {
        let socket = ptr::with_exposed_provenance_mut(base as usize);
        Self { timeout: i64::MAX, sockets: 1, exclusive: 0, socket, events: events(role), status: 0 }
    }

    /// What happened, once the poll has succeeded.
    pub(super) fn events(&self) -> u32 {
        if self.sockets == 0 { 0 } else { self.events }
    }
}

/// A handle to poll by.
#[derive(Debug)]
pub(super) struct Helper(OwnedHandle);

impl Helper {
    pub(super) fn open(port: &Port) -> io::Result<Self> {
        let mut name: [u16; 16] = [0; 16];
        name.iter_mut().zip("\\Device\\Afd\\Pike".encode_utf16()).for_each(|(to, from)| *to = from);
        let bytes = size_of_val(&name) as u16;
        let text = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: name.as_mut_ptr() };
        let attributes = OBJECT_ATTRIBUTES {
            Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
            RootDirectory: ptr::null_mut(),
            ObjectName: &text,
            Attributes: 0, // not inherited
            SecurityDescriptor: ptr::null(),
            SecurityQualityOfService: ptr::null(),
        };
        let mut handle = ptr::null_mut();
        let mut status_block = IO_STATUS_BLOCK::default();
        // SAFETY: all that the call reads and writes outlives it, and the rest is null.
        let status = unsafe {
            NtCreateFile(
                &mut handle,
                SYNCHRONIZE,
                &attributes,
                &mut status_block,
                ptr::null(),
                0,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                FILE_OPEN,
                0,
                ptr::null(),
                0,
            )
        };
        if status != 0 {
            // SAFETY: takes no pointer.
            return Err(io::Error::from_raw_os_error(unsafe { RtlNtStatusToDosError(status) } as i32));
        }
        // SAFETY: just created, and nobody else's.
        let helper = Self(unsafe { OwnedHandle::from_raw_handle(handle) });
        port.attach(helper.raw())?;
        // SAFETY: takes no pointer. Nobody waits for the handle itself.
        match unsafe { SetFileCompletionNotificationModes(helper.raw(), FILE_SKIP_SET_EVENT_ON_HANDLE as u8) }
        {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(helper),
        }
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }

    /// Starts a poll. A packet follows unless it fails.
    ///
    /// # Safety
    ///
    /// Both places stay, and are left alone, until the packet was taken.
    pub(super) unsafe fn poll(&self, info: *mut Info, overlapped: *mut OVERLAPPED) -> io::Result<()> {
        let len = size_of::<Info>() as u32;
        // SAFETY: by the caller's promise; the answer goes where the question is.
        let done = unsafe {
            DeviceIoControl(
                self.raw(),
                IOCTL_AFD_POLL,
                info.cast(),
                len,
                info.cast(),
                len,
                ptr::null_mut(),
                overlapped,
            )
        };
        if done != 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(ERROR_IO_PENDING as i32) => Ok(()),
            // SAFETY: by the caller's promise. A packet follows a warning, too.
            _ if unsafe { is_warning(overlapped) } => Ok(()),
            error => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_drivers() {
        assert_eq!(size_of::<Info>(), 32);
        assert_eq!(std::mem::offset_of!(Info, socket), 16);
    }

    #[test]
    fn what_ends_a_poll_is_told() {
        assert_eq!(bits(Role::Read, RECEIVE), READABLE | READ_UNARMED);
        assert_eq!(bits(Role::Read, 0), READABLE | READ_UNARMED);
        assert_eq!(bits(Role::Write, SEND), WRITABLE | WRITE_UNARMED);
        assert_eq!(bits(Role::Read, RECEIVE | DISCONNECT), READABLE | READ_UNARMED | READ_CLOSED);
        let all = READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED | ERROR;
        assert_eq!(bits(Role::Write, CONNECT_FAIL), all | WRITE_UNARMED);
        assert_eq!(bits(Role::Priority, RECEIVE_EXPEDITED), PRIORITY | URGENT_SEEN);
    }
}
