//! The only code that talks to an operating system, and the choice of a backend.
//!
//! # What a backend must supply
//!
//! A backend is two types: a *driver*, which every thread uses at once, and a *wait*, the scratch of whoever has the
//! seat. It knows tokens and descriptors, and nothing of waiters or tasks. It was tried with throwaway echoes on
//! epoll, io_uring and completion ports; ARCHITECTURE.md has what they taught.
//!
//! 1. **new** makes both, or fails with the system's error and leaves nothing behind. It does not decide whether it is
//!    the right backend.
//! 2. **attach(descriptor, token)**, from any thread at any time, while another waits too. Once a Handle, for both
//!    directions and priority. What cannot be waited for fails here, with the code that epoll has for it; where the
//!    kernel would only tell later, **admits(descriptor)** finds out, which is asked first of what may be anything
//!    (I10). A completion backend may start nothing yet. It may answer with bits that hold at once and are not reported
//!    again (kqueue: the other end of a pipe is gone).
//! 3. **arm(token, direction)**, called once a waiter was linked on a side that is not ready. Edge-triggered readiness
//!    backends need none and have none; a ring adds the descriptor to its epoll set now, for a socket that nobody waits
//!    for needs not be there. Others start the one readiness request of that side unless one is in flight; it
//!    may serve both sides, and stays when waiters leave. It answers *pending*, or *ready* with bits and no report to
//!    follow. A request that ends by itself is reported as ready, so that waiters try, and arm again. An arm that fails
//!    lets waiters try once; if they still would block, they get its error.
//! 4. **detach(descriptor, token)**, from any thread; never blocks. No new report is made for the token, but those
//!    already taken may still be applied: the generation rejects them (I4). When it returns the caller may close the
//!    descriptor (I12).
//! 5. **wait(wait, timeout, report)**, by the holder of the seat only. It hands over all that the kernel has, bounded,
//!    one [`Report`] after the other, wakes nobody itself, and returns for a report, a notify, a signal or the timeout
//!    and nothing else; `None` waits for ever. Never early by rounding, finer than a millisecond where the kernel can.
//!    READ, WRITE and PRIORITY mean "try"; closed and error bits are hints that a backend may leave out.
//! 6. **notify**, from any thread and from a signal handler: the wait that is in the kernel, or else the next one,
//!    returns. Several count as one. The layer above leaves it out when nobody waits.
//! 7. **submit(block)** and **cancel(block)**, for the completion face, from any thread; only where **is_native** says so.
//!    What is submitted is in flight, whatever goes wrong after (I9): the wait, or the shutdown, hands over a
//!    [`Completion`] for it, exactly one of them final. Until then the block, what its request names, and the descriptor
//!    stay: that is the layer's promise (I2, I12). A submit is refused only after the end, and nothing follows. A request
//!    that could not be started ends with the error; one that the kernel ended for reasons of its own (its thread has
//!    exited) with "cancelled", and the layer submits it again unless it had asked for that. A cancel may lose the
//!    race, but is never lost itself: not to a full queue, and not by coming before the submit. A ring's queues belong to
//!    the seat: others mail, and notify. A port keeps its OVERLAPPED beside the request in the block. A request that
//!    receives many takes its buffers from [`Pool::provide`](crate::buf::Pool::provide), and names them in completions; those
//!    that it has no use for it gives back when **take_back_buffer** asks for one.
//! 8. **shutdown(wait, limit)** cancels all, reaps until nothing is in flight or the limit has passed, and says what is
//!    left. On a readiness backend nothing is.
//!
//! Item 3 is [`Driver::arm`], and the bits `UNARMED` in the word of a source, one a direction, which the report that ends a
//! request sets again. A ring's epoll set serves both directions, for good: [`Driver::armed_at_once`].
//!
//! # What a platform must supply for signals
//!
//! Signals belong to no backend: the platform calls, and `crate::signal` has the listeners. The platform names them
//! (`INTERRUPT`, `TERMINATION`, `signal_name`), refuses what cannot be received (`is_refused`, `is_kept`, `check_signal`), and
//! `watch_signal(number, deliver)` has the system call `deliver(number, sender)` for each one that comes, from whatever
//! the system runs it in, until `unwatch_signal(number)`. A backend that is told of signals itself (kqueue) does the same
//! by its turns; then `deliver` only remembers the sender. Both are called under one lock, which `deliver` does not take.
//! Where the system waits for a handler before it ends the process, a `Held` is what it waits for: one is made for each
//! listener that is told, and left to the `Received` that takes what was told over (`signal/hold.rs`).

