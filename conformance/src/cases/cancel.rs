//! Operations that own their buffer and end early: by a cancel, a limit or a drop, before, while and after they are done.
//! Every byte, datagram and connection is counted.

use std::{
    io::{Read, Write},
    net::Shutdown,
    pin::pin,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{Closed, Notifier, net::TcpStream, socket::option, time::Elapsed};

use crate::{
    Cx, Outcome, Rng, Task,
    net::{self, assert_bytes_at, bytes_at, soon, v4},
    system,
};

/// An explicit cancel gives the buffer back: before the first poll, while it waits, and of one that is done it gives the
/// result or the buffer.
pub fn cancel_returns_the_buffer(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    soon(&notifier, "cancels", async {
        let mut unpolled = pin!(stream.read_owned(b"mine".to_vec()));
        unpolled.as_mut().cancel();
        let (result, buf) = unpolled.await;
        assert!(Closed::is(&result.unwrap_err()));
        assert_eq!(buf, b"mine");

        let mut waiting = pin!(stream.read_owned(buf));
        assert!(future::poll_once(waiting.as_mut()).await.is_none());
        waiting.as_mut().cancel();
        waiting.as_mut().cancel();
        let (result, buf) = waiting.await;
        assert!(Closed::is(&result.unwrap_err()));
        assert_eq!(buf, b"mine");

        // What arrives for the one that is cancelled is there for the next.
        let mut receiving = pin!(stream.read_owned(buf));
        assert!(future::poll_once(receiving.as_mut()).await.is_none());
        peer.write_all(b"ping").unwrap();
        stream.readable().await.unwrap();
        receiving.as_mut().cancel();
        let (result, buf) = receiving.await;
        let mut got = match result {
            Ok(_) => buf,
            Err(error) => {
                assert!(Closed::is(&error));
                Vec::new()
            }
        };
        while got.len() < 4 {
            got.extend(stream.read_owned(Vec::with_capacity(8)).await.1);
        }
        assert_eq!(got, b"ping");
    });
    Ok(())
}

/// Cancels the operation at a random moment, and waits for what it says.
async fn cancelled<T, B>(operation: pike::buf::Owned<'_, T, B>, polls: usize) -> pike::buf::BufResult<T, B> {
    let mut operation = pin!(operation);
    for _ in 0..polls {
        if let Some(output) = future::poll_once(operation.as_mut()).await {
            return output;
        }
        future::yield_now().await;
    }
    operation.as_mut().cancel();
    operation.await
}

/// A cancel, a limit or a drop races the arrival of bytes, thousands of times: every byte is received once, in order, and
/// every buffer comes back that was not dropped.
pub fn cancel_races_receive(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(20));
    let rng = &mut Rng::new();
    let notifier = cx.builder().buffers(if rng.one_in(2) { 2 } else { 16 }, 64).build().unwrap();
    let descriptors = system::descriptors();
    let total = cx.rounds(6_000);
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    thread::scope(|scope| {
        let mut pauses = Rng::with_seed(rng.next());
        scope.spawn(move || {
            let mut sent = 0;
            while sent < total {
                let bytes = bytes_at(sent, (1 + pauses.below(3)).min(total - sent));
                peer.write_all(&bytes).unwrap();
                sent += bytes.len();
                if pauses.one_in(2) {
                    thread::sleep(Duration::from_nanos(pauses.below(60_000) as u64));
                }
            }
            peer.shutdown(Shutdown::Write).unwrap();
            peer
        });
        let limit = Duration::from_secs(15);
        let received = notifier.block_on(pike::time::timeout(limit, async {
            let (mut got, mut cancels, mut rounds) = (0, 0, 0);
            loop {
                rounds += 1;
                let polls = rng.below(4);
                let room = Vec::with_capacity(1 + rng.below(4));
                let bytes = match rng.below(5) {
                    0 => {
                        let limit = Duration::from_nanos(rng.below(50_000) as u64);
                        let (result, buf) = stream.read_owned(room).timeout(limit).await;
                        assert!(buf.capacity() > 0, "the buffer");
                        match result {
                            Ok(_) => Some(buf),
                            Err(error) => {
                                assert!(Elapsed::is(&error), "{error}");
                                None
                            }
                        }
                    }
                    1 => future::poll_once(stream.read_owned(room)).await.map(|(result, buf)| {
                        result.unwrap();
                        buf
                    }),
                    2 => {
                        let lease = future::poll_once(stream.recv_pooled()).await;
                        lease.map(|lease| lease.unwrap().to_vec())
                    }
                    _ => {
                        let (result, buf) = cancelled(stream.read_owned(room), polls).await;
                        assert!(buf.capacity() > 0, "the buffer");
                        match result {
                            Ok(_) => Some(buf),
                            Err(error) => {
                                assert!(Closed::is(&error), "{error}");
                                None
                            }
                        }
                    }
                };
                match bytes {
                    Some(bytes) if bytes.is_empty() => return (got, cancels, rounds),
                    Some(bytes) => {
                        assert_bytes_at(got, &bytes);
                        got += bytes.len();
                    }
                    None => {
                        cancels += 1;
                        future::yield_now().await;
                    }
                }
            }
        }));
        let (got, cancels, rounds) = received.expect("the end of the stream");
        assert_eq!(got, total, "after {cancels} early ends in {rounds} rounds");
        assert!(cancels > 0 && rounds > cancels, "{cancels} early ends in {rounds} rounds: no race");
    });
    drop(stream);
    // Buffers are back.
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let _both: Vec<_> = (0..2)
        .map(|_| {
            peer.write_all(b"x").unwrap();
            soon(&notifier, "two buffers", stream.recv_pooled()).unwrap()
        })
        .collect();
    drop((stream, peer));
    cx.settle(&notifier);
    assert!(system::descriptors() <= descriptors + 2, "descriptors are left behind");
    Ok(())
}

