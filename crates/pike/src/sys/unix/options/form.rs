//! How the Unix kernels have the values of options that they have otherwise than others.

use std::{io, time::Duration};

use libc::c_int;

use crate::{
    socket::Type,
    sys::options::form::{Decode, Encode, Form, invalid, plain, units},
};

plain!(libc::linger, libc::timeval);

/// What IPv4's multicast options are: where the system takes a byte and nothing else, a byte.
#[cfg(any(target_os = "openbsd", target_os = "netbsd"))]
type Small = u8;
#[cfg(not(any(target_os = "openbsd", target_os = "netbsd")))]
type Small = c_int;

/// A `bool` of IPv4's multicast options.
pub(in crate::sys) struct SmallFlag;

impl Form for SmallFlag {
    type Value = bool;
    type Raw = Small;
}

impl Encode for SmallFlag {
    fn encode(value: bool) -> io::Result<Small> {
        Ok(value.into())
    }
}

impl Decode for SmallFlag {
    fn decode(raw: Small) -> bool {
        raw != 0
    }
}

/// A number from 0 to 255 of IPv4's multicast options.
pub(in crate::sys) struct SmallNumber;

impl Form for SmallNumber {
    type Value = u32;
    type Raw = Small;
}

impl Encode for SmallNumber {
    #[allow(clippy::useless_conversion, reason = "a Small is a u8 on some systems")]
    fn encode(value: u32) -> io::Result<Small> {
        u8::try_from(value).map(Small::from).map_err(|_| invalid())
    }
}

impl Decode for SmallNumber {
    #[allow(clippy::unnecessary_fallible_conversions, reason = "a Small is signed on some systems")]
    fn decode(raw: Small) -> u32 {
        raw.try_into().unwrap_or(0)
    }
}

/// Microseconds, of which zero is a time like another.
#[cfg(target_os = "linux")]
pub(in crate::sys) struct Micros;

#[cfg(target_os = "linux")]
impl Form for Micros {
    type Value = Duration;
    type Raw = c_int;
}

#[cfg(target_os = "linux")]
impl Encode for Micros {
    fn encode(value: Duration) -> io::Result<c_int> {
        if value.is_zero() { Ok(0) } else { units(value, Duration::from_micros(1)) }
    }
}

#[cfg(target_os = "linux")]
impl Decode for Micros {
    fn decode(raw: c_int) -> Duration {
        Duration::from_micros(raw.try_into().unwrap_or(0))
    }
}

/// Seconds and microseconds, or none.
pub(in crate::sys) struct Span;

impl Form for Span {
    type Value = Option<Duration>;
    type Raw = libc::timeval;
}

impl Encode for Span {
    fn encode(value: Option<Duration>) -> io::Result<libc::timeval> {
        let micros: u128 = value.map_or(Ok(0), |time| units(time, Duration::from_micros(1)))?;
        let tv_sec = (micros / 1_000_000).try_into().map_err(|_| invalid())?;
        // Less than a million.
        Ok(libc::timeval { tv_sec, tv_usec: (micros % 1_000_000) as libc::suseconds_t })
    }
}

impl Decode for Span {
    fn decode(raw: libc::timeval) -> Option<Duration> {
        let time = Duration::from_secs(raw.tv_sec.try_into().unwrap_or(0))
            + Duration::from_micros(raw.tv_usec.try_into().unwrap_or(0));
        (!time.is_zero()).then_some(time)
    }
}

/// Whole seconds, zero included, or none.
pub(in crate::sys) struct Lingering;

impl Form for Lingering {
    type Value = Option<Duration>;
    type Raw = libc::linger;
}

impl Encode for Lingering {
    /// Rounded up: half a second must not become none, which means reset.
    fn encode(value: Option<Duration>) -> io::Result<libc::linger> {
        let l_linger = match value {
            None | Some(Duration::ZERO) => 0,
            Some(time) => units(time, Duration::from_secs(1))?,
        };
        Ok(libc::linger { l_onoff: value.is_some().into(), l_linger })
    }
}

impl Decode for Lingering {
    fn decode(raw: libc::linger) -> Option<Duration> {
        (raw.l_onoff != 0).then(|| Duration::from_secs(raw.l_linger.try_into().unwrap_or(0)))
    }
}

/// The type of a socket.
pub(in crate::sys) struct Kind;

impl Form for Kind {
    type Value = Type;
    type Raw = c_int;
}

impl Decode for Kind {
    fn decode(raw: c_int) -> Type {
        match raw {
            libc::SOCK_STREAM => Type::Stream,
            libc::SOCK_DGRAM => Type::Datagram,
            libc::SOCK_SEQPACKET => Type::SeqPacket,
            other => Type::Other(other),
        }
    }
}
