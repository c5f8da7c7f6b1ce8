//! Connecting: addresses in every form, every way to fail, dropped halfway.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{
    net::{TcpListener, TcpStream, UdpSocket},
    socket::{Domain, Protocol, Socket, Type},
    time::{Deadline, Elapsed},
};

use crate::{
    Cx, Outcome, Rng, SHORT, Task,
    net::{self, LIMIT, assert_kind, is_gone, soon, v4, v6},
    skip,
    system::{self, code},
};

/// A connect is ready once there is a connection; both ends know each other's address at once.
pub fn connect_v4(cx: &Cx) -> Outcome {
    connect_at(cx, v4());
    Ok(())
}

/// The same over IPv6, with the addresses in full width.
pub fn connect_v6(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    connect_at(cx, v6());
    Ok(())
}

fn connect_at(cx: &Cx, at: SocketAddr) {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, at);
    let here = listener.local_addr().unwrap();
    for _ in 0..20 {
        let client = soon(&notifier, "a connect", TcpStream::connect(here)).unwrap();
        // Ready means connected: a write needs no wait.
        assert_eq!(Task::new(client.write(b"x")).ready().unwrap(), 1);
        assert_eq!(client.peer_addr().unwrap(), here);
        let local = client.local_addr().unwrap();
        assert_eq!(local.ip(), at.ip());
        system::assert_ours(&client);

        let (server, from) = soon(&notifier, "an accept", listener.accept()).unwrap();
        assert_eq!(from, local);
        assert_eq!((server.local_addr().unwrap(), server.peer_addr().unwrap()), (here, local));
        let mut buf = [0; 4];
        assert_eq!(soon(&notifier, "the byte", server.read(&mut buf)).unwrap(), 1);
    }
}

