//! TCP streams: every form of reading and writing, their ends, options, halves.

use std::{
    fmt::Debug,
    future::Future,
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Notifier,
    net::{
        OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpListener, TcpStream, UdpSocket, UnixDatagram,
        UnixListener, UnixStream, WriteHalf,
    },
    socket::{RecvFlags, SendFlags, Socket, Type, option},
};

use crate::{
    Cx, Outcome, Rng, Task, heap, join_all,
    net::{self, assert_bytes_at, assert_kind, bytes_at, is_gone, soon, v4},
    unix,
};

/// Small messages back and forth between tasks and between threads; scattered and gathered ones, with more slices than
/// the system takes and empty ones among them.
pub fn echo_round_trips(cx: &Cx) -> Outcome {
    let rounds = cx.rounds(1_000);
    let message = |round: usize| bytes_at(round, 1 + round % 100);
    let client = async |stream: &TcpStream| {
        for round in 0..rounds {
            let sent = message(round);
            stream.write_all(&sent).await?;
            let mut back = vec![0; sent.len()];
            stream.read_exact(&mut back).await?;
            assert_eq!(back, sent, "round {round}");
        }
        io::Result::Ok(())
    };
    let server = async |stream: &TcpStream| {
        // An echo in two pieces would wait for the acknowledgement of the first.
        stream.set_nodelay(true)?;
        let mut buf = [0; 64];
        loop {
            match stream.read(&mut buf).await? {
                0 => return io::Result::Ok(()),
                n => stream.write_all(&buf[..n]).await?,
            }
        }
    };
    for at in net::locals(cx) {
        let notifier = cx.notifier();
        let listener = net::listener(&notifier, at);
        let here = listener.local_addr().unwrap();
        let (one, other) =
            notifier.block_on(future::try_zip(TcpStream::connect(here), listener.accept())).unwrap();
        let both = future::try_zip(
            async {
                client(&one).await?;
                one.shutdown(Shutdown::Write)
            },
            server(&other.0),
        );
        notifier.block_on(both).unwrap();

        thread::scope(|scope| {
            scope.spawn(|| {
                let (stream, _) = notifier.block_on(listener.accept()).unwrap();
                notifier.block_on(server(&stream)).unwrap();
            });
            let notifier = cx.notifier();
            notifier.block_on(async { client(&TcpStream::connect(here).await?).await }).unwrap();
        });
    }
    vectored(cx);
    Ok(())
}

fn vectored(cx: &Cx) {
    const SLICES: usize = 1_500; // the limit is 1,024 nearly everywhere
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    let data = bytes_at(0, SLICES * 2);
    let (mut parts, mut rest) = (Vec::new(), &data[..]);
    for which in 0..SLICES {
        let (part, others) = rest.split_at(which % 5);
        parts.push(part);
        rest = others;
    }
    assert!(rest.is_empty());

    // What the Notifier says of new sockets comes before, and of the data before the read: nothing helps later.
    cx.settle(&notifier);
    soon(&notifier, "a gathered write", async {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let (mut left, mut sent) = (&mut slices[..], 0);
        while sent < data.len() {
            let n = one.write_vectored(left).await.unwrap();
            assert!(n > 0);
            sent += n;
            IoSlice::advance_slices(&mut left, n);
        }
        assert_eq!(sent, data.len());
    });

    let mut room = vec![0; data.len()];
    cx.settle(&notifier);
    soon(&notifier, "a scattered read", async {
        let mut rest = &mut room[..];
        let mut slices = Vec::new();
        while !rest.is_empty() {
            let len = (slices.len() % 4).min(rest.len());
            let (part, others) = rest.split_at_mut(len);
            slices.push(IoSliceMut::new(part));
            rest = others;
        }
        assert!(slices.len() > 1_024);
        let (mut left, mut got) = (&mut slices[..], 0);
        while got < data.len() {
            let n = other.read_vectored(left).await.unwrap();
            assert!(n > 0);
            got += n;
            IoSliceMut::advance_slices(&mut left, n);
        }
    });
    assert_eq!(room, data);

    // Nothing to do is done at once, and takes nothing.
    soon(&notifier, "a write", one.write_all(b"x")).unwrap();
    soon(&notifier, "readable", other.readable()).unwrap();
    let (mut empty, mut nothing) = ([IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])], []);
    assert_eq!(Task::new(other.read_vectored(&mut empty)).ready().unwrap(), 0);
    assert_eq!(Task::new(other.read_vectored(&mut nothing)).ready().unwrap(), 0);
    assert_eq!(Task::new(one.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[])])).ready().unwrap(), 0);
    assert_eq!(Task::new(one.write_vectored(&[])).ready().unwrap(), 0);
    let mut buf = [0; 4];
    assert_eq!(Task::new(other.read(&mut buf)).ready().unwrap(), 1);
}

