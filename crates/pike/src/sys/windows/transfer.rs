//! Moving bytes through a socket: one call each, that never blocks.
//!
//! Some results differ from those of other systems, and are made the same here: a message that was longer than its room is
//! `WSAEMSGSIZE`, with the room full and the rest lost; a receive or a send after the socket's own end of that is
//! `WSAESHUTDOWN`; and a connected UDP socket that is refused is `WSAECONNRESET`.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    ptr,
};

use socket2::SockAddr;
use windows_sys::Win32::{
    Foundation::{ERROR_BROKEN_PIPE, ERROR_OPERATION_ABORTED},
    Networking::WinSock::{self, SOCKET_ERROR, WSABUF},
};

use super::{
    Borrowed,
    address::{from_raw_address, raw_address},
    number,
    socket::{info, is_udp},
};
use crate::socket::{Address, RecvFlags, SendFlags};

/// The most that one call moves. The system takes all of a send as soon as it has any room, and keeps a copy: without a limit
/// a peer that does not read would cost the memory of everything that is written.
pub(crate) const TRANSFER_MAX: usize = 1 << 20;

/// Results of requests that are not errors of the socket's.
pub(crate) const CANCELLED: i32 = ERROR_OPERATION_ABORTED as i32;
pub(crate) const NO_BUFFERS: i32 = WinSock::WSAENOBUFS;
pub(crate) const WOULD_BLOCK: i32 = WinSock::WSAEWOULDBLOCK;
pub(crate) const INTERRUPTED: i32 = WinSock::WSAEINTR;
pub(crate) const IN_PROGRESS: i32 = WinSock::WSAEINPROGRESS;
pub(crate) const ALREADY: i32 = WinSock::WSAEALREADY;
pub(crate) const INVALID: i32 = WinSock::WSAEINVAL;

/// Of a send that is over at once, one way or the other: the system has no such flag, and no sockets that need it.
pub(crate) const DO_NOT_WAIT: i32 = 0;

/// Whether an error is told to one receive only, and not to each that follows.
pub(crate) fn is_told_once(code: i32) -> bool {
    matches!(
        code,
        WinSock::WSAECONNRESET
            | WinSock::WSAECONNREFUSED
            | WinSock::WSAECONNABORTED
            | WinSock::WSAENETRESET
            | WinSock::WSAETIMEDOUT
            | WinSock::WSAENETDOWN
            | WinSock::WSAENETUNREACH
            | WinSock::WSAEHOSTDOWN
            | WinSock::WSAEHOSTUNREACH
    )
}

/// Vectors that one call is given: the limit of other systems. This one names none.
pub(crate) const VECTORS_MAX: usize = 1024;

#[inline]
pub(super) fn recv_flags(flags: RecvFlags) -> i32 {
    let mut number = 0;
    for (flag, means) in [(RecvFlags::PEEK, WinSock::MSG_PEEK), (RecvFlags::OUT_OF_BAND, WinSock::MSG_OOB)] {
        if flags.contains(flag) {
            number |= means;
        }
    }
    number
}

/// Nothing says that more follows: `MSG_PARTIAL` is for messages.
#[inline]
pub(crate) fn send_flags(flags: SendFlags) -> i32 {
    if flags.contains(SendFlags::OUT_OF_BAND) { WinSock::MSG_OOB } else { 0 }
}

/// What a send would have that has no room, and that nobody will tell of.
#[cold]
pub(crate) fn out_of_room() -> io::Error {
    io::Error::from_raw_os_error(NO_BUFFERS)
}

/// How a receive of up to `room` bytes has failed, and what that means: see the module.
#[cold]
pub(super) fn failed_receive(io: Borrowed<'_>, room: usize) -> io::Result<Truncated> {
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(|code| receive_failed(code, io)) {
        Some(WinSock::WSAEMSGSIZE) => Ok(Truncated { count: room.min(TRANSFER_MAX), truncated: true }),
        Some(0) => Ok(Truncated { count: 0, truncated: false }),
        Some(code) => Err(io::Error::from_raw_os_error(code)),
        None => Err(error),
    }
}

/// What the code of a receive that has failed means: 0 is the end.
#[cold]
pub(crate) fn receive_failed(code: i32, io: Borrowed<'_>) -> i32 {
    match code {
        WinSock::WSAESHUTDOWN => 0,
        WinSock::WSAECONNRESET | WinSock::WSAENETRESET if is_udp(&io).is_ok_and(|is_udp| is_udp) => {
            WinSock::WSAECONNREFUSED
        }
        _ => code,
    }
}

/// How a send has failed.
#[cold]
pub(super) fn failed_send() -> io::Error {
    let error = io::Error::last_os_error();
    error.raw_os_error().map_or(error, |code| io::Error::from_raw_os_error(send_failed(code)))
}

