//! What is refused on a UDP socket, and what a refusal leaves behind.

use std::{
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Notifier,
    net::UdpSocket,
    socket::{
        RecvFlags, SendFlags, Type, UnixAddress,
        control::{Control, ControlBuf},
        option,
    },
};

use crate::{
    Cx, Outcome, Task, calling,
    net::{self, assert_kind, soon, v4, v6},
    system::{self, code},
};

/// Calls of the wrong kind of socket say what the system says; another peer, or one that is refused, loses nothing.
pub fn udp_wrong_mode(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let [socket, first, second] = [(); 3].map(|()| net::udp(&notifier, v4()));
    let here = socket.local_addr().unwrap();
    let mut buf = [0; 16];
    let error = soon(&notifier, "a send to nobody", socket.send(b"x")).unwrap_err();
    assert!(
        [code::EDESTADDRREQ, code::ENOTCONN].iter().any(|&code| error.raw_os_error() == Some(code)),
        "{error:?}"
    );
    soon(&notifier, "a send", first.send_to(b"hello", here)).unwrap();
    assert_eq!(soon(&notifier, "a receive of anyone's", socket.recv(&mut buf)).unwrap(), 5);

    soon(&notifier, "a connect", socket.connect(first.local_addr().unwrap())).unwrap();
    match soon(&notifier, "send_to with a peer", socket.send_to(b"aside", second.local_addr().unwrap())) {
        Ok(n) => {
            assert_eq!(n, 5);
            assert_eq!(soon(&notifier, "a receive", second.recv_from(&mut buf)).unwrap(), (5, here));
        }
        Err(error) => assert_eq!(error.raw_os_error(), Some(code::EISCONN), "{error:?}"),
    }

    // Another peer, while a receive waits.
    cx.settle(&notifier);
    let mut receiving = Task::pending(socket.recv_from(&mut buf));
    soon(&notifier, "another connect", socket.connect(second.local_addr().unwrap())).unwrap();
    assert_eq!(socket.peer_addr().unwrap(), second.local_addr().unwrap());
    soon(&notifier, "a send of the former peer", first.send_to(b"former", here)).unwrap();
    soon(&notifier, "a send", second.send_to(b"new peer", here)).unwrap();
    let got = net::finish(cx, &notifier, "a datagram of the new peer", &mut receiving).unwrap();
    drop(receiving);
    assert_eq!(got, (8, second.local_addr().unwrap()));
    drop(Task::pending(socket.recv(&mut buf)));
    soon(&notifier, "a send to the new peer", socket.send(b"to second")).unwrap();
    assert_eq!(soon(&notifier, "a receive", second.recv_from(&mut buf)).unwrap(), (9, here));
    assert_eq!(first.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);

    // A connect that fails changes nothing.
    if cx.needs_v6().is_ok() {
        soon(&notifier, "a send", second.send_to(b"kept", here)).unwrap();
        cx.settle(&notifier);
        let error = soon(&notifier, "a peer of the wrong family", socket.connect("[::1]:9")).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error:?}");
        assert_eq!(
            soon(&notifier, "a receive after a connect that failed", socket.recv(&mut buf)).unwrap(),
            4
        );
        assert_eq!(soon(&notifier, "a send after a connect that failed", socket.send(b"x")).unwrap(), 1);
        assert_eq!(soon(&notifier, "a receive", second.recv(&mut buf)).unwrap(), 1);
    }
    Ok(())
}

