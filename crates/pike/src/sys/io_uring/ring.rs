//! The ring itself: its queues and the one system call that moves both. Used by whoever holds the seat, and nobody else.
//!
//! Sources: io_uring_setup(2), io_uring_enter(2); the kernel's io_uring/io_uring.c for which error means what.
#![allow(unsafe_code)]

use std::{
    io,
    mem::{self, ManuallyDrop},
    os::fd::AsRawFd,
    time::Duration,
};

use io_uring::{
    EnterFlags, IoUring, cqueue, opcode, squeue,
    types::{CancelBuilder, SubmitArgs, Timespec},
};

use super::{
    key::{self, Kind},
    keys::Keys,
};
use crate::sys::{Raw, platform};

/// Entries that one system call can submit. What is more waits for the next.
pub(super) const SUBMISSIONS: u32 = 256;
/// Completions that wait for a turn before the kernel has to keep them elsewhere and ends multishot requests.
const COMPLETIONS: u32 = 4096;
/// How many pieces of work an enter does that waits for fewer completions.
const ENTER_WORKS: usize = 20;
/// The longest wait, some 136 years: what the kernel adds to its clock must not overflow, or it is over at once.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Who may use a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Whoever has the seat, any thread.
    Free,
    /// The thread that takes the first turn, and no other. The kernel then does its part when that thread asks for it.
    Bound,
}

/// What came of an enter that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// The kernel has what was queued, and waited as it was asked to, or until a signal. Or it has taken a part of that, and has not
    /// waited: the rest stays queued.
    Done,
    /// It takes nothing now and has not waited: what it lacks (memory, or room for completions before some are reaped) has to
    /// come back first. What is queued stays queued.
    Later,
}

pub(super) struct Ring {
    inner: ManuallyDrop<IoUring>,
    keys: Keys,
    /// A bound ring is made disabled: the thread that enables it is its owner.
    enabled: bool,
    /// Whether the kernel works for this ring only inside of an enter.
    deferred: bool,
    /// Whether what is in the queue stays there for good.
    stopped: bool,
    /// Whether all that is in the queue is one cancellation, which came after the stop.
    cancels: bool,
    /// How many forks the process that made it had behind it (I14).
    forks: u32,
}

impl Ring {
    /// # Errors
    ///
    /// The system's: see [`super::probe`]. [`io::ErrorKind::Unsupported`] without timeouts for a wait (before Linux 5.11).
    pub(super) fn new(used: Use) -> io::Result<Self> {
        let build = |used, submit_all| {
            let mut builder = IoUring::builder();
            builder.dontfork().setup_cqsize(COMPLETIONS);
            if submit_all {
                builder.setup_submit_all();
            }
            if used == Use::Bound {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_r_disabled();
            }
            builder.build(SUBMISSIONS)
        };
        // Before Linux 6.1 and 5.18, which know these flags, the layer above keeps to one thread all the same.
        let is_unknown = |error: &io::Error| error.raw_os_error() == Some(libc::EINVAL);
        let (inner, deferred) = match build(used, true) {
            Err(error) if is_unknown(&error) && used == Use::Bound => (build(Use::Free, true), false),
            made => (made, used == Use::Bound),
        };
        let inner = match inner {
            Err(error) if is_unknown(&error) => build(Use::Free, false)?,
            made => made?,
        };
        let features = inner.params();
        if !features.is_feature_ext_arg() || !features.is_feature_nodrop() {
            let message = "this kernel's io_uring has no timeout for a wait (Linux 5.11)";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        Ok(Self {
            inner: ManuallyDrop::new(inner),
            keys: Keys::default(),
            enabled: !deferred,
            deferred,
            stopped: false,
            cancels: false,
            forks: platform::forks(),
        })
    }

    pub(super) fn raw(&self) -> Raw {
        self.inner.as_raw_fd()
    }

    /// Makes the calling thread the owner of a bound ring, once.
    #[inline]
    pub(super) fn enable(&mut self) -> io::Result<()> {
        if !self.enabled {
            self.inner.submitter().register_enable_rings()?;
            self.enabled = true;
        }
        Ok(())
    }

    /// Whether anybody ever turned it. A bound ring that nobody did has nothing in flight.
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Queues an entry that has this key. False if there is no room: then nothing has happened.
    ///
    /// # Safety
    ///
    /// What the entry refers to stays until its last completion was reaped (I2, I9).
    #[inline]
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry, key: u64) -> bool {
        // SAFETY: passed on to the caller.
        unsafe { self.queue().push(entry, key) }
    }

