//! The signals that queues want to hear of: a handler that counts them, before the one that was there.
//!
//! FreeBSD notes a signal for a knote when it is sent, whatever becomes of it. Here it is noted when it is handled: later,
//! if it is blocked.

use std::{
    mem::{self, MaybeUninit},
    ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering::SeqCst},
    },
};

use libc::{c_int, c_void, sigaction, siginfo_t};

use super::{Code, checked};

const SIGNALS: usize = 65;

/// How often each has come.
static COUNTS: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];
/// What was done with it before. Never freed: a handler may be looking.
static BEFORE: [AtomicPtr<sigaction>; SIGNALS] = [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];
/// Descriptors to raise when one comes, one more than the number; zero is a free place.
static RAISED: [AtomicI32; 256] = [const { AtomicI32::new(0) }; 256];
/// How many knotes each has.
static KNOTES: Mutex<[usize; SIGNALS]> = Mutex::new([0; SIGNALS]);

/// Counts a signal from now on, and raises `wake` when one comes. How many there were until now.
pub(super) fn watch(ident: usize, wake: c_int) -> Result<u64, Code> {
    if !(1..SIGNALS).contains(&ident) {
        return Err(libc::EINVAL);
    }
    let mut knotes = KNOTES.lock().unwrap_or_else(PoisonError::into_inner);
    if !RAISED.iter().any(|place| place.load(SeqCst) == wake + 1) {
        let free = RAISED.iter().find(|place| place.compare_exchange(0, wake + 1, SeqCst, SeqCst).is_ok());
        free.ok_or(libc::ENOMEM)?;
    }
    if knotes[ident] == 0 {
        take_over(ident)?;
    }
    knotes[ident] += 1;
    Ok(count(ident))
}

/// A knote of this signal is gone. With the last, what was there before is there again.
pub(super) fn forget(ident: usize) {
    let mut knotes = KNOTES.lock().unwrap_or_else(PoisonError::into_inner);
    knotes[ident] -= 1;
    if knotes[ident] == 0 {
        give_back(ident);
    }
}

/// A queue that hears of no signal any more.
pub(super) fn unwatch(wake: c_int) {
    for place in &RAISED {
        let _ = place.compare_exchange(wake + 1, 0, SeqCst, SeqCst);
    }
}

pub(super) fn count(ident: usize) -> u64 {
    COUNTS[ident].load(SeqCst)
}

fn take_over(ident: usize) -> Result<(), Code> {
    let before = action(ident)?;
    BEFORE[ident].store(Box::into_raw(Box::new(before)), SeqCst);
    let mut ours = before;
    ours.sa_sigaction = handle as *const () as usize;
    ours.sa_flags |= libc::SA_SIGINFO;
    // One that was ignored or had its default interrupted nothing.
    if before.sa_sigaction == libc::SIG_IGN || before.sa_sigaction == libc::SIG_DFL {
        ours.sa_flags |= libc::SA_RESTART;
    }
    // SAFETY: reads an action whose handler is safe in a signal handler.
    checked(unsafe { sigaction(ident as c_int, &ours, ptr::null_mut()) }).map(drop)
}

fn give_back(ident: usize) {
    let is_ours = action(ident).is_ok_and(|now| now.sa_sigaction == handle as *const () as usize);
    // SAFETY: null, or leaked by `take_over`.
    if let (true, Some(before)) = (is_ours, unsafe { BEFORE[ident].load(SeqCst).as_ref() }) {
        // SAFETY: gives back what the system gave.
        unsafe { sigaction(ident as c_int, before, ptr::null_mut()) };
    }
}

fn action(ident: usize) -> Result<sigaction, Code> {
    let mut now = MaybeUninit::uninit();
    // SAFETY: fills the struct it is given.
    checked(unsafe { sigaction(ident as c_int, ptr::null(), now.as_mut_ptr()) })?;
    // SAFETY: filled above.
    Ok(unsafe { now.assume_init() })
}

/// Atomics, writes, and whatever the program's own handler does.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    static ONE: u64 = 1;
    // SAFETY: the location belongs to the calling thread.
    let errno = unsafe { *libc::__errno_location() };
    COUNTS[signal as usize].fetch_add(1, SeqCst);
    for place in &RAISED {
        let wake = place.load(SeqCst) - 1;
        if wake >= 0 {
            // SAFETY: eight readable bytes.
            unsafe { libc::write(wake, (&raw const ONE).cast(), 8) };
        }
    }
    // SAFETY: null, or leaked by `take_over`.
    if let Some(before) = unsafe { BEFORE[signal as usize].load(SeqCst).as_ref() } {
        chain(before, signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn chain(before: &sigaction, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    match before.sa_sigaction {
        libc::SIG_IGN => {}
        libc::SIG_DFL => {
            if ![libc::SIGCHLD, libc::SIGURG, libc::SIGWINCH, libc::SIGCONT].contains(&signal) {
                // SAFETY: gives back the default.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
                // SAFETY: to this thread, which gets it once the handler has returned.
                unsafe { libc::raise(signal) };
            }
        }
        handler if before.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: the program installed a function of this shape.
            let handler = unsafe {
                mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(handler)
            };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: the program installed a function of this shape.
            let handler = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(handler) };
            handler(signal);
        }
    }
}
