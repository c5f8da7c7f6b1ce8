//! The signals that queues want to hear of: a handler that counts them, beneath what the program sees.
//!
//! While a signal has a knote the handler below is in place, and the program's own disposition is only remembered, and done
//! after counting. [`sigaction`] stands before the C library's, so that the program sees and sets what is remembered.
//!
//! FreeBSD notes a signal for a knote when it is sent, whatever becomes of it. Here it is noted when it is handled: later,
//! if it is blocked.

use std::{
    mem::{self, MaybeUninit},
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use libc::{c_int, c_void, siginfo_t};

type sigaction = libc::sigaction;

use super::{Blocked, Code, checked, fail};

const SIGNALS: usize = 65;

/// How often each has come.
static COUNTS: [AtomicU64; SIGNALS] = [const { AtomicU64::new(0) }; SIGNALS];
/// What was done with it before. Never freed: a handler may be looking.
static BEFORE: [AtomicPtr<sigaction>; SIGNALS] = [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];
/// Descriptors to raise when one comes, one more than the number; zero is a free place.
static RAISED: [AtomicI32; 256] = [const { AtomicI32::new(0) }; 256];
/// How many handlers may be writing to a descriptor that they found in `RAISED`.
static TELLING: AtomicUsize = AtomicUsize::new(0);
/// The process that counts.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// How many knotes each has.
static KNOTES: Mutex<Knotes> = Mutex::new([0; SIGNALS]);

/// Counts a signal from now on, and raises `wake` when one comes. How many there were until now.
pub(super) fn watch(ident: usize, wake: c_int) -> Result<u64, Code> {
    if !(1..SIGNALS).contains(&ident) {
        return Err(libc::EINVAL);
    }
    let mut knotes = knotes();
    if !RAISED.iter().any(|place| place.load(SeqCst) == wake + 1) {
        let free = RAISED.iter().find(|place| place.compare_exchange(0, wake + 1, SeqCst, SeqCst).is_ok());
        free.ok_or(libc::ENOMEM)?;
    }
    if knotes[ident] == 0 {
        take_over(ident)?;
    }
    knotes[ident] += 1;
    // SAFETY: takes nothing.
    OWNER.store(unsafe { libc::getpid() }, SeqCst);
    Ok(count(ident))
}

/// A knote of this signal is gone. With the last, the handler is.
pub(super) fn forget(ident: usize) {
    let mut knotes = knotes();
    knotes[ident] -= 1;
    if knotes[ident] == 0 {
        give_back(ident);
    }
}

pub(super) type Knotes = [usize; SIGNALS];

pub(super) fn knotes() -> MutexGuard<'static, Knotes> {
    KNOTES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a child of a fork, which has no knotes.
pub(super) fn abandon(knotes: &mut Knotes) {
    TELLING.store(0, SeqCst); // those that were, are in the parent
    for ident in (1..SIGNALS).filter(|&ident| knotes[ident] > 0) {
        give_back(ident);
    }
    *knotes = [0; SIGNALS];
}

/// A queue that hears of no signal any more: on return nobody writes to `wake`, so that it can be closed. With all signals
/// blocked, for a handler of this thread would be waited for by what it interrupted.
pub(super) fn unwatch(wake: c_int) {
    let mut was_there = false;
    for place in &RAISED {
        was_there |= place.compare_exchange(wake + 1, 0, SeqCst, SeqCst).is_ok();
    }
    while was_there && TELLING.load(SeqCst) > 0 {
        std::thread::yield_now();
    }
}

pub(super) fn count(ident: usize) -> u64 {
    COUNTS[ident].load(SeqCst)
}

unsafe extern "C" {
    /// The C library's, by its other name.
    #[link_name = "__sigaction"]
    fn real(signal: c_int, new: *const sigaction, old: *mut sigaction) -> c_int;
}

/// Instead of the C library's, for everything in this process.
#[unsafe(no_mangle)]
unsafe extern "C" fn sigaction(signal: c_int, new: *const sigaction, old: *mut sigaction) -> c_int {
    let _blocked = Blocked::all();
    let knotes = knotes();
    let has_knote =
        usize::try_from(signal).is_ok_and(|ident| knotes.get(ident).is_some_and(|&count| count > 0));
    if !has_knote {
        // SAFETY: the caller's own arguments.
        return unsafe { real(signal, new, old) };
    }
    let ident = signal as usize;
    // SAFETY: leaked by `put`.
    let before = unsafe { *BEFORE[ident].load(SeqCst) };
    // SAFETY: null, or an action.
    if let Some(new) = unsafe { new.as_ref() } {
        if let Err(code) = put(ident, *new) {
            return fail(code);
        }
    }
    // SAFETY: null, or room for one.
    if let Some(old) = unsafe { old.as_mut() } {
        *old = before;
    }
    0
}

fn take_over(ident: usize) -> Result<(), Code> {
    let mut now = MaybeUninit::uninit();
    // SAFETY: fills the struct it is given.
    checked(unsafe { real(ident as c_int, ptr::null(), now.as_mut_ptr()) })?;
    // SAFETY: filled above.
    put(ident, unsafe { now.assume_init() })
}

/// Puts our handler in place, over a disposition.
fn put(ident: usize, over: sigaction) -> Result<(), Code> {
    BEFORE[ident].store(Box::into_raw(Box::new(over)), SeqCst);
    let mut ours = over;
    ours.sa_sigaction = handle as *const () as usize;
    ours.sa_flags |= libc::SA_SIGINFO;
    // What is ignored or has its default interrupts nothing.
    if over.sa_sigaction == libc::SIG_IGN || over.sa_sigaction == libc::SIG_DFL {
        ours.sa_flags |= libc::SA_RESTART;
    }
    // SAFETY: reads an action whose handler is safe in a signal handler.
    checked(unsafe { real(ident as c_int, &ours, ptr::null_mut()) }).map(drop)
}

fn give_back(ident: usize) {
    // SAFETY: gives back what the system or the program gave, leaked by `put`.
    unsafe { real(ident as c_int, BEFORE[ident].load(SeqCst), ptr::null_mut()) };
}

/// Atomics, writes, and whatever the program's own handler does.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the location belongs to the calling thread.
    let errno = unsafe { *libc::__errno_location() };
    // The child of a vfork runs on its parent's memory, and is sent signals of its own.
    // SAFETY: takes nothing.
    if unsafe { libc::getpid() } == OWNER.load(SeqCst) {
        tell(signal);
    }
    // SAFETY: null, or leaked by `put`.
    if let Some(before) = unsafe { BEFORE[signal as usize].load(SeqCst).as_ref() } {
        chain(before, signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn tell(signal: c_int) {
    static ONE: u64 = 1;
    // No other handler in between, which could wait for this one to be done.
    let _blocked = Blocked::all();
    TELLING.fetch_add(1, SeqCst);
    COUNTS[signal as usize].fetch_add(1, SeqCst);
    for place in &RAISED {
        let wake = place.load(SeqCst) - 1;
        if wake >= 0 {
            // SAFETY: eight readable bytes.
            unsafe { libc::write(wake, (&raw const ONE).cast(), 8) };
        }
    }
    TELLING.fetch_sub(1, SeqCst);
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
