//! Moving bytes through a socket: one system call each, that never blocks and never raises SIGPIPE.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem,
    os::fd::{AsRawFd, BorrowedFd},
};

use libc::c_int;
use socket2::SockAddr;

use super::address::{from_raw_address, raw_address};
use crate::socket::{Address, RecvFlags, SendFlags};

/// The most that one call moves: what the system cuts longer ones to, in whole pages.
pub(crate) const TRANSFER_MAX: usize = 0x7fff_f000;

/// Results of requests that are not errors of the socket's.
pub(crate) const CANCELLED: i32 = libc::ECANCELED;
pub(crate) const NO_BUFFERS: i32 = libc::ENOBUFS;
pub(crate) const WOULD_BLOCK: i32 = libc::EAGAIN;
pub(crate) const INTERRUPTED: i32 = libc::EINTR;
pub(crate) const IN_PROGRESS: i32 = libc::EINPROGRESS;
pub(crate) const ALREADY: i32 = libc::EALREADY;
pub(crate) const INVALID: i32 = libc::EINVAL;

/// Of a send that is over at once, one way or the other.
pub(crate) const DO_NOT_WAIT: i32 = libc::MSG_DONTWAIT;

/// Whether an error is told to one receive only, and not to each that follows.
pub(crate) fn is_told_once(code: i32) -> bool {
    matches!(
        code,
        libc::ECONNRESET
            | libc::ECONNREFUSED
            | libc::ECONNABORTED
            | libc::ETIMEDOUT
            | libc::EPIPE
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::EMSGSIZE
            | libc::EACCES
    )
}

/// Vectors that one call takes: the limit of Linux and of every BSD. More are an error.
pub(crate) const VECTORS_MAX: usize = 1024;

/// What keeps a send from raising SIGPIPE. On macOS the socket's own option does (SO_NOSIGPIPE).
pub(super) const NO_SIGNAL: c_int = if cfg!(target_os = "macos") { 0 } else { libc::MSG_NOSIGNAL };

/// A hint that more will be sent at once, which only Linux takes.
#[cfg(target_os = "linux")]
const MORE: c_int = libc::MSG_MORE;
#[cfg(not(target_os = "linux"))]
const MORE: c_int = 0;

/// Receive from the error queue; no public flag means it elsewhere.
#[cfg(target_os = "linux")]
const MSG_ERRQUEUE: c_int = libc::MSG_ERRQUEUE;
#[cfg(not(target_os = "linux"))]
const MSG_ERRQUEUE: c_int = 0;

#[inline]
pub(super) fn recv_flags(flags: RecvFlags) -> c_int {
    let mut number = 0;
    for (flag, means) in [
        (RecvFlags::PEEK, libc::MSG_PEEK),
        (RecvFlags::OUT_OF_BAND, libc::MSG_OOB),
        (RecvFlags::ERROR_QUEUE, MSG_ERRQUEUE),
    ] {
        if flags.contains(flag) {
            number |= means;
        }
    }
    number
}

#[inline]
pub(crate) fn send_flags(flags: SendFlags) -> c_int {
    let mut number = NO_SIGNAL;
    for (flag, means) in [(SendFlags::OUT_OF_BAND, libc::MSG_OOB), (SendFlags::MORE, MORE)] {
        if flags.contains(flag) {
            number |= means;
        }
    }
    number
}

/// The result of a call that returns a count or -1, done again if a signal came in before anything happened.
#[inline]
pub(super) fn transfer(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// What a BSD says when a Unix socket's receiver has no room, and nobody will tell when it has.
#[cold]
pub(crate) fn out_of_room() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOBUFS)
}

/// Done again if a signal came in before anything happened.
#[inline]
pub(super) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[inline]
pub(crate) fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    let flags = rustix::net::RecvFlags::from_bits_retain(recv_flags(flags) as u32);
    retry(|| rustix::net::recv(fd, &mut *buf, flags).map(|(_, count)| count))
}

