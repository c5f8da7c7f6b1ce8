//! What Windows has: sockets by their handles, console events, and options of its own.

pub mod option;
mod protocol;
pub mod signal;

use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket, RawSocket};

pub use self::protocol::ProtocolInfo;
pub use crate::sys::{OtherNotifier, platform::IoSafe};
use crate::{
    Handle,
    net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream},
    socket::Socket,
};

impl<T: IoSafe> AsSocket for Handle<T> {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.get_ref().as_socket()
    }
}

impl<T: IoSafe> AsRawSocket for Handle<T> {
    fn as_raw_socket(&self) -> RawSocket {
        self.as_socket().as_raw_socket()
    }
}

impl AsSocket for Socket {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.descriptor().as_socket()
    }
}

impl AsRawSocket for Socket {
    fn as_raw_socket(&self) -> RawSocket {
        self.as_socket().as_raw_socket()
    }
}

macro_rules! of_socket {
    ($($type:ty),*) => {$(
        impl AsSocket for $type {
            fn as_socket(&self) -> BorrowedSocket<'_> {
                self.socket().as_socket()
            }
        }

        impl AsRawSocket for $type {
            fn as_raw_socket(&self) -> RawSocket {
                self.as_socket().as_raw_socket()
            }
        }
    )*};
}

of_socket!(TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream);
