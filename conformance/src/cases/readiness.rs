//! Readiness: when a waiter is woken, which one, and what of it may be believed.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
    time::Duration,
};

use futures_lite::future::{block_on, zip};
use pike::{
    Handle, Interest, Notifier, net,
    socket::{Domain, RecvFlags, SendFlags, Socket, Type, option},
};

use crate::{Cx, Outcome, Rng, SHORT, Task, Wakes, heap, unix};

/// The same socket once more, in the standard library's hands: what happens there happens behind pike's back.
fn double(socket: &impl AsFd) -> TcpStream {
    socket.as_fd().try_clone_to_owned().expect("a duplicate").into()
}

/// Waits until data, or the end, is there for `stream`, without a turn.
#[track_caller]
fn until_arrived(cx: &Cx, stream: &impl AsFd) {
    let double = double(stream);
    cx.until(
        "nothing arrives",
        || !matches!(double.peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock),
    );
}

/// Reads until it would block; gives what was there.
fn empty(stream: &net::TcpStream) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), [0; 4096]);
    loop {
        match stream.try_read(&mut buf) {
            Ok(0) => panic!("end of file"),
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return all,
            Err(error) => panic!("while emptying: {error}"),
        }
    }
}

/// A read of at most `N` bytes, as a vector.
async fn read_up_to<const N: usize>(stream: &net::TcpStream) -> io::Result<Vec<u8>> {
    let mut buf = [0; N];
    let n = stream.read(&mut buf).await?;
    Ok(buf[..n].to_vec())
}

/// After every would-block the next arrival wakes; before it the next read just gets the rest, without another edge.
pub fn readable_after_would_block(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    for round in 0..50_u8 {
        assert!(empty(&stream).is_empty());
        let mut waiter = Task::pending(stream.readable());
        assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0, "round {round}");
        peer.write_all(&[round]).unwrap();
        cx.turn_until(&notifier, "an arrival after a would-block", || waiter.is_woken());
        waiter.ready().unwrap();
        assert_eq!(empty(&stream), [round]);
    }

    // Two pieces under one edge, taken a byte at a time; and one more while the second waits.
    for _ in 0..20 {
        peer.write_all(b"abc").unwrap();
        cx.turn_until(&notifier, "two pieces", || stream.try_peek(&mut [0; 3]).is_ok_and(|n| n == 3));
        for byte in [b"a", b"b", b"c"] {
            assert_eq!(Task::new(read_up_to::<1>(&stream)).ready().unwrap(), byte);
        }
        let mut last = Task::pending(read_up_to::<1>(&stream));
        peer.write_all(b"d").unwrap();
        cx.turn_until(&notifier, "the piece after", || last.is_woken());
        assert_eq!(last.ready().unwrap(), b"d");
    }
    // Short reads into a large buffer in between: the next arrival is seen as well.
    for _ in 0..50 {
        let mut waiter = Task::pending(read_up_to::<4096>(&stream));
        peer.write_all(b"xyz").unwrap();
        cx.turn_until(&notifier, "an arrival after a short read", || waiter.is_woken());
        assert_eq!(waiter.ready().unwrap(), b"xyz");
    }
    Ok(())
}

/// An idle socket is writable at once and stays so; one with a full send buffer is when its peer reads.
pub fn writable_until_full(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.stream(&notifier);
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    for _ in 0..10 {
        notifier.block_on(stream.writable()).unwrap();
        notifier.block_on(udp.writable()).unwrap();
        assert!(notifier.block_on(stream.ready(Interest::WRITABLE)).unwrap().is_writable());
        assert!(notifier.block_on(udp.ready(Interest::WRITABLE)).unwrap().is_writable());
    }

    for _ in 0..3 {
        let full = cx.fill_stream(&stream);
        let mut writable = Task::pending(stream.writable());
        let mut writer = Task::pending(stream.write(b"more"));
        cx.settle(&notifier);
        assert!(!writable.is_woken() && !writer.is_woken(), "woken while the buffer is full");
        cx.drain(&peer, full);
        cx.turn_until(&notifier, "room again", || writable.is_woken() && writer.is_woken());
        writable.ready().unwrap();
        assert_eq!(writer.ready().unwrap(), 4);
        cx.drain(&peer, 4);
    }
    Ok(())
}