/// Small writes in a row and a great many bytes arrive whole and in order, whether the reader is slow or fast; nothing
/// is buffered on the way.
pub fn writes_keep_order(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let count = cx.rounds(5_000) as u32;
    soon(&notifier, "writes in a row", async {
        for number in 0..count {
            assert_eq!(stream.write(&number.to_le_bytes()).await.unwrap(), 4);
        }
    });
    let mut number = [0; 4];
    for expected in 0..count {
        peer.read_exact(&mut number).unwrap();
        assert_eq!(u32::from_le_bytes(number), expected);
    }

    const CHUNK: usize = 256 * 1024;
    let chunks = cx.rounds(128);
    let chunk = bytes_at(0, CHUNK);
    for fast in [true, false] {
        let (stream, peer) = net::with_peer(cx, &notifier);
        let expected = &chunk;
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut peer = peer;
                let mut buf = vec![0; if fast { CHUNK } else { 4096 }];
                let mut got = 0;
                loop {
                    let n = peer.read(&mut buf).unwrap();
                    if n == 0 {
                        break;
                    }
                    // The chunk comes again and again.
                    let (at, wrapped) = (got % CHUNK, (got % CHUNK + n).saturating_sub(CHUNK));
                    assert!(buf[..n - wrapped] == expected[at..at + n - wrapped], "after {got} bytes");
                    assert!(buf[n - wrapped..n] == expected[..wrapped], "after {got} bytes");
                    got += n;
                    if !fast {
                        thread::yield_now();
                    }
                }
                assert_eq!(got, chunks * CHUNK);
            });
            notifier.block_on(async {
                stream.write_all(&chunk).await.unwrap();
                let before = heap::here();
                for _ in 1..chunks {
                    stream.write_all(&chunk).await.unwrap();
                }
                if let (Some(before), Some(after)) = (before, heap::here()) {
                    assert!((after - before).allocations <= 16, "{:?} for a long write", after - before);
                }
                stream.shutdown(Shutdown::Write).unwrap();
            });
        });
    }
    Ok(())
}

