//! TCP streams: every form of reading and writing, their ends, options, halves.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Notifier,
    net::TcpStream,
    socket::{RecvFlags, SendFlags, Socket, Type, option},
};

use crate::{
    Cx, Outcome, Task, heap,
    net::{self, assert_bytes_at, assert_kind, bytes_at, is_gone, soon, v4},
    system,
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
        let (mut nothing, mut no_room) = ([], [IoSliceMut::new(&mut []), IoSliceMut::new(&mut [])]);
        zero("read_vectored into nothing", Task::new(stream.read_vectored(&mut nothing)));
        zero("read_vectored", Task::new(stream.read_vectored(&mut no_room)));
        zero("write_vectored", Task::new(stream.write_vectored(&[IoSlice::new(&[])])));
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
                let hops = system::hops_v6(socket);
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
    if cfg!(windows) {
        // SO_ERROR is of connecting there: the read tells.
        assert!(stream.take_error().unwrap().is_none());
        let error = soon(&notifier, "a read", stream.read(&mut [0; 1])).unwrap_err();
        return assert_kind(&error, &[ErrorKind::ConnectionReset]);
    }
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
