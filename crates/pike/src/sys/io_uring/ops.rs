//! Operations that own their buffers: what a block asks, as an entry, and what a completion says of it.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};

use io_uring::{cqueue, opcode, squeue, types};

use super::{
    key::{self, Kind},
    provided::GROUP,
};
use crate::{
    op::block::{Block, Request},
    sys::Completion,
};

/// Of a read or write: where the descriptor is, as read(2) and write(2).
const POSITION: u64 = u64::MAX;

/// `IORING_RECVSEND_POLL_FIRST`, Linux 5.19.
const POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`, Linux 6.0.
const MULTISHOT: u16 = 1 << 1;

/// A block, by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(NonNull<Block>);

// SAFETY: a block is submitted and reaped by whatever thread; only its address travels here.
unsafe impl Send for At {}

impl At {
    pub(super) fn of(block: &Block) -> Self {
        Self(NonNull::from(block))
    }

    #[cfg(test)]
    pub(super) fn nowhere(address: *mut Block) -> Self {
        Self(NonNull::new(address).expect("not null"))
    }

    /// The block of a key that one has.
    pub(super) fn of_key(key: u64) -> Option<Self> {
        if key::kind(key) == Kind::Block { key::block(key).map(Self) } else { None }
    }

    pub(super) fn key(self) -> u64 {
        key::of_block(self.0)
    }

    /// The entry for a send, with its key.
    ///
    /// # Safety
    ///
    /// As for [`At::entry`].
    #[inline(always)]
    pub(super) unsafe fn send(self) -> Option<squeue::Entry> {
        // SAFETY: passed on to the caller.
        match unsafe { self.0.as_ref().request() } {
            Request::Send { descriptor, at, len, flags } => {
                let send = opcode::Send::new(types::Fd(descriptor), at, len).flags(flags);
                Some(send.build().user_data(self.key()))
            }
            _ => None,
        }
    }

    /// The entry for what it asks, without its key.
    ///
    /// # Safety
    ///
    /// The block was submitted and not reported as final, so that it and what it names are there (I2).
    pub(super) unsafe fn entry(self) -> squeue::Entry {
        // SAFETY: passed on to the caller.
        let request = unsafe { self.0.as_ref().request() };
        match request {
            Request::Send { descriptor, at, len, flags } => {
                opcode::Send::new(types::Fd(descriptor), at, len).flags(flags).build()
            }
            Request::SendMessage { descriptor, envelope, flags } => {
                // SAFETY: it is the block's, and not touched until the final completion.
                let header = unsafe { (*envelope).seal() };
                opcode::SendMsg::new(types::Fd(descriptor), header).flags(flags as u32).build()
            }
            Request::Read { descriptor, at, len } => {
                opcode::Read::new(types::Fd(descriptor), at, len).offset(POSITION).build()
            }
            Request::Write { descriptor, at, len } => {
                opcode::Write::new(types::Fd(descriptor), at, len).offset(POSITION).build()
            }
            Request::Connect { descriptor, envelope } => {
                // SAFETY: as above.
                let (at, len) = unsafe { (*envelope).name() };
                opcode::Connect::new(types::Fd(descriptor), at, len).build()
            }
            Request::Receive { descriptor, at, len } => {
                opcode::Recv::new(types::Fd(descriptor), at, len).build()
            }
            Request::ReceiveMessage { descriptor, envelope } => {
                // SAFETY: as above, for the envelope.
                let header = unsafe { (*envelope).seal() };
                opcode::RecvMsg::new(types::Fd(descriptor), header).build()
            }
            Request::ReceivePooled { descriptor, envelope, .. } => {
                // SAFETY: as above, for the envelope. Without a vector the whole buffer is the room.
                let header = unsafe { (*envelope).seal() };
                opcode::RecvMsg::new(types::Fd(descriptor), header)
                    .buf_group(GROUP)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
            }
            Request::ReceiveMany { descriptor, is_late: false } => {
                opcode::RecvMulti::new(types::Fd(descriptor), GROUP).build()
            }
            Request::ReceiveMany { descriptor, is_late: true } => {
                // The same, which has no place for that.
                opcode::Recv::new(types::Fd(descriptor), ptr::null_mut(), 0)
                    .buf_group(GROUP)
                    .ioprio(MULTISHOT | POLL_FIRST)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
            }
            Request::AcceptMany { descriptor } => {
                let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                opcode::AcceptMulti::new(types::Fd(descriptor)).flags(flags).build()
            }
        }
    }

    /// Whether it takes buffers out of the ring of them.
    ///
    /// # Safety
    ///
    /// As for [`At::entry`].
    #[inline]
    pub(super) unsafe fn takes_buffers(self) -> bool {
        // SAFETY: passed on to the caller.
        let request = unsafe { self.0.as_ref().request() };
        matches!(request, Request::ReceiveMany { .. } | Request::ReceivePooled { .. })
    }

    /// The completion of one that never reached the kernel.
    pub(super) fn failed(self, code: i32) -> Completion {
        Completion { block: self.0, result: -code, more: false, buffer: None }
    }
}

/// What the kernel says of a block. None if the completion is the driver's own.
#[inline]
pub(super) fn completion(entry: &cqueue::Entry) -> Option<Completion> {
    let flags = entry.flags();
    Some(Completion {
        block: At::of_key(entry.user_data())?.0,
        result: entry.result(),
        more: cqueue::more(flags),
        buffer: buffer(entry),
    })
}

/// The buffer of the pool that the kernel took.
#[inline]
pub(super) fn buffer(entry: &cqueue::Entry) -> Option<u32> {
    cqueue::buffer_select(entry.flags()).map(u32::from)
}
