//! How systems have the values of options.

use std::{ffi::c_int, io, time::Duration};

use crate::sys::platform::options::INVALID;

/// A way to write a value down.
pub(in crate::sys) trait Form {
    /// What the program has.
    type Value;
    /// What the kernel has.
    type Raw: Plain;
}

/// A form in which an option can be read.
pub(in crate::sys) trait Decode: Form {
    fn decode(raw: Self::Raw) -> Self::Value;
}

/// A form in which an option can be set. It refuses with `EINVAL` what it cannot say.
pub(in crate::sys) trait Encode: Form {
    fn encode(value: Self::Value) -> io::Result<Self::Raw>;
}

/// # Safety
///
/// Any bytes are a value of it, zeros included.
#[allow(unsafe_code)]
pub(in crate::sys) unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: integers, or a C struct or array of nothing else.
        #[allow(unsafe_code)]
        unsafe impl $crate::sys::options::form::Plain for $type {}
    )*};
}

pub(in crate::sys) use plain;

plain!(u8, c_int);

pub(in crate::sys) fn invalid() -> io::Error {
    io::Error::from_raw_os_error(INVALID)
}

/// How many units a time is, rounded up; an error if that is none or too many.
pub(in crate::sys) fn units<N: TryFrom<u128>>(time: Duration, unit: Duration) -> io::Result<N> {
    match time.as_nanos().div_ceil(unit.as_nanos()) {
        0 => Err(invalid()),
        count => N::try_from(count).map_err(|_| invalid()),
    }
}

/// A `bool`.
pub(in crate::sys) struct Flag;

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
pub(in crate::sys) struct Number<const MIN: u32, const MAX: u32>;

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

/// Bytes; more than the kernel can count is as much as it can.
pub(in crate::sys) struct Size;

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
pub(in crate::sys) struct Seconds;

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
#[cfg(any(target_os = "linux", windows))]
pub(in crate::sys) struct Millis;

#[cfg(any(target_os = "linux", windows))]
impl Form for Millis {
    type Value = Option<Duration>;
    type Raw = c_int;
}

#[cfg(any(target_os = "linux", windows))]
impl Encode for Millis {
    fn encode(value: Option<Duration>) -> io::Result<c_int> {
        value.map_or(Ok(0), |time| units(time, Duration::from_millis(1)))
    }
}

#[cfg(any(target_os = "linux", windows))]
impl Decode for Millis {
    fn decode(raw: c_int) -> Option<Duration> {
        (raw != 0).then(|| Duration::from_millis(raw.try_into().unwrap_or(0)))
    }
}

/// The system's number of an error, or none.
pub(in crate::sys) struct Code;

impl Form for Code {
    type Value = Option<io::Error>;
    type Raw = c_int;
}

impl Decode for Code {
    fn decode(raw: c_int) -> Option<io::Error> {
        (raw != 0).then(|| io::Error::from_raw_os_error(raw))
    }
}
