//! How control data lies in memory: entries, each a header (level, kind, length) and a payload, both padded.
//!
//! Functions over bytes: nothing here calls the system, trusts a length that it reads, or panics. What is malformed ends
//! the walk; an entry that claims more than is there has what is there. Unix and Windows differ in the header and in how
//! much they pad: `platform::control::layout` has these.
//!
//! Source: cmsg(3), RFC 3542 section 20; ws2def.h.
#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_uint},
    mem::MaybeUninit,
    ops::Range,
    ptr,
};

use super::platform::control::layout::{DATA, Header, space};

const HEADER: usize = size_of::<Header>();

/// One entry of a piece of control data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sys) struct Entry {
    pub(in crate::sys) level: c_int,
    pub(in crate::sys) kind: c_int,
    /// Where its payload is.
    pub(in crate::sys) payload: Range<usize>,
    /// Where the next entry begins, or all ends.
    pub(in crate::sys) end: usize,
}

/// The entry that `bytes` begin with. None if there is none, or none that makes sense.
#[allow(clippy::useless_conversion)] // a length of 32 bits on some systems
pub(in crate::sys) fn first(bytes: &[u8]) -> Option<Entry> {
    let header = bytes.get(..HEADER)?;
    // SAFETY: that many bytes, of a struct for which every pattern is valid.
    let header = unsafe { ptr::read_unaligned(header.as_ptr().cast::<Header>()) };
    let len = usize::try_from(header.cmsg_len).ok().filter(|len| *len >= DATA)?;
    // A system that had no room for all may say how much it would have been.
    let payload_end = len.min(bytes.len());
    let padded = match payload_end < bytes.len() {
        true => space(payload_end.saturating_sub(DATA).min(c_uint::MAX as usize / 2)).min(bytes.len()),
        false => bytes.len(),
    };
    let payload = DATA.min(payload_end)..payload_end;
    Some(Entry { level: header.cmsg_level, kind: header.cmsg_type, payload, end: padded.max(payload_end) })
}

/// A plain value out of a payload, which may be longer.
///
/// # Safety
///
/// Every pattern of bits is a valid `T`.
pub(in crate::sys) unsafe fn value<T: Copy>(payload: &[u8]) -> Option<T> {
    let bytes = payload.get(..size_of::<T>())?;
    // SAFETY: that many bytes; the caller promises that they are a value.
    Some(unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) })
}

/// The bytes of a plain value.
///
/// # Safety
///
/// `T` has no padding.
pub(in crate::sys) unsafe fn bytes_of<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: a readable value, every byte of which is written, as the caller promises.
    unsafe { std::slice::from_raw_parts(ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Writes an entry to the beginning of `room`, with zeros for padding. Returns its length; none if there is no room.
pub(in crate::sys) fn put(
    room: &mut [MaybeUninit<u8>],
    level: c_int,
    kind: c_int,
    payload: &[u8],
) -> Option<usize> {
    let len = DATA.checked_add(payload.len()).filter(|len| *len <= room.len())?;
    let room = room.get_mut(..space(payload.len()))?;
    // SAFETY: all zeros is a header.
    let mut header: Header = unsafe { std::mem::zeroed() };
    header.cmsg_len = len as _;
    header.cmsg_level = level;
    header.cmsg_type = kind;
    room.fill(MaybeUninit::new(0));
    let at = room.as_mut_ptr().cast::<u8>();
    // SAFETY: `space` is at least the header's size, whatever its alignment here.
    unsafe { ptr::write_unaligned(at.cast(), header) };
    // SAFETY: `space` includes the payload behind DATA.
    unsafe { ptr::copy_nonoverlapping(payload.as_ptr(), at.add(DATA), payload.len()) };
    Some(room.len())
}

#[cfg(all(test, not(loom)))]
mod tests;
