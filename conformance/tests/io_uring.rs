//! What only a ring can get wrong: requests that end by themselves, queues that are full, threads that exit, sockets that
//! are closed while the kernel holds a request for them.
#![cfg(target_os = "linux")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{Arc, Mutex},
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use pike::{Backend, ChosenBy, Handle, Notifier, net};
use pike_conformance::{Cx, Task, calling_when_cloned, harness::alone, unix};

fn cx(name: &str) -> Cx {
    Cx::new(name.to_owned(), Backend::IoUring, Duration::from_secs(60))
}

/// Who asks for nothing gets a ring where there is one; the Notifier in the background and a pool do not. In a child, since
/// it changes the environment.
#[test]
fn the_choice_of_who_does_not_choose() {
    alone(|| {
        unix::in_child(Duration::from_secs(20), || {
            unix::set_env("PIKE_BACKEND", "");
            let expected = match cfg!(pike_kqueue_double) {
                true => [Backend::Kqueue; 3],
                false => [Backend::IoUring, Backend::Epoll, Backend::Epoll],
            };
            let error = |error: std::io::Error| error.to_string();
            let probe = Notifier::new().map_err(error)?.probe().clone();
            let background = Notifier::background().map_err(error)?.backend();
            let pool = pike_sched::Pool::builder().build().map_err(error)?.notifier().backend();
            match ([probe.backend, background, pool], probe.chosen_by, &probe.refused) {
                (chosen, ChosenBy::Default, None) if chosen == expected => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    });
}

async fn read_one(stream: &net::TcpStream) -> u8 {
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
    byte[0]
}

/// The kernel ends the requests of a thread that has exited, at the next arrival and without saying which. Those who wait hear of it.
#[test]
fn waiters_outlive_the_thread_that_submitted_for_them() {
    let cx = cx("thread exit");
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    for round in 0..20 {
        let mut reader = Task::pending(read_one(&stream));
        // This thread starts the poll of the reader, and that of the notify descriptor, and ends.
        thread::scope(|scope| {
            scope.spawn(|| cx.settle(&notifier));
        });
        assert!(reader.poll().is_pending());
        peer.write_all(&[round]).unwrap();
        cx.turn_until(&notifier, "data after the thread's end", || reader.is_woken());
        assert_eq!(reader.ready(), round);
        // And whoever sleeps in a turn hears a notify.
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| notifier.poll(Some(Duration::from_secs(30))).unwrap());
            let started = Instant::now();
            while !sleeper.is_finished() {
                notifier.notify();
                thread::sleep(Duration::from_millis(1));
            }
            assert!(started.elapsed() < Duration::from_secs(20), "a notify was not heard");
        });
    }
}

/// More arrivals between two turns than the completion queue holds: it overflows, and polls end. Nothing is lost.
#[test]
fn an_overflow_of_completions_loses_nothing() {
    const ARRIVALS: usize = 10_000;
    let cx = cx("overflow");
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let (idle, mut idle_peer) = cx.stream(&notifier);
    let mut waits = Task::pending(read_one(&idle));
    let mut reader = Task::pending(read_one(&stream));
    cx.settle(&notifier);
    for _ in 0..ARRIVALS {
        peer.write_all(b"x").unwrap();
    }
    idle_peer.write_all(b"y").unwrap();
    cx.turn_until(&notifier, "the first of many", || reader.is_woken());
    assert_eq!(reader.ready(), b'x');
    notifier.block_on(async {
        for _ in 1..ARRIVALS {
            assert_eq!(read_one(&stream).await, b'x');
        }
    });
    cx.turn_until(&notifier, "another source's data", || waits.is_woken());
    assert_eq!(waits.ready(), b'y');
    // The polls go on, or were started again.
    for _ in 0..3 {
        let mut reader = Task::pending(read_one(&stream));
        cx.settle(&notifier);
        peer.write_all(b"z").unwrap();
        cx.turn_until(&notifier, "data after an overflow", || reader.is_woken());
        assert_eq!(reader.ready(), b'z');
    }
}

/// More sources begin to wait between two turns than the submission queue holds, and are dropped, too.
#[test]
fn a_full_submission_queue_loses_nothing() {
    alone(|| {
        unix::raise_descriptor_limit();
        let cx = cx("full queue");
        for bound in [false, true] {
            let builder = cx.builder();
            let notifier = if bound { builder.bound() } else { builder }.build().unwrap();
            let (handles, mut peers) = cx.handles(&notifier, 1000);
            let mut waiting: Vec<_> = handles.iter().map(|handle| Task::pending(handle.readable())).collect();
            notifier.poll(Some(Duration::ZERO)).unwrap();
            peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
            cx.turn_until(&notifier, "a thousand sources", || waiting.iter().all(Task::is_woken));
            waiting.iter_mut().for_each(|waiter| assert!(waiter.poll().is_ready()));
            drop(waiting);
            drop(handles);
            notifier.poll(Some(Duration::ZERO)).unwrap();
            for mut peer in peers {
                // The data was not read, so that this is a reset rather than an end.
                assert!(peer.read(&mut [0]).map_or(true, |n| n == 0));
            }
        }
    });
}