/// Both directions at once, in random amounts and through small buffers, on one thread and on two; then one direction
/// alone.
pub fn duplex_readers_and_writers(cx: &Cx) -> Outcome {
    let (one, two, seed) = (cx.notifier(), cx.notifier(), Rng::new().next());
    let size = cx.rounds(2 << 20);
    for other in [&one, &two] {
        let (a, b) = cx.streams(&one, other);
        for stream in [&a, &b] {
            stream.socket().set(option::SendBufferSize, 64 * 1024).unwrap();
            stream.socket().set(option::ReceiveBufferSize, 64 * 1024).unwrap();
        }
        let here = zip(send_random(&a, seed, size), receive_random(&a, seed + 1, size));
        let there = zip(send_random(&b, seed + 1, size), receive_random(&b, seed, size));
        if std::ptr::eq(other, &one) {
            one.block_on(zip(here, there));
        } else {
            thread::scope(|scope| {
                scope.spawn(|| one.block_on(here));
                two.block_on(there);
            });
        }
        let alone = zip(send_random(&a, seed, size / 4), receive_random(&b, seed, size / 4));
        if std::ptr::eq(other, &one) {
            one.block_on(alone);
        }
    }
    Ok(())
}

async fn send_random(stream: &net::TcpStream, seed: u64, size: usize) {
    let mut rng = Rng::with_seed(seed);
    let (mut pieces, mut chunk) = (Rng::with_seed(!seed), vec![0; 64 * 1024]);
    let mut left = size;
    while left > 0 {
        let piece = (1 + pieces.below(20_000)).min(left);
        // Whole words, so that the receiver's chunks need not be the same.
        rng.fill(&mut chunk[..piece.next_multiple_of(8)]);
        let piece = if left > piece { piece.next_multiple_of(8).min(left) } else { piece };
        stream.write_all(&chunk[..piece]).await.unwrap();
        left -= piece;
    }
}

async fn receive_random(stream: &net::TcpStream, seed: u64, size: usize) {
    let (mut rng, mut pieces) = (Rng::with_seed(seed), Rng::with_seed(seed / 3));
    let (mut buf, mut word, mut at) = (vec![0; 32 * 1024], [0; 8], 0);
    while at < size {
        let room = 1 + pieces.below(buf.len());
        let n = stream.read(&mut buf[..room]).await.unwrap();
        assert!(n > 0, "end of file after {at} bytes");
        for &byte in &buf[..n] {
            if at % 8 == 0 {
                rng.fill(&mut word);
            }
            assert_eq!(byte, word[at % 8], "byte {at}");
            at += 1;
        }
    }
    assert_eq!(at, size);
}