/// Whatever names an address can be connected and bound to; of a list the first that works is taken, else the last
/// error counts; failed tries leave nothing behind.
pub fn connect_address_forms(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    // A name is looked up on a helper thread, which may open a descriptor and keep it.
    soon(&notifier, "a look-up", pike::net::lookup_host("localhost:1")).unwrap().for_each(drop);
    let before = system::descriptors();
    {
        let listener = net::listener(&notifier, v4());
        let here = listener.local_addr().unwrap();
        let (ip, port) = (here.ip(), here.port());
        let connected = |what: &str, result: io::Result<TcpStream>| {
            assert_eq!(
                result.unwrap_or_else(|error| panic!("{what}: {error}")).peer_addr().unwrap(),
                here,
                "{what}"
            );
        };
        macro_rules! each_connects {
            ($($form:expr),* $(,)?) => {$(
                connected(stringify!($form), soon(&notifier, stringify!($form), TcpStream::connect($form)));
            )*};
        }
        let (_socket, refuses) = net::nobody(&notifier, v4());
        each_connects!(
            here,
            &here,
            here.to_string(),
            &here.to_string(),
            &*here.to_string(),
            (ip, port),
            (Ipv4Addr::LOCALHOST, port),
            ("127.0.0.1", port),
            ("localhost", port),
            (String::from("localhost"), port),
            format!("localhost:{port}"),
            &*format!("localhost:{port}"),
            &[here][..],
            &[refuses, here][..],
            &[refuses, refuses, here, refuses][..],
        );

        // No connection to many at once: another error than a refusal, on every system.
        let many = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 1), 9));
        let error_of =
            |list: &[SocketAddr]| soon(&notifier, "a list that fails", TcpStream::connect(list)).unwrap_err();
        assert_kind(&error_of(&[refuses, refuses]), &[ErrorKind::ConnectionRefused]);
        assert_kind(&error_of(&[many, refuses]), &[ErrorKind::ConnectionRefused]);
        let of_many = error_of(&[many]).raw_os_error();
        assert_eq!(error_of(&[refuses, many]).raw_os_error(), of_many, "not the last error");
        assert_eq!(error_of(&[]).kind(), ErrorKind::InvalidInput);

        let nowhere = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 0));
        macro_rules! each_binds {
            ($($form:expr),* $(,)?) => {$(
                let listener = soon(&notifier, stringify!($form), TcpListener::bind($form)).unwrap();
                assert!(listener.local_addr().unwrap().ip().is_loopback());
                let socket = soon(&notifier, stringify!($form), UdpSocket::bind($form)).unwrap();
                assert!(socket.local_addr().unwrap().ip().is_loopback());
            )*};
        }
        each_binds!(
            v4(),
            &v4(),
            "127.0.0.1:0",
            String::from("127.0.0.1:0"),
            (IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            ("127.0.0.1", 0),
            ("localhost", 0),
            "localhost:0",
            &[v4()][..],
            &[nowhere, v4()][..],
        );
        let none: &[SocketAddr] = &[];
        let errors = [
            soon(&notifier, "a bind to nothing", TcpListener::bind(none)).unwrap_err(),
            soon(&notifier, "a bind to nothing", UdpSocket::bind(none)).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::InvalidInput), "{errors:?}");
        let error = soon(&notifier, "a bind", TcpListener::bind(&[nowhere, nowhere][..])).unwrap_err();
        assert_kind(&error, &[ErrorKind::AddrNotAvailable]);
    }
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// A refusal is one, with its code, and leaves nothing behind; a socket that was refused never claims the old error or
/// a connection that is not there.
pub fn connect_refused(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = system::descriptors();
    for at in net::locals(cx) {
        let (_socket, refuses) = net::nobody(&notifier, at);
        for _ in 0..cx.rounds(200) {
            let error = soon(&notifier, "a refusal", TcpStream::connect(refuses)).unwrap_err();
            assert_kind(&error, &[ErrorKind::ConnectionRefused]);
        }

        let listener = net::listener(&notifier, at);
        let socket = net::bare(&notifier, at, Type::Stream);
        let error = soon(&notifier, "a refusal", socket.connect(refuses)).unwrap_err();
        assert_kind(&error, &[ErrorKind::ConnectionRefused]);
        cx.settle(&notifier);
        match soon(&notifier, "a second connect", socket.connect(listener.local_addr().unwrap())) {
            Ok(()) => {
                let mut buf = [0; 4];
                soon(&notifier, "a byte each way", async {
                    let (server, _) = listener.accept().await?;
                    socket.write(b"x").await?;
                    server.read(&mut buf).await?;
                    server.write(b"y").await?;
                    socket.read(&mut buf).await
                })
                .unwrap();
                assert_eq!(buf[0], b'y');
            }
            Err(error) => assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "the old error"),
        }
    }
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// A connect that nobody answers ends at its deadline, not before, and leaves nothing behind.
pub fn connect_times_out(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let Some(full) = net::full_listener(cx, &notifier) else {
        skip!("this system answers connects to a listener with a full queue");
    };
    let before = system::descriptors();
    for _ in 0..3 {
        let start = Instant::now();
        let error = notifier.block_on(TcpStream::connect(full.address).timeout(SHORT)).unwrap_err();
        assert!(start.elapsed() >= SHORT, "after {:?}", start.elapsed());
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::TimedOut, None));
        assert!(Elapsed::is(&error));
        assert_eq!(system::descriptors(), before, "descriptors");
    }

    // What was reported of the bare socket, a hang-up on Linux, is no connection: not if it was reported before the
    // connect, and not if another thread's turn reports it meanwhile.
    let socket = net::bare(&notifier, v4(), Type::Stream);
    cx.settle(&notifier);
    let mut connecting = Task::pending(socket.connect(full.address));
    cx.settle(&notifier);
    assert!(!connecting.is_woken() || connecting.poll().is_pending(), "connected to nobody");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                notifier.poll(Some(SHORT)).unwrap();
            }
        });
        for _ in 0..cx.rounds(500) {
            let socket = net::bare(&notifier, v4(), Type::Stream);
            let mut connecting = Task::new(socket.connect(full.address));
            for _ in 0..3 {
                assert!(connecting.poll().is_pending(), "connected to nobody");
                thread::yield_now();
            }
        }
        stop.store(true, SeqCst);
    });
    drop(full.listener);
    Ok(())
}

