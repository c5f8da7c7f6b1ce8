//! Operations that own their buffer: what they move, and that the buffer always comes back.

use std::{
    io::{ErrorKind, Read, Write},
    mem::MaybeUninit,
    net::Shutdown,
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_lite::future;
use pike::{
    Closed,
    buf::{IoBuf, IoBufMut},
    net::TcpStream,
    socket::{RecvFlags, SendFlags, Type, option},
    time::{Deadline, Elapsed},
};

use crate::{
    Cx, Outcome, Task, heap,
    net::{self, assert_bytes_at, bytes_at, soon, v4},
    skip,
};

/// Every kind of buffer there and back, on a stream and its halves.
pub fn owned_round_trips(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    soon(&notifier, "owned round trips", async {
        let (sent, vec) = one.write_owned(b"a Vec".to_vec()).await;
        assert_eq!((sent.unwrap(), &vec[..]), (5, &b"a Vec"[..]));
        let (got, vec) = other.read_owned(Vec::with_capacity(64)).await;
        assert_eq!((got.unwrap(), &vec[..]), (5, &b"a Vec"[..]));

        // A receive replaces what was there.
        let (sent, _) = one.write_all_owned(b"a Box".to_vec().into_boxed_slice()).await;
        sent.unwrap();
        let (got, vec) = other.read_owned(vec).await;
        assert_eq!((got.unwrap(), &vec[..]), (5, &b"a Box"[..]));

        let (sent, shared) = one.write_all_owned(Arc::<[u8]>::from(&b"an Arc"[..])).await;
        sent.unwrap();
        assert_eq!(&shared[..], b"an Arc");
        let (got, boxed) = other.read_owned(vec![b'.'; 8].into_boxed_slice()).await;
        assert_eq!((got.unwrap(), &boxed[..]), (6, &b"an Arc.."[..]));

        let (sent, _) = one.write_all_owned(&b"static"[..]).await;
        sent.unwrap();
        let (got, array) = other.read_owned(Box::new([b'.'; 8])).await;
        assert_eq!((got.unwrap(), &array[..]), (6, &b"static.."[..]));

        let (sent, text) = one.write_all_owned(String::from("text, ")).await;
        sent.unwrap();
        assert_eq!(text, "text, ");
        one.write_all_owned("static").await.0.unwrap();
        let (got, text) = other.read_exact_owned(vec![0; 12]).await;
        assert_eq!((got.unwrap(), &text[..]), (12, &b"text, static"[..]));

        let (sent, bytes) = one.write_all_owned(Bytes::from_static(b"Bytes")).await;
        sent.unwrap();
        assert_eq!(&bytes[..], b"Bytes");
        let (got, bytes) = other.read_owned(BytesMut::with_capacity(64)).await;
        assert_eq!((got.unwrap(), &bytes[..]), (5, &b"Bytes"[..]));
        let (sent, bytes) = one.write_all_owned(bytes).await;
        sent.unwrap();
        // A receive replaces what was there, within the capacity.
        let mut short = BytesMut::from(&b"..."[..]);
        short.truncate(2);
        let room = short.capacity();
        let (got, short) = other.read_owned(short).await;
        assert_eq!((got.unwrap(), &short[..]), (room.min(5), &bytes[..room.min(5)]));
        if room < 5 {
            let (got, rest) = other.read_owned(BytesMut::with_capacity(8)).await;
            assert_eq!((got.unwrap(), &rest[..]), (5 - room, &bytes[room..]));
        }

        // Parts: some of what is there, behind what is there, and no more than asked.
        let (sent, part) = one.write_all_owned(b"head and tail".to_vec().part(..8)).await;
        sent.unwrap();
        assert_eq!(part.into_inner(), b"head and tail");
        let mut vec = Vec::with_capacity(64);
        vec.extend_from_slice(b"> ");
        let (got, part) = other.read_owned(vec.part(2..6)).await;
        assert_eq!((got.unwrap(), &part[..]), (4, &b"head"[..]));
        assert_eq!(part.into_inner(), b"> head");
        let (got, vec) = other.read_exact_owned(Vec::with_capacity(64).part(..4)).await;
        assert_eq!((got.unwrap(), &vec.into_inner()[..]), (4, &b" and"[..]));

        // The halves, and all of a large buffer.
        let len = 3 << 20;
        let ((read, _), (_, write)) = (other.into_split(), one.into_split());
        let all = vec![0; len].into_boxed_slice();
        let ((sent, _), (got, all)) =
            future::zip(write.write_all_owned(bytes_at(0, len)), read.read_exact_owned(all)).await;
        sent.unwrap();
        assert_eq!(got.unwrap(), len);
        assert_bytes_at(0, &all);
        write.shutdown().unwrap();
        let (got, rest) = read.read_exact_owned(b"to be replaced".to_vec()).await;
        assert_eq!(got.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(rest.is_empty(), "what came is nothing");
        let (got, rest) = read.read_owned(b"to be replaced".to_vec()).await;
        assert_eq!((got.unwrap(), rest.len()), (0, 0), "end of file");
    });
    Ok(())
}

/// Whatever goes wrong, the buffer comes back.
pub fn owned_errors_return_the_buffer(cx: &Cx) -> Outcome {
    let vec = || b"mine".to_vec();
    let assert_mine = |buf: Vec<u8>, what: &str| {
        assert_eq!(buf, b"mine", "{what}");
        assert!(buf.capacity() >= 4);
    };

    let notifier = cx.notifier();
    let (stream, peer) = net::with_peer(cx, &notifier);
    let mut waiting = Task::pending(stream.read_owned(vec()));
    stream.socket().cancel();
    // Where the kernel has the buffer, a turn brings it back.
    let (result, buf) = net::finish(cx, &notifier, "cancelled", &mut waiting);
    assert!(Closed::is(&result.unwrap_err()));
    assert_mine(buf, "cancelled while it waits");
    let (result, buf) = soon(&notifier, "a write", stream.write_owned(vec()));
    assert!(Closed::is(&result.unwrap_err()));
    assert_mine(buf, "cancelled before");
    drop((waiting, peer));

    let (stream, peer) = net::with_peer(cx, &notifier);
    drop(peer);
    cx.settle(&notifier);
    soon(&notifier, "writes to a peer that is gone", async {
        loop {
            let (result, buf) = stream.write_all_owned(vec()).await;
            assert_mine(buf, "the peer is gone");
            match result {
                Ok(()) => {}
                Err(error) => return assert!(net::is_gone(&error), "{error}"),
            }
        }
    });

    let bare = net::bare(&notifier, v4(), Type::Stream);
    let (result, buf) = soon(&notifier, "not connected", bare.read_owned(vec()));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
    assert_mine(buf, "not connected");
    let (result, buf) = soon(&notifier, "no sender", stream.socket().recv_from_owned(vec()));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_mine(buf, "a stream's bytes have no sender");

    let udp = net::udp(&notifier, v4());
    let (result, buf) = soon(&notifier, "no peer", udp.send_owned(vec()));
    result.unwrap_err();
    assert_mine(buf, "no peer");
    let long = vec![0; 70_000];
    let to = udp.local_addr().unwrap();
    let (result, long) = soon(&notifier, "a long datagram", udp.send_to_owned(long, to));
    result.unwrap_err();
    assert_eq!(long.len(), 70_000);

    let mut waiting = Task::pending(udp.recv_from_owned(vec()));
    drop(notifier);
    let (result, buf) = waiting.ready();
    assert!(Closed::is(&result.unwrap_err()));
    assert_mine(buf, "the Notifier is gone");
    Ok(())
}

/// No room, nothing to send: done at once on a stream; a datagram socket receives and sends an empty one.
pub fn owned_zero_length(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    assert_eq!(Task::new(stream.read_owned(Vec::new())).ready().0.unwrap(), 0);
    assert_eq!(Task::new(stream.read_exact_owned(Vec::new())).ready().0.unwrap(), 0);
    assert_eq!(Task::new(stream.read_vectored_owned([Vec::new(), Vec::new()])).ready().0.unwrap(), 0);
    assert_eq!(soon(&notifier, "an empty write", stream.write_owned(Vec::new())).0.unwrap(), 0);
    Task::new(stream.write_all_owned(Vec::new())).ready().0.unwrap();
    peer.write_all(b"x").unwrap();
    let (got, buf) = soon(&notifier, "a byte", stream.read_owned(Vec::with_capacity(1)));
    assert_eq!((got.unwrap(), &buf[..]), (1, &b"x"[..]));

    let udp = net::udp(&notifier, v4());
    let to = udp.local_addr().unwrap();
    soon(&notifier, "datagrams", async {
        let mut receiving = Task::pending(udp.recv_from_owned(Vec::new()));
        assert_eq!(udp.send_to_owned(Vec::new(), to).await.0.unwrap(), 0);
        udp.send_to(b"cut to nothing", to).await.unwrap();
        udp.readable().await.unwrap();
        assert_eq!(receiving.ready().0.unwrap(), (0, to), "an empty datagram");
        assert_eq!(udp.recv_owned(Vec::new()).await.0.unwrap(), 0, "one that was cut");
    });
    assert!(Task::new(udp.recv_owned(Vec::with_capacity(4))).poll().is_pending(), "both were received");
    Ok(())
}

/// Buffers longer than a u32 says: what the system moves of them is the result, and the length is not cut to its low bits.
pub fn owned_longer_than_u32(cx: &Cx) -> Outcome {
    const LEN: usize = (1 << 32) + 3;
    let mut room: Vec<u8> = Vec::new();
    if usize::BITS < 64 || room.try_reserve_exact(LEN).is_err() {
        skip!("no address space for {LEN} bytes, which nobody would touch");
    }
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    peer.write_all(b"more than three").unwrap();
    let (got, room) = soon(&notifier, "a read", stream.read_owned(room));
    assert_eq!(got.unwrap(), 15);
    assert_eq!(room, b"more than three");

    // Zeros that the system makes as they are read.
    let (sent, zeros) = soon(&notifier, "a write", stream.write_owned(vec![0_u8; LEN]));
    let sent = sent.unwrap();
    assert!((4..LEN).contains(&sent), "{sent} bytes");
    assert_eq!(zeros.len(), LEN);
    let drained = std::thread::spawn(move || {
        let mut buf = vec![1; 1 << 20];
        let mut count = 0;
        while let Ok(n @ 1..) = peer.read(&mut buf) {
            assert!(buf[..n].iter().all(|&byte| byte == 0));
            count += n;
        }
        count
    });
    drop(stream);
    assert_eq!(drained.join().unwrap(), sent);
    Ok(())
}

/// Arrays and Vecs of buffers, with empty ones among them, and more than the system takes.
pub fn owned_vectored(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    soon(&notifier, "vectored", async {
        let (sent, bufs) = one.write_vectored_owned([b"ab".to_vec(), Vec::new(), b"cde".to_vec()]).await;
        assert_eq!(sent.unwrap(), 5);
        assert_eq!(bufs, [b"ab".to_vec(), Vec::new(), b"cde".to_vec()]);
        let rooms = vec![Vec::with_capacity(3), Vec::new(), b"full of old".to_vec(), b"old".to_vec()];
        let (got, rooms) = other.read_vectored_owned(rooms).await;
        assert_eq!(got.unwrap(), 5);
        assert_eq!(rooms, [b"abc".to_vec(), Vec::new(), b"de".to_vec(), Vec::new()]);

        // The system takes 1,024: whatever it took is said.
        let many: Vec<&'static [u8]> = vec![b"xy"; 3000];
        let (sent, _) = one.write_vectored_owned(many).await;
        let sent = sent.unwrap();
        assert!(sent > 0 && sent <= 6000 && sent % 2 == 0, "{sent} bytes");
        let mut left = sent;
        while left > 0 {
            let rooms: Vec<Box<[u8; 3]>> = (0..2000).map(|_| Box::new([0; 3])).collect();
            let (got, rooms) = other.read_vectored_owned(rooms).await;
            let got = got.unwrap();
            let bytes: Vec<u8> = rooms.iter().flat_map(|room| room.iter().copied()).collect();
            let first = if (sent - left) % 2 == 0 { b"xy" } else { b"yx" };
            assert!(bytes[..got].iter().zip(first.iter().cycle()).all(|(is, should)| is == should));
            left = left.checked_sub(got).unwrap();
        }
        // Nothing to fill is no end of file, and takes nothing.
        one.write_all(b"z").await.unwrap();
        other.readable().await.unwrap();
        assert_eq!(Task::new(other.read_vectored_owned([Vec::new(), Vec::new()])).ready().0.unwrap(), 0);
        assert_eq!(other.read_owned(Vec::with_capacity(9)).await.1, b"z");
    });
    let udp = net::udp(&notifier, v4());
    soon(&notifier, "a gathered datagram", async {
        udp.connect(udp.local_addr().unwrap()).await.unwrap();
        // A message is not cut in silence.
        let pieces: Vec<Vec<u8>> = (0..100).map(|at| bytes_at(3 * at, 3)).collect();
        assert_eq!(udp.socket().write_vectored_owned(pieces).await.0.unwrap(), 300);
        let rooms: Vec<Vec<u8>> = (0..100).map(|_| Vec::with_capacity(3)).collect();
        let (got, rooms) = udp.socket().read_vectored_owned(rooms).await;
        assert_eq!(got.unwrap(), 300);
        assert_bytes_at(0, &rooms.concat());
        // As many as the system takes, of a receive that has to wait. Twice: the kernel itself would not take it, and the next
        // one finds nothing left of that.
        for _ in 0..2 {
            let rooms: Vec<Vec<u8>> = (0..1024).map(|_| Vec::with_capacity(3)).collect();
            let receive = async { udp.socket().read_vectored_owned(rooms).await };
            let send = async {
                future::yield_now().await;
                udp.send_owned(bytes_at(0, 3 * 1024)).await.0
            };
            let ((got, rooms), sent) = future::zip(receive, send).await;
            assert_eq!((got.unwrap(), sent.unwrap()), (3 * 1024, 3 * 1024));
            assert_bytes_at(0, &rooms.concat());
        }
    });
    Ok(())
}

/// Datagrams with their senders; a long one is cut.
pub fn owned_datagrams(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    soon(&notifier, "datagrams", async {
        let (sent, buf) = one.send_to_owned(b"a datagram".to_vec(), there).await;
        assert_eq!((sent.unwrap(), &buf[..]), (10, &b"a datagram"[..]));
        let (got, buf) = other.recv_from_owned(Vec::with_capacity(64)).await;
        assert_eq!((got.unwrap(), &buf[..]), ((10, here), &b"a datagram"[..]));
        one.send_to_owned(b"cut".to_vec(), there).await.0.unwrap();
        one.send_to_owned(b"next".to_vec(), there).await.0.unwrap();
        let (got, buf) = other.recv_owned(Box::new([0; 2])).await;
        assert_eq!((got.unwrap(), *buf), (2, *b"cu"));
        let (got, from) = other.socket().recv_from_owned(Vec::with_capacity(64)).await;
        assert_eq!((got.unwrap().0, &from[..]), (4, &b"next"[..]));
        one.connect(there).await.unwrap();
        assert_eq!(one.send_owned(b"to the peer".to_vec()).await.0.unwrap(), 11);
        assert_eq!(other.recv_owned(Vec::with_capacity(64)).await.1, b"to the peer");
    });
    Ok(())
}

/// Buffers of the caller's own kind: one that shows another slice at each call, and one that panics. Nothing that the
/// compiler does not check is trusted.
pub fn owned_odd_buffers(cx: &Cx) -> Outcome {
    struct Changing([Vec<u8>; 2], usize);
    impl IoBuf for Changing {
        fn bytes(&self) -> &[u8] {
            &self.0[0]
        }
    }
    impl IoBufMut for Changing {
        fn room(&mut self) -> &mut [MaybeUninit<u8>] {
            self.1 += 1;
            self.0[self.1 % 2].room()
        }

        #[allow(unsafe_code)]
        unsafe fn filled(&mut self, count: usize) {
            // SAFETY: what `room` returned last.
            unsafe { self.0[self.1 % 2].filled(count) };
        }
    }
    struct Panics;
    impl IoBuf for Panics {
        fn bytes(&self) -> &[u8] {
            panic!("in the buffer")
        }
    }

    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let mut odd = Changing([Vec::with_capacity(8), Vec::with_capacity(3)], 0);
    let mut got = Vec::new();
    peer.write_all(&b"abcd".repeat(10)).unwrap();
    while got.len() < 40 {
        let result;
        (result, odd) = soon(&notifier, "an odd buffer", stream.read_owned(odd));
        let bytes = &odd.0[odd.1 % 2];
        assert_eq!(result.unwrap(), bytes.len());
        got.extend_from_slice(bytes);
    }
    assert_eq!(got, b"abcd".repeat(10));

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(Task::new(stream.write_all_owned(Panics)).poll());
    }));
    assert!(panicked.is_err());
    soon(&notifier, "a write after that", stream.write_all_owned(b"x".to_vec())).0.unwrap();
    peer.read_exact(&mut [0]).unwrap();
    Ok(())
}