/// Readiness that somebody else used up: the read waits, neither failing nor turning round and round, for the next data.
pub fn stolen_readiness_waits_again(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let mut thief = double(&stream);
    for round in 0..10_u8 {
        peer.write_all(b"bait").unwrap();
        notifier.block_on(stream.readable()).unwrap();
        let stolen = thread::scope(|scope| {
            let theft = scope.spawn(|| {
                let mut bait = [0; 4];
                thief.read_exact(&mut bait).unwrap();
                bait
            });
            theft.join().unwrap()
        });
        assert_eq!(&stolen, b"bait");
        let mut reader = Task::pending(read_up_to::<16>(&stream));
        cx.assert_quiet(&notifier, "a read after a theft");
        assert!(!reader.is_woken());
        peer.write_all(&[round]).unwrap();
        cx.turn_until(&notifier, "data after a theft", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), [round]);
        // Where a short read proves nothing, this is what takes the readiness back.
        assert_eq!(stream.try_read(&mut [0; 16]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    Ok(())
}

/// Data and then the end, which nobody reads, are reported once: the Notifier sleeps. They are there when somebody reads.
pub fn idle_data_makes_no_turns(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    cx.assert_quiet(&notifier, "a connected socket");
    peer.write_all(b"unread").unwrap();
    until_arrived(cx, &stream);
    cx.assert_quiet(&notifier, "data that nobody reads");
    drop(peer);
    cx.assert_quiet(&notifier, "an end that nobody reads");
    let mut reader = Task::new(read_up_to::<16>(&stream));
    assert_eq!(reader.ready().unwrap(), b"unread");
    assert_eq!(notifier.block_on(read_up_to::<16>(&stream)).unwrap(), b"");
    cx.assert_quiet(&notifier, "an end that was read");
    Ok(())
}

/// The peer closes: readers are woken and read the end, now and at every later call, at once.
pub fn readable_on_eof(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for data in [b"".as_slice(), b"rest"] {
        let (stream, mut peer) = cx.stream(&notifier);
        cx.settle(&notifier);
        let (mut looker, mut reader) =
            (Task::pending(stream.readable()), Task::pending(read_up_to::<16>(&stream)));
        peer.write_all(data).unwrap();
        drop(peer);
        cx.turn_until(&notifier, "the end", || looker.is_woken() && reader.is_woken());
        looker.ready().unwrap();
        assert_eq!(reader.ready().unwrap(), data);
        // Where data came first the end may come in a later turn.
        assert_eq!(notifier.block_on(read_up_to::<16>(&stream)).unwrap(), b"");
        for _ in 0..10 {
            assert_eq!(Task::new(read_up_to::<16>(&stream)).ready().unwrap(), b"");
            assert_eq!(stream.try_read(&mut [0; 16]).unwrap(), 0);
            Task::new(stream.readable()).ready().unwrap();
        }
        cx.assert_quiet(&notifier, "the end was read");
    }
    Ok(())
}

/// The peer ends its writing only: we read the end for ever, and our writes go on, wait, are woken and arrive.
pub fn half_close_keeps_writing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    peer.shutdown(Shutdown::Write).unwrap();
    cx.turn_until(&notifier, "the end of reading", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"");
    let ready = notifier.block_on(stream.ready(Interest::READABLE)).unwrap();
    assert!(ready.is_read_closed() && !ready.is_write_closed(), "{ready:?}");

    for _ in 0..3 {
        let full = cx.fill_stream(&stream);
        let mut writer = Task::pending(stream.write(b"tail"));
        let looker = Task::pending(stream.writable());
        cx.settle(&notifier);
        assert!(!writer.is_woken() && !looker.is_woken(), "a half-closed peer ends reading only");
        assert_eq!(Task::new(read_up_to::<16>(&stream)).ready().unwrap(), b"");
        cx.drain(&peer, full);
        cx.turn_until(&notifier, "room again", || writer.is_woken() && looker.is_woken());
        assert_eq!(writer.ready().unwrap(), 4);
        let mut tail = [0; 4];
        (&peer).read_exact(&mut tail).unwrap();
        assert_eq!(&tail, b"tail");
    }
    drop(reader);
    drop(stream);
    assert_eq!((&peer).read(&mut [0]).unwrap(), 0);
    Ok(())
}

/// We end our writing only: the peer reads the end, our writes fail without a signal, and our reads go on.
pub fn own_shutdown_keeps_reading(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    notifier.block_on(stream.write_all(b"last")).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"last");
    for _ in 0..3 {
        let error = notifier.block_on(stream.write(b"x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{error}");
    }
    for round in 0..10_u8 {
        let mut reader = Task::pending(read_up_to::<16>(&stream));
        peer.write_all(&[round]).unwrap();
        cx.turn_until(&notifier, "a read after our own shutdown", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), [round]);
    }
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    drop(peer);
    cx.turn_until(&notifier, "the end", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"");
    Ok(())
}

/// The peer resets: a reader and a blocked writer are woken, one of them is told, later calls end, and no turn is busy.
pub fn reset_ends_both_directions(cx: &Cx) -> Outcome {
    let (notifier, other) = (cx.notifier(), cx.notifier());
    let (stream, peer) = cx.streams(&notifier, &other);
    cx.settle(&notifier);
    cx.fill_stream(&stream);
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    let mut writer = Task::pending(stream.write(b"x"));
    let mut lookers = [Task::pending(stream.readable()), Task::pending(stream.writable())];
    cx.settle(&notifier);
    peer.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    cx.turn_until(&notifier, "the reset", || {
        reader.is_woken() && writer.is_woken() && lookers.iter().all(Task::is_woken)
    });
    let (read, wrote) = (reader.ready(), writer.ready());
    let is_reset =
        |error: Option<io::Error>| error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
    let told = [read.as_ref().err(), wrote.as_ref().err()];
    assert!(
        told.iter().flatten().any(|error| error.kind() == io::ErrorKind::ConnectionReset),
        "nobody is told: {read:?} {wrote:?}"
    );
    assert!(wrote.is_err());
    lookers.iter_mut().for_each(|looker| looker.ready().unwrap());
    for _ in 0..5 {
        match Task::new(read_up_to::<16>(&stream)).ready() {
            Ok(bytes) => assert_eq!(bytes, b""),
            Err(error) => assert!(is_reset(Some(error))),
        }
        Task::new(stream.write(b"x")).ready().unwrap_err();
    }
    cx.assert_quiet(&notifier, "a socket that was reset");
    Ok(())
}