/// Addresses that name no host, none that can be reached, or a scope: the system's answer, and soon.
pub fn connect_odd_addresses(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let has_v6 = cx.needs_v6().is_ok();
    for at in net::locals(cx) {
        let listener = net::listener(&notifier, at);
        let any: IpAddr =
            if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let to = SocketAddr::new(any, listener.local_addr().unwrap().port());
        match soon(&notifier, "a connect to no address", TcpStream::connect(to)) {
            Ok(stream) => assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap()),
            Err(error) if cfg!(target_os = "linux") => panic!("Linux connects to {to}: {error}"),
            Err(error) => {
                assert!(
                    error.raw_os_error().is_some() && error.kind() != ErrorKind::AddrNotAvailable,
                    "{error:?}"
                );
            }
        }
    }

    // From a loopback address nothing leaves the machine.
    let socket = net::bare(&notifier, v4(), Type::Stream);
    socket.bind(v4()).unwrap();
    let abroad = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 77), 9));
    let error = soon(&notifier, "a connect to the world", socket.connect(abroad)).unwrap_err();
    use ErrorKind::{AddrNotAvailable, HostUnreachable, InvalidInput, NetworkUnreachable};
    assert_kind(&error, &[NetworkUnreachable, HostUnreachable, InvalidInput, AddrNotAvailable]);

    if !has_v6 {
        return Ok(());
    }
    let nowhere = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 9, 0, 0x7fff_0000);
    let error = soon(&notifier, "a scope that does not exist", TcpStream::connect(nowhere)).unwrap_err();
    assert!(error.raw_os_error().is_some(), "{error:?}");
    if let Some(local) = net::link_local() {
        let listener = net::listener(&notifier, local.into());
        let SocketAddr::V6(here) = listener.local_addr().unwrap() else { panic!("not IPv6") };
        assert_eq!((here.ip(), here.scope_id()), (local.ip(), local.scope_id()));
        let stream = soon(&notifier, "a link-local connect", TcpStream::connect(here)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), here.into());
        let (server, from) = soon(&notifier, "a link-local accept", listener.accept()).unwrap();
        assert_eq!(from, stream.local_addr().unwrap());
        let SocketAddr::V6(from) = from else { panic!("not IPv6") };
        assert_eq!((from.ip(), from.scope_id()), (local.ip(), local.scope_id()));
        assert_eq!(server.peer_addr().unwrap(), from.into());
    }
    Ok(())
}

