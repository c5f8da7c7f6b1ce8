//! Socket options: the two calls, and what this platform has otherwise than others. `sys/options` has the options.
//!
//! `form` has ways in which a value is written down, `numbers` the names that differ from system to system.

#[cfg(target_os = "linux")]
mod device;
pub(in crate::sys) mod form;
pub(in crate::sys) mod multicast;
pub(in crate::sys) mod numbers;
mod peer;

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd},
};

use libc::c_int;
use socket2::SockRef;

use super::cvt;
use crate::{
    socket::Socket,
    sys::options::{
        form::{Decode, Encode, Plain},
        number,
    },
};

/// Of a value that an option cannot have.
pub(in crate::sys) const INVALID: c_int = libc::EINVAL;

/// Whether it sends by IPv6. Not every system has `SO_DOMAIN`; a socket without an address of its own has its family all
/// the same.
pub(in crate::sys) fn is_v6(socket: &Socket) -> io::Result<bool> {
    let family = SockRef::from(socket.descriptor()).local_addr()?.family();
    Ok(c_int::from(family) == libc::AF_INET6)
}

fn is_unix(socket: &Socket) -> io::Result<bool> {
    let family = SockRef::from(socket.descriptor()).local_addr()?.family();
    Ok(c_int::from(family) == libc::AF_UNIX)
}

/// Refuses options of IPv4 to a Unix socket: on most systems the level of its own options has the same number, zero, so
/// that `IP_TTL` would be one of these. As Linux does, which has no such level, and is not asked twice.
fn check_level(socket: &Socket, level: c_int) -> io::Result<()> {
    match level == libc::IPPROTO_IP && is_unix(socket)? {
        true => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        false => Ok(()),
    }
}

/// What the system has, and how many bytes of it.
#[allow(unsafe_code)]
fn read<R: Plain>(socket: &Socket, level: c_int, name: c_int) -> io::Result<(R, usize)> {
    let mut raw = MaybeUninit::<R>::zeroed();
    let mut len = size_of::<R>() as libc::socklen_t;
    let fd = socket.descriptor().as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes, the size of `raw`.
    cvt(unsafe { libc::getsockopt(fd, level, number(name)?, raw.as_mut_ptr().cast(), &mut len) })?;
    // SAFETY: zeroed, then written at least in part; it is plain data.
    Ok((unsafe { raw.assume_init() }, len as usize))
}

pub(in crate::sys) fn get<F: Decode>(socket: &Socket, level: c_int, name: c_int) -> io::Result<F::Value> {
    if cfg!(not(target_os = "linux")) {
        check_level(socket, level)?;
    }
    Ok(F::decode(read(socket, level, name)?.0))
}

#[allow(unsafe_code)]
pub(in crate::sys) fn set<F: Encode>(
    socket: &Socket,
    level: c_int,
    name: c_int,
    value: F::Value,
) -> io::Result<()> {
    let name = number(name)?;
    let raw = F::encode(value)?;
    if cfg!(not(target_os = "linux")) {
        check_level(socket, level)?;
    }
    let fd = socket.descriptor().as_fd().as_raw_fd();
    let len = size_of::<F::Raw>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, the size of `raw`.
    cvt(unsafe { libc::setsockopt(fd, level, name, (&raw const raw).cast(), len) })?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Socket, c_int, device::Device, form::Micros, get, io, numbers, set};
    use crate::{
        os::linux::option,
        socket::option::{Get, Set},
        sys::options::{
            form::{Flag, Millis, Number},
            row, table,
        },
    };

    table! {
        option::BindDevice => Device, SOL_SOCKET, SO_BINDTODEVICE, get set;
        option::Priority => Number<0, { c_int::MAX as u32 }>, SOL_SOCKET, SO_PRIORITY, get set;
        option::BusyPoll => Micros, SOL_SOCKET, SO_BUSY_POLL, get set;
        option::QuickAck => Flag, IPPROTO_TCP, TCP_QUICKACK, get set;
        option::Cork => Flag, IPPROTO_TCP, TCP_CORK, get set;
        option::PassCredentials => Flag, SOL_SOCKET, SO_PASSCRED, get set;
        option::ReceiveDropped => Flag, SOL_SOCKET, SO_RXQ_OVFL, get set;
        option::Timestamps => Number<0, { c_int::MAX as u32 }>, SOL_SOCKET, SO_TIMESTAMPING, get set;
        option::Gro => Flag, SOL_UDP, UDP_GRO, get set;
        option::SegmentSize => Number<0, 65535>, SOL_UDP, UDP_SEGMENT, get set;
        option::UserTimeout => Millis, IPPROTO_TCP, TCP_USER_TIMEOUT, get set;
    }
}

#[cfg(target_os = "freebsd")]
mod freebsd {
    use super::{Socket, get, io, numbers, set};
    use crate::{
        os::freebsd::option,
        socket::option::{Get, Set},
        sys::options::{form::Flag, row, table},
    };

    table! {
        option::ReusePortBalanced => Flag, SOL_SOCKET, SO_REUSEPORT_LB, get set;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Notifier,
        socket::{Domain, Type},
    };

    #[test]
    fn only_a_unix_socket_has_no_options_of_ipv4() {
        let notifier = Notifier::new().unwrap();
        let (unix, _peer) = Socket::pair_on(&notifier, Domain::Unix, Type::Stream, None).unwrap();
        let udp = Socket::new_on(&notifier, Domain::V4, Type::Datagram, None).unwrap();
        let refused = |level| check_level(&unix, level).err().map(|error| error.raw_os_error());
        assert_eq!(refused(libc::IPPROTO_IP), Some(Some(libc::EOPNOTSUPP)));
        assert_eq!(refused(libc::SOL_SOCKET), None);
        assert!(check_level(&udp, libc::IPPROTO_IP).is_ok());
    }
}
