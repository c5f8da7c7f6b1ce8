//! Ends: of futures, sockets, Notifiers and processes, in every order. Nothing is lost, nothing is leaked, nothing hangs.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::{self, or};
use pike::{
    Closed, Event, Handle, Interest, Notifier, net,
    socket::{Domain, Socket, Type},
    time,
};

use crate::{Cx, LONG, Outcome, Rng, SHORT, Task, calling, heap, read, unix};

/// How long a child of a fork may take.
const CHILD: Duration = Duration::from_secs(8);

#[track_caller]
fn assert_closed<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => panic!("{what}: it works"),
        Err(error) => assert!(Closed::is(&error) && error.raw_os_error().is_none(), "{what}: {error}"),
    }
}

/// Turns a Notifier on a thread of its own while `f` runs.
fn while_turned<R>(notifier: &Notifier, f: impl FnOnce() -> R) -> R {
    struct Stop<'a>(&'a AtomicBool, &'a Notifier);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
            self.1.notify();
        }
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = Stop(&stop, notifier);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                notifier.poll(None).unwrap();
            }
        });
        f()
    })
}

async fn read_some(stream: &net::TcpStream) -> io::Result<Vec<u8>> {
    let mut buf = [0; 4096];
    let n = stream.read(&mut buf).await?;
    Ok(buf[..n].to_vec())
}

fn read_to_end(mut peer: TcpStream) -> Vec<u8> {
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    all
}

/// A dropped TcpStream is closed within one turn: the peer reads what was written and then the end; also while another
/// thread turns.
pub fn close_on_drop(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for waits in [false, true] {
        let (stream, peer) = cx.stream(&notifier);
        notifier.block_on(stream.write_all(b"last words")).unwrap();
        if waits {
            drop(Task::pending(read_some(&stream)));
        }
        drop(stream);
        notifier.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(read_to_end(peer), b"last words");
    }
    while_turned(&notifier, || {
        for _ in 0..20 {
            let (stream, peer) = cx.stream(&notifier);
            future::block_on(stream.write_all(b"last words")).unwrap();
            drop(stream);
            assert_eq!(read_to_end(peer), b"last words");
        }
    });
    Ok(())
}

