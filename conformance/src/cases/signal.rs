//! Signals by a handler, the source of every Unix.

use std::{
    fs, io,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use futures_lite::future::{self, or};
use pike::{
    Closed, Notifier, Signal,
    os::unix::signal::{self as kinds, real_time},
    signal::{Received, SignalKind, SignalSet, ctrl_c},
};

use crate::{
    Cx, Outcome, Task, heap,
    signals::{self as send, Disposition, Stranger, raise},
    skip, unix,
};

const USER1: SignalKind = kinds::USER_DEFINED1;
const USER2: SignalKind = kinds::USER_DEFINED2;

pub(super) fn signal_on(notifier: &Notifier, kinds: impl Into<SignalSet>) -> Signal {
    let _here = notifier.enter();
    Signal::new(kinds).expect("a Signal")
}

#[track_caller]
pub(super) fn received(got: io::Result<Received>) -> (SignalKind, u64) {
    let got = got.expect("a signal");
    (got.kind(), got.count())
}

/// Each of the common kinds is received, with its sender, alone and in time; then the former disposition is back.
pub fn signal_every_kind(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let all = [
        SignalKind::INTERRUPT,
        kinds::ALARM,
        kinds::CHILD,
        kinds::CONTINUE,
        kinds::HANGUP,
        kinds::IO,
        kinds::PIPE,
        kinds::QUIT,
        kinds::TERMINATE,
        kinds::TERMINAL_STOP,
        USER1,
        USER2,
        kinds::WINDOW_CHANGE,
        #[cfg(any(target_os = "macos", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
        kinds::INFO,
    ];
    for kind in all {
        let before = Disposition::of(kind);
        let signal = signal_on(&notifier, kind);
        assert!(Disposition::of(kind).is_real(), "{kind}");
        assert_eq!(signal.kinds(), SignalSet::from(kind));
        let mut waiter = Task::pending(signal.recv());
        raise(kind);
        cx.turn_until(&notifier, "a signal that was raised", || waiter.is_woken());
        let got = waiter.ready().unwrap();
        drop(waiter);
        assert_eq!((got.kind(), got.count()), (kind, 1));
        if cfg!(target_os = "linux") {
            let info = got.info().expect("a sender");
            assert_eq!((info.pid(), info.uid(), info.value()), (std::process::id(), send::user(), None));
        }
        drop(got);
        // Sent to the process, for any thread of it.
        send::kill_me(kind);
        assert_eq!(received(notifier.block_on(signal.recv())), (kind, 1));
        let mut waiter = Task::pending(signal.recv());
        cx.settle(&notifier);
        assert!(waiter.poll().is_pending(), "{kind} was received more often than it was raised");
        drop(waiter);
        drop(signal);
        assert_eq!(Disposition::of(kind), before, "{kind}");
    }
    Ok(())
}

/// A set receives its kinds and no others; several of one kind are one with a count, and none starves another.
pub fn signal_sets(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let both = signal_on(&notifier, [USER1, USER2]);
    let one = signal_on(&notifier, USER1);
    let mut other = Task::pending(one.recv());
    raise(USER2);
    assert_eq!(received(notifier.block_on(both.recv())), (USER2, 1));
    assert!(!other.is_woken(), "a signal that it did not ask for");
    for _ in 0..5 {
        raise(USER1);
    }
    raise(USER2);
    let mut got = [(); 2].map(|()| received(notifier.block_on(both.recv())));
    got.sort_unstable();
    assert_eq!(got, [(USER1, 5), (USER2, 1)]);
    cx.turn_until(&notifier, "the other listener", || other.is_woken());
    assert_eq!(received(other.ready()), (USER1, 5));

    // A flood of one kind, and a single one of the other.
    for _ in 0..10 {
        raise(USER2);
        let found = (0..3).any(|_| {
            raise(USER1);
            received(notifier.block_on(both.recv())).0 == USER2
        });
        assert!(found, "USER1 starves USER2");
    }
    // The count stops somewhere, and the signals do not.
    for _ in 0..2000 {
        raise(USER1);
    }
    let got = (0..3).map(|_| received(notifier.block_on(both.recv()))).find(|got| got.1 > 1);
    assert_eq!(got, Some((USER1, 1023)));
    Ok(())
}

/// Each of many listeners on one Notifier receives each signal; of several tasks on one listener one does. Those that go
/// take nothing from those that stay, and only with the last the former disposition comes back.
pub fn signal_many_listeners(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = Disposition::of(USER1);
    let mut listeners: Vec<_> = (0..100).map(|_| signal_on(&notifier, USER1)).collect();
    let ours = Disposition::of(USER1);
    while !listeners.is_empty() {
        let mut waiters: Vec<_> = listeners.iter().map(|signal| Task::pending(signal.recv())).collect();
        raise(USER1);
        cx.turn_until(&notifier, "every listener", || waiters.iter().all(Task::is_woken));
        for waiter in &mut waiters {
            assert_eq!(received(waiter.ready()), (USER1, 1));
        }
        drop(waiters);
        assert_eq!(Disposition::of(USER1), ours);
        // From both ends and the middle.
        let left = listeners.len() / 2;
        listeners.drain(left / 2..left / 2 + listeners.len() - left);
    }
    assert_eq!(Disposition::of(USER1), before);

    let signal = signal_on(&notifier, USER1);
    let mut waiters: Vec<_> = (0..3).map(|_| Task::pending(signal.recv())).collect();
    for _ in 0..3 {
        raise(USER1);
        cx.turn_until(&notifier, "a waiter", || waiters.iter().any(Task::is_woken));
        cx.settle(&notifier);
        assert_eq!(waiters.iter().filter(|waiter| waiter.is_woken()).count(), 1, "one signal, one task");
        let at = waiters.iter().position(Task::is_woken).unwrap();
        assert_eq!(received(waiters.remove(at).ready()), (USER1, 1));
    }
    // A wake that its task does not use goes to the next.
    let (first, mut second) = (Task::pending(signal.recv()), Task::pending(signal.recv()));
    raise(USER1);
    cx.turn_until(&notifier, "the first", || first.is_woken());
    drop(first);
    cx.until("the second", || second.is_woken());
    assert_eq!(received(second.ready()), (USER1, 1));
    Ok(())
}

/// A Signal hears what comes from its making on. What came before is for those that were there, though no turn has told
/// them yet.
pub fn signal_from_its_making_on(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let first = signal_on(&notifier, [USER1, USER2]);
    raise(USER1);
    let second = signal_on(&notifier, USER1);
    let mut waiter = Task::pending(second.recv());
    assert_eq!(received(notifier.block_on(first.recv())), (USER1, 1));
    cx.settle(&notifier);
    assert!(waiter.poll().is_pending(), "a signal from before the Signal");

    raise(USER1);
    cx.turn_until(&notifier, "the second signal", || waiter.is_woken());
    assert_eq!(received(waiter.ready()), (USER1, 1));
    assert_eq!(received(notifier.block_on(first.recv())), (USER1, 1));
    Ok(())
}

/// Notifiers on threads of their own: each of their listeners receives a signal that was sent to the process once. One
/// whose Notifier ends takes nothing from the others.
pub fn signal_many_notifiers(cx: &Cx) -> Outcome {
    const THREADS: usize = 4;
    let rounds = cx.rounds(50);
    let (ready, heard, ended) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for at in 0..THREADS {
            let (ready, heard, ended) = (&ready, &heard, &ended);
            scope.spawn(move || {
                let notifier = cx.notifier();
                let signals = [signal_on(&notifier, [USER1, USER2]), signal_on(&notifier, USER1)];
                ready.fetch_add(1, SeqCst);
                // The first thread leaves in the middle.
                for _ in 0..if at == 0 { rounds / 2 } else { rounds } {
                    for signal in &signals {
                        assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
                    }
                    heard.fetch_add(1, SeqCst);
                }
                drop(notifier);
                drop(signals);
                ended.fetch_add(1, SeqCst);
            });
        }
        cx.until("the threads", || ready.load(SeqCst) == THREADS);
        let mut expected = 0;
        for round in 0..rounds {
            expected += if round < rounds / 2 { THREADS } else { THREADS - 1 };
            send::kill_me(USER1);
            cx.until("every listener of every Notifier", || heard.load(SeqCst) == expected);
        }
        cx.until("the end", || ended.load(SeqCst) == THREADS);
    });
    assert!(!Disposition::of(USER1).is_real());
    Ok(())
}

