//! How a TCP stream ends: shutdown in its orders, and a reset.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::Shutdown,
    sync::Barrier,
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Notifier,
    net::TcpStream,
    socket::{Type, option},
};

use crate::{
    Cx, Outcome, Task,
    net::{self, assert_bytes_at, assert_kind, bytes_at, is_gone, soon, v4},
    skip, system,
};

/// Ending both directions or reading, by us or by the peer: all who wait are woken, the calls say what they must, and the
/// Notifier goes quiet.
pub fn shutdown_both(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut buf = [0; 8];

    // Ours.
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let sent = fill(cx, &notifier, &stream);
    let mut reading = Task::pending(stream.read(&mut buf));
    let mut writing = Task::pending(stream.write(b"x"));
    let mut readable = Task::pending(stream.readable());
    let mut writable = Task::pending(stream.writable());
    stream.shutdown(Shutdown::Both).unwrap();
    cx.turn_until(&notifier, "waiters of a shutdown", || {
        reading.is_woken() && writing.is_woken() && readable.is_woken() && writable.is_woken()
    });
    assert_eq!(reading.ready().unwrap(), 0);
    assert_kind(&writing.ready().unwrap_err(), &[ErrorKind::BrokenPipe]);
    readable.ready().unwrap();
    writable.ready().unwrap();
    drop((reading, writing, readable, writable));
    for _ in 0..2 {
        assert_eq!(Task::new(stream.read(&mut buf)).ready().unwrap(), 0);
        assert_kind(&Task::new(stream.write(b"x")).ready().unwrap_err(), &[ErrorKind::BrokenPipe]);
    }
    cx.drain(&peer, sent);
    assert_eq!(peer.read(&mut buf).unwrap(), 0);
    cx.assert_quiet(&notifier, "after our shutdown of both directions");

    // The peer's. Ours is still good for writing, to nobody.
    let (stream, peer) = net::with_peer(cx, &notifier);
    cx.settle(&notifier);
    let mut reading = Task::pending(stream.read(&mut buf));
    let mut readable = Task::pending(stream.readable());
    peer.shutdown(Shutdown::Both).unwrap();
    cx.turn_until(&notifier, "waiters of the peer's shutdown", || reading.is_woken() && readable.is_woken());
    assert_eq!(reading.ready().unwrap(), 0);
    readable.ready().unwrap();
    drop((reading, readable));
    assert_eq!(Task::new(stream.read(&mut buf)).ready().unwrap(), 0);
    match soon(&notifier, "a write to who does not read", stream.write(b"x")) {
        Ok(n) => assert_eq!(n, 1),
        Err(error) => assert!(is_gone(&error), "{error:?}"),
    }
    cx.assert_quiet(&notifier, "after the peer's shutdown of both directions");

    // Our reading only. What is queued may come first.
    for queued in [false, true] {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        if queued {
            peer.write_all(b"queued").unwrap();
        }
        cx.settle(&notifier);
        let mut waiting = None;
        if !queued {
            waiting = Some(Task::pending(stream.readable()));
        }
        stream.shutdown(Shutdown::Read).unwrap();
        if let Some(mut waiting) = waiting {
            cx.turn_until(&notifier, "a waiter of a shutdown of reading", || waiting.is_woken());
            waiting.ready().unwrap();
        }
        let n = soon(&notifier, "a read after a shutdown of reading", stream.read(&mut buf)).unwrap();
        assert!(n == 0 || (queued && &buf[..n] == b"queued"), "{n} bytes");
        for _ in 0..2 {
            assert_eq!(soon(&notifier, "the end", stream.read(&mut buf)).unwrap(), 0);
        }
        soon(&notifier, "a write after a shutdown of reading", stream.write_all(b"out")).unwrap();
        let mut got = [0; 3];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"out");
        cx.assert_quiet(&notifier, "after a shutdown of reading");
    }
    Ok(())
}

/// Writes until it would block, also after turns. Gives how much.
#[track_caller]
fn fill(cx: &Cx, notifier: &Notifier, stream: &TcpStream) -> usize {
    let mut sent = 0;
    loop {
        match stream.try_write(&[b'x'; 64 * 1024]) {
            Ok(n) => sent += n,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                cx.settle(notifier);
                if stream.try_write(b"").is_err() {
                    return sent;
                }
            }
        }
        cx.check_time("a send buffer is never full");
    }
}

