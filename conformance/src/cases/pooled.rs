//! Receives into buffers of the Notifier's pool: who has one, who waits for one, and where they go.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Closed, Notifier,
    buf::{Lease, Residue},
    net::TcpStream,
};

use crate::{
    Cx, Outcome, Task,
    cx::{Boxed, SHORT},
    join_all,
    net::{self, assert_bytes_at, bytes_at, soon, v4},
    system,
};

/// With a pool of `count` buffers of `len` bytes.
pub(super) fn with_pool(cx: &Cx, count: usize, len: usize) -> Notifier {
    cx.opened(cx.builder().buffers(count, len).build().expect("a Notifier"))
}

/// One lease goes to many at once, without a copy: it comes back with the last of them, from a pool of one.
pub fn pooled_lease_to_many(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 100);
    let (one, other) = net::pair(cx, &notifier);
    let receivers: Vec<_> = (0..4).map(|_| net::pair(cx, &notifier)).collect();
    for round in 0..3 {
        let sent = bytes_at(round, 60);
        soon(&notifier, "a broker", async {
            one.write_all(&sent).await.unwrap();
            let lease = Arc::new(other.recv_pooled().await.unwrap());
            let sends = receivers
                .iter()
                .map(|(to, _)| -> Boxed<'_, _> { Box::pin(to.write_all_owned(lease.clone())) });
            for (result, shared) in join_all(sends).await {
                result.unwrap();
                assert_eq!(shared[..], lease[..]);
            }
            let count = lease.len();
            drop(lease);
            for (_, receiver) in &receivers {
                let (result, buf) = receiver.read_exact_owned(vec![0; count].into_boxed_slice()).await;
                assert_eq!((result.unwrap(), &buf[..]), (count, &sent[..count]));
            }
            other.read_exact(&mut vec![0; sent.len() - count]).await.unwrap(); // if it came in parts
        });
    }
    Ok(())
}

/// Bytes, the end, lengths: on a stream and its half, with a pool of one, which an empty lease does not take.
pub fn pooled_receive(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 100);
    let (one, other) = net::pair(cx, &notifier);
    soon(&notifier, "pooled receives", async {
        one.write_all(&bytes_at(0, 250)).await.unwrap();
        let mut got = 0;
        while got < 250 {
            let lease = other.recv_pooled().await.unwrap();
            assert!((1..=100).contains(&lease.len()), "{} bytes in a buffer of 100", lease.len());
            assert_bytes_at(got, &lease);
            got += lease.len();
        }
        // What was received is sent from the same buffer, which comes back.
        one.write_all(b"ping").await.unwrap();
        let (sent, lease) = other.write_all_owned(other.recv_pooled().await.unwrap()).await;
        sent.unwrap();
        assert_eq!(&lease[..], b"ping");
        drop(lease);
        assert_eq!(&one.recv_pooled().await.unwrap()[..], b"ping");

        let (read, write) = other.into_split();
        one.shutdown(Shutdown::Write).unwrap();
        let ends: [Lease; 3] = [
            read.recv_pooled().await.unwrap(),
            read.recv_pooled().await.unwrap(),
            read.recv_pooled().await.unwrap(),
        ];
        assert!(ends.iter().all(|lease| lease.is_empty()));
        write.write_all(b"x").await.unwrap();
        assert_eq!(&one.recv_pooled().await.unwrap()[..], b"x");
    });
    Ok(())
}

/// After a read of another kind that has found the queue empty, a pooled receive hears of what comes: where the kernel
/// receives by itself, it has to be asked, and no report of readiness says so.
pub fn pooled_after_a_short_read(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    soon(&notifier, "a pooled receive after a short read", async {
        for round in 0..20_u8 {
            one.write_all(&[round; 5]).await.unwrap();
            assert_eq!(other.read(&mut [0; 64]).await.unwrap(), 5);
            let later = async {
                future::yield_now().await;
                one.write_all(&[round; 3]).await
            };
            let (lease, sent) = future::zip(other.recv_pooled(), later).await;
            sent.unwrap();
            assert_eq!(&lease.unwrap()[..], [round; 3]);
        }
    });
    Ok(())
}