/// The forms with flags do what the plain ones do, but for the flag: a peek takes nothing, urgent bytes travel beside, and
/// what waits for more is not lost.
pub fn recv_send_flags(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    let (one, other) = (one.socket(), other.socket());
    let mut buf = [0; 64];

    let mut reading = Task::pending(other.recv(&mut buf, RecvFlags::NONE));
    soon(&notifier, "a send", async {
        assert_eq!(one.send(b"ab", SendFlags::MORE).await.unwrap(), 2);
        assert_eq!(one.send(b"cd", SendFlags::NONE).await.unwrap(), 2);
    });
    cx.turn_until(&notifier, "what was sent with flags", || reading.is_woken());
    let mut got = reading.ready().unwrap();
    drop(reading);
    while got < 4 {
        got += soon(&notifier, "the rest", other.recv(&mut buf[got..], RecvFlags::NONE)).unwrap();
    }
    assert_eq!(&buf[..got], b"abcd");

    // A short peek leaves the side readable: no turn, no new data.
    soon(&notifier, "a send", one.send(b"hello", SendFlags::NONE)).unwrap();
    assert_eq!(soon(&notifier, "a peek", other.recv(&mut buf, RecvFlags::PEEK)).unwrap(), 5);
    for _ in 0..3 {
        assert_eq!(Task::new(other.recv(&mut buf, RecvFlags::PEEK)).ready().unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
    }
    assert_eq!(Task::new(other.recv(&mut buf[..2], RecvFlags::PEEK)).ready().unwrap(), 2);
    assert_eq!(Task::new(other.recv(&mut buf, RecvFlags::NONE)).ready().unwrap(), 5);
    assert_eq!(&buf[..5], b"hello");
    drop(Task::pending(other.recv(&mut buf, RecvFlags::PEEK)));

    // A kqueue does not say that a byte is urgent; `priority_readiness` looks at that.
    if cx.has_priority() {
        let mut urgent_buf = [0; 8];
        let mut urgent = Task::pending(other.recv(&mut urgent_buf, RecvFlags::OUT_OF_BAND));
        soon(&notifier, "a send", one.send(b"plain", SendFlags::NONE)).unwrap();
        soon(&notifier, "plain data", other.recv(&mut buf, RecvFlags::NONE)).unwrap();
        assert!(urgent.poll().is_pending(), "plain data is not urgent");
        soon(&notifier, "an urgent send", one.send(b"!", SendFlags::OUT_OF_BAND)).unwrap();
        cx.turn_until(&notifier, "an urgent byte", || urgent.is_woken());
        assert_eq!(urgent.ready().unwrap(), 1);
        drop(urgent);
        assert_eq!(urgent_buf[0], b'!');
    }

    one.shutdown(Shutdown::Write).unwrap();
    for flags in [RecvFlags::PEEK, RecvFlags::NONE, RecvFlags::PEEK] {
        assert_eq!(soon(&notifier, "the end", other.recv(&mut buf, flags)).unwrap(), 0, "{flags:?}");
    }
    Ok(())
}

/// A reader that lends gets exactly what was sent, once, in pieces that fit the thread's buffer; the end is an empty
/// piece; dropped, it took nothing.
pub fn recv_with_lends_bytes(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let mut lent = Task::pending(stream.recv_with(<[u8]>::to_vec));
    peer.write_all(b"ping").unwrap();
    cx.turn_until(&notifier, "lent bytes", || lent.is_woken());
    assert_eq!(lent.ready().unwrap(), b"ping");
    drop(lent);
    let called = AtomicUsize::new(0);
    assert_eq!(
        stream.try_recv_with(|_| called.fetch_add(1, SeqCst)).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    assert_eq!(called.load(SeqCst), 0, "called with nothing to lend");

    // Dropped before data, after its wake, and then another takes what is there.
    drop(Task::pending(stream.recv_with(|_| unreachable!("it was dropped"))));
    let dropped = Task::pending(stream.recv_with(|_| unreachable!("it was dropped")));
    peer.write_all(b"kept").unwrap();
    cx.turn_until(&notifier, "a wake", || dropped.is_woken());
    drop(dropped);
    assert_eq!(Task::new(stream.recv_with(<[u8]>::to_vec)).ready().unwrap(), b"kept");

    let total = 300 * 1024;
    let sender = thread::spawn(move || {
        peer.write_all(&bytes_at(0, total)).unwrap();
        peer
    });
    let (mut got, mut most) = (0, 0);
    while got < total {
        got += soon(
            &notifier,
            "a piece",
            stream.recv_with(|bytes| {
                assert!(!bytes.is_empty());
                assert_bytes_at(got, bytes);
                most = most.max(bytes.len());
                bytes.len()
            }),
        )
        .unwrap();
    }
    assert_eq!(got, total);
    assert!(most <= 64 * 1024, "{most} bytes in one piece: more than documented");

    drop(sender.join().unwrap());
    for _ in 0..2 {
        let at_end = soon(&notifier, "the end", stream.recv_with(<[u8]>::is_empty)).unwrap();
        assert!(at_end, "the end of file is an empty piece");
    }
    Ok(())
}

/// A lending reader inside a lending reader has a buffer of its own; a panic in the closure counts its bytes as read and
/// harms nothing else.
pub fn recv_with_reentry_and_panic(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (outer, mut outer_peer) = net::with_peer(cx, &notifier);
    let (inner, mut inner_peer) = net::with_peer(cx, &notifier);
    outer_peer.write_all(b"outer bytes").unwrap();
    inner_peer.write_all(b"INNER").unwrap();
    soon(&notifier, "data on both", future::zip(outer.readable(), inner.readable())).0.unwrap();
    let inner_peer = Mutex::new(inner_peer);
    let mut nested = Task::new(outer.recv_with(|bytes| {
        assert_eq!(bytes, b"outer bytes");
        let one = inner.try_recv_with(<[u8]>::to_vec).unwrap();
        assert_eq!(bytes, b"outer bytes", "the inner call had the same buffer");
        // And a future, polled in there.
        inner_peer.lock().unwrap().write_all(b"AGAIN").unwrap();
        let mut second = pin!(inner.recv_with(|inner_bytes| {
            assert_eq!(bytes, b"outer bytes", "the inner call had the same buffer");
            inner_bytes.to_vec()
        }));
        let mut context = Context::from_waker(Waker::noop());
        // Nobody turns in here, so it may have to wait for its report.
        let two = match second.as_mut().poll(&mut context) {
            Poll::Ready(result) => Some(result.unwrap()),
            Poll::Pending => None,
        };
        assert_eq!(bytes, b"outer bytes");
        (one, two)
    }));
    let (one, two) = nested.ready().unwrap();
    drop(nested);
    assert_eq!(one, b"INNER");
    let two = two.unwrap_or_else(|| soon(&notifier, "data", inner.recv_with(<[u8]>::to_vec)).unwrap());
    assert_eq!(two, b"AGAIN");

    outer_peer.write_all(b"first").unwrap();
    soon(&notifier, "data", outer.readable()).unwrap();
    let mut panics = Task::new(outer.recv_with(|bytes| -> usize { panic!("with {} bytes", bytes.len()) }));
    let payload =
        catch_unwind(AssertUnwindSafe(|| panics.poll())).expect_err("the closure's panic is passed on");
    assert_eq!(payload.downcast_ref::<String>().map(String::as_str), Some("with 5 bytes"));
    drop(panics);
    assert_eq!(
        outer.try_read(&mut [0; 8]).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "the bytes count as read"
    );

    // A panic in the inner of two, caught in the outer.
    outer_peer.write_all(b"second").unwrap();
    inner_peer.lock().unwrap().write_all(b"boom").unwrap();
    soon(&notifier, "data on both", future::zip(outer.readable(), inner.readable())).0.unwrap();
    let got = outer
        .try_recv_with(|bytes| {
            let panicked = catch_unwind(AssertUnwindSafe(|| inner.try_recv_with(|_| panic!("inside"))));
            assert!(panicked.is_err());
            bytes.to_vec()
        })
        .unwrap();
    assert_eq!(got, b"second");
    outer_peer.write_all(b"third").unwrap();
    assert_eq!(soon(&notifier, "data", outer.recv_with(<[u8]>::to_vec)).unwrap(), b"third");
    Ok(())
}

/// What can be done at once is done, everything else is `WouldBlock` and makes the next wait a real one; a loop over
/// `readable` and `try_read` misses nothing.
pub fn try_forms(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    cx.settle(&notifier);
    let (mut one, mut two) = ([0; 3], [0; 8]);
    let blocks = |stream: &TcpStream| {
        let mut buf = [0; 8];
        let results: [io::Result<usize>; 4] = [
            stream.try_read(&mut buf),
            stream.try_peek(&mut buf),
            stream.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]),
            stream.try_recv_with(<[u8]>::len),
        ];
        results.iter().all(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock))
    };
    assert!(blocks(&stream));

    let mut readable = Task::pending(stream.readable());
    peer.write_all(b"0123456789").unwrap();
    cx.turn_until(&notifier, "data after WouldBlock", || readable.is_woken());
    readable.ready().unwrap();
    assert_eq!(stream.try_peek(&mut two).unwrap(), 8);
    assert_eq!(stream.try_read(&mut one).unwrap(), 3);
    assert_eq!(stream.try_recv_with(|bytes| bytes.len()).unwrap(), 7);
    assert!(blocks(&stream));
    let mut readable = Task::pending(stream.readable());
    assert!(!readable.is_woken());
    peer.write_all(b"abcde").unwrap();
    cx.turn_until(&notifier, "data after WouldBlock", || readable.is_woken());
    readable.ready().unwrap();
    let n = stream.try_read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]).unwrap();
    assert_eq!((n, &one, &two[..2]), (5, b"abc", &b"de"[..]));
    assert!(blocks(&stream));

    // No wait before, only a turn.
    peer.write_all(b"x").unwrap();
    cx.settle(&notifier);
    assert_eq!(stream.try_read(&mut one).unwrap(), 1);

    // Writing: until it would block, then again once the peer has read.
    let chunk = [IoSlice::new(b"0123456789abcdef"), IoSlice::new(b"0123456789abcdef")];
    assert_eq!(stream.try_write_vectored(&chunk).unwrap(), 32);
    let mut sent = 32;
    let full = loop {
        match stream.try_write(&[b'w'; 64 * 1024]) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
        cx.check_time("a send buffer is never full");
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    assert_eq!(stream.try_write_vectored(&chunk).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut writable = Task::pending(stream.writable());
    cx.drain(&peer, sent);
    cx.turn_until(&notifier, "room after WouldBlock", || writable.is_woken());
    writable.ready().unwrap();
    assert_eq!(stream.try_write(b"more").unwrap(), 4);
    cx.drain(&peer, 4);

    bursts(cx);
    Ok(())
}

fn bursts(cx: &Cx) {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let total = cx.rounds(2 << 20);
    let sender = thread::spawn(move || {
        let (mut rng, mut sent) = (Rng::new(), 0);
        while sent < total {
            let most = if rng.one_in(4) { 60_000 } else { 50 };
            let len = (1 + rng.below(most)).min(total - sent);
            peer.write_all(&bytes_at(sent, len)).unwrap();
            sent += len;
            if rng.one_in(3) {
                thread::yield_now();
            }
        }
    });
    let mut got = 0;
    notifier.block_on(async {
        let mut buf = vec![0; 5_000];
        'all: loop {
            soon_here(stream.readable()).await.unwrap();
            loop {
                match stream.try_read(&mut buf) {
                    Ok(0) => break 'all,
                    Ok(n) => {
                        assert_bytes_at(got, &buf[..n]);
                        got += n;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    });
    assert_eq!(got, total);
    sender.join().unwrap();
}

/// As `soon`, inside a `block_on`.
async fn soon_here<R>(future: impl Future<Output = R>) -> R {
    pike::time::timeout(net::LIMIT, future).await.expect("nothing comes any more")
}

/// Writing to a peer that is gone fails soon and from then on, in every form.
pub fn try_write_error(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for which in 0..4 {
        let (stream, peer) = net::with_peer(cx, &notifier);
        drop(peer);
        let write = || -> io::Result<usize> {
            match which {
                0 => stream.try_write(b"x"),
                1 => stream.try_write_vectored(&[IoSlice::new(b"x")]),
                2 => soon(&notifier, "a write", stream.write(b"x")),
                _ => soon(&notifier, "a write", stream.write_vectored(&[IoSlice::new(b"x")])),
            }
        };
        let mut successes = 0;
        let error = loop {
            match write() {
                Ok(_) => successes += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => break error,
            }
            assert!(successes < 100, "form {which}: writing to nobody succeeds for ever");
            notifier.poll(Some(Duration::from_millis(1))).unwrap();
            cx.check_time("writing to nobody never fails");
        };
        assert!(is_gone(&error) && error.raw_os_error().is_some(), "form {which}: {error:?}");
        for _ in 0..3 {
            let error = write().unwrap_err();
            assert!(is_gone(&error), "form {which}: {error:?}");
        }
    }
    Ok(())
}

/// The forms that go on until all is done, over pieces and a full buffer, and how they end early; calls with nothing to
/// do return at once and change nothing.
pub fn read_exact_and_write_all(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let mut buf = [0; 10];
    let mut reading = Task::pending(stream.read_exact(&mut buf));
    for piece in [&b"0123"[..], b"4", b"56789tail"] {
        peer.write_all(piece).unwrap();
        cx.turn_until(&notifier, "a piece", || reading.is_woken());
        if piece.len() < 5 {
            assert!(reading.poll().is_pending());
        }
    }
    assert_eq!(reading.ready().unwrap(), 10);
    drop(reading);
    assert_eq!(&buf, b"0123456789");

    // Half of what is wanted, then the end.
    let mut reading = Task::pending(stream.read_exact(&mut buf));
    peer.shutdown(Shutdown::Write).unwrap();
    cx.turn_until(&notifier, "the end", || reading.is_woken());
    let error = reading.ready().unwrap_err();
    drop(reading);
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(&buf[..4], b"tail");

    let total = 8 << 20;
    let data = bytes_at(0, total);
    let mut writing = Task::pending(stream.write_all(&data));
    let reader = thread::spawn(move || {
        let mut got = vec![0; total];
        peer.read_exact(&mut got).unwrap();
        assert_bytes_at(0, &got);
        peer
    });
    net::finish(cx, &notifier, "a write of more than fits", &mut writing).unwrap();
    drop(writing);
    drop(reader.join().unwrap());
    let error = soon(&notifier, "writing to nobody", stream.write_all(&data)).unwrap_err();
    assert!(is_gone(&error), "{error:?}");

    nothing_to_do(cx);
    Ok(())
}

/// Calls with empty buffers, on a stream that is new, drained, and has data.
fn nothing_to_do(cx: &Cx) {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let check = |when: &str| {
        let zero = |what: &str, mut task: Task<'_, io::Result<usize>>| match task.poll() {
            Poll::Ready(result) => assert_eq!(result.unwrap(), 0, "{what}, {when}"),
            Poll::Pending => panic!("{what} of nothing is pending, {when}"),
        };
        zero("write", Task::new(stream.write(&[])));
        zero("write_all", Task::new(async { stream.write_all(&[]).await.map(|()| 0) }));
        zero("read_exact", Task::new(stream.read_exact(&mut [])));
        zero("read", Task::new(stream.read(&mut [])));
    };
    check("new");
    let mut buf = [0; 8];
    drop(Task::pending(stream.read(&mut buf)));
    check("drained");
    peer.write_all(b"data").unwrap();
    cx.settle(&notifier);
    check("with data");
    check("with data");
    assert_eq!(Task::new(stream.read(&mut buf)).ready().unwrap(), 4);
    assert_eq!(&buf[..4], b"data");
}

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

/// What was written before a shutdown or a drop arrives, and then the end; with unread data of the peer a reset may cut
/// it short. Nothing hangs and nothing leaks.
pub fn shutdown_after_write(cx: &Cx) -> Outcome {
    let before = unix::descriptors();
    let notifier = cx.notifier();
    let base = unix::descriptors();
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
    assert_eq!(unix::descriptors(), base, "descriptors");
    drop(notifier);
    assert_eq!(unix::descriptors(), before, "descriptors");
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

/// Options have their defaults, take a value, give it back, and refuse what is out of range.
pub fn options_read_back(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, _peer) = net::pair(cx, &notifier);
    for socket in [&net::bare(&notifier, v4(), Type::Stream), stream.socket()] {
        socket.set(option::NoDelay, false).unwrap();
        for value in [true, false, true] {
            socket.set(option::NoDelay, value).unwrap();
            assert_eq!(socket.get(option::NoDelay).unwrap(), value);
            socket.set(option::KeepAlive, value).unwrap();
            assert_eq!(socket.get(option::KeepAlive).unwrap(), value);
            socket.set(option::ReuseAddress, value).unwrap();
            assert_eq!(socket.get(option::ReuseAddress).unwrap(), value);
        }
    }
    let fresh = net::bare(&notifier, v4(), Type::Stream);
    assert!(!fresh.get(option::NoDelay).unwrap());
    assert!(!fresh.get(option::KeepAlive).unwrap());
    stream.set_nodelay(false).unwrap();
    assert!(!stream.nodelay().unwrap());

    let datagrams = net::udp(&notifier, v4());
    for socket in [&fresh, stream.socket(), datagrams.socket()] {
        for size in [16 * 1024, 48 * 1024] {
            socket.set(option::SendBufferSize, size).unwrap();
            socket.set(option::ReceiveBufferSize, size).unwrap();
            let (send, receive) =
                (socket.get(option::SendBufferSize).unwrap(), socket.get(option::ReceiveBufferSize).unwrap());
            assert!(send >= size && receive >= size, "{size} gave {send} and {receive}");
            assert!(send <= 4 * size && receive <= 4 * size, "{size} gave {send} and {receive}");
        }
    }
    inherited(&notifier);
    pending_errors(cx);

    for at in net::locals(cx) {
        let listener = net::listener(&notifier, at);
        let connected =
            soon(&notifier, "a stream", TcpStream::connect(listener.local_addr().unwrap())).unwrap();
        let datagrams = net::udp(&notifier, at);
        for socket in [listener.socket(), connected.socket(), datagrams.socket()] {
            assert!((1..=255).contains(&socket.get(option::Ttl).unwrap()));
            socket.set(option::Ttl, 42).unwrap();
            assert_eq!(socket.get(option::Ttl).unwrap(), 42);
            for wrong in [256, 1 << 31, u32::MAX] {
                let error = socket.set(option::Ttl, wrong).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}: {error}");
            }
            assert_eq!(socket.get(option::Ttl).unwrap(), 42, "a wrong value changed it");
            if at.is_ipv6() {
                // The option of IPv4 exists there as well, and means something else.
                let hops = net::number_option(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS);
                assert_eq!(hops, 42, "the hops of IPv6");
            }
        }
        listener.set_ttl(7).unwrap();
        connected.set_ttl(8).unwrap();
        datagrams.set_ttl(9).unwrap();
        let ttls = (listener.ttl().unwrap(), connected.ttl().unwrap(), datagrams.ttl().unwrap());
        assert_eq!(ttls, (7, 8, 9));
    }
    Ok(())
}

/// What a listener has, its connections have.
fn inherited(notifier: &Notifier) {
    let listening = net::bare(notifier, v4(), Type::Stream);
    listening.set(option::ReceiveBufferSize, 40 * 1024).unwrap();
    listening.set(option::SendBufferSize, 36 * 1024).unwrap();
    listening.set(option::KeepAlive, true).unwrap();
    listening.bind(v4()).unwrap();
    listening.listen(8).unwrap();
    let _client = std::net::TcpStream::connect(net::internet(listening.local_addr())).unwrap();
    let (accepted, _) = soon(notifier, "an accept", listening.accept()).unwrap();
    let sizes = |socket: &Socket| {
        (socket.get(option::ReceiveBufferSize).unwrap(), socket.get(option::SendBufferSize).unwrap())
    };
    let (of_listener, of_accepted) = (sizes(&listening), sizes(&accepted));
    assert!(of_accepted.0 >= 40 * 1024 && of_accepted.1 >= 36 * 1024, "{of_listener:?}, {of_accepted:?}");
    assert!(accepted.get(option::KeepAlive).unwrap());
}

/// The pending error of a socket is given once.
fn pending_errors(cx: &Cx) {
    let notifier = cx.notifier();
    let (stream, peer) = net::pair(cx, &notifier);
    assert!(stream.take_error().unwrap().is_none());
    peer.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    soon(&notifier, "a reset", stream.readable()).unwrap();
    assert_kind(&stream.take_error().unwrap().expect("an error"), &[ErrorKind::ConnectionReset]);
    assert!(stream.take_error().unwrap().is_none(), "the error was given twice");

    let socket = net::udp(&notifier, v4());
    let (_nobody, address) = net::nobody_udp(&notifier, v4());
    soon(&notifier, "connecting UDP", socket.connect(address)).unwrap();
    soon(&notifier, "a send to nobody", socket.send(b"x")).unwrap();
    let mut error = None;
    cx.turn_until(&notifier, "a refusal", || {
        error = socket.take_error().unwrap();
        error.is_some()
    });
    assert_kind(&error.unwrap(), &[ErrorKind::ConnectionRefused]);
    assert!(socket.take_error().unwrap().is_none(), "the error was given twice");
}

/// Halves work on two threads and from two tasks, unite again only with their own, and the owned one for writing ends
/// writing when it goes.
pub fn split_halves(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let echo = |mut peer: std::net::TcpStream| {
        thread::spawn(move || {
            let mut buf = [0; 4096];
            loop {
                match peer.read(&mut buf).unwrap() {
                    0 => return peer,
                    n => peer.write_all(&buf[..n]).unwrap(),
                }
            }
        })
    };
    let total = cx.rounds(1 << 20);
    let data = bytes_at(0, total);

    let (stream, peer) = net::with_peer(cx, &notifier);
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let echoing = echo(peer);
    let (read, write) = stream.into_split();
    assert_eq!((read.local_addr().unwrap(), write.peer_addr().unwrap()), (local, remote));
    let (read, write) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            notifier.block_on(write.write_all(&data)).unwrap();
            write
        });
        let mut back = vec![0; total];
        notifier.block_on(read.read_exact(&mut back)).unwrap();
        assert_bytes_at(0, &back);
        (read, writer.join().unwrap())
    });

    let (other_stream, _other_peer) = net::with_peer(cx, &notifier);
    let other_remote = other_stream.peer_addr().unwrap();
    let (other_read, other_write) = other_stream.into_split();
    let error = read.reunite(other_write).unwrap_err();
    assert!(!error.to_string().is_empty());
    let (read, other_write) = (error.0, error.1);
    assert_eq!((read.peer_addr().unwrap(), other_write.peer_addr().unwrap()), (remote, other_remote));
    let error = write.reunite(other_read).unwrap_err();
    let (other_read, write) = (error.0, error.1);
    other_read.reunite(other_write).unwrap();
    let mut stream = read.reunite(write).unwrap();
    assert_eq!(stream.local_addr().unwrap(), local);

    // Borrowed, from two tasks at once; afterwards the stream is whole.
    for _ in 0..2 {
        let (read, write) = stream.split();
        let mut back = vec![0; total];
        let both = future::try_zip(write.write_all(&data), read.read_exact(&mut back));
        soon(&notifier, "borrowed halves", both).unwrap();
        assert_bytes_at(0, &back);
    }
    drop(stream);
    echoing.join().unwrap();

    // The end of writing by drop, and not after `forget`.
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let (read, write) = stream.into_split();
    soon(&notifier, "a write", write.write_all(b"bye")).unwrap();
    drop(write);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"bye");
    peer.write_all(b"still here").unwrap();
    let mut buf = [0; 10];
    soon(&notifier, "reading without the other half", read.read_exact(&mut buf)).unwrap();
    assert_eq!(&buf, b"still here");

    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let (read, write) = stream.into_split();
    write.forget();
    peer.set_nonblocking(true).unwrap();
    cx.settle(&notifier);
    assert_eq!(peer.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock, "forget ended writing");
    peer.set_nonblocking(false).unwrap();
    drop(read);
    assert_eq!(peer.read(&mut buf).unwrap(), 0);

    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let (_read, write) = stream.into_split();
    write.shutdown().unwrap();
    assert_eq!(peer.read(&mut buf).unwrap(), 0);
    Ok(())
}