/// A poll in flight must not keep the peer from the end of a socket that is closed: without a turn where any thread may
/// cancel, and with one where only the thread that the Notifier is bound to can.
#[test]
fn a_closed_socket_ends_although_it_was_waited_for() {
    let cx = cx("FIN");
    let ends = |peer: &mut TcpStream| {
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    };
    let waited_for = |notifier: &Notifier| {
        let (handle, peer) = cx.handle(notifier);
        drop(Task::pending(handle.readable()));
        cx.settle(notifier);
        (handle, peer)
    };
    let free = cx.notifier();
    let (handle, mut peer) = waited_for(&free);
    drop(handle);
    ends(&mut peer);
    let (handle, mut peer) = waited_for(&free);
    thread::spawn(move || drop(handle)).join().unwrap();
    ends(&mut peer);

    let bound = cx.builder().bound().build().unwrap();
    let (handle, mut peer) = waited_for(&bound);
    drop(handle);
    bound.poll(Some(Duration::ZERO)).unwrap();
    ends(&mut peer);
    let (handle, mut peer) = waited_for(&bound);
    let dropping = thread::spawn(move || drop(handle));
    // Interrupted by the other thread's drop.
    dropping.join().unwrap();
    bound.poll(Some(Duration::ZERO)).unwrap();
    ends(&mut peer);
}

/// The end of a Notifier cancels all, so that sockets which outlive it can still end; of a bound one too, whose thread exits.
#[test]
fn sockets_end_after_their_notifier() {
    let cx = cx("sockets outlive");
    for bound in [false, true] {
        let (handle, mut peer): (Handle<TcpStream>, TcpStream) = thread::scope(|scope| {
            let made = scope.spawn(|| {
                let builder = cx.builder();
                let notifier = if bound { builder.bound() } else { builder }.build().unwrap();
                let (handle, peer) = cx.handle(&notifier);
                drop(Task::pending(handle.readable()));
                cx.settle(&notifier);
                (handle, peer)
            });
            made.join().unwrap()
        });
        drop(handle);
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "bound: {bound}");
    }
}

/// What the thread of a bound Notifier waits for arrives, from sources of other threads too.
#[test]
fn a_bound_ring_serves_sources_of_other_threads() {
    let cx = cx("bound");
    let notifier = cx.builder().bound().build().unwrap();
    notifier.poll(Some(Duration::ZERO)).unwrap();
    let (stream, mut peer) = cx.stream(&notifier);
    for round in 0..100 {
        thread::scope(|scope| {
            let reader = scope.spawn(|| futures_lite::future::block_on(read_one(&stream)));
            peer.write_all(&[round]).unwrap();
            while !reader.is_finished() {
                cx.check_time("a reader on another thread");
                notifier.poll(Some(Duration::from_millis(20))).unwrap();
            }
            assert_eq!(reader.join().unwrap(), round);
        });
    }
}

/// A receive into a buffer of its own ends after a pooled one has seen it under way, and before that one waits.
#[test]
fn a_reader_that_waits_for_another_is_woken_however_early_that_ends() {
    let cx = cx("reader behind a reader");
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let stream = Arc::new(stream);
    let first = Task::pending({
        let stream = Arc::clone(&stream);
        async move { stream.read_owned(Vec::with_capacity(1)).await.1 }
    });
    peer.write_all(b"a").unwrap();
    cx.turn_until(&notifier, "the first", || first.is_woken());

    let first = Arc::new(Mutex::new(Some(first)));
    let mut second = Task::new(stream.recv_pooled());
    let waker = calling_when_cloned(Waker::from(second.counter()), {
        let first = Arc::clone(&first);
        move || {
            let first = first.lock().unwrap().take();
            first.into_iter().for_each(|mut first| assert_eq!(first.ready(), b"a"));
        }
    });
    assert!(second.poll_with(&waker).is_pending());
    assert!(first.lock().unwrap().is_none(), "the second has looked and waits");
    peer.write_all(b"b").unwrap();
    loop {
        cx.turn_until(&notifier, "the second", || second.is_woken());
        if let Poll::Ready(lease) = second.poll() {
            assert_eq!(&lease.unwrap()[..], b"b");
            return;
        }
    }
}

/// A descriptor that is closed behind its Handle's back, under a read: its number is another's by then, of which nothing is read
/// or cancelled.
#[test]
fn a_read_goes_on_where_it_began() {
    let cx = cx("closed behind its back");
    let notifier = cx.notifier();
    for round in 0..20_u8 {
        let (source, mut sink) = unix::pipe();
        let raw = source.as_raw_fd();
        let handle = Handle::new_on(&notifier, source).unwrap();
        let mut reading = Task::pending(handle.read_owned(Vec::with_capacity(8)));
        if round % 2 == 0 {
            cx.settle(&notifier); // it is in the kernel, or waits to be submitted
        }
        // SAFETY: the number is open, and that its owner believes so from here on is what is tested.
        #[allow(unsafe_code)]
        drop(unsafe { OwnedFd::from_raw_fd(raw) });
        let (stranger, mut strangers) = unix::pipe();
        assert_eq!(stranger.as_raw_fd(), raw, "the number was not given out again");
        strangers.write_all(b"for me").unwrap();
        sink.write_all(&[round]).unwrap();
        cx.turn_until(&notifier, "the read", || reading.is_woken());
        let (count, bytes) = reading.ready();
        assert_eq!((count.unwrap(), &bytes[..]), (1, &[round][..]));
        drop(reading);
        assert_eq!(unix::bytes_queued(&stranger), 6);
        // Which of the two closes the number is all the same.
        std::mem::forget(stranger);
        drop(handle);
    }
}