/// Datagrams, with their senders; one that is longer than a buffer is cut.
pub fn pooled_datagrams(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 2, 64);
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    soon(&notifier, "datagrams", async {
        let (lease, sent) = future::zip(other.recv_from_pooled(), one.send_to(b"first", there)).await;
        sent.unwrap();
        let (lease, from) = lease.unwrap();
        assert_eq!((&lease[..], from), (&b"first"[..], here));
        one.send_to(&bytes_at(0, 100), there).await.unwrap();
        let cut = other.recv_pooled().await.unwrap();
        assert_eq!(cut.len(), 64);
        assert_bytes_at(0, &cut);
        drop((lease, cut));
        // An empty datagram is no end, and an empty lease has no buffer.
        for _ in 0..4 {
            one.send_to(b"", there).await.unwrap();
        }
        let mut empty = Vec::new();
        for _ in 0..4 {
            empty.push(other.recv_from_pooled().await.unwrap());
        }
        assert!(empty.iter().all(|(lease, from)| lease.is_empty() && *from == here));
        one.send_to(b"last", there).await.unwrap();
        let (lease, from) = other.socket().recv_from_pooled().await.unwrap();
        assert_eq!((&lease[..], from), (&b"last"[..], here.into()));
    });
    let (stream, _peer) = net::with_peer(cx, &notifier);
    let error = soon(&notifier, "no sender", stream.socket().recv_from_pooled()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    Ok(())
}

/// A pool that runs dry neither fails nor spins: receives wait, and get the buffers that come back in the order in which
/// they asked, whichever thread returns them.
pub fn pooled_dry_waits_in_order(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 2, 64);
    let (streams, mut peers): (Vec<_>, Vec<_>) = (0..5).map(|_| net::with_peer(cx, &notifier)).unzip();
    peers.iter_mut().for_each(|peer| peer.write_all(b"ping").unwrap());
    cx.settle(&notifier);
    let mut held: Vec<Lease> = streams[..2]
        .iter()
        .map(|stream| soon(&notifier, "one of two", stream.recv_pooled()).unwrap())
        .collect();
    let mut waiting: Vec<_> = streams[2..].iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
    cx.assert_quiet(&notifier, "a dry pool");
    assert!(waiting.iter().all(|task| !task.is_woken()), "woken for nothing");
    // Who comes later does not overtake, nor does who asks again.
    let mut late = Task::pending(streams[0].recv_pooled());
    peers[0].write_all(b"late").unwrap();
    cx.settle(&notifier);
    drop(held.pop());
    assert!(waiting[0].is_woken());
    assert!(late.poll().is_pending(), "overtook");
    assert!(waiting[1].poll().is_pending(), "overtook");
    let lease = waiting[0].ready().unwrap();
    assert_eq!(&lease[..], b"ping");
    let returned = held.pop().unwrap();
    thread::spawn(move || drop(returned)).join().unwrap();
    let second = waiting[1].ready().unwrap();
    drop((lease, second));
    for task in [&mut waiting[2], &mut late] {
        assert!(task.is_woken());
        drop(task.ready().unwrap());
    }
    Ok(())
}

/// Connections that are idle hold no buffer: many wait to receive, and a pool of one serves them all.
pub fn pooled_idle_holds_no_buffer(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 64);
    let (streams, mut peers): (Vec<_>, Vec<_>) = (0..50).map(|_| net::with_peer(cx, &notifier)).unzip();
    let mut waiting: Vec<_> = streams.iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
    for at in (0..50).rev() {
        peers[at].write_all(&[at as u8]).unwrap();
        let lease = net::finish(cx, &notifier, "one of many", &mut waiting[at]).unwrap();
        assert_eq!(&lease[..], [at as u8]);
    }
    Ok(())
}