/// Ending reading, or both, ends a receive that owns its buffer: with nothing, and the buffer.
pub fn shutdown_ends_owned_receives(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for (how, exact) in [(Shutdown::Read, false), (Shutdown::Both, false), (Shutdown::Both, true)] {
        let (stream, _peer) = net::with_peer(cx, &notifier);
        let mut reading = Task::pending(async {
            let buf = Vec::with_capacity(64);
            if exact { stream.read_exact_owned(buf).await } else { stream.read_owned(buf).await }
        });
        cx.settle(&notifier);
        stream.shutdown(how).unwrap();
        let mut ended = None;
        cx.turn_until(&notifier, "the end of a receive", || {
            if let Poll::Ready(output) = reading.poll() {
                ended = Some(output);
            }
            ended.is_some()
        });
        let (result, buf) = ended.unwrap();
        match exact {
            true => assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof),
            false => assert_eq!(result.unwrap(), 0),
        }
        assert_eq!(buf.capacity(), 64);
    }
    Ok(())
}

/// By their sources, BSDs note a shutdown of a socket that connects, and go on connecting.
const SHUTDOWN_ENDS_CONNECT: bool = cfg!(any(target_os = "linux", windows));

/// Where a socket that connects can be shut down, that ends the connect, and soon; nothing stays behind.
pub fn shutdown_while_connecting(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let Some(full) = net::full_listener(cx, &notifier) else {
        skip!("this system answers connects to a listener with a full queue");
    };
    let before = system::descriptors();
    for how in [Shutdown::Write, Shutdown::Both, Shutdown::Read] {
        let socket = net::bare(&notifier, v4(), Type::Stream);
        let mut connecting = Task::pending(socket.connect(full.address));
        cx.settle(&notifier);
        assert!(!connecting.is_woken() || connecting.poll().is_pending(), "connected to nobody");
        if let Err(error) = socket.shutdown(how) {
            assert_kind(&error, &[ErrorKind::NotConnected]);
            assert!(connecting.poll().is_pending(), "it was not shut down, and connects no more");
            continue;
        }
        if !SHUTDOWN_ENDS_CONNECT {
            cx.settle(&notifier);
            assert!(connecting.poll().is_pending(), "neither connected nor given up");
            continue;
        }
        let mut ended = None;
        cx.turn_until(&notifier, "a connect of a socket that was shut down", || {
            if let Poll::Ready(output) = connecting.poll() {
                ended = Some(output);
            }
            ended.is_some()
        });
        ended.unwrap().expect_err("connected");
        drop(connecting);
        // Nothing was sent, and nothing waits to be.
        assert!(soon(&notifier, "a write", socket.write(b"x")).is_err());
    }
    cx.settle(&notifier);
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// What was written before a shutdown or a drop arrives, and then the end; with unread data of the peer a reset may cut
/// it short. Nothing hangs and nothing leaks.
pub fn shutdown_after_write(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    let notifier = cx.notifier();
    let base = system::descriptors();
    let total = cx.rounds(16 << 20);
    let data = bytes_at(0, total);
    for drops in [false, true] {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut got = Vec::with_capacity(total);
                peer.read_to_end(&mut got).unwrap();
                assert_eq!(got.len(), total);
                assert_bytes_at(0, &got);
            });
            notifier.block_on(async {
                stream.write_all(&data).await.unwrap();
                if !drops {
                    stream.shutdown(Shutdown::Write).unwrap();
                }
            });
            if drops {
                drop(stream);
            }
        });
    }
    for unread in [false, true] {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        if unread {
            peer.write_all(b"never read").unwrap();
            soon(&notifier, "data that nobody reads", stream.readable()).unwrap();
        }
        soon(&notifier, "a write", stream.write_all(b"last words")).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        drop(stream);
        peer.set_read_timeout(Some(net::LIMIT)).unwrap();
        let mut got = Vec::new();
        match peer.read_to_end(&mut got) {
            Ok(_) => assert_eq!(got, b"last words"),
            Err(error) => {
                assert!(unread, "nothing was unread: {error}");
                assert_kind(&error, &[ErrorKind::ConnectionReset]);
                assert!(b"last words".starts_with(&got));
            }
        }
    }
    assert_eq!(system::descriptors(), base, "descriptors");
    drop(notifier);
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// A second shutdown, one after a reset, one beside a reader, and both ends at once: `Ok` or `NotConnected`, and all
/// readers come to the end.
pub fn shutdown_twice(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let fine = |result: io::Result<()>, what: &str| {
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{what}: {error}");
        }
    };
    let mut buf = [0; 8];
    for how in [Shutdown::Write, Shutdown::Read, Shutdown::Both] {
        let (stream, _peer) = net::with_peer(cx, &notifier);
        stream.shutdown(how).unwrap();
        for _ in 0..2 {
            fine(stream.shutdown(how), "a second shutdown");
            notifier.poll(Some(Duration::ZERO)).unwrap();
        }
        let (stream, peer) = net::pair(cx, &notifier);
        peer.set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        soon(&notifier, "a reset", stream.readable()).unwrap();
        fine(stream.shutdown(how), "a shutdown after a reset");
        fine(stream.shutdown(how), "a second shutdown after a reset");
    }

    let (stream, mut peer) = net::with_peer(cx, &notifier);
    cx.settle(&notifier);
    let mut reading = Task::pending(stream.read(&mut buf));
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    cx.settle(&notifier);
    if reading.is_woken() {
        assert!(reading.poll().is_pending(), "the end of writing is not the end of reading");
    }
    peer.write_all(b"still").unwrap();
    assert_eq!(net::finish(cx, &notifier, "data after our shutdown", &mut reading).unwrap(), 5);
    drop(reading);
    drop(peer);
    assert_eq!(soon(&notifier, "the peer's end", stream.read(&mut buf)).unwrap(), 0);

    for _ in 0..cx.rounds(100) {
        let (one, other) = net::pair(cx, &notifier);
        let barrier = Barrier::new(2);
        thread::scope(|scope| {
            for stream in [&one, &other] {
                let (barrier, fine) = (&barrier, &fine);
                scope.spawn(move || {
                    barrier.wait();
                    fine(stream.shutdown(Shutdown::Write), "both at once");
                });
            }
        });
        let (mut buf_one, mut buf_other) = ([0; 8], [0; 8]);
        let ends = future::zip(one.read(&mut buf_one), other.read(&mut buf_other));
        let ends = soon(&notifier, "both ends", ends);
        assert_eq!((ends.0.unwrap(), ends.1.unwrap()), (0, 0));
    }
    Ok(())
}

