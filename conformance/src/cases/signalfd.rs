//! Signals by a signalfd: Linux only.
//!
//! Each case runs in a child with one thread, since all threads have to block what a signalfd receives.

#![cfg_attr(not(target_os = "linux"), allow(unused))]

use std::{io, time::Duration};

#[cfg(target_os = "linux")]
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::Poll,
    thread,
    time::Instant,
};

#[cfg(target_os = "linux")]
use futures_lite::future;
#[cfg(target_os = "linux")]
use pike::{
    Closed, Notifier, Signal,
    os::{
        linux::signal::signalfd,
        unix::signal::{CHILD, USER_DEFINED1 as USER1, USER_DEFINED2 as USER2, block, real_time, unblock},
    },
    signal::{SignalKind, SignalSet},
};

use crate::{Cx, Outcome, skip, unix};
#[cfg(target_os = "linux")]
use crate::{
    Task, heap,
    signals::{Disposition, kill_me, queue_me, raise, user},
};

/// How long a child may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs a case in a child; elsewhere than on Linux it is skipped.
macro_rules! in_child {
    ($f:expr) => {{
        if !cfg!(target_os = "linux") {
            skip!("only Linux has signalfd");
        }
        #[cfg(target_os = "linux")]
        unix::in_child(LIMIT, || $f.map_err(|error: io::Error| error.to_string()));
        Ok(())
    }};
}

#[cfg(target_os = "linux")]
fn on(notifier: &Notifier, kinds: impl Into<SignalSet>) -> io::Result<Signal> {
    let _here = notifier.enter();
    signalfd(kinds)
}

/// Each signal is received for itself, real-time signals in order, with its sender and its value; more than one read takes.
/// Nothing is allocated for it.
pub fn signalfd_receives_each(cx: &Cx) -> Outcome {
    in_child!((|| {
        let notifier = cx.builder().build()?;
        let kind = real_time(2)?;
        block([kind, USER1, CHILD])?;
        let signal = on(&notifier, [kind, USER1])?;
        assert_eq!(signal.kinds(), SignalSet::from([kind, USER1]));
        let mut waiter = Task::pending(signal.recv());
        (0..20).for_each(|value| queue_me(kind, value - 5));
        cx.turn_until(&notifier, "a signal", || waiter.is_woken());
        let first = waiter.ready()?;
        for value in 0..20 {
            let got = match value {
                0 => &first,
                _ => &notifier.block_on(signal.recv())?,
            };
            let info = got.info().expect("a sender");
            assert_eq!((got.kind(), got.count()), (kind, 1));
            assert_eq!((info.pid(), info.uid()), (std::process::id(), user()));
            assert_eq!(info.value().map(|value| value.as_int()), Some(value - 5));
        }
        drop(first);
        drop(waiter);
        // A plain one has no value. The system makes one of two.
        raise(USER1);
        raise(USER1);
        let got = notifier.block_on(signal.recv())?;
        assert_eq!((got.kind(), got.count()), (USER1, 1));
        assert_eq!(got.info().map(|info| (info.pid(), info.value())), Some((std::process::id(), None)));
        let mut waiter = Task::pending(signal.recv());
        cx.settle(&notifier);
        assert!(waiter.poll().is_pending());
        drop(waiter);
        cx.assert_quiet(&notifier, "a signalfd with nothing in it");

        let children = on(&notifier, CHILD)?;
        let child = unix::start_child(|| Ok(()));
        let pid = child.pid;
        assert_eq!(
            notifier.block_on(children.recv())?.info().map(|info| info.pid()),
            u32::try_from(pid).ok()
        );
        unix::expect_end(child, LIMIT);

        let rounds = async |count| {
            for _ in 0..count {
                let (got, ()) = future::zip(signal.recv(), async { kill_me(USER1) }).await;
                assert_eq!(got.expect("a signal").kind(), USER1);
            }
        };
        let allocations = notifier.block_on(async {
            rounds(10).await;
            let before = heap::here();
            rounds(100).await;
            before.map(|before| (heap::here().expect("it counts") - before).allocations)
        });
        assert!(matches!(allocations, None | Some(0)), "{allocations:?}");
        Ok(())
    })())
}