/// One socket with endless data beside others with little, over a pool of one: they queue for it alike, and nobody starves.
pub fn pooled_greedy_socket(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 512);
    let (greedy, mut flood) = net::with_peer(cx, &notifier);
    let flooding = thread::spawn(move || {
        let chunk = vec![b'x'; 1 << 16];
        while flood.write_all(&chunk).is_ok() {}
    });
    let modest: Vec<_> = (0..8).map(|_| net::pair(cx, &notifier)).collect();
    let rounds = cx.rounds(50);
    let work = async |stream: &TcpStream| {
        let lease = stream.recv_pooled().await.unwrap();
        // Others ask while it is held.
        future::yield_now().await;
        lease.len()
    };
    soon(&notifier, "the modest", async {
        let others = join_all(modest.iter().map(|(one, other)| -> crate::Boxed<'_, ()> {
            Box::pin(async move {
                for _ in 0..rounds {
                    other.write_all(b"little").await.unwrap();
                    assert_eq!(&one.recv_pooled().await.unwrap()[..], b"little");
                }
            })
        }));
        future::or(async { drop(others.await) }, async { while work(&greedy).await > 0 {} }).await;
    });
    assert_eq!(soon(&notifier, "the greedy one goes on", work(&greedy)), 512);
    drop(greedy);
    flooding.join().unwrap();
    Ok(())
}

/// A lease is good after its socket and its Notifier are gone, on any thread.
pub fn pooled_lease_outlives_notifier(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 4, 64);
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let leases: Vec<Lease> = (0..4)
        .map(|at| {
            peer.write_all(&[at; 10]).unwrap();
            soon(&notifier, "a lease", stream.recv_pooled()).unwrap()
        })
        .collect();
    drop(stream);
    notifier.shutdown(Duration::from_secs(1));
    drop(notifier);
    for (at, lease) in leases.into_iter().enumerate() {
        thread::spawn(move || assert_eq!(&lease[..], [at as u8; 10])).join().unwrap();
    }
    Ok(())
}

/// Who waits for a buffer hears of the end: of its Handle, and of the Notifier. And is promised none from then on, although its
/// future is kept.
pub fn pooled_dry_ends_with_closed(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 64);
    let (holder, mut peer) = net::with_peer(cx, &notifier);
    let (streams, mut peers): (Vec<_>, Vec<_>) = (0..3).map(|_| net::with_peer(cx, &notifier)).unzip();
    peer.write_all(b"x").unwrap();
    peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
    let held = soon(&notifier, "the only buffer", holder.recv_pooled()).unwrap();
    cx.settle(&notifier);
    let mut waiting: Vec<_> = streams.iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
    streams[0].socket().cancel();
    assert!(waiting[0].is_woken() && !waiting[1].is_woken());
    assert!(Closed::is(&waiting[0].ready().unwrap_err()));
    drop(held);
    assert!(waiting[1].is_woken(), "the buffer was promised to one that has ended");
    let held = waiting[1].ready().unwrap();
    drop(notifier);
    assert!(waiting[2].is_woken());
    assert!(Closed::is(&waiting[2].ready().unwrap_err()));
    drop(held);
    Ok(())
}

/// A receive that is dropped after a buffer was promised to it passes it on, and one that is leaked keeps nobody from the
/// others.
pub fn pooled_promise_is_passed_on(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 64);
    let (streams, mut peers): (Vec<_>, Vec<_>) = (0..4).map(|_| net::with_peer(cx, &notifier)).unzip();
    peers.iter_mut().for_each(|peer| peer.write_all(b"ping").unwrap());
    cx.settle(&notifier);
    let held = soon(&notifier, "the only buffer", streams[0].recv_pooled()).unwrap();
    let mut waiting: Vec<_> = streams[1..].iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
    drop(held);
    assert!(waiting[0].is_woken() && !waiting[1].is_woken());
    drop(waiting.remove(0));
    assert!(waiting[0].is_woken() && !waiting[1].is_woken());
    assert_eq!(&waiting[0].ready().unwrap()[..], b"ping");
    assert!(waiting[1].is_woken());
    assert_eq!(&waiting[1].ready().unwrap()[..], b"ping");
    assert_eq!(&soon(&notifier, "the dropped one's", streams[1].recv_pooled()).unwrap()[..], b"ping");
    Ok(())
}