/// The same for datagrams: each is received once, and none in two pieces.
pub fn cancel_races_datagrams(cx: &Cx) -> Outcome {
    let notifier = cx.builder().buffers(2, 64).build().unwrap();
    let rng = &mut Rng::new();
    let udp = net::udp(&notifier, v4());
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = udp.local_addr().unwrap();
    let (mut sent, mut got) = (0_u32, 0_u32);
    let end = cx.rounds(3_000) as u32;
    soon(&notifier, "all datagrams", async {
        while got < end {
            // As many as fit in the socket's queue for certain.
            while sent < end && sent < got + 16 && !rng.one_in(3) {
                sender.send_to(&sent.to_le_bytes(), to).unwrap();
                sent += 1;
            }
            let number = match rng.below(3) {
                0 => {
                    let polls = rng.below(3);
                    let (result, buf) = cancelled(udp.recv_from_owned(Vec::with_capacity(16)), polls).await;
                    result.ok().map(|_| buf)
                }
                1 => future::poll_once(udp.recv_owned(Vec::with_capacity(16))).await.map(|(result, buf)| {
                    result.unwrap();
                    buf
                }),
                _ => future::poll_once(udp.recv_pooled()).await.map(|lease| lease.unwrap().to_vec()),
            };
            match number {
                Some(number) => {
                    assert_eq!(u32::from_le_bytes(number.try_into().unwrap()), got);
                    got += 1;
                }
                None => future::yield_now().await,
            }
        }
    });
    assert!(Task::new(udp.recv_pooled()).poll().is_pending(), "one too many");
    Ok(())
}

/// Both ends of a connection in every form at random, with operations cut short, on one task or several: every byte
/// arrives, once and in order. Prints its seed when it fails.
pub fn forms_mixed_at_random(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(20));
    let rng = &mut Rng::new();
    for _ in 0..6 {
        // A small pool runs dry all the time; a larger one may be shared with the kernel.
        let count = if rng.one_in(2) { 1 + rng.below(4) } else { 16 + rng.below(32) };
        let notifier = cx.builder().buffers(count, 1 + rng.below(3_000)).build().unwrap();
        let (one, other) = net::pair(cx, &notifier);
        let total = cx.rounds(1 << 20);
        let (mut writes, mut reads) = (Rng::with_seed(rng.next()), Rng::with_seed(rng.next()));
        soon(
            &notifier,
            "all bytes",
            future::zip(write(&one, &mut writes, total), read(&other, &mut reads, total)),
        );
    }
    Ok(())
}

fn len(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => 1 + rng.below(8),
        1 => 1 + rng.below(60_000),
        _ => 1 + rng.below(2_000),
    }
}