/// It refuses a signal that the calling thread does not block, what is no signal, and what another source receives; a
/// handler's Signal refuses what a signalfd receives. Then nothing has changed. What was dropped is free again.
pub fn signalfd_refusals(cx: &Cx) -> Outcome {
    in_child!((|| {
        let notifier = cx.builder().build()?;
        let _here = notifier.enter();
        let descriptors = unix::descriptors();
        let refused = |made: io::Result<Signal>, kind: io::ErrorKind, words: &str| {
            let error = made.expect_err(words);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
        };
        use io::ErrorKind::{InvalidInput, ResourceBusy};
        refused(signalfd(USER1), InvalidInput, "SIGUSR1 is not blocked on this thread");
        block(USER1)?;
        refused(signalfd([USER1, USER2]), InvalidInput, "SIGUSR2 is not blocked on this thread");
        block(USER2)?;
        unblock(USER2)?;
        refused(signalfd(USER2), InvalidInput, "SIGUSR2 is not blocked on this thread");
        block(USER2)?;
        refused(signalfd(SignalSet::new()), InvalidInput, "no signal");
        for number in [0, -1, 65, 32, 1000] {
            let kind = SignalKind::from_raw(number);
            refused(signalfd(kind), InvalidInput, "nvalid argument");
            assert_eq!(block([USER1, kind]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        }
        for number in [libc::SIGKILL, libc::SIGSEGV] {
            refused(signalfd(SignalKind::from_raw(number)), InvalidInput, "cannot be received");
        }

        for _ in 0..3 {
            let first = signalfd(USER1)?;
            refused(Signal::new(USER1), ResourceBusy, "a signalfd receives it");
            refused(Signal::new([USER2, USER1]), ResourceBusy, "a signalfd receives it");
            assert!(!Disposition::of(USER2).is_real());
            refused(signalfd([USER2, USER1]), ResourceBusy, "another signalfd receives it");
            let other = signalfd(USER2)?;
            drop(first);
            let handled = Signal::new(USER1)?;
            refused(signalfd(USER1), ResourceBusy, "a Signal with a handler receives it");
            refused(Signal::new(USER2), ResourceBusy, "a signalfd receives it");
            drop((handled, other));
        }
        assert_eq!(unix::descriptors(), descriptors);
        notifier.shutdown(Duration::ZERO);
        assert!(Closed::is(&signalfd(USER1).unwrap_err()));
        assert_eq!(unix::descriptors(), descriptors);
        Ok(())
    })())
}

/// Many tasks wait on one: each signal goes to one of them, and none is left over, though one read takes several. A task that
/// is dropped with its wake passes it on.
pub fn signalfd_shared_by_tasks(cx: &Cx) -> Outcome {
    in_child!((|| {
        let notifier = cx.builder().build()?;
        let kind = real_time(0)?;
        block(kind)?;
        let signal = on(&notifier, kind)?;
        for round in 0..cx.rounds(20) {
            let mut waiters: Vec<_> = (0..12).map(|_| Task::pending(signal.recv())).collect();
            (0..12).for_each(|value| queue_me(kind, value));
            let mut values = BTreeSet::new();
            let mut dropped = false;
            while values.len() < 12 {
                cx.turn_until(&notifier, "a waiter", || waiters.iter().any(Task::is_woken));
                let at = waiters.iter().position(Task::is_woken).expect("one");
                if round % 2 == 0 && !dropped {
                    dropped = true;
                    drop(waiters.remove(at));
                    waiters.push(Task::new(signal.recv()));
                    let _ = waiters.last_mut().map(Task::poll).map(|polled| match polled {
                        Poll::Ready(got) => {
                            values.insert(got.unwrap().info().unwrap().value().unwrap().as_int())
                        }
                        Poll::Pending => false,
                    });
                    if waiters.last().is_some_and(Task::is_done) {
                        waiters.pop();
                    }
                    continue;
                }
                if let Poll::Ready(got) = waiters[at].poll() {
                    values.insert(got?.info().expect("a sender").value().expect("a value").as_int());
                    waiters.remove(at);
                }
            }
            assert!(values.into_iter().eq(0..12));
            drop(waiters);
        }
        Ok(())
    })())
}

/// Three threads receive from one while another turns: no signal lies read and forgotten while somebody waits for it, though
/// one read takes several.
pub fn signalfd_shared_by_threads(cx: &Cx) -> Outcome {
    in_child!((|| {
        let notifier = &cx.builder().build()?;
        let kind = real_time(3)?;
        block(kind)?; // on the threads to come, too
        let signal = &on(notifier, kind)?;
        let heard = &AtomicUsize::new(0);
        let (mut sent, mut is_lost) = (0, false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(move || {
                    while future::block_on(signal.recv()).is_ok() {
                        heard.fetch_add(1, SeqCst);
                    }
                });
            }
            scope.spawn(move || while notifier.poll(Some(Duration::from_millis(20))).is_ok() {});
            for round in 0..cx.rounds(2_000) {
                for value in 0..1 + round % 5 {
                    queue_me(kind, value as i32);
                    sent += 1;
                }
                let start = Instant::now();
                while heard.load(SeqCst) < sent && !is_lost {
                    is_lost = start.elapsed() > LIMIT / 3;
                    thread::yield_now();
                }
            }
            notifier.shutdown(Duration::ZERO); // which ends them all
        });
        assert_eq!(heard.load(SeqCst), sent);
        Ok(())
    })())
}

/// In a child the parent's is closed, and takes no signal from the parent; the child makes its own.
pub fn signalfd_children(cx: &Cx) -> Outcome {
    in_child!((|| {
        let notifier = cx.builder().build()?;
        block([USER1, USER2])?;
        let mut held = Some(on(&notifier, USER1)?);
        raise(USER1);
        kill_me(USER1);
        unix::in_child(LIMIT, || {
            let text = |error: io::Error| error.to_string();
            match Task::new(held.as_ref().ok_or("nothing inherited")?.recv()).poll() {
                Poll::Ready(Err(error)) if Closed::is(&error) => {}
                other => return Err(format!("the parent's in the child: {other:?}")),
            }
            let own = cx.builder().build().map_err(text)?;
            let signal = on(&own, [USER1, USER2]).map_err(text)?;
            kill_me(USER1);
            let got = own.block_on(signal.recv()).map_err(text)?;
            drop(held.take());
            match got.info().map(|info| info.pid()) {
                Some(pid) if pid == std::process::id() && got.kind() == USER1 => Ok(()),
                _ => Err(format!("{got:?}")),
            }
        });
        let signal = held.take().expect("the parent's");
        // One for the thread and one for the process.
        for _ in 0..2 {
            assert_eq!(notifier.block_on(signal.recv())?.kind(), USER1);
        }
        assert!(notifier.block_on(future::poll_once(signal.recv())).is_none());
        Ok(())
    })())
}
