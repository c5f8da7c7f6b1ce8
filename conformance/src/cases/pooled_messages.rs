//! Datagrams into buffers of the pool, with their senders: one receive after the other, several at once, given up, ended. Where
//! the kernel does it by itself, in a pool that is large enough to be shared with it, nothing of that shows.

use std::{
    cell::Cell,
    io::{ErrorKind, Write},
    net::{Shutdown, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{
    Closed, Notifier,
    buf::Lease,
    net::UdpSocket,
    socket::{RecvFlags, control::ControlBuf},
};

use crate::{
    Boxed, Cx, Outcome, Rng, SHORT, Task, join_all,
    net::{self, assert_bytes_at, bytes_at, soon, v4},
};

/// A pool of so many buffers is shared with the kernel, which takes three quarters of it in advance.
const COUNT: usize = 16;
const LEN: usize = 64;

fn with_pool(cx: &Cx) -> Notifier {
    cx.opened(cx.builder().buffers(COUNT, LEN).build().expect("a Notifier"))
}

/// A socket, where it is, and one of the standard library's that sends to it.
pub(super) fn receiver(notifier: &Notifier) -> (UdpSocket, SocketAddr, std::net::UdpSocket) {
    let socket = net::udp(notifier, v4());
    let to = socket.local_addr().unwrap();
    (socket, to, std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
}

/// Takes all buffers of the pool, and shows that there is none left behind anywhere.
fn all_buffers(notifier: &Notifier) -> Vec<(Lease, SocketAddr)> {
    let (socket, to, sender) = receiver(notifier);
    let take = |number: usize| {
        sender.send_to(&[number as u8], to).unwrap();
        let (lease, from) = soon(notifier, "every buffer", socket.recv_from_pooled()).unwrap();
        assert_eq!((&lease[..], from), (&[number as u8][..], sender.local_addr().unwrap()));
        (lease, from)
    };
    (0..COUNT).map(take).collect()
}

/// Of every length: empty ones are no end, and what is longer than a buffer is cut; before and after it is waited for, with the
/// sender and without, connected or not.
pub fn pooled_datagram_lengths(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    for at in net::locals(cx) {
        for connected in [false, true] {
            let socket = net::udp(&notifier, at);
            let to = socket.local_addr().unwrap();
            let sender = std::net::UdpSocket::bind(at).unwrap();
            let from = sender.local_addr().unwrap();
            if connected {
                soon(&notifier, "connecting", socket.connect(from)).unwrap();
            }
            for len in [0, 1, LEN - 1, LEN, 0, LEN + 1, 4 * LEN, 0] {
                let mut waiting = Task::pending(socket.recv_from_pooled());
                cx.settle(&notifier);
                sender.send_to(&bytes_at(len, len), to).unwrap();
                let (lease, said) = net::finish(cx, &notifier, "a datagram", &mut waiting).unwrap();
                assert_eq!((lease.len(), said), (len.min(LEN), from));
                assert_bytes_at(len, &lease);
                drop((waiting, lease));
                // And if it is there before, of both forms.
                for _ in 0..2 {
                    sender.send_to(&bytes_at(len, len), to).unwrap();
                }
                let (lease, said) = soon(&notifier, "one of two", socket.recv_from_pooled()).unwrap();
                assert_eq!((lease.len(), said), (len.min(LEN), from));
                assert_bytes_at(len, &lease);
                let lease = soon(&notifier, "the other", socket.recv_pooled()).unwrap();
                assert_eq!(lease.len(), len.min(LEN));
                assert_bytes_at(len, &lease);
            }
            assert_eq!(socket.try_recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    }
    drop(all_buffers(&notifier));
    Ok(())
}

/// Sockets that wait hold no buffer. Once all are taken receives wait for one, in order, and neither fail nor spin; nor does one that
/// waits for a datagram while the kernel has no buffer left and others have.
pub fn pooled_datagrams_run_dry(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let idle: Vec<_> = (0..3 * COUNT).map(|_| receiver(&notifier)).collect();
    let mut waiting: Vec<_> =
        idle.iter().map(|(socket, ..)| Task::pending(socket.recv_from_pooled())).collect();
    cx.assert_quiet(&notifier, "many that wait");
    let mut held = all_buffers(&notifier);
    cx.assert_quiet(&notifier, "a dry pool");

    let (socket, to, sender) = receiver(&notifier);
    for number in 0..4 {
        sender.send_to(&[number], to).unwrap();
    }
    let mut dry = Task::pending(socket.recv_from_pooled());
    let (empty, ..) = receiver(&notifier);
    let mut without = Task::pending(empty.recv_pooled());
    cx.assert_quiet(&notifier, "receives without a buffer");
    assert!(dry.poll().is_pending(), "there is no buffer");
    assert!(without.poll().is_pending());
    // A reader of another form does not wait for one.
    let mut byte = [0];
    assert_eq!(soon(&notifier, "borrowed all the same", socket.recv(&mut byte)).unwrap(), 1);
    assert_eq!(byte, [0]);
    held.pop();
    let (lease, from) = net::finish(cx, &notifier, "a buffer", &mut dry).unwrap();
    assert_eq!((&lease[..], from), (&[1][..], sender.local_addr().unwrap()));
    drop((dry, lease));

    // Three are there which the kernel has not.
    held.truncate(COUNT - 3);
    let mut dry = Task::new(empty.recv_from_pooled());
    drop(without);
    cx.settle(&notifier);
    assert!(dry.poll().is_pending());
    cx.assert_quiet(&notifier, "one that waits for a datagram");
    sender.send_to(b"late", empty.local_addr().unwrap()).unwrap();
    let (lease, _) = net::finish(cx, &notifier, "one of the last buffers", &mut dry).unwrap();
    assert_eq!(&lease[..], b"late");
    for number in 2..4 {
        let lease = soon(&notifier, "what was left", socket.recv_pooled()).unwrap();
        assert_eq!(lease[..], [number]);
    }
    held.clear();
    drop(lease);
    for ((_, to, sender), task) in idle.iter().zip(&mut waiting).rev() {
        sender.send_to(b"at last", to).unwrap();
        let (lease, from) = net::finish(cx, &notifier, "one of many", task).unwrap();
        assert_eq!((&lease[..], from), (&b"at last"[..], sender.local_addr().unwrap()));
    }
    drop(waiting);
    drop(all_buffers(&notifier));
    Ok(())
}

/// Polls `task` whenever it is woken: it neither ends nor spins.
#[track_caller]
fn assert_waits<R>(notifier: &Notifier, what: &str, task: &mut Task<'_, R>) {
    let (before, end) = (task.polls(), Instant::now() + 2 * SHORT);
    assert!(task.poll().is_pending(), "{what} is done");
    while Instant::now() < end {
        notifier.poll(Some(SHORT / 10)).unwrap();
        if task.is_woken() {
            assert!(task.poll().is_pending(), "{what} is done");
        }
    }
    let polls = task.polls() - before;
    assert!(polls <= 10, "{what}: {polls} polls in {:?}", 2 * SHORT);
}

/// While the kernel's part of the pool is used up, and there are buffers left for others, who waits for something to receive does
/// not spin; and what comes is received.
pub fn pooled_nearly_dry_is_quiet(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let (socket, to, sender) = receiver(&notifier);
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    for left in [3, 1, 2] {
        let mut held = all_buffers(&notifier);
        held.truncate(COUNT - left);
        let mut bytes = Task::pending(stream.recv_pooled());
        assert_waits(&notifier, "a stream's", &mut bytes);
        let mut with_sender = Task::pending(socket.recv_from_pooled());
        assert_waits(&notifier, "a datagram's", &mut with_sender);
        sender.send_to(b"datagram", to).unwrap();
        let (lease, _) = net::finish(cx, &notifier, "a datagram", &mut with_sender).unwrap();
        assert_eq!(&lease[..], b"datagram");
        held.push((lease, to));
        peer.write_all(b"bytes").unwrap();
        if left == 1 {
            assert_waits(&notifier, "one without a buffer", &mut bytes);
            held.clear();
        }
        let lease = net::finish(cx, &notifier, "bytes", &mut bytes).unwrap();
        assert_eq!(&lease[..], b"bytes");
    }
    Ok(())
}

/// Tells a thread that it is over, also if the case fails.
pub(super) struct EndOf<'a>(pub(super) &'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One socket with endless datagrams beside others with few, over a pool that the kernel shares: nobody starves.
pub fn pooled_datagrams_greedy(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let (greedy, to, flood) = receiver(&notifier);
    let over = &AtomicBool::new(false);
    let rounds = cx.rounds(50);
    thread::scope(|scope| {
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let _ = flood.send_to(&[b'x'; LEN], to);
            }
        });
        let _flood = EndOf(over);
        let modest: Vec<_> = (0..8).map(|_| receiver(&notifier)).collect();
        let others = join_all(modest.iter().map(|(socket, to, sender)| -> Boxed<'_, ()> {
            Box::pin(async move {
                for round in 0..rounds {
                    sender.send_to(&[round as u8], to).unwrap();
                    let lease = socket.recv_pooled().await.unwrap();
                    future::yield_now().await; // others ask while it is held
                    assert_eq!(lease[..], [round as u8]);
                }
            })
        }));
        let held = async {
            let mut held = std::collections::VecDeque::new();
            loop {
                held.push_back(greedy.recv_from_pooled().await.unwrap());
                if held.len() == COUNT / 2 {
                    held.pop_front();
                }
            }
        };
        soon(&notifier, "the modest", future::or(async { drop(others.await) }, held));
    });
    Ok(())
}

/// What arrives for a receive that was dropped waits for the next, of whatever form: whole, in order, with its sender.
pub fn dropped_pooled_receive_keeps_datagrams(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let (socket, to, sender) = receiver(&notifier);
    let from = sender.local_addr().unwrap();
    for form in 0..16 {
        let mut dropped = Task::new(socket.recv_from_pooled());
        let _ = dropped.poll();
        if form / 8 == 0 {
            cx.settle(&notifier); // it is in the kernel, or was not begun yet
        }
        for number in 0..3 {
            sender.send_to(&bytes_at(number * 40, 40 * (number % 2)), to).unwrap();
        }
        if form % 2 == 0 {
            cx.settle(&notifier); // it is done, and has not told anybody
        }
        drop(dropped);
        if form % 4 < 2 {
            cx.settle(&notifier);
        }
        for number in 0..3 {
            let mut buf = [0; LEN];
            let got = soon(&notifier, "a datagram", async {
                assert_eq!(socket.peek_sender().await.unwrap(), from);
                match form % 8 {
                    0 => socket.recv_from(&mut buf).await.unwrap(),
                    1 => (socket.recv(&mut buf).await.unwrap(), from),
                    2 => {
                        let (got, part) = socket.recv_from_owned(Vec::with_capacity(LEN)).await;
                        buf[..part.len()].copy_from_slice(&part);
                        got.unwrap()
                    }
                    3 => {
                        let lease = socket.recv_pooled().await.unwrap();
                        buf[..lease.len()].copy_from_slice(&lease);
                        (lease.len(), from)
                    }
                    4 => {
                        let mut room = [std::io::IoSliceMut::new(&mut buf)];
                        let mut control = ControlBuf::<0>::new();
                        let message =
                            socket.socket().recv_msg(&mut room, &mut control, RecvFlags::NONE).await;
                        let message = message.unwrap();
                        (message.len, message.from.unwrap().try_into().unwrap())
                    }
                    5 => {
                        let copy = |bytes: &[u8]| {
                            buf[..bytes.len()].copy_from_slice(bytes);
                            (bytes.len(), from)
                        };
                        socket.recv_with(copy).await.unwrap()
                    }
                    6 => {
                        socket.readable().await.unwrap();
                        loop {
                            match socket.try_recv_from(&mut buf) {
                                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                                    future::yield_now().await;
                                }
                                got => break got.unwrap(),
                            }
                        }
                    }
                    _ => {
                        let (lease, from) = socket.recv_from_pooled().await.unwrap();
                        buf[..lease.len()].copy_from_slice(&lease);
                        (lease.len(), from)
                    }
                }
            });
            assert_eq!(got, (40 * (number % 2), from), "form {form}, datagram {number}");
            assert_bytes_at(number * 40, &buf[..got.0]);
        }
        assert_eq!(socket.try_recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    drop(all_buffers(&notifier));
    Ok(())
}

/// Drops and limits race the arrival of datagrams, thousands of times, between receives of other forms: each is received once, in
/// order, with its sender, and every buffer comes back.
pub fn cancel_races_pooled_datagrams(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(20));
    let notifier = with_pool(cx);
    let rng = &mut Rng::new();
    let (socket, to, sender) = receiver(&notifier);
    let from = sender.local_addr().unwrap();
    let (mut sent, mut got, mut early) = (0_u32, 0_u32, 0);
    let end = cx.rounds(4_000) as u32;
    soon(&notifier, "all datagrams", async {
        while got < end {
            // As many as fit in the socket's queue for certain.
            while sent < end && sent < got + 16 && !rng.one_in(3) {
                sender.send_to(&sent.to_le_bytes(), to).unwrap();
                sent += 1;
            }
            let checked = |(bytes, sender): (Vec<u8>, SocketAddr)| {
                assert_eq!(sender, from);
                bytes
            };
            let number = match rng.below(8) {
                0..=2 => {
                    let limit = Duration::from_nanos(rng.below(50_000) as u64);
                    let received = pike::time::timeout(limit, socket.recv_from_pooled()).await;
                    received
                        .ok()
                        .map(|received| received.unwrap())
                        .map(|(lease, from)| (lease.to_vec(), from))
                }
                3 => {
                    let lease = future::poll_once(socket.recv_pooled()).await;
                    lease.map(|lease| (lease.unwrap().to_vec(), from))
                }
                4 => {
                    let mut buf = [0; 16];
                    let received = future::poll_once(socket.recv_from(&mut buf)).await;
                    received
                        .map(|received| received.unwrap())
                        .map(|(count, from)| (buf[..count].to_vec(), from))
                }
                5 => {
                    let received = future::poll_once(socket.recv_from_owned(Vec::with_capacity(16))).await;
                    received.map(|(received, buf)| (buf, received.unwrap().1))
                }
                _ => {
                    let mut receiving = Box::pin(socket.recv_from_pooled());
                    let mut received = None;
                    for _ in 0..rng.below(4) {
                        received = future::poll_once(receiving.as_mut()).await;
                        if received.is_some() {
                            break;
                        }
                        future::yield_now().await;
                    }
                    received.map(|received| received.unwrap()).map(|(lease, from)| (lease.to_vec(), from))
                }
            };
            match number.map(checked) {
                Some(number) => {
                    assert_eq!(u32::from_le_bytes(number.try_into().unwrap()), got);
                    got += 1;
                }
                None => {
                    early += 1;
                    future::yield_now().await;
                }
            }
        }
    });
    assert!(early > 0, "no race");
    assert!(Task::new(socket.recv_pooled()).poll().is_pending(), "one too many");
    drop(all_buffers(&notifier));
    Ok(())
}

/// Readers of every form wait on one socket at once: each datagram goes to one of them, and none waits while there is one.
pub fn pooled_datagrams_beside_other_readers(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let (socket, to, sender) = receiver(&notifier);
    let from = sender.local_addr().unwrap();
    let total = cx.rounds(2_000) as u32;
    let (socket, got) = (&socket, &Cell::new(0_u32));
    let take = |bytes: &[u8], said: SocketAddr, last: &mut Option<u32>| {
        let number = u32::from_le_bytes(bytes.try_into().unwrap());
        assert!(last.replace(number) < Some(number) && said == from);
        got.set(got.get() + 1);
    };
    let reader = |form: usize| async move {
        let mut last = None;
        while got.get() < total {
            match form % 4 {
                0 | 1 => {
                    let (lease, from) = socket.recv_from_pooled().await.unwrap();
                    take(&lease, from, &mut last);
                }
                2 => {
                    let mut buf = [0; 8];
                    let (count, from) = socket.recv_from(&mut buf).await.unwrap();
                    take(&buf[..count], from, &mut last);
                }
                _ => {
                    let (received, buf) = socket.recv_from_owned(Vec::with_capacity(8)).await;
                    take(&buf, received.unwrap().1, &mut last);
                }
            }
            if form % 3 == 0 {
                future::yield_now().await;
            }
        }
        future::pending().await
    };
    soon(&notifier, "all datagrams", async {
        let sending = async {
            let mut sent = 0_u32;
            while got.get() < total {
                while sent < total && sent < got.get() + 8 {
                    sender.send_to(&sent.to_le_bytes(), to).unwrap();
                    sent += 1;
                }
                future::yield_now().await;
            }
        };
        // Those that wait are dropped at the end, in the kernel or not.
        let readers = async {
            let all =
                (0..6).map(|form| Box::pin(reader(form)) as std::pin::Pin<Box<dyn Future<Output = ()>>>);
            let mut all: Vec<_> = all.collect();
            future::poll_fn(|cx| {
                all.iter_mut().for_each(|one| _ = one.as_mut().poll(cx));
                Poll::<()>::Pending
            })
            .await;
        };
        future::or(sending, readers).await;
    });
    assert_eq!(got.get(), total);
    cx.settle(&notifier);
    assert_eq!(socket.try_recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(all_buffers(&notifier));
    Ok(())
}

/// A cancelled socket, a Notifier that is gone: who waits gets `Closed`, and what was received by then is good for ever. A socket that
/// is dropped with a receive under way is closed at once, and its port is another's.
pub fn pooled_datagrams_end_with_closed(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let (socket, to, sender) = receiver(&notifier);
    for settles in [true, false] {
        let dropped = Task::pending(socket.recv_from_pooled());
        if settles {
            cx.settle(&notifier);
        }
        drop(dropped);
    }
    let waiting = Task::pending(socket.recv_from_pooled());
    cx.settle(&notifier);
    sender.send_to(b"nobody's", to).unwrap();
    drop(waiting);
    drop(socket);
    let socket = net::udp(&notifier, to);
    sender.send_to(b"ours", to).unwrap();
    let (lease, _) = soon(&notifier, "on the same port", socket.recv_from_pooled()).unwrap();
    assert_eq!(&lease[..], b"ours");
    drop(lease);
    let held = all_buffers(&notifier);
    assert_eq!(held.len(), COUNT);
    drop(held);

    let mut waiting = Task::pending(socket.recv_from_pooled());
    cx.settle(&notifier);
    socket.socket().cancel();
    let error = net::finish(cx, &notifier, "cancelled", &mut waiting).unwrap_err();
    assert!(Closed::is(&error), "{error}");
    let error = soon(&notifier, "after the cancel", socket.recv_pooled()).unwrap_err();
    assert!(Closed::is(&error), "{error}");
    drop(waiting);

    let sockets: Vec<_> = (0..COUNT).map(|_| receiver(&notifier)).collect();
    let mut waiting: Vec<_> =
        sockets.iter().map(|(socket, ..)| Task::pending(socket.recv_from_pooled())).collect();
    cx.settle(&notifier);
    let (_, to, sender) = &sockets[0];
    sender.send_to(b"kept", to).unwrap();
    let (kept, _) = net::finish(cx, &notifier, "one datagram", &mut waiting[0]).unwrap();
    for (_, to, sender) in &sockets[1..4] {
        sender.send_to(b"late", to).unwrap(); // for who is gone before, or never asks
    }
    cx.settle(&notifier);
    drop(waiting.remove(2));
    drop(notifier);
    for task in &mut waiting[3..] {
        assert!(task.is_woken());
        let error = task.ready().unwrap_err();
        assert!(Closed::is(&error), "{error}");
    }
    drop(waiting);
    drop(sockets);
    thread::spawn(move || assert_eq!(&kept[..], b"kept")).join().unwrap();
    Ok(())
}

/// A refusal is told once, to who waits or to the next, also if who waited was dropped.
pub fn pooled_datagrams_refused_once(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    for (waits, drops) in [(false, false), (true, false), (true, true)] {
        let socket = net::udp(&notifier, v4());
        let (peer, refuses) = net::nobody_udp(&notifier, v4());
        soon(&notifier, "a connect", socket.connect(refuses)).unwrap();
        cx.settle(&notifier);
        let mut receiving = Task::new(socket.recv_from_pooled());
        if waits {
            assert!(receiving.poll().is_pending());
            cx.settle(&notifier);
        }
        assert_eq!(soon(&notifier, "a send to nobody", socket.send(b"x")).unwrap(), 1);
        cx.settle(&notifier);
        if drops {
            receiving = Task::new(socket.recv_from_pooled());
        }
        match net::finish(cx, &notifier, "a refusal", &mut receiving) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            other => panic!("waits: {waits}, drops: {drops}: {other:?}"),
        }
        drop(receiving);
        let mut waiting = Task::pending(socket.recv_from_pooled());
        cx.assert_quiet(&notifier, "after a refusal was reported");
        assert!(!waiting.is_woken() || waiting.poll().is_pending(), "the refusal was reported twice");

        soon(&notifier, "a connect", peer.connect(socket.local_addr().unwrap())).unwrap();
        soon(&notifier, "somebody is there now", peer.send(b"pong")).unwrap();
        let (lease, from) = net::finish(cx, &notifier, "a datagram", &mut waiting).unwrap();
        assert_eq!((&lease[..], from), (&b"pong"[..], refuses));
    }
    Ok(())
}

/// Its own shutdown of reading ends a receive that waits, and every later one, with nothing.
pub fn pooled_datagrams_own_shutdown(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx);
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    soon(&notifier, "connecting", one.connect(other.local_addr().unwrap())).unwrap();
    let mut waiting = Task::pending(one.recv_pooled());
    cx.settle(&notifier);
    one.socket().shutdown(Shutdown::Read).unwrap();
    assert!(net::finish(cx, &notifier, "the end, of one who waited", &mut waiting).unwrap().is_empty());
    drop(waiting);
    for _ in 0..3 {
        assert!(soon(&notifier, "the end", one.recv_pooled()).unwrap().is_empty());
    }
    drop(all_buffers(&notifier));
    Ok(())
}
