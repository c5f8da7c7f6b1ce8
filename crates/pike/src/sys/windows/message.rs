//! Whole messages: WSARecvMsg and WSASendMsg where there is control data, which datagrams alone have; else the calls for
//! buffers and an address.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io::{self, IoSlice, IoSliceMut},
    mem,
    os::windows::io::AsSocket,
    ptr,
};

use socket2::{SockAddr, SockRef};
use windows_sys::Win32::Networking::WinSock::{
    self, LPFN_WSARECVMSG, MSG_CTRUNC, MSG_TRUNC, SOCK_STREAM, WSABUF, WSAEMSGSIZE, WSAID_WSARECVMSG, WSAMSG,
};

use super::{
    Borrowed,
    address::{from_raw_address, raw_address},
    control::{Room, encode, whole_entries},
    cvt,
    extension::Extension,
    number,
    socket::{info, peer_address},
    transfer::{
        NO_ROOM, Truncated, failed_receive, failed_send, recv_flags, recv_truncated, room_of, send_buffers,
        send_flags,
    },
};
use crate::socket::{Address, Message, RecvFlags, SendFlags, control::Outgoing};

/// Receives a message. Returns how much of the control buffer was written, too. `with_sender`: whether to ask who sent it.
pub(crate) fn recv_msg(
    io: Borrowed<'_>,
    bufs: &mut [IoSliceMut<'_>],
    control: &mut [u8],
    flags: RecvFlags,
    with_sender: bool,
) -> io::Result<(usize, Message)> {
    if !control.is_empty() {
        let info = info(&io)?;
        if info.iSocketType != SOCK_STREAM {
            return recv_with_control(io, info.dwCatalogEntryId, bufs, control, flags, with_sender);
        }
    }
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

/// Enough for all that one datagram comes with. The system reports no length of a message whose control data it has cut, so
/// a shorter buffer of the program's gets what fits of what is here.
const CONTROL_MAX: usize = 512;

/// Control data as the system has written it, for a program with less room.
#[repr(align(8))]
struct ControlRoom([u8; CONTROL_MAX]);

static RECV_MSG: Extension = Extension::new(WSAID_WSARECVMSG);

fn recv_with_control(
    io: Borrowed<'_>,
    provider: u32,
    bufs: &mut [IoSliceMut<'_>],
    control: &mut [u8],
    flags: RecvFlags,
    with_sender: bool,
) -> io::Result<(usize, Message)> {
    let function = RECV_MSG.of_provider(&io, provider)?;
    // SAFETY: what the provider calls WSARecvMsg is of that type, and an address of a function is not null.
    let recv_msg = unsafe { mem::transmute::<ptr::NonNull<c_void>, LPFN_WSARECVMSG>(function) };
    let recv_msg = recv_msg.ok_or(io::ErrorKind::Unsupported)?;
    let (buffers, len) = (bufs.as_mut_ptr().cast(), bufs.len());
    let mut room = ControlRoom([0; CONTROL_MAX]);
    let is_short = control.len() < CONTROL_MAX;
    let into = if is_short { &mut room.0[..] } else { &mut *control };
    let mut message = WSAMSG {
        lpBuffers: buffers,
        dwBufferCount: len as u32,
        Control: WSABUF { len: into.len() as u32, buf: into.as_mut_ptr() },
        dwFlags: recv_flags(flags) as u32,
        ..Default::default()
    };
    let mut count = 0;
    // SAFETY: storage and length are those of an address that `try_init` made for this call; an IoSliceMut is a WSABUF; the
    // system writes into those slices and the control buffer, and keeps nothing without an OVERLAPPED (I1).
    let (received, from) = unsafe {
        SockAddr::try_init(|storage, from_len| {
            (message.name, message.namelen) = (storage.cast(), *from_len);
            let result = match recv_msg(number(&io), &mut message, &mut count, ptr::null_mut(), None) {
                0 => Ok(Truncated { count: count as usize, truncated: false }),
                _ => cut_or_failed(io, &message, count as usize, room_of(buffers, len)),
            };
            *from_len = message.namelen;
            result
        })
    }?;
    let written = (message.Control.len as usize).min(into.len());
    let control_len = if is_short { whole_entries(&room.0[..written], control) } else { written };
    let message_received = Message {
        len: received.count,
        from: if with_sender { from_raw_address(&from).ok() } else { None },
        truncated: received.truncated,
        control_truncated: message.dwFlags & MSG_CTRUNC != 0 || control_len < written,
        end_of_record: false,
        out_of_band: false,
    };
    Ok((control_len, message_received))
}

/// A message that was longer than its buffers, or had more control data than there was room for, is an error to the
/// system. Which of them, its flags say, but not always of the bytes.
#[cold]
fn cut_or_failed(io: Borrowed<'_>, message: &WSAMSG, count: usize, room: usize) -> io::Result<Truncated> {
    if io::Error::last_os_error().raw_os_error() != Some(WSAEMSGSIZE) {
        return failed_receive(io, room);
    }
    let truncated = message.dwFlags & (MSG_TRUNC | MSG_CTRUNC) != MSG_CTRUNC;
    Ok(Truncated { count: if truncated { room } else { count }, truncated })
}

fn recv_from(
    io: Borrowed<'_>,
    bufs: &mut [IoSliceMut<'_>],
    flags: RecvFlags,
) -> io::Result<(Truncated, SockAddr)> {
    let (mut count, mut flags) = (0, recv_flags(flags) as u32);
    let mut none = NO_ROOM;
    let (buffers, len) =
        if bufs.is_empty() { (&raw mut none, 1) } else { (bufs.as_mut_ptr().cast(), bufs.len()) };
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
                _ => failed_receive(io, room_of(buffers, len)),
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
        return send_with_control(io, bufs, to, control, flags);
    }
    let none = NO_ROOM;
    let (buffers, len) =
        if bufs.is_empty() { (&raw const none, 1) } else { (bufs.as_ptr().cast(), bufs.len()) };
    let flags = send_flags(flags);
    let Some(to) = to.map(raw_address) else {
        // SAFETY: an IoSlice is a WSABUF, and borrows what it names.
        return unsafe { send_buffers(io, buffers, len, flags) };
    };
    let mut count = 0;
    // SAFETY: the system reads those buffers and the address, and keeps nothing without an OVERLAPPED (I1).
    let failed = unsafe {
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
    };
    if failed == 0 { Ok(count as usize) } else { Err(failed_send()) }
}

fn send_with_control(
    io: Borrowed<'_>,
    bufs: &[IoSlice<'_>],
    to: Option<Address>,
    control: &[Outgoing<'_>],
    flags: SendFlags,
) -> io::Result<usize> {
    let mut room = Room::new();
    encode(&mut room, control, || goes_by_v4(io, to))?;
    let (at, len) = room.written();
    let address = to.map(raw_address);
    let (name, namelen) = match &address {
        Some(address) => (address.as_ptr().cast_mut().cast(), address.len()),
        None => (ptr::null_mut(), 0),
    };
    let message = WSAMSG {
        name,
        namelen,
        lpBuffers: bufs.as_ptr().cast_mut().cast(),
        dwBufferCount: bufs.len() as u32,
        Control: WSABUF { len: len as u32, buf: at.cast_mut() },
        dwFlags: 0,
    };
    let (mut count, flags) = (0, send_flags(flags) as u32);
    // SAFETY: an IoSlice is a WSABUF; the system reads those slices, the address and the control data, which all live until
    // it returns, and keeps nothing without an OVERLAPPED (I1).
    let failed =
        unsafe { WinSock::WSASendMsg(number(&io), &message, flags, &mut count, ptr::null_mut(), None) };
    if failed == 0 { Ok(count as usize) } else { Err(failed_send()) }
}

/// Whether what is sent to `to`, or to the peer, goes by IPv4.
fn goes_by_v4(io: Borrowed<'_>, to: Option<Address>) -> io::Result<bool> {
    Ok(match to.map_or_else(|| peer_address(&io), Ok)? {
        Address::V4(_) => true,
        Address::V6(address) => address.ip().to_ipv4_mapped().is_some(),
        Address::Unix(_) => false,
    })
}

/// Whether there is an urgent byte that was not read, and nothing before it. The call says the reverse: whether there is
/// none.
pub(crate) fn at_mark(io: Borrowed<'_>) -> io::Result<bool> {
    let mut has_none = 0;
    // SAFETY: writes a number to the place it is given.
    cvt(unsafe { WinSock::ioctlsocket(number(&io), WinSock::SIOCATMARK, &mut has_none) })?;
    Ok(has_none == 0)
}

/// Whether the urgent byte stays among the others.
pub(crate) fn is_urgent_in_line(io: &impl AsSocket) -> bool {
    SockRef::from(io).out_of_band_inline().unwrap_or(false)
}
