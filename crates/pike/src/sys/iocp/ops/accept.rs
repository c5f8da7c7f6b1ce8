//! Accepts by AcceptEx: one connection a request, in a socket that was made for it.
//!
//! The socket, and the room that the system has the two addresses written to, lie in a box that the block keeps for the next
//! request. What listens tells the connection whose it is once it is there (SO_UPDATE_ACCEPT_CONTEXT); only then does that
//! know its addresses.
//!
//! A request brings one connection and is over, though [`Request::AcceptMany`](crate::op::block::Request) may bring more. Who
//! takes the connection looks for others with accept(2), and has the next request started once there is none. So a burst is
//! served at once, a listener has one request outstanding, and one that nobody accepts from any more holds one connection.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io, mem,
    os::windows::io::{AsRawSocket, BorrowedSocket, IntoRawSocket},
    ptr::NonNull,
};

use windows_sys::Win32::{
    Networking::WinSock::{
        AF_INET, AF_INET6, LPFN_ACCEPTEX, SO_UPDATE_ACCEPT_CONTEXT, SOCKADDR_IN6, SOCKET, SOL_SOCKET,
        WSAECONNABORTED, WSAID_ACCEPTEX, setsockopt,
    },
    System::IO::OVERLAPPED,
};

use super::start::{Started, by_last_error};
use crate::sys::{
    Raw,
    platform::{self, Owned, cvt, extension::Extension},
};

/// What the system asks for an address: 16 bytes more than the longest has.
const ADDRESS: usize = size_of::<SOCKADDR_IN6>() + 16;

static ACCEPT_EX: Extension = Extension::new(WSAID_ACCEPTEX);

/// What an accept needs while it is in flight.
#[derive(Debug)]
pub(super) struct Accept {
    /// The connection to be.
    socket: Option<Owned>,
    /// The kernel's while the request is in flight. The socket tells the same.
    _addresses: [u8; 2 * ADDRESS],
}

/// Starts to accept on a socket that listens.
///
/// What cannot be had (a family that is not the internet's, a provider without AcceptEx, no sockets left) is
/// `platform::INVALID`, for good: the listener goes by readiness from then on, where accept(2) tells what is the matter. A
/// request that failed each time it was asked for would be asked for again and again.
///
/// # Safety
///
/// The socket is open; `accept` and the OVERLAPPED stay, and are left alone, until the packet was taken.
pub(super) unsafe fn start(
    accept: &mut Option<Box<Accept>>,
    listener: Raw,
    overlapped: *mut OVERLAPPED,
) -> Started {
    // SAFETY: by the caller's promise.
    let listener = unsafe { BorrowedSocket::borrow_raw(listener) };
    let Ok((socket, accept_ex)) = prepare(&listener) else { return Started::Failed(platform::INVALID) };
    let (from, into) = (listener.as_raw_socket() as SOCKET, socket.as_raw_socket() as SOCKET);
    let new = || Box::new(Accept { socket: None, _addresses: [0; 2 * ADDRESS] });
    let accept = accept.get_or_insert_with(new);
    accept.socket = Some(socket);
    let mut received = 0;
    // SAFETY: both are open; the addresses stay by the caller's promise. The count is written during the call only.
    let accepted = unsafe {
        let at = (&raw mut accept._addresses).cast();
        accept_ex.expect("not null")(
            from,
            into,
            at,
            0,
            ADDRESS as u32,
            ADDRESS as u32,
            &mut received,
            overlapped,
        )
    };
    if accepted != 0 {
        return Started::Done(0);
    }
    match by_last_error() {
        Started::Failed(code) if !is_of_one_connection(code) => Started::Failed(platform::INVALID),
        started => started,
    }
}

fn is_of_one_connection(code: i32) -> bool {
    platform::is_of_one_connection(&io::Error::from_raw_os_error(code))
}

/// A socket of the listener's kind, and the call of its provider.
fn prepare(listener: &BorrowedSocket<'_>) -> io::Result<(Owned, LPFN_ACCEPTEX)> {
    let info = platform::socket_info(listener)?;
    if ![i32::from(AF_INET), i32::from(AF_INET6)].contains(&info.iAddressFamily) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let function = ACCEPT_EX.of_provider(listener, info.dwCatalogEntryId)?;
    // SAFETY: what its provider has by this identifier is of this type.
    let function = unsafe { mem::transmute::<NonNull<c_void>, LPFN_ACCEPTEX>(function) };
    let protocol = socket2::Protocol::from(info.iProtocol);
    // For overlapped calls, and not inherited by child programs.
    let socket = socket2::Socket::new(info.iAddressFamily.into(), info.iSocketType.into(), Some(protocol))?;
    Ok((socket.into(), function))
}

impl Accept {
    /// The connection of a request that has succeeded: the number of its socket, which is the caller's. `listener`: none if
    /// that is gone, when nobody will use the connection. Or the negative of an error code, and the connection is gone.
    pub(super) fn finish(&mut self, listener: Option<Raw>) -> i32 {
        let socket = self.socket.take().expect("there since the start");
        let ready = match listener {
            Some(listener) => update(&socket, listener).and_then(|()| platform::set_nonblocking(&socket)),
            None => Ok(()),
        };
        match ready {
            // A socket is a handle, of which 32 bits mean something.
            Ok(()) => socket.into_raw_socket() as i32,
            // Nothing can be done with it: it is as one that was gone before it was accepted.
            Err(_) => -WSAECONNABORTED,
        }
    }

    /// Of one that has failed.
    pub(super) fn give_up(&mut self) {
        self.socket = None;
    }
}

fn update(connection: &Owned, listener: Raw) -> io::Result<()> {
    let listener = listener as SOCKET;
    let (at, len) = ((&raw const listener).cast(), size_of::<SOCKET>() as i32);
    // SAFETY: reads the listener's number.
    cvt(unsafe {
        setsockopt(connection.as_raw_socket() as SOCKET, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT, at, len)
    })
}