/// The same signal again and again, on one listener and on one made anew each time; what came while nobody listened is
/// not heard.
pub fn signal_again_and_again(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let signal = signal_on(&notifier, USER1);
    for _ in 0..cx.rounds(200) {
        raise(USER1);
        assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    }
    drop(signal);
    for _ in 0..cx.rounds(200) {
        let signal = signal_on(&notifier, USER1);
        raise(USER1);
        assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    }
    let _ignored = Stranger::ignore(USER1);
    raise(USER1);
    let signal = signal_on(&notifier, USER1);
    let mut waiter = Task::pending(signal.recv());
    cx.settle(&notifier);
    assert!(waiter.poll().is_pending());
    Ok(())
}

/// Signals that were not received go with their Signal, and a Signal that nobody waits on keeps nothing busy. A waiter whose
/// Notifier ends is woken, and the handler is harmless then.
pub fn signal_pending_on_drop(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let descriptors = unix::descriptors();
    for _ in 0..10 {
        let signal = signal_on(&notifier, [USER1, USER2]);
        raise(USER1);
        raise(USER2);
        drop(signal);
        let signal = signal_on(&notifier, USER2);
        let waiter = Task::pending(signal.recv());
        raise(USER2);
        drop(waiter);
        drop(signal);
    }
    assert_eq!(unix::descriptors(), descriptors);
    let signal = signal_on(&notifier, USER1);
    raise(USER1);
    cx.assert_quiet(&notifier, "a signal that nobody waits for");
    assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));

    let mut waiter = Task::pending(signal.recv());
    drop(notifier);
    assert!(waiter.is_woken());
    raise(USER1);
    assert!(Closed::is(&waiter.ready().unwrap_err()));
    assert!(Closed::is(&future::block_on(signal.recv()).unwrap_err()));
    raise(USER1);
    drop(waiter);
    drop(signal);
    assert!(!Disposition::of(USER1).is_real());
    Ok(())
}

