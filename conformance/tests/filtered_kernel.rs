//! A kernel, or a filter in front of it, that refuses `epoll_pwait2`: timers keep their resolution by a timer descriptor.
//!
//! Method: a child of the test installs a seccomp filter that answers the one call with ENOSYS or EPERM, then sleeps.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)] // the filter is installed by two system calls

use std::time::{Duration, Instant};

use pike::{Backend, Notifier, time};
use pike_conformance::{harness::alone, unix};

/// Makes `epoll_pwait2` fail with `errno` in this process from now on.
fn refuse_pwait2(errno: libc::c_int) -> Result<(), String> {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the call's number
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_epoll_pwait2 as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program =
        libc::sock_fprog { len: filter.len() as libc::c_ushort, filter: filter.as_ptr().cast_mut() };
    let failed = |what: &str| format!("{what}: {}", std::io::Error::last_os_error());
    // SAFETY: takes no pointer.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(failed("no_new_privs"));
    }
    // SAFETY: the program outlives the call, which copies it.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } != 0 {
        return Err(failed("seccomp"));
    }
    // SAFETY: refused before any pointer is looked at.
    let refused = unsafe { libc::syscall(libc::SYS_epoll_pwait2, -1, 0, 0, 0, 0, 0) };
    match std::io::Error::last_os_error().raw_os_error() {
        Some(code) if refused == -1 && code == errno => Ok(()),
        code => Err(format!("the filter answers {refused}, {code:?}")),
    }
}

fn sleeps_precisely(errno: libc::c_int) -> Result<(), String> {
    refuse_pwait2(errno)?;
    let notifier = Notifier::builder().backend(Backend::Epoll).build().map_err(|error| error.to_string())?;
    let before = unix::descriptors();
    let mut quickest = Duration::MAX;
    for micros in [100, 300, 700, 1500, 100, 100, 100, 100, 100, 100] {
        let wanted = Duration::from_micros(micros);
        let start = Instant::now();
        notifier.block_on(time::sleep(wanted));
        let took = start.elapsed();
        if took < wanted {
            return Err(format!("{took:?} instead of {wanted:?}"));
        }
        quickest = quickest.min(took);
    }
    if unix::descriptors() != before + 1 {
        return Err(format!("{} descriptors before, {} after", before, unix::descriptors()));
    }
    // Whole milliseconds would take one at least. The best of seven, since the machine may be busy.
    if quickest >= Duration::from_millis(1) {
        return Err(format!("the quickest of seven sleeps of 100 us took {quickest:?}"));
    }
    // A long timer that is still set must not wake who waits for ever, nor a later one be late.
    let turned = notifier.poll(Some(Duration::from_millis(5))).map_err(|error| error.to_string())?;
    if turned == 0 { Ok(()) } else { Err(format!("{turned} woken by nothing")) }
}

#[test]
fn sleeps_below_a_millisecond_where_the_call_is_unknown() {
    alone(|| unix::in_child(Duration::from_secs(10), || sleeps_precisely(libc::ENOSYS)));
}

#[test]
fn sleeps_below_a_millisecond_where_a_filter_refuses_the_call() {
    alone(|| unix::in_child(Duration::from_secs(10), || sleeps_precisely(libc::EPERM)));
}