/// An urgent byte wakes everyone who waits for priority, and the read of it; plain data does not.
pub fn priority_readiness(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.streams(&notifier, &notifier);
    cx.settle(&notifier);
    let mut byte = [0; 8];
    if !cx.has_priority() {
        // It would wait for ever: no kqueue says that a byte is urgent.
        let error = Task::new(stream.ready(Interest::PRIORITY)).ready().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        let error = Task::new(stream.socket().recv(&mut byte, RecvFlags::OUT_OF_BAND)).ready().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        // With another interest it waits for that.
        let mut both = Task::pending(stream.ready(Interest::PRIORITY | Interest::READABLE));
        notifier.block_on(peer.write_all(b"plain")).unwrap();
        cx.turn_until(&notifier, "plain data", || both.is_woken());
        let ready = both.ready().unwrap();
        assert!(ready.is_readable() && !ready.is_priority());
        return Ok(());
    }
    let mut waiters: Vec<_> = (0..3).map(|_| Task::pending(stream.ready(Interest::PRIORITY))).collect();
    let mut reader = Task::pending(stream.socket().recv(&mut byte, RecvFlags::OUT_OF_BAND));

    notifier.block_on(peer.write_all(b"plain")).unwrap();
    until_arrived(cx, &stream);
    cx.settle(&notifier);
    for waiter in &mut waiters {
        assert!(!waiter.is_woken() && waiter.poll().is_pending(), "plain data is no priority condition");
    }
    assert!(reader.poll().is_pending());

    assert_eq!(notifier.block_on(peer.socket().send(b"!", SendFlags::OUT_OF_BAND)).unwrap(), 1);
    cx.turn_until(&notifier, "an urgent byte", || waiters.iter().all(Task::is_woken) && reader.is_woken());
    for waiter in &mut waiters {
        assert!(waiter.ready().unwrap().is_priority());
    }
    assert_eq!(reader.ready().unwrap(), 1);
    drop(reader);
    assert_eq!(byte[0], b'!');
    assert_eq!(notifier.block_on(read_up_to::<16>(&stream)).unwrap(), b"plain");
    Ok(())
}

/// A read that stops short at the urgent mark leaves bytes behind, and no further edge comes for them: the next reads get
/// them without any traffic. With the byte out of band and in line, reported before the read and not.
pub fn urgent_data_short_read(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for (in_line, turn_first) in [(false, false), (false, true), (true, false), (true, true)] {
        let (stream, peer) = cx.streams(&notifier, &notifier);
        if in_line {
            stream.socket().set(option::OutOfBandInline, true).unwrap();
        }
        cx.settle(&notifier);
        for round in 0..3 {
            let what = format!("in line: {in_line}, turn first: {turn_first}, round {round}");
            notifier.block_on(async {
                peer.write_all(b"before").await.unwrap();
                peer.socket().send(b"!", SendFlags::OUT_OF_BAND).await.unwrap();
                peer.write_all(b"after").await.unwrap();
            });
            let total = if in_line { 12 } else { 11 };
            // Until the mark is there. Out of line Linux counts no further; on its loopback all comes at once.
            let counted = if in_line { total } else { 6 };
            cx.until("all bytes", || unix::bytes_queued(&stream) >= counted);
            if turn_first {
                cx.settle(&notifier);
            }
            let mut all = Vec::new();
            while all.len() < total {
                let mut reader = Task::new(read_up_to::<64>(&stream));
                let mut turns = 0;
                let piece = loop {
                    if let std::task::Poll::Ready(piece) = reader.poll() {
                        break piece.unwrap();
                    }
                    assert!(
                        turns < 20,
                        "{what}: the rest after {:?} is never read",
                        String::from_utf8_lossy(&all)
                    );
                    turns += 1;
                    // The report of what is there may be still to come; nothing else will.
                    notifier.poll(Some(SHORT / 3)).unwrap();
                };
                assert!(!piece.is_empty());
                all.extend(piece);
            }
            assert_eq!(all, if in_line { b"before!after".as_slice() } else { b"beforeafter" }, "{what}");
        }
    }
    Ok(())
}

