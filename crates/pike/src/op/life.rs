//! The life of an operation in the kernel: who owns what it needs, from moment to moment (I2).
//!
//! ```text
//!             begin (future)         complete (reaper)            release (future)
//!      FREE ----------------> WAITING ----------------> DONE ----------------------> FREE
//!       ^                        |                        ^
//!       |                        | leave (future)         | leave: the future has it all
//!       |  release (reaper)      v
//!       +--------- LEFT <------ GONE
//!                complete (reaper)
//! ```
//!
//! There are two owners, the future and the kernel, and what the operation needs (its buffer) belongs to whoever the state
//! names: to the kernel from `begin` until `complete`; after that to the future, or, if that is gone, to who reaped it.
//! All is one word: the state, flags, and the result. Each change is a read-modify-write, which decides who came first.
//!
//! - LOCKED: somebody has the place of the waker for himself. The reaper, who takes the waker before it says DONE; the
//!   future, that puts another there; or the future that leaves. Who finds it set does not wait under it for anything but
//!   the reaper's next few instructions. A waker is cloned before and dropped after (I6).
//! - A future that leaves keeps LOCKED until it has asked for the end of the request: until then nobody begins another
//!   at this place, for which that would be meant. If it is released meanwhile, RELEASED says so, and who leaves ends it.
//! - WANTED: somebody has found it busy, and waits for the release. Set by the same word that says busy, so that whoever
//!   asks is either told that nobody uses it, or is told of by the release.

use std::task::Waker;

use crate::sync::{
    UnsafeCell,
    atomic::{AtomicU64, Ordering},
    hint,
};

/// Nobody uses it.
const FREE: u64 = 0;
/// The kernel has it, and the future waits.
const WAITING: u64 = 1;
/// The kernel is done, and the future has the rest.
const DONE: u64 = 2;
/// The kernel has it, and the future is gone.
const GONE: u64 = 3;
/// The kernel is done, the future is gone, and who reaped it has the rest.
const LEFT: u64 = 4;
const STATE: u64 = 7;

const LOCKED: u64 = 1 << 3;
const LOCKED_WAITING: u64 = LOCKED | WAITING;
const WANTED: u64 = 1 << 4;
const RELEASED: u64 = 1 << 5;
/// Behind these bits: the result, while DONE.
const RESULT_SHIFT: u32 = 32;

#[derive(Debug)]
pub(crate) struct Life {
    word: AtomicU64,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: the waker is touched by one at a time: by who has begun and not submitted yet, by who has set LOCKED, or by
// who has it all.
#[allow(unsafe_code)]
unsafe impl Send for Life {}
// SAFETY: as for Send.
#[allow(unsafe_code)]
unsafe impl Sync for Life {}

/// What a future that leaves has left behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The kernel had it: who reaps it releases what it needs, or has done so. `wanted`: this has ended it, as
    /// [`Life::release`] does, and somebody waits for that.
    InTheKernel { wanted: bool },
    /// The kernel was done, with this result: the future releases what it needed, and then this with [`Life::release`].
    WithMe(i32),
}

/// What came of a completion.
#[derive(Debug)]
pub(crate) enum Completed {
    /// The future takes the result; this is to be woken.
    ForTheFuture(Option<Waker>),
    /// The future is gone: who reaped it releases what it needed.
    ForNobody,
}

#[inline]
fn result(word: u64) -> i32 {
    (word >> RESULT_SHIFT) as u32 as i32
}

#[inline]
fn with_result(code: i32) -> u64 {
    u64::from(code as u32) << RESULT_SHIFT
}

