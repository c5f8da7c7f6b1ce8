//! Connects by ConnectEx.
//!
//! It takes only a socket that has an address, so one without is given the unspecified one, and any port: connect(2) does the
//! same. What is connected so knows that, and its peer, once it was told (SO_UPDATE_CONNECT_CONTEXT).
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::windows::io::{AsRawSocket, BorrowedSocket},
    ptr::{self, NonNull},
};

use windows_sys::Win32::{
    Networking::WinSock::{
        AF_INET, AF_INET6, LPFN_CONNECTEX, SO_UPDATE_CONNECT_CONTEXT, SOCKET, SOL_SOCKET, WSAEALREADY,
        WSAEINVAL, WSAID_CONNECTEX, setsockopt,
    },
    System::IO::OVERLAPPED,
};

use super::start::{Started, by_last_error};
use crate::sys::{
    Raw,
    platform::{self, Envelope, cvt, extension::Extension},
};

static CONNECT_EX: Extension = Extension::new(WSAID_CONNECTEX);

/// Starts to connect to the address in the envelope. `platform::WOULD_BLOCK` if that is for connect(2): another family than
/// the internet's, a provider without ConnectEx, a socket that connects already.
///
/// # Safety
///
/// The socket is open; the envelope, which has an address, and the OVERLAPPED stay until the packet was taken.
pub(super) unsafe fn start(socket: Raw, envelope: *const Envelope, overlapped: *mut OVERLAPPED) -> Started {
    // SAFETY: by the caller's promise.
    let (name, name_len) = unsafe { (*envelope).name() };
    // SAFETY: as above: every address begins with its family.
    let anyone = match unsafe { (*name).sa_family } {
        AF_INET => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        AF_INET6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        _ => return Started::Failed(platform::WOULD_BLOCK),
    };
    // SAFETY: by the caller's promise.
    let io = unsafe { BorrowedSocket::borrow_raw(socket) };
    let Ok(function) = CONNECT_EX.of(&io) else { return Started::Failed(platform::WOULD_BLOCK) };
    // SAFETY: what its provider has by this identifier is of this type.
    let connect_ex =
        unsafe { mem::transmute::<NonNull<c_void>, LPFN_CONNECTEX>(function) }.expect("not null");
    match platform::bind(&io, anyone.into()).map_err(|error| error.raw_os_error()) {
        Ok(()) | Err(Some(WSAEINVAL)) => {} // it has one
        Err(code) => return Started::Failed(code.unwrap_or(WSAEINVAL)),
    }
    let socket = io.as_raw_socket() as SOCKET;
    // SAFETY: open; the name stays, and nothing is to be sent with it.
    match unsafe { connect_ex(socket, name, name_len, ptr::null(), 0, ptr::null_mut(), overlapped) } {
        0 => match by_last_error() {
            Started::Failed(WSAEALREADY) => Started::Failed(platform::WOULD_BLOCK),
            started => started,
        },
        _ => Started::Done(0),
    }
}

/// The result for a socket that was connected.
pub(super) fn finish(socket: Raw) -> i32 {
    // SAFETY: takes a socket's number, and no value.
    let told =
        cvt(unsafe { setsockopt(socket as SOCKET, SOL_SOCKET, SO_UPDATE_CONNECT_CONTEXT, ptr::null(), 0) });
    told.map_or_else(|error: io::Error| -error.raw_os_error().unwrap_or(WSAEINVAL), |()| 0)
}
