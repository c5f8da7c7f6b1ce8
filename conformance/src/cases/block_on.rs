//! Driving a future on the calling thread: whose the seat is, and what may be nested.

use std::{
    future::poll_fn,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures_lite::future;

use crate::{Cx, Outcome, read};

/// While one thread turns, `poll` of another fails with `ResourceBusy` and does not disturb it.
pub fn taken_seat_is_busy(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let returned = AtomicBool::new(false);
    let is_busy = |turned: io::Result<usize>| match turned {
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}");
            true
        }
        Ok(_) => false,
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            // The other thread's looks may be in the way at first.
            while is_busy(notifier.poll(None)) {}
            returned.store(true, SeqCst);
        });
        let mut in_a_row = 0;
        while in_a_row < 1000 {
            in_a_row = if is_busy(notifier.poll(Some(Duration::ZERO))) { in_a_row + 1 } else { 0 };
            cx.check_time("the seat is never taken");
        }
        assert!(is_busy(notifier.poll(None)), "a turn without a limit does not wait for the seat");
        assert!(!returned.load(SeqCst), "the other thread's turn was disturbed");
        notifier.notify();
    });
    assert!(returned.load(SeqCst));
    assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
    Ok(())
}

/// Two threads in `block_on` on one Notifier: whichever turns wakes the other, and who finishes leaves the seat to who
/// remains.
pub fn block_on_hands_over_seat(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handles, mut peers) = cx.handles(&notifier, 2);
    let waiting = AtomicUsize::new(0);
    for round in 0..cx.rounds(200) {
        waiting.store(0, SeqCst);
        let (told, done) = mpsc::channel();
        thread::scope(|scope| {
            for (which, handle) in handles.iter().enumerate() {
                let (told, notifier, waiting) = (told.clone(), &notifier, &waiting);
                scope.spawn(move || {
                    let byte = notifier.block_on(async {
                        waiting.fetch_add(1, SeqCst);
                        read(handle).await
                    });
                    told.send((which, byte.unwrap())).unwrap();
                });
            }
            cx.until("a thread never began to wait", || waiting.load(SeqCst) == 2);
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                peers[which].write_all(&[round as u8]).unwrap();
                assert_eq!(done.recv().unwrap(), (which, vec![round as u8]));
            }
        });
    }

    // Who turns by `poll`, returns and never comes back leaves the seat as well.
    let (handle, mut peer) = (&handles[0], &peers[0]);
    for round in 0..cx.rounds(200) {
        let returned = AtomicBool::new(false);
        waiting.store(0, SeqCst);
        thread::scope(|scope| {
            scope.spawn(|| {
                // The other one may be faster: then it has the seat all along.
                while let Err(error) = notifier.poll(None) {
                    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
                    if waiting.load(SeqCst) > 0 {
                        break;
                    }
                }
                returned.store(true, SeqCst);
            });
            if round % 2 == 0 {
                (0..20_000).for_each(|_| std::hint::spin_loop());
            }
            scope.spawn(|| {
                let byte = notifier.block_on(async {
                    waiting.fetch_add(1, SeqCst);
                    read(handle).await
                });
                assert_eq!(byte.unwrap(), [round as u8]);
            });
            cx.until("the second thread never began to wait", || waiting.load(SeqCst) == 1);
            (0..(round % 16) * 1000).for_each(|_| std::hint::spin_loop());
            while !returned.load(SeqCst) {
                notifier.notify();
                thread::yield_now();
            }
            peer.write_all(&[round as u8]).unwrap();
        });
    }
    Ok(())
}

/// `block_on` returns what a future gives that is ready, is woken from elsewhere or by itself; and turns at times even if
/// its future never sleeps.
pub fn block_on_keeps_turning(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    assert_eq!(notifier.block_on(async { 7 }), 7);

    let mut left = 1000;
    let counted = notifier.block_on(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        left -= 1;
        if left == 0 { Poll::Ready("done") } else { Poll::Pending }
    }));
    assert_eq!(counted, "done");

    for _ in 0..cx.rounds(200) {
        let set = Arc::new(AtomicBool::new(false));
        let (send, wakers) = mpsc::channel::<Waker>();
        let remote = set.clone();
        let other = thread::spawn(move || {
            let waker = wakers.recv().unwrap();
            remote.store(true, SeqCst);
            waker.wake();
        });
        notifier.block_on(poll_fn(|cx| {
            if set.load(SeqCst) {
                return Poll::Ready(());
            }
            let _ = send.send(cx.waker().clone()); // only the first is taken
            Poll::Pending
        }));
        other.join().unwrap();
    }

    // A future that wakes itself for ever, beside a read; it counts how long the read takes.
    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let mut polls_since = None;
    let got = notifier.block_on(future::or(
        async {
            handle.readable().await.unwrap();
            read(&handle).await.map(Some)
        },
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            let polls = polls_since.get_or_insert_with(|| {
                peer.write_all(b"x").unwrap();
                0
            });
            *polls += 1;
            // On a loopback the byte is there at once; elsewhere it may take some turns.
            if *polls > 100_000 { Poll::Ready(Ok(None)) } else { Poll::Pending }
        }),
    ));
    assert_eq!(got.unwrap().as_deref(), Some(b"x".as_slice()), "no turn in 100,000 polls");
    if cfg!(target_os = "linux") {
        assert!(polls_since < Some(200), "{polls_since:?} polls until a turn: every 61 at least");
    }
    Ok(())
}

/// The message of a panic in `f`, which must panic.
#[track_caller]
pub(super) fn panic_of(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it does not panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

/// `block_on` inside `block_on` panics and says so; the outer one and both Notifiers go on.
pub fn nested_block_on_panics(cx: &Cx) -> Outcome {
    let (notifier, other) = (cx.notifier(), cx.notifier());
    let (handle, mut peer) = cx.handle(&notifier);
    for inner in [&notifier, &other] {
        let text = notifier.block_on(async {
            let text = panic_of(|| inner.block_on(async {}));
            peer.write_all(b"x").unwrap();
            assert_eq!(read(&handle).await.unwrap(), b"x");
            text
        });
        assert!(text.contains("block_on"), "{text}");
        assert_eq!(inner.block_on(async { 1 }), 1);
        assert_eq!(inner.poll(Some(Duration::ZERO)).unwrap(), 0);
    }
    Ok(())
}