/// Cancelling wakes everyone who waits, with `Closed`, and refuses what comes later; the descriptor stays open until the
/// drop. So does the end of the Notifier.
pub fn cancel_wakes_all_waiters(cx: &Cx) -> Outcome {
    for by_notifier in [false, true] {
        let notifier = cx.notifier();
        let (stream, peer) = cx.stream(&notifier);
        let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let fresh = Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
        cx.settle(&notifier);
        let full = cx.fill_stream(&stream);
        let mut waiters = vec![
            Task::pending(async { stream.readable().await }),
            Task::pending(async { stream.writable().await }),
            Task::pending(async { stream.ready(cx.rare_interest()).await.map(drop) }),
            Task::pending(std::future::poll_fn(|cx| stream.poll_read_ready(cx))),
            Task::pending(std::future::poll_fn(|cx| stream.poll_write_ready(cx))),
            Task::pending(async { listener.accept().await.map(drop) }),
        ];
        for _ in 0..3 {
            waiters.push(Task::pending(async { read_some(&stream).await.map(drop) }));
            waiters.push(Task::pending(async { stream.write(b"x").await.map(drop) }));
        }
        if by_notifier {
            drop(notifier);
        } else {
            stream.socket().cancel();
            listener.socket().cancel();
            fresh.cancel();
        }
        for (at, waiter) in waiters.iter_mut().enumerate() {
            assert_eq!(waiter.wakes(), 1, "waiter {at}");
            assert_closed(&format!("waiter {at}"), waiter.ready());
        }
        drop(waiters);

        let address: SocketAddr = listener.local_addr().unwrap();
        assert_closed("read", Task::new(read_some(&stream)).ready());
        assert_closed("write", Task::new(stream.write(b"x")).ready());
        assert_closed("peek", Task::new(stream.peek(&mut [0])).ready());
        assert_closed("recv_with", Task::new(stream.recv_with(|bytes| bytes.len())).ready());
        assert_closed("readable", Task::new(stream.readable()).ready());
        assert_closed("writable", Task::new(stream.writable()).ready());
        assert_closed("try_read", stream.try_read(&mut [0]));
        assert_closed("try_write", stream.try_write(b"x"));
        assert_closed("shutdown", stream.shutdown(std::net::Shutdown::Write));
        let mut noop = Context::from_waker(Waker::noop());
        assert!(matches!(stream.poll_read_ready(&mut noop), Poll::Ready(Err(error)) if Closed::is(&error)));
        assert_closed("accept", Task::new(listener.accept()).ready());
        assert_closed("try_accept", listener.try_accept());
        assert_closed("bind", fresh.bind(SocketAddr::from(([127, 0, 0, 1], 0))));
        assert_closed("listen", fresh.listen(1));
        assert_closed("connect", Task::new(fresh.connect(address)).ready());

        // Still open: the peer gets all, and then nothing, until the drop.
        cx.drain(&peer, full);
        peer.set_nonblocking(true).unwrap();
        assert_eq!((&peer).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        peer.set_nonblocking(false).unwrap();
        drop((stream, listener, fresh));
        assert_eq!(read_to_end(peer), b"");
    }
    Ok(())
}

/// `close` returns when the descriptor is free, and the peer sees the end.
pub fn close_waits_and_frees(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        let socket = Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
        notifier.block_on(socket.connect(server.local_addr().unwrap())).unwrap();
        let (peer, _) = server.accept().unwrap();
        let raw = socket.as_raw_fd();
        drop(Task::pending(async { socket.read(&mut [0]).await }));
        notifier.block_on(socket.close()).unwrap();
        assert!(!unix::is_open(raw), "closed, but still open");
        assert_eq!(read_to_end(peer), b"");

        let (handle, peer) = cx.handle(&notifier);
        let raw = handle.get_ref().as_raw_fd();
        notifier.block_on(handle.close()).unwrap();
        assert!(!unix::is_open(raw), "closed, but still open");
        assert_eq!(read_to_end(peer), b"");
        // The number is the next socket's, and works.
        let (handle, mut peer) = cx.handle(&notifier);
        let mut reader = Task::pending(read(&handle));
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "a socket with a number that was used before", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), b"x");

        // Not awaited, it is closed all the same.
        let (handle, peer) = cx.handle(&notifier);
        drop(handle.close());
        notifier.poll(Some(Duration::ZERO)).unwrap();
        assert_eq!(read_to_end(peer), b"");
    }
    Ok(())
}

/// A socket that one thread reads is ended by another at a random moment, while new sockets take the numbers that become
/// free: the reader gets its own bytes and then `Closed`, never another's.
pub fn close_while_reading_elsewhere(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut rng = Rng::new();
    while_turned(&notifier, || {
        for round in 0..cx.rounds(500) {
            let tag = round as u8;
            let (stream, mut peer) = cx.stream(&notifier);
            let stream = Arc::new(stream);
            let theirs = stream.clone();
            let reader = thread::spawn(move || {
                future::block_on(async {
                    loop {
                        match read_some(&theirs).await {
                            Ok(bytes) => assert!(bytes.iter().all(|&byte| byte == tag), "another's byte"),
                            Err(error) => return error,
                        }
                    }
                })
            });
            for _ in 0..rng.below(4) {
                peer.write_all(&[tag; 3]).unwrap();
            }
            (0..rng.below(4000)).for_each(|_| std::hint::spin_loop());
            stream.socket().cancel();
            drop(stream);
            // Whoever gets the number next has other bytes ready at once.
            let (next, mut next_peer) = cx.stream(&notifier);
            next_peer.write_all(&[tag.wrapping_add(1); 5]).unwrap();
            assert!(Closed::is(&reader.join().unwrap()));
            assert_eq!(future::block_on(read_some(&next)).unwrap(), [tag.wrapping_add(1); 5]);
        }
    });
    Ok(())
}

