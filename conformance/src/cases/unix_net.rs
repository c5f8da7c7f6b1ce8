//! UnixListener, UnixStream and UnixDatagram.

use std::{
    future::poll_fn,
    io::{ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    os::unix::net as std_unix,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use futures_lite::future::zip;
use pike::{
    Closed, Interest, Notifier, Ready,
    net::{UnixDatagram, UnixListener, UnixStream, unix::SocketAddr},
};

use super::tcp_shared::{shared, small};
use crate::{
    Cx, Outcome, Task,
    net::{self, assert_kind, soon},
    skip,
    unix::{self, Folder},
};

/// Two streams of pike, connected, on `notifier`.
fn pair(notifier: &Notifier) -> (UnixStream, UnixStream) {
    let _here = notifier.enter();
    UnixStream::pair().expect("a pair")
}

/// A stream of pike on `notifier`, and its peer, which is std's and blocks.
fn with_peer(notifier: &Notifier) -> (UnixStream, std_unix::UnixStream) {
    let (ours, peer) = std_unix::UnixStream::pair().expect("a pair");
    let _here = notifier.enter();
    (UnixStream::from_std(ours).expect("a stream"), peer)
}

/// A name in the abstract namespace that no other case has; nothing where there is no such namespace.
fn hidden() -> Option<SocketAddr> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("pike net {} {}", std::process::id(), COUNT.fetch_add(1, Relaxed));
    SocketAddr::from_abstract_name(name).ok()
}

fn ping_pong(notifier: &Notifier, one: &UnixStream, other: &UnixStream) {
    soon(notifier, "a ping and a pong", async {
        let mut buf = [0; 4];
        for (from, to) in [(one, other), (other, one)] {
            let (read, written) = zip(to.read_exact(&mut buf), from.write_all(b"ping")).await;
            assert_eq!((read.unwrap(), &buf), (4, b"ping"));
            written.unwrap();
        }
    });
}

/// A listener at a path and at an abstract name, made here and taken from std, in every form of accept; connections by
/// path and by address. Both sides know the names, and whose process the other is.
pub fn unix_listener_and_stream(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let folder = Folder::new();
    let path = folder.path("listener");
    let listener = UnixListener::bind(&path).unwrap();
    let address = SocketAddr::from_pathname(&path).unwrap();
    assert_eq!(listener.local_addr().unwrap(), address);
    assert!(unix::is_nonblocking(&listener) && unix::is_close_on_exec(&listener));
    assert!(listener.take_error().unwrap().is_none());
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    accept_forms(cx, &notifier, &listener, address);
    assert_kind(&UnixListener::bind(&path).unwrap_err(), &[ErrorKind::AddrInUse]);

    // From std and back: it is not registered any more, and still non-blocking.
    let listener = listener.into_std().unwrap();
    assert!(unix::is_nonblocking(&listener) && unix::register_again(&notifier, &listener).is_none());
    listener.set_nonblocking(false).unwrap();
    let listener = UnixListener::from_std(listener).unwrap();
    accept_forms(cx, &notifier, &listener, address);
    drop(listener);
    assert!(path.exists(), "a path stays");
    let gone = soon(&notifier, "a refusal", UnixStream::connect(&path)).unwrap_err();
    assert_kind(&gone, &[ErrorKind::ConnectionRefused]);

    if let Some(name) = hidden() {
        let listener = UnixListener::bind_addr(&name).unwrap();
        assert_eq!(listener.local_addr().unwrap(), name);
        assert_kind(&UnixListener::bind_addr(&name).unwrap_err(), &[ErrorKind::AddrInUse]);
        accept_forms(cx, &notifier, &listener, name);
        drop(listener);
        let gone = soon(&notifier, "a refusal", UnixStream::connect_addr(&name)).unwrap_err();
        assert_kind(&gone, &[ErrorKind::ConnectionRefused]);
        // Without a name the system makes one up.
        let listener = UnixListener::bind_addr(&SocketAddr::UNNAMED).unwrap();
        assert!(listener.local_addr().unwrap().as_abstract_name().is_some_and(|name| !name.is_empty()));
        drop(UnixListener::bind_addr(&name).unwrap());
        // Where a path is asked for, a leading NUL says so.
        let as_path = unix::name_as_path(&name);
        let listener = UnixListener::bind(&as_path).unwrap();
        assert_eq!(listener.local_addr().unwrap(), name);
        let client = soon(&notifier, "a connection", UnixStream::connect(&as_path)).unwrap();
        assert_eq!(client.peer_addr().unwrap(), name);
        ping_pong(&notifier, &client, &listener.try_accept().unwrap().0);
    }
    Ok(())
}

fn accept_forms(cx: &Cx, notifier: &Notifier, listener: &UnixListener, at: SocketAddr) {
    let connect = || UnixStream::connect_addr(&at);
    let mut accepting = Task::pending(listener.accept());
    let client = soon(notifier, "a connection", async {
        match at.as_pathname() {
            Some(path) => UnixStream::connect(path).await,
            None => connect().await,
        }
    });
    let client = client.unwrap();
    let (server, from) = net::finish(cx, notifier, "a connection", &mut accepting).unwrap();
    assert!(from.is_unnamed() && server.peer_addr().unwrap().is_unnamed());
    assert_eq!((client.peer_addr().unwrap(), server.local_addr().unwrap()), (at, at));
    assert!(client.local_addr().unwrap().is_unnamed());
    for stream in [&client, &server] {
        assert!(unix::is_nonblocking(stream) && unix::is_close_on_exec(stream));
        let peer = stream.peer_cred().unwrap();
        let (pid, me, _) = unix::own_ids();
        assert_eq!((peer.pid(), peer.uid()), (Some(pid), me));
    }
    ping_pong(notifier, &client, &server);

    let client = soon(notifier, "a connection", connect()).unwrap();
    cx.settle(notifier); // where the kernel accepts by itself, a turn brings the connection
    let (server, _) = listener.try_accept().unwrap();
    ping_pong(notifier, &client, &server);

    let mut polling = Task::pending(poll_fn(|cx| listener.poll_accept(cx)));
    let client = soon(notifier, "a connection", connect()).unwrap();
    let (server, _) = net::finish(cx, notifier, "a polled connection", &mut polling).unwrap();
    ping_pong(notifier, &client, &server);

    let (accepted, client) = soon(notifier, "a connection", zip(listener.accept_std(), connect()));
    let ((mut server, _), client) = (accepted.unwrap(), client.unwrap());
    assert!(unix::is_nonblocking(&server) && unix::register_again(notifier, &server).is_none());
    soon(notifier, "a write", client.write_all(b"for std")).unwrap();
    assert_eq!(server.read(&mut [0; 16]).unwrap(), 7);

    // Several at once, each accepted once; an accept that is dropped takes none.
    drop(Task::pending(listener.accept()));
    let clients: Vec<_> = (0..10).map(|_| soon(notifier, "a connection", connect()).unwrap()).collect();
    let servers: Vec<_> =
        (0..10).map(|_| soon(notifier, "an accept", listener.accept()).unwrap().0).collect();
    assert!(Task::new(listener.accept()).poll().is_pending());
    for (client, server) in clients.iter().zip(&servers) {
        ping_pong(notifier, client, server);
    }
}

/// Every form of reading and writing, each waited for, and more than a buffer holds.
pub fn unix_stream_forms(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = pair(&notifier);
    assert!(one.local_addr().unwrap().is_unnamed() && one.peer_addr().unwrap().is_unnamed());
    ping_pong(&notifier, &one, &other);
    let mut buf = [0; 64];
    assert_eq!(one.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(soon(&notifier, "nothing", one.read(&mut [])).unwrap(), 0);
    soon(&notifier, "the forms", async {
        let (peeked, written) = zip(other.peek(&mut buf), one.write(b"bytes")).await;
        assert_eq!((peeked.unwrap(), written.unwrap()), (5, 5));
        assert_eq!((other.try_peek(&mut buf).unwrap(), &buf[..5]), (5, &b"bytes"[..]));
        assert_eq!(other.recv_with(<[u8]>::to_vec).await.unwrap(), b"bytes");
        let (lent, written) = zip(other.recv_with(<[u8]>::to_vec), one.write(b"more")).await;
        assert_eq!((lent.unwrap(), written.unwrap()), (b"more".to_vec(), 4));
        let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        let (mut start, mut rest) = ([0; 1], [0; 9]);
        let mut room = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
        let (read, written) = zip(other.read_vectored(&mut room), one.write_vectored(&slices)).await;
        assert_eq!((read.unwrap(), written.unwrap()), (5, 5));
        assert_eq!((&start[..], &rest[..4]), (&b"a"[..], &b"bcde"[..]));
        assert_eq!(one.try_write(b"x").unwrap() + one.try_write_vectored(&slices).unwrap(), 6);
        other.readable().await.unwrap();
        assert!(other.ready(Interest::READABLE).await.unwrap().is_readable());
        assert_eq!(other.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]).unwrap(), 6);
        assert_eq!(other.try_recv_with(<[u8]>::len).unwrap_err().kind(), ErrorKind::WouldBlock);
        one.writable().await.unwrap();
    });
    let mut polling = Task::pending(poll_fn(|cx| other.poll_read_ready(cx)));
    one.try_write(b"!").unwrap();
    net::finish(cx, &notifier, "readiness by polling", &mut polling).unwrap();
    let mut task = Context::from_waker(Waker::noop());
    assert!(matches!(one.poll_write_ready(&mut task), Poll::Ready(Ok(()))));
    assert!(matches!(other.poll_peek(&mut task, &mut buf), Poll::Ready(Ok(1))));
    assert_eq!(other.try_read(&mut buf).unwrap(), 1);

    // More than the buffers hold, both ways at once; then a full buffer, which is writable again once it is read.
    const LEN: usize = 2 << 20;
    let sent = net::bytes_at(0, LEN);
    let receive = async |stream: &UnixStream| {
        let mut received = vec![0; LEN];
        stream.read_exact(&mut received).await.unwrap();
        net::assert_bytes_at(0, &received);
    };
    soon(&notifier, "megabytes", async {
        let sending = zip(one.write_all(&sent), other.write_all(&sent));
        let ((first, second), _) = zip(sending, zip(receive(&one), receive(&other))).await;
        first.and(second).unwrap();
    });
    let mut queued = 0;
    while let Ok(count) = one.try_write(&sent) {
        queued += count;
    }
    let mut writing = Task::pending(one.write(b"late"));
    assert!(Task::new(one.writable()).poll().is_pending());
    let mut buf = vec![0; queued];
    soon(&notifier, "what was queued", other.read_exact(&mut buf)).unwrap();
    assert_eq!(net::finish(cx, &notifier, "room to write", &mut writing).unwrap(), 4);
    Ok(())
}

