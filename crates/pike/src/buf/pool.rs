//! The pool of one Notifier: buffers of one length, in one piece of memory.
//!
//! A pooled receive takes a buffer once there is something to receive, so a connection that is idle has none, and a pool
//! is as large as what is being worked on, not as the number of connections. When it runs dry, a receive waits for a
//! buffer to come back, first come, first served: it neither fails nor spins, and a socket that has much to receive
//! queues behind the others for each buffer.
//!
//! The memory is allocated when the first buffer is taken, and touched as far as buffers were ever used at a time. It
//! lives until the last [`Lease`](super::Lease) is gone, whatever became of the Notifier.

use std::{
    alloc::{self, Layout},
    future::Future,
    io,
    mem::MaybeUninit,
    pin::Pin,
    ptr::NonNull,
    slice,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::free::{Asked, Free};
use crate::{batch::Batch, budget, sys::platform, waiter::Node};

/// What a pool has unless the builder says otherwise: 2 MiB.
const COUNT: u32 = 512;
const LEN: usize = 4096;
/// A pool of fewer has none to spare for the kernel.
const SHARED_MIN: u32 = 16;
/// The most that a ring of provided buffers takes.
const COUNT_MAX: usize = 32_768;

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
        let fits =
            count.checked_mul(len).is_some_and(|all| layout(all).is_ok()) && i32::try_from(len).is_ok();
        match fits {
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
}

// SAFETY: plain memory; who may touch which part of it is the pool's affair.
#[allow(unsafe_code)]
unsafe impl Send for Memory {}
// SAFETY: as for Send.
#[allow(unsafe_code)]
unsafe impl Sync for Memory {}

impl Memory {
    #[cold]
    fn new(all: usize) -> io::Result<Self> {
        let layout = layout(all).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: not of size zero, which `Size` refuses.
        #[allow(unsafe_code)]
        let at = unsafe { alloc::alloc_zeroed(layout) };
        match NonNull::new(at) {
            Some(at) => Ok(Self { at, layout }),
            None => Err(io::ErrorKind::OutOfMemory.into()),
        }
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
    fn memory(&self) -> io::Result<NonNull<u8>> {
        if let Some(memory) = self.memory.get() {
            return Ok(memory.at);
        }
        let made = Memory::new(self.count as usize * self.len)?;
        Ok(self.memory.get_or_init(|| made).at)
    }

    /// A buffer, if there is one that nobody waits for.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool.
    #[inline]
    pub(crate) fn take(self: &Arc<Self>) -> io::Result<Option<Slot>> {
        let memory = self.memory()?;
        Ok(self.free.take().map(|index| Slot::new(self, memory, index)))
    }

    /// Whether it is large enough to be shared with the kernel, which takes its part in advance.
    pub(crate) fn is_shared(&self) -> bool {
        self.count >= SHARED_MIN
    }

    /// Makes sure that there is memory for it.
    ///
    /// # Errors
    ///
    /// As [`Pool::take`].
    pub(crate) fn prepare(&self) -> io::Result<()> {
        self.memory().map(drop)
    }

    /// Hands free buffers to the kernel, which takes them in advance: all but a quarter, which is left for receives that
    /// the kernel has no part in, and for those that wait. Each comes back by [`Pool::adopt`].
    ///
    /// # Errors
    ///
    /// As [`Pool::take`].
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "completion backends use it"))]
    pub(crate) fn provide(&self, mut to_kernel: impl FnMut(u32, NonNull<u8>, usize)) -> io::Result<()> {
        let memory = self.memory()?;
        self.free.take_beyond(self.count as usize / 4, |index| {
            // SAFETY: as in `Slot::new`.
            #[allow(unsafe_code)]
            let at = unsafe { memory.add(index as usize * self.len) };
            to_kernel(index, at, self.len);
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
        match self.memory.get() {
            Some(memory) if index < self.count => Slot::new(self, memory.at, index),
            _ => unreachable!("the kernel gives back a buffer that it was not handed"),
        }
    }

    /// Waits for a buffer.
    pub(crate) fn wait(self: &Arc<Self>) -> Acquire<'_> {
        Acquire { pool: self, node: Node::new() }
    }

    /// Nobody may touch its lock in the child of a fork: a thread that the child does not have may hold it (I14).
    fn is_forked(&self) -> bool {
        platform::forks() != self.forks
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("count", &self.count).field("len", &self.len).finish_non_exhaustive()
    }
}

/// One buffer, out of its pool until it is dropped.
pub(crate) struct Slot {
    pool: Arc<Pool>,
    at: NonNull<u8>,
    index: u32,
}

// SAFETY: who has the slot has the buffer, and nobody else.
#[allow(unsafe_code)]
unsafe impl Send for Slot {}
// SAFETY: a shared Slot gives out shared bytes only.
#[allow(unsafe_code)]
unsafe impl Sync for Slot {}

#[allow(unsafe_code)]
impl Slot {
    #[inline]
    fn new(pool: &Arc<Pool>, memory: NonNull<u8>, index: u32) -> Self {
        // SAFETY: the index is below the count, and the memory has room for so many buffers of this length.
        let at = unsafe { memory.add(index as usize * pool.len) };
        Self { pool: Arc::clone(pool), at, index }
    }

    #[inline]
    pub(crate) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the pool keeps its memory in place, and this part of it is ours.
        unsafe { slice::from_raw_parts_mut(self.at.as_ptr().cast(), self.pool.len) }
    }

    /// The first `len` bytes: what was received, or what the pool's memory was made with.
    #[inline]
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        assert!(len <= self.pool.len);
        // SAFETY: as in `room`; initialised, for the memory was zero and is only received into.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), len) }
    }
}

impl Slot {
    /// As dropping, where no waker may be woken: into the batch.
    pub(crate) fn give_back(self, batch: &mut Batch) {
        if !self.pool.is_forked() {
            batch.list().extend(self.pool.free.give_back(self.index));
        }
        self.into_number();
    }

    /// Its number, by which [`Pool::adopt`] makes it again. It is not given back.
    pub(crate) fn into_number(self) -> u32 {
        // Only what the drop does beside.
        let mut this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so this field is dropped once.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::drop_in_place(&mut this.pool)
        };
        this.index
    }
}

impl Drop for Slot {
    #[inline]
    fn drop(&mut self) {
        if self.pool.is_forked() {
            return; // the memory is a copy, and the child makes a pool of its own
        }
        if let Some(waker) = self.pool.free.give_back(self.index) {
            waker.wake();
        }
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
            Asked::Taken(index) => Poll::Ready(Ok(Slot::new(this.pool, memory, index))),
            Asked::Linked => {
                budget::give_back();
                Poll::Pending
            }
        }
    }
}