/// `Signal::termination` receives what ends programs, and `ctrl_c` from its call on. After them the defaults are back.
pub fn signal_termination_and_ctrl_c(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    notifier.block_on(async {
        let term = Signal::termination().unwrap();
        assert_eq!(term.kinds(), SignalSet::from([SignalKind::INTERRUPT, kinds::TERMINATE]));
        for kind in term.kinds().iter() {
            raise(kind);
            let held = or(async { term.recv().await }, future::pending()).await.unwrap();
            assert_eq!(held.kind(), kind);
            drop(held);
        }
        // The two do not take from each other.
        let pressed = ctrl_c();
        raise(SignalKind::INTERRUPT);
        pressed.await.unwrap();
        assert_eq!(received(term.recv().await), (SignalKind::INTERRUPT, 1));
        drop(ctrl_c());
        raise(SignalKind::INTERRUPT);
        assert_eq!(received(term.recv().await), (SignalKind::INTERRUPT, 1));
    });
    assert!(!Disposition::of(SignalKind::INTERRUPT).is_real());
    assert!(!Disposition::of(kinds::TERMINATE).is_real());
    Ok(())
}

/// Under an executor that knows nothing of pike, with the Notifier in the background, whose thread blocks all signals.
pub fn signal_without_notifier(_: &Cx) -> Outcome {
    future::block_on(async {
        let signal = Signal::new(USER1).unwrap();
        for _ in 0..10 {
            send::kill_me(USER1);
            assert_eq!(received(signal.recv().await), (USER1, 1));
        }
        let pressed = ctrl_c();
        send::kill_me(SignalKind::INTERRUPT);
        pressed.await.unwrap();
    });
    if cfg!(target_os = "linux") {
        let mut found = false;
        for task in fs::read_dir("/proc/self/task").unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default();
            let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
            if field("Name:") == "pike-background" {
                let blocked = u64::from_str_radix(field("SigBlk:"), 16).unwrap();
                for kind in [USER1, kinds::TERMINATE, SignalKind::INTERRUPT, kinds::CHILD] {
                    assert!(blocked >> (kind.as_raw() - 1) & 1 == 1, "{kind} is not blocked");
                }
                found = true;
            }
        }
        assert!(found, "no thread in the background");
    }
    Ok(())
}