/// Ends: of writing, which the peer reads behind the bytes; of reading; of both; of the peer itself, before and while
/// somebody waits; of a listener; and of clients that nobody has accepted yet.
pub fn unix_stream_ends(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut buf = [0; 16];
    let (one, other) = pair(&notifier);
    soon(&notifier, "a write", one.write_all(b"last")).unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    assert_eq!(soon(&notifier, "the rest", other.read(&mut buf)).unwrap(), 4);
    assert_eq!(soon(&notifier, "the end", other.read(&mut buf)).unwrap(), 0);
    assert_kind(&soon(&notifier, "no write", one.write(b"x")).unwrap_err(), &[ErrorKind::BrokenPipe]);
    soon(&notifier, "the other way", other.write_all(b"still")).unwrap();
    assert_eq!(soon(&notifier, "the other way", one.read(&mut buf)).unwrap(), 5);

    let (one, other) = pair(&notifier);
    let mut reading = Task::pending(one.read(&mut buf));
    one.shutdown(Shutdown::Read).unwrap();
    assert_eq!(net::finish(cx, &notifier, "the end of reading", &mut reading).unwrap(), 0);
    drop(reading);
    assert_kind(&soon(&notifier, "no write", other.write(b"x")).unwrap_err(), &[ErrorKind::BrokenPipe]);
    one.shutdown(Shutdown::Both).unwrap();
    assert_eq!(soon(&notifier, "the end", other.read(&mut buf)).unwrap(), 0);

    // The peer goes: who reads gets the rest and the end, who writes an error. So does who waited.
    let (one, mut peer) = with_peer(&notifier);
    let mut reading = Task::pending(one.read(&mut buf));
    let mut looking = Task::pending(one.ready(Interest::READABLE));
    peer.write_all(b"rest").unwrap();
    drop(peer);
    assert_eq!(net::finish(cx, &notifier, "the rest", &mut reading).unwrap(), 4);
    drop(reading);
    net::finish(cx, &notifier, "a look", &mut looking).unwrap();
    let ready = soon(&notifier, "a hang-up", one.ready(Interest::READABLE)).unwrap();
    assert!(ready.is_readable());
    assert_eq!(soon(&notifier, "the end", one.read(&mut buf)).unwrap(), 0);
    assert!(net::is_gone(&soon(&notifier, "no write", one.write(b"x")).unwrap_err()));

    let (one, peer) = with_peer(&notifier);
    while one.try_write(&[0; 4096]).is_ok() {}
    let mut writing = Task::pending(one.write_all(b"x"));
    drop(peer); // with bytes unread, which makes it a reset
    assert!(net::is_gone(&net::finish(cx, &notifier, "a broken pipe", &mut writing).unwrap_err()));
    drop(writing);
    cx.assert_quiet(&notifier, "a Unix stream whose peer is gone");

    // A listener goes with connections in its queue: their clients see the end.
    let folder = Folder::new();
    let (listener, client) = {
        let _here = notifier.enter();
        let listener = UnixListener::bind(folder.path("short")).unwrap();
        let client = soon(&notifier, "a connection", UnixStream::connect(folder.path("short"))).unwrap();
        (listener, client)
    };
    let mut reading = Task::pending(client.read(&mut buf));
    drop(listener);
    match net::finish(cx, &notifier, "the end of a listener", &mut reading) {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert!(net::is_gone(&error), "{error:?}"),
    }

    // Clients that go before they are accepted: each is, and has ended.
    let listener = {
        let _here = notifier.enter();
        let listener = UnixListener::bind(folder.path("late")).unwrap();
        let clients: Vec<_> = (0..10).map(|_| UnixStream::connect(folder.path("late"))).collect();
        for client in clients {
            drop(soon(&notifier, "a connection", client).unwrap());
        }
        listener
    };
    let mut buf = [0; 16];
    for _ in 0..10 {
        let (server, _) = soon(&notifier, "one that is gone", listener.accept()).unwrap();
        assert_eq!(soon(&notifier, "its end", server.read(&mut buf)).unwrap(), 0);
    }
    assert!(Task::new(listener.accept()).poll().is_pending(), "more than there were");
    Ok(())
}

