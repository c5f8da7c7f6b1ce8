//! recvmsg(2) and sendmsg(2) with control data.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

use libc::c_int;
use socket2::{SockAddr, SockRef};

use super::{
    address::{from_raw_address, raw_address},
    control::{Room, encode},
    socket::{is_stream, peer_address},
    transfer::{recv_flags, send_flags, transfer},
};
use crate::socket::{Address, Message, RecvFlags, SendFlags, control::Outgoing};

/// Received descriptors are not inherited by other programs.
#[cfg(not(target_vendor = "apple"))]
const CLOSE_ON_EXEC: c_int = libc::MSG_CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const CLOSE_ON_EXEC: c_int = 0;

/// Receives a message. Returns how much of `control` was written, too. `with_sender`: whether to ask who sent it.
pub(crate) fn recv_msg(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    control: &mut [u8],
    flags: RecvFlags,
    with_sender: bool,
) -> io::Result<(usize, Message)> {
    let flags = recv_flags(flags) | CLOSE_ON_EXEC;
    // SAFETY: all zeros is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    let mut receive = |name: *mut libc::c_void, name_len: libc::socklen_t| {
        transfer(|| {
            // All again if interrupted: the kernel writes some of it even so.
            message.msg_name = name;
            message.msg_namelen = name_len;
            message.msg_iov = bufs.as_mut_ptr().cast();
            message.msg_iovlen = bufs.len() as _;
            message.msg_control =
                if control.is_empty() { ptr::null_mut() } else { control.as_mut_ptr().cast() };
            message.msg_controllen = control.len() as _;
            // SAFETY: an IoSliceMut is an iovec; the kernel writes into those slices, at most the two lengths into name
            // and control, and keeps nothing (I1).
            unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, flags) }
        })
        .map(|len| (len, message.msg_namelen))
    };
    let (len, from) = match with_sender {
        false => (receive(ptr::null_mut(), 0)?.0, None),
        true => {
            // SAFETY: the storage and length of an address; the length becomes what the kernel has written.
            let (len, address) = unsafe {
                SockAddr::try_init(|storage, name_len| {
                    let (len, written) = receive(storage.cast(), *name_len)?;
                    *name_len = written;
                    Ok(len)
                })
            }?;
            (len, from_raw_address(&address).ok())
        }
    };
    let control_len = (message.msg_controllen as usize).min(control.len());
    #[cfg(target_vendor = "apple")]
    super::control::close_on_exec(&control[..control_len]);
    let has = |flag: c_int| message.msg_flags & flag != 0;
    let message = Message {
        len,
        from,
        truncated: has(libc::MSG_TRUNC),
        control_truncated: has(libc::MSG_CTRUNC),
        end_of_record: has(libc::MSG_EOR),
        out_of_band: has(libc::MSG_OOB),
    };
    Ok((control_len, message))
}

/// Sends a message.
pub(crate) fn send_msg(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    to: Option<Address>,
    control: &[Outgoing<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    // SAFETY: all zeros is an empty message.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = bufs.as_ptr().cast_mut().cast();
    message.msg_iovlen = bufs.len() as _;
    let address = to.map(raw_address);
    if let Some(address) = &address {
        message.msg_name = address.as_ptr().cast_mut().cast();
        message.msg_namelen = address.len();
    }
    let mut room = Room::new();
    if !control.is_empty() {
        encode(&mut room, control, || goes_by_v4(fd, to))?;
        let (at, len) = room.written();
        message.msg_control = at.cast_mut().cast();
        message.msg_controllen = len as _;
        if len > 0 && bufs.iter().all(|buf| buf.is_empty()) && is_stream(&fd)? {
            // The system would drop it, and say that all was sent.
            let what = "control data on a stream goes with a byte, and there is none";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
    }
    // SAFETY: an IoSlice is an iovec; the kernel reads those slices, the address and the control data, which all live
    // until it returns, and keeps nothing (I1).
    transfer(|| unsafe { libc::sendmsg(fd.as_raw_fd(), &message, send_flags(flags)) })
}

/// Whether what is sent to `to`, or to the peer, goes by IPv4.
fn goes_by_v4(fd: BorrowedFd<'_>, to: Option<Address>) -> io::Result<bool> {
    Ok(match to.map_or_else(|| peer_address(&fd), Ok)? {
        Address::V4(_) => true,
        Address::V6(address) => address.ip().to_ipv4_mapped().is_some(),
        Address::Unix(_) => false,
    })
}

unsafe extern "C" {
    // Of POSIX; the libc crate has it on some systems only.
    fn sockatmark(fd: c_int) -> c_int;
}

/// Whether the next byte is behind the urgent one, or is it.
pub(crate) fn at_mark(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: takes no pointer.
    super::cvt(unsafe { sockatmark(fd.as_raw_fd()) }).map(|at_mark| at_mark != 0)
}

/// Whether the urgent byte stays among the others.
pub(crate) fn is_urgent_in_line(fd: &impl AsFd) -> bool {
    SockRef::from(fd).out_of_band_inline().unwrap_or(false)
}