/// What was ready and is dropped before the turn wakes nobody, neither its own waiters nor those of a socket with the same
/// number; nor does a description that a duplicate keeps open.
pub fn no_event_after_drop(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (gone, mut gone_peer) = cx.handle(&notifier);
    let (stays, mut stays_peer) = cx.handle(&notifier);
    let event = notifier.block_on(async { Event::new() }).unwrap();
    cx.settle(&notifier);
    let dropped = Task::pending(read(&gone));
    let counter = dropped.counter();
    let mut reader = Task::pending(read(&stays));
    let mut waiter = Task::pending(event.wait());
    gone_peer.write_all(b"x").unwrap();
    stays_peer.write_all(b"y").unwrap();
    event.notify();
    cx.until_arrived([&gone, &stays]);
    drop(dropped);
    drop(gone);
    assert_eq!(notifier.poll(Some(LONG)).unwrap(), 2);
    assert!(reader.is_woken() && waiter.is_woken());
    assert_eq!(reader.ready().unwrap(), b"y");
    waiter.ready().unwrap();
    assert_eq!(counter.count(), 0, "a dropped waiter was woken");

    // The number again, before the turn that would have reported the first.
    let mut same = 0;
    for _ in 0..100 {
        let (old, mut old_peer) = cx.handle(&notifier);
        old_peer.write_all(b"old").unwrap();
        cx.until_arrived([&old]);
        let raw = old.get_ref().as_raw_fd();
        drop(old);
        let (new, mut new_peer) = cx.handle(&notifier);
        same += usize::from(new.get_ref().as_raw_fd() == raw);
        let mut reader = Task::pending(read(&new));
        let mut looker = Task::pending(new.readable());
        assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0, "the event of an older socket");
        assert!(!reader.is_woken() && !looker.is_woken());
        new_peer.write_all(b"new").unwrap();
        cx.turn_until(&notifier, "its own event", || reader.is_woken() && looker.is_woken());
        looker.ready().unwrap();
        assert_eq!(reader.ready().unwrap(), b"new");
    }
    // The case is alone, and the lowest number is taken first: anything else means that it tests nothing.
    assert!(same > 0, "no number was used again");

    // A duplicate keeps the pipe open after its Handle is gone.
    let (source, sink) = unix::pipe();
    let double = source.try_clone().unwrap();
    let handle = Handle::new_on(&notifier, source).unwrap();
    let mut sink = sink;
    sink.write_all(b"x").unwrap();
    drop(handle);
    cx.settle(&notifier);
    drop(sink);
    let start = Instant::now();
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    assert!(start.elapsed() >= SHORT, "a turn is ended by what a dropped Handle had registered");
    cx.assert_quiet(&notifier, "a pipe that only a duplicate keeps open");
    drop(double);
    Ok(())
}

/// Fifty sockets become ready in one turn, and each one's waker drops or cancels others whose events are in the same batch:
/// no panic, and the survivors deliver.
pub fn wakers_drop_other_handles(cx: &Cx) -> Outcome {
    const COUNT: usize = 50;
    type Reader = Task<'static, io::Result<Vec<u8>>>;
    type Held = Arc<Mutex<Vec<Option<Arc<Handle<TcpStream>>>>>>;
    let notifier = cx.notifier();
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let (handles, mut peers) = cx.handles(&notifier, COUNT);
        let handles: Vec<_> = handles.into_iter().map(Arc::new).collect();
        let held: Held = Arc::new(Mutex::new(handles.iter().cloned().map(Some).collect()));
        let readers: Arc<Mutex<Vec<Option<Reader>>>> = Arc::default();
        cx.settle(&notifier);
        let woken = Arc::new(AtomicUsize::new(0));
        let mut waiting: Vec<_> = handles
            .iter()
            .map(|handle| {
                let (held, readers, woken) = (held.clone(), readers.clone(), woken.clone());
                let (victim, cancelled) = (rng.below(COUNT), rng.one_in(4).then(|| rng.below(COUNT)));
                let waker = calling(move || {
                    woken.fetch_add(1, SeqCst);
                    // Outside of the locks: dropping may wake others.
                    let victims =
                        (readers.lock().unwrap()[victim].take(), held.lock().unwrap()[victim].take());
                    drop(victims);
                    if let Some(cancelled) = cancelled {
                        let handle = held.lock().unwrap()[cancelled].clone();
                        handle.inspect(|handle| handle.cancel());
                    }
                });
                let handle = handle.clone();
                let mut reader = Task::new(async move { read(&handle).await });
                assert!(reader.poll_with(&waker).is_pending());
                Some(reader)
            })
            .collect();
        readers.lock().unwrap().append(&mut waiting);
        drop(handles);
        peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
        for handle in held.lock().unwrap().iter().flatten() {
            cx.until_arrived([&**handle]);
        }
        assert!(notifier.poll(Some(LONG)).unwrap() > 0);
        // An accept, a cancellation or a drop wakes in turn; all of that is over when the dispatch is.
        assert!(woken.load(SeqCst) >= COUNT / 2);
        let survivors: Vec<_> = std::mem::take(&mut *readers.lock().unwrap()).into_iter().flatten().collect();
        for mut survivor in survivors {
            match survivor.ready() {
                Ok(bytes) => assert_eq!(bytes, b"x"),
                Err(error) => assert!(Closed::is(&error), "{error}"),
            }
        }
    }
    Ok(())
}