/// What the code of a send that has failed means. What the system says of a pipe has the kind that others have for a socket,
/// and `WSAESHUTDOWN` has none.
#[cold]
pub(crate) fn send_failed(code: i32) -> i32 {
    if code == WinSock::WSAESHUTDOWN { ERROR_BROKEN_PIPE as i32 } else { code }
}

/// How much was received, and whether that was not all of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truncated {
    pub(super) count: usize,
    pub(super) truncated: bool,
}

#[inline]
fn len_of(len: usize) -> i32 {
    len.min(TRANSFER_MAX) as i32
}

#[inline]
pub(crate) fn recv(io: Borrowed<'_>, buf: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    // SAFETY: what is written to it are bytes.
    recv_uninit(io, unsafe { &mut *(ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) }, flags)
}

/// As [`recv`], into memory that nobody has written yet: the count is how much of it now is.
#[inline]
pub(crate) fn recv_uninit(
    io: Borrowed<'_>,
    buf: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
) -> io::Result<usize> {
    // SAFETY: the system writes at most `len` bytes into the slice, and keeps nothing (I1).
    let count =
        unsafe { WinSock::recv(number(&io), buf.as_mut_ptr().cast(), len_of(buf.len()), recv_flags(flags)) };
    match count {
        SOCKET_ERROR => failed_receive(io, buf.len()).map(|received| received.count),
        count => Ok(count as usize),
    }
}

#[inline]
pub(crate) fn send(io: Borrowed<'_>, buf: &[u8], flags: SendFlags) -> io::Result<usize> {
    // SAFETY: the system reads at most `len` bytes of the slice, and keeps nothing (I1).
    sent(unsafe { WinSock::send(number(&io), buf.as_ptr(), len_of(buf.len()), send_flags(flags)) })
}

#[inline]
fn sent(count: i32) -> io::Result<usize> {
    match count {
        SOCKET_ERROR => Err(failed_send()),
        count => Ok(count as usize),
    }
}

/// What one call received.
pub(crate) struct Received {
    pub(crate) count: usize,
    /// Control data came with it, for which there was no room. There is none.
    pub(crate) control_cut: bool,
}

