//! Signals, as far as pike's own threads are concerned.

use std::{mem::MaybeUninit, ptr};

/// Blocks all signals on the calling thread: pike's own threads must not run the program's handlers.
#[allow(unsafe_code)]
pub(crate) fn block_signals() {
    let mut all = MaybeUninit::uninit();
    // SAFETY: fills the set it is given.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set was filled above, and no old one is asked for. It cannot fail with these arguments.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut()) };
}
