//! A kqueue for Linux, made of epoll, eventfd and timerfd: it stands in for the kernel of FreeBSD in tests.
//!
//! Test support. It is built under `cfg(pike_kqueue_double)` only, is not in the published package, and has the shape of the
//! three calls that the backend makes, so that the backend runs on it unchanged. It behaves as a FreeBSD 13.2 kernel was
//! measured to behave; `kqueue::semantics` tests that, line by line, here and on FreeBSD itself.
//!
//! A queue is one epoll set (its number is the queue's), in which are: each descriptor that is read, edge-triggered; a
//! second set with each descriptor that is written, since one set tells both directions in one event; a timerfd a timer;
//! and an eventfd that is raised while a trigger or a signal waits to be collected. `kevent` collects under a lock and
//! sleeps without one, until the set is readable; what it collected nothing from, it sleeps again.
//!
//! Where Linux cannot tell what FreeBSD would:
//!
//! - `data` of a UDP socket is the first datagram's bytes, not those of all. The backend does not look at it.
//! - The error in `fflags` is guessed, since asking takes it away: refused if the connection never was, else reset.
//! - `close` of a descriptor is noticed when something looks at its knote: by then its number is closed, or another file's.
//! - signalfd sees only signals that are blocked, and takes them from their handlers. So a handler of the double's own
//!   counts, and then does what the program's does; `sigaction` shows and sets the program's only (`signals`).
//!
//! All signals are blocked while a lock is held, so that a trigger from a signal handler waits for another thread at most.
#![allow(unsafe_code, non_camel_case_types, missing_debug_implementations)]

use std::{
    cell::RefCell,
    mem::{self, MaybeUninit},
    ptr,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, Instant},
};

use libc::{c_int, c_void};

mod descriptor;
mod memory;
mod queue;
mod signals;

use self::queue::Queue;

/// `struct kevent` of FreeBSD 12 and later.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) ident: usize,
    pub(crate) filter: i16,
    pub(crate) flags: u16,
    pub(crate) fflags: u32,
    pub(crate) data: i64,
    pub(crate) udata: *mut c_void,
    pub(crate) ext: [u64; 4],
}

pub(crate) const EVFILT_READ: i16 = -1;
pub(crate) const EVFILT_WRITE: i16 = -2;
pub(crate) const EVFILT_SIGNAL: i16 = -6;
pub(crate) const EVFILT_TIMER: i16 = -7;
pub(crate) const EVFILT_USER: i16 = -11;
pub(crate) const EV_ADD: u16 = 0x1;
pub(crate) const EV_DELETE: u16 = 0x2;
pub(crate) const EV_ENABLE: u16 = 0x4;
pub(crate) const EV_DISABLE: u16 = 0x8;
pub(crate) const EV_ONESHOT: u16 = 0x10;
pub(crate) const EV_CLEAR: u16 = 0x20;
pub(crate) const EV_RECEIPT: u16 = 0x40;
pub(crate) const EV_ERROR: u16 = 0x4000;
pub(crate) const EV_EOF: u16 = 0x8000;
pub(crate) const NOTE_TRIGGER: u32 = 0x0100_0000;
pub(crate) const NOTE_SECONDS: u32 = 0x1;
pub(crate) const NOTE_MSECONDS: u32 = 0x2;
pub(crate) const NOTE_USECONDS: u32 = 0x4;
pub(crate) const NOTE_NSECONDS: u32 = 0x8;

/// The error number of a change, or of a call.
type Code = c_int;

type Queues = Vec<Arc<Queue>>;

/// The queues of this process.
static QUEUES: Mutex<Queues> = Mutex::new(Vec::new());

fn queues() -> MutexGuard<'static, Queues> {
    QUEUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// kqueue(2).
pub(crate) unsafe fn kqueue() -> c_int {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the handlers lock and unlock what the child would else find locked for ever.
        let code = unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        assert_eq!(code, 0, "pthread_atfork");
    });
    let _blocked = Blocked::all();
    match Queue::new() {
        Ok(queue) => {
            let number = queue.number();
            queues().push(Arc::new(queue));
            number
        }
        Err(code) => fail(code),
    }
}

