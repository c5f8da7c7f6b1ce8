//! Ends: of futures, sockets, Notifiers and processes, in every order. Nothing is lost, nothing is leaked, nothing hangs.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Closed, Event, Handle, Notifier, net,
    socket::{Domain, Socket, Type},
    time,
};

use crate::{Cx, LONG, Outcome, Rng, Task, calling, heap, read, system};

#[track_caller]
pub(super) fn assert_closed<T>(what: &str, result: io::Result<T>) {
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

pub(super) async fn read_some(stream: &net::TcpStream) -> io::Result<Vec<u8>> {
    let mut buf = [0; 4096];
    let n = stream.read(&mut buf).await?;
    Ok(buf[..n].to_vec())
}

pub(super) fn read_to_end(mut peer: TcpStream) -> Vec<u8> {
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
        let raw = system::raw(&socket);
        drop(Task::pending(async { socket.read(&mut [0]).await }));
        notifier.block_on(socket.close()).unwrap();
        assert!(!system::is_open(raw), "closed, but still open");
        assert_eq!(read_to_end(peer), b"");

        let (handle, peer) = cx.handle(&notifier);
        let raw = system::raw(handle.get_ref());
        notifier.block_on(handle.close()).unwrap();
        assert!(!system::is_open(raw), "closed, but still open");
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
        let raw = system::raw(old.get_ref());
        drop(old);
        let (new, mut new_peer) = cx.handle(&notifier);
        same += usize::from(system::raw(new.get_ref()) == raw);
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
    let before = system::descriptors();
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
    assert!(system::descriptors() <= before, "{} descriptors, and {before} before", system::descriptors());
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

/// into_std of an idle, a half-read and a just accepted socket loses no byte, and from_std registers it again, here and, where
/// sockets move, elsewhere.
pub fn into_std_round_trip(cx: &Cx) -> Outcome {
    let (one, two) = (cx.notifier(), cx.notifier());
    let (mut stream, mut peer) = cx.stream(&one);
    for round in 0..6_u8 {
        peer.write_all(&[round, 1, 2, 3]).unwrap();
        let mut first = [9; 2];
        let (current, next) = match system::SOCKETS_MOVE {
            true if round % 2 == 0 => (&one, &two),
            true => (&two, &one),
            false => (&one, &one),
        };
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
    let next = if system::SOCKETS_MOVE { &two } else { &one };
    let here = next.enter();
    let listener = net::TcpListener::from_std(plain).unwrap();
    drop(here);
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(next.block_on(listener.accept()).unwrap().1, client.local_addr().unwrap());
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
    let (descriptors, bytes) = (system::descriptors(), heap::live());
    f();
    assert_eq!(system::descriptors(), descriptors, "{what}: descriptors");
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
    // Where the kernel accepts by itself, a turn brings the connection.
    notifier.poll(Some(Duration::ZERO)).unwrap();
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