/// Several writers and readers of one stream: what each call of a writer took is whole and in the order of the calls; on
/// several threads nothing is lost or doubled.
pub fn many_tasks_one_stream(cx: &Cx) -> Outcome {
    const TASKS: usize = 4;
    const RECORD: usize = 64;
    let records = cx.rounds(2_000);
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    let total = TASKS * RECORD * records;

    // On one thread the order of the system's calls is the order in which the tasks see their results.
    let (sent, got) = (Mutex::new(Vec::with_capacity(total)), Mutex::new(Vec::with_capacity(total)));
    let (sent, got, one_ref, other_ref) = (&sent, &got, &one, &other);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    for task in 0..TASKS {
        tasks.push(Box::pin(async move {
            for record in 0..records {
                let bytes: Vec<_> = (0..RECORD).map(|at| (task * 64 + at) as u8 ^ record as u8).collect();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let n = one_ref.write(rest).await.unwrap();
                    sent.lock().unwrap().extend_from_slice(&rest[..n]);
                    rest = &rest[n..];
                }
            }
        }));
        tasks.push(Box::pin(async move {
            let mut buf = [0; 100];
            while got.lock().unwrap().len() < total {
                let n = other_ref.read(&mut buf).await.unwrap();
                let mut got = got.lock().unwrap();
                got.extend_from_slice(&buf[..n]);
                if got.len() == total {
                    // The others wait for what does not come.
                    one_ref.shutdown(Shutdown::Write).unwrap();
                }
            }
        }));
    }
    soon(&notifier, "tasks that share a stream", join_all(tasks));
    assert!(*sent.lock().unwrap() == *got.lock().unwrap(), "not in the order of the calls");

    // On threads: each byte says who sent it.
    let (one, other) = net::pair(cx, &notifier);
    let (left, counts) = (AtomicUsize::new(TASKS), Mutex::new([0; TASKS]));
    thread::scope(|scope| {
        for task in 0..TASKS {
            let (one, other, notifier, left, counts) = (&one, &other, &notifier, &left, &counts);
            scope.spawn(move || {
                let record = [task as u8; RECORD];
                notifier.block_on(async {
                    for _ in 0..records {
                        one.write_all(&record).await.unwrap();
                    }
                });
                if left.fetch_sub(1, SeqCst) == 1 {
                    one.shutdown(Shutdown::Write).unwrap();
                }
            });
            scope.spawn(move || {
                notifier.block_on(async {
                    let mut buf = [0; 100];
                    loop {
                        match other.read(&mut buf).await.unwrap() {
                            0 => return,
                            n => buf[..n]
                                .iter()
                                .for_each(|&from| counts.lock().unwrap()[usize::from(from)] += 1),
                        }
                    }
                });
            });
        }
    });
    assert_eq!(*counts.lock().unwrap(), [RECORD * records; TASKS]);
    Ok(())
}