/// close(2), of a queue.
pub(crate) unsafe fn close(number: c_int) -> c_int {
    let _blocked = Blocked::all();
    let mut queues = queues();
    match queues.iter().position(|queue| queue.number() == number) {
        // A waiter holds the queue, and waits on.
        Some(at) => {
            let queue = queues.swap_remove(at);
            drop(queues);
            drop(queue);
            0
        }
        None => fail(libc::EBADF),
    }
}

/// kevent(2).
pub(crate) unsafe fn kevent(
    number: c_int,
    changes: *const Event,
    change_count: c_int,
    events: *mut Event,
    event_count: c_int,
    timeout: *const libc::timespec,
) -> c_int {
    let blocked = Blocked::all();
    let Some(queue) = queues().iter().find(|queue| queue.number() == number).cloned() else {
        return fail(libc::EBADF);
    };
    let (changes, events): (&[Event], &mut [MaybeUninit<Event>]) = match (change_count, event_count) {
        // SAFETY: that many changes are readable and that much room for events is writable, by the caller's account.
        (0.., 0..) => unsafe { (slice(changes, change_count), slice_mut(events.cast(), event_count)) },
        _ => return fail(libc::EINVAL),
    };
    // SAFETY: null, or a time.
    let end = unsafe { timeout.as_ref() }
        .map(|timeout| Instant::now() + Duration::new(timeout.tv_sec as u64, timeout.tv_nsec as u32));

    let mut receipts = 0;
    for change in changes {
        let code = queue.change(change);
        if code == 0 && change.flags & EV_RECEIPT == 0 {
            continue;
        }
        match events.get_mut(receipts) {
            Some(room) => {
                room.write(Event { flags: EV_ERROR, data: code.into(), ..*change });
                receipts += 1;
            }
            None if code != 0 => return fail(code),
            None => {}
        }
    }
    if receipts > 0 || events.is_empty() {
        return receipts as c_int;
    }
    match queue.wait(events, end, &blocked) {
        Ok(count) => count as c_int,
        Err(code) => fail(code),
    }
}

unsafe fn slice<'a, T>(first: *const T, count: c_int) -> &'a [T] {
    match count {
        0 => &[],
        // SAFETY: as for the caller.
        _ => unsafe { std::slice::from_raw_parts(first, count as usize) },
    }
}

unsafe fn slice_mut<'a, T>(first: *mut T, count: c_int) -> &'a mut [T] {
    match count {
        0 => &mut [],
        // SAFETY: as for the caller.
        _ => unsafe { std::slice::from_raw_parts_mut(first, count as usize) },
    }
}

fn fail(code: Code) -> c_int {
    // SAFETY: the location belongs to the calling thread.
    unsafe { *libc::__errno_location() = code };
    -1
}

/// The code of a system call's result.
fn checked(result: c_int) -> Result<c_int, Code> {
    match result {
        // SAFETY: the location belongs to the calling thread.
        -1 => Err(unsafe { *libc::__errno_location() }),
        result => Ok(result),
    }
}

/// All signals are blocked while it lives.
struct Blocked {
    before: libc::sigset_t,
}

impl Blocked {
    fn all() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: fills the set it is given.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: reads one set, filled above, and fills the other.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: filled above.
        Self { before: unsafe { before.assume_init() } }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the location belongs to the calling thread.
        let errno = unsafe { *libc::__errno_location() };
        // SAFETY: reads the set as it was.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, ptr::null_mut()) };
        // A handler that runs now may have changed it; the caller looks at it.
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }
}

/// What the forking thread holds, from before the fork until after it.
type Forking = Option<(Blocked, MutexGuard<'static, Queues>, MutexGuard<'static, signals::Knotes>)>;

thread_local! {
    static FORKING: RefCell<Forking> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    let blocked = Blocked::all();
    FORKING.with_borrow_mut(|forking| *forking = Some((blocked, queues(), signals::knotes())));
}

extern "C" fn in_parent() {
    release(FORKING.take());
}

/// A child inherits no queue: their numbers are free, and their memory is left behind, since other threads of the parent
/// may have held its locks.
extern "C" fn in_child() {
    let mut forking = FORKING.take();
    if let Some((_, queues, knotes)) = &mut forking {
        signals::abandon(knotes);
        for queue in queues.drain(..) {
            queue.abandon();
            mem::forget(queue);
        }
    }
    release(forking);
}

/// The lock before the signals.
fn release(forking: Forking) {
    if let Some((blocked, queues, knotes)) = forking {
        drop((queues, knotes));
        drop(blocked);
    }
}
