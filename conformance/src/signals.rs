//! What cases need of signals: sending them, looking at dispositions, handlers of a stranger.
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
};

use pike::signal::SignalKind;

/// Sends a signal to the calling thread; it has been handled when this returns, unless it is blocked.
pub fn raise(kind: SignalKind) {
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0, "raise");
}

/// Sends a signal to a process.
pub fn kill(pid: libc::pid_t, kind: SignalKind) {
    // SAFETY: takes no pointer.
    assert_eq!(unsafe { libc::kill(pid, kind.as_raw()) }, 0, "kill");
}

/// Sends a signal to the calling process, for whichever thread takes it.
pub fn kill_me(kind: SignalKind) {
    kill(std::process::id().try_into().expect("a process number"), kind);
}

/// Sends a signal and a number to the calling process.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn queue_me(kind: SignalKind, value: i32) {
    // The union's pointer holds the number in its first bytes, as `sival_int` does.
    let mut bytes = [0; size_of::<*mut libc::c_void>()];
    bytes[..4].copy_from_slice(&value.to_ne_bytes());
    let value = libc::sigval { sival_ptr: ptr::without_provenance_mut(usize::from_ne_bytes(bytes)) };
    let pid = std::process::id().try_into().expect("a process number");
    // SAFETY: takes no pointer but the value, which nobody follows.
    assert_eq!(unsafe { libc::sigqueue(pid, kind.as_raw(), value) }, 0, "sigqueue");
}

/// The process that started this one.
pub fn parent() -> libc::pid_t {
    // SAFETY: takes nothing.
    unsafe { libc::getppid() }
}

/// The real user of this process.
pub fn user() -> u32 {
    // SAFETY: takes nothing.
    unsafe { libc::getuid() }
}

/// How a signal is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// The function, or what stands for a default.
    pub handler: usize,
    /// Without those that the C library adds.
    pub flags: libc::c_int,
}

impl Disposition {
    /// Of a signal, now.
    pub fn of(kind: SignalKind) -> Self {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: changes nothing, and fills the struct.
        let asked = unsafe { libc::sigaction(kind.as_raw(), ptr::null(), action.as_mut_ptr()) };
        assert_eq!(asked, 0, "sigaction");
        // SAFETY: filled.
        let action = unsafe { action.assume_init() };
        let all = libc::SA_SIGINFO
            | libc::SA_RESTART
            | libc::SA_ONSTACK
            | libc::SA_NODEFER
            | libc::SA_RESETHAND
            | libc::SA_NOCLDSTOP
            | libc::SA_NOCLDWAIT;
        Self { handler: action.sa_sigaction, flags: action.sa_flags & all }
    }

    /// Whether a function of the program handles it.
    pub fn is_real(self) -> bool {
        ![libc::SIG_DFL, libc::SIG_IGN].contains(&self.handler)
    }
}

/// Another disposition until dropped; then the one before, whatever has become of it.
pub struct Stranger {
    kind: SignalKind,
    before: libc::sigaction,
}

/// How often a handler of a stranger was called, and what it saw the last time.
pub static CALLS: AtomicUsize = AtomicUsize::new(0);
/// The number in its `siginfo_t`, or 0 for a handler of one argument.
pub static SEEN_NUMBER: AtomicI32 = AtomicI32::new(0);
/// Whether it ran on the thread's alternate stack.
pub static ON_ALTERNATE: AtomicUsize = AtomicUsize::new(0);
/// A stranger that was called so often since it was installed calls nobody: handlers that call each other in a circle are a
/// failed case, and not the end of the process.
const CIRCLE: usize = 8;
/// The handler that a stranger calls after its own work.
static NEXT: AtomicUsize = AtomicUsize::new(0);

extern "C" fn short(_: libc::c_int) {
    CALLS.fetch_add(1, SeqCst);
    SEEN_NUMBER.store(0, SeqCst);
    note_stack();
    set_errno(libc::EDOM); // as a careless handler does
}

extern "C" fn long(number: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let calls = CALLS.fetch_add(1, SeqCst);
    // SAFETY: filled by the kernel, and passed on.
    SEEN_NUMBER.store(unsafe { (*info).si_signo }, SeqCst);
    note_stack();
    let next = NEXT.load(SeqCst);
    if next != 0 && calls < CIRCLE {
        type Long = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: a handler of three arguments that was found in place of this one.
        let next = unsafe { std::mem::transmute::<usize, Long>(next) };
        next(number, info, context);
    }
}

