//! What a block asks, as a call of Winsock.
#![allow(unsafe_code)]

use std::{os::windows::io::BorrowedSocket, ptr};

use windows_sys::Win32::{
    Networking::WinSock::{
        SOCKET, WSA_IO_PENDING, WSABUF, WSAGetLastError, WSARecv, WSARecvFrom, WSASend, WSASendTo,
    },
    System::IO::OVERLAPPED,
};

use super::{accept, accept::Accept, connect};
use crate::{op::block::Request, sys::platform};

/// What became of a request that was started.
#[derive(Debug)]
pub(super) enum Started {
    Pending,
    /// It succeeded at once, with so many bytes. Whether a packet follows is the socket's mode to say.
    Done(u32),
    /// It ended at once, and no packet follows.
    Failed(i32),
}

/// # Safety
///
/// All that the request names, and the OVERLAPPED, stays until its completion; so does what `accept` has.
pub(super) unsafe fn start(
    request: Request,
    accept: &mut Option<Box<Accept>>,
    overlapped: *mut OVERLAPPED,
) -> Started {
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
            // SAFETY: as above; the vectors are read during the call, and the socket is open.
            unsafe {
                let header = &*header;
                let mut one = WSABUF { len: 0, buf: ptr::null_mut() };
                let io = BorrowedSocket::borrow_raw(descriptor);
                let (buffers, buffer_count) =
                    platform::of_one_call(io, header.lpBuffers, header.dwBufferCount as usize, &mut one);
                let name_len = if header.name.is_null() { 0 } else { header.namelen };
                WSASendTo(
                    descriptor as SOCKET,
                    buffers,
                    buffer_count as u32,
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
        Request::AcceptMany { descriptor } => {
            // SAFETY: passed on to the caller.
            return unsafe { accept::start(accept, descriptor, overlapped) };
        }
        Request::Connect { descriptor, envelope } => {
            // SAFETY: passed on to the caller; the envelope is the request's.
            return unsafe { connect::start(descriptor, envelope, overlapped) };
        }
        // `Driver::receives_many` says no.
        Request::ReceiveMany { .. } | Request::ReceivePooled { .. } => {
            return Started::Failed(platform::INVALID);
        }
        // Of descriptors that are no sockets, which there are none of.
        Request::Read { .. } | Request::Write { .. } => return Started::Failed(platform::WOULD_BLOCK),
    };
    match failed {
        0 => Started::Done(count),
        _ => by_last_error(),
    }
}

/// What a call that did not succeed at once has said.
pub(super) fn by_last_error() -> Started {
    // SAFETY: takes nothing.
    match unsafe { WSAGetLastError() } {
        WSA_IO_PENDING => Started::Pending,
        code => Started::Failed(code),
    }
}
