//! The signal handler: its manners, its place among others, and where it may run.

use std::{
    io,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Closed, Event, Signal,
    os::unix::signal as kinds,
    signal::SignalKind,
    time::{self, Deadline},
};

use super::signal::{received, signal_on};
use crate::{
    Cx, LONG, Outcome, Task,
    signals::{self as send, Disposition, Stranger, raise},
    skip, unix,
};

/// How long a child of a fork may take.
const CHILD: Duration = Duration::from_secs(10);
const USER1: SignalKind = kinds::USER_DEFINED1;
const USER2: SignalKind = kinds::USER_DEFINED2;

/// The handler has SA_SIGINFO, SA_RESTART and SA_ONSTACK, and these do what they are for: a read goes on that it
/// interrupted, and it runs on the thread's alternate stack. It leaves `errno` alone.
pub fn signal_handler_is_polite(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let _stranger = Stranger::short(USER1); // which spoils errno, and looks at its stack
    let signal = signal_on(&notifier, USER1);
    assert_eq!(Disposition::of(USER1).flags, libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK);
    for mark in [libc::EXDEV, libc::EAGAIN] {
        let calls = send::CALLS.load(SeqCst);
        assert_eq!(send::errno_after_raise(USER1, mark), mark);
        assert_eq!(send::CALLS.load(SeqCst), calls + 1);
    }
    // Threads of std have one.
    thread::spawn(|| raise(USER1)).join().unwrap();
    assert_eq!(send::ON_ALTERNATE.load(SeqCst), 1);

    let (from, to) = unix::pipe();
    let calls = send::CALLS.load(SeqCst);
    thread::scope(|scope| {
        let (target, handed) = std::sync::mpsc::channel();
        let from = &from;
        let reader = scope.spawn(move || {
            target.send(unix::Target::me()).unwrap();
            let mut buf = [0; 8];
            send::read_once(from, &mut buf).map(|n| buf[..n].to_vec())
        });
        let target = handed.recv().unwrap();
        // It is in the read most of the time.
        for sent in 1..=20 {
            target.signal(USER1.as_raw());
            cx.until("the handler", || send::CALLS.load(SeqCst) == calls + sent);
            thread::sleep(Duration::from_millis(2));
        }
        io::Write::write_all(&mut &to, b"x").unwrap();
        assert_eq!(reader.join().unwrap().expect("no interruption"), b"x");
    });
    assert!(received(notifier.block_on(signal.recv())).1 >= 20);
    Ok(())
}

/// A handler that was there before is called as the system would; SIG_IGN is not. Each comes back.
pub fn signal_chains(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for (install, number) in [(Stranger::short as fn(_) -> _, 0), (Stranger::long, USER1.as_raw())] {
        let stranger = install(USER1);
        let before = Disposition::of(USER1);
        for _ in 0..3 {
            let signals = [(); 2].map(|()| signal_on(&notifier, USER1));
            let calls = send::CALLS.load(SeqCst);
            raise(USER1);
            assert_eq!(send::CALLS.load(SeqCst), calls + 1);
            assert_eq!(send::SEEN_NUMBER.load(SeqCst), number);
            for signal in &signals {
                assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
            }
            drop(signals);
            assert_eq!(Disposition::of(USER1), before);
        }
        raise(USER1);
        assert_eq!(send::SEEN_NUMBER.load(SeqCst), number);
        drop(stranger);
    }
    for install in [Stranger::ignore, Stranger::default] {
        let stranger = install(USER1);
        let before = Disposition::of(USER1);
        let signal = signal_on(&notifier, USER1);
        raise(USER1);
        assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
        drop(signal);
        assert_eq!(Disposition::of(USER1), before);
        drop(stranger);
    }
    Ok(())
}

