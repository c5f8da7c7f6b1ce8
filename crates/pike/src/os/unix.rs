//! What Unix has: descriptors.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

pub use crate::sys::platform::IoSafe;
use crate::{
    Handle,
    net::{TcpListener, TcpStream, UdpSocket},
    socket::Socket,
};

impl<T: IoSafe> AsFd for Handle<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: IoSafe> AsRawFd for Handle<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor().as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

macro_rules! of_socket {
    ($($type:ty),*) => {$(
        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket().as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }
    )*};
}

of_socket!(TcpListener, TcpStream, UdpSocket);