/// No future contains a buffer, and types and futures may go to other threads.
pub fn futures_stay_small(cx: &Cx) -> Outcome {
    const MOST: usize = 512;
    fn shared<T: Send + Sync + Debug>() {}
    shared::<TcpStream>();
    shared::<TcpListener>();
    shared::<UdpSocket>();
    shared::<Socket>();
    shared::<OwnedReadHalf>();
    shared::<OwnedWriteHalf>();
    shared::<ReadHalf<'_>>();
    shared::<WriteHalf<'_>>();

    #[track_caller]
    fn small(what: &str, future: impl Future + Send) {
        let size = size_of_val(&future);
        assert!(size <= MOST, "{what}: {size} bytes");
    }
    let notifier = cx.notifier();
    let (stream, _peer) = net::with_peer(cx, &notifier);
    let (listener, datagrams) = (net::listener(&notifier, v4()), net::udp(&notifier, v4()));
    let socket = stream.socket();
    let mut buf = [0; 4096];
    small("read", stream.read(&mut buf));
    small("peek", stream.peek(&mut buf));
    small("read_exact", stream.read_exact(&mut buf));
    small("recv_with", stream.recv_with(<[u8]>::len));
    small("read_vectored", stream.read_vectored(&mut [IoSliceMut::new(&mut buf)]));
    small("write", stream.write(&buf));
    small("write_all", stream.write_all(&buf));
    small("write_vectored", stream.write_vectored(&[IoSlice::new(&buf)]));
    small("readable", stream.readable());
    small("writable", stream.writable());
    small("connect", TcpStream::connect(v4()));
    small("connect by name", TcpStream::connect("localhost:1"));
    small("Socket::connect", socket.connect(v4()));
    small("accept", listener.accept());
    small("accept_std", listener.accept_std());
    small("bind", TcpListener::bind(v4()));
    small("send_to", datagrams.send_to(b"x", v4()));
    small("recv_from", datagrams.recv_from(&mut buf));
    small("peek_from", datagrams.peek_from(&mut buf));
    small("peek_sender", datagrams.peek_sender());
    let path = "/nowhere";
    let (unix, datagrams) = {
        let _here = notifier.enter();
        (UnixStream::pair().unwrap().0, UnixDatagram::unbound().unwrap())
    };
    shared::<(UnixStream, UnixDatagram, UnixListener)>();
    small("a Unix read", unix.read(&mut buf));
    small("a Unix connect", UnixStream::connect(path));
    small("a Unix send_to", datagrams.send_to(b"x", path));
    small("a Unix recv_from", datagrams.recv_from(&mut buf));
    small("recv", socket.recv(&mut [0; 4096], RecvFlags::PEEK));
    Ok(())
}