/// Threads that open, use and drop sockets as fast as they can: everyone reads its own bytes only, and no descriptor is
/// left over.
pub fn fd_reuse_stress(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = unix::descriptors();
    while_turned(&notifier, || {
        thread::scope(|scope| {
            for user in 0..3_u32 {
                let notifier = &notifier;
                scope.spawn(move || {
                    let mut rng = Rng::new();
                    for round in 0..cx.rounds(700) as u32 {
                        exchange(cx, notifier, user << 16 | round, &mut rng);
                    }
                });
            }
        });
    });
    drop(notifier);
    // The one above made three descriptors or so, and took them along.
    assert!(unix::descriptors() <= before, "{} descriptors, and {before} before", unix::descriptors());
    Ok(())
}

/// A connection between two sockets of one Notifier, each of which reads the other's tag, whole or not at all.
fn exchange(cx: &Cx, notifier: &Notifier, tag: u32, rng: &mut Rng) {
    let (one, other) = cx.streams(notifier, notifier);
    let (there, back) = (tag.to_le_bytes(), (!tag).to_le_bytes());
    future::block_on(async {
        if rng.one_in(3) {
            // A receive that is given up.
            assert!(future::poll_once(read_some(&other)).await.is_none());
        }
        one.write_all(&there).await.unwrap();
        let mut buf = [0; 4];
        other.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, there, "another's bytes");
        if rng.one_in(3) {
            return; // in the middle of everything
        }
        other.write_all(&back).await.unwrap();
        one.read_exact(&mut buf).await.unwrap();
        assert_eq!(buf, back, "another's bytes");
    });
}

/// Reads and datagram receives that are dropped, before and after they were woken, while a counted sequence arrives:
/// everything is received once and in order.
pub fn dropped_receive_loses_nothing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut rng = Rng::new();
    let (stream, mut peer) = cx.stream(&notifier);
    let (mut sent, mut received) = (0_u32, 0_u32);
    let mut check = |bytes: &[u8]| {
        for &byte in bytes {
            assert_eq!(byte, received as u8, "byte {received}");
            received = received.wrapping_add(1);
        }
    };
    for _ in 0..cx.rounds(500) {
        let mut reader = Task::new(read_some(&stream));
        if let Poll::Ready(bytes) = reader.poll() {
            check(&bytes.unwrap());
            continue;
        }
        for _ in 0..rng.below(5) {
            peer.write_all(&[sent as u8]).unwrap();
            sent += 1;
        }
        match rng.below(3) {
            0 => {}
            1 => drop(notifier.poll(Some(Duration::ZERO)).unwrap()),
            _ => {
                notifier.poll(Some(Duration::ZERO)).unwrap();
                // Only a poll of the future receives.
                if let Poll::Ready(bytes) = reader.poll() {
                    check(&bytes.unwrap());
                }
            }
        }
        drop(reader);
    }
    drop(peer);
    loop {
        let bytes = notifier.block_on(read_some(&stream)).unwrap();
        if bytes.is_empty() {
            break;
        }
        check(&bytes);
    }
    assert_eq!(received, sent);

    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let (sender, address) = (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), udp.local_addr().unwrap());
    let (mut sent, mut received) = (0_u32, 0_u32);
    let receive = || async {
        let mut buf = [0; 16];
        udp.recv_from(&mut buf).await.map(|(n, _)| u32::from_le_bytes(buf[..n].try_into().unwrap()))
    };
    while received < cx.rounds(500) as u32 {
        let mut receiver = Task::new(receive());
        let mut polled = receiver.poll();
        if polled.is_pending() {
            for _ in 0..rng.below(3) {
                sender.send_to(&sent.to_le_bytes(), address).unwrap();
                sent += 1;
            }
            if rng.one_in(2) {
                notifier.poll(Some(Duration::ZERO)).unwrap();
            }
            if rng.one_in(2) {
                polled = receiver.poll();
            }
        }
        if let Poll::Ready(number) = polled {
            assert_eq!(number.unwrap(), received);
            received += 1;
        }
        cx.check_time("datagrams");
    }
    while received < sent {
        assert_eq!(notifier.block_on(receive()).unwrap(), received);
        received += 1;
    }
    Ok(())
}