/// The wrong family, a second connect, kinds of sockets that do not exist: the system's error, and no harm done.
pub fn connect_misuse(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let refused = |result: io::Result<()>, codes: &[i32], what: &str| {
        let error = result.expect_err(what);
        assert!(error.raw_os_error().is_some_and(|code| codes.contains(&code)), "{what}: {error:?}");
    };
    if cx.needs_v6().is_ok() {
        for (right, wrong) in [(v4(), v6()), (v6(), v4())] {
            let (listener, other) = (net::listener(&notifier, right), net::listener(&notifier, wrong));
            let socket = net::bare(&notifier, right, Type::Stream);
            const FAMILY: &[i32] = code::WRONG_FAMILY;
            refused(socket.bind(wrong), FAMILY, "bind");
            let connecting = socket.connect(other.local_addr().unwrap());
            refused(soon(&notifier, "the wrong family", connecting), FAMILY, "connect");
            cx.settle(&notifier);
            socket.bind(right).unwrap();
            let connecting = socket.connect(listener.local_addr().unwrap());
            soon(&notifier, "the right family", connecting).unwrap();
            net::internet(socket.peer_addr());
        }
    }

    // Connected already, and what the Notifier has reported of the connection stays known.
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    let socket = net::bare(&notifier, v4(), Type::Stream);
    soon(&notifier, "a connect", socket.connect(here)).unwrap();
    let (server, _) = soon(&notifier, "an accept", listener.accept()).unwrap();
    cx.settle(&notifier);
    soon(&notifier, "a write", server.write_all(b"data")).unwrap();
    cx.settle(&notifier);
    let mut buf = [0; 8];
    // Linux says of the first connect once more that it succeeded, and fails only then.
    for (which, sent) in
        [("a second connect", &b"one"[..]), ("a third connect", b"two"), ("a fourth connect", b"")]
    {
        let again = soon(&notifier, which, socket.connect(here));
        if !(which == "a second connect" && again.is_ok()) {
            refused(again, &[code::EISCONN], which);
        }
        assert_eq!(soon(&notifier, &format!("a write after {which}"), socket.write(b"x")).unwrap(), 1);
        let got = soon(&notifier, &format!("a read after {which}"), socket.read(&mut buf)).unwrap();
        assert_eq!(soon(&notifier, "the peer's read", server.read(&mut [0])).unwrap(), 1);
        assert!(got > 0);
        soon(&notifier, "a write", server.write_all(sent)).unwrap();
        cx.settle(&notifier);
    }
    TcpStream::try_from(socket).unwrap();

    // Under way: the second waits for the same connection.
    let socket = net::bare(&notifier, v4(), Type::Stream);
    let (mut first, mut second) = (Task::new(socket.connect(here)), Task::new(socket.connect(here)));
    let firstly = first.poll();
    let secondly = second.poll();
    if firstly.is_pending() {
        net::finish(cx, &notifier, "the first of two connects", &mut first).unwrap();
    }
    if secondly.is_pending() {
        net::finish(cx, &notifier, "the second of two connects", &mut second).unwrap();
    }
    assert_eq!(net::internet(socket.peer_addr()), here);

    let before = system::descriptors();
    for (domain, kind, protocol) in [
        (Domain::Other(9999), Type::Stream, None),
        (Domain::V4, Type::Other(77), None),
        (Domain::V4, Type::Stream, Some(Protocol::Udp)),
        (Domain::V4, Type::Datagram, Some(Protocol::Tcp)),
        (Domain::V4, Type::Stream, Some(Protocol::Other(4242))),
    ] {
        let error = Socket::new_on(&notifier, domain, kind, protocol).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{domain:?} {kind:?} {protocol:?}: {error:?}");
    }
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// Connects dropped at every stage, to a listener that answers and to one that does not: nothing leaks, the next socket
/// hears nothing of it, the listener is sound.
pub fn drop_while_connecting(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut rng = Rng::new();
    let full = net::full_listener(cx, &notifier);
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    let take_all = || {
        let mut taken = 0;
        while let Ok(connection) = listener.try_accept() {
            drop(connection);
            taken += 1;
        }
        taken
    };
    cx.settle(&notifier);
    take_all();
    let before = system::descriptors();
    for round in 0..cx.rounds(500) {
        let address = match &full {
            Some(full) if rng.one_in(2) => full.address,
            _ => here,
        };
        let mut connecting = {
            let _here = notifier.enter();
            Task::new(TcpStream::connect(address))
        };
        let stage = rng.below(4);
        let done = stage > 0 && connecting.poll().is_ready();
        if stage > 1 {
            notifier.poll(Some(Duration::ZERO)).unwrap();
        }
        if stage > 2 && !done && connecting.is_woken() {
            let _ = connecting.poll();
        }
        let counter = connecting.counter();
        let wakes = counter.count();
        drop(connecting);
        // The number is the next socket's.
        let fresh = net::udp(&notifier, v4());
        let mut waiting = Task::pending(fresh.readable());
        notifier.poll(Some(Duration::ZERO)).unwrap();
        assert!(
            !waiting.is_woken() || waiting.poll().is_pending(),
            "round {round}: the event of another socket"
        );
        assert!(counter.count() <= wakes, "round {round}: a dropped connect was woken");
        drop(waiting);
        drop(fresh);
        take_all();
    }
    cx.settle(&notifier);
    take_all();
    assert_eq!(system::descriptors(), before, "descriptors");

    let client = soon(&notifier, "a connect after all that", TcpStream::connect(here)).unwrap();
    let (server, from) = soon(&notifier, "an accept after all that", listener.accept()).unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    drop(server);
    Ok(())
}

/// Writes right after a connect, and writes that began to wait while it was under way, all arrive; a listener that closes
/// at once is noticed.
pub fn write_right_after_connect(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    let got = |what: &str, len: usize| {
        soon(&notifier, what, async {
            let (server, _) = listener.accept().await?;
            let mut buf = vec![0; len];
            server.read_exact(&mut buf).await?;
            Ok::<_, io::Error>(buf)
        })
        .unwrap()
    };
    for _ in 0..cx.rounds(50) {
        let client = soon(&notifier, "a connect and a write", async {
            let client = TcpStream::connect(here).await?;
            client.write_all(b"at once").await?;
            Ok::<_, io::Error>(client)
        });
        assert_eq!(got("what was written at once", 7), b"at once");
        drop(client.unwrap());

        let socket = net::bare(&notifier, v4(), Type::Stream);
        let (mut connecting, mut writing) =
            (Task::new(socket.connect(here)), Task::new(socket.write(b"early")));
        let (connected, written) = (connecting.poll(), writing.poll());
        // The connect was first, so it is woken first and passes that on.
        match connected {
            Poll::Ready(connected) => connected,
            Poll::Pending => net::finish(cx, &notifier, "a connect that a write waits for", &mut connecting),
        }
        .unwrap();
        let written = match written {
            Poll::Ready(written) => written,
            Poll::Pending => net::finish(cx, &notifier, "a write that waited for a connect", &mut writing),
        };
        assert_eq!(written.unwrap(), 5);
        assert_eq!(got("what was written while connecting", 5), b"early");
    }

    // Accepted and closed at once. The poll forms are woken.
    for _ in 0..cx.rounds(20) {
        let mut connecting = {
            let _here = notifier.enter();
            Task::new(TcpStream::connect(here))
        };
        let connected = connecting.poll();
        drop(soon(&notifier, "an accept", listener.accept()).unwrap());
        let connected = match connected {
            Poll::Ready(connected) => connected,
            Poll::Pending => net::finish(cx, &notifier, "a connect to who closes", &mut connecting),
        };
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => {
                assert!(is_gone(&error), "{error:?}");
                continue;
            }
        };
        soon(&notifier, "poll_write_ready", future::poll_fn(|cx| stream.poll_write_ready(cx))).unwrap();
        soon(&notifier, "poll_read_ready", future::poll_fn(|cx| stream.poll_read_ready(cx))).unwrap();
        match soon(&notifier, "the end", stream.read(&mut [0; 4])) {
            Ok(n) => assert_eq!(n, 0),
            Err(error) => assert!(is_gone(&error), "{error:?}"),
        }
    }
    Ok(())
}