    /// The queue of entries, for several at a time: what is pushed is seen once this is dropped.
    #[inline]
    pub(super) fn queue(&mut self) -> Queue<'_> {
        Queue { inner: self.inner.submission(), keys: &mut self.keys }
    }

    /// No enter submits anything from here on, but what [`Ring::cancel_all`] queues. The keys of the entries that the kernel has
    /// not taken, and never will: it looks at them in an enter only.
    #[cold]
    pub(super) fn stop_submitting(&mut self) -> Vec<u64> {
        if mem::replace(&mut self.stopped, true) {
            return Vec::new();
        }
        let count = self.inner.submission().len();
        self.keys.last(count).collect()
    }

    /// Queues the last entry there is, once all has stopped: it cancels every request. False if the queue is not empty: it would
    /// take along what is never to be begun (I12).
    #[cold]
    pub(super) fn cancel_all(&mut self) -> bool {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        let mut queue = self.inner.submission();
        // SAFETY: it refers to no memory.
        let is_queued = self.stopped
            && queue.is_empty()
            && unsafe { queue.push(&entry.user_data(key::of_driver(Kind::Cancel))) }.is_ok();
        self.cancels |= is_queued;
        is_queued
    }

    /// Shares a ring of buffers with the kernel.
    ///
    /// # Safety
    ///
    /// `at` are `count` entries, page-aligned, which stay until this ring is closed and nothing is in flight.
    pub(super) unsafe fn provide(&self, at: u64, count: u16, group: u16) -> io::Result<()> {
        // SAFETY: passed on to the caller.
        unsafe { self.inner.submitter().register_buf_ring_with_flags(at, count, group, 0) }
    }

    /// Whether there are completions that were not reaped.
    #[inline]
    pub(super) fn has_completions(&mut self) -> bool {
        !self.inner.completion().is_empty()
    }

    /// Submits what is queued, and waits for a completion until the timeout (`None`: as long as it takes).
    ///
    /// # Errors
    ///
    /// What no waiting helps against. What is not submitted stays queued, and is submitted by a later call.
    #[inline]
    pub(super) fn enter(&mut self, timeout: Option<Duration>) -> io::Result<Entered> {
        let submission = self.inner.submission();
        let (queued, overflown) = (submission.len(), submission.cq_overflow());
        drop(submission);
        let queued = if self.stopped && !self.cancels { 0 } else { queued };
        if timeout == Some(Duration::ZERO) && queued == 0 && !overflown && !self.deferred {
            return Ok(Entered::Done); // completions come without being asked for
        }
        let entered = match timeout {
            Some(Duration::ZERO) => self.call(queued, 0, None),
            Some(timeout) => self.call(queued, 1, Some(timeout.min(LONGEST))),
            None => self.call(queued, 1, None),
        };
        match entered {
            Err(error) => judge(error),
            Ok(_) => Ok(Entered::Done),
        }
    }

    /// Whether a bound ring has work left that makes completions. Of a free one, the kernel does it unasked.
    #[inline]
    fn has_more(&mut self) -> bool {
        self.deferred && self.inner.submission().taskrun()
    }

    /// Does that work, as long as fewer than `limit` completions wait to be reaped. An enter stops at twenty pieces of it, or
    /// at as many as the completions that it is to wait for: so this asks for those that there are, and waits for none. To ask
    /// for more, with no time to wait, would cost the start of a timer.
    pub(super) fn work(&mut self, limit: usize) -> io::Result<()> {
        let mut ready = self.inner.completion().len();
        // After fewer the enter has not stopped early, and what came since then is the next one's.
        while ready >= ENTER_WORKS && ready < limit && self.has_more() {
            if let Err(error) = self.call(0, ready as u32, None) {
                judge(error)?;
            }
            let before = mem::replace(&mut ready, self.inner.completion().len());
            if ready - before < before {
                break;
            }
        }
        Ok(())
    }

    fn call(&self, queued: usize, want: u32, timeout: Option<Duration>) -> io::Result<usize> {
        // Always: it also flushes what has overflown, and does the work of a bound ring.
        let flags = EnterFlags::GETEVENTS;
        let submitter = self.inner.submitter();
        match timeout {
            None => {
                // SAFETY: no argument. What the entries refer to is the affair of who pushed them.
                unsafe { submitter.enter::<libc::sigset_t>(queued as u32, want, flags.bits(), None) }
            }
            Some(timeout) => {
                let timeout = Timespec::from(timeout);
                let argument = SubmitArgs::new().timespec(&timeout);
                let flags = (flags | EnterFlags::EXT_ARG).bits();
                // SAFETY: the argument is of the kind that EXT_ARG says, and outlives the call with its timeout.
                unsafe { submitter.enter(queued as u32, want, flags, Some(&argument)) }
            }
        }
    }

    /// Hands over at most `limit` completions, and says how many.
    #[inline]
    pub(super) fn reap(&mut self, limit: usize, mut each: impl FnMut(cqueue::Entry)) -> usize {
        let mut count = 0;
        for completion in self.inner.completion().take(limit) {
            each(completion);
            count += 1;
        }
        count
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if platform::forks() == self.forks {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        } else {
            // A child of a fork has none of the queues, and something of its own may be where they are in its parent.
            // SAFETY: the number is the child's copy, which nobody else closes, since the rest is never dropped.
            unsafe { libc::close(self.raw()) };
        }
    }
}