/// Accepts that race a short timer and lose, while clients connect: as many connections come out as went in, each with its
/// data.
pub fn dropped_accept_loses_nothing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let clients = cx.rounds(200);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let connector = thread::spawn(move || {
        let mut rng = Rng::new();
        (0..clients as u32)
            .map(|n| {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&n.to_le_bytes()).unwrap();
                (0..rng.below(20_000)).for_each(|_| std::hint::spin_loop());
                client
            })
            .collect::<Vec<_>>()
    });
    let (mut seen, mut dropped) = (vec![false; clients], 0);
    notifier.block_on(async {
        while seen.iter().any(|seen| !seen) {
            let accepted = or(async { Some(listener.accept().await.unwrap()) }, async {
                time::sleep(Duration::from_micros(dropped as u64 % 50)).await;
                None
            });
            match accepted.await {
                None => {
                    dropped += 1;
                    future::yield_now().await;
                }
                Some((stream, _)) => {
                    let mut number = [0; 4];
                    stream.read_exact(&mut number).await.unwrap();
                    let number = u32::from_le_bytes(number) as usize;
                    assert!(!std::mem::replace(&mut seen[number], true), "client {number} came twice");
                }
            }
        }
    });
    drop(connector.join().unwrap());
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    Ok(())
}

/// A single write that is suspended by a full buffer and dropped has sent nothing: the peer gets the bytes of those calls
/// that returned.
pub fn dropped_write_sends_nothing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.stream(&notifier);
    for _ in 0..5 {
        let mut accounted = cx.fill_stream(&stream);
        for woken in [false, true] {
            let (mut write, mut send) = (
                Task::pending(stream.write(b"never")),
                Task::pending(stream.socket().send(b"never", pike::socket::SendFlags::NONE)),
            );
            if woken {
                cx.drain(&peer, accounted);
                accounted = 0;
                cx.turn_until(&notifier, "room", || write.is_woken());
            } else {
                cx.settle(&notifier);
                assert!(write.poll().is_pending() && send.poll().is_pending());
            }
            drop((write, send));
        }
        notifier.block_on(stream.write_all(b"end")).unwrap();
        let mut end = [0; 3];
        (&peer).read_exact(&mut end).unwrap();
        assert_eq!(&end, b"end", "a dropped write has sent something");
    }
    drop(stream);
    assert_eq!(read_to_end(peer), b"");
    Ok(())
}

/// Futures that are leaked while they wait: their sockets and Notifiers go as usual, and others are woken as usual.
pub fn leaked_futures_are_sound(cx: &Cx) -> Outcome {
    for notifier_first in [false, true] {
        let notifier = cx.notifier();
        let (stream, mut peer) = cx.stream(&notifier);
        let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let event = notifier.block_on(async { Event::latch() }).unwrap();
        cx.settle(&notifier);
        let mut others: Vec<_> = (0..2).map(|_| Task::pending(stream.readable())).collect();
        Task::pending(read_some(&stream)).forget();
        Task::pending(stream.readable()).forget();
        Task::pending(listener.accept()).forget();
        Task::pending(event.wait()).forget();
        let mut last = Task::pending(stream.readable());
        let entered = notifier.enter();
        Task::pending(time::sleep(Duration::from_millis(1))).forget();
        Task::pending(time::sleep(LONG)).forget();
        drop(entered);
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "those that were not leaked", || {
            last.is_woken() && others.iter().all(Task::is_woken)
        });
        last.ready().unwrap();
        others.iter_mut().for_each(|other| other.ready().unwrap());
        drop((others, last));
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // The wake of a leaked consumer is stranded; a call after the report finds the connection by itself.
        cx.turn_until(&notifier, "a connection", || {
            future::block_on(future::poll_once(listener.readable())).is_some()
        });
        assert_eq!(notifier.block_on(listener.accept()).unwrap().1, client.local_addr().unwrap());
        assert_eq!(notifier.block_on(read_some(&stream)).unwrap(), b"x");
        event.notify();
        thread::sleep(Duration::from_millis(2));
        notifier.poll(Some(Duration::ZERO)).unwrap();
        if notifier_first {
            drop(notifier);
            drop((stream, listener, event));
        } else {
            drop((stream, listener, event));
            notifier.poll(Some(Duration::ZERO)).unwrap();
            drop(notifier);
        }
        assert_eq!(read_to_end(peer), b"");
    }
    Ok(())
}

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
    let before = unix::descriptors();
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
    assert_eq!(unix::descriptors(), before, "descriptors");
    Ok(())
}