/// Several tasks at each end of several connections read and write the same sequence in random forms and sizes, some of
/// them dropped halfway: every byte is checked.
pub fn random_mix_checked(cx: &Cx) -> Outcome {
    let rng = Mutex::new(Rng::new());
    let notifier = cx.notifier();
    let total = cx.rounds(3 << 20);
    let pairs: Vec<_> = (0..3).map(|_| net::pair(cx, &notifier)).collect();
    // Little room, so that both sides wait often.
    for (one, other) in &pairs[1..] {
        for socket in [one.socket(), other.socket()] {
            socket.set(option::SendBufferSize, 4 * 1024).unwrap();
        }
    }
    let flows: Vec<_> = pairs
        .iter()
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .map(|(from, to)| Flow::new(from, to, total))
        .collect();
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    for flow in &flows {
        for _ in 0..2 {
            tasks.push(Box::pin(flow.write(&rng)));
            tasks.push(Box::pin(flow.read(&rng)));
        }
    }
    notifier.block_on(async {
        let all = future::or(async { join_all(tasks).await.len() }, async {
            // The Notifier would wait for ever for what was lost.
            let left = cx.deadline().saturating_duration_since(std::time::Instant::now());
            pike::time::sleep(left.saturating_sub(Duration::from_secs(1))).await;
            0
        });
        let done = all.await;
        let places: Vec<_> =
            flows.iter().map(|flow| (flow.sent.load(SeqCst), flow.got.load(SeqCst))).collect();
        assert!(done > 0, "stuck at (sent, got) {places:?} of {total}");
        assert!(places.iter().all(|&place| place == (total, total)), "{places:?} of {total}");
    });
    Ok(())
}

