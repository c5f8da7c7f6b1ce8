//! What Windows has beside its backend: sockets, their options and control data, console events.
//!
//! The names are those of `sys/unix`, so that everything above `sys` is one text. A descriptor is a socket here: nothing else
//! can be waited for by the same calls.

mod address;
mod console;
pub(crate) mod control;
mod descriptor;
mod envelope;
pub(crate) mod extension;
mod fork;
mod io_safe;
mod message;
pub(super) mod options;
mod room;
mod signals;
mod socket;
mod transfer;

pub(crate) use address::{HAS_ABSTRACT_NAMES, UNIX_NAME_LEN, bytes_of_path, path_of_bytes};
pub(crate) use console::{Held, check_signal, unwatch_signal, watch_signal};
pub(crate) use descriptor::{Owned, borrowed, close, own_for_requests, raw, set_nonblocking};
pub(crate) use envelope::Envelope;
pub(crate) use fork::{forked, forks, watch_forks};
pub use io_safe::IoSafe;
pub(crate) use message::{at_mark, is_urgent_in_line, recv_msg, send_msg};
pub(crate) use room::{Vectors, read_room, recv_room_from, write};
pub(crate) use signals::{INTERRUPT, TERMINATION, is_kept, is_refused, signal_name, spawn_deaf};
pub(super) use socket::info as socket_info;
pub(crate) use socket::{
    Connecting, REPORTS_SHUTDOWN, REUSE_TO_LISTEN, accept, accepted_address, adopt_accepted, bind, connect,
    connected, domain_of_number, flavour, has_priority, is_of_one_connection, is_out_of_resources, is_udp,
    lingers, listen, local_address, make_as_ours, pair, peer_address, protocol_of_number, shutdown,
    shutdown_raw, socket, stop_lingering, type_of_number,
};
pub(crate) use transfer::{
    ALREADY, CANCELLED, DO_NOT_WAIT, IN_PROGRESS, INTERRUPTED, INVALID, NO_BUFFERS, Received, TRANSFER_MAX,
    VECTORS_MAX, WOULD_BLOCK, is_told_once, of_one_call, out_of_room, peek_sender, receive_failed, recv,
    recv_from, recv_uninit, recv_uninit_message, recv_vectored, send, send_failed, send_flags, send_to,
    send_vectored,
};

use std::io;

use windows_sys::Win32::Networking::WinSock::{INVALID_SOCKET, SOCKET};

/// A descriptor that somebody else keeps open.
pub(crate) type Borrowed<'a> = std::os::windows::io::BorrowedSocket<'a>;

/// A descriptor's number.
pub(crate) type Raw = std::os::windows::io::RawSocket;

/// A number that no descriptor has.
pub(crate) const NO_RAW: Raw = INVALID_SOCKET as Raw;

/// The number of a socket, as the calls take it.
#[inline]
pub(crate) fn number(io: &impl std::os::windows::io::AsSocket) -> SOCKET {
    use std::os::windows::io::AsRawSocket;
    io.as_socket().as_raw_socket() as SOCKET
}

/// The error of a call of Winsock that did not return 0, with its code.
#[inline]
pub(crate) fn cvt(result: i32) -> io::Result<()> {
    // What WSAGetLastError says is what GetLastError says.
    if result != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