/// into_std of an idle, a half-read and a just accepted socket loses no byte, and from_std registers it again, here and
/// elsewhere.
pub fn into_std_round_trip(cx: &Cx) -> Outcome {
    let (one, two) = (cx.notifier(), cx.notifier());
    let (mut stream, mut peer) = cx.stream(&one);
    for round in 0..6_u8 {
        peer.write_all(&[round, 1, 2, 3]).unwrap();
        let mut first = [9; 2];
        let (current, next) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        if round > 2 {
            // Half-read; before that, what is queued was not even looked at.
            assert_eq!(current.block_on(stream.read(&mut first)).unwrap(), 2);
        }
        let mut plain: TcpStream = stream.into_std().unwrap();
        plain.set_nonblocking(false).unwrap();
        let mut rest = [0; 4];
        let rest = if round > 2 { &mut rest[..2] } else { &mut rest[..] };
        plain.read_exact(rest).unwrap();
        assert_eq!(rest, &[round, 1, 2, 3][4 - rest.len()..]);
        plain.write_all(&[round]).unwrap();
        let mut back = [0];
        peer.read_exact(&mut back).unwrap();
        assert_eq!(back, [round]);

        let _here = next.enter();
        stream = net::TcpStream::from_std(plain).unwrap();
        let mut reader = Task::pending(read_some(&stream));
        peer.write_all(b"again").unwrap();
        cx.turn_until(next, "a socket that is registered again", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), b"again");
    }

    let listener = one.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"early").unwrap();
    let (accepted, _) = one.block_on(listener.accept()).unwrap();
    let mut accepted = accepted.into_std().unwrap();
    accepted.set_nonblocking(false).unwrap();
    let mut early = [0; 5];
    accepted.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");

    let plain: TcpListener = listener.into_std().unwrap();
    let here = two.enter();
    let listener = net::TcpListener::from_std(plain).unwrap();
    drop(here);
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(two.block_on(listener.accept()).unwrap().1, client.local_addr().unwrap());
    Ok(())
}

/// Descriptors and heap are where they were after a thousand connections with operations given up midway, after every kind
/// of socket unused, and after two thousand Notifiers.
pub fn nothing_leaked(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(10));
    let notifier = cx.notifier();
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let connections = |rounds| (0..rounds).for_each(|round| one_connection(&notifier, &listener, round));
    unchanged("connections", || connections(50), || connections(cx.rounds(1000)));

    let unused = |rounds| (0..rounds).for_each(|round| unused_sockets(cx, round));
    unchanged("unused sockets", || unused(8), || unused(cx.rounds(200)));

    let notifiers = |rounds| {
        for round in 0..rounds {
            let notifier = cx.notifier();
            if round % 2 == 0 {
                notifier.poll(Some(Duration::ZERO)).unwrap();
            }
        }
    };
    unchanged("Notifiers", || notifiers(10), || notifiers(cx.rounds(2000)));
    Ok(())
}

/// Runs `warm_up`, then `f`, which leaves descriptors and heap as they were.
#[track_caller]
fn unchanged(what: &str, warm_up: impl FnOnce(), f: impl FnOnce()) {
    warm_up();
    let (descriptors, bytes) = (unix::descriptors(), heap::live());
    f();
    assert_eq!(unix::descriptors(), descriptors, "{what}: descriptors");
    if let (Some(before), Some(after)) = (bytes, heap::live()) {
        // libtest's own threads may allocate meanwhile, but not for each round.
        assert!(after - before < 16 * 1024, "{what}: {} bytes more", after - before);
    }
}