/// While a pooled receive waits for a buffer, the borrowed readers of the same socket do not wait for it.
pub fn pooled_dry_spares_other_readers(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 1, 64);
    let (holder, mut peer) = net::with_peer(cx, &notifier);
    peer.write_all(b"x").unwrap();
    let held = soon(&notifier, "the only buffer", holder.recv_pooled()).unwrap();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    cx.settle(&notifier);
    let mut buf = [0; 8];
    stream.try_read(&mut buf).unwrap_err(); // known to have nothing from here on
    let mut pooled = Task::new(stream.recv_pooled());
    let mut borrowed = Task::new(stream.read(&mut buf));
    assert!(pooled.poll().is_pending() && borrowed.poll().is_pending());
    peer.write_all(b"ping").unwrap();
    cx.turn_until(&notifier, "the first is woken", || pooled.is_woken());
    assert!(pooled.poll().is_pending(), "there is no buffer");
    assert!(borrowed.is_woken(), "the wake is passed on");
    assert_eq!(borrowed.ready().unwrap(), 4);
    drop(held);
    assert!(pooled.is_woken());
    assert!(pooled.poll().is_pending(), "there is nothing to receive any more");
    // And it gave the buffer back.
    let (third, mut its_peer) = net::with_peer(cx, &notifier);
    its_peer.write_all(b"y").unwrap();
    assert_eq!(&soon(&notifier, "another", third.recv_pooled()).unwrap()[..], b"y");
    peer.write_all(b"pong").unwrap();
    assert_eq!(&net::finish(cx, &notifier, "the pooled one", &mut pooled).unwrap()[..], b"pong");
    Ok(())
}

/// Sizes that no pool can have are refused when the Notifier is made.
pub fn pooled_sizes_are_checked(cx: &Cx) -> Outcome {
    for (count, len) in
        [(0, 4096), (16, 0), (0, 0), (32_769, 1), (usize::MAX, 2), (32_768, usize::MAX), (1, 1 << 31)]
    {
        let error = cx.builder().buffers(count, len).build().expect_err("no such pool");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{count} of {len}: {error}");
        assert!(error.to_string().contains("pool"), "{error}");
    }
    // The memory is taken when the first buffer is, and only as far as it is used.
    let notifier = with_pool(cx, 32_768, 1 << 20);
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    peer.write_all(b"ping").unwrap();
    match soon(&notifier, "a buffer of a huge pool", stream.recv_pooled()) {
        Ok(lease) => assert_eq!(&lease[..], b"ping"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}"),
    }
    let mut buf = [0; 8];
    peer.write_all(b"pong").unwrap();
    assert!(soon(&notifier, "borrowed all the same", stream.read(&mut buf)).unwrap() >= 4);
    Ok(())
}

