//! The pool of one Notifier: buffers of one length, in one piece of memory.
//!
//! A pooled receive takes a buffer once there is something to receive, so a connection that is idle has none, and a pool
//! is as large as what is being worked on, not as the number of connections. When it runs dry, a receive waits for a
//! buffer to come back, first come, first served: it neither fails nor spins, and a socket that has much to receive
//! queues behind the others for each buffer.
//!
//! The memory is allocated when the first buffer is taken, and touched as far as buffers were ever used at a time, but for a
//! header of 32 bytes that each buffer has. It lives until the last [`Lease`](super::Lease) is gone, whatever became of the
//! Notifier.

use std::{
    alloc::{self, Layout},
    future::Future,
    io,
    pin::Pin,
    ptr::NonNull,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    free::{Asked, Free},
    slot::{Header, Slot},
};
use crate::{budget, sys::platform, waiter::Node};

/// What a pool has unless the builder says otherwise: 16 MiB, if ever so many are in use at a time.
const COUNT: u32 = 4096;
const LEN: usize = 4096;
/// A pool of fewer has none to spare for the kernel.
const SHARED_MIN: u32 = 16;
/// Of shorter ones, those that the kernel was lent and does not use could not be taken back: what is read for that needs as much
/// room.
pub(crate) const SHARED_LEN_MIN: usize = 8;
/// The most that a ring of provided buffers takes.
const COUNT_MAX: usize = 32_768;
/// What a completion can tell of.
const LEN_MAX: usize = i32::MAX as usize;

pub(crate) struct Pool {
    free: Free,
    memory: OnceLock<Memory>,
    count: u32,
    len: usize,
    /// How many forks the process that made it had behind it (I14).
    forks: u32,
}

/// How many buffers of which length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    count: u32,
    len: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { count: COUNT, len: LEN }
    }
}

impl Size {
    /// Fails if there is no such pool.
    pub(crate) fn new(count: usize, len: usize) -> io::Result<Self> {
        let fault = |message: String| Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        if count == 0 || len == 0 {
            return fault(format!("a pool of {count} buffers of {len} bytes: neither may be 0"));
        }
        if count > COUNT_MAX {
            return fault(format!("a pool of {count} buffers: at most {COUNT_MAX}"));
        }
        if len > LEN_MAX {
            return fault(format!("a pool of buffers of {len} bytes: at most {LEN_MAX}"));
        }
        match count.checked_mul(len).is_some_and(|all| layout(all).is_ok()) {
            true => Ok(Self { count: count as u32, len }),
            false => fault(format!("a pool of {count} buffers of {len} bytes is larger than memory can be")),
        }
    }
}

/// Aligned as far as the system's allocator is anyway, which then takes memory that is zero without touching it.
fn layout(all: usize) -> Result<Layout, alloc::LayoutError> {
    Layout::from_size_align(all, 16)
}

/// All buffers, one behind the other.
struct Memory {
    at: NonNull<u8>,
    layout: Layout,
    /// One a buffer, in the same order.
    headers: Box<[Header]>,
}

// SAFETY: plain memory; who may touch which part of it, and which header, is the pool's affair.
#[allow(unsafe_code)]
unsafe impl Send for Memory {}
// SAFETY: as for Send.
#[allow(unsafe_code)]
unsafe impl Sync for Memory {}

impl Memory {
    #[cold]
    fn new(pool: &Arc<Pool>) -> io::Result<Self> {
        let count = pool.count as usize;
        let layout = layout(count * pool.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: not of size zero, which `Size` refuses.
        #[allow(unsafe_code)]
        let Some(at) = NonNull::new(unsafe { alloc::alloc_zeroed(layout) }) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        // SAFETY: the index is below the count, and there is room for so many buffers of this length.
        #[allow(unsafe_code)]
        let buffer = |index: u32| unsafe { at.add(index as usize * pool.len) };
        let headers = (0..pool.count).map(|index| Header::new(pool, buffer(index), index)).collect();
        Ok(Self { at, layout, headers })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nobody has a buffer of it any more.
        #[allow(unsafe_code)]
        unsafe {
            alloc::dealloc(self.at.as_ptr(), self.layout)
        };
    }
}

impl Pool {
    pub(crate) fn new(size: Size) -> Self {
        let Size { count, len } = size;
        Self { free: Free::new(count), memory: OnceLock::new(), count, len, forks: platform::forks() }
    }

    /// Its memory, allocated at the first call.
    #[inline]
    fn memory(self: &Arc<Self>) -> io::Result<&Memory> {
        if let Some(memory) = self.memory.get() {
            return Ok(memory);
        }
        let made = Memory::new(self)?;
        Ok(self.memory.get_or_init(|| made))
    }

