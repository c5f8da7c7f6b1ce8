//! Whole messages. Control data is not passed on yet.
#![allow(unsafe_code)]

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::windows::io::AsSocket,
    ptr,
};

use socket2::{SockAddr, SockRef};
use windows_sys::Win32::Networking::WinSock;

use super::{
    Borrowed,
    address::{from_raw_address, raw_address},
    cvt, number,
    transfer::{Truncated, failed_receive, recv_flags, recv_truncated, room_of, send_buffers, send_flags},
};
use crate::socket::{Address, Message, RecvFlags, SendFlags, control::Outgoing};

/// Receives a message. Returns how much of the control buffer was written, too. `with_sender`: whether to ask who sent it.
pub(crate) fn recv_msg(
    io: Borrowed<'_>,
    bufs: &mut [IoSliceMut<'_>],
    _control: &mut [u8],
    flags: RecvFlags,
    with_sender: bool,
) -> io::Result<(usize, Message)> {
    let (received, from) = match with_sender {
        // SAFETY: an IoSliceMut is a WSABUF, and borrows what it names.
        false => (unsafe { recv_truncated(io, bufs.as_mut_ptr().cast(), bufs.len(), flags) }?, None),
        true => {
            let (received, from) = recv_from(io, bufs, flags)?;
            (received, from_raw_address(&from).ok())
        }
    };
    let message = Message {
        len: received.count,
        from,
        truncated: received.truncated,
        control_truncated: false,
        end_of_record: false,
        out_of_band: flags.contains(RecvFlags::OUT_OF_BAND),
    };
    Ok((0, message))
}

fn recv_from(
    io: Borrowed<'_>,
    bufs: &mut [IoSliceMut<'_>],
    flags: RecvFlags,
) -> io::Result<(Truncated, SockAddr)> {
    let (mut count, mut flags) = (0, recv_flags(flags) as u32);
    let (buffers, len) = (bufs.as_mut_ptr().cast(), bufs.len());
    // SAFETY: storage and length are those of an address that `try_init` made for this call; an IoSliceMut is a WSABUF; the
    // system keeps nothing without an OVERLAPPED (I1).
    unsafe {
        SockAddr::try_init(|storage, from_len| {
            let (from, no_overlapped) = (storage.cast(), ptr::null_mut());
            match WinSock::WSARecvFrom(
                number(&io),
                buffers,
                len as u32,
                &mut count,
                &mut flags,
                from,
                from_len,
                no_overlapped,
                None,
            ) {
                0 => Ok(Truncated { count: count as usize, truncated: false }),
                _ => failed_receive(room_of(buffers, len)),
            }
        })
    }
}

/// Sends a message.
pub(crate) fn send_msg(
    io: Borrowed<'_>,
    bufs: &[IoSlice<'_>],
    to: Option<Address>,
    control: &[Outgoing<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    if !control.is_empty() {
        let what = "control data is not sent on this system";
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let (buffers, len, flags) = (bufs.as_ptr().cast(), bufs.len(), send_flags(flags));
    let Some(to) = to.map(raw_address) else {
        // SAFETY: an IoSlice is a WSABUF, and borrows what it names.
        return unsafe { send_buffers(io, buffers, len, flags) };
    };
    let mut count = 0;
    // SAFETY: the system reads those buffers and the address, and keeps nothing without an OVERLAPPED (I1).
    cvt(unsafe {
        let (at, address_len) = (to.as_ptr().cast(), to.len());
        WinSock::WSASendTo(
            number(&io),
            buffers,
            len as u32,
            &mut count,
            flags as u32,
            at,
            address_len,
            ptr::null_mut(),
            None,
        )
    })?;
    Ok(count as usize)
}

/// Whether the next byte is behind the urgent one, or is it.
pub(crate) fn at_mark(io: Borrowed<'_>) -> io::Result<bool> {
    let mut at_mark = 0;
    // SAFETY: writes a number to the place it is given.
    cvt(unsafe { WinSock::ioctlsocket(number(&io), WinSock::SIOCATMARK, &mut at_mark) })?;
    Ok(at_mark != 0)
}

/// Whether the urgent byte stays among the others.
pub(crate) fn is_urgent_in_line(io: &impl AsSocket) -> bool {
    SockRef::from(io).out_of_band_inline().unwrap_or(false)
}