/// Sends the sequence. What a send that ended early did send is not known, so those that are cut short are borrowed.
async fn write(stream: &TcpStream, rng: &mut Rng, total: usize) {
    let mut sent = 0;
    while sent < total {
        let bytes = bytes_at(sent, len(rng).min(total - sent));
        let all = bytes.len();
        sent += match rng.below(7) {
            0 => stream.write(&bytes).await.unwrap(),
            1 => stream.write_all(&bytes).await.map(|()| all).unwrap(),
            2 => stream.write_owned(bytes).await.0.unwrap(),
            3 => stream.write_all_owned(bytes).await.0.map(|()| all).unwrap(),
            4 => {
                let (head, tail) = bytes.split_at(all / 2);
                stream.write_vectored_owned([head.to_vec(), tail.to_vec()]).await.0.unwrap()
            }
            5 => future::poll_once(stream.write(&bytes)).await.map_or(0, Result::unwrap),
            _ => {
                let part = pike::buf::IoBuf::part(bytes, ..all.div_ceil(2));
                stream.write_owned(part).await.0.unwrap()
            }
        };
        if rng.one_in(4) {
            future::yield_now().await;
        }
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

async fn read(stream: &TcpStream, rng: &mut Rng, total: usize) {
    let mut got = 0;
    loop {
        let room = len(rng);
        let polls = rng.below(3);
        // None where it was cut short.
        let bytes: Option<Vec<u8>> = match rng.below(12) {
            0 => {
                let mut buf = vec![0; room];
                let n = stream.read(&mut buf).await.unwrap();
                buf.truncate(n);
                Some(buf)
            }
            1 => Some(stream.recv_with(<[u8]>::to_vec).await.unwrap()),
            2 | 3 => Some(stream.recv_pooled().await.unwrap().to_vec()),
            4 => Some(taken(stream.read_owned(Vec::with_capacity(room)).await)),
            5 => {
                let rooms = [Vec::with_capacity(room.div_ceil(2)), Vec::with_capacity(room)];
                let (result, bufs) = stream.read_vectored_owned(rooms).await;
                assert_eq!(result.unwrap(), bufs[0].len() + bufs[1].len());
                Some(bufs.concat())
            }
            6 => {
                let mut buf = vec![0; room];
                let n = stream.peek(&mut buf).await.unwrap();
                assert_bytes_at(got, &buf[..n]);
                None
            }
            7 => {
                let mut buf = vec![0; room];
                stream.readable().await.unwrap();
                stream.try_read(&mut buf).ok().map(|n| buf[..n].to_vec())
            }
            8 => {
                let (result, buf) = cancelled(stream.read_owned(Vec::with_capacity(room)), polls).await;
                result.ok().map(|_| buf)
            }
            9 => future::poll_once(stream.recv_pooled()).await.map(|lease| lease.unwrap().to_vec()),
            10 => future::poll_once(stream.read_owned(Vec::with_capacity(room))).await.map(taken),
            _ => {
                let limit = Duration::from_micros(rng.below(20) as u64);
                let (result, buf) = stream.read_owned(Vec::with_capacity(room)).timeout(limit).await;
                result.ok().map(|_| buf)
            }
        };
        match bytes {
            Some(bytes) if bytes.is_empty() => {
                assert_eq!(got, total, "the end");
                return;
            }
            Some(bytes) => {
                assert_bytes_at(got, &bytes);
                got += bytes.len();
            }
            None => future::yield_now().await,
        }
    }
}

fn taken((result, buf): pike::buf::BufResult<usize, Vec<u8>>) -> Vec<u8> {
    assert_eq!(result.unwrap(), buf.len());
    buf
}

/// The Notifier goes while owned and pooled operations wait: they end with `Closed`, their buffers come back, and every
/// descriptor is closed.
pub fn notifier_dropped_under_operations(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    for drop_first in [false, true] {
        let notifier: Notifier = cx.builder().buffers(2, 64).build().unwrap();
        let (streams, peers): (Vec<_>, Vec<_>) = (0..20).map(|_| net::with_peer(cx, &notifier)).unzip();
        let listener = net::listener(&notifier, v4());
        let mut reads: Vec<_> =
            streams.iter().map(|s| Task::pending(s.read_owned(b"mine".to_vec()))).collect();
        let mut pooled: Vec<_> = streams.iter().map(|s| Task::pending(s.recv_pooled())).collect();
        let mut accept = Task::pending(listener.accept());
        cx.settle(&notifier);
        if drop_first {
            // Some are dropped just before, with whatever the kernel still has of them.
            reads.truncate(10);
            pooled.truncate(10);
        }
        drop(notifier);
        for read in &mut reads {
            let (result, buf) = closed_soon(cx, read);
            assert!(Closed::is(&result.unwrap_err()));
            assert_eq!(buf, b"mine");
        }
        for task in &mut pooled {
            assert!(Closed::is(&closed_soon(cx, task).unwrap_err()));
        }
        assert!(Closed::is(&closed_soon(cx, &mut accept).unwrap_err()));
        drop((reads, pooled, accept));
        let again = Task::new(streams[0].read_owned(b"mine".to_vec())).ready();
        assert!(Closed::is(&again.0.unwrap_err()));
        assert_eq!(again.1, b"mine");
        drop((streams, listener, peers));
    }
    let start = Instant::now();
    while system::descriptors() > before && start.elapsed() < net::LIMIT {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}

/// The Notifier goes with as much in the kernel as it can have there: pooled receives, some with bytes that nobody took, sends
/// that fill both queues, accepts, connects that nobody answers; or just after the futures of half of them. The others end with
/// `Closed` and give their buffers back, peers have a prefix of what was sent, and every descriptor is closed.
pub fn notifier_dropped_in_flight(cx: &Cx) -> Outcome {
    let bytes = bytes_at(0, 2 << 20);
    let before = system::descriptors();
    for half in [false, true] {
        // Enough to be shared with a ring.
        let notifier: Notifier = cx.builder().buffers(64, 256).build().unwrap();
        let full = net::full_listener(cx, &notifier);
        let listeners: Vec<_> = (0..4).map(|_| net::listener(&notifier, v4())).collect();
        let (readers, mut peers): (Vec<_>, Vec<_>) = (0..8).map(|_| net::with_peer(cx, &notifier)).unzip();
        let (senders, silent): (Vec<_>, Vec<_>) = (0..4).map(|_| net::with_peer(cx, &notifier)).unzip();
        for sender in &senders {
            sender.socket().set(option::SendBufferSize, 64 * 1024).unwrap();
        }
        let mut receives: Vec<_> = readers.iter().map(|s| Task::pending(s.recv_pooled())).collect();
        let mut accepts: Vec<_> = listeners.iter().map(|l| Task::pending(l.accept())).collect();
        let mut sends: Vec<_> =
            senders.iter().map(|s| Task::pending(s.write_all_owned(bytes.clone()))).collect();
        let entered = notifier.enter();
        let connect = |full: &net::Full| (0..4).map(|_| TcpStream::connect(full.address)).collect();
        let connects: Vec<_> = full.as_ref().map_or_else(Vec::new, connect);
        let mut connects: Vec<_> = connects.into_iter().map(Task::pending).collect();
        drop(entered);
        cx.settle(&notifier);
        // These have arrived, and the kernel may deliver more after the last turn.
        peers.iter_mut().skip(4).for_each(|peer| peer.write_all(b"nobody's").unwrap());
        if half {
            notifier.poll(Some(Duration::ZERO)).unwrap();
            receives.drain(..4);
            accepts.drain(..2);
            sends.drain(..2);
            connects.drain(..connects.len() / 2);
        }
        drop(notifier);
        for task in &mut receives {
            match closed_soon(cx, task) {
                Ok(lease) => assert_eq!(&lease[..], b"nobody's"),
                Err(error) => assert!(Closed::is(&error), "{error}"),
            }
        }
        for task in &mut accepts {
            assert!(Closed::is(&closed_soon(cx, task).map(drop).unwrap_err()));
        }
        for task in &mut sends {
            let (result, buf) = closed_soon(cx, task);
            assert!(Closed::is(&result.unwrap_err()));
            assert!(buf == bytes, "another buffer, or not all of it");
        }
        for task in &mut connects {
            assert!(Closed::is(&closed_soon(cx, task).map(drop).unwrap_err()));
        }
        drop((receives, accepts, sends, connects));
        drop((readers, senders, listeners, full, peers));
        for mut peer in silent {
            let mut got = Vec::new();
            peer.set_read_timeout(Some(net::LIMIT)).unwrap();
            peer.read_to_end(&mut got).unwrap();
            assert!(bytes.starts_with(&got), "other bytes");
            assert!((1..bytes.len()).contains(&got.len()), "{} bytes", got.len());
        }
    }
    let start = Instant::now();
    while system::descriptors() > before && start.elapsed() < net::LIMIT {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}

fn closed_soon<R>(cx: &Cx, task: &mut Task<'_, R>) -> R {
    let mut output = None;
    cx.until("the end of the Notifier reaches all", || match task.is_woken().then(|| task.poll()) {
        Some(Poll::Ready(its)) => {
            output = Some(its);
            true
        }
        _ => false,
    });
    output.expect("it is there")
}