/// A handler that was put over pike's stays when pike's listeners go, and pike's beneath it is used again by the next. If
/// somebody went back to the default, the next listener puts pike's in place again.
pub fn signal_restores_only_its_own(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = Disposition::of(USER1);
    let signal = signal_on(&notifier, USER1);
    let ours = Disposition::of(USER1);
    let stranger = Stranger::long(USER1); // which calls pike's
    let theirs = Disposition::of(USER1);
    assert_ne!(ours, theirs);
    raise(USER1);
    assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    drop(signal);
    assert_eq!(Disposition::of(USER1), theirs);
    raise(USER1);
    assert_eq!(send::CALLS.load(SeqCst), 2);

    let signal = signal_on(&notifier, USER1);
    assert_eq!(Disposition::of(USER1), theirs);
    raise(USER1);
    assert_eq!(send::CALLS.load(SeqCst), 3, "a circle");
    assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    drop(stranger); // puts pike's back
    assert_eq!(Disposition::of(USER1), ours);
    raise(USER1);
    assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    drop(signal);
    assert_eq!(Disposition::of(USER1), before);

    // Somebody goes back to the default, and stays there.
    let signal = signal_on(&notifier, USER1);
    Stranger::default(USER1).stay();
    let other = signal_on(&notifier, USER1);
    raise(USER1);
    for signal in [&signal, &other] {
        assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    }
    Stranger::ignore(USER1).stay();
    drop((signal, other));
    assert_eq!(Disposition::of(USER1).handler, libc::SIG_IGN);
    Stranger::default(USER1).stay();
    Ok(())
}

/// The signal is ignored for a moment, as system(3) does with SIGINT, and then pike's handler is put back: listeners that came
/// or went in that moment change nothing for the others, what pike had found comes back in the end, and handlers call each
/// other in no circle.
pub fn signal_ignored_for_a_moment(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = Disposition::of(USER1);
    for first_goes in [false, true] {
        let mut first = Some(signal_on(&notifier, USER1));
        let ours = Disposition::of(USER1);
        let moment = Stranger::ignore(USER1);
        if first_goes {
            first = None;
        }
        let second = signal_on(&notifier, USER1);
        raise(USER1);
        assert_eq!(received(notifier.block_on(second.recv())), (USER1, 1));
        drop(moment);
        assert_eq!(Disposition::of(USER1), ours);
        raise(USER1);
        assert_eq!(received(notifier.block_on(second.recv())), (USER1, 1));
        drop((first, second));
        assert_eq!(Disposition::of(USER1), before, "the first went: {first_goes}");
    }

    let signal = signal_on(&notifier, USER1);
    let moment = Stranger::ignore(USER1);
    drop(signal);
    drop(moment);
    // Back, for nobody: harmless.
    raise(USER1);
    let signals = {
        let first = signal_on(&notifier, USER1);
        let _stranger = Stranger::long(USER1); // which calls pike's
        let signals = [first, signal_on(&notifier, USER1)];
        raise(USER1);
        assert_eq!(send::CALLS.load(SeqCst), 1, "a circle");
        signals
    };
    for signal in &signals {
        assert_eq!(received(notifier.block_on(signal.recv())), (USER1, 1));
    }
    drop(signals);
    assert_eq!(Disposition::of(USER1), before);
    Ok(())
}

/// How the program had SIGCHLD set stays while pike listens to it: a handler that asked not to hear of stopped children is not
/// called for one, and children that nobody was to wait for still leave nothing to wait for.
pub fn signal_child_flags(cx: &Cx) -> Outcome {
    cx.needs_programs()?;
    let notifier = cx.notifier();
    let child =
        |program: &str| Command::new(program).arg("60").stderr(Stdio::null()).spawn().expect("a child");
    let stranger = Stranger::long_with(kinds::CHILD, libc::SA_NOCLDSTOP);
    let before = Disposition::of(kinds::CHILD);
    let signal = signal_on(&notifier, kinds::CHILD);
    let mut sleeper = child("sleep");
    send::stop_child(sleeper.id() as libc::pid_t);
    thread::sleep(Duration::from_millis(50)); // on its way, if at all
    assert_eq!(send::CALLS.load(SeqCst), 0, "called for a child that stopped");
    sleeper.kill().expect("a child to end");
    sleeper.wait().expect("its end");
    assert_eq!(received(notifier.block_on(signal.recv())), (kinds::CHILD, 1));
    assert_eq!(send::CALLS.load(SeqCst), 1);
    drop(signal);
    assert_eq!(Disposition::of(kinds::CHILD), before);
    drop(stranger);

    for install in [Stranger::ignore, |kind| Stranger::long_with(kind, libc::SA_NOCLDWAIT)] {
        let stranger = install(kinds::CHILD);
        let before = Disposition::of(kinds::CHILD);
        let no_child = || child("true").wait().expect_err("it is gone").raw_os_error();
        assert_eq!(no_child(), Some(libc::ECHILD));
        let signal = signal_on(&notifier, kinds::CHILD);
        if cfg!(target_os = "linux") {
            assert_eq!(no_child(), Some(libc::ECHILD));
        } else {
            child("true").wait().expect("its end");
        }
        assert_eq!(received(notifier.block_on(signal.recv())), (kinds::CHILD, 1));
        drop(signal);
        assert_eq!(Disposition::of(kinds::CHILD), before);
        drop(stranger);
    }
    Ok(())
}

