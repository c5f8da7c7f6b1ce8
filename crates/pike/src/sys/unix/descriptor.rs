//! Any descriptor: its number, its blocking mode, its end.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd},
};

use super::{Borrowed, IoSafe, Raw, cvt};

/// A descriptor that is ours to close.
pub(crate) type Owned = OwnedFd;

#[inline]
pub(crate) fn borrowed(io: &impl IoSafe) -> Borrowed<'_> {
    io.as_fd()
}

#[inline]
pub(crate) fn raw(io: &impl IoSafe) -> Raw {
    io.as_fd().as_raw_fd()
}

/// Makes a descriptor non-blocking: for everything that shares its open file description.
#[allow(unsafe_code)]
pub(crate) fn set_nonblocking(io: &impl AsFd) -> io::Result<()> {
    let raw = io.as_fd().as_raw_fd();
    // SAFETY: takes no pointer.
    let flags = cvt(unsafe { libc::fcntl(raw, libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: takes no pointer.
        cvt(unsafe { libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// For what the system makes without: child programs do not get it.
#[cfg(target_os = "macos")]
#[allow(unsafe_code)]
pub(crate) fn set_close_on_exec(io: &impl AsFd) -> io::Result<()> {
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::fcntl(io.as_fd().as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
}

/// Closes a descriptor, and says what the system said.
#[allow(unsafe_code)]
pub(crate) fn close(owned: Owned) -> io::Result<()> {
    let raw = owned.into_raw_fd();
    // SAFETY: ours, and given up above. Not retried: after EINTR the descriptor is gone on Linux, the
    // BSDs and macOS.
    cvt(unsafe { libc::close(raw) }).map(drop)
}