/// Halves that borrow and halves that own: each does its part, the write half's end is the end of writing, and two that
/// belong together make a stream again.
pub fn unix_split_halves(cx: &Cx) -> Outcome {
    use pike::net::unix::{OwnedReadHalf, OwnedWriteHalf};
    let notifier = cx.notifier();
    let (mut one, other) = pair(&notifier);
    {
        let (reads, writes) = one.split();
        let (mut buf, message) = ([0; 8], b"borrowed");
        soon(&notifier, "borrowed halves", async {
            writes.write_all(message).await.unwrap();
            other.read_exact(&mut buf).await.unwrap();
            other.write_all(&buf).await.unwrap();
            reads.read_exact(&mut buf).await.unwrap();
        });
        assert_eq!(&buf, message);
        assert!(reads.local_addr().unwrap().is_unnamed() && writes.peer_addr().unwrap().is_unnamed());
        soon(&notifier, "forms of halves", async {
            assert!(writes.ready(Interest::WRITABLE).await.unwrap().contains(Ready::WRITABLE));
            assert_eq!(
                writes.try_write_vectored(&[IoSlice::new(b"vec"), IoSlice::new(b"tored")]).unwrap(),
                8
            );
            other.read_exact(&mut buf).await.unwrap();
            assert_eq!(&buf, b"vectored");
        });
        let mut peeked = [0; 8];
        let mut peeking = Task::pending(poll_fn(|cx| reads.poll_peek(cx, &mut peeked)));
        soon(&notifier, "a write", other.write_all(message)).unwrap();
        assert_eq!(net::finish(cx, &notifier, "a look by polling", &mut peeking).unwrap(), 8);
        drop(peeking);
        assert_eq!(&peeked, message);
        let ready = soon(&notifier, "readiness of a half", reads.ready(Interest::READABLE)).unwrap();
        assert!(ready.contains(Ready::READABLE) && !ready.contains(Ready::READ_CLOSED));
        assert_eq!(reads.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]).unwrap(), 8);
        assert_eq!(&buf, message);
        // A half is a stream to who only asks.
        fn asked(stream: &impl AsRef<UnixStream>) -> &UnixStream {
            stream.as_ref()
        }
        assert!(
            std::ptr::eq(asked(&reads), asked(&writes)) && std::ptr::eq(asked(asked(&reads)), asked(&reads))
        );
        assert!(asked(&writes).take_error().unwrap().is_none());
    }
    let (reads, writes): (OwnedReadHalf, OwnedWriteHalf) = one.into_split();
    let (strange_reads, strange_writes) = other.into_split();
    let pike::net::ReuniteError(reads, strange_writes) = reads.reunite(strange_writes).unwrap_err();
    let one = reads.reunite(writes).unwrap();
    assert_eq!(strange_reads.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let (reads, writes) = one.into_split();
    drop(writes);
    assert_eq!(soon(&notifier, "the end of writing", strange_reads.read(&mut [0; 8])).unwrap(), 0);
    soon(&notifier, "the other way", strange_writes.write_all(b"still")).unwrap();
    assert_eq!(soon(&notifier, "the other way", reads.read(&mut [0; 8])).unwrap(), 5);
    Ok(())
}