/// A socket goes with a shutdown that waits for a send that is dropped: by the time that has ended, the number of its
/// descriptor may be another socket's, which nobody shuts down.
pub fn shutdown_of_a_dropped_socket(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for how in [Shutdown::Write, Shutdown::Both] {
        let (stream, _peer) = net::with_peer(cx, &notifier);
        fill(cx, &notifier, &stream);
        let sending = Task::pending(stream.write_all_owned(vec![b'x'; 1 << 20]));
        cx.settle(&notifier);
        stream.shutdown(how).unwrap();
        drop(sending);
        drop(stream);
        // Where its number is free by now, one of these has it.
        let mut others = [(); 4].map(|()| cx.tcp_pair());
        cx.settle(&notifier);
        for (one, other) in &mut others {
            one.write_all(b"there").unwrap();
            other.write_all(b"back").unwrap();
            let mut got = [0; 5];
            other.read_exact(&mut got).unwrap();
            one.read_exact(&mut got[..4]).unwrap();
            assert_eq!(&got, b"backe");
        }
    }
    Ok(())
}

/// A shutdown that comes while a send is in the kernel that is dropped, before or after it: the peer reads what was sent of
/// it, and the end.
pub fn shutdown_behind_a_dropped_send(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for drops_first in [false, true] {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        peer.set_read_timeout(Some(net::LIMIT)).unwrap();
        fill(cx, &notifier, &stream);
        let mut sending = Some(Task::pending(stream.write_all_owned(vec![b'x'; 1 << 20])));
        cx.settle(&notifier);
        if drops_first {
            sending = None;
        }
        stream.shutdown(Shutdown::Write).unwrap();
        drop(sending);
        thread::scope(|scope| {
            let reads = scope.spawn(|| io::copy(&mut peer, &mut io::sink()).unwrap());
            cx.turn_until(&notifier, "the end of writing behind a dropped send", || reads.is_finished());
        });
        let error = soon(&notifier, "a write after the shutdown", stream.write(b"x")).unwrap_err();
        assert_kind(&error, &[ErrorKind::BrokenPipe]);
    }

    // Of two, the first was for both sides, and stays so.
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    peer.set_read_timeout(Some(net::LIMIT)).unwrap();
    fill(cx, &notifier, &stream);
    drop(Task::pending(stream.write_all_owned(vec![b'x'; 1 << 20])));
    stream.shutdown(Shutdown::Both).unwrap();
    drop(stream.shutdown(Shutdown::Write)); // some systems refuse a second one
    thread::scope(|scope| {
        let reads = scope.spawn(|| io::copy(&mut peer, &mut io::sink()).unwrap());
        cx.turn_until(&notifier, "the end of writing", || reads.is_finished());
    });
    assert_eq!(soon(&notifier, "the end of reading", stream.read(&mut [0])).unwrap(), 0);
    Ok(())
}

