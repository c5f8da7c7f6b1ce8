//! A terminal for a program that wants one: a pseudo terminal, which the test types at.
#![allow(unsafe_code)]

use std::{
    ffi::CStr,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The end to type at, and the end for the program.
pub fn open() -> io::Result<(File, File)> {
    // SAFETY: takes no pointer.
    let fd = cvt(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) })?;
    // SAFETY: open, and nobody else's.
    let master = unsafe { File::from_raw_fd(fd) };
    // Or the program keeps the keyboard's end open.
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::grantpt(fd) })?;
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::unlockpt(fd) })?;
    // SAFETY: one test has a terminal, so that no other call overwrites the name before it is copied.
    let name = unsafe { libc::ptsname(fd).as_ref().map(|name| CStr::from_ptr(name).to_owned()) };
    let name = name.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: reads a string that ends with zero.
    let slave = cvt(unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })?;
    // SAFETY: open, and nobody else's.
    Ok((master, unsafe { File::from_raw_fd(slave) }))
}

/// Has the program begin a session whose terminal is `slave`: its /dev/tty.
pub fn control(command: &mut Command, slave: File) {
    let begin = move || {
        // SAFETY: takes nothing.
        cvt(unsafe { libc::setsid() })?;
        // SAFETY: takes a number.
        cvt(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY as _, 0) }).map(drop)
    };
    // SAFETY: two system calls, which are fine between fork and exec.
    unsafe { command.pre_exec(begin) };
}