/// One direction of a connection. All tasks run on one thread, so that a place is right when a result is seen.
struct Flow<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    total: usize,
    sent: AtomicUsize,
    got: AtomicUsize,
    writing: AtomicBool,
}

impl<'a> Flow<'a> {
    fn new(from: &'a TcpStream, to: &'a TcpStream, total: usize) -> Self {
        let zero = AtomicUsize::default;
        Self { from, to, total, sent: zero(), got: zero(), writing: AtomicBool::new(false) }
    }

    fn len(rng: &Mutex<Rng>) -> usize {
        let mut rng = rng.lock().unwrap();
        match rng.below(4) {
            0 => 1 + rng.below(8),
            1 => 1 + rng.below(100_000),
            _ => 1 + rng.below(2_000),
        }
    }

    /// One of two writers: they take turns, since a call's bytes are chosen before it is made.
    async fn write(&self, rng: &Mutex<Rng>) {
        loop {
            while self.writing.swap(true, SeqCst) {
                future::yield_now().await;
            }
            let place = self.sent.load(SeqCst);
            let bytes = bytes_at(place, Self::len(rng).min(self.total - place));
            if !bytes.is_empty() {
                let n = self.write_some(rng, &bytes).await;
                if self.sent.fetch_add(n, SeqCst) + n == self.total {
                    self.from.shutdown(Shutdown::Write).unwrap();
                }
            }
            self.writing.store(false, SeqCst);
            if bytes.is_empty() {
                return;
            }
            if rng.lock().unwrap().one_in(4) {
                future::yield_now().await;
            }
        }
    }