/// A peek takes nothing away, however short it is; it waits when there is nothing; a read then gets the same bytes.
pub fn peek_keeps_data(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    assert_eq!(stream.try_peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    for round in 0..10_u8 {
        let bytes = [round, b'a', b'b', b'c'];
        let mut small = [0; 2];
        let mut peeker = Task::pending(stream.peek(&mut small));
        peer.write_all(&bytes).unwrap();
        cx.turn_until(&notifier, "something to peek at", || peeker.is_woken());
        assert_eq!(peeker.ready().unwrap(), 2);
        drop(peeker);
        assert_eq!(small, bytes[..2]);
        // No further traffic from here on, and no turn.
        for _ in 0..3 {
            let mut large = [0; 64];
            assert_eq!(Task::new(stream.peek(&mut large)).ready().unwrap(), 4);
            assert_eq!(large[..4], bytes);
            assert_eq!(stream.try_peek(&mut large).unwrap(), 4);
            assert_eq!(Task::new(stream.peek(&mut small)).ready().unwrap(), 2);
        }
        assert_eq!(Task::new(read_up_to::<64>(&stream)).ready().unwrap(), bytes);
    }
    drop(peer);
    assert_eq!(notifier.block_on(stream.peek(&mut [0; 4])).unwrap(), 0);
    assert_eq!(notifier.block_on(stream.peek(&mut [0; 4])).unwrap(), 0);
    Ok(())
}

/// What the system reports of a socket before it is connected or listens (on Linux: writable and hung up) does not count
/// afterwards.
pub fn fresh_socket_hangup_ignored(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let socket = || Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    for settle in [true, false] {
        let fresh = socket();
        if settle {
            cx.settle(&notifier);
        }
        notifier.block_on(fresh.connect(address)).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        let stream = net::TcpStream::try_from(fresh).unwrap();
        let mut reader = Task::pending(read_up_to::<16>(&stream));
        cx.settle(&notifier);
        assert!(reader.poll().is_pending(), "an old hang-up ends a new connection");
        let ready = notifier.block_on(stream.ready(Interest::WRITABLE)).unwrap();
        assert!(!ready.is_read_closed() && !ready.is_write_closed(), "{ready:?}");
        peer.write_all(b"hello").unwrap();
        cx.turn_until(&notifier, "the first data", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), b"hello");
        drop(reader);
        // A short read may count as drained here: nothing was seen that forbids it.
        for _ in 0..3 {
            let mut reader = Task::pending(read_up_to::<16>(&stream));
            peer.write_all(b"again").unwrap();
            cx.turn_until(&notifier, "more data", || reader.is_woken());
            assert_eq!(reader.ready().unwrap(), b"again");
        }

        let fresh = socket();
        if settle {
            cx.settle(&notifier);
        }
        fresh.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        fresh.listen(16).unwrap();
        let listener = net::TcpListener::try_from(fresh).unwrap();
        let mut accepting = Task::pending(listener.accept());
        cx.settle(&notifier);
        assert!(accepting.poll().is_pending());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        cx.turn_until(&notifier, "the first connection", || accepting.is_woken());
        assert_eq!(accepting.ready().unwrap().1, client.local_addr().unwrap());
    }
    Ok(())
}

