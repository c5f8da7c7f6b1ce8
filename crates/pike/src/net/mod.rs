//! TCP, UDP and Unix sockets under the names of std and tokio.
//!
//! Where they have a name for the same thing, it has that name, argument order and result here. Each type is a
//! [`Socket`](crate::socket::Socket) of a known kind: `socket()` gives it out, for options and for calls that the type does
//! not have.

mod addrs;
mod connect;
mod datagram;
mod owned;
mod resolve;
mod shared;
mod split;
mod stream;
pub mod tcp;
mod tcp_listener;
mod tcp_stream;
mod traits;
mod udp;
mod udp_options;
pub mod unix;
#[cfg(unix)]
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use self::{
    addrs::ToSocketAddrs,
    resolve::lookup_host,
    split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, Stream, WriteHalf},
    tcp_listener::TcpListener,
    tcp_stream::TcpStream,
    udp::UdpSocket,
    unix_listener::UnixListener,
    unix_stream::UnixStream,
};

#[cfg(unix)]
pub use self::unix_datagram::UnixDatagram;
