//! The buffers of the standard library, and those of the feature `bytes`.
#![allow(unsafe_code)]

use std::{mem::MaybeUninit, slice, sync::Arc};

use super::{IoBuf, IoBufMut};

/// Initialised bytes as room for others: nothing uninitialised is written by who is lent this.
fn as_room(bytes: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    // SAFETY: of the same layout, and borrowed exclusively. Receives write initialised bytes only.
    unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

macro_rules! bytes_of {
    ($($(#[$meta:meta])* $type:ty $(, const $n:ident)?;)*) => {
        $(
            $(#[$meta])*
            impl$(<const $n: usize>)? IoBuf for $type {
                #[inline]
                fn bytes(&self) -> &[u8] {
                    &self[..]
                }
            }
        )*
    };
}

macro_rules! text_of {
    ($($type:ty;)*) => {
        $(
            impl IoBuf for $type {
                #[inline]
                fn bytes(&self) -> &[u8] {
                    self.as_bytes()
                }
            }
        )*
    };
}

text_of! {
    String;
    &'static str;
}

bytes_of! {
    Vec<u8>;
    Box<[u8]>;
    Box<[u8; N]>, const N;
    Arc<[u8]>;
    &'static [u8];
    &'static [u8; N], const N;
    #[cfg(feature = "bytes")]
    bytes::Bytes;
    #[cfg(feature = "bytes")]
    bytes::BytesMut;
}

/// The same bytes for several operations: a [`Lease`](super::Lease) that goes to many is not copied.
//
// Others may call what `&T` lets them meanwhile; that ends no slice which borrows from one, or it would not compile.
impl<T: IoBuf + Sync> IoBuf for Arc<T> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        (**self).bytes()
    }
}

/// All of its capacity is room; its length says how much was received.
impl IoBufMut for Vec<u8> {
    #[inline]
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let (at, capacity) = (self.as_mut_ptr(), self.capacity());
        // SAFETY: the Vec's own memory, borrowed with it.
        unsafe { slice::from_raw_parts_mut(at.cast(), capacity) }
    }

    #[inline]
    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: within the room, which is the capacity, and initialised, by the caller's promise.
        unsafe { self.set_len(count) };
    }
}

impl IoBufMut for Box<[u8]> {
    #[inline]
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        as_room(self)
    }

    #[inline]
    unsafe fn filled(&mut self, _: usize) {}
}

impl<const N: usize> IoBufMut for Box<[u8; N]> {
    #[inline]
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        as_room(&mut self[..])
    }

    #[inline]
    unsafe fn filled(&mut self, _: usize) {}
}

/// All of its capacity is room; its length says how much was received.
#[cfg(feature = "bytes")]
impl IoBufMut for bytes::BytesMut {
    #[inline]
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        let (at, capacity) = (self.as_mut_ptr(), self.capacity());
        // SAFETY: its own memory, of which it is the only owner, borrowed with it.
        unsafe { slice::from_raw_parts_mut(at.cast(), capacity) }
    }

    #[inline]
    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: within the room, which is the capacity, and initialised, by the caller's promise.
        unsafe { self.set_len(count) };
    }
}
