//! What the Unix backends share: descriptors, sockets, signals, forks.

use std::io;

mod address;
pub(crate) mod control;
mod descriptor;
mod disposition;
mod envelope;
mod fork;
mod io_safe;
mod message;
pub(super) mod options;
mod room;
mod sender;
mod shapes;
#[cfg(target_os = "linux")]
pub(crate) mod signalfd;
mod signals;
mod socket;
mod transfer;

pub(crate) use address::{HAS_ABSTRACT_NAMES, UNIX_NAME_LEN, bytes_of_path, path_of_bytes};
#[cfg(target_os = "macos")]
pub(crate) use descriptor::set_close_on_exec;
pub(crate) use descriptor::{Owned, borrowed, close, own_for_requests, raw, set_nonblocking};
pub(crate) use disposition::{check_signal, unwatch_signal, watch_signal};
pub(crate) use envelope::Envelope;
pub(crate) use fork::{forked, forks, watch_forks};
pub use io_safe::IoSafe;
pub(crate) use message::{at_mark, is_urgent_in_line, recv_msg, send_msg};
pub(crate) use room::{Vectors, read_room, recv_room_from, write};
pub(crate) use signals::{
    Held, INTERRUPT, TERMINATION, change_mask, is_kept, is_refused, real_time_signals, signal_name,
    spawn_deaf,
};
pub(crate) use socket::{
    Connecting, REPORTS_SHUTDOWN, REUSE_TO_LISTEN, accept, accepted_address, adopt_accepted, bind, connect,
    connected, flavour, has_priority, is_of_one_connection, is_out_of_resources, is_udp, lingers, listen,
    local_address, pair, peer_address, refuse_sigpipe as make_as_ours, shutdown, shutdown_raw, socket,
    stop_lingering,
};
pub(crate) use transfer::{
    ALREADY, CANCELLED, DO_NOT_WAIT, IN_PROGRESS, INTERRUPTED, INVALID, NO_BUFFERS, Received, TRANSFER_MAX,
    VECTORS_MAX, WOULD_BLOCK, is_told_once, out_of_room, peek_sender, recv, recv_from, recv_uninit,
    recv_uninit_message, recv_vectored, send, send_flags, send_to, send_vectored,
};

/// A descriptor that somebody else keeps open.
pub(crate) type Borrowed<'a> = std::os::fd::BorrowedFd<'a>;

/// A descriptor's number.
pub(crate) type Raw = std::os::fd::RawFd;

/// A number that no descriptor has.
pub(crate) const NO_RAW: Raw = -1;

/// The error of a call that returned -1, with its code.
#[inline]
pub(crate) fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Runs `f` and puts `errno` back, for what a signal handler may call.
#[allow(unsafe_code)]
pub(crate) fn keep_errno(f: impl FnOnce()) {
    // No reference: the calls of `f` write to it, and so does one of these within another.
    // SAFETY: takes nothing.
    let errno = unsafe { errno_location() };
    // SAFETY: the location belongs to the calling thread, and is always valid.
    let before = unsafe { errno.read() };
    f();
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

cfg_if::cfg_if! {
    if #[cfg(any(target_os = "macos", target_os = "freebsd"))] {
        use libc::__error as errno_location;
    } else if #[cfg(any(target_os = "netbsd", target_os = "openbsd"))] {
        use libc::__errno as errno_location;
    } else {
        use libc::__errno_location as errno_location;
    }
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests {
    use super::*;

    /// Under Miri it says that nothing is held across the call which that call may not touch.
    #[test]
    fn errno_is_kept_within_itself_too() {
        fn spoil() {
            // SAFETY: no descriptor has this number.
            assert_eq!(unsafe { libc::close(-1) }, -1);
        }
        let code = || io::Error::last_os_error().raw_os_error();
        spoil();
        let before = code();
        keep_errno(|| {
            // SAFETY: takes nothing, and the location belongs to this thread.
            unsafe { errno_location().write(libc::EDOM) };
            keep_errno(spoil);
            assert_eq!(code(), Some(libc::EDOM));
        });
        assert_eq!(code(), before);
    }
}