    /// How long each buffer is.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn free(&self) -> &Free {
        &self.free
    }

    /// # Safety
    ///
    /// Nobody else has it.
    #[allow(unsafe_code)]
    #[inline]
    unsafe fn slot(self: &Arc<Self>, memory: &Memory, index: u32) -> Slot {
        // SAFETY: passed on to the caller; the memory is this pool's.
        unsafe { Slot::new(self, &memory.headers[index as usize]) }
    }

    /// A buffer, if there is one that nobody waits for.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool.
    #[inline]
    pub(crate) fn take(self: &Arc<Self>) -> io::Result<Option<Slot>> {
        let memory = self.memory()?;
        // SAFETY: just taken.
        #[allow(unsafe_code)]
        Ok(self.free.take().map(|index| unsafe { self.slot(memory, index) }))
    }

    /// Whether it is large enough to be shared with the kernel, which takes its part in advance.
    pub(crate) fn is_shared(&self) -> bool {
        self.count >= SHARED_MIN && self.len >= SHARED_LEN_MIN
    }

    /// Makes sure that there is memory for it.
    ///
    /// # Errors
    ///
    /// As [`Pool::take`].
    pub(crate) fn prepare(self: &Arc<Self>) -> io::Result<()> {
        self.memory().map(drop)
    }

    /// How many are left for receives that the kernel has no part in, and for those that wait.
    fn reserve(&self) -> u32 {
        self.count / 4
    }

    /// How many the kernel can be lent at most: all but a quarter.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    pub(crate) fn share_max(&self) -> u32 {
        self.count - self.reserve()
    }

    /// Lends the kernel, which takes them in advance, up to `most` free buffers more. Each comes back by [`Pool::adopt`].
    ///
    /// # Errors
    ///
    /// As [`Pool::take`].
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    pub(crate) fn provide(
        self: &Arc<Self>,
        most: u32,
        mut to_kernel: impl FnMut(u32, NonNull<u8>, usize),
    ) -> io::Result<()> {
        let memory = self.memory()?;
        self.free.take_beyond(self.reserve() as usize, most as usize, |index| {
            to_kernel(index, memory.headers[index as usize].at(), self.len);
        });
        Ok(())
    }

    /// How many buffers there are.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// A buffer that the kernel has filled, of those that it was handed; or that was made a number by [`Slot::into_number`].
    /// Nobody else has it.
    #[inline]
    pub(crate) fn adopt(self: &Arc<Self>, index: u32) -> Slot {
        let memory = self.memory.get().expect("who was handed a buffer has made sure of the memory");
        // SAFETY: the caller's, as said above.
        #[allow(unsafe_code)]
        unsafe {
            self.slot(memory, index)
        }
    }

    /// Waits for a buffer.
    pub(crate) fn wait(self: &Arc<Self>) -> Acquire<'_> {
        Acquire { pool: self, node: Node::new() }
    }

    /// Nobody may touch its lock in the child of a fork: a thread that the child does not have may hold it (I14).
    pub(super) fn is_forked(&self) -> bool {
        platform::forks() != self.forks
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("count", &self.count).field("len", &self.len).finish_non_exhaustive()
    }
}

pin_project! {
    /// Waits for a buffer. Dropped at any time, it leaves the queue, or passes on what was promised to it.
    pub(crate) struct Acquire<'a> {
        pool: &'a Arc<Pool>,
        #[pin]
        node: Node,
    }

    impl PinnedDrop for Acquire<'_> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if this.node.state() == crate::waiter::State::Idle || this.pool.is_forked() {
                return;
            }
            // SAFETY: it waits on this pool only.
            #[allow(unsafe_code)]
            let next = unsafe { this.pool.free.leave(this.node.as_ref()) };
            if let Some(waker) = next {
                waker.wake();
            }
        }
    }
}

impl Acquire<'_> {
    /// Whether it is in the queue.
    pub(crate) fn is_waiting(&self) -> bool {
        self.node.state() != crate::waiter::State::Idle
    }
}

impl Future for Acquire<'_> {
    type Output = io::Result<Slot>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Slot>> {
        let this = self.project();
        if this.pool.is_forked() {
            return Poll::Ready(Err(crate::Closed::fork()));
        }
        let memory = this.pool.memory()?;
        if !budget::take(cx) {
            return Poll::Pending;
        }
        // SAFETY: it waits on this pool only, and leaves when it is dropped.
        #[allow(unsafe_code)]
        match unsafe { this.pool.free.ask(this.node.as_ref(), cx.waker()) } {
            // SAFETY: just taken.
            Asked::Taken(index) => Poll::Ready(Ok(unsafe { this.pool.slot(memory, index) })),
            Asked::Linked => {
                budget::give_back();
                Poll::Pending
            }
        }
    }
}