/// Threads return buffers while tasks wait for them: none is lost, none is used twice.
pub fn pooled_returns_race_waiters(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 3, 256);
    let pairs: Vec<_> = (0..6).map(|_| net::pair(cx, &notifier)).collect();
    let rounds = cx.rounds(400);
    let (returns, returned) = std::sync::mpsc::channel::<(usize, Lease)>();
    let returning = thread::spawn(move || {
        for (at, lease) in returned {
            assert_bytes_at(at, &lease);
        }
    });
    soon(&notifier, "all rounds", async {
        join_all(pairs.iter().map(|(one, other)| -> crate::Boxed<'_, ()> {
            let returns = returns.clone();
            Box::pin(async move {
                let (mut sent, mut got) = (0, 0);
                for round in 0..rounds {
                    let bytes = bytes_at(sent, 1 + round % 250);
                    other.write_all(&bytes).await.unwrap();
                    sent += bytes.len();
                    while got < sent {
                        let lease = one.recv_pooled().await.unwrap();
                        got += lease.len();
                        returns.send((got - lease.len(), lease)).unwrap();
                    }
                }
            })
        }))
        .await;
    });
    drop(returns);
    returning.join().unwrap();
    // All three are there.
    let (one, other) = &pairs[0];
    let all: Vec<_> = (0..3)
        .map(|_| {
            soon(&notifier, "every buffer", async {
                other.write_all(b"x").await.unwrap();
                one.recv_pooled().await.unwrap()
            })
        })
        .collect();
    other.try_write(b"x").unwrap();
    thread::sleep(SHORT);
    cx.settle(&notifier);
    assert!(matches!(Task::new(one.recv_pooled()).poll(), Poll::Pending), "a fourth of three");
    drop(all);
    Ok(())
}

/// A pool of a size that may be shared with the kernel, and more connections with endless data than it has buffers, which
/// hold them for a while: it runs dry again and again, every byte arrives, and nobody starves.
pub fn pooled_many_share_a_pool(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, 16, 512);
    let pairs: Vec<_> = (0..40).map(|_| net::pair(cx, &notifier)).collect();
    let total = cx.rounds(40_000);
    soon(&notifier, "all bytes of all", async {
        join_all(pairs.iter().enumerate().map(|(at, (one, other))| -> crate::Boxed<'_, ()> {
            Box::pin(async move {
                let send = async {
                    one.write_all_owned(bytes_at(at, total)).await.0.unwrap();
                    one.shutdown(Shutdown::Write).unwrap();
                };
                let receive = async {
                    let mut got = 0;
                    loop {
                        let lease = other.recv_pooled().await.unwrap();
                        if lease.is_empty() {
                            break got;
                        }
                        assert_bytes_at(at + got, &lease);
                        got += lease.len();
                        for _ in 0..at % 3 {
                            future::yield_now().await;
                        }
                    }
                };
                assert_eq!(future::zip(send, receive).await.1, total);
            })
        }))
        .await;
    });
    Ok(())
}

/// What arrives for a pooled receive that was dropped waits for the next reader, of whatever form.
pub fn pooled_residue_waits(cx: &Cx) -> Outcome {
    for form in 0..5 {
        let notifier = with_pool(cx, 32, 4);
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        drop(Task::pending(stream.recv_pooled()));
        cx.settle(&notifier);
        peer.write_all(b"it waits here").unwrap();
        cx.settle(&notifier);
        let mut buf = vec![0; 64];
        let got = soon(&notifier, "what waits", async {
            match form {
                0 => stream.read(&mut buf).await.map(|n| buf[..n].to_vec()),
                1 => stream.peek(&mut buf).await.map(|n| buf[..n].to_vec()),
                2 => stream.recv_with(<[u8]>::to_vec).await,
                3 => {
                    let (result, buf) = stream.read_owned(Vec::with_capacity(64)).await;
                    result.map(|_| buf)
                }
                _ => {
                    stream.readable().await.unwrap();
                    loop {
                        match stream.try_read(&mut buf) {
                            Err(error) if error.kind() == ErrorKind::WouldBlock => future::yield_now().await,
                            result => break result.map(|n| buf[..n].to_vec()),
                        }
                    }
                }
            }
        });
        let mut all = got.unwrap();
        assert!(!all.is_empty() && b"it waits here".starts_with(&all), "form {form}: {all:?}");
        if form == 1 {
            all.clear();
        }
        while all.len() < 13 {
            let n = soon(&notifier, "the rest", stream.read(&mut buf)).unwrap();
            all.extend_from_slice(&buf[..n]);
        }
        assert_eq!(all, b"it waits here", "form {form}");
        peer.write_all(b"more").unwrap();
        assert_eq!(&soon(&notifier, "pooled again", stream.recv_pooled()).unwrap()[..], b"more");
        drop(peer);
        assert!(soon(&notifier, "the end", stream.recv_pooled()).unwrap().is_empty());
        assert_eq!(soon(&notifier, "the end again", stream.read(&mut buf)).unwrap(), 0);
    }
    Ok(())
}