/// As [`recv`], into memory that nobody has written yet: the count is how much of it now is.
#[inline]
pub(crate) fn recv_uninit(
    fd: BorrowedFd<'_>,
    buf: &mut [mem::MaybeUninit<u8>],
    flags: RecvFlags,
) -> io::Result<usize> {
    let flags = rustix::net::RecvFlags::from_bits_retain(recv_flags(flags) as u32);
    retry(|| rustix::net::recv(fd, &mut *buf, flags).map(|((init, _), _)| init.len()))
}

#[inline]
pub(crate) fn send(fd: BorrowedFd<'_>, buf: &[u8], flags: SendFlags) -> io::Result<usize> {
    let flags = rustix::net::SendFlags::from_bits_retain(send_flags(flags) as u32);
    retry(|| rustix::net::send(fd, buf, flags))
}

/// What one call received.
pub(crate) struct Received {
    pub(crate) count: usize,
    /// Control data came with it, for which there was no room. Where the system does not tell, it may have.
    pub(crate) control_cut: bool,
}

pub(crate) fn recv_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Received> {
    // SAFETY: an IoSliceMut is an iovec, and borrows what it names.
    unsafe { recv_message(fd, bufs.as_mut_ptr().cast(), bufs.len()) }
}

/// Into memory that nobody has written yet: the count is how much of it now is.
pub(crate) fn recv_uninit_message(
    fd: BorrowedFd<'_>,
    buf: &mut [mem::MaybeUninit<u8>],
) -> io::Result<Received> {
    let mut vector = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: one vector, which names a borrowed buffer.
    unsafe { recv_message(fd, &mut vector, 1) }
}

/// # Safety
///
/// `vectors` are `len` vectors of memory that may be written to.
pub(super) unsafe fn recv_message(
    fd: BorrowedFd<'_>,
    vectors: *mut libc::iovec,
    len: usize,
) -> io::Result<Received> {
    // SAFETY: all zeros is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = vectors;
    message.msg_iovlen = len as _;
    // SAFETY: the kernel writes into those vectors only, as the caller promises, and keeps nothing (I1).
    let count = transfer(|| unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, 0) })?;
    let tells = cfg!(any(target_os = "linux", target_os = "android"));
    Ok(Received { count, control_cut: !tells || message.msg_flags & libc::MSG_CTRUNC != 0 })
}

pub(crate) fn send_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zeros is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len() as _;
    // SAFETY: an IoSlice is an iovec; the kernel reads those slices only, and keeps nothing (I1).
    transfer(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, NO_SIGNAL) })
}

pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: RecvFlags,
) -> io::Result<(usize, Address)> {
    let flags = recv_flags(flags);
    // SAFETY: storage and length are those of an address that `try_init` made for this call.
    let (count, address) = unsafe {
        SockAddr::try_init(|storage, len| {
            transfer(|| {
                // The same pointers again if interrupted: nothing was written then.
                libc::recvfrom(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), flags, storage.cast(), len)
            })
        })
    }?;
    Ok((count, from_raw_address(&address)?))
}

pub(crate) fn send_to(fd: BorrowedFd<'_>, buf: &[u8], address: Address) -> io::Result<usize> {
    let address = raw_address(address);
    // SAFETY: the kernel reads at most `len` bytes of the slice and of the address, and keeps nothing (I1).
    transfer(|| unsafe {
        libc::sendto(
            fd.as_raw_fd(),
            buf.as_ptr().cast(),
            buf.len(),
            NO_SIGNAL,
            address.as_ptr().cast(),
            address.len(),
        )
    })
}

/// Who sent the next datagram, which stays in the queue.
pub(crate) fn peek_sender(fd: BorrowedFd<'_>) -> io::Result<Address> {
    recv_from(fd, &mut [], RecvFlags::PEEK).map(|(_, address)| address)
}
