//! A system that does not grant io_uring: what was asked for fails with the cause, and is never replaced.
//!
//! Method: a child of the test installs a seccomp filter that answers a system call with an error, and asks.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)] // the filter is installed by two system calls

use std::{io, time::Duration};

use pike::{Backend, Cause, ChosenBy, Notifier, Refused};
use pike_conformance::{harness::alone, unix};

/// Makes the system call `number` fail with `errno` in this process from now on.
fn refuse(number: libc::c_long, errno: libc::c_int) -> Result<(), String> {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let filter = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the call's number
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program =
        libc::sock_fprog { len: filter.len() as libc::c_ushort, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes no pointer.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(format!("no_new_privs: {}", io::Error::last_os_error()));
    }
    // SAFETY: the program outlives the call, which copies it.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } != 0 {
        return Err(format!("seccomp: {}", io::Error::last_os_error()));
    }
    Ok(())
}

/// What pike makes of a system that answers `errno`.
fn check(errno: libc::c_int, cause: Cause, kind: io::ErrorKind) -> Result<(), String> {
    let before = unix::descriptors();
    let demands: [fn() -> io::Result<Notifier>; 2] = [
        || Notifier::builder().backend(Backend::IoUring).build(),
        || {
            unix::set_env("PIKE_BACKEND", "io_uring");
            Notifier::new()
        },
    ];
    // Twice: the second time it is known.
    for demand in demands.into_iter().chain(demands) {
        let error = match demand() {
            Ok(notifier) => return Err(format!("{errno}: it was replaced: {}", notifier.probe())),
            Err(error) => error,
        };
        let refused = error.get_ref().and_then(|cause| cause.downcast_ref::<Refused>());
        let Some(refused) = refused else { return Err(format!("{errno}: no cause: {error:?}")) };
        let told = (refused.backend, refused.cause, refused.code, error.kind());
        if told != (Backend::IoUring, cause, Some(errno), kind) || error.to_string().is_empty() {
            return Err(format!("{errno}: {told:?}: {error}"));
        }
    }
    // Nothing is left behind, and who does not insist is served.
    unix::set_env("PIKE_BACKEND", "");
    if unix::descriptors() != before {
        return Err(format!("{errno}: {before} descriptors before, {} after", unix::descriptors()));
    }
    let notifier = Notifier::new().map_err(|error| error.to_string())?;
    let refused =
        notifier.probe().refused.as_ref().map(|refused| (refused.backend, refused.cause, refused.code));
    match (notifier.backend(), refused) {
        (Backend::Epoll, told) if told == Some((Backend::IoUring, cause, Some(errno))) => Ok(()),
        other => Err(format!("{errno}: it waits, and says why not with a ring: {other:?}")),
    }
}

/// What this kernel itself answers, without a filter: EFAULT if it has rings.
fn kernels_own_answer() -> Option<libc::c_int> {
    // SAFETY: without parameters it makes no ring.
    let result = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, std::ptr::null_mut::<u8>()) };
    assert_eq!(result, -1);
    io::Error::last_os_error().raw_os_error()
}

/// A kernel without rings, for once a real one: qemu-user's, on which `ci/qemu` runs this. Another one's has them.
#[test]
fn what_the_kernel_says_is_told() {
    match kernels_own_answer() {
        Some(libc::ENOSYS) => {
            let missing = || check(libc::ENOSYS, Cause::Missing, io::ErrorKind::Unsupported);
            alone(|| unix::in_child(Duration::from_secs(20), missing));
        }
        answer => {
            let refused = Notifier::builder().backend(Backend::IoUring).build().err();
            let cause =
                refused.map(|error| error.get_ref().unwrap().downcast_ref::<Refused>().unwrap().cause);
            assert_ne!(cause, Some(Cause::Missing), "the kernel's answer is {answer:?}");
        }
    }
}

#[track_caller]
fn in_child(number: libc::c_long, errno: libc::c_int, cause: Cause, kind: io::ErrorKind) {
    alone(|| {
        unix::in_child(Duration::from_secs(20), || {
            refuse(number, errno)?;
            check(errno, cause, kind)
        });
    });
}

