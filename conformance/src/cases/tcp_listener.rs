//! TCP listeners: accepting, binding, listening.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr},
    time::Duration,
};

use pike::{
    Closed, Notifier,
    net::{TcpListener, TcpStream},
    socket::{Socket, Type, option},
};

use crate::{
    Cx, Outcome, Task,
    net::{self, LIMIT, assert_kind, soon, v4, v6},
    skip, system,
};

/// What accept gives is the client's, belongs to the listener's Notifier and echoes.
pub fn accept_v4(cx: &Cx) -> Outcome {
    accept_at(cx, v4());
    Ok(())
}

/// The same over IPv6, with the addresses in full width.
pub fn accept_v6(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    accept_at(cx, v6());
    Ok(())
}

fn accept_at(cx: &Cx, at: SocketAddr) {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, at);
    let here = listener.local_addr().unwrap();
    assert_eq!(here.ip(), at.ip());
    assert_ne!(here.port(), 0);

    let mut accepting = Task::pending(listener.accept());
    let mut client = std::net::TcpStream::connect(here).unwrap();
    cx.turn_until(&notifier, "a connection is not reported", || accepting.is_woken());
    let (server, from) = accepting.ready().unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), from);
    assert_eq!(server.local_addr().unwrap(), here);

    system::assert_ours(&listener);
    system::assert_ours(&server);
    let error = system::register_again(&notifier, &server).expect("it must be registered there already");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let elsewhere = system::register_again(&cx.notifier(), &server);
    assert_eq!(elsewhere.is_none(), system::SOCKETS_MOVE, "{elsewhere:?}");

    echo(&notifier, &server, &mut client);
}

/// A message to the server and back.
#[track_caller]
fn echo(notifier: &Notifier, server: &TcpStream, client: &mut std::net::TcpStream) {
    client.write_all(b"ping").unwrap();
    soon(notifier, "an echo", async {
        let mut buf = [0; 4];
        server.read_exact(&mut buf).await?;
        server.write_all(&buf).await
    })
    .unwrap();
    let mut back = [0; 4];
    client.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping");
}

/// A listener of std's comes and goes; what accept_std gives belongs to nobody and can be taken by any Notifier.
pub fn listener_std_forms(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let std = std::net::TcpListener::bind(v4()).unwrap();
    let here = std.local_addr().unwrap();
    system::assert_blocks(&std);
    let listener = {
        let _here = notifier.enter();
        TcpListener::from_std(std).unwrap()
    };
    system::assert_ours(&listener);
    assert_eq!(listener.local_addr().unwrap(), here);
    for _ in 0..2 {
        let mut accepting = Task::pending(listener.accept());
        let mut client = std::net::TcpStream::connect(here).unwrap();
        cx.turn_until(&notifier, "an accept of a foreign listener", || accepting.is_woken());
        let (server, from) = accepting.ready().unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        echo(&notifier, &server, &mut client);
    }

    let other = cx.notifier();
    let mut client = std::net::TcpStream::connect(here).unwrap();
    let (server, from) = soon(&notifier, "accept_std", listener.accept_std()).unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    system::assert_ours(&server);
    let takers = if system::SOCKETS_MOVE { &[&notifier, &other][..] } else { &[&other] };
    for notifier in takers {
        assert!(system::register_again(notifier, &server).is_none(), "it is registered already");
    }
    let server = net::attach(&other, server);
    echo(&other, &server, &mut client);

    // One that nobody wants.
    let mut client = std::net::TcpStream::connect(here).unwrap();
    drop(soon(&notifier, "accept_std", listener.accept_std()).unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);

    let std = listener.into_std().unwrap();
    assert_eq!(std.local_addr().unwrap(), here);
    assert!(system::register_again(&notifier, &std).is_none(), "into_std leaves it registered");
    std.set_nonblocking(false).unwrap();
    let client = std::net::TcpStream::connect(here).unwrap();
    assert_eq!(std.accept().unwrap().1, client.local_addr().unwrap());
    Ok(())
}

