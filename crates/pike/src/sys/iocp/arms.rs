//! The pool of what the kernel writes to while a readiness request is in flight.
//!
//! An arm is the memory of one request: its OVERLAPPED, and for a poll of AFD the question and answer. Arms are used again, so
//! that arming allocates nothing in the steady state; they never move, and none is freed or used again before the packet of
//! its request was taken (I2). If packets are outstanding when the pool goes, the chunks are left to the kernel.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use windows_sys::Win32::Foundation::HANDLE;

use super::{
    afd::Info,
    port::{Head, Role},
};
use crate::token::Token;

/// Arms a chunk.
const CHUNK: usize = 64;
/// The end of the free list, and of a side that has no request in flight.
pub(super) const NONE: u32 = u32::MAX;
/// A side that waits for its socket's registration (`notifications`), and has no memory here.
pub(super) const NOTIFIED: u32 = u32::MAX - 1;

#[repr(C)]
pub(super) struct Arm {
    /// First, so that the address that a packet brings is the arm's.
    pub(super) head: Head,
    pub(super) info: Info,
    /// Whose it is, while it is in flight.
    pub(super) token: Token,
    /// What the request was started on.
    pub(super) handle: HANDLE,
    /// Its own number.
    index: u32,
    /// The next free one, while it is free.
    next: u32,
}

#[derive(Debug)]
pub(super) struct Arms {
    chunks: Vec<NonNull<[Arm; CHUNK]>>,
    free: u32,
    in_flight: usize,
}

// SAFETY: the chunks are owned by the pool, and what is in them may be used from any thread that has it.
unsafe impl Send for Arms {}

impl Arms {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: NONE, in_flight: 0 }
    }

    /// How many are in the kernel, or on their way to it or back.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A free one, which is the caller's until it is put back.
    pub(super) fn take(&mut self) -> (u32, NonNull<Arm>) {
        if self.free == NONE {
            self.grow();
        }
        let (index, arm) = (self.free, self.get(self.free));
        // SAFETY: it is free, so nobody else looks at it.
        self.free = unsafe { arm.as_ref() }.next;
        self.in_flight += 1;
        (index, arm)
    }

    /// Gives back one that the kernel has no part in any more. Returns its number.
    ///
    /// # Safety
    ///
    /// It was taken, and its packet too, or none follows.
    pub(super) unsafe fn put(&mut self, mut arm: NonNull<Arm>) -> u32 {
        // SAFETY: it is the caller's.
        let arm = unsafe { arm.as_mut() };
        arm.next = self.free;
        self.free = arm.index;
        self.in_flight -= 1;
        arm.index
    }

    pub(super) fn get(&self, index: u32) -> NonNull<Arm> {
        let index = index as usize;
        // SAFETY: inside of the chunk.
        unsafe { self.chunks[index / CHUNK].cast::<Arm>().add(index % CHUNK) }
    }

    #[cold]
    fn grow(&mut self) {
        let first = (self.chunks.len() * CHUNK) as u32;
        let mut number = first;
        let chunk = Box::new([(); CHUNK].map(|()| {
            let index = number;
            number += 1;
            let next = if number % CHUNK as u32 == 0 { NONE } else { number };
            Arm {
                head: Head::new(Role::Receive),
                info: Info::none(),
                token: Token::internal(0),
                handle: std::ptr::null_mut(),
                index,
                next,
            }
        }));
        self.chunks.push(NonNull::from(Box::leak(chunk)));
        self.free = first;
    }
}

impl Drop for Arms {
    fn drop(&mut self) {
        if self.in_flight > 0 {
            return; // the kernel still writes to some of them (I3)
        }
        for chunk in self.chunks.drain(..) {
            // SAFETY: leaked by `grow`, and nobody refers to it any more.
            drop(unsafe { Box::from_raw(chunk.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arms_are_used_again_and_stay_in_place() {
        let mut arms = Arms::new();
        let taken: Vec<_> = (0..CHUNK * 2 + 1).map(|_| arms.take()).collect();
        assert_eq!((arms.in_flight(), arms.chunks.len()), (CHUNK * 2 + 1, 3));
        for (index, arm) in &taken {
            assert_eq!(arms.get(*index), *arm);
            // SAFETY: taken, and no request was started.
            assert_eq!(unsafe { arms.put(*arm) }, *index);
        }
        (0..CHUNK * 3).for_each(|_| _ = arms.take());
        assert_eq!(arms.chunks.len(), 3);
        arms.in_flight = 0; // none is the kernel's
    }

    #[test]
    fn an_arm_is_small() {
        assert!(size_of::<Arm>() <= 96, "{}", size_of::<Arm>());
    }
}
