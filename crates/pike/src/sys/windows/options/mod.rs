//! Socket options: the two calls, and what Windows has otherwise than others. `sys/options` has the options.

pub(in crate::sys) mod form;
pub(in crate::sys) mod multicast;
pub(in crate::sys) mod numbers;
mod own;

use std::{io, mem::MaybeUninit};

use windows_sys::Win32::Networking::WinSock::{self, AF_INET6, WSAEINVAL};

use super::{cvt, number as raw, socket::info};
use crate::{
    socket::Socket,
    sys::options::{
        form::{Decode, Encode, Plain},
        number,
    },
};

/// Of a value that an option cannot have.
pub(in crate::sys) const INVALID: i32 = WSAEINVAL;

/// Whether it sends by IPv6.
pub(in crate::sys) fn is_v6(socket: &Socket) -> io::Result<bool> {
    Ok(info(socket.descriptor())?.iAddressFamily == i32::from(AF_INET6))
}

/// Some options are written as one byte: the rest is zero.
#[allow(unsafe_code)]
fn read<R: Plain>(socket: &Socket, level: i32, name: i32) -> io::Result<R> {
    let mut value = MaybeUninit::<R>::zeroed();
    let mut len = size_of::<R>() as i32;
    let (descriptor, name) = (raw(socket.descriptor()), number(name)?);
    // SAFETY: the system writes at most `len` bytes, the size of `value`.
    cvt(unsafe { WinSock::getsockopt(descriptor, level, name, value.as_mut_ptr().cast(), &mut len) })?;
    // SAFETY: zeroed, then written at least in part; it is plain data.
    Ok(unsafe { value.assume_init() })
}

pub(in crate::sys) fn get<F: Decode>(socket: &Socket, level: i32, name: i32) -> io::Result<F::Value> {
    Ok(F::decode(read(socket, level, name)?))
}

#[allow(unsafe_code)]
pub(in crate::sys) fn set<F: Encode>(
    socket: &Socket,
    level: i32,
    name: i32,
    value: F::Value,
) -> io::Result<()> {
    let name = number(name)?;
    let value = F::encode(value)?;
    let len = size_of::<F::Raw>() as i32;
    // SAFETY: the system reads `len` bytes, the size of `value`.
    cvt(unsafe { WinSock::setsockopt(raw(socket.descriptor()), level, name, (&raw const value).cast(), len) })
}
