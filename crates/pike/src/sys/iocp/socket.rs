//! What a port must know of a socket: its kind, how its requests end, and what AFD knows it by.
#![allow(unsafe_code)]

use std::{io, ptr, sync::OnceLock};

use windows_sys::{
    Wdk::Storage::FileSystem::{FILE_MODE_INFORMATION, FileModeInformation, NtQueryInformationFile},
    Win32::{
        Foundation::HANDLE,
        Networking::WinSock::{
            IPPROTO_TCP, IPPROTO_UDP, SIO_BASE_HANDLE, SIO_BSP_HANDLE_POLL, SO_ACCEPTCONN, SO_TYPE,
            SOCK_STREAM, SOCKET, SOCKET_ERROR, SOL_SOCKET, WSAEnumProtocolsW, WSAIoctl, WSAPROTOCOL_INFOW,
            XP1_IFS_HANDLES, getsockopt,
        },
        Storage::FileSystem::SetFileCompletionNotificationModes,
        System::{
            IO::IO_STATUS_BLOCK,
            WindowsProgramming::{FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE},
        },
    },
};

use crate::sys::Raw;

pub(super) fn handle(socket: Raw) -> HANDLE {
    ptr::with_exposed_provenance_mut(socket as usize)
}

fn option(socket: Raw, name: i32) -> io::Result<i32> {
    let (mut value, mut len) = (0_i32, size_of::<i32>() as i32);
    // SAFETY: the call writes at most `len` bytes to `value`, and their number.
    let failed = unsafe { getsockopt(socket as SOCKET, SOL_SOCKET, name, (&raw mut value).cast(), &mut len) };
    if failed == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// # Errors
///
/// `WSAENOTSOCK` for what is no socket.
pub(super) fn is_stream(socket: Raw) -> io::Result<bool> {
    Ok(option(socket, SO_TYPE)? == SOCK_STREAM)
}

pub(super) fn listens(socket: Raw) -> bool {
    option(socket, SO_ACCEPTCONN).is_ok_and(|listens| listens != 0)
}

/// Says how requests on the socket end: nobody waits for the handle itself; and of a stream, what succeeds at once posts no
/// packet. True if that is so.
///
/// Not of datagrams: a receive that cuts one fails at once, and posts a packet.
pub(super) fn skip(socket: Raw, is_stream: bool) -> bool {
    let skips = is_stream && all_are_ifs();
    let modes = FILE_SKIP_SET_EVENT_ON_HANDLE | if skips { FILE_SKIP_COMPLETION_PORT_ON_SUCCESS } else { 0 };
    // SAFETY: takes no pointer.
    let set = unsafe { SetFileCompletionNotificationModes(handle(socket), modes as u8) } != 0;
    skips && set
}

/// Whether every provider makes sockets that are handles of the system (IFS). Where a layered one stands between, requests
/// that succeed at once may post a packet after all (KB 2568167), and AFD knows the socket by another number.
pub(super) fn all_are_ifs() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    *ALL.get_or_init(|| providers().is_ok_and(|all| all.iter().all(is_ifs)))
}

fn is_ifs(provider: &WSAPROTOCOL_INFOW) -> bool {
    provider.dwServiceFlags1 & XP1_IFS_HANDLES != 0
}

fn providers() -> io::Result<Vec<WSAPROTOCOL_INFOW>> {
    let protocols = [IPPROTO_TCP, IPPROTO_UDP, 0];
    let mut room = 32;
    for _ in 0..4 {
        let mut all = vec![WSAPROTOCOL_INFOW::default(); room];
        let mut bytes = size_of_val(&all[..]) as u32;
        // SAFETY: the list ends with a zero; the call writes at most `bytes` bytes.
        let count = unsafe { WSAEnumProtocolsW(protocols.as_ptr(), all.as_mut_ptr(), &mut bytes) };
        if count != SOCKET_ERROR {
            all.truncate(count as usize);
            return Ok(all);
        }
        room *= 4;
    }
    Err(io::Error::last_os_error())
}

/// What AFD knows the socket by: itself, unless a layered provider stands between.
pub(super) fn base(socket: Raw) -> io::Result<Raw> {
    // Some layers answer the second question only, which is meant for polling.
    ask(socket, SIO_BASE_HANDLE).or_else(|error| ask(socket, SIO_BSP_HANDLE_POLL).map_err(|_| error))
}

fn ask(socket: Raw, question: u32) -> io::Result<Raw> {
    let (mut base, mut bytes) = (0_usize, 0);
    // SAFETY: the call writes at most one SOCKET to `base`, and its size.
    let failed = unsafe {
        WSAIoctl(
            socket as SOCKET,
            question,
            ptr::null(),
            0,
            (&raw mut base).cast(),
            size_of::<SOCKET>() as u32,
            &mut bytes,
            ptr::null_mut(),
            None,
        )
    };
    if failed == 0 { Ok(base as Raw) } else { Err(io::Error::last_os_error()) }
}

/// Whether it was made without `WSA_FLAG_OVERLAPPED`: nothing on it can be in flight.
pub(super) fn is_synchronous(socket: Raw) -> bool {
    const SYNCHRONOUS: u32 = 0x10 | 0x20; // FILE_SYNCHRONOUS_IO_ALERT, _NONALERT
    let mut mode = FILE_MODE_INFORMATION { Mode: 0 };
    let mut status_block = IO_STATUS_BLOCK::default();
    // SAFETY: the call writes to the two places, which outlive it.
    let status = unsafe {
        NtQueryInformationFile(
            handle(socket),
            &mut status_block,
            (&raw mut mode).cast(),
            size_of::<FILE_MODE_INFORMATION>() as u32,
            FileModeInformation,
        )
    };
    status == 0 && mode.Mode & SYNCHRONOUS != 0
}