/// 10,000 signals on two threads, while listeners come and go on two others: one that stays hears each, and none of those
/// hears what it should not.
pub fn signal_stress(cx: &Cx) -> Outcome {
    const THREADS: usize = 2;
    let each = cx.rounds(5_000);
    let notifier = cx.notifier();
    let signal = signal_on(&notifier, USER1);
    let (sent, heard) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..each {
                    // The count of what is received as one ends at 1,023.
                    cx.until("the receiver", || sent.load(SeqCst).saturating_sub(heard.load(SeqCst)) < 900);
                    sent.fetch_add(1, SeqCst);
                    raise(USER1);
                }
            });
        }
        let changers = [(); 2].map(|()| {
            scope.spawn(|| {
                let own = cx.notifier();
                let mut changes = 0;
                while !done.load(SeqCst) {
                    let own_kind = signal_on(&own, USER2);
                    let signals = [(); 3].map(|()| signal_on(&own, [USER1, USER2]));
                    own.poll(Some(Duration::ZERO)).unwrap();
                    for signal in &signals {
                        if let Some(got) = future::block_on(future::poll_once(signal.recv())) {
                            assert_eq!(received(got).0, USER1);
                        }
                    }
                    let got = future::block_on(future::poll_once(own_kind.recv()));
                    assert!(got.is_none(), "a signal that nobody sent");
                    changes += 1;
                }
                changes
            })
        });
        while heard.load(SeqCst) < THREADS * each {
            let (kind, count) = received(notifier.block_on(signal.recv()));
            assert_eq!(kind, USER1);
            heard.fetch_add(count as usize, SeqCst);
            cx.check_time("10,000 signals");
        }
        done.store(true, SeqCst);
        for changer in changers {
            assert!(changer.join().unwrap() > 0);
        }
    });
    assert_eq!(heard.load(SeqCst), THREADS * each);
    drop(signal);
    assert!(!Disposition::of(USER1).is_real());
    assert!(!Disposition::of(USER2).is_real());
    Ok(())
}

/// Signals hit a thread wherever it is inside pike, with pike's locks held: registering, notifying, turning, setting timers,
/// making and dropping Signals. Nothing hangs, and no signal is lost. (The Zig original took a lock in its handler.)
pub fn signal_interrupts_pike_anywhere(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let _stranger = Stranger::short(USER1); // called after pike's own work, and counts
    let signal = signal_on(&notifier, USER1);
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (target, handed) = std::sync::mpsc::channel();
    let (notifier, signal, sent, done) = (&notifier, &signal, &sent, &done);
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            target.send(unix::Target::me()).unwrap();
            let _here = notifier.enter();
            let event = Event::counting().unwrap();
            let (mut heard, mut work) = (0, 0_usize);
            while !done.load(SeqCst) || heard < sent.load(SeqCst) {
                cx.check_time("a thread that signals hit");
                let more = Event::latch().unwrap();
                event.notify();
                let other = Signal::new([USER1, USER2]).unwrap();
                let sleeps: Vec<_> = (0..4).map(|_| Task::pending(time::sleep(LONG))).collect();
                notifier.block_on(async {
                    assert!(event.wait().await.unwrap() > 0);
                    time::sleep(Duration::from_micros(20)).await;
                });
                while let Some(got) = notifier.block_on(future::poll_once(signal.recv())) {
                    heard += received(got).1 as usize;
                }
                drop((more, sleeps));
                drop(other);
                work += 1;
            }
            (heard, work)
        });
        let target = handed.recv().unwrap();
        for _ in 0..cx.rounds(5_000) {
            sent.fetch_add(1, SeqCst);
            target.signal(USER1.as_raw());
            // Two that are pending at once would be one.
            cx.until("the handler", || send::CALLS.load(SeqCst) == sent.load(SeqCst));
        }
        done.store(true, SeqCst);
        let (heard, work) = worker.join().unwrap();
        assert_eq!(heard, sent.load(SeqCst));
        assert!(work > 0);
    });
    Ok(())
}