/// A socket that is taken elsewhere after a pooled receive was dropped loses nothing: what was received comes with it.
pub fn pooled_residue_of_into_std(cx: &Cx) -> Outcome {
    for arrives in [false, true] {
        let notifier = with_pool(cx, 32, 4);
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        drop(Task::pending(stream.recv_pooled()));
        cx.settle(&notifier);
        if arrives {
            peer.write_all(b"before").unwrap();
            cx.settle(&notifier);
        }
        let (mut got, mut stream) = match stream.into_std() {
            Ok(stream) => (Vec::new(), stream),
            Err(error) => {
                let (bytes, descriptor) =
                    error.downcast::<Residue>().expect("what was received").into_parts();
                assert!(arrives);
                (bytes, std::net::TcpStream::from(descriptor))
            }
        };
        peer.write_all(b" and after").unwrap();
        drop(peer);
        stream.set_nonblocking(false).unwrap();
        stream.read_to_end(&mut got).unwrap();
        assert_eq!(got, if arrives { &b"before and after"[..] } else { b" and after" });
    }
    Ok(())
}

/// A socket that is dropped under a receive and a send closes: the peer sees the end within a turn or two, and no
/// descriptor is left behind.
pub fn pooled_close_under_operations(cx: &Cx) -> Outcome {
    // Of one write Windows takes up to a megabyte beyond what fits.
    const MORE_THAN_FITS: usize = if cfg!(windows) { 16 << 20 } else { 4 << 20 };
    let notifier = with_pool(cx, 32, 64);
    // The first pooled receive may make a descriptor that stays, and where no wait of the kernel has nanoseconds, the first timed one
    // a timer: both are here. These sockets stay, so that none is counted which is about to be closed.
    let (first, mut firsts) = net::with_peer(cx, &notifier);
    firsts.write_all(b"first").unwrap();
    assert_eq!(&notifier.block_on(first.recv_pooled()).unwrap()[..], b"first");
    cx.settle(&notifier);
    let before = system::descriptors();
    for round in 0..cx.rounds(100) {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        let receiving = Task::pending(stream.recv_pooled());
        let mut sending =
            (round % 2 == 1).then(|| Task::new(stream.write_all_owned(vec![b'x'; MORE_THAN_FITS])));
        if round % 3 > 0 {
            notifier.poll(Some(Duration::ZERO)).unwrap();
        }
        if let Some(sending) = &mut sending {
            assert!(sending.poll().is_pending());
        }
        drop((receiving, sending));
        drop(stream);
        let reading = thread::spawn(move || {
            peer.set_read_timeout(Some(net::LIMIT)).unwrap();
            let mut all = Vec::new();
            // A reset is an end, too: something may have been unread.
            let ended = peer.read_to_end(&mut all);
            (ended.err().filter(|error| !net::is_gone(error)), all)
        });
        while !reading.is_finished() {
            cx.check_time("the end of the connection");
            notifier.poll(Some(Duration::from_millis(1))).unwrap();
        }
        let (error, all) = reading.join().unwrap();
        assert!(error.is_none(), "{error:?}");
        assert!(all.iter().all(|&byte| byte == b'x'));
    }
    cx.turn_until(&notifier, "every descriptor is closed", || system::descriptors() <= before);
    Ok(())
}
