//! The name of an interface, as Linux has it: sixteen bytes, the rest of which are zero.

use std::io;

use crate::{
    os::linux::DeviceName,
    sys::options::form::{Decode, Encode, Form, plain},
};

plain!([u8; libc::IFNAMSIZ]);

/// A name, or none, which is the empty one.
pub(super) struct Device;

impl Form for Device {
    type Value = Option<DeviceName>;
    type Raw = [u8; libc::IFNAMSIZ];
}

impl Encode for Device {
    fn encode(value: Option<DeviceName>) -> io::Result<Self::Raw> {
        Ok(value.map_or([0; libc::IFNAMSIZ], DeviceName::into_raw))
    }
}

impl Decode for Device {
    fn decode(raw: Self::Raw) -> Option<DeviceName> {
        DeviceName::from_raw(raw)
    }
}
