//! The hot buffer: one a thread, lent for the length of a closure, so that a connection needs none of its own.
//!
//! It is taken out of its cell for the call and put back after, so a call inside the call takes another one; if the
//! closure panics, the buffer is put back while unwinding.

use std::cell::Cell;

/// The largest UDP datagram fits, and a read of this size is as good as several.
const LEN: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

struct Lent(Option<Box<[u8]>>);

impl Drop for Lent {
    fn drop(&mut self) {
        // A thread that is going away keeps no buffer.
        let _ = BUFFER.try_with(|cell| cell.set(self.0.take()));
    }
}

/// Lends the thread's hot buffer, whose content is whatever was in it last.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    let buffer = BUFFER.try_with(Cell::take).ok().flatten();
    let mut lent = Lent(Some(buffer.unwrap_or_else(|| vec![0; LEN].into_boxed_slice())));
    match &mut lent.0 {
        Some(buffer) => f(buffer),
        None => unreachable!("it was put in above"),
    }
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