/// What happens in a child of a fork stays there: signals to it reach neither its parent nor the parent's listeners in it,
/// which are closed. The child makes its own, which hears what the child is sent. The parent goes on as before.
pub fn signal_fork(cx: &Cx) -> Outcome {
    if !cfg!(target_os = "linux") {
        skip!("forks with threads around are tried on Linux only");
    }
    let notifier = cx.notifier();
    let signal = signal_on(&notifier, USER1);
    let mut waiter = Some(Task::pending(signal.recv()));
    let mut held = Some(signal_on(&notifier, USER1));
    unix::in_child(CHILD, || {
        raise(USER1);
        let signal = held.as_ref().ok_or("nothing inherited")?;
        match Task::new(signal.recv()).poll() {
            Poll::Ready(Err(error)) if Closed::is(&error) => {}
            other => return Err(format!("the parent's Signal in the child: {other:?}")),
        }
        let entered = notifier.enter();
        match Signal::new(USER1) {
            Err(error) if Closed::is(&error) => {}
            other => return Err(format!("a Signal on the parent's Notifier: {other:?}")),
        }
        drop(entered);
        drop(waiter.take());
        raise(USER1);

        // The child's own, with and without a listener inherited beside it.
        let own = cx.builder().build().map_err(|error| error.to_string())?;
        for _ in 0..3 {
            let signal = signal_on(&own, [USER1, USER2]);
            for kind in [USER1, USER2] {
                raise(kind);
                let got = own.block_on(signal.recv()).map_err(|error| error.to_string())?;
                if (got.kind(), got.count()) != (kind, 1) {
                    return Err(format!("the child's own: {got:?}"));
                }
            }
            drop(held.take());
            drop(signal);
            if Disposition::of(USER1).is_real() {
                return Err("the handler stays".into());
            }
        }
        Ok(())
    });
    let mut waiter = waiter.take().expect("the parent's");
    cx.settle(&notifier);
    assert!(!waiter.is_woken(), "the parent heard what its child was sent");
    raise(USER1);
    cx.turn_until(&notifier, "a waiter from before the fork", || waiter.is_woken());
    assert_eq!(received(waiter.ready()), (USER1, 1));
    drop(waiter);

    // The parent sends to the child, which has its own listener; and to one that has ended with its listener.
    let ready = signal_on(&notifier, USER2);
    let child = unix::start_child(|| {
        let own = cx.builder().build().map_err(|error| error.to_string())?;
        let signal = signal_on(&own, [USER1, USER2]);
        send::kill(send::parent(), USER2);
        let got = own.block_on(signal.recv().timeout(CHILD)).map_err(|error| error.to_string())?;
        match got.info().map(|info| info.pid()) {
            Some(pid) if pid == send::parent() as u32 && got.kind() == USER1 => Ok(()),
            _ => Err(format!("{got:?}")),
        }
    });
    assert_eq!(received(notifier.block_on(ready.recv())), (USER2, 1));
    send::kill(child.pid, USER1);
    unix::expect_end(child, CHILD);
    let mut waiter = Task::pending(signal.recv());
    cx.settle(&notifier);
    assert!(!waiter.is_woken());

    // A child that runs on the parent's memory, as after a vfork: pthread_atfork does not tell of it.
    #[cfg(target_os = "linux")]
    send::in_borrowing_child(raise_and_exit);
    cx.settle(&notifier);
    assert!(!waiter.is_woken(), "the parent heard what a child on its memory was sent");
    raise(USER1);
    cx.turn_until(&notifier, "a waiter of the parent", || waiter.is_woken());
    assert_eq!(received(waiter.ready()), (USER1, 1));
    Ok(())
}

#[cfg(target_os = "linux")]
extern "C" fn raise_and_exit(_: *mut libc::c_void) -> libc::c_int {
    send::kill_me(USER1);
    0
}
