//! The signal handler: how it gets in place, what it does there, and how it leaves.
//!
//! # What it does
//!
//! It tells `deliver` the signal's number and sender, and then calls the handler that was there before, if that was a real
//! one (not `SIG_DFL` or `SIG_IGN`), with one argument or three as its flags say; `errno` is as before when it returns. It
//! touches atomics, makes one write for each Notifier that sleeps, and asks for the process's number. It uses no lock, no
//! allocation and no thread-local storage, so it may run on any thread at any time, inside pike or the allocator with all
//! their locks held.
//!
//! - `SA_ONSTACK`: on the alternate stack of a thread that has one, for threads whose own stack is small (as Go's).
//! - `SA_RESTART`: calls that it interrupts go on, where the system can.
//! - `SA_SIGINFO`: for the sender.
//! - All signals are blocked while it runs, so it is never nested, whatever the alternate stack's size. Faults are not:
//!   handlers of others may rely on them.
//!
//! # In place, or not
//!
//! The system's own state says whether the handler is in place. What is remembered beside is the disposition that it found,
//! in a list that is never freed, since a handler may look at it at any time; equal ones are remembered once.
//!
//! - `watch_signal` puts it in place, unless it is there already. If a foreign handler was put over it, that handler has
//!   pike's as its former one and, one must assume, calls it: pike's then stays beneath. On top of that it would call the
//!   foreign one, and that it, without end.
//! - `unwatch_signal` puts back what it found, but only if pike's handler is still in place. Otherwise a foreign one may
//!   call it, so it stays what it is, and serves nobody.
//! - A default or `SIG_IGN` that has taken pike's place may be there for a moment only: system(3) ignores SIGINT and SIGQUIT
//!   while its program runs, and puts back what it saw. So what pike had found before stays what it found. If pike's last
//!   listener goes in that moment, the handler that comes back serves nobody, and the signal does nothing at all until
//!   pike listens again and stops.
//! - A library that takes the place a second time, over pike's, and calls what it saw last, makes a circle: it calls pike's,
//!   which calls the library's as found. Nothing here can tell.
//!
//! Of SIGCHLD the flags that say what children do when they stop and end stay as they were found: `ours` has the details.
//!
//! # Children
//!
//! A child of a fork inherits the handler and this memory. What it is sent is delivered to nobody (`deliver` tells
//! processes apart) until it listens itself; it then finds the handler in place, and remembers what its parent found.
//! Another program starts with the default dispositions. Between `fork` or `vfork` and `exec` the handler may run in the
//! child of a bare `vfork`, on the parent's memory. The C libraries' `posix_spawn`, which std's `Command` uses where it
//! can, blocks all signals there and sets all handlers to the default first. Neither undoes a mask: a child inherits it.
//!
//! Sources: sigaction(2), signal-safety(7), sigaltstack(2), posix_spawn(3); glibc's `sysdeps/unix/sysv/linux/spawni.c`.
#![allow(unsafe_code)]

use std::{
    io,
    mem::{self, MaybeUninit},
    ptr,
    sync::atomic::{AtomicPtr, AtomicU8, Ordering},
};

use super::{
    cvt, keep_errno,
    sender::sender,
    signals::{Mask, real_time_signals},
};
use crate::signal::{Sender, SignalSet};

/// What the handler calls: async-signal-safe.
pub(crate) type Deliver = fn(i32, Sender);

/// A [`Deliver`], or null. No lock guards it: a fork would copy one that another thread holds.
static DELIVER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static STATES: [State; SignalSet::NUMBERS] = [const { State::new() }; SignalSet::NUMBERS];

/// Of one signal. Changed by who holds the lock of the caller; read by the handler.
struct State {
    /// What the handler found in its place, the last time it got there. Never freed.
    found: AtomicPtr<Found>,
    /// All that it ever found, without duplicates: the newest, which leads to the others.
    all: AtomicPtr<Found>,
    /// One of [`GONE`], [`PUT`] and [`AWAY`].
    place: AtomicU8,
}

/// The handler was never put in place, or what it found was put back since.
const GONE: u8 = 0;
/// It was put in place, and is there still, or beneath a foreign handler.
const PUT: u8 = 1;
/// The last listener went while a default or `SIG_IGN` was in its place: perhaps it comes back.
const AWAY: u8 = 2;

