//! How many descriptors the process may have.

#![allow(unsafe_code)]

use std::io;

/// No limit of its own: memory is the limit here.
#[cfg(windows)]
pub fn raise_descriptors() -> io::Result<u64> {
    Ok(u64::MAX)
}

/// Raises the limit to as much as the process may have without privileges, and returns that.
#[cfg(unix)]
pub fn raise_descriptors() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for one limit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: points to one limit.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    // Signed on FreeBSD; not negative.
    #[allow(clippy::unnecessary_cast)]
    Ok(limit.rlim_cur as u64)
}

#[cfg(unix)]
fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