/// The poll traits of tokio and futures-io, on Unix streams and their halves: a relay in a row of three pairs.
pub fn unix_poll_traits(cx: &Cx) -> Outcome {
    const LEN: usize = 1 << 20;
    let notifier = cx.notifier();
    let ((client, mut one), (mut other, next)) = (pair(&notifier), pair(&notifier));
    let (last, server) = pair(&notifier);
    let ((mut next_reads, mut next_writes), (mut last_reads, mut last_writes)) =
        (next.into_split(), last.into_split());
    let sent = net::bytes_at(0, LEN);
    soon(&notifier, "a relay", async {
        let by_tokio = async {
            let counts = tokio::io::copy_bidirectional(&mut one, &mut other).await.unwrap();
            assert_eq!(counts, (LEN as u64, LEN as u64));
        };
        let there = async {
            assert_eq!(futures_lite::io::copy(&mut next_reads, &mut last_writes).await.unwrap(), LEN as u64);
            futures_lite::AsyncWriteExt::close(&mut last_writes).await.unwrap();
        };
        let back = async {
            assert_eq!(futures_lite::io::copy(&mut last_reads, &mut next_writes).await.unwrap(), LEN as u64);
            futures_lite::AsyncWriteExt::close(&mut next_writes).await.unwrap();
        };
        let end = async |from: &UnixStream, to: &UnixStream| {
            let mut received = vec![0; LEN];
            let (written, read) = zip(from.write_all(&sent), to.read_exact(&mut received)).await;
            written.unwrap();
            assert_eq!(read.unwrap(), LEN);
            net::assert_bytes_at(0, &received);
            from.shutdown(Shutdown::Write).unwrap();
            assert_eq!(to.read(&mut received).await.unwrap(), 0);
        };
        let ends = async {
            end(&client, &server).await;
            end(&server, &client).await;
        };
        zip(zip(by_tokio, there), zip(back, ends)).await;
    });
    Ok(())
}

