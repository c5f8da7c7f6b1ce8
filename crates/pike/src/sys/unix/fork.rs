//! How a process learns that it is the child of a fork (I14).
//!
//! `getpid` is a system call, too dear to ask before each operation. `pthread_atfork` has the child count one fork, in
//! a word that costs one load to read. What creates a process behind the C library's back (a bare `clone`) is not seen.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// All ones in a process with a watched fork behind it, else zero: what makes the word of every source look closed, so
/// that its operations look again.
static FORKED: AtomicU64 = AtomicU64::new(0);

/// How many forks lie between this process and the first that watched.
#[inline]
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Bits to set in the word of a source before it is looked at: all in a forked process, none elsewhere.
#[inline]
pub(crate) fn forked() -> u64 {
    FORKED.load(Ordering::Relaxed)
}

/// Starts to watch, once a process. A failure is kept and given again: without the watch I14 would not hold.
#[allow(unsafe_code)]
pub(crate) fn watch_forks() -> io::Result<()> {
    static WATCH: OnceLock<i32> = OnceLock::new();
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
        FORKED.store(u64::MAX, Ordering::Relaxed);
    }
    // SAFETY: the handler writes two atomics, which a child of a threaded process may do.
    match WATCH.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(in_child)) }) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(*code)),
    }
}