fn note_stack() {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: changes nothing, and fills the struct.
    if unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) } == 0 {
        // SAFETY: filled.
        let on = unsafe { stack.assume_init() }.ss_flags & libc::SS_ONSTACK != 0;
        ON_ALTERNATE.store(usize::from(on), SeqCst);
    }
}

impl Stranger {
    /// A handler of one argument, which counts and spoils `errno`.
    pub fn short(kind: SignalKind) -> Self {
        Self::install(kind, short as *const () as usize, 0)
    }

    /// A handler of three arguments, which counts and calls the one before it, if that has three as well.
    pub fn long(kind: SignalKind) -> Self {
        Self::long_with(kind, 0)
    }

    /// The same with some flags more.
    pub fn long_with(kind: SignalKind, flags: libc::c_int) -> Self {
        let before = Disposition::of(kind);
        NEXT.store(if before.is_real() { before.handler } else { 0 }, SeqCst);
        Self::install(kind, long as *const () as usize, libc::SA_SIGINFO | flags)
    }

    /// Nothing at all.
    pub fn ignore(kind: SignalKind) -> Self {
        Self::install(kind, libc::SIG_IGN, 0)
    }

    /// What the system does by itself.
    pub fn default(kind: SignalKind) -> Self {
        Self::install(kind, libc::SIG_DFL, 0)
    }

    fn install(kind: SignalKind, handler: usize, flags: libc::c_int) -> Self {
        CALLS.store(0, SeqCst);
        // SAFETY: all zeroes are a valid one.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler;
        action.sa_flags = flags | libc::SA_ONSTACK;
        let mut before = MaybeUninit::zeroed();
        // SAFETY: reads one and fills the other; the handler is a function of the shape that the flags say.
        let set = unsafe { libc::sigaction(kind.as_raw(), &action, before.as_mut_ptr()) };
        assert_eq!(set, 0, "sigaction");
        // SAFETY: filled.
        Self { kind, before: unsafe { before.assume_init() } }
    }

    /// Leaves it in place.
    pub fn stay(self) {
        std::mem::forget(self);
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // SAFETY: gives back what the system gave.
        unsafe { libc::sigaction(self.kind.as_raw(), &self.before, ptr::null_mut()) };
    }
}

impl std::fmt::Debug for Stranger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stranger").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Raises a signal with a mark in `errno`; what that is afterwards.
pub fn errno_after_raise(kind: SignalKind, mark: i32) -> i32 {
    // SAFETY: takes nothing.
    let me = unsafe { libc::pthread_self() };
    set_errno(mark);
    // SAFETY: the thread lives. It does not touch `errno`, unlike `raise`.
    unsafe { libc::pthread_kill(me, kind.as_raw()) };
    io::Error::last_os_error().raw_os_error().expect("a code")
}

fn set_errno(code: i32) {
    #[cfg(any(target_os = "linux", target_os = "dragonfly"))]
    // SAFETY: the location belongs to the calling thread.
    unsafe {
        *libc::__errno_location() = code;
    }
    #[cfg(any(target_os = "macos", target_os = "freebsd"))]
    // SAFETY: as above.
    unsafe {
        *libc::__error() = code;
    }
    #[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
    // SAFETY: as above.
    unsafe {
        *libc::__errno() = code;
    }
}

/// One read, as the system returns from it: an interruption is an error.
pub fn read_once(fd: &impl std::os::fd::AsRawFd, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: fills at most the buffer.
    let got = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}

/// Stops a child of this process, and waits until it has stopped.
pub fn stop_child(pid: libc::pid_t) {
    kill(pid, SignalKind::from_raw(libc::SIGSTOP));
    let mut status = 0;
    // SAFETY: fills the status.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) }, pid);
    assert!(libc::WIFSTOPPED(status), "status {status:#x}");
}

/// Runs `f` in a child that borrows this process's memory, as the child of a `vfork` does; waits for its end.
#[cfg(target_os = "linux")]
pub fn in_borrowing_child(f: extern "C" fn(*mut libc::c_void) -> libc::c_int) {
    let mut stack = vec![0_u128; 16 * 1024];
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own, and this thread waits until it has ended.
    let pid = unsafe { libc::clone(f, top.cast(), flags, ptr::null_mut()) };
    assert!(pid > 0, "clone: {}", io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: fills the status.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert_eq!(status, 0, "the child");
}