/// While a listener's queue is full, connecting waits, and goes on when there is room; it can be dropped, bounded and
/// cancelled meanwhile.
pub fn unix_connect_waits_for_room(cx: &Cx) -> Outcome {
    use pike::{
        socket::{Domain, Socket, Type},
        time::{Deadline, Elapsed},
    };
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        skip!("a full listener of this system refuses");
    }
    let notifier = cx.notifier();
    let folder = Folder::new();
    let path = folder.path("busy");
    let address = SocketAddr::from_pathname(&path).unwrap();
    for kind in [Type::Stream, Type::SeqPacket] {
        let bare = || Socket::new_on(&notifier, Domain::Unix, kind, None).unwrap();
        let listener = bare();
        listener.bind(address).unwrap();
        listener.listen(1).unwrap();
        let mut queued = Vec::new();
        let (waits, error) = loop {
            let client = bare();
            let limited = client.connect(address).timeout(std::time::Duration::from_millis(100));
            match soon(&notifier, "a connection, or none", limited) {
                Ok(()) => queued.push(client),
                Err(error) => break (client, error),
            }
            assert!(queued.len() < 20, "the queue is never full");
        };
        assert!(Elapsed::is(&error), "{error:?}");
        let mut connecting = Task::pending(waits.connect(address));
        let also_waits = bare();
        let mut cancelled = Task::pending(also_waits.connect(address));
        also_waits.cancel();
        assert!(Closed::is(&net::finish(cx, &notifier, "a cancelled connect", &mut cancelled).unwrap_err()));
        drop(cancelled);
        assert!(!connecting.is_done());
        soon(&notifier, "an accept", listener.accept()).unwrap();
        net::finish(cx, &notifier, "room in the queue", &mut connecting).unwrap();
        drop(connecting);
        assert_eq!(waits.peer_addr().unwrap(), address.into());
        std::fs::remove_file(&path).unwrap();
    }
    Ok(())
}

