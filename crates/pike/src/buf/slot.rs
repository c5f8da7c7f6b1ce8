//! One buffer, out of its pool.
//!
//! What there is to know of a buffer lies in the pool, in its *header*. So a slot is one word, and so is a lease: what a receive
//! brings is handed to a task, from there to a send and back, and each time that is one move.

use std::{
    cell::Cell,
    mem::{ManuallyDrop, MaybeUninit},
    ptr::NonNull,
    slice,
    sync::Arc,
};

use super::pool::Pool;
use crate::batch::Batch;

/// Of one buffer. The pool makes it together with its memory, and keeps it in place.
pub(super) struct Header {
    /// In an Arc, whose memory this is in.
    pool: NonNull<Pool>,
    at: NonNull<u8>,
    index: u32,
    /// Which of its bytes a [`Lease`](super::Lease) shows. Who has the slot has these too.
    from: Cell<u32>,
    to: Cell<u32>,
}

impl Header {
    /// `at`: a buffer as long as those of the pool are, which is its own.
    pub(super) fn new(pool: &Arc<Pool>, at: NonNull<u8>, index: u32) -> Self {
        let pool = NonNull::new(Arc::as_ptr(pool).cast_mut()).expect("what is in an Arc is not at null");
        Self { pool, at, index, from: Cell::new(0), to: Cell::new(0) }
    }

    pub(super) fn at(&self) -> NonNull<u8> {
        self.at
    }
}

/// One buffer, out of its pool until it is dropped. It has a share of the pool, which keeps what this points at.
pub(crate) struct Slot(NonNull<Header>);

// SAFETY: who has the slot has the buffer and its header, and nobody else; the pool is Send and Sync.
#[allow(unsafe_code)]
unsafe impl Send for Slot {}
// SAFETY: a shared Slot gives out shared bytes only, and changes nothing.
#[allow(unsafe_code)]
unsafe impl Sync for Slot {}

#[allow(unsafe_code)]
impl Slot {
    /// # Safety
    ///
    /// The header is one of this pool's, and nobody else has its buffer.
    #[inline]
    pub(super) unsafe fn new(pool: &Arc<Pool>, header: &Header) -> Self {
        std::mem::forget(Arc::clone(pool)); // its share
        Self(NonNull::from(header))
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: in the pool, of which this has a share.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn pool(&self) -> &Pool {
        // SAFETY: it is kept by the share.
        unsafe { self.header().pool.as_ref() }
    }

    /// Its share of the pool.
    ///
    /// # Safety
    ///
    /// Called once, and this is not used any more: what it points at may go with the share.
    #[inline]
    unsafe fn share(&self) -> Arc<Pool> {
        // SAFETY: made of an Arc in `new`.
        unsafe { Arc::from_raw(self.header().pool.as_ptr()) }
    }

    #[inline]
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the pool keeps its memory in place, and this part of it is ours.
        unsafe { slice::from_raw_parts_mut(self.header().at.as_ptr().cast(), self.pool().len()) }
    }

    /// The first `len` bytes: what was received, or what the pool's memory was made with.
    #[inline]
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        assert!(len <= self.pool().len());
        // SAFETY: as in `room`; initialised, for the memory was zero and is only received into.
        unsafe { slice::from_raw_parts(self.header().at.as_ptr(), len) }
    }

    /// Has [`Slot::shown`] show these, which are some.
    #[inline]
    pub(super) fn show(&mut self, from: u32, to: u32) {
        assert!(from < to && to as usize <= self.pool().len());
        self.header().from.set(from);
        self.header().to.set(to);
    }

    #[inline]
    pub(super) fn shown(&self) -> &[u8] {
        let Header { at, from, to, .. } = self.header();
        // SAFETY: within the buffer, see `show`.
        let at = unsafe { at.add(from.get() as usize) };
        // SAFETY: as above, and otherwise as in `bytes`.
        unsafe { slice::from_raw_parts(at.as_ptr(), (to.get() - from.get()) as usize) }
    }
}

impl Slot {
    /// As dropping, where no waker may be woken: into the batch.
    pub(crate) fn give_back(self, batch: &mut Batch) {
        if !self.pool().is_forked() {
            batch.list().extend(self.pool().free().give_back(self.header().index));
        }
        self.into_number();
    }

    /// Its number, by which [`Pool::adopt`] makes it again. It is not given back.
    pub(crate) fn into_number(self) -> u32 {
        // Only what the drop does beside.
        let this = ManuallyDrop::new(self);
        let index = this.header().index;
        // SAFETY: the only call, of a slot that is not dropped either.
        #[allow(unsafe_code)]
        drop(unsafe { this.share() });
        index
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        let index = self.header().index;
        // SAFETY: the only call, at the end.
        #[allow(unsafe_code)]
        let pool = unsafe { self.share() };
        if pool.is_forked() {
            return; // the memory is a copy, and the child makes a pool of its own
        }
        if let Some(waker) = pool.free().give_back(index) {
            waker.wake();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{sync::Arc, thread};

    use crate::buf::{Lease, Pool, Size};

    /// Goal: the pool, its memory and headers stay as long as a lease is out, and go with the last one, on any thread.
    #[test]
    fn the_last_lease_keeps_the_pool() {
        let pool = Arc::new(Pool::new(Size::new(2, 8).unwrap()));
        let gone = Arc::downgrade(&pool);
        let leases = [&b"one"[..], b"another"].map(|bytes| {
            let mut slot = pool.take().unwrap().unwrap();
            slot.room().iter_mut().zip(bytes).for_each(|(to, &from)| _ = to.write(from));
            Lease::part(pool.adopt(slot.into_number()), 1, bytes.len() as u32)
        });
        assert!(pool.take().unwrap().is_none());
        drop(pool);
        let [one, another] = leases;
        assert_eq!((&one[..], &another[..]), (&b"ne"[..], &b"nother"[..]));
        drop(one);
        assert!(gone.upgrade().unwrap().take().unwrap().is_some(), "it came back");
        thread::spawn(move || assert_eq!(another.len(), 6)).join().unwrap();
        assert!(gone.upgrade().is_none());
    }

    #[test]
    #[should_panic(expected = "to as usize <= ")]
    fn no_lease_is_longer_than_its_buffer() {
        let pool = Arc::new(Pool::new(Size::new(1, 8).unwrap()));
        let _ = Lease::new(pool.take().unwrap().unwrap(), 9);
    }
}
