//! How the kernel has the values of options.

use std::{io, time::Duration};

use libc::c_int;

use crate::socket::Type;

/// A way to write a value down.
pub(super) trait Form {
    /// What the program has.
    type Value;
    /// What the kernel has.
    type Raw: Plain;
}

/// A form in which an option can be read.
pub(super) trait Decode: Form {
    fn decode(raw: Self::Raw) -> Self::Value;
}

/// A form in which an option can be set. It refuses with `EINVAL` what it cannot say.
pub(super) trait Encode: Form {
    fn encode(value: Self::Value) -> io::Result<Self::Raw>;
}

/// # Safety
///
/// Any bytes are a value of it, zeros included.
#[allow(unsafe_code)]
pub(super) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: integers, or a C struct or array of nothing else.
        #[allow(unsafe_code)]
        unsafe impl Plain for $type {}
    )*};
}

pub(super) use plain;

plain!(u8, c_int, libc::linger, libc::timeval);

fn invalid() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}

/// How many units a time is, rounded up; an error if that is none or too many.
fn units<N: TryFrom<u128>>(time: Duration, unit: Duration) -> io::Result<N> {
    match time.as_nanos().div_ceil(unit.as_nanos()) {
        0 => Err(invalid()),
        count => N::try_from(count).map_err(|_| invalid()),
    }
}

/// A `bool`.
pub(super) struct Flag;

impl Form for Flag {
    type Value = bool;
    type Raw = c_int;
}

impl Encode for Flag {
    fn encode(value: bool) -> io::Result<c_int> {
        Ok(value.into())
    }
}

impl Decode for Flag {
    fn decode(raw: c_int) -> bool {
        raw != 0
    }
}

/// A number within a range, both ends included.
pub(super) struct Number<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Form for Number<MIN, MAX> {
    type Value = u32;
    type Raw = c_int;
}

impl<const MIN: u32, const MAX: u32> Encode for Number<MIN, MAX> {
    fn encode(value: u32) -> io::Result<c_int> {
        match c_int::try_from(value) {
            Ok(number) if (MIN..=MAX).contains(&value) => Ok(number),
            _ => Err(invalid()),
        }
    }
}

impl<const MIN: u32, const MAX: u32> Decode for Number<MIN, MAX> {
    /// Some systems say -1 where nobody has set anything.
    fn decode(raw: c_int) -> u32 {
        raw.try_into().unwrap_or(0)
    }
}

/// What IPv4's multicast options are: where the system takes a byte and nothing else, a byte.
#[cfg(any(target_os = "openbsd", target_os = "netbsd"))]
type Small = u8;
#[cfg(not(any(target_os = "openbsd", target_os = "netbsd")))]
type Small = c_int;

/// A `bool` of IPv4's multicast options.
pub(super) struct SmallFlag;

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
pub(super) struct SmallNumber;

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

/// Bytes; more than the kernel can count is as much as it can.
pub(super) struct Size;

impl Form for Size {
    type Value = usize;
    type Raw = c_int;
}

impl Encode for Size {
    fn encode(value: usize) -> io::Result<c_int> {
        Ok(value.try_into().unwrap_or(c_int::MAX))
    }
}

impl Decode for Size {
    fn decode(raw: c_int) -> usize {
        raw.try_into().unwrap_or(0)
    }
}

/// A time of at least one second.
pub(super) struct Seconds;

impl Form for Seconds {
    type Value = Duration;
    type Raw = c_int;
}

impl Encode for Seconds {
    fn encode(value: Duration) -> io::Result<c_int> {
        units(value, Duration::from_secs(1))
    }
}

impl Decode for Seconds {
    fn decode(raw: c_int) -> Duration {
        Duration::from_secs(raw.try_into().unwrap_or(0))
    }
}

/// Milliseconds, or none.
#[cfg(target_os = "linux")]
pub(super) struct Millis;

#[cfg(target_os = "linux")]
impl Form for Millis {
    type Value = Option<Duration>;
    type Raw = c_int;
}

#[cfg(target_os = "linux")]
impl Encode for Millis {
    fn encode(value: Option<Duration>) -> io::Result<c_int> {
        value.map_or(Ok(0), |time| units(time, Duration::from_millis(1)))
    }
}

#[cfg(target_os = "linux")]
impl Decode for Millis {
    fn decode(raw: c_int) -> Option<Duration> {
        (raw != 0).then(|| Duration::from_millis(raw.try_into().unwrap_or(0)))
    }
}

/// Microseconds, of which zero is a time like another.
#[cfg(target_os = "linux")]
pub(super) struct Micros;

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
pub(super) struct Span;

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
pub(super) struct Lingering;

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

/// The system's number of an error, or none.
pub(super) struct Code;

impl Form for Code {
    type Value = Option<io::Error>;
    type Raw = c_int;
}

impl Decode for Code {
    fn decode(raw: c_int) -> Option<io::Error> {
        (raw != 0).then(|| io::Error::from_raw_os_error(raw))
    }
}

/// The type of a socket.
pub(super) struct Kind;

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