/// The Notifier goes before its Unix sockets: they say so, and none hangs.
pub fn unix_sockets_outlive_notifier(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let here = notifier.enter();
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.path("listener")).unwrap();
    let datagram = UnixDatagram::bind(folder.path("datagram")).unwrap();
    let (stream, _peer) = UnixStream::pair().unwrap();
    let connecting = UnixStream::connect(folder.path("listener"));
    let (mut buf, mut other_buf) = ([0; 8], [0; 8]);
    let mut accepting = Task::pending(listener.accept());
    let mut receiving = Task::pending(datagram.recv(&mut buf));
    let mut reading = Task::pending(stream.read(&mut other_buf));
    drop(here);
    drop(notifier);
    let errors = [
        accepting.ready().map(drop).unwrap_err(),
        receiving.ready().map(drop).unwrap_err(),
        reading.ready().map(drop).unwrap_err(),
        Task::new(connecting).ready().map(drop).unwrap_err(),
        listener.try_accept().map(drop).unwrap_err(),
        datagram.try_send_to(b"x", folder.path("datagram")).map(drop).unwrap_err(),
        datagram.connect(folder.path("datagram")).unwrap_err(),
        stream.try_write(b"x").map(drop).unwrap_err(),
    ];
    assert!(errors.iter().all(Closed::is), "{errors:?}");
    Ok(())
}