/// Whoever only looks is woken together with all others of the same direction, and with none of the other one; of the
/// pollers the last one. A waker may be exchanged any number of times.
pub fn many_waiters_wake_all(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    cx.fill_stream(&stream);
    let mut readers: Vec<_> = (0..20).map(|_| Task::pending(stream.readable())).collect();
    let mut writers: Vec<_> = (0..20).map(|_| Task::pending(stream.writable())).collect();
    let urgent_waiters = if cx.has_priority() { 20 } else { 0 };
    let mut urgent: Vec<_> =
        (0..urgent_waiters).map(|_| Task::pending(stream.ready(Interest::PRIORITY))).collect();
    let [first, last, writer] = [(); 3].map(|()| Wakes::new());
    let poll = |wakes: &Arc<Wakes>, write| {
        let waker = Waker::from(wakes.clone());
        let mut polled = Context::from_waker(&waker);
        if write { stream.poll_write_ready(&mut polled) } else { stream.poll_read_ready(&mut polled) }
    };
    assert!(poll(&first, false).is_pending() && poll(&last, false).is_pending());
    assert!(poll(&writer, true).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the waker that was replaced is kept");

    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "all readers", || readers.iter().all(Task::is_woken));
    cx.settle(&notifier);
    for reader in &mut readers {
        assert_eq!(reader.wakes(), 1);
        reader.ready().unwrap();
    }
    assert_eq!((first.count(), last.count(), writer.count()), (0, 1, 0));
    assert!(writers.iter().all(|writer| !writer.is_woken()), "a writer is woken by data");
    assert!(urgent.iter_mut().all(|waiter| waiter.poll().is_pending()), "priority by plain data");
    assert!(poll(&last, false).is_ready());

    let double = double(&peer);
    let drainer = thread::spawn(move || {
        let mut buf = vec![0; 1 << 16];
        while (&double).read(&mut buf).unwrap() > 0 {}
    });
    cx.turn_until(&notifier, "all writers", || writers.iter().all(Task::is_woken) && writer.count() > 0);
    assert_eq!(writer.count(), 1);
    writers.iter_mut().for_each(|writer| writer.ready().unwrap());
    drop((readers, writers, urgent));
    drop(peer);
    stream.shutdown(Shutdown::Write).unwrap();
    drainer.join().unwrap();
    drop(stream);

    // Ten thousand wakers for one read.
    let (stream, mut peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    let early = Wakes::new();
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    let before = heap::here();
    for _ in 0..10_000 {
        assert!(reader.poll_with(&early.clone().into()).is_pending());
    }
    let last = Wakes::new();
    assert!(reader.poll_with(&last.clone().into()).is_pending());
    if let (Some(before), Some(after)) = (before, heap::here()) {
        assert!((after - before).live < 1024, "{:?}", after - before);
    }
    assert_eq!(Arc::strong_count(&early), 1, "a waker that was replaced is kept");
    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "the last waker", || last.count() > 0);
    assert_eq!((early.count(), last.count()), (0, 1));
    Ok(())
}

/// A queue of tasks in one kind of operation, and what was polled.
struct Crowd<'a, R> {
    tasks: Vec<Task<'a, io::Result<R>>>,
}

impl<'a, R> Crowd<'a, R> {
    fn new(tasks: impl Iterator<Item = Task<'a, io::Result<R>>>) -> Self {
        let mut crowd = Self { tasks: tasks.collect() };
        assert!(crowd.tasks.iter_mut().all(|task| task.poll().is_pending()));
        crowd
    }

    /// Polls whoever is woken until nobody is; gives those that are done now, in the order of their end.
    fn run(&mut self) -> Vec<usize> {
        let mut done = Vec::new();
        while let Some(at) = self.tasks.iter().position(|task| !task.is_done() && task.is_woken()) {
            if let std::task::Poll::Ready(result) = self.tasks[at].poll() {
                result.unwrap();
                done.push(at);
            }
        }
        done
    }

    fn polls(&self) -> usize {
        self.tasks.iter().map(Task::polls).sum()
    }

    fn woken(&self) -> Vec<usize> {
        let woken = self.tasks.iter().enumerate().filter(|(_, task)| !task.is_done() && task.is_woken());
        woken.map(|(at, _)| at).collect()
    }
}