/// More than the send buffer takes: a sender of many waits or goes on, comes to its end, and no datagram is cut.
pub fn udp_send_buffer_full(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    one.socket().set(option::SendBufferSize, 8 * 1024).unwrap();
    soon(&notifier, "a connect", one.connect(other.local_addr().unwrap())).unwrap();
    let count = cx.rounds(10_000);
    let datagram = [7; 1_000];
    let sent = AtomicUsize::new(0);
    let sending = async {
        for _ in 0..count {
            match one.send(&datagram).await {
                Ok(n) => assert_eq!(n, datagram.len(), "a short count"),
                // A BSD says it so, and lets the sender try again.
                Err(error) => assert_eq!(error.raw_os_error(), Some(code::ENOBUFS), "{error:?}"),
            }
            sent.fetch_add(1, SeqCst);
        }
        // Until one arrives: with a full receive buffer the last are lost.
        loop {
            one.send(b"end").await.unwrap();
            pike::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // Beside it a reader, who may miss some but sees none that is cut.
    let receiving = async {
        let mut buf = [0; 2_000];
        loop {
            match other.recv(&mut buf).await.unwrap() {
                1_000 => assert!(buf[..1_000] == datagram),
                n => break assert_eq!(&buf[..n], b"end"),
            }
        }
    };
    soon(&notifier, "a sender of many", future::or(receiving, sending));
    assert_eq!(sent.load(SeqCst), count);
    Ok(())
}

/// A refusal is reported once, by one operation, and everything works again once there is a peer; sockets without a peer
/// never hear of it.
pub fn udp_refused_once(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut buf = [0; 16];
    for at in net::locals(cx) {
        for receiver_waits in [false, true] {
            let socket = net::udp(&notifier, at);
            let (peer, refuses) = net::nobody_udp(&notifier, at);
            soon(&notifier, "a connect", socket.connect(refuses)).unwrap();
            cx.settle(&notifier);
            let mut receiving = Task::new(socket.recv(&mut buf));
            if receiver_waits {
                assert!(receiving.poll().is_pending());
            }
            assert_eq!(soon(&notifier, "a send to nobody", socket.send(b"x")).unwrap(), 1);
            if !receiver_waits {
                cx.settle(&notifier);
            }
            let error = net::finish(cx, &notifier, "a refusal", &mut receiving).unwrap_err();
            drop(receiving);
            assert_kind(&error, &[ErrorKind::ConnectionRefused]);
            let mut waiting = Task::pending(socket.recv(&mut buf));
            cx.assert_quiet(&notifier, "after a refusal was reported");
            assert!(!waiting.is_woken() || waiting.poll().is_pending(), "the refusal was reported twice");

            // The other way: the next send has it. On Windows none is told.
            drop(waiting);
            soon(&notifier, "a send to nobody", socket.send(b"x")).unwrap();
            cx.settle(&notifier);
            let error = match soon(&notifier, "a send after a refusal", socket.send(b"x")) {
                Ok(_) if cfg!(windows) => {
                    soon(&notifier, "a receive after it", socket.recv(&mut buf)).unwrap_err()
                }
                sent => sent.unwrap_err(),
            };
            assert_kind(&error, &[ErrorKind::ConnectionRefused]);

            // Somebody is there now. A send does not ask first.
            soon(&notifier, "a connect", peer.connect(socket.local_addr().unwrap())).unwrap();
            let mut waiting = Task::pending(socket.recv(&mut buf));
            assert_eq!(soon(&notifier, "a send to somebody", socket.send(b"ping")).unwrap(), 4);
            let mut theirs = [0; 16];
            assert_eq!(soon(&notifier, "a receive", peer.recv(&mut theirs)).unwrap(), 4);
            soon(&notifier, "an answer", peer.send(b"pong!")).unwrap();
            assert_eq!(net::finish(cx, &notifier, "the answer", &mut waiting).unwrap(), 5);
        }

        let (socket, (_peer, refuses)) = (net::udp(&notifier, at), net::nobody_udp(&notifier, at));
        let mut waiting = Task::pending(socket.recv(&mut buf));
        for _ in 0..5 {
            assert_eq!(soon(&notifier, "a send to nobody", socket.send_to(b"x", refuses)).unwrap(), 1);
        }
        cx.settle(&notifier);
        assert!(
            !waiting.is_woken() || waiting.poll().is_pending(),
            "a socket without a peer hears of a refusal"
        );
    }
    Ok(())
}

/// A refusal that nobody takes keeps the Notifier from nothing; its socket may be closed in the very wake.
pub fn udp_refused_unread_is_quiet(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (socket, (_peer, refuses)) = (net::udp(&notifier, v4()), net::nobody_udp(&notifier, v4()));
    soon(&notifier, "a connect", socket.connect(refuses)).unwrap();
    soon(&notifier, "a send to nobody", socket.send(b"x")).unwrap();
    cx.assert_quiet(&notifier, "with a refusal that nobody reads");
    let error = soon(&notifier, "the refusal", socket.recv(&mut [0; 4])).unwrap_err();
    assert_kind(&error, &[ErrorKind::ConnectionRefused]);

    // The waker drops the future and the socket.
    type Slot = std::sync::Arc<Mutex<Option<(Task<'static, io::Result<()>>, std::sync::Arc<UdpSocket>)>>>;
    for _ in 0..20 {
        let socket = std::sync::Arc::new(net::udp(&notifier, v4()));
        soon(&notifier, "a connect", socket.connect(refuses)).unwrap();
        cx.settle(&notifier);
        let slot: Slot = Slot::default();
        let waker = {
            let slot = slot.clone();
            calling(move || drop(slot.lock().unwrap().take()))
        };
        let its = socket.clone();
        let mut receiving = Task::new(async move { its.recv(&mut [0; 4]).await.map(drop) });
        assert!(receiving.poll_with(&waker).is_pending());
        assert_eq!(socket.try_send(b"x").unwrap(), 1);
        *slot.lock().unwrap() = Some((receiving, socket));
        cx.turn_until(&notifier, "the refusal", || slot.lock().unwrap().is_none());
    }
    cx.assert_quiet(&notifier, "after sockets were closed in their wakes");
    Ok(())
}

/// Addresses in use, of nobody here and of the wrong family are the system's errors, and leak nothing; a socket that was
/// never bound binds itself by its first send.
pub fn udp_bind_errors(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = system::descriptors();
    for at in net::locals(cx) {
        let first = net::udp(&notifier, at);
        let here = first.local_addr().unwrap();
        for _ in 0..5 {
            let error = bind(&notifier, here).unwrap_err();
            assert_kind(&error, &[ErrorKind::AddrInUse]);
            let nowhere: SocketAddr = if at.is_ipv4() {
                (Ipv4Addr::new(192, 0, 2, 1), 0).into()
            } else {
                "[2001:db8::1]:0".parse().unwrap()
            };
            assert_kind(&bind(&notifier, nowhere).unwrap_err(), &[ErrorKind::AddrNotAvailable]);
        }
        // With reuse_address on both the system may allow it.
        let [one, other] = [(); 2].map(|()| {
            let socket = net::bare(&notifier, at, Type::Datagram);
            socket.set(option::ReuseAddress, true).unwrap();
            socket
        });
        one.bind(at).unwrap();
        let address = net::internet(one.local_addr());
        match other.bind(address) {
            Ok(()) => assert_eq!(net::internet(other.local_addr()), address),
            Err(error) => assert_kind(&error, &[ErrorKind::AddrInUse]),
        }
    }
    if cx.needs_v6().is_ok() {
        for (right, wrong) in [(v4(), v6()), (v6(), v4())] {
            let (socket, peer) = (net::bare(&notifier, right, Type::Datagram), net::udp(&notifier, wrong));
            assert!(socket.bind(wrong).unwrap_err().raw_os_error().is_some());
            let socket = {
                socket.bind(right).unwrap();
                UdpSocket::try_from(socket).unwrap()
            };
            let sent = soon(&notifier, "the wrong family", socket.send_to(b"x", peer.local_addr().unwrap()));
            assert!(sent.unwrap_err().raw_os_error().is_some());
            let friend = net::udp(&notifier, right);
            soon(&notifier, "the right family", socket.send_to(b"x", friend.local_addr().unwrap())).unwrap();
            assert_eq!(soon(&notifier, "a receive", friend.recv(&mut [0; 4])).unwrap(), 1);
        }
    }
    assert_eq!(system::descriptors(), before, "descriptors");

    let (unbound, peer) = (net::bare(&notifier, v4(), Type::Datagram), net::udp(&notifier, v4()));
    // An address of Unix is none of its, to send to as to bind.
    let (path, other) = (UnixAddress::from_pathname("/nobody/here").unwrap(), net::udp(&notifier, v4()));
    let refused = soon(&notifier, "an address of Unix", other.socket().send_to(b"x", path)).unwrap_err();
    assert!(refused.raw_os_error().is_some(), "{refused:?}");
    assert!(unbound.bind(path).unwrap_err().raw_os_error().is_some());
    assert_eq!(net::internet(unbound.local_addr()).port(), 0);
    let mut buf = [0; 16];
    let mut receiving = Task::new(unbound.recv_from(&mut buf));
    let received = receiving.poll();
    cx.settle(&notifier);
    soon(&notifier, "the first send", unbound.send_to(b"hello", peer.local_addr().unwrap())).unwrap();
    let port = net::internet(unbound.local_addr()).port();
    assert_ne!(port, 0);
    let (n, from) = soon(&notifier, "a receive", peer.recv_from(&mut [0; 16])).unwrap();
    assert_eq!((n, from), (5, (Ipv4Addr::LOCALHOST, port).into()));
    soon(&notifier, "an answer", peer.send_to(b"back", from)).unwrap();
    match received {
        Poll::Ready(early) => assert!(early.unwrap_err().raw_os_error().is_some()),
        Poll::Pending => {
            let (n, from) =
                net::finish(cx, &notifier, "an answer to a socket that bound itself", &mut receiving)
                    .unwrap();
            assert_eq!((n, net::internet(Ok(from))), (4, peer.local_addr().unwrap()));
        }
    }
    Ok(())
}

#[track_caller]
pub(super) fn bind(notifier: &Notifier, at: SocketAddr) -> io::Result<UdpSocket> {
    soon(notifier, "a bind", UdpSocket::bind(at))
}

/// After a socket's own end of reading every receive ends, with nothing, and what waited does too.
pub fn udp_own_shutdown(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    soon(&notifier, "connecting", one.connect(other.local_addr().unwrap())).unwrap();
    let mut buf = [0; 8];
    let mut waiting = Task::pending(one.recv(&mut buf));
    one.socket().shutdown(std::net::Shutdown::Read).unwrap();
    assert_eq!(net::finish(cx, &notifier, "the end, of one who waited", &mut waiting).unwrap(), 0);
    drop(waiting);
    for _ in 0..2 {
        assert_eq!(soon(&notifier, "the end", one.recv(&mut buf)).unwrap(), 0);
        assert_eq!(soon(&notifier, "the end, lent", one.recv_with(<[u8]>::len)).unwrap(), 0);
        let (ended, _) = soon(&notifier, "the end, owned", one.recv_owned(vec![0; 8]));
        assert_eq!(ended.unwrap(), 0);
    }
    let socket = one.socket();
    let (mut none, mut some) = (ControlBuf::<0>::new(), ControlBuf::<64>::new());
    for control in [&mut none as &mut Control, &mut some] {
        let mut bufs = [IoSliceMut::new(&mut buf)];
        let message =
            soon(&notifier, "the end, as a message", socket.recv_msg(&mut bufs, control, RecvFlags::NONE));
        assert_eq!(message.unwrap().len, 0);
    }
    assert_eq!(soon(&notifier, "a send goes on", one.send(b"x")).unwrap(), 1);
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let there = other.local_addr().unwrap();
    for to in [None, Some(there.into())] {
        let bufs = [IoSlice::new(b"x")];
        let sending = socket.send_msg(&bufs, to, &[], SendFlags::NONE);
        let error = soon(&notifier, "a message after the end of writing", sending).unwrap_err();
        assert_kind(&error, &[ErrorKind::BrokenPipe]);
    }
    Ok(())
}
