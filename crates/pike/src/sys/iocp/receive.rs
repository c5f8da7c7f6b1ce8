//! Readiness of a connected stream to be read: a receive into no bytes, which ends once there is something.
//!
//! It is documented, where a poll of AFD is not, takes no data, and refers to no memory but its OVERLAPPED (I1). On a datagram
//! socket it would eat the datagram, and on a listener it says nothing.
#![allow(unsafe_code)]

use std::{io, ptr};

use windows_sys::Win32::{
    Networking::WinSock::{
        FIONREAD, POLLHUP, POLLRDNORM, SOCKET, WSA_IO_PENDING, WSABUF, WSAEINVAL, WSAENOBUFS, WSAENOTCONN,
        WSAEOPNOTSUPP, WSAGetLastError, WSAPOLLFD, WSAPoll, WSARecv, ioctlsocket,
    },
    System::IO::OVERLAPPED,
};

use super::ops::is_warning;
use crate::sys::Raw;

/// What became of a receive that was started.
#[derive(Debug)]
pub(super) enum Started {
    /// It is in flight, or its packet is on the way.
    Pending,
    /// It is over: there is something to read, or an error to find. Whether a packet follows is the socket's mode to say.
    Done,
    /// The same, but no packet follows.
    Failed,
    /// The socket has nothing to receive from: no connection.
    NoStream,
}

/// # Errors
///
/// The system's, if it has no memory for it. Nothing follows then.
///
/// # Safety
///
/// The place stays, and is left alone, until the packet was taken.
pub(super) unsafe fn start(socket: Raw, overlapped: *mut OVERLAPPED) -> io::Result<Started> {
    let nothing = WSABUF { len: 0, buf: ptr::null_mut() };
    let mut flags = 0;
    // SAFETY: the vector and the flags are read and written during the call only; the rest is the caller's promise.
    let failed =
        unsafe { WSARecv(socket as SOCKET, &nothing, 1, ptr::null_mut(), &mut flags, overlapped, None) };
    if failed == 0 {
        return Ok(Started::Done);
    }
    // SAFETY: takes nothing.
    match unsafe { WSAGetLastError() } {
        WSA_IO_PENDING => Ok(Started::Pending),
        WSAENOTCONN | WSAEINVAL | WSAEOPNOTSUPP => Ok(Started::NoStream),
        code @ WSAENOBUFS => Err(io::Error::from_raw_os_error(code)),
        // SAFETY: by the caller's promise. What is a warning ends as a success does.
        _ if unsafe { is_warning(overlapped) } => Ok(Started::Done),
        // The connection is gone: who tries finds the same.
        _ => Ok(Started::Failed),
    }
}

/// Whether the peer has ended writing, and all that it wrote was read: that ends a receive as well as data does. Never waits.
///
/// A hint, as it is everywhere. Where there is data it is not asked further, since the end may be told once that was read.
pub(super) fn is_at_end(socket: Raw) -> bool {
    let mut unread = 0;
    // SAFETY: the call writes to `unread`.
    let failed = unsafe { ioctlsocket(socket as SOCKET, FIONREAD, &mut unread) };
    if failed != 0 || unread > 0 {
        return false;
    }
    // Nothing to read now: at the end, or somebody else was quicker.
    let mut poll = WSAPOLLFD { fd: socket as SOCKET, events: POLLRDNORM, revents: 0 };
    // SAFETY: one entry, read and written during the call.
    let found = unsafe { WSAPoll(&mut poll, 1, 0) };
    found > 0 && poll.revents & POLLHUP != 0
}
