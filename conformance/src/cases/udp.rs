//! UDP: datagrams with and without a peer, their sizes, peeks, refusals, several tasks.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
};

use pike::{
    Closed, Interest,
    net::UdpSocket,
    socket::{Type, option},
};

use super::udp_errors::bind;
use crate::{
    Cx, Outcome, Task,
    net::{self, LIMIT, assert_kind, soon, v4, v6},
    skip,
    system::{self, code},
};

/// Datagrams between two sockets, with the sender's address; sockets of std's come and go.
pub fn udp_unconnected_v4(cx: &Cx) -> Outcome {
    unconnected_at(cx, v4());
    from_std_and_back(cx);
    Ok(())
}

/// The same over IPv6, with the addresses in full width.
pub fn udp_unconnected_v6(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    unconnected_at(cx, v6());
    if let Some(local) = net::link_local() {
        unconnected_at(cx, local.into());
    }
    Ok(())
}

fn unconnected_at(cx: &Cx, at: SocketAddr) {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, at), net::udp(&notifier, at));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    assert_eq!(here.ip(), at.ip());
    assert_ne!(here.port(), 0);
    system::assert_ours(&one);
    let mut buf = [0; 64];
    for round in 0..10_u8 {
        let message = vec![round; usize::from(round) + 1];
        let mut receiving = Task::pending(other.recv_from(&mut buf));
        assert_eq!(soon(&notifier, "a send", one.send_to(&message, there)).unwrap(), message.len());
        let (n, from) = net::finish(cx, &notifier, "a datagram", &mut receiving).unwrap();
        drop(receiving);
        assert_eq!((&buf[..n], from), (&message[..], here));
        assert_eq!(soon(&notifier, "an answer", other.send_to(b"answer", from)).unwrap(), 6);
        let (n, from) = soon(&notifier, "the answer", one.recv_from(&mut buf)).unwrap();
        assert_eq!((&buf[..n], from), (&b"answer"[..], there));
    }
    // Without an own address it is received as well.
    soon(&notifier, "a send", one.send_to(b"plain", there)).unwrap();
    assert_eq!(soon(&notifier, "a receive", other.recv(&mut buf)).unwrap(), 5);
}

fn from_std_and_back(cx: &Cx) {
    let notifier = cx.notifier();
    let peer = std::net::UdpSocket::bind(v4()).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    let there = peer.local_addr().unwrap();
    for connected in [false, true] {
        let std = std::net::UdpSocket::bind(v4()).unwrap();
        if connected {
            std.connect(there).unwrap();
        }
        system::assert_blocks(&std);
        let here = std.local_addr().unwrap();
        let socket = {
            let _here = notifier.enter();
            UdpSocket::from_std(std).unwrap()
        };
        system::assert_ours(&socket);
        assert_eq!(socket.local_addr().unwrap(), here);
        let mut buf = [0; 16];
        let mut receiving = Task::pending(socket.recv_from(&mut buf));
        peer.send_to(b"ping", here).unwrap();
        let got = net::finish(cx, &notifier, "a datagram to a foreign socket", &mut receiving);
        assert_eq!(got.unwrap(), (4, there));
        drop(receiving);
        if connected {
            assert_eq!(socket.peer_addr().unwrap(), there);
            soon(&notifier, "a send", socket.send(b"pong")).unwrap();
        } else {
            assert_kind(&socket.peer_addr().unwrap_err(), &[ErrorKind::NotConnected]);
            soon(&notifier, "a send", socket.send_to(b"pong", there)).unwrap();
        }
        assert_eq!(peer.recv_from(&mut buf).unwrap(), (4, here));
        let std = socket.into_std().unwrap();
        assert!(system::register_again(&notifier, &std).is_none(), "into_std leaves it registered");
        std.send_to(b"std", there).or_else(|_| std.send(b"std")).unwrap();
        assert_eq!(peer.recv_from(&mut buf).unwrap(), (3, here));
    }
}

/// With a peer only that is sent to and heard.
pub fn udp_connected_v4(cx: &Cx) -> Outcome {
    connected_at(cx, v4());
    Ok(())
}