use std::{io, ptr::NonNull, sync::Arc, time::Duration};

use crate::{
    buf::{Pool, Slot},
    notifier::Backend,
    op::block::Block,
    source::Direction,
    token::Token,
};

#[cfg(unix)]
pub(crate) mod unix;
#[cfg(unix)]
pub(crate) use unix as platform;
#[cfg(windows)]
pub(crate) mod windows;
#[cfg(windows)]
pub(crate) use windows as platform;

mod cmsg;
#[cfg(target_os = "linux")]
mod epoll;
#[cfg(target_os = "linux")]
mod io_uring;
#[cfg(target_os = "linux")]
pub(crate) use io_uring::{Failure, probe as probe_io_uring};
#[cfg(windows)]
mod iocp;
#[cfg(windows)]
pub use iocp::OtherNotifier;
#[cfg(kqueue)]
mod kqueue;
#[cfg(target_os = "linux")]
mod linux;
mod options;

pub(crate) use platform::Raw;

/// What a block has for the backend.
#[cfg(windows)]
pub(crate) use iocp::Space;
#[cfg(not(windows))]
pub(crate) type Space = ();

/// What the kernel said about one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) token: Token,
    /// Bits of [`crate::source`].
    pub(crate) bits: u64,
}

/// Who a wait tells what the kernel said, one thing after the other.
///
/// No closure, of which nobody can say that it is inlined: so what nearly all completions are is handled in the loop over them.
pub(crate) trait Tell {
    fn ready(&mut self, report: Report);

    #[cfg_attr(kqueue, allow(dead_code, reason = "completion backends use it"))]
    fn completed(&mut self, completion: Completion);

    /// A buffer of the pool, which the kernel has put nothing into.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "a ring has some"))]
    fn given_back(&mut self, buffer: Slot);
}

/// One thing that the kernel said.
#[cfg(windows)]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Told {
    Ready(Report),
    Completed(Completion),
}

/// What the kernel said about a block (contract item 7).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    pub(crate) block: NonNull<Block>,
    /// A count, or the negative of the system's error code.
    pub(crate) result: i32,
    /// Whether there is more to come. If not this was the final one: the backend knows the block no more.
    pub(crate) more: bool,
    /// The buffer of the pool that was filled.
    pub(crate) buffer: Option<u32>,
}

/// The backend of one Notifier: the half that every thread may use.
#[derive(Debug)]
pub(crate) enum Driver {
    #[cfg(target_os = "linux")]
    Epoll(epoll::Driver),
    #[cfg(target_os = "linux")]
    IoUring(io_uring::Driver),
    #[cfg(kqueue)]
    Kqueue(kqueue::Driver),
    #[cfg(windows)]
    Iocp(iocp::Driver),
}

/// The half that only the holder of the seat uses.
#[derive(Debug)]
pub(crate) enum Wait {
    #[cfg(target_os = "linux")]
    Epoll(epoll::Wait),
    // In a box: it is larger, and whoever has the other should not pay for that.
    #[cfg(target_os = "linux")]
    IoUring(Box<io_uring::Wait>),
    #[cfg(kqueue)]
    Kqueue(kqueue::Wait),
    #[cfg(windows)]
    Iocp(iocp::Wait),
}