fn one_connection(notifier: &Notifier, listener: &net::TcpListener, round: usize) {
    let address = listener.local_addr().unwrap();
    notifier.block_on(async {
        if round % 2 == 0 {
            assert!(future::poll_once(listener.accept()).await.is_none());
        }
        let (client, server) = future::zip(net::TcpStream::connect(address), listener.accept()).await;
        let (client, (server, _)) = (client.unwrap(), server.unwrap());
        if round % 2 == 0 {
            assert!(future::poll_once(read_some(&server)).await.is_none());
            assert!(time::timeout(Duration::ZERO, client.readable()).await.is_err());
        }
        let event = Event::counting().unwrap();
        event.notify();
        if round % 2 == 0 {
            // The other half goes with its notification under way.
            assert_eq!(event.wait().await.unwrap(), 1);
        }
        drop(event);
        client.write_all(b"ping").await.unwrap();
        assert_eq!(read_some(&server).await.unwrap(), b"ping");
        server.write_all(b"pong").await.unwrap();
        if round % 3 != 0 {
            assert_eq!(read_some(&client).await.unwrap(), b"pong");
        }
        if round % 4 == 0 {
            // Given up in the middle of a connect.
            let _ = future::poll_once(net::TcpStream::connect(address)).await;
            let _ = future::poll_once(listener.accept()).await;
        }
    });
    while listener.try_accept().is_ok() {}
}

fn unused_sockets(cx: &Cx, round: usize) {
    let notifier = cx.notifier();
    let (stream, _peer) = cx.stream(&notifier);
    let (handle, _handle_peer) = cx.handle(&notifier);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let bare = Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
    let event = notifier.block_on(async { Event::new() }).unwrap();
    if round % 2 == 0 {
        notifier.poll(Some(Duration::ZERO)).unwrap();
    }
    let all = (stream, handle, listener, udp, bare, event);
    if round % 4 < 2 {
        drop(all);
        assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
    } else {
        drop(notifier);
        drop(all);
    }
}

fn expect_closed<T>(what: &str, result: io::Result<T>) -> Result<(), String> {
    match result {
        Err(error) if Closed::is(&error) => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
        Ok(_) => Err(format!("{what}: it works")),
    }
}

/// What came of a future's first poll.
fn at_once<R>(future: impl Future<Output = io::Result<R>> + Send) -> io::Result<R> {
    match Task::new(future).poll() {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::Error::other("it waits")),
    }
}

/// In a child of a fork everything that belongs to the parent's Notifier fails and nothing blocks; the child drops it all,
/// and the parent goes on as if nothing had been.
pub fn fork_child_spares_parent(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let (handle, mut handle_peer) = cx.handle(&notifier);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let event = notifier.block_on(async { Event::new() }).unwrap();
    cx.settle(&notifier);
    let mut waiter = Some(Task::pending(handle.readable()));

    unix::in_child(CHILD, || {
        expect_closed("poll", notifier.poll(Some(Duration::ZERO)))?;
        expect_closed("poll without a limit", notifier.poll(None))?;
        notifier.notify();
        event.notify();
        expect_closed("read", at_once(read_some(&stream)))?;
        expect_closed("write", at_once(stream.write(b"x")))?;
        expect_closed("readable", at_once(stream.readable()))?;
        expect_closed("try_read", stream.try_read(&mut [0]))?;
        expect_closed("try_io", handle.try_io(Interest::WRITABLE, |_| Ok(())))?;
        expect_closed("accept", at_once(listener.accept()))?;
        expect_closed("wait", at_once(event.wait()))?;
        expect_closed(
            "an old wait",
            match waiter.take().ok_or("no waiter")?.poll() {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::Error::other("it waits")),
            },
        )?;
        expect_closed("poll_read_ready", at_once(std::future::poll_fn(|cx| stream.poll_read_ready(cx))))?;
        expect_closed("block_on", notifier.block_on(read_some(&stream)))?;
        let (ours, _peer) = std::os::unix::net::UnixStream::pair().map_err(|error| error.to_string())?;
        expect_closed("a registration", Handle::new_on(&notifier, ours))?;
        let entered = notifier.enter();
        expect_closed("an Event", Event::new())?;
        drop(entered);
        handle.cancel();
        if notifier.shutdown(Duration::ZERO) != 0 {
            return Err("shutdown: something is in flight".into());
        }
        Ok(())
    });

    // A child that drops everything.
    let mut held = Some((notifier, stream, listener, event));
    let mut child_waiter = waiter;
    unix::in_child(CHILD, || {
        drop(child_waiter.take());
        drop(held.take());
        Ok(())
    });
    let (notifier, stream, listener, event) = held.take().expect("the parent's");

    let mut waiter = child_waiter.take().expect("the parent's");
    assert!(!waiter.is_woken());
    handle_peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "a registration from before the fork", || waiter.is_woken());
    waiter.ready().unwrap();
    drop(waiter);
    assert_eq!(notifier.block_on(read(&handle)).unwrap(), b"x");
    let mut reader = Task::pending(read_some(&stream));
    peer.write_all(b"still here").unwrap();
    cx.turn_until(&notifier, "a connection from before the fork", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"still here");
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(notifier.block_on(listener.accept()).unwrap().1, client.local_addr().unwrap());
    event.notify();
    assert_eq!(notifier.block_on(event.wait()).unwrap(), 1);
    drop(reader);
    drop(stream);
    assert_eq!(read_to_end(peer), b"");
    Ok(())
}