#[test]
fn a_kernel_without_io_uring() {
    in_child(libc::SYS_io_uring_setup, libc::ENOSYS, Cause::Missing, io::ErrorKind::Unsupported);
}

#[test]
fn a_filter_that_forbids_io_uring() {
    in_child(libc::SYS_io_uring_setup, libc::EPERM, Cause::Forbidden, io::ErrorKind::PermissionDenied);
}

#[test]
fn a_kernel_that_lacks_a_part() {
    in_child(libc::SYS_io_uring_register, libc::EINVAL, Cause::TooOld, io::ErrorKind::Unsupported);
}

#[test]
fn a_limit_of_locked_memory() {
    in_child(libc::SYS_io_uring_setup, libc::ENOMEM, Cause::NoResources, io::ErrorKind::OutOfMemory);
}

/// A filter that lets rings be made, and not used.
#[test]
fn a_filter_that_forbids_to_enter() {
    in_child(libc::SYS_io_uring_enter, libc::EPERM, Cause::Forbidden, io::ErrorKind::PermissionDenied);
}

/// A result is a process's own: a child of a fork may be under another filter.
#[test]
fn a_child_tests_again() {
    if let Err(error) = Notifier::builder().backend(Backend::IoUring).build() {
        panic!("no io_uring here: {error}");
    }
    in_child(libc::SYS_io_uring_setup, libc::EPERM, Cause::Forbidden, io::ErrorKind::PermissionDenied);
}

/// The test passed, and this process is granted no more rings: who does not insist is served by epoll, and told why.
fn check_no_more(
    error: libc::c_int,
    no_more: impl FnOnce() -> Result<Vec<std::fs::File>, String>,
) -> Result<(), String> {
    let made = Notifier::new().map_err(|error| format!("no ring to begin with: {error}"))?;
    if made.backend() != Backend::IoUring {
        return Err(format!("no ring to begin with: {}", made.probe()));
    }
    drop(made);
    let held = no_more()?;
    let before = unix::descriptors();
    for bound in [false, true] {
        let builder = || if bound { Notifier::builder().bound() } else { Notifier::builder() };
        let insisted = builder().backend(Backend::IoUring).build();
        unix::set_env("PIKE_BACKEND", "io_uring");
        let environment = builder().build();
        unix::set_env("PIKE_BACKEND", "");
        for refused in [insisted, environment] {
            match refused.map_err(|error| error.raw_os_error()) {
                Err(Some(code)) if code == error => {}
                other => return Err(format!("somebody insisted on a ring: {other:?}")),
            }
        }
        let notifier = builder().build().map_err(|error| format!("nobody insisted: {error}"))?;
        let probe = notifier.probe();
        let told = probe.refused.as_ref().map(|refused| (refused.backend, refused.cause, refused.code));
        let expected = (Backend::IoUring, Cause::NoResources, Some(error));
        if (probe.backend, probe.chosen_by, told) != (Backend::Epoll, ChosenBy::Default, Some(expected)) {
            return Err(format!("{probe:?}"));
        }
        drop(notifier);
        if unix::descriptors() != before {
            return Err(format!("{before} descriptors before, {} after", unix::descriptors()));
        }
    }
    drop(held);
    Ok(())
}

/// A limit of descriptors that leaves room for an epoll set and its eventfd, and not for a ring beside.
#[test]
fn a_limit_that_was_reached_since() {
    alone(|| {
        unix::in_child(Duration::from_secs(20), || {
            check_no_more(libc::EMFILE, || {
                let (limit, held) = unix::FewDescriptors::leave(2);
                std::mem::forget(limit); // the child ends with it
                Ok(held)
            })
        });
    });
}

#[test]
fn a_limit_of_locked_memory_that_was_reached_since() {
    alone(|| {
        unix::in_child(Duration::from_secs(20), || {
            check_no_more(libc::ENOMEM, || {
                refuse(libc::SYS_io_uring_setup, libc::ENOMEM).map(|()| Vec::new())
            })
        });
    });
}