/// Real-time signals, by their numbers above the first; a handler's source counts what came.
pub fn signal_real_time(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let Ok(first) = real_time(0) else {
        assert_eq!(real_time(0).unwrap_err().kind(), io::ErrorKind::Unsupported);
        return Ok(());
    };
    let last = (0..).map_while(|n| real_time(n).ok()).last().unwrap();
    assert!(last.as_raw() - first.as_raw() >= 7, "POSIX asks for eight");
    assert_eq!(real_time(1).unwrap().to_string(), "SIGRTMIN+1");
    for n in [last.as_raw() - first.as_raw() + 1, i32::MAX, -1] {
        assert_eq!(real_time(n as u32).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    let signal = signal_on(&notifier, [first, last]);
    for kind in [first, last] {
        for _ in 0..3 {
            raise(kind);
        }
        assert_eq!(received(notifier.block_on(signal.recv())), (kind, 3));
    }
    Ok(())
}

/// What is no signal, and what cannot be received, is refused; then nothing has changed, for the others asked for neither.
pub fn signal_bad_input(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let before = Disposition::of(USER1);
    let descriptors = unix::descriptors();
    let refused = |kinds: SignalSet, why: &str, code: Option<i32>| {
        let error = Signal::new(kinds).expect_err(why);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{kinds:?}: {error}");
        assert_eq!(error.raw_os_error(), code, "{kinds:?}: {error}");
        assert!(error.to_string().contains(why), "{kinds:?}: {error}");
    };
    refused(SignalSet::new(), "no signal", None);
    for number in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
        let kind = SignalKind::from_raw(number);
        let why = match number {
            libc::SIGKILL | libc::SIGSTOP => "nobody handle",
            _ => "comes again",
        };
        for why in [&kind.to_string(), why] {
            refused(kind.into(), why, None);
            refused([USER1, kind].into(), why, None);
        }
    }
    let mut no_signals = vec![0, -1, 127, 128, 1000, i32::MAX, i32::MIN];
    if cfg!(target_os = "linux") {
        // Above the last one, and two that the C library keeps.
        no_signals.extend([65, 32, 33]);
    }
    for number in no_signals {
        let kind = SignalKind::from_raw(number);
        refused(kind.into(), "nvalid argument", Some(libc::EINVAL));
        refused([USER1, kind].into(), "nvalid argument", Some(libc::EINVAL));
    }
    assert_eq!(Disposition::of(USER1), before);
    assert_eq!(unix::descriptors(), descriptors);

    notifier.shutdown(Duration::ZERO);
    assert!(Closed::is(&Signal::new(USER1).unwrap_err()));
    assert_eq!(Disposition::of(USER1), before);
    Ok(())
}

/// A receive allocates nothing, and costs the handler nothing either.
pub fn signal_allocates_nothing(cx: &Cx) -> Outcome {
    if heap::here().is_none() {
        skip!("this test binary's allocator does not count");
    }
    let notifier = cx.notifier();
    let signal = &signal_on(&notifier, [USER1, USER2]);
    let rounds = async |count: usize| {
        for at in 0..2 * count {
            let kind = [USER1, USER2][at % 2];
            // It waits first.
            let (got, ()) = future::zip(signal.recv(), async { raise(kind) }).await;
            assert_eq!(received(got), (kind, 1));
        }
    };
    let allocations = notifier.block_on(async {
        rounds(10).await;
        let before = heap::here().expect("it counts");
        rounds(100).await;
        (heap::here().expect("it counts") - before).allocations
    });
    assert_eq!(allocations, 0);
    Ok(())
}
