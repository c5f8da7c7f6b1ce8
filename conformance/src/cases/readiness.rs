//! Readiness: when a waiter is woken, which one, and what of it may be believed.

use std::{
    io::{self, Read, Write},
    thread,
    time::Duration,
};

use futures_lite::future::zip;
use pike::{
    Interest, net,
    socket::{RecvFlags, SendFlags, option},
};

use crate::{Cx, Outcome, Rng, SHORT, Task, system};

/// Waits until data, or the end, is there for `stream`, without a turn.
#[track_caller]
fn until_arrived(cx: &Cx, stream: &impl system::AsDescriptor) {
    let double = system::double(stream);
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
pub(super) async fn read_up_to<const N: usize>(stream: &net::TcpStream) -> io::Result<Vec<u8>> {
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
        let full = cx.fill_up(&notifier, &stream);
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
    let mut thief = system::double(&stream);
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
            cx.until("all bytes", || system::bytes_queued(&stream) >= counted);
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
