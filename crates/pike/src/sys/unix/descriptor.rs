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

/// A duplicate that requests of the kernel's own may name, of what one of them reads as a system call does: not of a socket
/// for messages, of which a read that nobody waits for any more would cut one. None also if there is no descriptor left.
#[allow(unsafe_code)]
pub(crate) fn own_for_requests(io: &impl AsFd) -> Option<Owned> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the struct, or says that it did not.
    cvt(unsafe { libc::fstat(io.as_fd().as_raw_fd(), status.as_mut_ptr()) }).ok()?;
    // SAFETY: filled, since the call succeeded.
    let kind = unsafe { status.assume_init() }.st_mode & libc::S_IFMT;
    if kind == libc::S_IFSOCK && !super::socket::is_stream(io).ok()? {
        return None;
    }
    io.as_fd().try_clone_to_owned().ok()
}

/// Closes a descriptor, and says what the system said.
#[allow(unsafe_code)]
pub(crate) fn close(owned: Owned) -> io::Result<()> {
    let raw = owned.into_raw_fd();
    // SAFETY: ours, and given up above. Not retried: after EINTR the descriptor is gone on Linux, the
    // BSDs and macOS.
    cvt(unsafe { libc::close(raw) }).map(drop)
}