/// A connection without traffic is pending, and the Notifier quiet; also if somebody set a receive timeout on it.
pub fn connected_stream_is_quiet(cx: &Cx) -> Outcome {
    for with_timeout in [false, true] {
        let notifier = cx.notifier();
        let (one, other) = cx.tcp_pair();
        if with_timeout {
            for stream in [&one, &other] {
                stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
            }
        }
        let (one, other) = (net::attach(&notifier, one), net::attach(&notifier, other));
        let (mut buf_one, mut buf_other) = ([0; 4], [0; 4]);
        let mut reading = [Task::pending(one.read(&mut buf_one)), Task::pending(other.read(&mut buf_other))];
        cx.assert_quiet(&notifier, "two connected streams");
        for task in &mut reading {
            assert!(!task.is_woken() || task.poll().is_pending());
        }
        for stream in [&one, &other] {
            let error = stream.try_read(&mut [0; 4]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert_eq!(stream.try_peek(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        soon(&notifier, "a write", one.write_all(b"now")).unwrap();
        let [_, mut second] = reading;
        assert_eq!(net::finish(cx, &notifier, "data after the quiet", &mut second).unwrap(), 3);
    }
    Ok(())
}

/// A socket connects from where it was bound; a fresh one has the unspecified address of its family; a stream of std's
/// that blocks becomes one of ours.
pub fn connect_from_bound_and_std(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for at in net::locals(cx) {
        let listener = net::listener(&notifier, at);
        let socket = net::bare(&notifier, at, Type::Stream);
        let fresh = net::internet(socket.local_addr());
        assert!(
            fresh.ip().is_unspecified() && fresh.is_ipv4() == at.is_ipv4() && fresh.port() == 0,
            "{fresh}"
        );
        socket.bind(at).unwrap();
        let bound = net::internet(socket.local_addr());
        assert_ne!(bound.port(), 0);
        soon(&notifier, "a connect", socket.connect(listener.local_addr().unwrap())).unwrap();
        let (_, from) = soon(&notifier, "an accept", listener.accept()).unwrap();
        assert_eq!(from, bound);
        let stream = TcpStream::try_from(socket).unwrap();
        assert_eq!(stream.local_addr().unwrap(), bound);
    }

    let (std, mut peer) = cx.tcp_pair();
    system::assert_blocks(&std);
    let (local, remote) = (std.local_addr().unwrap(), std.peer_addr().unwrap());
    let stream = net::attach(&notifier, std);
    system::assert_ours(&stream);
    assert_eq!((stream.local_addr().unwrap(), stream.peer_addr().unwrap()), (local, remote));
    let mut buf = [0; 4];
    let mut reading = Task::pending(stream.read(&mut buf));
    peer.write_all(b"ping").unwrap();
    assert_eq!(net::finish(cx, &notifier, "data of a foreign stream", &mut reading).unwrap(), 4);
    drop(reading);
    soon(&notifier, "a write to a foreign stream", stream.write_all(&buf)).unwrap();
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    peer.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"ping");
    let error = UdpSocket::try_from(net::bare(&notifier, v4(), Type::Stream)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = TcpStream::try_from(net::bare(&notifier, v4(), Type::Datagram)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    Ok(())
}
