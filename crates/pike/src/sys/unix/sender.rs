//! Who sent a signal, as the system tells the handler.

use crate::signal::Sender;

cfg_if::cfg_if! {
    if #[cfg(target_os = "freebsd")] {
        /// `SI_USER`, `SI_QUEUE` and `SI_LWP` of <sys/signal.h>, which libc lacks: kill(2), sigqueue(2) and thr_kill(2).
        const SENT: [i32; 3] = [0x10001, 0x10002, 0x10007];
    } else if #[cfg(any(target_os = "linux", target_os = "android"))] {
        const SENT: [i32; 3] = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL];
    }
}

/// The sender, if a process sent the signal, or ended and this is its SIGCHLD. Of others the fields mean something else.
/// Async-signal-safe.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
#[allow(unsafe_code)]
pub(super) fn sender(info: &libc::siginfo_t) -> Sender {
    if !has_sender(info.si_signo, info.si_code) {
        return Sender::UNKNOWN;
    }
    // SAFETY: by the code, these fields of the union are filled.
    let (process, user) = unsafe { (info.si_pid(), info.si_uid()) };
    Sender { process: u32::try_from(process).unwrap_or(0), user }
}

/// Not told: each system has codes of its own, and macOS keeps one sender a process, not one a signal.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(super) fn sender(_: &libc::siginfo_t) -> Sender {
    Sender::UNKNOWN
}

/// Whether this code says that a process sent the signal, or that it is about one.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(super) fn has_sender(number: i32, code: i32) -> bool {
    SENT.contains(&code)
        || (number == libc::SIGCHLD && (libc::CLD_EXITED..=libc::CLD_CONTINUED).contains(&code))
}
