//! A Notifier that goes before what uses it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    task::Poll,
    thread,
    time::Instant,
};

use futures_lite::future;
use pike::{Closed, Event, net, time};

use super::lifecycle::{assert_closed, read_some, read_to_end};
use crate::{Cx, LONG, Outcome, Rng, SHORT, Task, system};

/// The last Notifier value goes while everything waits on it: all waiters are woken with `Closed`, later calls fail at once,
/// and a sleep goes on elsewhere.
pub fn notifier_dropped_wakes_waiters(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, _peer) = cx.stream(&notifier);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let event = notifier.block_on(async { Event::new() }).unwrap();
    cx.settle(&notifier);
    cx.fill_stream(&stream);
    let mut waiters = [
        Task::pending(async { read_some(&stream).await.map(drop) }),
        Task::pending(async { stream.write(b"x").await.map(drop) }),
        Task::pending(async { stream.readable().await }),
        Task::pending(async { listener.accept().await.map(drop) }),
        Task::pending(async { event.wait().await.map(drop) }),
        Task::pending(std::future::poll_fn(|cx| stream.poll_read_ready(cx))),
        Task::pending(std::future::poll_fn(|cx| stream.poll_write_ready(cx))),
    ];
    let entered = notifier.enter();
    let start = Instant::now();
    let mut sleep = Task::pending(time::sleep(SHORT));
    drop(entered);

    // A second value keeps it alive.
    let second = notifier.clone();
    drop(notifier);
    assert!(waiters.iter().all(|waiter| !waiter.is_woken()));
    drop(second);
    for (at, waiter) in waiters.iter_mut().enumerate() {
        assert_eq!(waiter.wakes(), 1, "waiter {at}");
        assert_closed(&format!("waiter {at}"), waiter.ready());
    }
    while sleep.poll().is_pending() {
        cx.until("a sleep was lost with its Notifier", || sleep.is_woken());
    }
    assert!(start.elapsed() >= SHORT);
    assert_closed("a later read", future::block_on(read_some(&stream)));
    assert_closed("a later accept", future::block_on(listener.accept()));
    assert_closed("a later wait", future::block_on(event.wait()));
    event.notify();
    Ok(())
}

/// One thread begins to wait while another drops the Notifier: the waiter always ends, with `Closed`.
pub fn notifier_drop_races_waiters(cx: &Cx) -> Outcome {
    let mut rng = Rng::new();
    for round in 0..cx.rounds(500) {
        let notifier = cx.notifier();
        let (stream, _peer) = cx.stream(&notifier);
        let (spins, ready) = (rng.below(3000), AtomicBool::new(false));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                ready.store(true, SeqCst);
                match round % 3 {
                    0 => future::block_on(stream.readable()),
                    1 => future::block_on(std::future::poll_fn(|cx| stream.poll_read_ready(cx))),
                    _ => future::block_on(read_some(&stream)).map(drop),
                }
            });
            while !ready.load(SeqCst) {
                std::hint::spin_loop();
            }
            (0..spins).for_each(|_| std::hint::spin_loop());
            drop(notifier);
            assert_closed("a wait in a race", waiter.join().unwrap());
        });
    }
    Ok(())
}

/// What outlives its Notifier can be dropped anywhere and closes its descriptors; wakers and Events that come too late do
/// nothing.
pub fn notifier_dropped_before_sockets(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    for elsewhere in [false, true] {
        let notifier = cx.notifier();
        let (stream, peer) = cx.stream(&notifier);
        let (handle, handle_peer) = cx.handle(&notifier);
        let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
        let event = Arc::new(notifier.block_on(async { Event::new() }).unwrap());
        let sleep = {
            let _here = notifier.enter();
            Box::pin(time::sleep(LONG))
        };
        // A waker out of block_on.
        let mut waker = None;
        notifier.block_on(std::future::poll_fn(|cx| {
            waker = Some(cx.waker().clone());
            Poll::Ready(())
        }));
        let late = event.clone();
        drop(notifier);
        let all = (stream, handle, listener, udp, event, sleep, waker);
        let end = move || {
            let (stream, handle, listener, udp, event, sleep, waker) = all;
            let waker = waker.unwrap();
            waker.wake_by_ref();
            let again = waker.clone();
            again.wake();
            event.notify();
            drop((stream, handle, listener, udp, event, sleep, waker));
        };
        match elsewhere {
            true => thread::spawn(end).join().unwrap(),
            false => end(),
        }
        late.notify();
        assert_closed("a late wait", future::block_on(late.wait()));
        assert_eq!(read_to_end(peer), b"");
        assert_eq!(read_to_end(handle_peer), b"");
    }
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// The last value goes on another thread than the one that has turned it, which lives on and turns no more: what the kernel does
/// for others ends all the same, and nothing is left open.
pub fn notifier_gone_elsewhere(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    for _ in 0..20 {
        let notifier = cx.notifier();
        let (stream, peer) = cx.stream(&notifier);
        let mut read = Task::pending(stream.read_owned(Vec::with_capacity(8)));
        thread::scope(|scope| {
            let ((turned, was_turned), (end, ends)) = (mpsc::channel(), mpsc::channel::<()>());
            let turner = notifier.clone();
            scope.spawn(move || {
                cx.settle(&turner);
                drop(turner);
                turned.send(()).unwrap();
                let _ = ends.recv(); // until the end of the round
            });
            was_turned.recv().unwrap();
            drop(notifier);
            cx.until("a receive of a Notifier that is gone", || read.is_woken());
            let (result, buf) = read.ready();
            assert!(Closed::is(&result.unwrap_err()));
            assert_eq!(buf.capacity(), 8);
            drop(end);
        });
        drop(read);
        drop(stream);
        assert_eq!(read_to_end(peer), b"");
    }
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}