impl Driver {
    /// Makes the backend that was asked for. [`io::ErrorKind::Unsupported`] if this build has none of that name.
    ///
    /// `bound`: only the thread of the first wait will ever wait.
    pub(crate) fn new(backend: Backend, bound: bool, pool: &Arc<Pool>) -> io::Result<(Self, Wait)> {
        let _ = (bound, pool); // for completion backends
        match backend {
            #[cfg(target_os = "linux")]
            Backend::Epoll => {
                epoll::Driver::new().map(|(driver, wait)| (Self::Epoll(driver), Wait::Epoll(wait)))
            }
            #[cfg(target_os = "linux")]
            Backend::IoUring => {
                let used = if bound { io_uring::Use::Bound } else { io_uring::Use::Free };
                io_uring::Driver::new(used, pool)
                    .map(|(driver, wait)| (Self::IoUring(driver), Wait::IoUring(Box::new(wait))))
            }
            #[cfg(kqueue)]
            Backend::Kqueue => {
                kqueue::Driver::new().map(|(driver, wait)| (Self::Kqueue(driver), Wait::Kqueue(wait)))
            }
            #[cfg(windows)]
            Backend::Iocp => iocp::Driver::new().map(|(driver, wait)| (Self::Iocp(driver), Wait::Iocp(wait))),
            other => {
                let built: Vec<_> = Backend::BUILT.iter().map(Backend::to_string).collect();
                let message = format!("this build of pike has no {other}, only {}", built.join(" and "));
                Err(io::Error::new(io::ErrorKind::Unsupported, message))
            }
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(_) => Backend::Epoll,
            #[cfg(target_os = "linux")]
            Self::IoUring(_) => Backend::IoUring,
            #[cfg(kqueue)]
            Self::Kqueue(_) => Backend::Kqueue,
            #[cfg(windows)]
            Self::Iocp(_) => Backend::Iocp,
        }
    }

