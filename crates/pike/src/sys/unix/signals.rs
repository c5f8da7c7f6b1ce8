//! Signals: their names, and which of them a thread blocks.

use std::{io, mem::MaybeUninit, ptr, thread};

use super::cvt;

/// What ctrl-c sends.
pub(crate) const INTERRUPT: i32 = libc::SIGINT;

/// What asks a program to end.
pub(crate) const TERMINATION: &[i32] = &[libc::SIGINT, libc::SIGTERM];

/// Those that cannot be handled.
pub(crate) fn is_kept(number: i32) -> bool {
    [libc::SIGKILL, libc::SIGSTOP].contains(&number)
}

/// They, and four that come again at once when their handler returns.
pub(crate) fn is_refused(number: i32) -> bool {
    use libc::{SIGBUS, SIGFPE, SIGILL, SIGSEGV};
    is_kept(number) || [SIGSEGV, SIGBUS, SIGFPE, SIGILL].contains(&number)
}

/// What keeps the system waiting for the end of what a signal has started: on Unix it never does.
#[derive(Debug)]
pub(crate) struct Held;

impl Held {
    /// For one that comes now.
    #[inline]
    pub(crate) fn new(_number: i32) -> Self {
        Self
    }

    /// Leaves it to be adopted.
    #[inline]
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }

    /// Takes over what was left.
    #[inline]
    pub(crate) fn adopt(_number: i32) -> Self {
        Self
    }
}

/// So that to drop what has one means something to the compiler, as it does on Windows.
impl Drop for Held {
    #[inline]
    fn drop(&mut self) {}
}

/// The name of a signal, and a number to add to it.
pub(crate) fn signal_name(number: i32) -> Option<(&'static str, i32)> {
    macro_rules! names {
        ($($name:ident)*) => { [$((libc::$name, stringify!($name))),*] };
    }
    let names = names!(
        SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM
        SIGTERM SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH
        SIGIO SIGSYS
    );
    if let Some((_, name)) = names.into_iter().find(|(known, _)| *known == number) {
        return Some((name, 0));
    }
    let (first, last) = real_time_signals()?;
    (first <= number && number <= last).then_some(("SIGRTMIN", number - first))
}

/// The first and the last real-time signal that programs may use.
pub(crate) fn real_time_signals() -> Option<(i32, i32)> {
    cfg_if::cfg_if! {
        if #[cfg(any(target_os = "linux", target_os = "android"))] {
            // The C library keeps the kernel's first ones.
            Some((libc::SIGRTMIN(), libc::SIGRTMAX()))
        } else if #[cfg(target_os = "freebsd")] {
            Some((65, 126))
        } else if #[cfg(target_os = "netbsd")] {
            Some((33, 63))
        } else {
            None
        }
    }
}

/// Starts a thread of pike's own, which must not run the program's handlers: it begins with all signals blocked, but
/// faults, since a thread inherits what the one that starts it blocks. There they are blocked meanwhile.
#[allow(unsafe_code)]
pub(crate) fn spawn_deaf(name: &str, f: impl FnOnce() + Send + 'static) -> io::Result<()> {
    /// What the thread blocked before, and blocks again when this is dropped.
    struct Before(libc::sigset_t);
    impl Drop for Before {
        fn drop(&mut self) {
            // SAFETY: reads the set, and no old one is asked for. It cannot fail with these arguments.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
        }
    }
    let mut before = MaybeUninit::uninit();
    // SAFETY: reads one set and fills the other. It cannot fail with these arguments.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &Mask::all_but_faults().0, before.as_mut_ptr()) };
    // SAFETY: filled by the call.
    let _before = Before(unsafe { before.assume_init() });
    thread::Builder::new().name(name.into()).spawn(f).map(drop)
}

/// Blocks or unblocks (`SIG_BLOCK`, `SIG_UNBLOCK`) some signals on the calling thread.
#[allow(unsafe_code)]
pub(crate) fn change_mask(how: i32, numbers: impl Iterator<Item = i32>) -> io::Result<()> {
    let set = Mask::of(numbers)?;
    // SAFETY: reads the set, and no old one is asked for.
    match unsafe { libc::pthread_sigmask(how, &set.0, ptr::null_mut()) } {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The C library's set of signals.
pub(crate) struct Mask(pub(super) libc::sigset_t);

#[allow(unsafe_code)]
impl Mask {
    /// `EINVAL` for what is no signal.
    pub(crate) fn of(numbers: impl Iterator<Item = i32>) -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: fills the set it is given.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: filled above.
        let mut mask = Self(unsafe { set.assume_init() });
        for number in numbers {
            // SAFETY: changes an initialised set.
            cvt(unsafe { libc::sigaddset(&mut mask.0, number) })?;
        }
        Ok(mask)
    }

    /// All but those that tell of a fault of the thread itself: while one of these is blocked, the kernel ends the
    /// process instead of calling the program's handler.
    pub(super) fn all_but_faults() -> Self {
        use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
        let mut set = MaybeUninit::uninit();
        // SAFETY: fills the set it is given.
        unsafe { libc::sigfillset(set.as_mut_ptr()) };
        // SAFETY: filled above.
        let mut mask = Self(unsafe { set.assume_init() });
        for fault in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP] {
            // SAFETY: changes an initialised set.
            unsafe { libc::sigdelset(&mut mask.0, fault) };
        }
        mask
    }

    /// What the calling thread blocks.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: changes nothing, and fills the set it is given.
        match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr()) } {
            // SAFETY: filled by the call.
            0 => Ok(Self(unsafe { set.assume_init() })),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn contains(&self, number: i32) -> bool {
        // SAFETY: reads an initialised set.
        unsafe { libc::sigismember(&self.0, number) == 1 }
    }
}
