//! What a TCP stream offers beside waiting for all: lending, trying, being polled.

use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice, IoSliceMut, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::net::TcpStream;

use crate::{
    Cx, Outcome, Rng, Task,
    net::{self, assert_bytes_at, bytes_at, is_gone, soon},
};

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