impl Life {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(FREE), waker: UnsafeCell::new(None) }
    }

    /// Whether anybody uses it. If so, the caller hears of the release: see [`Life::release`].
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.word.load(Ordering::Acquire) != FREE && self.want()
    }

    /// False if it is free by now.
    #[cold]
    fn want(&self) -> bool {
        self.change(|word| (word != FREE).then_some(word | WANTED)).is_ok()
    }

    /// Whether the kernel has it.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn is_in_the_kernel(&self) -> bool {
        matches!(self.word.load(Ordering::Acquire) & STATE, WAITING | GONE)
    }

    /// Replaces the word by what `next` makes of it: the word before, or the one that it makes nothing of.
    #[inline]
    fn change(&self, mut next: impl FnMut(u64) -> Option<u64>) -> Result<u64, u64> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let Some(to) = next(word) else { return Err(word) };
            // AcqRel: whoever owns something by this word sees what its owner before has done.
            match self.word.compare_exchange_weak(word, to, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(word),
                Err(now) => word = now,
            }
        }
    }

    /// The place of the waker.
    ///
    /// # Safety
    ///
    /// The caller has it for himself.
    #[allow(unsafe_code)]
    #[inline]
    unsafe fn replace(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: the caller's.
        self.waker.with_mut(|place| std::mem::replace(unsafe { &mut *place }, waker))
    }

    /// Takes it for an operation, before that is submitted. False if somebody uses it, as [`Life::is_busy`] says it.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn begin(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        loop {
            // AcqRel: as in `change`.
            if self.word.compare_exchange(FREE, WAITING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                // SAFETY: nobody else looks before it was submitted, which comes after this.
                let before = unsafe { self.replace(Some(waker)) };
                debug_assert!(before.is_none());
                std::mem::forget(before);
                return true;
            }
            if self.want() {
                return false;
            }
        }
    }

    /// By the future that began it: the result, once the kernel is done. What the operation needed is the future's then,
    /// and [`Life::release`] follows once it has that.
    #[inline]
    pub(crate) fn poll(&self, waker: &Waker) -> Option<i32> {
        let word = self.word.load(Ordering::Acquire);
        if word & STATE == DONE { Some(result(word)) } else { self.renew(waker) }
    }

    /// Locks what waits. The word, if the kernel is done by now.
    fn lock(&self, flags: u64) -> Result<(), u64> {
        let mut spins = 0;
        loop {
            let locked = self.change(|word| match word & (STATE | LOCKED) {
                WAITING => Some((word & !STATE) | LOCKED | flags),
                _ => None,
            });
            match locked {
                Ok(_) => return Ok(()),
                Err(word) => match word & STATE {
                    DONE => return Err(word),
                    // The reaper has it, and is about to say that it is done.
                    WAITING => hint::spin(&mut spins),
                    _ => unreachable!("by who did not begin it"),
                },
            }
        }
    }

    #[allow(unsafe_code)]
    #[cold]
    fn renew(&self, waker: &Waker) -> Option<i32> {
        let waker = waker.clone(); // I6: before it is locked
        if let Err(word) = self.lock(WAITING) {
            return Some(result(word));
        }
        // SAFETY: locked.
        let before = unsafe { self.replace(Some(waker)) };
        let unlocked = self.change(|word| (word & STATE == WAITING).then_some(word & !LOCKED));
        let done = match unlocked {
            Ok(_) => None,
            Err(word) => {
                // SAFETY: locked still: the reaper has left it alone.
                let unused = unsafe { self.replace(None) };
                let _ = self.change(|word| Some(word & !LOCKED));
                drop(unused);
                Some(result(word))
            }
        };
        drop(before);
        done
    }

    /// By the future that began it, which ends before it has taken the result. `cancel` asks for the end of the request,
    /// if the kernel has it. What it waited with is put in `own`, for the caller to drop last: that may panic, and whoever
    /// waits for the release would not be told.
    #[allow(unsafe_code)]
    pub(crate) fn leave(&self, own: &mut Option<Waker>, cancel: impl FnOnce()) -> Left {
        if let Err(word) = self.lock(GONE) {
            return Left::WithMe(result(word));
        }
        // SAFETY: locked.
        *own = unsafe { self.replace(None) };
        cancel();
        let word = self.change(|word| Some(if word & RELEASED == 0 { word & !LOCKED } else { FREE }));
        let word = word.unwrap_or_else(|word| word);
        Left::InTheKernel { wanted: word & (RELEASED | WANTED) == RELEASED | WANTED }
    }

    /// By who reaped it: the kernel's share ends. If that is for nobody, [`Life::release`] follows once what the
    /// operation needed has been released; until then others may not begin.
    #[inline]
    pub(crate) fn complete(&self, code: i32) -> Completed {
        // Nearly always the future waits, and nobody else has asked for it. AcqRel: as in `change`.
        match self.word.compare_exchange(WAITING, LOCKED_WAITING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => self.complete_locked(code),
            Err(_) => self.complete_else(code),
        }
    }

    /// The future waits, and this has locked it.
    #[allow(unsafe_code)]
    #[inline]
    fn complete_locked(&self, code: i32) -> Completed {
        // SAFETY: locked by the caller.
        let waker = unsafe { self.replace(None) };
        // AcqRel: as in `change`. Nobody else changes more than WANTED of what is locked.
        self.word.fetch_xor(LOCKED_WAITING ^ (DONE | with_result(code)), Ordering::AcqRel);
        Completed::ForTheFuture(waker)
    }

    #[cold]
    fn complete_else(&self, code: i32) -> Completed {
        let before = self.change(|word| match word & (STATE | LOCKED) {
            WAITING => Some(word | LOCKED),
            // Who puts another waker there looks again when it has.
            LOCKED_WAITING => Some((word & !STATE) | DONE | with_result(code)),
            _ if word & STATE == GONE => Some((word & !STATE) | LEFT),
            _ => None,
        });
        match before.map(|word| word & (STATE | LOCKED)) {
            Ok(WAITING) => self.complete_locked(code),
            Ok(LOCKED_WAITING) => Completed::ForTheFuture(None),
            Ok(_) => Completed::ForNobody,
            Err(_) => unreachable!("completed twice, or never begun"),
        }
    }

    /// By the future that began it, if it was not submitted: what it put in. [`Life::release`] follows, as if it had never
    /// begun, and only then is this dropped, as in [`Life::leave`].
    #[allow(unsafe_code)]
    pub(crate) fn take_waker(&self) -> Option<Waker> {
        // SAFETY: as in `begin`.
        unsafe { self.replace(None) }
    }

    /// By who owns it, once the kernel is done and what the operation needed has been released: nobody uses it from here
    /// on. True if somebody found it busy meanwhile, who is to be told.
    #[inline]
    #[must_use = "somebody may wait for it"]
    pub(crate) fn release(&self) -> bool {
        // What is LEFT alone is ever locked here: nobody locks what is done but who releases it.
        if self.word.load(Ordering::Relaxed) & LOCKED != 0 {
            return self.release_left();
        }
        // AcqRel: as in `change`.
        self.word.swap(FREE, Ordering::AcqRel) & WANTED != 0
    }

    /// Who leaves may be about to ask for its end: then that ends it.
    #[cold]
    fn release_left(&self) -> bool {
        let released = self.change(|word| Some(if word & LOCKED == 0 { FREE } else { word | RELEASED }));
        let word = released.unwrap_or_else(|word| word);
        word & (LOCKED | WANTED) == WANTED
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::{Log, spy};
    use std::sync::Arc;

    const IN_THE_KERNEL: Left = Left::InTheKernel { wanted: false };

    #[test]
    fn the_result_goes_to_the_future() {
        let (life, log) = (Life::new(), Log::default());
        assert!(life.begin(&log.waker(1)));
        assert!(!life.begin(&log.waker(2)), "one at a time");
        assert_eq!(life.poll(&log.waker(3)), None);
        match life.complete(-7) {
            Completed::ForTheFuture(waker) => waker.unwrap().wake(),
            Completed::ForNobody => panic!("it waits"),
        }
        assert_eq!(log.take(), [3], "the last waker wins");
        assert_eq!(life.poll(&log.waker(3)), Some(-7));
        assert!(!life.begin(&log.waker(2)), "until it is released");
        assert!(life.release(), "somebody was refused");
        assert!(!life.is_busy());
        assert!(life.begin(&log.waker(1)));
        let _ = life.complete(i32::MAX);
        assert_eq!(life.poll(&log.waker(1)), Some(i32::MAX));
        assert!(!life.release(), "who was refused is told once");
    }

    #[test]
    fn who_leaves_first_leaves_the_release_to_the_other() {
        let (life, log) = (Life::new(), Log::default());
        assert!(life.begin(&log.waker(1)));
        assert_eq!(life.leave(&mut None, || assert!(life.is_in_the_kernel())), IN_THE_KERNEL);
        assert!(life.is_in_the_kernel());
        assert!(matches!(life.complete(7), Completed::ForNobody));
        assert!(!life.is_in_the_kernel());
        assert!(life.is_busy(), "until it is released");
        assert!(life.release(), "somebody asked");
        assert!(life.begin(&log.waker(1)));
        let _ = life.complete(8);
        assert_eq!(life.leave(&mut None, || panic!("the kernel is done")), Left::WithMe(8));
        assert!(!life.release());
        assert!(!life.is_busy());
        assert!(life.begin(&log.waker(1)));
        drop(life.take_waker());
        assert!(!life.release());
        assert!(!life.is_busy());
    }

    /// What `leave` asks for is meant for the operation that it leaves, and no other has begun by then.
    #[test]
    fn nobody_begins_before_the_cancel_was_asked_for() {
        let (life, log) = (Life::new(), Log::default());
        assert!(life.begin(&log.waker(1)));
        let left = life.leave(&mut None, || {
            assert!(matches!(life.complete(7), Completed::ForNobody));
            assert!(!life.release());
            assert!(!life.begin(&log.waker(2)), "the cancel would be for this one");
        });
        assert_eq!(left, Left::InTheKernel { wanted: true }, "who was refused is to be told");
        assert!(life.begin(&log.waker(2)));
        drop(life.take_waker());
        assert!(!life.release());
    }

    /// A waker whose drop panics keeps nobody from being told of the release.
    #[test]
    fn the_waker_is_the_callers_to_drop() {
        let (life, log) = (Life::new(), Log::default());
        let count = Arc::new(());
        let its = count.clone();
        assert!(life.begin(&spy(move || _ = Arc::strong_count(&its))));
        let mut own = None;
        let left = life.leave(&mut own, || {
            let _ = life.complete(7);
            assert!(!life.release() && !life.begin(&log.waker(2)));
        });
        assert_eq!(left, Left::InTheKernel { wanted: true });
        assert_eq!(Arc::strong_count(&count), 2, "it was dropped before the caller knew");
        drop(own);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn wakers_are_left_nowhere() {
        let count = Arc::new(());
        let waker = || {
            let its = count.clone();
            spy(move || _ = Arc::strong_count(&its))
        };
        let life = Life::new();
        assert!(life.begin(&waker()));
        assert!(!life.begin(&waker()));
        assert_eq!(life.poll(&waker()), None);
        let _ = life.leave(&mut None, || ());
        assert_eq!(Arc::strong_count(&count), 1);
        let _ = life.complete(0);
        let _ = life.release();
        assert!(life.begin(&waker()));
        drop(life.take_waker());
        assert!(!life.release());
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(life.begin(&waker()));
        let _ = life.complete(0);
        let _ = life.release();
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(life.begin(&waker()));
        drop(life);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
