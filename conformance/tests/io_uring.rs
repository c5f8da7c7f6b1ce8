//! What only a ring can get wrong: requests that end by themselves, queues that are full, threads that exit, sockets that
//! are closed while the kernel holds a request for them.
#![cfg(target_os = "linux")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{Backend, ChosenBy, Closed, Handle, Notifier, net, time};
use pike_conformance::{
    Cx, Task, calling_when_cloned,
    harness::{alone, note_skip},
    supervised::{self, Answer, Call},
    unix,
};

fn cx(name: &str) -> Cx {
    Cx::new(name.to_owned(), Backend::IoUring, Duration::from_secs(60))
}

fn free_or_bound(cx: &Cx, bound: bool) -> Notifier {
    let builder = cx.builder();
    if bound { builder.bound() } else { builder }.build().unwrap()
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

/// Who takes a descriptor elsewhere ends what was begun with it. On a bound Notifier that nobody has turned yet that must not
/// make him its owner: the thread that it is meant for would be refused, or panic.
#[test]
fn a_bound_ring_is_not_taken_by_who_leaves() {
    let cx = cx("a bound ring that nobody has turned");
    let notifier = free_or_bound(&cx, true);
    let _here = notifier.enter();
    let (one, mut peer) = StdUnixStream::pair().unwrap();
    let (stream, _other) = cx.stream(&notifier);
    let handle = Handle::new_on(&notifier, one).unwrap();
    drop(Task::pending(handle.read_owned(Vec::with_capacity(8))));
    drop(Task::pending(stream.recv_pooled()));
    let start = Instant::now();
    let (mut one, bytes, error) = handle.into_parts();
    assert!(bytes.is_empty() && error.is_none());
    drop(stream.into_std().unwrap());
    assert!(start.elapsed() < Duration::from_secs(1), "it has waited for somebody");
    peer.write_all(b"x").unwrap();
    let mut byte = [0];
    one.set_nonblocking(false).unwrap();
    one.read_exact(&mut byte).unwrap();
    // Nobody owns it yet.
    let its_own = notifier.clone();
    thread::spawn(move || {
        its_own.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(its_own.block_on(async { 1 }), 1);
    })
    .join()
    .unwrap();
}

const RECV: u8 = 27; // IORING_OP_RECV

/// Runs `body` on a thread of its own, and makes sure that its rings are given receives: what is done at once needs no ring.
fn receiving(name: &str, body: impl FnOnce(&Cx) + Send + 'static) {
    let (cx, mut receives) = (cx(name), false);
    drop(cx.notifier()); // the self-test of rings is over
    let look = |call: Call| {
        supervised::each_entry(call.ring(), 256, |entry| receives |= entry.opcode == RECV).unwrap();
        Answer::Goes
    };
    let limit = Duration::from_secs(60);
    match supervised::supervised(limit, &[libc::SYS_io_uring_enter], look, move || body(&cx)) {
        Ok(()) => assert!(receives, "{name}: nothing is received by the kernel"),
        Err(skip) => note_skip(name.to_owned(), skip),
    }
}

async fn read_one(stream: &net::TcpStream) -> u8 {
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
    byte[0]
}

/// The kernel ends the requests of a thread that has exited, with an error that nobody asked for. They are made again, and
/// those who wait hear of nothing.
#[test]
fn waiters_outlive_the_thread_that_submitted_for_them() {
    let cx = cx("thread exit");
    let notifier = cx.notifier();
    let [(borrowed, mut one), (owned, mut other), (pooled, mut third)] =
        [(); 3].map(|()| cx.stream(&notifier));
    for round in 0..20 {
        let mut readers = [
            Task::pending(read_one(&borrowed)),
            Task::pending(async { owned.read_owned(Vec::with_capacity(1)).await.1[0] }),
            Task::pending(async { pooled.recv_pooled().await.unwrap()[0] }),
        ];
        // This thread submits for them, and the poll of the set, and ends.
        thread::scope(|scope| {
            scope.spawn(|| cx.settle(&notifier));
        });
        for reader in &mut readers {
            assert!(reader.poll().is_pending());
        }
        for peer in [&mut one, &mut other, &mut third] {
            peer.write_all(&[round]).unwrap();
        }
        for reader in &mut readers {
            loop {
                cx.turn_until(&notifier, "data after the thread's end", || reader.is_woken());
                if let Poll::Ready(byte) = reader.poll() {
                    break assert_eq!(byte, round);
                }
            }
        }
        drop(readers);
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

/// Many arrivals of one source between two turns are one report of the epoll set, and all is read, while the kernel receives for
/// another, so that the turns wait in the ring.
#[test]
fn many_arrivals_between_two_turns_are_read() {
    const ARRIVALS: usize = 10_000;
    receiving("arrivals", |cx| {
        let notifier = cx.notifier();
        let (stream, mut peer) = cx.stream(&notifier);
        let (idle, mut idle_peer) = cx.stream(&notifier);
        let mut waits = Task::pending(async { idle.read_owned(Vec::with_capacity(1)).await.1[0] });
        let mut reader = Task::pending(read_one(&stream));
        cx.settle(&notifier);
        for _ in 0..ARRIVALS {
            peer.write_all(b"x").unwrap();
        }
        cx.turn_until(&notifier, "the first of many", || reader.is_woken());
        assert_eq!(reader.ready(), b'x');
        notifier.block_on(async {
            for _ in 1..ARRIVALS {
                assert_eq!(read_one(&stream).await, b'x');
            }
        });
        for _ in 0..3 {
            let mut reader = Task::pending(read_one(&stream));
            cx.settle(&notifier);
            peer.write_all(b"z").unwrap();
            cx.turn_until(&notifier, "data after many arrivals", || reader.is_woken());
            assert_eq!(reader.ready(), b'z');
        }
        assert!(!waits.is_woken());
        idle_peer.write_all(b"y").unwrap();
        cx.turn_until(&notifier, "another source's data", || waits.is_woken());
        assert_eq!(waits.ready(), b'y');
    });
}

/// Whatever has arrived before a turn is told by that turn, also of a bound ring, where one call to the kernel does twenty pieces
/// of the work that arrivals make: one turn is one batch.
#[test]
fn a_turn_brings_all_that_has_arrived() {
    const SOCKETS: usize = 100;
    receiving("one turn", |cx| {
        for bound in [false, true] {
            let notifier = free_or_bound(cx, bound);
            let pairs: Vec<_> = (0..SOCKETS).map(|_| cx.stream(&notifier)).collect();
            for round in 0..3 {
                let mut tasks: Vec<_> =
                    pairs.iter().map(|(stream, _)| Task::pending(stream.recv_pooled())).collect();
                cx.settle(&notifier);
                for (_, peer) in &pairs {
                    (&mut &*peer).write_all(b"x").unwrap();
                }
                notifier.poll(Some(Duration::ZERO)).unwrap();
                let woken = tasks.iter().filter(|task| task.is_woken()).count();
                assert_eq!(woken, SOCKETS, "bound: {bound}, round {round}");
                tasks.iter_mut().for_each(|task| assert_eq!(&task.ready().unwrap()[..], b"x"));
            }
        }
    });
}

/// More operations end between two turns than the completion queue holds (4,096): it overflows, and receives that go on end.
/// Each of them is told all the same, and goes on.
#[test]
fn an_overflow_of_completions_loses_nothing() {
    const OWNED: usize = 6_000;
    const POOLED: usize = 200;
    alone(|| {
        assert!(unix::raise_descriptor_limit() >= 3 * OWNED);
        let cx = cx("overflow");
        for (bound, timeout) in
            [false, true].into_iter().flat_map(|bound| [0, 50].map(|ms| (bound, Duration::from_millis(ms))))
        {
            let notifier = free_or_bound(&cx, bound);
            let (ours, mut peers): (Vec<_>, Vec<_>) = {
                let _here = notifier.enter();
                let pairs = (0..OWNED).map(|_| StdUnixStream::pair().unwrap());
                pairs.map(|(one, other)| (net::UnixStream::from_std(one).unwrap(), other)).unzip()
            };
            let (going_on, mut senders): (Vec<_>, Vec<_>) = (0..POOLED).map(|_| cx.stream(&notifier)).unzip();
            let owned = ours.iter().map(|stream| {
                Task::pending(async { stream.read_exact_owned(Vec::with_capacity(2)).await.1 })
            });
            let mut owned: Vec<_> = owned.collect();
            let pooled = going_on.iter().map(|stream| {
                Task::pending(async {
                    let mut bytes = stream.recv_pooled().await.unwrap().to_vec();
                    while bytes.len() < 2 {
                        bytes.extend_from_slice(&stream.recv_pooled().await.unwrap());
                    }
                    bytes
                })
            });
            let mut pooled: Vec<_> = pooled.collect();
            cx.settle(&notifier);
            for byte in 0..2_u8 {
                peers.iter_mut().for_each(|peer| peer.write_all(&[byte]).unwrap());
                senders.iter_mut().for_each(|peer| peer.write_all(&[byte]).unwrap());
                cx.until("each of many", || {
                    notifier.poll(Some(timeout)).unwrap();
                    owned.iter().chain(&pooled).all(Task::is_woken)
                });
                if byte == 0 {
                    owned.iter_mut().chain(&mut pooled).for_each(|task| assert!(task.poll().is_pending()));
                }
            }
            for task in &mut owned {
                assert_eq!(task.ready(), [0, 1]);
            }
            // One whose receive had ended may have been woken for that alone.
            for task in &mut pooled {
                cx.until("the second byte", || {
                    notifier.poll(Some(Duration::ZERO)).unwrap();
                    matches!(task.poll(), std::task::Poll::Ready(bytes) if bytes == [0, 1])
                });
            }
        }
    });
}

/// A wait in the ring, which has a request, is over when a timer is due: not before, and not by seconds after.
#[test]
fn a_timer_ends_a_wait_in_the_ring() {
    alone(|| {
        let cx = cx("a timer");
        for bound in [false, true] {
            let notifier = free_or_bound(&cx, bound);
            let (stream, _peer) = cx.stream(&notifier);
            let mut reading = Task::pending(stream.read_owned(vec![7; 8]));
            cx.settle(&notifier);
            for ms in [1, 30] {
                let (start, duration) = (Instant::now(), Duration::from_millis(ms));
                notifier.block_on(async { time::sleep(duration).await });
                let slept = start.elapsed();
                assert!((duration..duration + Duration::from_secs(2)).contains(&slept), "{slept:?}");
            }
            assert!(reading.poll().is_pending());
        }
    });
}

/// A thousand sources begin to wait between two turns, are all reported, and are dropped together.
#[test]
fn a_thousand_sources_lose_nothing() {
    alone(|| {
        unix::raise_descriptor_limit();
        let cx = cx("a thousand sources");
        for bound in [false, true] {
            let notifier = free_or_bound(&cx, bound);
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

/// More receives are given up between two turns than the submission queue has entries: each ends, and gets its buffer back.
#[test]
fn a_queue_full_of_cancels_loses_none() {
    const SOCKETS: usize = 1000;
    alone(|| {
        unix::raise_descriptor_limit();
        let cx = cx("full of cancels");
        for bound in [false, true] {
            let notifier = free_or_bound(&cx, bound);
            let given_up = notifier.block_on(time::timeout(Duration::from_secs(30), async {
                let mut sockets = Vec::new();
                for _ in 0..SOCKETS {
                    sockets.push(net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
                }
                let mut receiving: Vec<_> =
                    sockets.iter().map(|socket| Box::pin(socket.recv_owned(vec![7; 8]))).collect();
                for receive in &mut receiving {
                    assert!(future::poll_once(receive.as_mut()).await.is_none());
                }
                time::sleep(Duration::from_millis(20)).await; // the kernel has them
                receiving.iter_mut().for_each(|receive| receive.as_mut().cancel());
                for receive in receiving {
                    let (result, buffer) = receive.await;
                    assert!(Closed::is(&result.unwrap_err()));
                    assert_eq!(buffer, [7; 8]);
                }
            }));
            given_up.expect("all of them");
        }
    });
}

/// Of a pool of the usual size the kernel has 256 buffers and more: as many pieces arrive for receives that were given up, each in
/// one, before anybody asks for them.
#[test]
fn the_kernel_has_256_buffers() {
    const STREAMS: usize = 64;
    const EACH: usize = 4;
    let cx = cx("256 buffers");
    for bound in [false, true] {
        let notifier = free_or_bound(&cx, bound);
        let (streams, mut peers): (Vec<_>, Vec<_>) = (0..STREAMS).map(|_| cx.stream(&notifier)).unzip();
        streams.iter().for_each(|stream| drop(Task::pending(stream.recv_pooled())));
        cx.settle(&notifier);
        for byte in 0..EACH as u8 {
            peers.iter_mut().for_each(|peer| peer.write_all(&[byte]).unwrap());
            cx.settle(&notifier);
        }
        for stream in streams {
            let residue = stream.into_std().unwrap_err().downcast::<pike::buf::Residue>().unwrap();
            assert_eq!(residue.bytes(), [0, 1, 2, 3]);
        }
    }
}

/// A stream for which the kernel receives, for nobody any more, and its peer.
fn received_for_nobody(cx: &Cx, notifier: &Notifier) -> (net::TcpStream, TcpStream) {
    let (stream, peer) = cx.stream(notifier);
    drop(Task::pending(stream.recv_pooled()));
    cx.settle(notifier);
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    (stream, peer)
}

/// That the kernel receives for a socket does not keep the peer from the end of it: whoever drops it, where a ring is any
/// thread's; and by the next turn of its thread, where it is bound.
#[test]
fn a_closed_socket_ends_although_the_kernel_receives_for_it() {
    receiving("FIN", |cx| {
        let ends = |peer: &mut TcpStream| assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        let free = cx.notifier();
        let (stream, mut peer) = received_for_nobody(cx, &free);
        drop(stream);
        ends(&mut peer);
        let (stream, mut peer) = received_for_nobody(cx, &free);
        thread::spawn(move || drop(stream)).join().unwrap();
        ends(&mut peer);

        let bound = cx.builder().bound().build().unwrap();
        let (stream, mut peer) = received_for_nobody(cx, &bound);
        drop(stream);
        bound.poll(Some(Duration::ZERO)).unwrap();
        ends(&mut peer);
        let (stream, mut peer) = received_for_nobody(cx, &bound);
        thread::spawn(move || drop(stream)).join().unwrap();
        bound.poll(Some(Duration::ZERO)).unwrap();
        ends(&mut peer);
    });
}

/// The end of a Notifier cancels all, so that sockets which outlive it can still end; of a bound one too, whose thread exits.
#[test]
fn sockets_end_after_their_notifier() {
    for bound in [false, true] {
        receiving("sockets outlive", move |cx| {
            let (stream, mut peer) = thread::scope(|scope| {
                scope.spawn(|| received_for_nobody(cx, &free_or_bound(cx, bound))).join().unwrap()
            });
            drop(stream);
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "bound: {bound}");
        });
    }
}

/// What a bound Notifier's thread has the kernel do arrives, for other threads too.
#[test]
fn a_bound_ring_receives_for_other_threads() {
    receiving("bound", |cx| {
        let notifier = cx.builder().bound().build().unwrap();
        notifier.poll(Some(Duration::ZERO)).unwrap();
        let (stream, mut peer) = cx.stream(&notifier);
        for round in 0..100 {
            let waits = AtomicBool::new(false);
            thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut reading = pin!(stream.read_owned(Vec::with_capacity(1)));
                    future::block_on(async {
                        assert!(future::poll_once(reading.as_mut()).await.is_none());
                        waits.store(true, SeqCst);
                        reading.await.1[0]
                    })
                });
                // It has mailed its receive, and interrupts a turn for that.
                cx.turn_until(&notifier, "a reader on another thread", || waits.load(SeqCst));
                peer.write_all(&[round]).unwrap();
                cx.turn_until(&notifier, "what it reads", || reader.is_finished());
                assert_eq!(reader.join().unwrap(), round);
            });
        }
    });
}

/// Another thread can close a bound Notifier, and not end what the kernel does for it: that is left to the thread that it is
/// bound to, and nothing is said of it before.
#[test]
fn another_threads_shutdown_leaves_a_bound_ring_alone() {
    let cx = cx("another's shutdown");
    let notifier = cx.builder().bound().build().unwrap();
    let (stream, _peer) = cx.stream(&notifier);
    let mut reading = Task::pending(stream.read_owned(Vec::with_capacity(1)));
    cx.settle(&notifier);
    thread::scope(|scope| {
        let left = scope.spawn(|| notifier.shutdown(Duration::from_secs(5))).join().unwrap();
        assert_eq!(left, 0);
    });
    assert!(!reading.is_woken());
    assert!(Closed::is(&notifier.poll(None).unwrap_err()));
    cx.until("its own thread's turn ends it", || {
        let _ = notifier.poll(None);
        reading.is_woken()
    });
    assert!(Closed::is(&reading.ready().0.unwrap_err()));
}

extern "C" fn nothing(_: libc::c_int) {}

/// A handled signal ends a wait in the ring, as an empty turn, and costs no submission: what began with the very call that it
/// interrupts is done once.
#[test]
fn a_signal_ends_a_wait_in_the_ring_and_nothing_else() {
    alone(|| {
        let cx = cx("signals");
        let _handler = unix::Handler::install(libc::SIGUSR1, nothing);
        for bound in [false, true] {
            let notifier = free_or_bound(&cx, bound);
            let (idle, mut idle_peer) = cx.stream(&notifier);
            let mut waits = Task::pending(async { idle.read_owned(Vec::with_capacity(1)).await.1[0] });
            let (stream, mut peer) = cx.stream(&notifier);
            cx.settle(&notifier);
            let (me, over, empty) = (unix::Target::me(), AtomicBool::new(false), AtomicBool::new(false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        me.signal(libc::SIGUSR1);
                        thread::sleep(Duration::from_micros(200));
                    }
                });
                let rounds = || {
                    for round in 0..200_u8 {
                        let mut sends = Task::pending(stream.write_all_owned(vec![round]));
                        while !sends.is_woken() {
                            cx.check_time("a send under signals");
                            notifier.poll(Some(Duration::from_secs(30)))?;
                        }
                        sends.ready().0?;
                        // Only a signal ends this one.
                        let woken = notifier.poll(Some(Duration::from_secs(30)))?;
                        empty.fetch_or(woken == 0, SeqCst);
                    }
                    Ok(())
                };
                let done: std::io::Result<()> = rounds();
                over.store(true, SeqCst);
                done.unwrap();
            });
            assert!(empty.load(SeqCst), "no turn was ended by a signal");
            let mut sent = [0; 200];
            peer.read_exact(&mut sent).unwrap();
            assert!(sent.iter().copied().eq(0..200));
            assert!(!waits.is_woken());
            idle_peer.write_all(b"y").unwrap();
            cx.turn_until(&notifier, "what was under way all the time", || waits.is_woken());
            assert_eq!(waits.ready(), b'y');
            drop(stream);
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "something was sent twice");
        }
    });
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
