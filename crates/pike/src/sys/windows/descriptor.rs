//! Any socket: its number, its blocking mode, its end.
#![allow(unsafe_code)]

use std::{
    io,
    os::windows::io::{AsRawSocket, AsSocket, IntoRawSocket, OwnedSocket},
};

use windows_sys::Win32::Networking::WinSock::{FIONBIO, SOCKET, closesocket, ioctlsocket};

use super::{Borrowed, IoSafe, Raw, cvt, number};

/// A descriptor that is ours to close.
pub(crate) type Owned = OwnedSocket;

#[inline]
pub(crate) fn borrowed(io: &impl IoSafe) -> Borrowed<'_> {
    io.as_socket()
}

#[inline]
pub(crate) fn raw(io: &impl IoSafe) -> Raw {
    io.as_socket().as_raw_socket()
}

/// Makes a socket non-blocking: for everything that shares it. The system does not tell whether it is.
pub(crate) fn set_nonblocking(io: &impl AsSocket) -> io::Result<()> {
    set_mode(number(io), 1)
}

fn set_mode(socket: SOCKET, mut nonblocking: u32) -> io::Result<()> {
    // SAFETY: reads the number that it is given the place of.
    cvt(unsafe { ioctlsocket(socket, FIONBIO, &mut nonblocking) })
}

/// A duplicate that requests of the system's own may name: there is none, since a duplicate stays with its first port, too.
pub(crate) fn own_for_requests(_: &impl AsSocket) -> Option<Owned> {
    None
}

/// Closes a socket and reports what the system said, if it lingers once that is over. The socket is gone in any case.
pub(crate) fn close(owned: Owned) -> io::Result<()> {
    if super::lingers(&owned) {
        // A non-blocking one that lingers is not closed at all, with WSAEWOULDBLOCK. If it cannot be made blocking it must
        // not linger.
        set_mode(number(&owned), 0).or_else(|_| super::stop_lingering(&owned))?;
    }
    let raw = owned.into_raw_socket();
    // SAFETY: ours, and given up above.
    cvt(unsafe { closesocket(raw as SOCKET) })
}