/// A limit gives the buffer back; an operation that won the race gives its own result.
pub fn owned_deadlines(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let limit = Duration::from_millis(2);
    let (result, buf) = soon(&notifier, "a limit", stream.read_owned(b"mine".to_vec()).timeout(limit));
    let error = result.unwrap_err();
    assert!(Elapsed::is(&error) && error.kind() == ErrorKind::TimedOut && error.raw_os_error().is_none());
    assert_eq!(buf, b"mine");

    peer.write_all(b"in time").unwrap();
    cx.until("the bytes arrive", || {
        stream.try_peek(&mut [0]).is_ok() || {
            cx.settle(&notifier);
            false
        }
    });
    let late = std::time::Instant::now() - Duration::from_secs(1);
    let room = Vec::with_capacity(64);
    let (result, buf) = soon(&notifier, "ready, and late", stream.read_owned(room).deadline(late));
    assert_eq!((result.unwrap(), &buf[..]), (7, &b"in time"[..]), "it won");

    // A write that cannot go on gives its buffer back, and what it did send is there.
    let sent = cx.fill_stream(&stream);
    let large = vec![b'y'; 1 << 20];
    let (result, large) = soon(&notifier, "no room", stream.write_all_owned(large).timeout(limit));
    assert!(Elapsed::is(&result.unwrap_err()));
    assert_eq!(large.len(), 1 << 20);
    cx.drain(&mut peer, sent);

    // The trait's methods do not hide these: the output is a pair. A short read need not have found that there is no more.
    while stream.try_read(&mut [0]).is_ok() {}
    let (result, _) = soon(&notifier, "in time", async {
        let (wrote, ()) = future::zip(stream.write_owned(b"z".to_vec()).timeout(net::LIMIT), async {}).await;
        // Where a short read proves nothing, this is what takes the readiness back.
        stream.try_read(&mut [0]).unwrap_err();
        stream.readable().timeout(limit).await.unwrap_err();
        wrote
    });
    assert_eq!(result.unwrap(), 1);
    Ok(())
}

