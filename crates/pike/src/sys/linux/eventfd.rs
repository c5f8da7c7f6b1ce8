//! The descriptor by which a notify ends a wait. Each write is an edge, so nobody reads it.
//!
//! Source: eventfd(2).
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use crate::sys::unix::{cvt, keep_errno};

pub(in crate::sys) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = cvt(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: just created, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Async-signal-safe: one write, and `errno` stays as it was.
pub(in crate::sys) fn write_eventfd(eventfd: &OwnedFd) {
    keep_errno(|| {
        let one = 1_u64;
        // SAFETY: eight readable bytes. The one failure there is, a counter about to overflow, leaves the
        // descriptor readable as well.
        unsafe { libc::write(eventfd.as_raw_fd(), (&raw const one).cast(), 8) };
    });
}