/// The same over IPv6.
pub fn udp_connected_v6(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    connected_at(cx, v6());
    Ok(())
}

fn connected_at(cx: &Cx, at: SocketAddr) {
    let notifier = cx.notifier();
    let [one, other, stranger] = [(); 3].map(|()| net::udp(&notifier, at));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    soon(&notifier, "a connect", one.connect(there)).unwrap();
    soon(&notifier, "a connect", other.connect(here)).unwrap();
    assert_eq!((one.peer_addr().unwrap(), other.peer_addr().unwrap()), (there, here));
    let mut buf = [0; 16];
    let mut receiving = Task::pending(other.recv(&mut buf));
    soon(&notifier, "a stranger's send", stranger.send_to(b"stranger", there)).unwrap();
    soon(&notifier, "a send", one.send(b"friend")).unwrap();
    assert_eq!(net::finish(cx, &notifier, "a datagram of the peer", &mut receiving).unwrap(), 6);
    drop(receiving);
    assert_eq!(&buf[..6], b"friend");
    soon(&notifier, "a send", one.send(b"two")).unwrap();
    for _ in 0..2 {
        assert_eq!(soon(&notifier, "a peek", other.peek(&mut buf)).unwrap(), 3);
    }
    assert_eq!(soon(&notifier, "a receive with its sender", other.recv_from(&mut buf)).unwrap(), (3, here));
    drop(Task::pending(other.recv(&mut buf)));

    // A socket that the Notifier knows already loses nothing by its connect: neither its room nor its data.
    let late = net::udp(&notifier, at);
    soon(&notifier, "a send", stranger.send_to(b"early", late.local_addr().unwrap())).unwrap();
    cx.settle(&notifier);
    soon(&notifier, "a connect", late.connect(stranger.local_addr().unwrap())).unwrap();
    soon(&notifier, "room after a connect", late.writable()).unwrap();
    soon(&notifier, "what came before a connect", late.readable()).unwrap();
    assert_eq!(soon(&notifier, "what came before a connect", late.recv(&mut buf)).unwrap(), 5);
}