/// The flags of the borrowed calls.
pub fn owned_flags(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let socket = stream.socket();
    peer.write_all(b"stays").unwrap();
    soon(&notifier, "flags", async {
        let (got, buf) = socket.recv_owned(Vec::with_capacity(3), RecvFlags::PEEK).await;
        assert_eq!((got.unwrap(), &buf[..]), (3, &b"sta"[..]));
        let (got, buf) = socket.recv_owned(Vec::with_capacity(9), RecvFlags::NONE).await;
        assert_eq!((got.unwrap(), &buf[..]), (5, &b"stays"[..]));
        let (sent, _) = socket.send_owned(b"!".to_vec(), SendFlags::OUT_OF_BAND).await;
        assert_eq!(sent.unwrap(), 1);
    });
    if !cx.has_priority() {
        return Ok(()); // nobody would say when to look for the urgent byte
    }
    let theirs = net::attach(&notifier, peer);
    soon(&notifier, "urgent data", async {
        let (got, buf) = theirs.socket().recv_owned(Vec::with_capacity(9), RecvFlags::OUT_OF_BAND).await;
        assert_eq!((got.unwrap(), &buf[..]), (1, &b"!"[..]));
    });
    Ok(())
}

/// After a dropped owned send, what is sent later comes behind whatever of it was sent.
pub fn owned_sends_keep_order(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for round in 0..cx.rounds(12) {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        stream.socket().set(option::SendBufferSize, 4 * 1024).unwrap();
        let mut sending = Task::new(stream.write_all_owned(bytes_at(0, 2 << 20)));
        for _ in 0..round % 4 {
            assert!(sending.poll().is_pending(), "2 MiB fit where nobody reads");
            let _ = notifier.poll(Some(Duration::ZERO)).unwrap();
        }
        drop(sending);
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        soon(&notifier, "the next", stream.write_all(b"behind it")).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let all = reader.join().unwrap();
        let prefix = all.strip_suffix(b"behind it").expect("the later send is whole, and last");
        assert_bytes_at(0, prefix);
    }
    Ok(())
}