    /// Bits that the word of each source has from the start.
    #[inline]
    pub(crate) fn source_bits(&self) -> u64 {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(_) => io_uring::Driver::SOURCE_BITS,
            #[cfg(windows)]
            Self::Iocp(_) => iocp::Driver::SOURCE_BITS,
            #[cfg(not(windows))]
            _ => 0,
        }
    }

    /// Not zero for a backend that tells of signals itself; whoever listens on it knows it by this.
    pub(crate) fn signal_source(&self) -> usize {
        match self {
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.signal_source(),
            #[cfg(any(target_os = "linux", windows))]
            _ => 0,
        }
    }

    /// Has turns call `told(number, how many, signal_source)`, for a backend that tells of signals itself.
    pub(crate) fn watch_signal(&self, number: i32, told: fn(i32, u64, usize)) -> io::Result<()> {
        match self {
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.watch_signal(number, told),
            #[cfg(any(target_os = "linux", windows))]
            _ => {
                let _ = (number, told);
                Ok(())
            }
        }
    }

    /// Tells what came up to now, for a listener to come.
    pub(crate) fn tell_signals(&self) {
        match self {
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.tell_signals(),
            #[cfg(any(target_os = "linux", windows))]
            _ => {}
        }
    }

    pub(crate) fn unwatch_signal(&self, number: i32) {
        match self {
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.unwatch_signal(number),
            #[cfg(any(target_os = "linux", windows))]
            _ => _ = number,
        }
    }

    /// Whether a descriptor that may be anything can be waited for, where [`Driver::attach`] would not find out.
    pub(crate) fn admits(&self, descriptor: Raw) -> io::Result<()> {
        let _ = descriptor; // only a ring would not find out
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.admits(descriptor),
            #[cfg(target_os = "linux")]
            Self::Epoll(_) => Ok(()),
            #[cfg(kqueue)]
            Self::Kqueue(_) => Ok(()),
            #[cfg(windows)]
            Self::Iocp(_) => Ok(()),
        }
    }

    /// What it returns is known at once: bits of [`crate::source`] that are not reported again.
    pub(crate) fn attach(&self, descriptor: Raw, token: Token) -> io::Result<u64> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.attach(descriptor, token).map(|()| 0),
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.attach(descriptor).map(|()| 0),
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.attach(descriptor, token),
            #[cfg(windows)]
            Self::Iocp(driver) => driver.attach(descriptor, token).map(|()| 0),
        }
    }

    /// For a descriptor that has become another kind of thing: a socket that listens now. What is ready is reported after.
    pub(crate) fn attach_again(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        let _ = descriptor; // a port knows it by the token
        match self {
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.attach_again(descriptor, token),
            #[cfg(windows)]
            Self::Iocp(driver) => {
                driver.attach_again(token);
                Ok(())
            }
            #[cfg(target_os = "linux")]
            _ => {
                let _ = (descriptor, token);
                Ok(())
            }
        }
    }

    /// The bits of [`UNARMED`](crate::source::UNARMED) that one request for this side serves.
    pub(crate) fn armed_at_once(&self, direction: Direction) -> u64 {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(_) => crate::source::UNARMED,
            _ => direction.unarmed(),
        }
    }

    /// For a source whose word said that this side is unarmed, and does so no more.
    /// What it returns is known at once: bits of [`crate::source`] that are not reported again.
    pub(crate) fn arm(&self, descriptor: Raw, token: Token, direction: Direction) -> io::Result<u64> {
        let _ = (descriptor, token, direction); // each backend that arms asks for some of them
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.arm(descriptor, token).map(|()| 0),
            #[cfg(windows)]
            Self::Iocp(driver) => driver.arm(token, direction),
            #[cfg(not(windows))]
            _ => Ok(0),
        }
    }

    /// For who waits for a priority condition.
    pub(crate) fn arm_priority(&self, token: Token) -> io::Result<()> {
        let _ = token;
        match self {
            #[cfg(windows)]
            Self::Iocp(driver) => driver.arm_priority(token),
            #[cfg(not(windows))]
            _ => Ok(()),
        }
    }

    /// `armed`: whether [`Driver::arm`] was called and has not been undone by a report.
    pub(crate) fn detach(&self, descriptor: Raw, token: Token, armed: bool) -> io::Result<()> {
        let _ = (descriptor, token, armed); // epoll goes by the descriptor alone, and a port by the token
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.detach(descriptor),
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.detach(descriptor, armed),
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.detach(descriptor, token),
            #[cfg(windows)]
            Self::Iocp(driver) => {
                driver.detach(token);
                Ok(())
            }
        }
    }

    /// Whether it does operations by itself (contract item 7).
    #[inline]
    pub(crate) fn is_native(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(_) => true,
            #[cfg(windows)]
            Self::Iocp(_) => true,
            #[cfg(not(windows))]
            _ => false,
        }
    }

    /// Whether a receive may go on by itself, into buffers of the pool.
    #[inline]
    pub(crate) fn receives_many(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(_) => true,
            _ => false,
        }
    }

    /// Has the kernel give back a buffer that it was lent, if it has any. The answer is for
    /// [`Free::answered`](crate::buf::free::Free::answered). A turn that sleeps must be notified.
    pub(crate) fn take_back_buffer(&self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.take_back_buffer(),
            _ => {}
        }
    }

    /// Starts what the block asks. The block and all it names stay until its final completion was handed over. A turn
    /// that sleeps must be notified. False if the backend has ended, and nothing follows.
    #[inline]
    pub(crate) fn submit(&self, block: &Block) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.submit(block),
            #[cfg(windows)]
            Self::Iocp(driver) => driver.submit(block),
            #[cfg(not(windows))]
            _ => unreachable!("a readiness backend is asked to do an operation: {block:?}"),
        }
    }

    /// Asks for the end of what was submitted. It may have ended, and has a final completion all the same. A turn that
    /// sleeps must be notified.
    pub(crate) fn cancel(&self, block: &Block) {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.cancel(block),
            #[cfg(windows)]
            Self::Iocp(driver) => driver.cancel(block),
            #[cfg(not(windows))]
            _ => unreachable!("a readiness backend is asked to end an operation: {block:?}"),
        }
    }

    /// The same, if that can be at once: whether nothing names what was submitted any more, so that its descriptor may be
    /// closed. The final completion comes by a turn in any case.
    pub(crate) fn cancel_now(&self, block: &Block) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.cancel_now(block),
            #[cfg(windows)]
            Self::Iocp(driver) => driver.cancel_now(block),
            #[cfg(not(windows))]
            _ => {
                let _ = block;
                false
            }
        }
    }

    /// Takes back what was submitted, if nothing of it was begun: then nothing follows, and the caller ends it.
    pub(crate) fn withdraw(&self, block: &Block) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.withdraw(block),
            _ => {
                let _ = block;
                false
            }
        }
    }

    /// Async-signal-safe.
    pub(crate) fn notify(&self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(driver) => driver.notify(),
            #[cfg(target_os = "linux")]
            Self::IoUring(driver) => driver.notify(),
            #[cfg(kqueue)]
            Self::Kqueue(driver) => driver.notify(),
            #[cfg(windows)]
            Self::Iocp(driver) => driver.notify(),
        }
    }

    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        tell: &mut impl Tell,
    ) -> io::Result<usize> {
        match (self, wait) {
            #[cfg(target_os = "linux")]
            (Self::Epoll(driver), Wait::Epoll(wait)) => {
                driver.wait(wait, timeout, |report| tell.ready(report))
            }
            #[cfg(target_os = "linux")]
            (Self::IoUring(driver), Wait::IoUring(wait)) => driver.wait(wait, timeout, tell),
            #[cfg(kqueue)]
            (Self::Kqueue(driver), Wait::Kqueue(wait)) => {
                driver.wait(wait, timeout, |report| tell.ready(report))
            }
            #[cfg(windows)]
            (Self::Iocp(driver), Wait::Iocp(wait)) => driver.wait(wait, timeout, |told| match told {
                Told::Ready(report) => tell.ready(report),
                Told::Completed(completion) => tell.completed(completion),
            }),
            // A Notifier has the two halves of one backend.
            #[cfg(target_os = "linux")]
            _ => unreachable!("the halves of two backends"),
        }
    }

    /// Cancels all that is in flight, and reaps it; what is not done after `limit` is left to the kernel. On the seat, and
    /// the last thing that is done there.
    ///
    /// How many operations are left, whose memory is leaked.
    pub(crate) fn shutdown(
        &self,
        wait: &mut Wait,
        limit: Duration,
        completed: impl FnMut(Completion),
    ) -> io::Result<usize> {
        match (self, wait) {
            #[cfg(target_os = "linux")]
            (Self::IoUring(driver), Wait::IoUring(wait)) => driver.shutdown(wait, limit, completed),
            #[cfg(windows)]
            (Self::Iocp(driver), Wait::Iocp(wait)) => driver.shutdown(wait, limit, completed),
            #[cfg(not(windows))]
            _ => {
                let _ = (limit, completed); // a readiness backend leaves nothing in flight
                Ok(0)
            }
        }
    }

    /// How many reports one wait takes at most.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        match self {
            #[cfg(target_os = "linux")]
            Self::Epoll(_) => epoll::Driver::CAPACITY,
            #[cfg(target_os = "linux")]
            Self::IoUring(_) => io_uring::Driver::CAPACITY,
            #[cfg(kqueue)]
            Self::Kqueue(_) => kqueue::Driver::CAPACITY,
            #[cfg(windows)]
            Self::Iocp(_) => iocp::Driver::CAPACITY,
        }
    }
}