pub(crate) fn recv_vectored(io: Borrowed<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Received> {
    // SAFETY: an IoSliceMut is a WSABUF, and borrows what it names.
    unsafe { recv_buffers(io, bufs.as_mut_ptr().cast(), bufs.len()) }
}

/// Into memory that nobody has written yet: the count is how much of it now is.
pub(crate) fn recv_uninit_message(io: Borrowed<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<Received> {
    let count = recv_uninit(io, buf, RecvFlags::NONE)?;
    Ok(Received { count, control_cut: false })
}

/// For calls without a buffer, which the system refuses.
pub(super) const NO_ROOM: WSABUF = WSABUF { len: 0, buf: ptr::null_mut() };

/// # Safety
///
/// `buffers` are `len` buffers of memory that may be written to.
pub(super) unsafe fn recv_buffers(
    io: Borrowed<'_>,
    buffers: *mut WSABUF,
    len: usize,
) -> io::Result<Received> {
    // SAFETY: as the caller promises.
    let received = unsafe { recv_truncated(io, buffers, len, RecvFlags::NONE) }?;
    Ok(Received { count: received.count, control_cut: false })
}

/// # Safety
///
/// As of [`recv_buffers`].
pub(super) unsafe fn recv_truncated(
    io: Borrowed<'_>,
    buffers: *mut WSABUF,
    len: usize,
    flags: RecvFlags,
) -> io::Result<Truncated> {
    let (mut count, mut flags) = (0, recv_flags(flags) as u32);
    let mut none = NO_ROOM;
    let (buffers, len) = if len == 0 { (&raw mut none, 1) } else { (buffers, len) };
    // SAFETY: the system writes into those buffers only, as the caller promises, and keeps nothing without an OVERLAPPED (I1).
    let result = unsafe {
        WinSock::WSARecv(number(&io), buffers, len as u32, &mut count, &mut flags, ptr::null_mut(), None)
    };
    match result {
        0 => Ok(Truncated { count: count as usize, truncated: false }),
        // SAFETY: as many buffers, as the caller promises.
        _ => failed_receive(io, unsafe { room_of(buffers, len) }),
    }
}

/// How much fits in all.
///
/// # Safety
///
/// `buffers` are `len` buffers.
pub(super) unsafe fn room_of(buffers: *const WSABUF, len: usize) -> usize {
    if len == 0 {
        return 0;
    }
    // SAFETY: as the caller promises.
    let buffers = unsafe { std::slice::from_raw_parts(buffers, len) };
    buffers.iter().map(|buffer| buffer.len as usize).fold(0, usize::saturating_add)
}

pub(crate) fn send_vectored(io: Borrowed<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: an IoSlice is a WSABUF, and borrows what it names.
    unsafe { send_buffers(io, bufs.as_ptr().cast(), bufs.len(), 0) }
}

/// # Safety
///
/// `buffers` are `len` buffers of memory that may be read.
pub(super) unsafe fn send_buffers(
    io: Borrowed<'_>,
    buffers: *const WSABUF,
    len: usize,
    flags: i32,
) -> io::Result<usize> {
    let mut count = 0;
    let mut one = NO_ROOM;
    // SAFETY: as many buffers, as the caller promises.
    let (buffers, len) = unsafe { of_one_call(io, buffers, len, &mut one) };
    // SAFETY: the system reads those buffers only, as the caller promises, and keeps nothing without an OVERLAPPED (I1).
    match unsafe {
        WinSock::WSASend(number(&io), buffers, len as u32, &mut count, flags as u32, ptr::null_mut(), None)
    } {
        0 => Ok(count as usize),
        _ => Err(failed_send()),
    }
}

/// The buffers that one call is given: at least one, which may be `one`, and no more than it moves.
///
/// # Safety
///
/// `buffers` are `len` buffers.
pub(crate) unsafe fn of_one_call(
    io: Borrowed<'_>,
    buffers: *const WSABUF,
    len: usize,
    one: &mut WSABUF,
) -> (*const WSABUF, usize) {
    // SAFETY: as the caller promises.
    match unsafe { room_of(buffers, len) } {
        // SAFETY: as above.
        asked if asked > TRANSFER_MAX => unsafe { cut(io, buffers, len, one) },
        _ if len == 0 => (ptr::from_ref(one), 1),
        _ => (buffers, len),
    }
}

/// Of a stream's buffers that are more than one call moves, the first; or the beginning, in `one`, of the only one that has
/// any bytes. A message is not cut.
///
/// # Safety
///
/// `buffers` are `len` buffers.
#[cold]
unsafe fn cut(
    io: Borrowed<'_>,
    buffers: *const WSABUF,
    len: usize,
    one: &mut WSABUF,
) -> (*const WSABUF, usize) {
    if !info(&io).is_ok_and(|info| info.iSocketType == WinSock::SOCK_STREAM) {
        return (buffers, len);
    }
    // SAFETY: as the caller promises.
    let all = unsafe { std::slice::from_raw_parts(buffers, len) };
    let mut left = TRANSFER_MAX;
    for (at, buffer) in all.iter().enumerate() {
        match left.checked_sub(buffer.len as usize) {
            Some(rest) => left = rest,
            None if left < TRANSFER_MAX => return (buffers, at),
            None => {
                *one = WSABUF { len: TRANSFER_MAX as u32, buf: buffer.buf };
                return (ptr::from_ref(one), 1);
            }
        }
    }
    (buffers, len)
}

pub(crate) fn recv_from(io: Borrowed<'_>, buf: &mut [u8], flags: RecvFlags) -> io::Result<(usize, Address)> {
    // SAFETY: what is written to it are bytes.
    recv_uninit_from(io, unsafe { &mut *(ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) }, flags)
}

/// Into memory that nobody has written yet: the count is how much of it now is.
pub(super) fn recv_uninit_from(
    io: Borrowed<'_>,
    buf: &mut [MaybeUninit<u8>],
    flags: RecvFlags,
) -> io::Result<(usize, Address)> {
    let flags = recv_flags(flags);
    // SAFETY: storage and length are those of an address that `try_init` made for this call; the rest as in `recv_uninit`.
    let (count, address) = unsafe {
        SockAddr::try_init(|storage, len| {
            let (at, room) = (buf.as_mut_ptr().cast(), len_of(buf.len()));
            match WinSock::recvfrom(number(&io), at, room, flags, storage.cast(), len) {
                SOCKET_ERROR => failed_receive(io, buf.len()).map(|received| received.count),
                count => Ok(count as usize),
            }
        })
    }?;
    Ok((count, from_raw_address(&address)?))
}

pub(crate) fn send_to(io: Borrowed<'_>, buf: &[u8], address: Address) -> io::Result<usize> {
    let address = raw_address(address);
    // SAFETY: the system reads at most `len` bytes of the slice and of the address, and keeps nothing (I1).
    sent(unsafe {
        let (at, len) = (buf.as_ptr(), len_of(buf.len()));
        WinSock::sendto(number(&io), at, len, 0, address.as_ptr().cast(), address.len())
    })
}

/// Who sent the next datagram, which stays in the queue.
pub(crate) fn peek_sender(io: Borrowed<'_>) -> io::Result<Address> {
    recv_from(io, &mut [], RecvFlags::PEEK).map(|(_, address)| address)
}