/// Told apart one by one: what ends a wait, what says "later", and what is the end.
#[cold]
fn judge(error: io::Error) -> io::Result<Entered> {
    match error.raw_os_error() {
        // The timeout, and a signal: empty waits.
        Some(libc::ETIME | libc::EINTR) => Ok(Entered::Done),
        // The kernel keeps completions that found no room, and takes nothing more before they are reaped.
        Some(libc::EBUSY) => Ok(Entered::Later),
        // No memory for a request just now: it stays queued.
        Some(libc::EAGAIN | libc::ENOMEM) => Ok(Entered::Later),
        _ => Err(error),
    }
}

/// Whether the kernel has lost completions for want of memory, and nobody knows whose. It says so once, and goes on.
pub(super) fn is_loss(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADR)
}

/// Whether the ring is bound to another thread, which alone may enter it.
pub(super) fn is_anothers(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EEXIST)
}

/// The queue of entries, borrowed to push.
pub(super) struct Queue<'a> {
    inner: squeue::SubmissionQueue<'a>,
    keys: &'a mut Keys,
}

impl Queue<'_> {
    /// As [`Ring::push`].
    ///
    /// # Safety
    ///
    /// As there.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry, key: u64) -> bool {
        // SAFETY: passed on to the caller.
        let is_pushed = unsafe { self.inner.push(entry) }.is_ok();
        if is_pushed {
            self.keys.note(key);
        }
        is_pushed
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("fd", &self.raw())
            .field("enabled", &self.enabled)
            .field("deferred", &self.deferred)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_enter_says_is_told_apart() {
        let of = |code| judge(io::Error::from_raw_os_error(code)).map_err(|error| error.raw_os_error());
        for code in [libc::ETIME, libc::EINTR] {
            assert_eq!(of(code), Ok(Entered::Done));
        }
        for code in [libc::EBUSY, libc::EAGAIN, libc::ENOMEM] {
            assert_eq!(of(code), Ok(Entered::Later));
        }
        for code in [libc::EBADR, libc::EPERM, libc::EINVAL, libc::EEXIST, libc::EBADF, libc::ENOSYS] {
            assert_eq!(of(code), Err(Some(code)));
        }
    }
}