/// A shutdown that comes while a send is in the kernel, whose future another thread polls: what that thread writes once the send
/// is done was asked for after the shutdown, and fails.
pub fn shutdown_before_the_next_write(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for round in 0..cx.rounds(600) {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        let mut sending = Task::new(stream.write_owned(b"sent".to_vec()));
        let sent = sending.poll();
        stream.shutdown(Shutdown::Write).unwrap();
        let wrote = match sent {
            Poll::Ready(_) => stream.try_write(b"x"),
            Poll::Pending => thread::scope(|scope| {
                let writes = scope.spawn(|| {
                    while sending.poll().is_pending() {
                        std::hint::spin_loop();
                    }
                    stream.try_write(b"x")
                });
                while !writes.is_finished() {
                    cx.check_time("the send");
                    notifier.poll(Some(Duration::ZERO)).unwrap();
                }
                writes.join().unwrap()
            }),
        };
        assert_kind(&wrote.expect_err(&format!("round {round}")), &[ErrorKind::BrokenPipe]);
        drop(sending);
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"sent");
    }
    Ok(())
}

/// A socket that lingers for no time at all resets its connection when it is dropped, from either end; where the end of
/// writing came first, the other end may have seen that.
pub fn linger_zero_resets(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    for (client_resets, shut) in [(false, false), (false, true), (true, false), (true, true)] {
        let ends =
            soon(&notifier, "a connection", future::try_zip(TcpStream::connect(here), listener.accept()));
        let (client, (server, _)) = ends.unwrap();
        let (resets, other) = if client_resets { (client, server) } else { (server, client) };
        assert_eq!(resets.linger().unwrap(), None);
        resets.set_linger(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(resets.linger().unwrap(), Some(Duration::from_secs(5)));
        resets.set_linger(None).unwrap();
        assert_eq!(resets.linger().unwrap(), None);
        resets.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(resets.socket().get(option::Linger).unwrap(), Some(Duration::ZERO));

        let mut buf = [0; 8];
        if shut {
            resets.shutdown(Shutdown::Write).unwrap();
            assert_eq!(soon(&notifier, "the end of writing", other.read(&mut buf)).unwrap(), 0);
            drop(resets);
            if let Err(error) = soon(&notifier, "the end", other.read(&mut buf)) {
                assert_kind(&error, &[ErrorKind::ConnectionReset]);
            }
            continue;
        }
        cx.settle(&notifier);
        let mut reading = Task::pending(other.read(&mut buf));
        drop(resets);
        let error = net::finish(cx, &notifier, "a reset", &mut reading).unwrap_err();
        assert_kind(&error, &[ErrorKind::ConnectionReset]);
    }
    Ok(())
}
