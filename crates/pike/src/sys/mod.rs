//! The only code that talks to an operating system.
//!
//! # What a backend must supply
//!
//! (see ARCHITECTURE.md for how this list was proved) TODO-CONTRACT

use std::{io, time::Duration};

use crate::{notifier::Backend, token::Token};

#[cfg(unix)]
pub(crate) mod unix;
#[cfg(unix)]
pub(crate) use unix as platform;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;

pub(crate) use platform::Raw;

/// What the kernel said about one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) token: Token,
    /// Bits of [`crate::source`].
    pub(crate) bits: u64,
}

/// The backend of one Notifier: the half that every thread may use.
#[derive(Debug)]
pub(crate) enum Driver {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Epoll(epoll::Driver),
}

/// The half that only the holder of the seat uses.
#[derive(Debug)]
pub(crate) enum Wait {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Epoll(epoll::Wait),
}

impl Driver {
    /// Makes the backend that was asked for. [`io::ErrorKind::Unsupported`] if this build has none of that name.
    pub(crate) fn new(backend: Backend) -> io::Result<(Self, Wait)> {
        match backend {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Backend::Epoll => {
                epoll::Driver::new().map(|(driver, wait)| (Self::Epoll(driver), Wait::Epoll(wait)))
            }
            other => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("this build of pike has no {other} backend"),
            )),
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(_) => Backend::Epoll,
        }
    }

    pub(crate) fn attach(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(driver) => driver.attach(descriptor, token),
        }
    }

    pub(crate) fn detach(&self, descriptor: Raw) -> io::Result<()> {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(driver) => driver.detach(descriptor),
        }
    }

    /// Async-signal-safe.
    pub(crate) fn notify(&self) {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(driver) => driver.notify(),
        }
    }

    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        report: impl FnMut(Report),
    ) -> io::Result<usize> {
        match (self, wait) {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            (Self::Epoll(driver), Wait::Epoll(wait)) => driver.wait(wait, timeout, report),
        }
    }

    /// How many reports one wait takes at most.
    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        match self {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Epoll(_) => epoll::Driver::CAPACITY,
        }
    }
}
