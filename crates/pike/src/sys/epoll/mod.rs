//! The epoll backend: readiness, edge-triggered, one registration a descriptor for both directions and priority.
//!
//! After registration nothing calls `epoll_ctl` until the descriptor goes. The set also holds an eventfd, by which
//! [`Driver::notify`] interrupts a wait: it too is edge-triggered, so each write is an edge and nobody reads it. Where
//! `epoll_pwait2` (Linux 5.11) is refused, a timerfd in the set keeps timeouts finer than a millisecond.
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

use super::{Raw, Report, linux};
use crate::token::Token;

mod calls;

/// Reports taken from the kernel at once: a turn of 1,000 ready sockets is one wait. 12 KiB a Notifier.
const EVENTS: usize = 1024;
const NOTIFY: Token = Token::internal(0);
const TIMER: Token = Token::internal(1);

const INTEREST: u32 = linux::INTEREST | (libc::EPOLLPRI | libc::EPOLLET) as u32;

/// The half that every thread uses.
#[derive(Debug)]
pub(crate) struct Driver {
    epoll: OwnedFd,
    notify: OwnedFd,
    /// Cleared once `epoll_pwait2` was refused.
    pwait2: AtomicBool,
    timer: OnceLock<OwnedFd>,
}

/// The half that only the holder of the seat uses.
pub(crate) struct Wait {
    events: Box<[libc::epoll_event]>,
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("capacity", &self.events.len()).finish()
    }
}

impl Driver {
    pub(crate) fn new() -> io::Result<(Self, Wait)> {
        let epoll = calls::create()?;
        let notify = linux::eventfd()?;
        calls::add(&epoll, notify.as_raw_fd(), (libc::EPOLLIN | libc::EPOLLET) as u32, NOTIFY)?;
        let driver = Self { epoll, notify, pwait2: AtomicBool::new(true), timer: OnceLock::new() };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS].into_boxed_slice();
        Ok((driver, Wait { events }))
    }

    pub(crate) fn attach(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        calls::add(&self.epoll, descriptor, INTEREST, token)
    }

    pub(crate) fn detach(&self, descriptor: Raw) -> io::Result<()> {
        calls::delete(&self.epoll, descriptor)
    }

    pub(crate) fn notify(&self) {
        linux::write_eventfd(&self.notify);
    }

    /// One wait. An interruption by a signal is an empty one.
    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        mut report: impl FnMut(Report),
    ) -> io::Result<usize> {
        let count = match self.wait_for_events(wait, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        for event in &wait.events[..count] {
            // The two of ours, NOTIFY and TIMER, have no source and concern nobody.
            report(Report { token: Token::from_bits(event.u64), bits: linux::bits(event.events) });
        }
        Ok(count)
    }

    /// As many reports as one wait takes: with a full buffer the kernel may have more.
    pub(crate) const CAPACITY: usize = EVENTS;

    #[inline]
    fn wait_for_events(&self, wait: &mut Wait, timeout: Option<Duration>) -> io::Result<usize> {
        match timeout {
            None => calls::wait(&self.epoll, &mut wait.events, -1),
            Some(Duration::ZERO) => calls::wait(&self.epoll, &mut wait.events, 0),
            Some(timeout) => self.wait_precisely(wait, timeout),
        }
    }

    fn wait_precisely(&self, wait: &mut Wait, timeout: Duration) -> io::Result<usize> {
        if self.pwait2.load(Ordering::Relaxed) {
            match calls::pwait2(&self.epoll, &mut wait.events, timeout) {
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
        calls::wait(&self.epoll, &mut wait.events, timeout_ms)
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
