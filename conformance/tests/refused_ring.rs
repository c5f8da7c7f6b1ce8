//! A system that does not grant io_uring: what was asked for fails with the cause, and is never replaced.
//!
//! Method: a child of the test installs a seccomp filter that answers a system call with an error, and asks; or one that has
//! another thread spoil what a ring is given.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)] // a few system calls that nobody else makes

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use pike::{Backend, Cause, ChosenBy, Notifier, Refused};
use pike_conformance::{
    Cx, Task,
    harness::{alone, note_skip},
    heap,
    supervised::{self, Answer, refuse, supervised},
    unix,
};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const CHILD: Duration = Duration::from_secs(20);

/// What pike makes of a system that answers `errno`.
fn check(errno: libc::c_int, cause: Cause, kind: io::ErrorKind) -> Result<(), String> {
    check_step(None, errno, cause, kind)
}

/// The same, where it does so at this step of the test.
fn check_step(
    step: Option<&str>,
    errno: libc::c_int,
    cause: Cause,
    kind: io::ErrorKind,
) -> Result<(), String> {
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
        let is_there = step.is_none_or(|step| step == refused.step);
        if told != (Backend::IoUring, cause, Some(errno), kind) || !is_there || error.to_string().is_empty() {
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
            alone(|| unix::in_child(CHILD, missing));
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
        unix::in_child(CHILD, || {
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
            let told = refused.map_err(|error| {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Refused>());
                (error.kind(), cause.map(|refused| (refused.backend, refused.cause, refused.code)))
            });
            let expected = Some((Backend::IoUring, Cause::NoResources, Some(error)));
            match told {
                Err((io::ErrorKind::OutOfMemory, told)) if told == expected => {}
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
        unix::in_child(CHILD, || {
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
        unix::in_child(CHILD, || {
            check_no_more(libc::ENOMEM, || {
                refuse(libc::SYS_io_uring_setup, libc::ENOMEM).map(|()| Vec::new())
            })
        });
    });
}

/// A kernel that has rings, and knows an operation, and not the form of it that pike needs: it says so in the completion.
#[test]
fn a_kernel_that_lacks_a_form_of_an_operation() {
    const NO_SUCH_FLAG: u16 = 1 << 15;
    let forms: [(u8, &'static str); 3] = [
        (27, "a multishot receive"),          // IORING_OP_RECV
        (14, "a cancellation by descriptor"), // IORING_OP_ASYNC_CANCEL
        (13, "a multishot accept"),           // IORING_OP_ACCEPT
    ];
    for (opcode, step) in forms {
        let spoil = move |call: supervised::Call| {
            let entries = supervised::each_entry(call.ring(), 8, |entry| {
                if entry.opcode == opcode {
                    entry.ioprio |= NO_SUCH_FLAG;
                }
            });
            entries.map_or(Answer::Fails(libc::EIO), |()| Answer::Goes)
        };
        let too_old = move || check_step(Some(step), libc::EINVAL, Cause::TooOld, io::ErrorKind::Unsupported);
        alone(|| {
            unix::in_child(CHILD, || {
                let checked = supervised(CHILD, &[libc::SYS_io_uring_enter], spoil, too_old);
                checked.unwrap_or_else(|skip| Err(format!("skipped: {}", skip.reason())))
            });
        });
    }
}

/// Takes all privileges from this thread, and lets the process lock so much memory.
fn may_lock(limit: libc::rlim_t) -> Result<(), String> {
    let failed = |what: &str| Err(format!("{what}: {}", io::Error::last_os_error()));
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: reads the struct it is given.
    if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) } != 0 {
        return failed("the limit");
    }
    // capset(2): version 3, of this thread; of each set two words of no capabilities.
    let (header, sets) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: reads two words, and six.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const sets) } != 0 {
        return failed("the privileges");
    }
    let more = vec![0_u8; limit.rlim_max as usize + (8 << 10)];
    // By number, since AddressSanitizer has a call of that name which does nothing. SAFETY: the pages of a live vector.
    match unsafe { libc::syscall(libc::SYS_mlock, more.as_ptr(), more.len()) } {
        -1 => Ok(()),
        _ => Err("more memory is locked all the same".to_owned()),
    }
}

/// Limits of locked memory, for once real ones. A ring was locked memory until Linux 5.11, and is on 6.18; between, it was memory
/// of the control group, and no such limit concerned it. So each either works, or tells what it lacks: a ring when it is made, the
/// ring of buffers with the first pooled receive. Nothing is lost by that.
#[test]
fn a_process_that_may_lock_little_memory() {
    for limit in [0, 64 << 10, 128 << 10, 160 << 10, 1 << 20] {
        let child = || {
            may_lock(limit)?;
            let cx = Cx::new("little locked memory".to_owned(), Backend::IoUring, CHILD);
            let notifier = match cx.builder().build() {
                Ok(notifier) => notifier,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
                    let notifier = Notifier::new().unwrap();
                    let refused = notifier.probe().refused.clone().expect("it says why");
                    let told = (notifier.backend(), refused.backend, refused.cause, refused.code);
                    let expected = (Backend::Epoll, Backend::IoUring, Cause::NoResources, Some(libc::ENOMEM));
                    assert_eq!(told, expected);
                    notifier
                }
            };
            let (stream, mut peer) = cx.stream(&notifier);
            let mut pooled = Task::pending(stream.recv_pooled());
            peer.write_all(b"pooled").unwrap();
            cx.turn_until(&notifier, "a pooled receive", || pooled.is_woken());
            match pooled.ready() {
                Ok(lease) => assert_eq!(&lease[..], b"pooled"),
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
                    assert_eq!(notifier.backend(), Backend::IoUring);
                    let mut bytes = [0; 8];
                    assert_eq!(notifier.block_on(stream.read(&mut bytes)).unwrap(), 6);
                    assert_eq!(&bytes[..6], b"pooled");
                }
            }
            Ok(())
        };
        alone(|| unix::in_child(CHILD, child));
    }
}

