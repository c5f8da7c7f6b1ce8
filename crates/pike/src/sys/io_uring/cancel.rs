//! Cancelling from any thread, at once: `IORING_REGISTER_SYNC_CANCEL`, Linux 6.0.
//!
//! Source: io_uring_register(2).
#![allow(unsafe_code)]

use std::io;

use crate::sys::{Raw, unix::cvt};

const IORING_REGISTER_SYNC_CANCEL: libc::c_uint = 24;
const IORING_ASYNC_CANCEL_ANY: u32 = 1 << 2;

/// `struct io_uring_sync_cancel_reg`.
#[repr(C)]
struct SyncCancel {
    addr: u64,
    fd: i32,
    flags: u32,
    tv_sec: i64,
    tv_nsec: i64,
    opcode: u8,
    pad: [u8; 7],
    pad2: [u64; 3],
}

/// Cancels the one request that has this key. Its completion follows, and is reaped by a turn.
///
/// # Errors
///
/// `ENOENT` if the kernel has none; `EEXIST` on another thread's bound ring; `EINVAL` before Linux 6.0.
pub(super) fn cancel(ring: Raw, key: u64) -> io::Result<()> {
    ask(ring, key, 0)
}

/// Cancels every request. Their completions follow, and are reaped by who reaps.
///
/// # Errors
///
/// As for [`cancel`].
pub(super) fn cancel_all(ring: Raw) -> io::Result<()> {
    match ask(ring, 0, IORING_ASYNC_CANCEL_ANY) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        asked => asked,
    }
}

fn ask(ring: Raw, key: u64, flags: u32) -> io::Result<()> {
    // A timeout of zero: it does not wait until what was cancelled has ended.
    let what =
        SyncCancel { addr: key, fd: -1, flags, tv_sec: 0, tv_nsec: 0, opcode: 0, pad: [0; 7], pad2: [0; 3] };
    // SAFETY: the kernel reads one struct of this shape, which outlives the call.
    let code = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring, IORING_REGISTER_SYNC_CANCEL, &raw const what, 1)
    };
    cvt(code as libc::c_int).map(drop)
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_struct_is_laid_out_as_the_kernel_has_it() {
        assert_eq!(size_of::<SyncCancel>(), 64);
        assert_eq!(
            [
                offset_of!(SyncCancel, addr),
                offset_of!(SyncCancel, fd),
                offset_of!(SyncCancel, flags),
                offset_of!(SyncCancel, tv_sec),
                offset_of!(SyncCancel, tv_nsec),
                offset_of!(SyncCancel, opcode),
            ],
            [0, 8, 12, 16, 24, 32]
        );
    }
}