/// A child makes a Notifier of its own and has a shared one of its own in the background: timers fire, inherited sockets
/// work when they are wrapped anew, and a sleep from before the fork goes on.
pub fn fork_child_new_notifier(cx: &Cx) -> Outcome {
    // The parent has both as well, so that there is something to mistake for one's own.
    let parents = cx.notifier();
    future::block_on(time::sleep(Duration::from_millis(1)));
    let (stream, mut peer) = cx.stream(&parents);
    let (plain, mut plain_peer) = cx.tcp_pair();
    let mut held = Some((stream, plain));
    let sleeps = |notifier: &Notifier| {
        let _here = notifier.enter();
        // Long enough that they are not over when the child looks at them.
        [Task::pending(time::sleep(10 * SHORT)), Task::new(time::sleep(20 * SHORT))]
    };
    let mut old = sleeps(&parents);

    unix::in_child(CHILD, || {
        let text = |error: io::Error| error.to_string();
        let own = cx.builder().build().map_err(text)?;
        let start = Instant::now();
        own.block_on(time::sleep(Duration::from_millis(1)));
        future::block_on(time::sleep(Duration::from_millis(1)));
        if start.elapsed() < Duration::from_millis(2) {
            return Err("a timer is early".into());
        }

        let (stream, plain) = held.take().ok_or("nothing inherited")?;
        let _here = own.enter();
        let stream = net::TcpStream::from_std(stream.into_std().map_err(text)?).map_err(text)?;
        let plain = Handle::new(plain).map_err(text)?;
        for (what, received) in [
            ("a socket of the parent's Notifier", own.block_on(after_a_wait(read_some(&stream), &mut peer))),
            ("a plain socket", own.block_on(after_a_wait(read(&plain), &mut plain_peer))),
        ] {
            if received.map_err(text)? != b"inherited" {
                return Err(what.into());
            }
        }
        drop(_here);
        for (at, sleep) in old.iter_mut().enumerate() {
            let end = Instant::now() + Duration::from_secs(3);
            // Polled only when it is woken, as an executor does.
            while sleep.poll().is_pending() {
                while !sleep.is_woken() {
                    if Instant::now() > end {
                        return Err(format!("sleep {at} of the parent never ends in the child"));
                    }
                    thread::park_timeout(Duration::from_millis(10));
                }
            }
        }
        Ok(())
    });
    drop(old);
    Ok(())
}

/// What `receive` gives, which has to wait for it.
async fn after_a_wait(
    receive: impl Future<Output = io::Result<Vec<u8>>>,
    peer: &mut TcpStream,
) -> io::Result<Vec<u8>> {
    let mut receive = Box::pin(receive);
    if future::poll_once(&mut receive).await.is_some() {
        return Err(io::Error::other("it does not wait"));
    }
    peer.write_all(b"inherited")?;
    receive.await
}