/// The ring is there, and when the first pooled receive comes the kernel has no memory for the ring of buffers. That receive says
/// so, and costs nothing that stays; nothing is lost, and once there is memory the next one works.
#[test]
fn no_memory_for_the_buffers() {
    const REGISTER_PBUF_RING: u64 = 22;
    let cx = Cx::new("no memory for the buffers".to_owned(), Backend::IoUring, CHILD);
    drop(cx.notifier()); // the self-test of rings is over
    let (lacks, mut refused) = (Arc::new(AtomicBool::new(false)), 0);
    let its_lacks = Arc::clone(&lacks);
    let answer = |call: supervised::Call| match call.args[1] == REGISTER_PBUF_RING && lacks.load(SeqCst) {
        true => {
            refused += 1;
            Answer::Fails(libc::ENOMEM)
        }
        false => Answer::Goes,
    };
    let done = supervised(CHILD, &[libc::SYS_io_uring_register], answer, move || {
        for bound in [false, true] {
            let notifier = if bound { cx.builder().bound() } else { cx.builder() }.build().unwrap();
            let (stream, mut peer) = cx.stream(&notifier);
            let _here = notifier.enter();
            let local = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            sender.connect(local.local_addr().unwrap()).unwrap();
            let datagrams = pike::net::UdpSocket::from_std(local).unwrap();
            its_lacks.store(true, SeqCst);
            peer.write_all(b"ab").unwrap();
            for round in 0..25 {
                let before = heap::here().expect("it counts").live;
                let error = match round % 2 {
                    0 => {
                        let mut receiving = Task::pending(stream.recv_pooled());
                        cx.turn_until(&notifier, "an answer", || receiving.is_woken());
                        receiving.ready().unwrap_err()
                    }
                    _ => {
                        let mut receiving = Task::pending(datagrams.recv_from_pooled());
                        cx.turn_until(&notifier, "an answer", || receiving.is_woken());
                        receiving.ready().unwrap_err()
                    }
                };
                assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
                if round >= 4 {
                    assert_eq!(heap::here().expect("it counts").live, before, "what is refused costs memory");
                }
            }
            its_lacks.store(false, SeqCst);
            sender.send(b"datagram").unwrap();
            let mut byte = [0];
            notifier.block_on(async {
                assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
                assert_eq!((&byte, &stream.recv_pooled().await.unwrap()[..]), (b"a", &b"b"[..]));
                assert_eq!(&datagrams.recv_from_pooled().await.unwrap().0[..], b"datagram");
            });
        }
    });
    match done {
        Ok(()) => assert_eq!(refused, 2 * 25),
        Err(skip) => note_skip("no memory for the buffers".to_owned(), skip),
    }
}

/// What the kernel was lent can be taken back without a descriptor more: nobody waits for good for buffers that lie idle there.
#[test]
fn no_descriptor_as_lent_buffers_are_taken_back() {
    const COUNT: u8 = 16;
    few_descriptors(|cx, notifier| {
        let (lent, _peer) = cx.stream(notifier);
        let (ours, mut sender) = std::os::unix::net::UnixStream::pair().unwrap();
        let ours = pike::net::UnixStream::from_std(ours).unwrap();
        let waiting = Task::pending(lent.recv_pooled());
        cx.settle(notifier); // the kernel has its part of the pool
        let _few = unix::FewDescriptors::leave(0);
        let held = (0..COUNT).map(|byte| {
            sender.write_all(&[byte]).unwrap();
            let mut receiving = Task::new(ours.recv_pooled());
            loop {
                if let Poll::Ready(received) = receiving.poll() {
                    break received.unwrap();
                }
                cx.turn_until(notifier, &format!("buffer {byte} of {COUNT}"), || receiving.is_woken());
            }
        });
        let held: Vec<_> = held.collect();
        assert!(held.iter().flat_map(|lease| lease.iter().copied()).eq(0..COUNT));
        assert!(!waiting.is_woken());
    });
}

/// There is no descriptor when the first pooled receive comes: that one says so, and takes nothing. The next works.
#[test]
fn no_descriptor_as_the_pool_is_shared() {
    few_descriptors(|cx, notifier| {
        let (stream, mut peer) = cx.stream(notifier);
        peer.write_all(b"all of it").unwrap();
        cx.settle(notifier);
        let few = unix::FewDescriptors::leave(0);
        for _ in 0..3 {
            let mut receiving = Task::pending(stream.recv_pooled());
            cx.turn_until(notifier, "an answer", || receiving.is_woken());
            assert_eq!(receiving.ready().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        }
        drop(few);
        assert_eq!(&notifier.block_on(stream.recv_pooled()).unwrap()[..], b"all of it");
    });
}

/// In a child for each kind of Notifier, with a pool of 16 buffers.
fn few_descriptors(body: impl Fn(&Cx, &Notifier)) {
    alone(|| {
        for bound in [false, true] {
            unix::in_child(CHILD, || {
                let cx = Cx::new(format!("few descriptors, bound: {bound}"), Backend::IoUring, CHILD / 2);
                let builder = cx.builder().buffers(16, 64);
                let notifier = if bound { builder.bound() } else { builder }.build().unwrap();
                let _here = notifier.enter();
                body(&cx, &notifier);
                Ok(())
            });
        }
    });
}
