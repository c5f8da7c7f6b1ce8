//! Taking buffers back that the kernel was lent and has no use for.
//!
//! Receives that the kernel has no part in (of Unix streams, of who waits behind others) have the rest of the pool, and what
//! others give back. When all of that is in use, and somebody waits, there may be buffers that lie idle in the ring of those
//! that were lent. Nothing takes an entry out of that ring but a request; so one is made that needs a buffer and is done at
//! once: a read of an eventfd. Where the ring is dry it fails, and nothing was lost.
//!
//! The eventfd is made before anything is lent: so a lack of descriptors is an error of the receive that comes first, and never
//! keeps somebody waiting later.
//!
//! Buffers shorter than what an eventfd gives are never lent.
//!
//! Source: eventfd(2), io_uring_register_buf_ring(3).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr,
    sync::Arc,
};

use io_uring::{opcode, squeue, types};

use super::{
    Driver, Wait,
    key::{self, Kind},
    provided::GROUP,
};
use crate::{
    buf::{Pool, pool::SHARED_LEN_MIN},
    sys::{
        Tell,
        linux::{eventfd, write_eventfd},
    },
};

/// What an eventfd gives.
const COUNTER: u32 = 8;
const _: () = assert!(COUNTER as usize <= SHARED_LEN_MIN);

/// Nothing before buffers are lent.
#[derive(Debug, Default)]
pub(super) struct TakeBack(Option<OwnedFd>);

impl TakeBack {
    /// Makes sure that what is lent can be taken back.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if self.0.is_none() {
            self.0 = Some(eventfd()?);
        }
        Ok(())
    }

    /// The request.
    fn entry(&self) -> Option<squeue::Entry> {
        let counter = self.0.as_ref()?;
        write_eventfd(counter); // so that there is something to read
        let read = opcode::Read::new(types::Fd(counter.as_raw_fd()), ptr::null_mut(), COUNTER);
        Some(read.buf_group(GROUP).build().flags(squeue::Flags::BUFFER_SELECT))
    }
}

impl Wait {
    /// Starts to take one back. False as for a submission.
    #[cold]
    pub(super) fn take_back(&mut self, pool: &Arc<Pool>) -> io::Result<bool> {
        let entry = if self.provided.is_some() { self.take_back.entry() } else { None };
        let Some(entry) = entry else {
            while pool.free().answered(false) {} // nothing was lent; nor for who came meanwhile
            return Ok(true);
        };
        // No operation that may be left in flight: it writes to the buffer within the call that submits it.
        self.push(entry, key::of_driver(Kind::TakeBack))
    }
}

impl Driver {
    /// The kernel's answer: the buffer, if it had one.
    #[cold]
    pub(super) fn gave_back(&self, buffer: Option<u32>, tell: &mut impl Tell) {
        if let Some(index) = buffer {
            tell.given_back(self.pool.adopt(index));
        }
        if self.pool.free().answered(buffer.is_some()) {
            self.take_back_buffer(); // by the next wait
        }
    }

    /// The answer may be lost. If it is not, there are two for a while, each with a buffer of its own, and the last one ends it.
    #[cold]
    pub(super) fn ask_again(&self) {
        if self.pool.free().answered(true) {
            self.take_back_buffer(); // by the next wait
        }
    }
}