impl State {
    const fn new() -> Self {
        Self {
            found: AtomicPtr::new(ptr::null_mut()),
            all: AtomicPtr::new(ptr::null_mut()),
            place: AtomicU8::new(GONE),
        }
    }

    fn found(&self) -> Option<&'static Found> {
        // SAFETY: null, or leaked by `remember` and never freed. Acquire: pairs with the store there.
        unsafe { self.found.load(Ordering::Acquire).as_ref() }
    }

    fn remember(&self, action: &libc::sigaction) {
        // SAFETY: null, or leaked below and never freed.
        let newest: Option<&'static Found> = unsafe { self.all.load(Ordering::Acquire).as_ref() };
        let known = std::iter::successors(newest, |found| found.earlier).find(|found| {
            is_same(&found.action, action)
                && found.action.sa_flags == action.sa_flags
                && has_same_mask(&found.action, action)
        });
        let found = match known {
            Some(known) => ptr::from_ref(known).cast_mut(),
            None => {
                let new = Box::into_raw(Box::new(Found { action: *action, earlier: newest }));
                self.all.store(new, Ordering::Release);
                new
            }
        };
        // Release: publishes it to the handler.
        self.found.store(found, Ordering::Release);
    }
}

/// A disposition that was found, and those found before it.
struct Found {
    action: libc::sigaction,
    earlier: Option<&'static Self>,
}

// SAFETY: plain numbers, and shared for reading only.
unsafe impl Sync for Found {}

extern "C" fn on_signal(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    keep_errno(|| {
        // Acquire: pairs with the store in `watch_signal`.
        let deliver = DELIVER.load(Ordering::Acquire);
        if !deliver.is_null() {
            // SAFETY: stored as a Deliver.
            let deliver = unsafe { mem::transmute::<*mut (), Deliver>(deliver) };
            // SAFETY: the kernel's own, or what a handler that calls this one had from the kernel.
            deliver(number, unsafe { info.as_ref() }.map_or(Sender::UNKNOWN, sender));
        }
        if let Some(found) = STATES.get(number as usize).and_then(State::found) {
            call(&found.action, number, info, context);
        }
    });
}

/// Calls the handler of `action`, if it has one, as the system would have.
fn call(
    action: &libc::sigaction,
    number: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    type Short = extern "C" fn(libc::c_int);
    type Long = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
    let handler = action.sa_sigaction;
    if !is_real(action) {
        return;
    }
    if action.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: installed by the program as a handler of one argument.
        let handler = unsafe { mem::transmute::<libc::sighandler_t, Short>(handler) };
        handler(number);
    } else {
        // SAFETY: installed by the program as a handler of three arguments.
        let handler = unsafe { mem::transmute::<libc::sighandler_t, Long>(handler) };
        handler(number, info, context);
    }
}

/// Whether the number is one whose disposition can be asked for: the C library says `EINVAL` for others, its own too. Not
/// all systems say it of a number above the last real-time signal: FreeBSD takes 127 and 128.
pub(crate) fn check_signal(number: i32) -> io::Result<()> {
    let is_beyond = real_time_signals().is_some_and(|(_, last)| number > last);
    if is_beyond || !(1..SignalSet::NUMBERS as i32).contains(&number) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    current(number).map(drop)
}

/// Has the handler call `deliver` (the same at each call) for this signal. The caller holds a lock that all callers of
/// this and of [`unwatch_signal`] hold. If it fails nothing has changed.
pub(crate) fn watch_signal(number: i32, deliver: Deliver) -> io::Result<()> {
    DELIVER.store(deliver as *const () as *mut (), Ordering::Release);
    let state = &STATES[number as usize];
    let place = state.place.load(Ordering::Relaxed);
    let before = current(number)?;
    if is_ours(&before) {
        // Perhaps it came back after an AWAY.
        state.place.store(PUT, Ordering::Relaxed);
        return Ok(());
    }
    // Found again what it had found: it was taken away since, or a fork copied the moment between two steps of this.
    let is_found = |found: &Found| is_same(&found.action, &before);
    if place == PUT && is_real(&before) && !state.found().is_some_and(is_found) {
        return Ok(()); // beneath it
    }
    // What may be there for a moment only is not what to put back.
    let is_news = |action| place == GONE || is_real(action);
    if is_news(&before) {
        // Before the handler can run, which calls it.
        state.remember(&before);
    }
    // Before it is in place: the child of a fork in between must not find it there and GONE.
    state.place.store(PUT, Ordering::Relaxed);
    let replaced = match replace(number, &ours(number, state.found())) {
        Ok(replaced) => replaced,
        Err(error) => {
            state.place.store(place, Ordering::Relaxed);
            return Err(error);
        }
    };
    if !is_ours(&replaced) && !is_same(&replaced, &before) && is_news(&replaced) {
        state.remember(&replaced); // somebody was in between
    }
    Ok(())
}