/// Owned and pooled operations allocate nothing: not when they wait, not when they are dropped, not vectored.
pub fn owned_allocates_nothing(cx: &Cx) -> Outcome {
    if heap::here().is_none() {
        skip!("this test binary's allocator does not count");
    }
    // The second is large enough for the kernel to receive into by itself.
    for buffers in [2, 64] {
        let notifier = cx.builder().buffers(buffers, 256).build().unwrap();
        let (one, other) = net::pair(cx, &notifier);
        let udp = net::udp(&notifier, v4());
        let to = udp.local_addr().unwrap();
        let (mut full, mut room) = (vec![b'x'; 64], Vec::with_capacity(64));
        let mut pair = [Vec::with_capacity(8), Vec::with_capacity(8)];
        let measured = soon(&notifier, "all rounds", async {
            let mut measured = None;
            for round in 0..200 {
                if round == 100 {
                    measured = heap::here();
                }
                (full, room, pair) = rounds(&one, &other, &udp, to, full, room, pair).await;
            }
            heap::here().unwrap() - measured.unwrap()
        });
        assert_eq!(measured.allocations, 0, "in 100 rounds, {buffers} buffers: {measured:?}");
        // And of nothing else, so that the kernel's receive goes on from one to the next.
        let measured = soon(&notifier, "the echoes", async {
            let mut measured = None;
            for round in 0..200 {
                if round == 100 {
                    measured = heap::here();
                }
                echo_pooled(&one, &other).await;
            }
            heap::here().unwrap() - measured.unwrap()
        });
        assert_eq!(measured.allocations, 0, "in 100 echoes, {buffers} buffers: {measured:?}");
    }
    Ok(())
}