/// Too long, empty, too long to send, out of several slices: a datagram is whole, or cut at the receiver only.
pub fn udp_datagram_sizes(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    let send = |bytes: &[u8]| {
        assert_eq!(soon(&notifier, "a send", one.send_to(bytes, there)).unwrap(), bytes.len());
        soon(&notifier, "its arrival", other.readable()).unwrap();
    };

    const LONG: &[u8] = b"0123456789";
    let mut buf = [0; 4];
    type Receive<'a> = &'a dyn Fn(&mut [u8]) -> io::Result<usize>;
    let forms: [(&str, Receive<'_>); 6] = [
        ("recv", &|buf| soon(&notifier, "recv", other.recv(buf))),
        ("recv_from", &|buf| soon(&notifier, "recv_from", other.recv_from(buf)).map(|(n, _)| n)),
        ("try_recv", &|buf| other.try_recv(buf)),
        ("try_recv_from", &|buf| other.try_recv_from(buf).map(|(n, _)| n)),
        ("read_vectored", &|buf| {
            soon(&notifier, "read_vectored", other.socket().read_vectored(&mut [IoSliceMut::new(buf)]))
        }),
        ("poll_recv", &|buf| soon(&notifier, "poll_recv", poll_fn(|cx| other.poll_recv(cx, buf)))),
    ];
    for (name, receive) in forms {
        send(LONG);
        send(b"next");
        assert_eq!(soon(&notifier, "peek_from", other.peek_from(&mut buf)).unwrap(), (4, here), "{name}");
        assert_eq!(other.try_peek_from(&mut buf).unwrap(), (4, here), "{name}");
        let n = receive(&mut buf)
            .unwrap_or_else(|error| panic!("{name} of a datagram that is too long: {error}"));
        assert_eq!(&buf[..n], b"0123", "{name}");
        let n = receive(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"next", "{name}: the rest was not thrown away");
    }
    send(LONG);
    assert_eq!(soon(&notifier, "a lent datagram", other.recv_with(<[u8]>::to_vec)).unwrap(), LONG);

    // Empty ones are no end of file.
    for _ in 0..2 {
        send(b"");
        send(b"full");
        assert_eq!(soon(&notifier, "an empty datagram", other.recv_from(&mut buf)).unwrap(), (0, here));
        assert_eq!(soon(&notifier, "the one behind it", other.recv(&mut buf)).unwrap(), 4);
    }
    send(b"");
    send(b"full");
    assert_eq!(soon(&notifier, "an empty datagram, lent", other.recv_with(<[u8]>::to_vec)).unwrap(), b"");
    assert_eq!(soon(&notifier, "the one behind it, lent", other.recv_with(<[u8]>::to_vec)).unwrap(), b"full");
    drop(Task::pending(other.recv(&mut buf)));

    let huge = vec![0; 65_536];
    let error = soon(&notifier, "more than a datagram", one.send_to(&huge, there)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(code::EMSGSIZE), "{error:?}");
    send(b"next");
    assert_eq!(soon(&notifier, "the next one", other.recv(&mut buf)).unwrap(), 4);

    gathered(cx);
    Ok(())
}

/// One datagram out of several slices and into several.
fn gathered(cx: &Cx) {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    soon(&notifier, "a connect", one.connect(other.local_addr().unwrap())).unwrap();
    let slices = [&b"ab"[..], b"", b"cde", b"f"].map(IoSlice::new);
    assert_eq!(soon(&notifier, "a gathered send", one.socket().write_vectored(&slices)).unwrap(), 6);
    assert_eq!(one.socket().try_write_vectored(&slices).unwrap(), 6);
    let (mut head, mut tail) = ([0; 4], [0; 8]);
    for _ in 0..2 {
        let mut parts = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        let n = soon(&notifier, "a scattered receive", other.socket().read_vectored(&mut parts)).unwrap();
        assert_eq!((n, &head, &tail[..2]), (6, b"abcd", &b"ef"[..]));
    }

    // More slices than the system takes: all of them, or an error and nothing.
    let many: Vec<_> = (0..1_500).map(|_| IoSlice::new(b"x")).collect();
    let mut buf = [0; 4096];
    match soon(&notifier, "a send of many slices", one.socket().write_vectored(&many)) {
        Ok(sent) => {
            let got = soon(&notifier, "a datagram of many slices", other.recv(&mut buf)).unwrap();
            assert_eq!((sent, got), (1_500, 1_500), "a datagram was cut at its sender");
        }
        Err(error) => {
            assert!(
                matches!(error.kind(), ErrorKind::InvalidInput)
                    || error.raw_os_error() == Some(code::EMSGSIZE)
            );
            soon(&notifier, "a send", one.send(b"next")).unwrap();
            assert_eq!(soon(&notifier, "the next one", other.recv(&mut buf)).unwrap(), 4);
        }
    }
}

/// Every peek leaves the datagram, repeats itself, waits when there is none and never makes the socket look drained.
pub fn udp_peek(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    cx.settle(&notifier);
    let (mut buf, mut small) = ([0; 16], [0; 2]);
    assert_eq!(other.try_peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(other.try_peek_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(other.try_peek_sender().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut polling = Task::pending(poll_fn(|cx| other.poll_peek_sender(cx)));
    let mut wide = [0; 16];
    let mut peeks = [
        Task::pending(async { other.peek(&mut wide).await.map(|n| (n, here)) }),
        Task::pending(async { other.peek_sender().await.map(|from| (4, from)) }),
        Task::pending(other.peek_from(&mut small)),
    ];
    soon(&notifier, "a send", one.send_to(b"ping", there)).unwrap();
    // Each leaves the datagram, and so wakes the next.
    let expected = [(4, here), (4, here), (2, here)];
    for (peek, expected) in peeks.iter_mut().zip(expected) {
        assert_eq!(net::finish(cx, &notifier, "a peek", peek).unwrap(), expected);
    }
    drop(peeks);
    assert_eq!(net::finish(cx, &notifier, "a sender by polling", &mut polling).unwrap(), here);
    assert_eq!(&wide[..4], b"ping");
    for _ in 0..3 {
        // No turn in between: whatever a peek said, the socket is not drained.
        assert_eq!(Task::new(other.peek(&mut buf)).ready().unwrap(), 4);
        assert_eq!(Task::new(other.peek(&mut small)).ready().unwrap(), 2);
        assert_eq!(Task::new(other.peek_from(&mut buf)).ready().unwrap(), (4, here));
        assert_eq!(Task::new(other.peek_sender()).ready().unwrap(), here);
        assert_eq!(other.try_peek(&mut buf).unwrap(), 4);
        assert_eq!(other.try_peek_from(&mut small).unwrap(), (2, here));
        assert_eq!(other.try_peek_sender().unwrap(), here);
        assert_eq!(Task::new(poll_fn(|cx| other.poll_peek_sender(cx))).ready().unwrap(), here);
        assert_eq!(Task::new(poll_fn(|cx| other.poll_peek(cx, &mut small))).ready().unwrap(), 2);
        let polled = poll_fn(|cx| other.poll_peek_from(cx, &mut buf));
        assert_eq!(Task::new(polled).ready().unwrap(), (4, here));
    }
    assert_eq!(Task::new(other.recv_from(&mut buf)).ready().unwrap(), (4, here));
    assert_eq!(&buf[..4], b"ping");
    drop(Task::pending(other.peek_sender()));
    Ok(())
}

/// The forms that do not wait and those for hand-written futures: `WouldBlock` or a registered waker, and then success.
pub fn udp_try_and_poll_forms(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    soon(&notifier, "a connect", one.connect(there)).unwrap();

    // Readiness: room at once, data only when there is some.
    soon(&notifier, "room", one.writable()).unwrap();
    soon(&notifier, "room", other.writable()).unwrap();
    let ready = soon(&notifier, "either", other.ready(Interest::READABLE | Interest::WRITABLE)).unwrap();
    assert!(ready.is_writable() && !ready.is_readable(), "{ready:?}");
    let mut buf = [0; 16];
    assert_eq!(other.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(other.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut readable = Task::pending(other.readable());
    assert_eq!(one.try_send(b"one").unwrap(), 3);
    net::finish(cx, &notifier, "data", &mut readable).unwrap();
    assert_eq!(other.try_recv_from(&mut buf).unwrap(), (3, here));
    assert_eq!(other.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(Task::pending(other.readable()));
    assert_eq!(other.try_send_to(b"two", here).unwrap(), 3);
    soon(&notifier, "data", one.readable()).unwrap();
    assert_eq!(one.try_recv(&mut buf).unwrap(), 3);

    // Many, of a sender on another thread, who waits for an answer every 20.
    let count = cx.rounds(2_000);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buf = [0; 16];
            for number in 0..count as u32 {
                loop {
                    match one.try_send(&number.to_le_bytes()) {
                        Ok(n) => break assert_eq!(n, 4),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                    soon(&notifier, "room", one.writable()).unwrap();
                }
                if number % 20 == 19 {
                    soon(&notifier, "an answer", one.recv(&mut buf)).unwrap();
                }
            }
        });
        notifier.block_on(async {
            let (mut next, mut buf) = (0, [0; 16]);
            while next < count as u32 {
                pike::time::timeout(LIMIT, other.readable()).await.expect("a datagram is lost").unwrap();
                loop {
                    match other.try_recv_from(&mut buf) {
                        Ok((n, from)) => {
                            assert_eq!((&buf[..n], from), (&next.to_le_bytes()[..], here));
                            next += 1;
                            if next % 20 == 0 {
                                other.send_to(b"go on", here).await.unwrap();
                            }
                        }
                        Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
            }
        });
    });

    let mut first = Task::new(poll_fn(|cx| other.poll_recv_from(cx, &mut buf)));
    assert!(first.poll().is_pending());
    let sent = poll_fn(|cx| one.poll_send(cx, b"three"));
    assert_eq!(soon(&notifier, "poll_send", sent).unwrap(), 5);
    cx.turn_until(&notifier, "a datagram for a poll form", || first.is_woken());
    assert_eq!(first.ready().unwrap(), (5, here));
    drop(first);
    let mut second = Task::new(poll_fn(|cx| one.poll_recv(cx, &mut buf)));
    assert!(second.poll().is_pending());
    let sent = poll_fn(|cx| other.poll_send_to(cx, b"four", here));
    assert_eq!(soon(&notifier, "poll_send_to", sent).unwrap(), 4);
    cx.turn_until(&notifier, "a datagram for a poll form", || second.is_woken());
    assert_eq!(second.ready().unwrap(), 4);
    drop(second);

    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(other.poll_send_ready(&mut context), Poll::Ready(Ok(()))));
    let mut ready = Task::new(poll_fn(|cx| other.poll_recv_ready(cx)));
    // Until a call has found the socket empty, it may still say yes.
    while let Poll::Ready(result) = ready.poll() {
        result.unwrap();
        assert_eq!(other.try_recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        ready = Task::new(poll_fn(|cx| other.poll_recv_ready(cx)));
    }
    soon(&notifier, "a send", one.send(b"five")).unwrap();
    cx.turn_until(&notifier, "poll_recv_ready", || ready.is_woken());
    ready.ready().unwrap();
    Ok(())
}

/// A hundred datagrams behind one report come in order; then a receive waits, and the next report comes.
pub fn udp_many_in_a_row(cx: &Cx) -> Outcome {
    const COUNT: u8 = 100;
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (here, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    cx.settle(&notifier);
    let mut buf = [0; 8];
    for with_sender in [false, true] {
        drop(Task::pending(other.recv(&mut buf)));
        for number in 0..COUNT {
            assert_eq!(one.try_send_to(&[number], there).unwrap(), 1);
        }
        soon(&notifier, "the report", other.readable()).unwrap();
        cx.settle(&notifier);
        for number in 0..COUNT {
            // No turn from here on.
            if with_sender {
                assert_eq!(Task::new(other.recv_from(&mut buf)).ready().unwrap(), (1, here));
            } else {
                assert_eq!(Task::new(other.recv(&mut buf)).ready().unwrap(), 1);
            }
            assert_eq!(buf[0], number);
        }
        let mut waiting = Task::pending(other.recv_from(&mut buf));
        assert_eq!(one.try_send_to(b"next", there).unwrap(), 4);
        assert_eq!(net::finish(cx, &notifier, "the next report", &mut waiting).unwrap(), (4, here));
    }
    Ok(())
}

/// One socket of several tasks and threads: each datagram is received once.
pub fn udp_shared_by_tasks(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (shared, peer) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let there = peer.local_addr().unwrap();
    soon(&notifier, "a connect", peer.connect(shared.local_addr().unwrap())).unwrap();

    // Sends and receives of one socket on two threads. The peer answers with what it gets.
    let count = cx.rounds(500) as u32;
    let sender_may_go_on = AtomicUsize::new(16);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buf = [0; 16];
            for _ in 0..count {
                let n = soon(&notifier, "a datagram", peer.recv(&mut buf)).unwrap();
                soon(&notifier, "its echo", peer.send(&buf[..n])).unwrap();
            }
        });
        scope.spawn(|| {
            for number in 0..count {
                cx.until("the receiver is stuck", || (number as usize) < sender_may_go_on.load(SeqCst));
                soon(&notifier, "a send", shared.send_to(&number.to_le_bytes(), there)).unwrap();
            }
        });
        let mut buf = [0; 16];
        for number in 0..count {
            assert_eq!(soon(&notifier, "an echo", shared.recv_from(&mut buf)).unwrap(), (4, there));
            assert_eq!(&buf[..4], &number.to_le_bytes());
            sender_may_go_on.fetch_add(1, SeqCst);
        }
    });

    // Several receivers, on threads: together they get each once.
    let seen = Mutex::new(vec![0; count as usize]);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                notifier.block_on(async {
                    let mut buf = [0; 16];
                    loop {
                        let n = shared.recv(&mut buf).await.unwrap();
                        if n == 0 {
                            return;
                        }
                        let number = u32::from_le_bytes(buf[..4].try_into().unwrap());
                        seen.lock().unwrap()[number as usize] += 1;
                        total.fetch_add(1, SeqCst);
                    }
                });
            });
        }
        for number in 0..count {
            // No more under way than any receive buffer takes.
            cx.until("a datagram is lost", || number as usize <= total.load(SeqCst) + 16);
            soon(&notifier, "a send", peer.send(&number.to_le_bytes())).unwrap();
        }
        cx.until("a datagram is lost", || total.load(SeqCst) == count as usize);
        for _ in 0..3 {
            soon(&notifier, "the end", peer.send(b"")).unwrap();
        }
    });
    assert!(seen.lock().unwrap().iter().all(|&times| times == 1), "not each once");

    // Who began to wait first is woken first, also if it was polled again meanwhile, as in a select.
    let (mut buf_first, mut buf_second) = ([0; 4], [0; 4]);
    let mut first = Task::pending(shared.recv(&mut buf_first));
    let mut second = Task::pending(shared.recv(&mut buf_second));
    assert!(first.poll().is_pending());
    soon(&notifier, "a send", peer.send(b"one")).unwrap();
    cx.turn_until(&notifier, "one of two receivers", || first.is_woken() || second.is_woken());
    assert!(first.is_woken(), "a receiver that was polled again has lost its place");
    first.ready().unwrap();
    soon(&notifier, "a send", peer.send(b"two")).unwrap();
    net::finish(cx, &notifier, "the second of two receivers", &mut second).unwrap();
    drop((first, second));

    shared.socket().cancel();
    assert!(Closed::is(&soon(&notifier, "a receive", shared.recv(&mut [0; 4])).unwrap_err()));
    Ok(())
}

