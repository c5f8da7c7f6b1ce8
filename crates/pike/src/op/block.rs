//! What a completion backend is handed: a request, at an address that stays until the request's last completion.
//!
//! The address is the request's name on its way through the kernel: `Driver::submit` and `Driver::cancel` take it, and
//! `Report::Completed` brings it back, once for each completion. The kernel's share in what the request names (I2) is a
//! count of the [`Lane`](super::lane::Lane) that the block is part of: added before the block is submitted, and taken
//! back by whoever reaps the final completion.

use crate::{sync::UnsafeCell, sys::Raw};

/// What the kernel is asked to do.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
pub(crate) enum Request {
    /// send(2). The bytes stay in place until the final completion, and are not more than the system's calls take.
    Send { descriptor: Raw, at: *const u8, len: u32, flags: i32 },
    /// recv(2), again and again, each time into a buffer of the pool that the kernel chooses.
    ReceiveMany { descriptor: Raw },
}

/// Aligned so that its address leaves bits free for the backend's own use.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct Block {
    request: UnsafeCell<Request>,
    /// Whether it is the first of its lane.
    is_first: bool,
}

impl Block {
    pub(super) fn new(is_first: bool) -> Self {
        Self { request: UnsafeCell::new(Request::ReceiveMany { descriptor: -1 }), is_first }
    }

    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// # Safety
    ///
    /// It is not in flight, and nobody else sets it or submits it meanwhile.
    #[allow(unsafe_code)]
    pub(super) unsafe fn set(&self, request: Request) {
        // SAFETY: by the caller's promise nobody looks at it.
        self.request.with_mut(|at| unsafe { *at = request });
    }

    /// What it asks.
    ///
    /// # Safety
    ///
    /// It was submitted, and its final completion was not reported yet.
    #[allow(unsafe_code)]
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    pub(crate) unsafe fn request(&self) -> Request {
        // SAFETY: it is not set while it is in flight.
        self.request.with_mut(|at| unsafe { *at })
    }
}