/// Of many tasks in accept, or in a receive, one arrival wakes the first that waits; several complete as many, in order.
pub fn consumers_wake_one(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    cx.settle(&notifier);
    let accepting = Crowd::new((0..20).map(|_| Task::new(listener.accept())));
    check_crowd(cx, &notifier, accepting, |count| {
        clients.extend((0..count).map(|_| TcpStream::connect(address).unwrap()));
    });

    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let (address, sender) = (udp.local_addr().unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    cx.settle(&notifier);
    let receiving = Crowd::new((0..20).map(|_| {
        Task::new(async {
            let mut buf = [0; 8];
            udp.recv_from(&mut buf).await
        })
    }));
    check_crowd(cx, &notifier, receiving, |count| {
        (0..count).for_each(|_| assert_eq!(sender.send_to(b"x", address).unwrap(), 1));
    });
    Ok(())
}

/// `arrive(k)` makes k things arrive, which a Linux loopback does at once.
fn check_crowd<R>(cx: &Cx, notifier: &Notifier, mut crowd: Crowd<'_, R>, mut arrive: impl FnMut(usize)) {
    let mut expected: VecDeque<_> = (0..crowd.tasks.len()).collect();
    for count in [1, 1, 1, 5, 1, 3] {
        let before = crowd.polls();
        arrive(count);
        cx.turn_until(notifier, "the first of a crowd", || !crowd.woken().is_empty());
        let first = expected[0];
        assert_eq!(crowd.woken(), [first], "one is woken, the first that waits");
        let mut done = crowd.run();
        while done.len() < count {
            cx.turn_until(notifier, "the others of a crowd", || !crowd.woken().is_empty());
            done.extend(crowd.run());
        }
        let due: Vec<_> = expected.drain(..count).collect();
        assert_eq!(done, due, "they complete in the order in which they began to wait");
        // Each once, and the next one in vain, which the last wakes since it cannot know.
        let polls = crowd.polls() - before;
        assert!(polls <= 2 * count + 1, "{polls} polls for {count} arrivals");
    }
}

/// A woken waiter that goes away without having looked passes its wake on: dropped, unwound, or ended by an error. Waiters
/// that complete pass on what is left, so that one edge serves all.
pub fn baton_passed_on(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = Handle::new_on(&notifier, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let accept = || listener.async_io(Interest::READABLE, |listener| listener.accept());
    let arrive = || TcpStream::connect(address).unwrap();
    cx.settle(&notifier);

    for (how, arrivals) in [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (3, 1), (3, 2)] {
        let what = format!("end {how} of the first, {arrivals} arrivals");
        let mut first = Some(Task::pending(accept()));
        let mut second = Task::pending(accept());
        let end = |task: Task<'_, _>| match how {
            2 => {
                // By a panic that unwinds its owner.
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _task = task;
                    resume_unwind(Box::new("on purpose"));
                }));
                assert!(unwound.is_err());
            }
            _ => drop(task),
        };
        // 0: dropped before anything arrives. 1, 2: after it was woken. 3: between the arrival and the turn.
        if how == 0 {
            end(first.take().unwrap());
        }
        let clients: Vec<_> = (0..arrivals).map(|_| arrive()).collect();
        if how == 3 {
            end(first.take().unwrap());
        }
        cx.turn_until(&notifier, &what, || first.as_ref().unwrap_or(&second).is_woken());
        if let Some(first) = first.take() {
            assert!(!second.is_woken(), "{what}: both are woken by one edge");
            end(first);
        }
        assert!(second.is_woken(), "{what}: the wake is lost");
        second.ready().unwrap();
        for _ in 1..arrivals {
            assert!(notifier.block_on(accept()).is_ok());
        }
        drop(clients);
        assert_eq!(
            listener.try_io(Interest::READABLE, |l| l.accept()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    // One edge, several arrivals, waiters one of which fails.
    let failing = || {
        listener.async_io(Interest::READABLE, |listener| {
            listener.accept()?;
            Err::<(TcpStream, _), _>(io::Error::other("on purpose"))
        })
    };
    let mut waiters = vec![Task::pending(accept())];
    waiters.push(Task::pending(failing()));
    waiters.extend((0..3).map(|_| Task::pending(accept())));
    let clients: Vec<_> = (0..5).map(|_| arrive()).collect();
    cx.turn_until(&notifier, "the edge", || waiters[0].is_woken());
    for (at, waiter) in waiters.iter_mut().enumerate() {
        assert!(waiter.is_woken(), "waiter {at} is not woken by the one before");
        assert_eq!(waiter.ready().is_ok(), at != 1);
    }
    drop((waiters, clients));

    // The first is dropped at a random moment while another thread's turn wakes it: before, after, or in between.
    let (stop, mut rng) = (AtomicBool::new(false), Rng::new());
    thread::scope(|scope| {
        let _stop = StopTurning(&stop, &notifier);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                notifier.poll(None).unwrap();
            }
        });
        for _ in 0..cx.rounds(2_000) {
            let (first, mut second) = (Task::pending(accept()), Task::pending(accept()));
            let client = arrive();
            (0..rng.below(3000)).for_each(|_| std::hint::spin_loop());
            drop(first);
            while second.poll().map(|accepted| drop(accepted.unwrap())).is_pending() {
                cx.until("a wake was lost with a waiter that was dropped", || second.is_woken());
            }
            drop(client);
        }
    });

    // The same with datagrams.
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let receive = || async {
        let mut buf = [0; 8];
        udp.recv_from(&mut buf).await.map(|(n, _)| buf[..n].to_vec())
    };
    cx.settle(&notifier);
    for _ in 0..3 {
        let (first, mut second, mut third) =
            (Task::pending(receive()), Task::pending(receive()), Task::pending(receive()));
        sender.send_to(b"one", udp.local_addr().unwrap()).unwrap();
        sender.send_to(b"two", udp.local_addr().unwrap()).unwrap();
        cx.turn_until(&notifier, "a datagram", || first.is_woken());
        drop(first);
        assert!(second.is_woken() && !third.is_woken());
        assert_eq!(second.ready().unwrap(), b"one");
        while third.poll().map(|bytes| assert_eq!(bytes.unwrap(), b"two")).is_pending() {
            cx.turn_until(&notifier, "the second datagram", || third.is_woken());
        }
    }
    Ok(())
}

