//! Descriptors in the payload of a received entry.
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{decode, layout};

const SIZE: usize = size_of::<RawFd>();

/// The payload of an entry that carries descriptors. Those in it that are not taken stay there.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    left: &'a mut [u8],
}

impl<'a> Payload<'a> {
    /// # Safety
    ///
    /// The system put the descriptors there for this process; they belong to whoever has the payload.
    pub(super) unsafe fn new(bytes: &'a mut [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many there may be, at most.
    pub(crate) fn len(&self) -> usize {
        self.left.len() / SIZE
    }

    /// Takes the next one, and leaves -1 in its place. A number below zero is none: it was taken before, or is an error
    /// that the system put there instead.
    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        while self.left.len() >= SIZE {
            let (first, left) = std::mem::take(&mut self.left).split_at_mut(SIZE);
            self.left = left;
            // SAFETY: a number.
            let raw: RawFd = unsafe { layout::value(first) }.unwrap_or(-1);
            first.copy_from_slice(&(-1 as RawFd).to_ne_bytes());
            if raw >= 0 {
                // SAFETY: ours, as `new` was promised, and not in the payload any more.
                return Some(unsafe { OwnedFd::from_raw_fd(raw) });
            }
        }
        None
    }
}

/// Closes every descriptor that is left in received control data.
///
/// # Safety
///
/// The system wrote the bytes for this process, and nobody else has the descriptors that are in them.
pub(crate) unsafe fn release(mut bytes: &mut [u8]) {
    while let Some(entry) = layout::first(bytes) {
        let (this, rest) = std::mem::take(&mut bytes).split_at_mut(entry.end);
        if decode::carries_descriptors(&entry) {
            // SAFETY: as the caller promises.
            let mut payload = unsafe { Payload::new(&mut this[entry.payload]) };
            while payload.take().is_some() {}
        }
        bytes = rest;
    }
}

/// For a system that cannot receive descriptors so that they are not inherited: sets the flag of each.
#[cfg(target_vendor = "apple")]
pub(in crate::sys::unix) fn close_on_exec(mut bytes: &[u8]) {
    while let Some(entry) = layout::first(bytes) {
        if decode::carries_descriptors(&entry) {
            for number in bytes[entry.payload.clone()].chunks_exact(SIZE) {
                // SAFETY: a number.
                let raw: RawFd = unsafe { layout::value(number) }.unwrap_or(-1);
                // SAFETY: takes no pointer. Of a descriptor that was just received it does not fail.
                unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
        }
        bytes = &bytes[entry.end..];
    }
}
