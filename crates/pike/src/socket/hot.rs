//! The hot buffer: one a thread, lent for the length of a closure, so that a connection needs none of its own.
//!
//! It is taken out of its cell for the call and put back after, so a call inside the call takes another one; if the
//! closure panics, the buffer is put back while unwinding.
//!
//! The cell has no destructor, so that it can be reached without asking whether that has run. What frees the buffer at
//! the thread's end is a [`Keeper`], which leaves GONE in the cell: from then on a buffer is freed after the call.
#![allow(unsafe_code)]

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
};

/// The largest UDP datagram fits, and a read of this size is as good as several.
const LEN: usize = 64 * 1024;

type Buffer = [u8; LEN];

/// In the cell of a thread that keeps no buffer any more.
const GONE: *mut Buffer = ptr::without_provenance_mut(1);

thread_local! {
    /// Null, GONE, or a buffer from a box, which belongs to the cell.
    static BUFFER: Cell<*mut Buffer> = const { Cell::new(ptr::null_mut()) };
    static KEEPER: Keeper = const { Keeper };
}

/// Frees the thread's buffer when the thread ends.
struct Keeper;

impl Drop for Keeper {
    fn drop(&mut self) {
        free(BUFFER.replace(GONE));
    }
}

/// Frees what was in the cell.
#[cold]
fn free(buffer: *mut Buffer) {
    if !buffer.is_null() && buffer != GONE {
        // SAFETY: from a box, and not in the cell any more.
        drop(unsafe { Box::from_raw(buffer) });
    }
}

/// The thread's hot buffer, out of its cell until it is dropped. Its content is whatever was in it last.
pub(super) struct Lent(NonNull<Buffer>);

#[inline]
pub(super) fn take() -> Lent {
    let kept = BUFFER.get();
    match NonNull::new(kept) {
        Some(buffer) if kept != GONE => {
            BUFFER.set(ptr::null_mut());
            Lent(buffer)
        }
        _ => make(),
    }
}

#[cold]
fn make() -> Lent {
    // Makes it run at the thread's end. Where that is over, the cell says GONE.
    let _ = KEEPER.try_with(|_| ());
    let buffer: Box<[u8]> = vec![0; LEN].into_boxed_slice();
    Lent(NonNull::from(Box::leak(buffer)).cast())
}

impl Deref for Lent {
    type Target = Buffer;

    #[inline]
    fn deref(&self) -> &Buffer {
        // SAFETY: from a box, and out of the cell: nobody else has it.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Lent {
    #[inline]
    fn deref_mut(&mut self) -> &mut Buffer {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        match BUFFER.get().is_null() {
            true => BUFFER.set(self.0.as_ptr()),
            false => free(self.0.as_ptr()), // a call inside of this one has put its own back, or the thread ends
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_inside_the_call_gets_another_buffer() {
        let mut outer = take();
        outer[0] = 1;
        take()[0] = 2;
        assert_eq!(outer[0], 1);
    }

    #[test]
    fn a_panic_puts_the_buffer_back() {
        let at = take().as_ptr() as usize;
        let caught = std::panic::catch_unwind(|| {
            let _lent = take();
            panic!("in the closure")
        });
        assert!(caught.is_err());
        assert_eq!(take().as_ptr() as usize, at);
    }

    #[test]
    fn a_thread_that_is_going_away_keeps_none() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                take()[0] = 1;
                assert!(matches!(BUFFER.get(), GONE) || !BUFFER.get().is_null());
            }
        }
        thread_local!(static LATE: Late = const { Late });
        std::thread::spawn(|| {
            LATE.with(|_| ()); // its destructor runs after the keeper's, or before it
            drop(take());
        })
        .join()
        .unwrap();
    }
}
