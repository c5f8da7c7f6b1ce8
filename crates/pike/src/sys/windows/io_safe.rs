//! Which types a Handle may wrap.
#![allow(unsafe_code)]

use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

use crate::socket::Descriptor;

/// Types that own one socket for as long as they live, so that a [`Handle`](crate::Handle) may keep its number.
///
/// The socket must have been made for overlapped calls, as those of std and of most libraries are.
///
/// # Safety
///
/// As long as a value is only shared (`&self`), `as_socket` gives the same socket every time, and nothing that can be
/// reached through `&self` closes it or puts another in its place.
pub unsafe trait IoSafe: AsSocket {}

macro_rules! owned {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: it owns its socket from creation to drop, and `&self` cannot change that.
            unsafe impl IoSafe for $type {}
        )*
    };
}

owned!(OwnedSocket, std::net::TcpListener, std::net::TcpStream, std::net::UdpSocket, Descriptor);

// SAFETY: a box gives out the socket of what it owns, and `&Box` cannot swap its content.
unsafe impl<T: IoSafe> IoSafe for Box<T> {}

impl AsSocket for Descriptor {
    #[inline]
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.owned().as_socket()
    }
}
