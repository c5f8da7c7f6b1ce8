//! Which types a Handle may wrap.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::socket::Descriptor;

/// Types that own one descriptor for as long as they live, so that a [`Handle`](crate::Handle) may keep its number.
///
/// # Safety
///
/// As long as a value is only shared (`&self`), `as_fd` gives the same descriptor every time, and nothing that can be
/// reached through `&self` closes it or puts another in its place.
pub unsafe trait IoSafe: AsFd {}

macro_rules! owned {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: it owns its descriptor from creation to drop, and `&self` cannot change that.
            unsafe impl IoSafe for $type {}
        )*
    };
}

owned!(
    OwnedFd,
    std::fs::File,
    std::net::TcpListener,
    std::net::TcpStream,
    std::net::UdpSocket,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixStream,
    std::os::unix::net::UnixDatagram,
    std::process::ChildStdin,
    std::process::ChildStdout,
    std::process::ChildStderr,
    std::io::Stdin,
    std::io::Stdout,
    std::io::Stderr,
    Descriptor,
);

// SAFETY: a box gives out the descriptor of what it owns, and `&Box` cannot swap its content.
unsafe impl<T: IoSafe> IoSafe for Box<T> {}

impl AsFd for Descriptor {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.owned().as_fd()
    }
}
