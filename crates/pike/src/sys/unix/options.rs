//! Socket options: each with its level, its name and how its value is written down for the kernel.

use std::{
    io,
    mem::{self, MaybeUninit},
    os::fd::{AsFd, AsRawFd},
    time::Duration,
};

use libc::c_int;

use super::cvt;
use crate::socket::{
    Socket,
    option::{self, Get, Set},
};

/// How the kernel stores a value. Plain data, for which every bit pattern is valid.
trait Raw: Copy {
    type Value;
    fn encode(value: Self::Value) -> io::Result<Self>;
    fn decode(self) -> Self::Value;
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Flag(c_int);

impl Raw for Flag {
    type Value = bool;

    fn encode(value: bool) -> io::Result<Self> {
        Ok(Self(value.into()))
    }

    fn decode(self) -> bool {
        self.0 != 0
    }
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct Number(c_int);

impl Raw for Number {
    type Value = u32;

    fn encode(value: u32) -> io::Result<Self> {
        let number = value.try_into();
        number
            .map(Self)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "more than the option can hold"))
    }

    fn decode(self) -> u32 {
        self.0 as u32
    }
}

/// Bytes; more than the kernel can count is as much as it can.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Size(c_int);

impl Raw for Size {
    type Value = usize;

    fn encode(value: usize) -> io::Result<Self> {
        Ok(Self(value.try_into().unwrap_or(c_int::MAX)))
    }

    fn decode(self) -> usize {
        self.0 as usize
    }
}

impl Raw for libc::linger {
    type Value = Option<Duration>;

    /// Whole seconds, rounded up: half a second must not become none, which means reset.
    fn encode(value: Option<Duration>) -> io::Result<Self> {
        let seconds = value.map(|time| time.as_secs().saturating_add((time.subsec_nanos() > 0).into()));
        let l_linger = seconds.unwrap_or(0).try_into().unwrap_or(c_int::MAX);
        Ok(Self { l_onoff: value.is_some().into(), l_linger })
    }

    fn decode(self) -> Option<Duration> {
        (self.l_onoff != 0).then(|| Duration::from_secs(self.l_linger as u64))
    }
}

#[allow(unsafe_code)]
fn get<T: Raw>(socket: &Socket, level: c_int, name: c_int) -> io::Result<T::Value> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    let fd = socket.descriptor().as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes, the size of `value`.
    cvt(unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &mut len) })?;
    // SAFETY: zeroed, then written at least in part; `Raw` is plain data.
    Ok(unsafe { value.assume_init() }.decode())
}

#[allow(unsafe_code)]
fn set<T: Raw>(socket: &Socket, level: c_int, name: c_int, value: T::Value) -> io::Result<()> {
    let value = T::encode(value)?;
    let fd = socket.descriptor().as_fd().as_raw_fd();
    let len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes, the size of `value`.
    cvt(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) })?;
    Ok(())
}

/// `option: type => kernel type, level, name`, read-only or with `set`.
macro_rules! table {
    ($($option:ident: $value:ty => $raw:ty, $level:ident, $name:ident $(, $set:ident)?;)*) => {$(
        impl Get for option::$option {
            type Value = $value;

            fn get(self, socket: &Socket) -> io::Result<Self::Value> {
                get::<$raw>(socket, libc::$level, libc::$name)
            }
        }

        $(
            impl Set for option::$option {
                fn $set(self, socket: &Socket, value: Self::Value) -> io::Result<()> {
                    set::<$raw>(socket, libc::$level, libc::$name, value)
                }
            }
        )?
    )*};
}

table! {
    ReuseAddress: bool => Flag, SOL_SOCKET, SO_REUSEADDR, set;
    KeepAlive: bool => Flag, SOL_SOCKET, SO_KEEPALIVE, set;
    ReceiveBufferSize: usize => Size, SOL_SOCKET, SO_RCVBUF, set;
    SendBufferSize: usize => Size, SOL_SOCKET, SO_SNDBUF, set;
    NoDelay: bool => Flag, IPPROTO_TCP, TCP_NODELAY, set;
    V6Only: bool => Flag, IPPROTO_IPV6, IPV6_V6ONLY, set;
}

impl Get for option::Linger {
    type Value = Option<Duration>;

    fn get(self, socket: &Socket) -> io::Result<Option<Duration>> {
        get::<libc::linger>(socket, libc::SOL_SOCKET, libc::SO_LINGER)
    }
}

impl Set for option::Linger {
    fn set(self, socket: &Socket, value: Option<Duration>) -> io::Result<()> {
        set::<libc::linger>(socket, libc::SOL_SOCKET, libc::SO_LINGER, value)?;
        socket.descriptor().set_lingers(value.is_some_and(|time| !time.is_zero()));
        Ok(())
    }
}

impl Get for option::Error {
    type Value = Option<io::Error>;

    fn get(self, socket: &Socket) -> io::Result<Option<io::Error>> {
        let code = get::<Number>(socket, libc::SOL_SOCKET, libc::SO_ERROR)? as i32;
        Ok((code != 0).then(|| io::Error::from_raw_os_error(code)))
    }
}

/// Hops of a packet: of IPv4 or IPv6, whichever the socket sends.
fn ttl_option(socket: &Socket) -> io::Result<(c_int, c_int)> {
    Ok(match get::<Number>(socket, libc::SOL_SOCKET, libc::SO_DOMAIN)? as c_int {
        libc::AF_INET6 => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
        _ => (libc::IPPROTO_IP, libc::IP_TTL),
    })
}

impl Get for option::Ttl {
    type Value = u32;

    fn get(self, socket: &Socket) -> io::Result<u32> {
        let (level, name) = ttl_option(socket)?;
        get::<Number>(socket, level, name)
    }
}

impl Set for option::Ttl {
    fn set(self, socket: &Socket, value: u32) -> io::Result<()> {
        let (level, name) = ttl_option(socket)?;
        set::<Number>(socket, level, name, value)
    }
}
