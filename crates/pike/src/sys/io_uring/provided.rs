//! The buffers that the kernel receives into by itself: the pool's, in a ring that it shares with us.
//!
//! What is in the ring is the kernel's until a completion names it (I2), or for ever where that never comes: the pool's memory
//! is kept by whoever still has requests in flight. Running dry ends a multishot receive with `ENOBUFS`, and nothing else.
//!
//! Sources: io_uring_register_buf_ring(3), io_uring_setup_buf_ring(3).
#![allow(unsafe_code)]

use std::{
    alloc::{self, Layout},
    io, mem,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use io_uring::types::BufRingEntry;

use super::ring::Ring;
use crate::buf::Pool;

/// The one group of buffers that a ring has.
pub(super) const GROUP: u16 = 0;

/// So many buffers are the kernel's at first. It goes through all that it has, one after the other, so that each is touched:
/// it gets more only once they do not suffice.
const SHARE: u32 = 256;

/// The kernel asks for a page's alignment, and none is larger than this.
const ALIGNMENT: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Provided {
    pool: Arc<Pool>,
    entries: NonNull<BufRingEntry>,
    layout: Layout,
    mask: u16,
    tail: u16,
    /// How many buffers are in the ring.
    lent: u32,
    /// Up to how many there are to be.
    share: u32,
}

// SAFETY: the memory is this value's own and the kernel's.
unsafe impl Send for Provided {}

impl Provided {
    /// Shares a ring that has room for all buffers of the pool.
    ///
    /// # Errors
    ///
    /// The system's: `EINVAL` before Linux 5.19, `ENOMEM`.
    pub(super) fn new(ring: &Ring, pool: &Arc<Pool>) -> io::Result<Self> {
        let count = (pool.count() as usize).next_power_of_two();
        let layout = Layout::array::<BufRingEntry>(count)
            .and_then(|layout| layout.align_to(ALIGNMENT))
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // SAFETY: not of size zero, since a pool has one buffer at least.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast::<BufRingEntry>()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let mask = (count - 1) as u16;
        let share = SHARE.min(pool.share_max());
        let provided = Self { pool: Arc::clone(pool), entries, layout, mask, tail: 0, lent: 0, share };
        // SAFETY: the memory stays until this value goes, which `Wait` drops after the ring; or for ever.
        unsafe { ring.provide(entries.as_ptr() as u64, count as u16, GROUP) }?;
        Ok(provided)
    }

    /// The kernel has taken so many out of the ring.
    #[inline]
    pub(super) fn took(&mut self, buffers: u32) {
        self.lent -= buffers;
    }

    /// So many receives have ended for want of a buffer.
    #[cold]
    pub(super) fn ran_dry(&mut self, receives: u32) {
        self.share = self.share.saturating_add(receives).min(self.pool.share_max());
    }

    /// Lends the kernel what buffers the pool can spare, up to its share.
    #[inline]
    pub(super) fn fill(&mut self) -> io::Result<()> {
        let (mut tail, entries, mask) = (self.tail, self.entries, self.mask);
        self.pool.provide(self.share - self.lent, |index, at, len| {
            // SAFETY: in bounds, by the mask. The pool has at most as many buffers as the ring has entries, and each is in the
            // ring once, so this entry was consumed and the kernel does not look at it before the tail says so.
            let entry = unsafe { &mut *entries.as_ptr().add((tail & mask) as usize) };
            entry.set_addr(at.as_ptr() as u64);
            entry.set_len(len as u32);
            entry.set_bid(index as u16);
            tail = tail.wrapping_add(1);
        })?;
        if self.tail != tail {
            self.lent += u32::from(tail.wrapping_sub(self.tail));
            self.tail = tail;
            // SAFETY: the tail lies in the first entry, where nothing else is; it is aligned, and only this value writes it.
            let shared = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries.as_ptr()).cast_mut()) };
            // Release: publishes the entries to the kernel.
            shared.store(tail, Ordering::Release);
        }
        Ok(())
    }

    /// For a ring that ends with requests in flight: what they may write to is never freed (I3).
    pub(super) fn leak(self) {
        mem::forget(self);
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        // SAFETY: made with this layout; the ring is closed, and nothing that used it was in flight.
        unsafe { alloc::dealloc(self.entries.as_ptr().cast(), self.layout) };
    }
}