/// A read of a stream stops behind a message that carries a descriptor, although more is there, for which nothing will be
/// reported: all of it is read, in every form. What nobody asked for is closed.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn unix_short_read_at_descriptor(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = unix::descriptors();
    let mut buf = [0; 64];
    for form in 0..4 {
        let (stream, mut peer) = with_peer(&notifier);
        // A read that found nothing: from here on every read waits for a report.
        assert_eq!(stream.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        unix::send_descriptor(&peer, b"with one", &peer);
        peer.write_all(b" and without").unwrap();
        cx.settle(&notifier); // both have been reported, once
        let mut received = Vec::<u8>::new();
        while received.len() < 20 {
            match form {
                0 => soon(&notifier, "the rest, by read", stream.read(&mut buf))
                    .map(|count| received.extend(&buf[..count])),
                1 => soon(&notifier, "the rest, lent", stream.recv_with(|bytes| received.extend(bytes))),
                2 => soon(&notifier, "the rest, vectored", async {
                    let mut room = [0; 64];
                    let count = stream.read_vectored(&mut [IoSliceMut::new(&mut room)]).await?;
                    received.extend(&room[..count]);
                    Ok(())
                }),
                _ => soon(&notifier, "all at once", stream.read_exact(&mut buf[..20]))
                    .map(|_| received.extend(&buf[..20])),
            }
            .unwrap();
        }
        assert_eq!(received, b"with one and without", "form {form}");
        drop(peer);
        assert_eq!(soon(&notifier, "the end", stream.read(&mut buf)).unwrap(), 0);
    }
    assert_eq!(unix::descriptors(), before, "descriptors");
    Ok(())
}

/// Where no message has control data, a short read says that the queue is empty: an echo is one wait, one receive and one
/// send, as over TCP. Counted by tracing a child.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn unix_echo_costs_two_calls(cx: &Cx) -> Outcome {
    use crate::trace::{self, Calls};
    // A ring waits in an epoll set as long as the kernel has nothing to complete.
    if !matches!(cx.backend(), pike::Backend::Epoll | pike::Backend::IoUring) {
        skip!("the costs of {} are budgeted otherwise", cx.backend());
    }
    let pieces = trace::count(|| {
        let notifier = cx.notifier();
        let (stream, mut peer) = with_peer(&notifier);
        let mut echo = Task::pending(async {
            let mut buf = [0; 64];
            loop {
                let count = stream.read(&mut buf).await.unwrap();
                stream.write_all(&buf[..count]).await.unwrap();
            }
        });
        for _ in 0..5 {
            peer.write_all(b"ping").unwrap();
            trace::mark();
            notifier.poll(None).unwrap();
            assert!(echo.poll().is_pending());
            trace::mark();
            peer.read_exact(&mut [0; 4]).unwrap();
        }
    })?;
    let expected = Calls::of(&[(libc::SYS_epoll_pwait2, 1), (libc::SYS_recvmsg, 1), (libc::SYS_sendto, 1)]);
    // The first turns get memory for their batch, and may see what came before.
    for piece in pieces.into_iter().skip(2) {
        assert_eq!(piece.with_one_wait(), expected);
    }
    Ok(())
}

/// Only Linux says whether a read stopped at control data.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn unix_short_read_at_descriptor(_: &Cx) -> Outcome {
    skip!(
        "this system does not say that a read stopped at control data, and every read is followed by another"
    );
}

/// As above.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn unix_echo_costs_two_calls(_: &Cx) -> Outcome {
    skip!("this system has no ptrace(2) as on Linux, by which calls are counted");
}

/// No future contains a buffer, and types and futures may go to other threads.
pub fn unix_futures_stay_small(cx: &Cx) -> Outcome {
    shared::<(UnixStream, UnixDatagram, UnixListener)>();
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let (unix, datagrams) = (UnixStream::pair().unwrap().0, UnixDatagram::unbound().unwrap());
    let (path, mut buf) = ("/nowhere", [0; 4096]);
    small("read", unix.read(&mut buf));
    small("connect", UnixStream::connect(path));
    small("send_to", datagrams.send_to(b"x", path));
    small("recv_from", datagrams.recv_from(&mut buf));
    Ok(())
}