/// All of many queued connections come, in order; a loop is polled no more often than it must; a connection that nobody
/// waited for when it was reported is there later, with its data.
pub fn accept_many(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    for count in [2, 200] {
        let clients: Vec<_> = (0..count).map(|_| std::net::TcpStream::connect(here).unwrap()).collect();
        cx.settle(&notifier);
        for (which, client) in clients.iter().enumerate() {
            // Their report came once, before all of these.
            let (_, from) = Task::new(listener.accept()).ready().unwrap();
            assert_eq!(from, client.local_addr().unwrap(), "connection {which} of {count}");
        }
        drop(Task::pending(listener.accept()));
        assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    const CONNECTIONS: usize = 10;
    let mut accept_loop = Task::pending(async {
        for _ in 0..CONNECTIONS {
            listener.accept().await?;
        }
        Ok::<_, std::io::Error>(())
    });
    for left in (0..CONNECTIONS).rev() {
        let _client = std::net::TcpStream::connect(here).unwrap();
        cx.turn_until(&notifier, "a connection of a loop", || accept_loop.is_woken());
        while accept_loop.is_woken() {
            match left {
                0 => accept_loop.ready().unwrap(),
                _ => assert!(accept_loop.poll().is_pending()),
            }
            if left == 0 {
                break;
            }
        }
    }
    let most = 1 + 2 * CONNECTIONS;
    assert!(accept_loop.polls() <= most, "{} polls for {CONNECTIONS} connections", accept_loop.polls());

    let mut client = std::net::TcpStream::connect(here).unwrap();
    client.write_all(b"early").unwrap();
    cx.settle(&notifier);
    let (server, _) = Task::new(listener.accept()).ready().unwrap();
    let mut buf = [0; 16];
    assert_eq!(soon(&notifier, "data from before the accept", server.read(&mut buf)).unwrap(), 5);
    assert_eq!(&buf[..5], b"early");
    Ok(())
}

/// A listener that goes takes the connections in its queue with it; who waits for one gets `Closed` by a cancel.
pub fn listener_closed_with_pending(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    {
        let notifier = cx.notifier();
        let listener = net::listener(&notifier, v4());
        let here = listener.local_addr().unwrap();
        cx.settle(&notifier);
        let mut accepting = Task::pending(listener.accept());
        let mut waiting = Task::pending(listener.readable());
        listener.socket().cancel();
        assert!(accepting.is_woken() && waiting.is_woken());
        assert!(Closed::is(&accepting.ready().unwrap_err()));
        assert!(Closed::is(&waiting.ready().unwrap_err()));
        assert!(Closed::is(&listener.try_accept().unwrap_err()));
        drop((accepting, waiting));

        let mut clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(here).unwrap()).collect();
        clients[0].write_all(b"lost").unwrap();
        drop(listener);
        for client in &mut clients {
            client.set_read_timeout(Some(LIMIT)).unwrap();
            let error = client.read(&mut [0]).unwrap_err();
            assert_kind(&error, &[ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused]);
        }
        let error = std::net::TcpStream::connect(here).unwrap_err();
        assert_kind(&error, &[ErrorKind::ConnectionRefused]);
    }
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// Clients that are gone before accept, by a close or a reset, with data or without: what they sent is read, then the
/// end; the listener goes on.
pub fn accepted_peer_already_gone(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    for (sends, resets) in [(false, false), (true, false), (false, true), (true, true)] {
        let client = soon(&notifier, "a client", TcpStream::connect(here)).unwrap();
        let gone = client.local_addr().unwrap();
        if sends {
            soon(&notifier, "a write", client.write_all(b"last words")).unwrap();
        }
        if resets {
            client.set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(client);
        let alive = std::net::TcpStream::connect(here).unwrap();

        let mut seen_gone = false;
        loop {
            let (server, from) = soon(&notifier, "an accept", listener.accept()).unwrap();
            if from == alive.local_addr().unwrap() {
                break;
            }
            // After a reset the system may not know any more who it was.
            assert!(from == gone || resets, "{from} is not {gone}");
            seen_gone = true;
            let mut got = Vec::new();
            let end = soon(&notifier, "the end of a connection", async {
                let mut buf = [0; 4];
                loop {
                    match server.read(&mut buf).await {
                        Ok(0) => return Ok(()),
                        Ok(n) => got.extend_from_slice(&buf[..n]),
                        Err(error) => return Err(error),
                    }
                }
            });
            match end {
                Ok(()) => assert_eq!(got, if sends { &b"last words"[..] } else { b"" }),
                Err(error) => {
                    assert!(resets, "a close is no error: {error}");
                    assert_kind(&error, &[ErrorKind::ConnectionReset]);
                    assert!(b"last words".starts_with(&got));
                }
            }
        }
        assert!(seen_gone || resets, "a closed connection never came");
    }
    Ok(())
}

/// Addresses in use, of nobody here, given twice: the system's errors, by `bind` and step by step; nothing is harmed and
/// nothing leaks. A port in TIME_WAIT can be bound.
pub fn bind_errors(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = system::descriptors();
    for at in net::locals(cx) {
        let listener = net::listener(&notifier, at);
        let here = listener.local_addr().unwrap();
        let error = soon(&notifier, "a bind", TcpListener::bind(here)).unwrap_err();
        assert_kind(&error, &[ErrorKind::AddrInUse]);
        let second = net::bare(&notifier, here, Type::Stream);
        let error = second.bind(here).and_then(|()| second.listen(8)).unwrap_err();
        assert_kind(&error, &[ErrorKind::AddrInUse]);
        let client = std::net::TcpStream::connect(here).unwrap();
        let (_, from) = soon(&notifier, "the first listener", listener.accept()).unwrap();
        assert_eq!(from, client.local_addr().unwrap());

        let nowhere: SocketAddr = if at.is_ipv4() {
            (Ipv4Addr::new(192, 0, 2, 1), 0).into()
        } else {
            "[2001:db8::1]:0".parse().unwrap()
        };
        for _ in 0..10 {
            let error = soon(&notifier, "a bind", TcpListener::bind(nowhere)).unwrap_err();
            assert_kind(&error, &[ErrorKind::AddrNotAvailable]);
        }

        let socket = net::bare(&notifier, at, Type::Stream);
        socket.bind(at).unwrap();
        let first = net::internet(socket.local_addr());
        assert_kind(&socket.bind(at).unwrap_err(), &[ErrorKind::InvalidInput]);
        assert_eq!(net::internet(socket.local_addr()), first);
        socket.listen(8).unwrap();
        let client = std::net::TcpStream::connect(first).unwrap();
        let (_, from) = soon(&notifier, "a socket bound once", socket.accept()).unwrap();
        assert_eq!(net::internet(Ok(from)), client.local_addr().unwrap());
    }
    assert_eq!(system::descriptors(), before, "descriptors");

    // Who closes first, here the server, keeps the port in TIME_WAIT.
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    let mut client = std::net::TcpStream::connect(here).unwrap();
    drop(soon(&notifier, "an accept", listener.accept()).unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop((client, listener));
    let strict = net::bare(&notifier, here, Type::Stream);
    match strict.bind(here) {
        Err(error) => assert_kind(&error, &[ErrorKind::AddrInUse]),
        Ok(()) if cfg!(target_os = "linux") => panic!("nothing is in TIME_WAIT: this tests nothing"),
        Ok(()) => {}
    }
    drop(strict);
    let again = net::listener(&notifier, here);
    assert_eq!(again.local_addr().unwrap(), here);
    Ok(())
}

/// Listening without an address and twice works; what makes no sense on a socket without a connection fails at once,
/// before the Notifier has reported anything and after.
pub fn listen_on_bare_sockets(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let socket = net::bare(&notifier, v4(), Type::Stream);
    socket.listen(8).unwrap();
    let port = net::internet(socket.local_addr()).port();
    assert_ne!(port, 0);
    let accept_one = |socket: &Socket, what: &str| {
        let client = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (_, from) = soon(&notifier, what, socket.accept()).unwrap();
        assert_eq!(net::internet(Ok(from)), client.local_addr().unwrap(), "{what}");
    };
    accept_one(&socket, "a listener that was not bound");

    // Again: with nobody waiting, with a connection that was reported already, and with a waiter.
    socket.listen(16).unwrap();
    accept_one(&socket, "after a second listen");
    let queued = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    cx.settle(&notifier);
    socket.listen(8).unwrap();
    let (_, from) = soon(&notifier, "a connection from before the third listen", socket.accept()).unwrap();
    assert_eq!(net::internet(Ok(from)), queued.local_addr().unwrap());
    cx.settle(&notifier);
    let mut waiter = Task::pending(socket.accept());
    socket.listen(16).unwrap();
    let client = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    cx.turn_until(&notifier, "a waiter from before the fourth listen", || waiter.is_woken());
    assert_eq!(net::internet(waiter.ready().map(|(_, from)| from)), client.local_addr().unwrap());
    drop(waiter);

    const NOT_NOW: &[ErrorKind] = &[ErrorKind::NotConnected, ErrorKind::BrokenPipe];
    let misuse = |socket: &Socket, listens: bool, when: &str| {
        let what = |call: &str| format!("{call}, listening: {listens}, {when}");
        let mut buf = [0; 8];
        assert_kind(&soon(&notifier, &what("read"), socket.read(&mut buf)).unwrap_err(), NOT_NOW);
        assert_kind(&soon(&notifier, &what("peek"), socket.peek(&mut buf)).unwrap_err(), NOT_NOW);
        assert_kind(&soon(&notifier, &what("recv_with"), socket.recv_with(|_| ())).unwrap_err(), NOT_NOW);
        assert_kind(&soon(&notifier, &what("recv_pooled"), socket.recv_pooled()).unwrap_err(), NOT_NOW);
        assert_kind(&soon(&notifier, &what("write"), socket.write(b"x")).unwrap_err(), NOT_NOW);
        match socket.shutdown(Shutdown::Write) {
            // Linux has nothing against it on a listener.
            Ok(()) => assert!(listens, "{}", what("shutdown")),
            Err(error) => assert_kind(&error, NOT_NOW),
        }
        assert_kind(&socket.peer_addr().unwrap_err(), NOT_NOW);
    };
    misuse(&socket, true, "turned");
    let fresh = net::bare(&notifier, v4(), Type::Stream);
    fresh.listen(8).unwrap();
    misuse(&fresh, true, "new");
    let bare = net::bare(&notifier, v4(), Type::Stream);
    misuse(&bare, false, "new");
    cx.settle(&notifier);
    misuse(&bare, false, "turned");
    accept_one(&socket, "after all that was refused");
    Ok(())
}

/// `V6Only` decides whether IPv4 clients reach a listener on `::`; they have mapped addresses then.
pub fn listener_v6only_option(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    let notifier = cx.notifier();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let listening = |v6only: bool| {
        let socket = net::bare(&notifier, any, Type::Stream);
        socket.set(option::V6Only, v6only)?;
        assert_eq!(socket.get(option::V6Only)?, v6only);
        socket.bind(any)?;
        assert_kind(&socket.set(option::V6Only, !v6only).unwrap_err(), &[ErrorKind::InvalidInput]);
        socket.listen(8)?;
        let port = net::internet(socket.local_addr()).port();
        Ok::<_, std::io::Error>((socket, port))
    };

    // One whose port is free for IPv4 as well, which is then held, and refuses.
    let (socket, port, v4_address, _held) = loop {
        let (socket, port) = listening(true).unwrap();
        let (held, address) =
            (net::bare(&notifier, v4(), Type::Stream), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        if held.bind(address).is_ok() {
            break (socket, port, address, held);
        }
        cx.check_time("no port is free for both");
    };
    assert_kind(&std::net::TcpStream::connect(v4_address).unwrap_err(), &[ErrorKind::ConnectionRefused]);
    let client = std::net::TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
    let (_, from) = soon(&notifier, "an IPv6 client", socket.accept()).unwrap();
    assert_eq!(net::internet(Ok(from)), client.local_addr().unwrap());

    let (socket, port) = match listening(false) {
        Ok(made) => made,
        Err(error) => skip!("this system has no dual-stack sockets: {error}"),
    };
    let client = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (server, from) = soon(&notifier, "an IPv4 client", socket.accept()).unwrap();
    let mapped = (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), client.local_addr().unwrap().port());
    assert_eq!(net::internet(Ok(from)), mapped.into());
    assert_eq!(net::internet(server.peer_addr()), mapped.into());
    assert_eq!(net::internet(server.local_addr()), (Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port).into());
    Ok(())
}
