//! How Windows has the values of options that it has otherwise than others.

use std::{io, time::Duration};

use windows_sys::Win32::Networking::WinSock::LINGER;

pub(in crate::sys) use crate::sys::options::form::{Flag as SmallFlag, Millis as Span};
use crate::{
    socket::Type,
    sys::{
        options::form::{Decode, Encode, Form, Number, plain, units},
        windows::type_of_number,
    },
};

plain!(LINGER);

/// A number from 0 to 255 of IPv4's multicast options.
pub(in crate::sys) type SmallNumber = Number<0, 255>;

/// Whole seconds, zero included, or none.
pub(in crate::sys) struct Lingering;

impl Form for Lingering {
    type Value = Option<Duration>;
    type Raw = LINGER;
}

impl Encode for Lingering {
    /// Rounded up: half a second must not become none, which means reset.
    fn encode(value: Option<Duration>) -> io::Result<LINGER> {
        let l_linger = match value {
            None | Some(Duration::ZERO) => 0,
            Some(time) => units(time, Duration::from_secs(1))?,
        };
        Ok(LINGER { l_onoff: value.is_some().into(), l_linger })
    }
}

impl Decode for Lingering {
    fn decode(raw: LINGER) -> Option<Duration> {
        (raw.l_onoff != 0).then(|| Duration::from_secs(raw.l_linger.into()))
    }
}

/// The type of a socket.
pub(in crate::sys) struct Kind;

impl Form for Kind {
    type Value = Type;
    type Raw = i32;
}

impl Decode for Kind {
    fn decode(raw: i32) -> Type {
        type_of_number(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what does not fit the system's sixteen bits is refused, and not cut.
    #[test]
    fn a_linger_fits_or_is_refused() {
        let seconds = |value| Lingering::encode(value).map(|raw| (raw.l_onoff, raw.l_linger));
        assert_eq!(seconds(None).unwrap(), (0, 0));
        assert_eq!(seconds(Some(Duration::ZERO)).unwrap(), (1, 0));
        assert_eq!(seconds(Some(Duration::from_millis(1))).unwrap(), (1, 1));
        assert_eq!(seconds(Some(Duration::from_secs(65_535))).unwrap(), (1, 65_535));
        let error = seconds(Some(Duration::from_millis(65_535_001))).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(super::super::INVALID));
    }
}