async fn echo_pooled(one: &TcpStream, other: &TcpStream) {
    let (lease, sent) = future::zip(other.recv_pooled(), one.write_all(&[b'x'; 64])).await;
    sent.unwrap();
    other.write_all_owned(lease.unwrap()).await.0.unwrap();
    assert_eq!(one.recv_pooled().await.unwrap().len(), 64);
}

async fn rounds(
    one: &TcpStream,
    other: &TcpStream,
    udp: &pike::net::UdpSocket,
    to: std::net::SocketAddr,
    full: Vec<u8>,
    room: Vec<u8>,
    pair: [Vec<u8>; 2],
) -> (Vec<u8>, Vec<u8>, [Vec<u8>; 2]) {
    // The reader waits before the writer goes.
    let ((got, room), (sent, full)) = future::zip(other.read_owned(room), one.write_all_owned(full)).await;
    sent.unwrap();
    assert_eq!(got.unwrap(), 64);
    let (lease, (sent, full)) = future::zip(other.recv_pooled(), one.write_owned(full)).await;
    sent.unwrap();
    let lease = lease.unwrap();
    assert_eq!(lease.len(), 64);
    let ((sent, lease), (got, pair)) =
        future::zip(other.write_all_owned(lease), one.read_vectored_owned(pair)).await;
    sent.unwrap();
    assert_eq!(got.unwrap(), 16);
    let (got, room) = one.read_exact_owned(room.part(..48)).await;
    assert_eq!(got.unwrap(), 48);
    let room = room.into_inner();
    let ((got, room), (sent, full)) =
        future::zip(udp.recv_from_owned(room), udp.send_to_owned(full, to)).await;
    assert_eq!((got.unwrap(), sent.unwrap()), ((64, to), 64));
    // The pool is dry, and one waits for a buffer.
    one.write_all(b"both").await.unwrap();
    let second = other.recv_pooled().await.unwrap();
    one.write_all(b"dry").await.unwrap();
    let (third, ()) = future::zip(other.recv_pooled(), async {
        future::yield_now().await;
        drop(lease);
    })
    .await;
    assert_eq!((&second[..], &third.unwrap()[..]), (&b"both"[..], &b"dry"[..]));
    assert!(future::poll_once(other.recv_pooled()).await.is_none(), "dropped while it waits");
    (full, room, pair)
}
