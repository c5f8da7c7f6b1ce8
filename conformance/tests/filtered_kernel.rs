//! A kernel, or a filter in front of it, that refuses `epoll_pwait2`: timers keep their resolution by a timer descriptor.
//!
//! Method: a child of the test installs a seccomp filter that answers the one call with ENOSYS or EPERM, then sleeps.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)] // it is tried once

use std::time::{Duration, Instant};

use pike::{Backend, Notifier, time};
use pike_conformance::{harness::alone, supervised::refuse, unix};

/// Makes `epoll_pwait2` fail with `errno` in this process from now on.
fn refuse_pwait2(errno: libc::c_int) -> Result<(), String> {
    refuse(libc::SYS_epoll_pwait2, errno)?;
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