    async fn write_some(&self, rng: &Mutex<Rng>, bytes: &[u8]) -> usize {
        let (head, tail) = bytes.split_at(bytes.len() / 3);
        let halves = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
        let form = rng.lock().unwrap().below(8);
        let result = match form {
            0 => self.from.write(bytes).await,
            1 => self.from.write_vectored(&halves).await,
            2 => self.from.write_all(bytes).await.map(|()| bytes.len()),
            3 => self.from.try_write(bytes),
            4 => self.from.try_write_vectored(&halves),
            5 => {
                self.from.writable().await.unwrap();
                self.from.try_write(bytes)
            }
            6 => self.from.socket().send(bytes, SendFlags::MORE).await,
            // Dropped if it has to wait: then it has sent nothing.
            _ => future::poll_once(self.from.write(bytes)).await.unwrap_or(Ok(0)),
        };
        none_if_blocked(result)
    }

    /// One of two readers. Each looks at what came at the very place, in the poll that received it.
    async fn read(&self, rng: &Mutex<Rng>) {
        loop {
            let mut buf = vec![0; Self::len(rng)];
            let (form, middle) = (rng.lock().unwrap().below(12), buf.len() / 2);
            let to = self.to;
            // None where nothing came, zero at the end.
            let n = match form {
                0 | 1 => self.took(to.read(&mut buf).await, &buf),
                2 => {
                    let (head, tail) = buf.split_at_mut(middle);
                    let mut halves = [IoSliceMut::new(head), IoSliceMut::new(tail)];
                    let result = to.read_vectored(&mut halves).await;
                    self.took(result, &buf)
                }
                3 => to.recv_with(|bytes| self.took(Ok(bytes.len()), bytes)).await.unwrap(),
                4 => {
                    let result = to.peek(&mut buf).await;
                    self.saw(result, &buf)
                }
                5 => {
                    to.readable().await.unwrap();
                    let result = to.try_read(&mut buf);
                    self.took(result, &buf)
                }
                6 => {
                    let result = to.try_read(&mut buf);
                    self.took(result, &buf)
                }
                7 => to.try_recv_with(|bytes| self.took(Ok(bytes.len()), bytes)).unwrap_or(None),
                8 => {
                    let result = to.try_peek(&mut buf);
                    self.saw(result, &buf)
                }
                9 => {
                    let result = to.socket().recv(&mut buf, RecvFlags::PEEK).await;
                    self.saw(result, &buf)
                }
                10 => {
                    let mut halves = [IoSliceMut::new(&mut buf)];
                    let result = to.try_read_vectored(&mut halves);
                    self.took(result, &buf)
                }
                // Dropped if it has to wait: then it took nothing.
                _ => match future::poll_once(to.read(&mut buf)).await {
                    Some(result) => self.took(result, &buf),
                    None => None,
                },
            };
            match n {
                Some(0) => return,
                Some(_) => {}
                None => future::yield_now().await,
            }
        }
    }

    fn took(&self, result: io::Result<usize>, buf: &[u8]) -> Option<usize> {
        let n = self.saw(result, buf)?;
        self.got.fetch_add(n, SeqCst);
        Some(n)
    }

    fn saw(&self, result: io::Result<usize>, buf: &[u8]) -> Option<usize> {
        match result {
            Ok(n) => {
                let place = self.got.load(SeqCst);
                assert_bytes_at(place, &buf[..n]);
                assert!(n > 0 || place == self.total, "the end after {place} bytes");
                Some(n)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                None
            }
        }
    }
}

fn none_if_blocked(result: io::Result<usize>) -> usize {
    match result {
        Ok(n) => n,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}