/// Puts back what the handler found, if it is still in place. What it had found stays remembered, for a handler that is
/// running now.
pub(crate) fn unwatch_signal(number: i32) {
    let state = &STATES[number as usize];
    // It cannot fail: the number was checked, and good once.
    let Ok(before) = current(number) else { return };
    let place = match state.found() {
        Some(found) if is_ours(&before) => match replace(number, &found.action) {
            Ok(replaced) if is_ours(&replaced) => GONE,
            Ok(replaced) => {
                // Somebody was in between, has the place, and saw ours there.
                let _ = replace(number, &replaced);
                place_beneath(&replaced)
            }
            Err(_) => PUT,
        },
        _ => place_beneath(&before),
    };
    state.place.store(place, Ordering::Relaxed);
}

/// Where the handler is if `action` has taken its place.
fn place_beneath(action: &libc::sigaction) -> u8 {
    if is_real(action) { PUT } else { AWAY }
}

/// Whether the disposition calls a function, rather than a thing that the system does itself.
fn is_real(action: &libc::sigaction) -> bool {
    ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == on_signal as *const () as libc::sighandler_t
}

/// Whether both call the same function.
fn is_same(one: &libc::sigaction, other: &libc::sigaction) -> bool {
    one.sa_sigaction == other.sa_sigaction
}

/// Beyond the signals that there are, a set may hold anything.
fn has_same_mask(one: &libc::sigaction, other: &libc::sigaction) -> bool {
    (1..SignalSet::NUMBERS as i32).all(|number| {
        // SAFETY: reads a set that the system has filled. It says -1 of what is no signal.
        let [one, other] = [one, other].map(|action| unsafe { libc::sigismember(&action.sa_mask, number) });
        one == other
    })
}

/// The handler's own disposition, over what it found.
///
/// Of SIGCHLD, `SA_NOCLDSTOP` stays: who asked not to hear of stopped children may wait for an end when called. It cannot be
/// kept from that handler only, since one pending signal stands for a stop and an end alike. Ended children that were not
/// to be waited for are not on Linux, which sends the signal all the same; elsewhere it would never come then.
fn ours(number: i32, found: Option<&Found>) -> libc::sigaction {
    // SAFETY: all zeroes are a valid one.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    action.sa_mask = Mask::all_but_faults().0;
    if let (libc::SIGCHLD, Some(Found { action: found, .. })) = (number, found) {
        action.sa_flags |= found.sa_flags & libc::SA_NOCLDSTOP;
        let is_unwaited = found.sa_sigaction == libc::SIG_IGN || found.sa_flags & libc::SA_NOCLDWAIT != 0;
        if is_unwaited && cfg!(any(target_os = "linux", target_os = "android")) {
            action.sa_flags |= libc::SA_NOCLDWAIT;
        }
    }
    action
}

fn current(number: i32) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: changes nothing, and fills the struct it is given.
    cvt(unsafe { libc::sigaction(number, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: zeroes are a valid one, and the call has filled it.
    Ok(unsafe { action.assume_init() })
}

/// Sets a disposition, and gives the one before.
fn replace(number: i32, with: &libc::sigaction) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::zeroed();
    // SAFETY: reads one and fills the other. The handler in it is ours, or one that the program had installed itself.
    cvt(unsafe { libc::sigaction(number, with, before.as_mut_ptr()) })?;
    // SAFETY: as in `current`.
    Ok(unsafe { before.assume_init() })
}
