//! Who sent a signal, as the system tells the handler.

use crate::signal::Sender;

/// The sender, if a process sent the signal, or ended and this is its SIGCHLD. Of others the fields mean something else.
/// Async-signal-safe.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
pub(super) fn sender(info: &libc::siginfo_t) -> Sender {
    if !has_sender(info.si_signo, info.si_code) {
        return Sender::UNKNOWN;
    }
    // SAFETY: by the code, these fields of the union are filled.
    let (process, user) = unsafe { (info.si_pid(), info.si_uid()) };
    Sender { process: u32::try_from(process).unwrap_or(0), user }
}

/// Not told apart yet: each system has its own codes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn sender(_: &libc::siginfo_t) -> Sender {
    Sender::UNKNOWN
}

/// Whether this code says that a process sent the signal, or that it is about one.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn has_sender(number: i32, code: i32) -> bool {
    let sent = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL].contains(&code);
    sent || (number == libc::SIGCHLD && (libc::CLD_EXITED..=libc::CLD_CONTINUED).contains(&code))
}