/// A socket on `::` hears IPv4, from mapped addresses, unless `V6Only` is set.
pub fn udp_dual_stack(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    let notifier = cx.notifier();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let sender = net::udp(&notifier, v4());
    let mut buf = [0; 16];
    for v6only in [true, false] {
        // With V6Only its port is held for IPv4 by another, so that it is known where the datagram goes.
        let (socket, port, v4_only) = loop {
            let socket = net::bare(&notifier, any, Type::Datagram);
            if let Err(error) = socket.set(option::V6Only, v6only) {
                skip!("this system has no dual-stack sockets: {error}");
            }
            socket.bind(any).unwrap();
            let port = net::internet(socket.local_addr()).port();
            let socket = UdpSocket::try_from(socket).unwrap();
            match v6only.then(|| bind(&notifier, (Ipv4Addr::LOCALHOST, port).into())).transpose() {
                Ok(v4_only) => break (socket, port, v4_only),
                Err(_) => cx.check_time("no port is free for both"),
            }
        };
        let mut receiving = Task::pending(socket.recv_from(&mut buf));
        if let Some(v4_only) = v4_only {
            soon(&notifier, "a send", sender.send_to(b"v4", (Ipv4Addr::LOCALHOST, port).into())).unwrap();
            assert_eq!(soon(&notifier, "a receive", v4_only.recv(&mut [0; 4])).unwrap(), 2);
            cx.settle(&notifier);
            assert!(!receiving.is_woken() || receiving.poll().is_pending(), "IPv4 for an IPv6-only socket");
            let v6_sender = net::udp(&notifier, v6());
            soon(&notifier, "a send", v6_sender.send_to(b"v6", (Ipv6Addr::LOCALHOST, port).into())).unwrap();
            let (n, from) = net::finish(cx, &notifier, "an IPv6 datagram", &mut receiving).unwrap();
            assert_eq!((n, from), (2, v6_sender.local_addr().unwrap()));
            continue;
        }
        soon(&notifier, "a send", sender.send_to(b"v4", (Ipv4Addr::LOCALHOST, port).into())).unwrap();
        let (n, from) = net::finish(cx, &notifier, "an IPv4 datagram", &mut receiving).unwrap();
        drop(receiving);
        let mapped = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), sender.local_addr().unwrap().port());
        assert_eq!((n, from), (2, mapped.into()));
        soon(&notifier, "an answer to a mapped address", socket.send_to(b"back", from)).unwrap();
        assert_eq!(soon(&notifier, "the answer", sender.recv(&mut buf)).unwrap(), 4);
    }
    Ok(())
}
