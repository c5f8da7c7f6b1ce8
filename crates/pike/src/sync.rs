//! The one door to atomics, locks and cells for the pure modules: the standard library's, or loom's.
//!
//! Pure modules (ARCHITECTURE.md lists them, `ci/layout` holds them to it) import synchronisation from here only, so that
//! `--cfg loom` can replace all of it and explore every interleaving.

#[cfg(loom)]
use loom::sync as imp;
#[cfg(not(loom))]
use std::sync as imp;

pub(crate) use imp::Arc;
pub(crate) mod atomic {
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::*;
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::*;
}

#[cfg_attr(loom, allow(dead_code, reason = "its model alone uses it"))]
pub(crate) mod brief;

#[cfg(not(loom))]
pub(crate) use self::brief::{Brief, BriefGuard};
/// The lock has a model of its own. To the others its spinning would be no more than ways without number.
#[cfg(loom)]
pub(crate) use self::{Mutex as Brief, MutexGuard as BriefGuard};

pub(crate) mod hint {
    /// One round of a wait for another thread that needs only a few instructions more, unless it was preempted. In the end it
    /// sleeps: a yield leaves the processor to nobody of a lower priority.
    #[cold]
    pub(crate) fn spin(spins: &mut u32) {
        *spins = spins.saturating_add(1);
        match *spins {
            _ if cfg!(loom) => super::thread::yield_now(),
            0..=64 => std::hint::spin_loop(),
            65..=256 => super::thread::yield_now(),
            _ => std::thread::sleep(std::time::Duration::from_micros(100)),
        }
    }

    #[cfg(all(test, not(loom)))]
    #[test]
    fn a_long_wait_sleeps() {
        let start = std::time::Instant::now();
        let mut spins = 1000;
        (0..50).for_each(|_| spin(&mut spins));
        assert!(start.elapsed() >= std::time::Duration::from_millis(5));
    }
}

pub(crate) mod thread {
    pub(crate) use std::thread::panicking;

    #[cfg(loom)]
    pub(crate) use loom::thread::{Thread, current, park, yield_now};
    #[cfg(not(loom))]
    pub(crate) use std::thread::{Thread, current, park, yield_now};
}

pub(crate) type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

/// A mutex without poisoning: no code of ours panics while it holds one, and user code never runs under one (I6).
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(imp::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// Without locking it: nobody else has it. As [`Brief`] has it, for which this stands there.
    #[cfg(loom)]
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        match self.0.get_mut() {
            Ok(value) => Some(value),
            Err(poisoned) => Some(poisoned.into_inner()),
        }
    }

    /// For the tests of I6.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_locked(&self) -> bool {
        self.0.try_lock().is_err()
    }
}

/// To wait under a [`Mutex`]; without poisoning, as that.
#[cfg(any(windows, test))]
#[derive(Debug)]
pub(crate) struct Condvar(imp::Condvar);

#[cfg(any(windows, test))]
impl Condvar {
    pub(crate) fn new() -> Self {
        Self(imp::Condvar::new())
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Loom's never times out.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: std::time::Duration,
    ) -> MutexGuard<'a, T> {
        match self.0.wait_timeout(guard, limit) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }
}

/// `UnsafeCell` with loom's closure interface, so that loom sees each access.
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}
