//! What a completion backend is handed: a request, at an address that stays until the request's last completion.
//!
//! The address is the request's name on its way through the kernel: `Driver::submit` and `Driver::cancel` take it, and
//! `Tell::completed` brings it back, once for each completion. The kernel's share in what the request names (I2) is a
//! count of the [`Lane`](super::lane::Lane) that the block is part of: added before the block is submitted, and taken
//! back by whoever reaps the final completion.

use crate::{
    buf::Slot,
    sync::UnsafeCell,
    sys::{
        Raw, Space,
        platform::{Envelope, NO_RAW},
    },
};

/// What the kernel is asked to do. All that it names stays in place until the final completion, whose result is a count,
/// zero, or the negative of the system's error code; lengths are no more than the system's calls take.
///
/// Of one direction there is one at a time (I11): a lane has one block for what comes in, and one for what goes out.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "completion backends use it, and operations as they become native")]
pub(crate) enum Request {
    /// send(2).
    Send { descriptor: Raw, at: *const u8, len: u32, flags: i32 },
    /// sendmsg(2): the envelope's vectors, and its address if it has one. Flags are the system's, as in `Send`.
    SendMessage { descriptor: Raw, envelope: *mut Envelope, flags: i32 },
    /// read(2), where the descriptor's position is.
    Read { descriptor: Raw, at: *mut u8, len: u32 },
    /// write(2), likewise.
    Write { descriptor: Raw, at: *const u8, len: u32 },
    /// connect(2) of a stream, to the envelope's address. The result is 0 once it is connected, and the socket is what a
    /// connected one is. Would-block means that it is for connect(2) and readiness to do.
    Connect { descriptor: Raw, envelope: *mut Envelope },
    /// recv(2) of a stream, once.
    Receive { descriptor: Raw, at: *mut u8, len: u32 },
    /// recvmsg(2), once: into the envelope's vectors, and who sent it into its address if that is asked for.
    ReceiveMessage { descriptor: Raw, envelope: *mut Envelope },
    /// recvmsg(2), once: into a buffer of the pool that the kernel chooses when the message is there, which is put in `slot` by
    /// who reaps it; and who sent it into the envelope, which names no memory.
    ReceivePooled { descriptor: Raw, envelope: *mut Envelope, slot: *mut Option<Slot> },
    /// recv(2), again and again, each time into a buffer of the pool that the kernel chooses. Each completion but the last
    /// has a buffer. `is_late`: it is not tried before the socket is readable, so it does not end for want of a buffer while
    /// there is nothing to put in one.
    ReceiveMany { descriptor: Raw, is_late: bool },
    /// accept(2), again and again. The result of each completion is a descriptor, non-blocking and not inherited, which is
    /// whoever's reaps it; an error is the last one.
    AcceptMany { descriptor: Raw },
}

impl Request {
    /// The same of what is no socket.
    pub(super) fn of_file(self) -> Self {
        match self {
            Self::Receive { descriptor, at, len } => Self::Read { descriptor, at, len },
            Self::Send { descriptor, at, len, .. } => Self::Write { descriptor, at, len },
            other => unreachable!("what is no socket has no messages: {other:?}"),
        }
    }
}

/// Aligned so that its address leaves bits free for the backend's own use.
#[derive(Debug)]
#[repr(C, align(16))]
pub(crate) struct Block {
    request: UnsafeCell<Request>,
    /// Whether it is the first of its lane.
    is_first: bool,
    /// What the backend keeps of the request while it is in flight: an OVERLAPPED, on a port.
    space: Space,
}

impl Block {
    pub(crate) fn new(is_first: bool) -> Self {
        Self {
            request: UnsafeCell::new(Request::ReceiveMany { descriptor: NO_RAW, is_late: false }),
            is_first,
            space: Space::default(),
        }
    }

    /// Where in a block its space is.
    #[allow(dead_code, reason = "of those systems whose backend needs any")]
    pub(crate) const SPACE: usize = std::mem::offset_of!(Self, space);

    #[allow(dead_code, reason = "as above")]
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    #[inline]
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// # Safety
    ///
    /// It is not in flight, and nobody else sets it or submits it meanwhile.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) unsafe fn set(&self, request: Request) {
        // SAFETY: by the caller's promise nobody looks at it.
        self.request.with_mut(|at| unsafe { *at = request });
    }

    /// What it asks, or has asked.
    ///
    /// # Safety
    ///
    /// Nobody sets it meanwhile. So it is in flight, or the caller has its operation, before which no other begins.
    #[allow(unsafe_code)]
    #[cfg_attr(
        not(any(target_os = "linux", windows)),
        allow(dead_code, reason = "completion backends use it")
    )]
    #[inline]
    pub(crate) unsafe fn request(&self) -> Request {
        // SAFETY: passed on to the caller.
        self.request.with_mut(|at| unsafe { *at })
    }
}
