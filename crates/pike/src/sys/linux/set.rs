//! An epoll set: readiness on Linux, edge-triggered, one registration a descriptor for both directions and priority.
//!
//! Both backends of Linux have one. To epoll it is all there is; io_uring sleeps in its ring, which polls the set, while
//! the kernel has operations of ours, and in the set while it has none.
//!
//! It also holds an eventfd, by which [`Set::notify`] interrupts a wait: it too is edge-triggered, so each write is an edge
//! and nobody reads it. Where `epoll_pwait2` (Linux 5.11) is refused, a timerfd in the set keeps timeouts finer than a
//! millisecond.
//!
//! Sources: epoll(7), epoll_wait(2), eventfd(2), timerfd_create(2).

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    calls,
    eventfd::{eventfd, write_eventfd},
    events,
};
use crate::{
    sys::{Raw, Report},
    token::Token,
};

/// Reports taken from the kernel at once: a turn of 1,000 ready sockets is one wait. 12 KiB a Notifier.
const EVENTS: usize = 1024;
const NOTIFY: Token = Token::internal(0);
const TIMER: Token = Token::internal(1);

/// What a Handle is registered for.
const INTEREST: u32 =
    (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET) as u32;

/// The half that every thread uses.
#[derive(Debug)]
pub(in crate::sys) struct Set {
    epoll: OwnedFd,
    notify: OwnedFd,
    /// Cleared once `epoll_pwait2` was refused.
    pwait2: AtomicBool,
    timer: OnceLock<OwnedFd>,
}

/// Where the kernel writes its reports: used by the holder of the seat only.
pub(in crate::sys) struct Events(Box<[libc::epoll_event]>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("capacity", &self.0.len()).finish()
    }
}

impl Set {
    pub(in crate::sys) fn new() -> io::Result<(Self, Events)> {
        let epoll = calls::create()?;
        let notify = eventfd()?;
        calls::add(&epoll, notify.as_raw_fd(), (libc::EPOLLIN | libc::EPOLLET) as u32, NOTIFY)?;
        let set = Self { epoll, notify, pwait2: AtomicBool::new(true), timer: OnceLock::new() };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS].into_boxed_slice();
        Ok((set, Events(events)))
    }

    /// The set's own descriptor, readable while there is something to report.
    pub(in crate::sys) fn raw(&self) -> Raw {
        self.epoll.as_raw_fd()
    }

    /// What holds at this moment is reported too.
    pub(in crate::sys) fn add(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        calls::add(&self.epoll, descriptor, INTEREST, token)
    }

    pub(in crate::sys) fn remove(&self, descriptor: Raw) -> io::Result<()> {
        calls::delete(&self.epoll, descriptor)
    }

    /// Async-signal-safe.
    pub(in crate::sys) fn notify(&self) {
        write_eventfd(&self.notify);
    }

    /// One wait. An interruption by a signal is an empty one.
    #[inline]
    pub(in crate::sys) fn wait(
        &self,
        events: &mut Events,
        timeout: Option<Duration>,
        mut report: impl FnMut(Report),
    ) -> io::Result<usize> {
        let count = match self.wait_for_events(&mut events.0, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        for event in &events.0[..count] {
            // The two of ours, NOTIFY and TIMER, have no source and concern nobody.
            report(Report { token: Token::from_bits(event.u64), bits: events::bits(event.events) });
        }
        Ok(count)
    }

    /// As many reports as one wait takes: with a full buffer the kernel may have more.
    pub(in crate::sys) const CAPACITY: usize = EVENTS;

    #[inline]
    fn wait_for_events(
        &self,
        events: &mut [libc::epoll_event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        match timeout {
            None => calls::wait(&self.epoll, events, -1),
            Some(Duration::ZERO) => calls::wait(&self.epoll, events, 0),
            Some(timeout) => self.wait_precisely(events, timeout),
        }
    }

    fn wait_precisely(&self, events: &mut [libc::epoll_event], timeout: Duration) -> io::Result<usize> {
        if self.pwait2.load(Ordering::Relaxed) {
            match calls::pwait2(&self.epoll, events, timeout) {
                // An old kernel, or a filter that does not know the call.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.pwait2.store(false, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let timeout_ms = match self.timer().and_then(|timer| calls::arm_timer(timer, timeout)) {
            Ok(()) => -1,
            // No descriptor left for the timer: whole milliseconds, rounded up so as not to be early.
            Err(_) => timeout.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX),
        };
        calls::wait(&self.epoll, events, timeout_ms)
    }

    /// The timerfd in the set. What it reports is an edge each time it expires, and only means that a wait ends.
    fn timer(&self) -> io::Result<&OwnedFd> {
        if let Some(timer) = self.timer.get() {
            return Ok(timer);
        }
        // Only the holder of the seat comes here, so nobody else sets it in between.
        let timer = calls::timerfd()?;
        calls::add(&self.epoll, timer.as_raw_fd(), (libc::EPOLLIN | libc::EPOLLET) as u32, TIMER)?;
        Ok(self.timer.get_or_init(|| timer))
    }
}
