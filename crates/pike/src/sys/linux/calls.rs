//! The system calls of an epoll set, each result checked (I10).
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

use crate::{
    sys::{Raw, unix::cvt},
    token::Token,
};

pub(super) fn create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = cvt(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: just created, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn timerfd() -> io::Result<OwnedFd> {
    let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
    // SAFETY: takes no pointer.
    let fd = cvt(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
    // SAFETY: just created, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn add(epoll: &OwnedFd, descriptor: Raw, interest: u32, token: Token) -> io::Result<()> {
    let mut event = libc::epoll_event { events: interest, u64: token.bits() };
    // SAFETY: `event` outlives the call, which only reads it.
    cvt(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &mut event) })?;
    Ok(())
}

pub(super) fn delete(epoll: &OwnedFd, descriptor: Raw) -> io::Result<()> {
    // SAFETY: since Linux 2.6.9 this call takes no event.
    cvt(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, descriptor, ptr::null_mut()) })?;
    Ok(())
}

#[inline]
pub(super) fn wait(epoll: &OwnedFd, events: &mut [libc::epoll_event], timeout_ms: i32) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` events into the slice.
    let count =
        unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), events.len() as i32, timeout_ms) };
    Ok(cvt(count)? as usize)
}

/// By number, since older C libraries have no wrapper.
pub(super) fn pwait2(
    epoll: &OwnedFd,
    events: &mut [libc::epoll_event],
    timeout: Duration,
) -> io::Result<usize> {
    let timeout = timespec(timeout);
    // SAFETY: the kernel reads the time and writes at most `len` events; a null mask changes no signal.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            events.len(),
            &raw const timeout,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    Ok(cvt(count as libc::c_int)? as usize)
}

/// The two 64-bit words that the kernel reads, whatever the C library's own type is.
#[repr(C)]
struct KernelTimespec {
    tv_sec: i64,
    tv_nsec: i64,
}

fn timespec(timeout: Duration) -> KernelTimespec {
    KernelTimespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    }
}

pub(super) fn arm_timer(timer: &OwnedFd, timeout: Duration) -> io::Result<()> {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as _,
    };
    let spec = libc::itimerspec { it_interval: zero, it_value: value };
    // SAFETY: `spec` outlives the call, and no old value is asked for.
    cvt(unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &spec, ptr::null_mut()) })?;
    Ok(())
}