/// Ends the thread that turns, however the case ends.
struct StopTurning<'a>(&'a AtomicBool, &'a Notifier);

impl Drop for StopTurning<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
        self.1.notify();
    }
}

/// Single bytes bounce a hundred thousand times between two Notifiers, and over one that a third thread turns; and arrivals
/// race with the moment in which a short read takes readiness back.
pub fn lost_wake_stress(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(40));
    let (one, two) = (cx.notifier(), cx.notifier());
    let rounds = cx.rounds(100_000);
    let (a, b) = cx.streams(&one, &two);
    thread::scope(|scope| {
        scope.spawn(|| two.block_on(bounce(&b, rounds, false)));
        one.block_on(bounce(&a, rounds, true));
    });

    let rounds = cx.rounds(20_000);
    let (a, b) = cx.streams(&one, &one);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                one.poll(None).unwrap();
            }
        });
        let other = scope.spawn(|| block_on(bounce(&b, rounds, false)));
        block_on(bounce(&a, rounds, true));
        other.join().unwrap();
        stop.store(true, SeqCst);
        one.notify();
    });

    report_between_call_and_clear(cx, &one);

    // Two writes a round, the second at an odd moment after the first, while another thread turns: a reader that takes the
    // first and clears the readiness of the second would sleep for ever, since nothing follows.
    let (stream, mut peer) = cx.stream(&one);
    let rounds = cx.rounds(20_000);
    let (received, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _stop = StopTurning(&stop, &one);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                one.poll(None).unwrap();
            }
        });
        scope.spawn(|| {
            let mut rng = Rng::new();
            for round in 1..=rounds {
                peer.write_all(b"a").unwrap();
                (0..rng.below(400)).for_each(|_| std::hint::spin_loop());
                peer.write_all(b"b").unwrap();
                while received.load(SeqCst) < 2 * round {
                    cx.check_time("an arrival that raced with a short read is lost");
                    std::hint::spin_loop();
                }
            }
        });
        block_on(async {
            let mut buf = [0; 64];
            while received.load(SeqCst) < 2 * rounds {
                let n = stream.read(&mut buf).await.unwrap();
                received.fetch_add(n, SeqCst);
            }
        });
    });
    Ok(())
}

/// The race itself, made to happen: the call says would-block, and before that is believed data comes and a turn reports it.
/// The readiness of that report must survive.
fn report_between_call_and_clear(cx: &Cx, notifier: &Notifier) {
    let (handle, mut peer) = cx.handle(notifier);
    // From the first waiter on every backend reports what comes, whether somebody waits or not.
    drop(Task::pending(handle.readable()));
    cx.settle(notifier);
    let mut late = |mut io: &TcpStream| {
        let nothing = io.read(&mut [0]);
        assert_eq!(nothing.as_ref().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        peer.write_all(b"x").unwrap();
        cx.until_arrived([&handle]);
        notifier.poll(Some(Duration::ZERO)).unwrap();
        nothing
    };
    let take = |mut io: &TcpStream| io.read(&mut [0; 8]);
    for round in 0..3 {
        let nothing = handle.try_io(Interest::READABLE, &mut late);
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        Task::new(handle.readable()).ready().unwrap();
        assert_eq!(handle.try_io(Interest::READABLE, take).unwrap(), 1, "round {round}");

        let mut first = true;
        let mut waiter =
            Task::new(handle.async_io(Interest::READABLE, |io| {
                if std::mem::take(&mut first) { late(io) } else { take(io) }
            }));
        assert_eq!(waiter.ready().unwrap(), 1, "a report is lost between a call and its would-block");
    }
}

async fn bounce(stream: &net::TcpStream, rounds: usize, begins: bool) {
    let mut byte = [0];
    for round in 0..rounds {
        if begins {
            stream.write_all(&[round as u8]).await.unwrap();
        }
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
        assert_eq!(byte, [round as u8]);
        if !begins {
            stream.write_all(&byte).await.unwrap();
        }
    }
}
