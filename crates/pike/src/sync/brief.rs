//! A lock that costs less than what it guards.
//!
//! A std mutex looks twice whether its thread panics, each time it is locked, and has a system call to wait with: three
//! times the instructions of what the hottest places have under theirs. Here a lock is one exchange, and an unlock one store.

use std::{
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};

use super::{
    UnsafeCell,
    atomic::{AtomicBool, Ordering},
    hint,
};

/// For a few instructions on memory that is at hand. Seldom it is a copy, or a system call that does not wait; never does
/// anybody wait under it, or run code of others (I6). Who finds it taken looks again soon, and sleeps in between if that
/// takes long, as when its owner was preempted. Without poisoning, as [`Mutex`](super::Mutex).
///
/// What a thread of the parent had taken at a fork is taken for ever in the child, and may be half-changed: the child
/// leaves it alone, and never drops it (I14).
#[derive(Debug)]
pub(crate) struct Brief<T> {
    taken: AtomicBool,
    value: UnsafeCell<ManuallyDrop<T>>,
}

// SAFETY: who has taken it has the value alone.
#[allow(unsafe_code)]
unsafe impl<T: Send> Send for Brief<T> {}
// SAFETY: as for Send.
#[allow(unsafe_code)]
unsafe impl<T: Send> Sync for Brief<T> {}

#[derive(Debug)]
pub(crate) struct BriefGuard<'a, T>(&'a Brief<T>);

// SAFETY: it shows the value to those who may see that. (It would be shared where the value may only be sent.)
#[allow(unsafe_code)]
unsafe impl<T: Sync> Sync for BriefGuard<'_, T> {}

impl<T> Brief<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(ManuallyDrop::new(value)) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> BriefGuard<'_, T> {
        if !self.take() {
            self.wait();
        }
        BriefGuard(self)
    }

    #[inline]
    fn take(&self) -> bool {
        // Acquire: pairs with the unlock.
        self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let mut spins = 0;
        loop {
            hint::spin(&mut spins);
            if !self.taken.load(Ordering::Relaxed) && self.take() {
                return;
            }
        }
    }

    /// Without locking it: nobody else has it. None if it was taken at a fork.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        if self.taken.load(Ordering::Relaxed) {
            return None;
        }
        // SAFETY: borrowed exclusively.
        #[allow(unsafe_code)]
        self.value.with_mut(|at| unsafe { Some(&mut **at) })
    }

    /// For the tests of I6.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_locked(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Brief<T> {
    fn drop(&mut self) {
        if !self.taken.load(Ordering::Relaxed) {
            // SAFETY: borrowed exclusively, and nobody looks at it any more.
            #[allow(unsafe_code)]
            self.value.with_mut(|at| unsafe { ManuallyDrop::drop(&mut *at) });
        }
    }
}

impl<T> Deref for BriefGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: taken until the guard goes, and borrowed no longer than that.
        #[allow(unsafe_code)]
        self.0.value.with_mut(|at| unsafe { &**at })
    }
}

impl<T> DerefMut for BriefGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`.
        #[allow(unsafe_code)]
        self.0.value.with_mut(|at| unsafe { &mut **at })
    }
}

impl<T> Drop for BriefGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: what was done to the value comes before whatever the next one does.
        self.0.taken.store(false, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{panic, sync::Arc, thread, time::Duration};

    use super::*;
    use crate::testing::rounds;

    #[test]
    fn one_at_a_time() {
        let (count, each) = (Arc::new(Brief::new(0_u64)), rounds(20_000, 50) as u64);
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let count = Arc::clone(&count);
                thread::spawn(move || (0..each).for_each(|_| *count.lock() += 1))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*count.lock(), 4 * each);
    }

    #[test]
    fn who_waits_long_gets_it_too() {
        let brief = Arc::new(Brief::new(1));
        let guard = brief.lock();
        let other = {
            let brief = Arc::clone(&brief);
            thread::spawn(move || *brief.lock() += 1)
        };
        thread::sleep(Duration::from_millis(20));
        assert_eq!(*guard, 1);
        drop(guard);
        other.join().unwrap();
        assert_eq!(*brief.lock(), 2);
    }

    #[test]
    fn what_is_taken_for_ever_is_never_dropped() {
        let value = Arc::new(());
        drop(Brief::new(Arc::clone(&value)));
        assert_eq!(Arc::strong_count(&value), 1);
        let mut brief = Brief::new(Arc::clone(&value));
        std::mem::forget(brief.lock()); // as after a fork, in the child
        assert!(brief.get_mut().is_none());
        drop(brief);
        assert_eq!(Arc::strong_count(&value), 2);
        // SAFETY: the one that was forgotten is counted, and nobody has it.
        #[allow(unsafe_code)]
        unsafe {
            Arc::decrement_strong_count(Arc::as_ptr(&value))
        };
    }

    #[test]
    fn a_panic_leaves_it_unlocked() {
        let brief = Brief::new(());
        let result = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let _guard = brief.lock();
            panic!("under a lock");
        }));
        assert!(result.is_err() && !brief.is_locked());
        drop(brief.lock());
    }
}
