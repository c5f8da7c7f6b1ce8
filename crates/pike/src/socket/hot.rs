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

/// A buffer out of the cell.
struct Lent(NonNull<Buffer>);

impl Lent {
    #[inline]
    fn take() -> Self {
        let kept = BUFFER.get();
        match NonNull::new(kept) {
            Some(buffer) if kept != GONE => {
                BUFFER.set(ptr::null_mut());
                Self(buffer)
            }
            _ => Self::make(),
        }
    }

    #[cold]
    fn make() -> Self {
        // Makes it run at the thread's end. Where that is over, the cell says GONE.
        let _ = KEEPER.try_with(|_| ());
        let buffer: Box<[u8]> = vec![0; LEN].into_boxed_slice();
        Self(NonNull::from(Box::leak(buffer)).cast())
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

/// Lends the thread's hot buffer, whose content is whatever was in it last.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut lent = Lent::take();
    // SAFETY: from a box, and out of the cell: nobody else has it.
    f(unsafe { lent.0.as_mut() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_inside_the_call_gets_another_buffer() {
        with(|outer| {
            outer[0] = 1;
            with(|inner| inner[0] = 2);
            assert_eq!(outer[0], 1);
        });
    }

    #[test]
    fn a_panic_puts_the_buffer_back() {
        let at = with(|buffer| buffer.as_ptr() as usize);
        let caught = std::panic::catch_unwind(|| with(|_| panic!("in the closure")));
        assert!(caught.is_err());
        assert_eq!(with(|buffer| buffer.as_ptr() as usize), at);
    }
}
