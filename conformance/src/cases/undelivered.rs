//! What arrives for an operation that was dropped: it waits in the Handle, whole and in order, for whoever asks next in
//! whatever form.

use std::{
    cell::Cell,
    io::{self, ErrorKind, IoSliceMut, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use futures_lite::future::{poll_once, zip};
use pike::{
    Handle, Interest,
    buf::Residue,
    socket::{Address, RecvFlags, Type, control::ControlBuf},
};

use super::{allocations::counts, budget::measure};
use crate::{
    Cx, Outcome, Task,
    net::{self, assert_bytes_at, bytes_at, soon, v4},
};

/// What a dropped receive came to before the socket was connected says nothing about one after that.
pub fn dropped_receive_before_connect(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = TcpListener::bind(v4()).unwrap();
    for pooled in [false, true] {
        let socket = net::bare(&notifier, v4(), Type::Stream);
        let mut early = Task::new(async {
            match pooled {
                false => drop(socket.read_owned(Vec::with_capacity(8)).await),
                true => drop(socket.recv_pooled().await),
            }
        });
        let _ = early.poll();
        cx.settle(&notifier);
        drop(early);
        soon(&notifier, "a connect", socket.connect(listener.local_addr().unwrap())).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"data").unwrap();
        let mut buf = [0; 8];
        let received = soon(&notifier, "a read", socket.read(&mut buf));
        assert_eq!((received.unwrap(), &buf[..4]), (4, &b"data"[..]), "pooled: {pooled}");
    }
    Ok(())
}

/// Bytes that came for a dropped receive, read in every form; a closure of the caller's own gets them from the system, or is
/// refused where they are not there any more.
pub fn dropped_receive_keeps_bytes(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    for form in 0..9 {
        let mut dropped = Task::new(stream.read_owned(Vec::with_capacity(6)));
        let _ = dropped.poll();
        peer.write_all(&bytes_at(0, 10)).unwrap();
        cx.settle(&notifier);
        drop(dropped);
        cx.settle(&notifier);
        let mut got = Vec::new();
        let mut buf = [0; 16];
        let peeked = soon(&notifier, "a peek", stream.peek(&mut buf)).unwrap();
        assert_bytes_at(0, &buf[..peeked]);
        let refused =
            stream.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::Other.into())).unwrap_err();
        assert!([ErrorKind::ResourceBusy, ErrorKind::Other].contains(&refused.kind()), "{refused}");
        while got.len() < 10 {
            soon(&notifier, "what is left", async {
                let (mut buf, mut more) = ([0; 3], [0; 3]);
                match form {
                    0 => {
                        let count = stream.read(&mut buf).await.unwrap();
                        got.extend_from_slice(&buf[..count]);
                    }
                    1 => {
                        let rest = 10 - got.len();
                        let all = stream.read_exact_owned(vec![0; rest].into_boxed_slice()).await;
                        got.extend_from_slice(&all.1[..all.0.unwrap()]);
                    }
                    2 => got.extend(stream.read_owned(Vec::with_capacity(4)).await.1),
                    3 => stream.recv_with(|bytes| got.extend_from_slice(bytes)).await.unwrap(),
                    4 => got.extend_from_slice(&stream.recv_pooled().await.unwrap()),
                    5 => {
                        let parts = [Vec::with_capacity(2), Vec::with_capacity(3)];
                        got.extend(stream.read_vectored_owned(parts).await.1.concat());
                    }
                    6 => {
                        let mut room = [IoSliceMut::new(&mut buf), IoSliceMut::new(&mut more)];
                        let count = stream.read_vectored(&mut room).await.unwrap();
                        got.extend_from_slice(&[buf, more].concat()[..count]);
                    }
                    7 => {
                        let mut room = [IoSliceMut::new(&mut buf)];
                        let mut control = ControlBuf::<0>::new();
                        let message =
                            stream.socket().recv_msg(&mut room, &mut control, RecvFlags::NONE).await;
                        got.extend_from_slice(&buf[..message.unwrap().len]);
                    }
                    _ => {
                        stream.readable().await.unwrap();
                        let count = stream.try_read(&mut buf).unwrap_or(0);
                        got.extend_from_slice(&buf[..count]);
                    }
                }
            });
        }
        assert_eq!(got, bytes_at(0, 10), "form {form}");
    }
    Ok(())
}

/// A datagram that came for a dropped receive is there whole, with its sender, even if that had room for less.
pub fn dropped_receive_keeps_datagrams(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (udp, sender) = (net::udp(&notifier, v4()), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let (to, from) = (udp.local_addr().unwrap(), sender.local_addr().unwrap());
    for form in 0..7 {
        let mut dropped = Task::new(udp.recv_owned(Vec::with_capacity(2)));
        let _ = dropped.poll();
        for number in 0..2 {
            sender.send_to(&bytes_at(number * 100, 100), to).unwrap();
        }
        if form % 2 == 0 {
            cx.settle(&notifier); // it is done, and has not told anybody
        }
        drop(dropped);
        cx.settle(&notifier);
        for number in 0..2 {
            let mut buf = [0; 128];
            soon(&notifier, "a datagram", async {
                assert_eq!(udp.peek_sender().await.unwrap(), from);
                assert_eq!(udp.peek_from(&mut buf[..7]).await.unwrap(), (7, from));
                assert_bytes_at(number * 100, &buf[..7]);
                let got = match form {
                    0 => udp.recv_from(&mut buf).await.unwrap(),
                    1 => (udp.recv(&mut buf).await.unwrap(), from),
                    2 => {
                        let (got, part) = udp.recv_from_owned(Vec::with_capacity(128)).await;
                        buf[..part.len()].copy_from_slice(&part);
                        got.unwrap()
                    }
                    3 => {
                        let (lease, from) = udp.recv_from_pooled().await.unwrap();
                        buf[..lease.len()].copy_from_slice(&lease);
                        (lease.len(), from)
                    }
                    4 => {
                        let mut room = [IoSliceMut::new(&mut buf)];
                        let mut control = ControlBuf::<0>::new();
                        let message = udp.socket().recv_msg(&mut room, &mut control, RecvFlags::NONE).await;
                        let message = message.unwrap();
                        assert!(!message.truncated && message.from == Some(Address::from(from)));
                        (message.len, from)
                    }
                    5 => udp
                        .recv_with(|bytes| {
                            buf[..bytes.len()].copy_from_slice(bytes);
                            (bytes.len(), from)
                        })
                        .await
                        .unwrap(),
                    _ => {
                        let rooms = [Vec::with_capacity(60), Vec::with_capacity(60)];
                        let (count, parts) = udp.socket().read_vectored_owned(rooms).await;
                        buf[..100].copy_from_slice(&parts.concat());
                        (count.unwrap(), from)
                    }
                };
                assert_eq!(got, (100, from), "form {form}");
                assert_bytes_at(number * 100, &buf[..100]);
            });
        }
        assert_eq!(udp.try_recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    Ok(())
}

/// Connections that came for a dropped accept are there for the next, in order; a listener that is taken elsewhere gives
/// them along.
pub fn dropped_accept_keeps_connections(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for takes_over in [false, true] {
        let listener = net::listener(&notifier, v4());
        let at = listener.local_addr().unwrap();
        let dropped = Task::pending(listener.accept());
        cx.settle(&notifier);
        let clients: Vec<_> = (0..40).map(|_| TcpStream::connect(at).unwrap()).collect();
        let expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        cx.settle(&notifier);
        assert!(dropped.is_woken());
        drop(dropped);
        cx.settle(&notifier);
        let mut peers = Vec::new();
        if takes_over {
            let listener = take_over(listener, &mut peers);
            while peers.len() < clients.len() {
                match listener.accept() {
                    Ok((_, peer)) => peers.push(peer),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        } else {
            peers.push(listener.try_accept().unwrap().1);
            while peers.len() < clients.len() {
                peers.push(soon(&notifier, "a connection", listener.accept()).unwrap().1);
            }
        }
        assert_eq!(peers, expected);
    }
    Ok(())
}

/// Connections that nobody accepts are taken out of the system's queue a few at most, and wait there, in order: each is a
/// descriptor of the process, and the queue is what a listener was given a length for.
pub fn dropped_accept_takes_few(cx: &Cx) -> Outcome {
    const CLIENTS: usize = 64;
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let at = listener.local_addr().unwrap();
    drop(Task::pending(listener.accept()));
    cx.settle(&notifier);
    let connect = || {
        let client = TcpStream::connect(at).unwrap();
        // With a turn for each, that sees it.
        notifier.poll(Some(Duration::from_millis(1))).unwrap();
        client
    };
    let clients: Vec<_> = (0..CLIENTS).map(|_| connect()).collect();
    let expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    let mut peers = Vec::new();
    let listener = take_over(listener, &mut peers);
    assert!(peers.len() <= CLIENTS / 2, "{} of {CLIENTS} connections were accepted for nobody", peers.len());
    listener.set_nonblocking(false).unwrap();
    while peers.len() < CLIENTS {
        peers.push(listener.accept().unwrap().1);
    }
    assert_eq!(peers, expected);
    Ok(())
}

/// A reset that came for a dropped receive is told to the next who asks, in whatever form, or comes with the socket that is taken
/// elsewhere. The system tells it once: after that a stream that was cut looks as one that has ended.
pub fn dropped_receive_keeps_a_reset(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    // The receive is dropped before the reset comes, and after; of a receive into its own buffer only that makes a difference.
    for (pooled, drops_first) in [(true, true), (true, false), (false, false)] {
        for form in 0..8 {
            let (stream, other) = net::pair(cx, &notifier);
            let mut dropped = Task::pending(async {
                match pooled {
                    true => drop(stream.recv_pooled().await),
                    false => drop(stream.read_owned(Vec::with_capacity(8)).await),
                }
            });
            cx.settle(&notifier); // the kernel has it
            if drops_first {
                dropped = Task::new(async {});
            }
            reset(other);
            cx.settle(&notifier);
            drop(dropped);
            cx.settle(&notifier);
            let what = format!("pooled: {pooled}, dropped first: {drops_first}, form {form}");
            let told = match form {
                7 => match stream.into_std() {
                    Ok(stream) => (&stream).read(&mut [0; 8]).err(),
                    Err(error) => {
                        assert!(error.to_string().contains("nobody was told"), "{error}");
                        let residue = error.downcast::<Residue>().expect("what was received");
                        assert_eq!(residue.bytes(), b"");
                        residue.error()
                    }
                },
                _ => soon(&notifier, "a reset", async {
                    let mut buf = [0; 8];
                    match form {
                        0 => stream.read(&mut buf).await.err(),
                        1 => stream.read_owned(Vec::with_capacity(8)).await.0.err(),
                        2 => stream.recv_pooled().await.err(),
                        3 => stream.recv_with(|_| ()).await.err(),
                        4 => stream.peek(&mut buf).await.err(),
                        5 => {
                            let mut room = [IoSliceMut::new(&mut buf)];
                            let mut control = ControlBuf::<0>::new();
                            stream.socket().recv_msg(&mut room, &mut control, RecvFlags::NONE).await.err()
                        }
                        _ => {
                            stream.readable().await.unwrap();
                            stream.try_read(&mut buf).err()
                        }
                    }
                }),
            };
            let told = told.unwrap_or_else(|| panic!("a stream that was cut ended well, {what}"));
            net::assert_kind(&told, &[ErrorKind::ConnectionReset]);
        }
    }
    // The same of a Handle.
    let (stream, other) = cx.tcp_pair();
    let handle = Handle::new_on(&notifier, stream).unwrap();
    let reading = Task::pending(handle.read_owned(Vec::with_capacity(8)));
    cx.settle(&notifier);
    reset(net::attach(&notifier, other));
    cx.settle(&notifier);
    drop(reading);
    let (stream, bytes, error) = handle.into_parts();
    assert!(bytes.is_empty());
    let told = error.or_else(|| (&stream).read(&mut [0; 8]).err()).expect("the stream was cut");
    net::assert_kind(&told, &[ErrorKind::ConnectionReset]);
    Ok(())
}

/// Ends a connection by a reset.
fn reset(stream: pike::net::TcpStream) {
    stream.set_zero_linger().unwrap();
    drop(stream);
}

/// What makes no sense on a listener fails while connections wait that nobody has accepted, and takes none of them. And what
/// a receive came to that was dropped before the socket listened is in no accept's way.
pub fn receive_from_a_listener_fails(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let socket = net::bare(&notifier, v4(), Type::Stream);
    let _ = Task::new(socket.recv_pooled()).poll();
    cx.settle(&notifier);
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let _ = Task::new(socket.recv_pooled()).poll();
    socket.listen(64).unwrap();
    let at = net::internet(socket.local_addr());
    let mut first = Task::pending(socket.accept());
    cx.settle(&notifier);
    assert!(first.poll().is_pending());
    let clients: Vec<_> = (0..40).map(|_| TcpStream::connect(at).unwrap()).collect();
    cx.settle(&notifier);
    let mut peers = vec![net::internet(first.ready().map(|(_, peer)| peer))];
    cx.settle(&notifier);
    let fails = |result: io::Result<usize>| assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
    let taken = soon(&notifier, "a pooled receive", socket.recv_pooled());
    fails(taken.map(|lease| lease.len()));
    fails(soon(&notifier, "an owned one", socket.read_owned(Vec::with_capacity(8))).0);
    fails(soon(&notifier, "a lent one", socket.recv_with(|bytes| bytes.len())));
    while peers.len() < clients.len() {
        let (_, peer) = soon(&notifier, "a connection", socket.accept()).unwrap();
        peers.push(net::internet(Ok(peer)));
    }
    assert!(clients.iter().map(|client| client.local_addr().unwrap()).eq(peers));
    Ok(())
}

/// Into std, with the peers of what was accepted for nobody.
fn take_over(listener: pike::net::TcpListener, peers: &mut Vec<SocketAddr>) -> TcpListener {
    let error = match listener.into_std() {
        Ok(listener) => return listener,
        Err(error) => error,
    };
    let mut residue = error.downcast::<Residue>().unwrap();
    let connections = residue.take_connections();
    peers.extend(connections.into_iter().map(|owned| TcpStream::from(owned).peer_addr().unwrap()));
    residue.into_parts().1.into()
}

/// Owned operations of every form, warm, allocate nothing.
pub fn no_allocation_of_owned_forms(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    let (one, other) = (&one, &other);
    let kept = Cell::new(Some(([*b"abcd", *b"efgh"].map(Box::new), [[0; 4]; 2].map(Box::new))));
    measure(&notifier, "owned buffers, several at once", 0, async |_| {
        let (bytes, room) = kept.take().unwrap();
        let ((got, room), (sent, bytes)) =
            zip(one.read_vectored_owned(room), other.write_vectored_owned(bytes)).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (8, 8));
        kept.set(Some((bytes, room)));
    });
    let kept = Cell::new(Some((Box::new(*b"abcd"), Box::new([0; 4]))));
    measure(&notifier, "owned buffers, all of them", 0, async |_| {
        let (bytes, room) = kept.take().unwrap();
        let ((got, room), (sent, bytes)) =
            zip(one.read_exact_owned(room), other.write_all_owned(bytes)).await;
        assert_eq!((got.unwrap(), sent.is_ok()), (4, true));
        kept.set(Some((bytes, room)));
    });
    let (client, server) = (net::udp(&notifier, v4()), net::udp(&notifier, v4()));
    let (client, server, to) = (&client, &server, server.local_addr().unwrap());
    let from = client.local_addr().unwrap();
    measure(&notifier, "pooled datagrams", 0, async |_| {
        for _ in 0..2 {
            let (got, sent) = zip(server.recv_from_pooled(), client.send_to(b"ping", to)).await;
            let (lease, sender) = got.unwrap();
            assert_eq!((&lease[..], sender, sent.unwrap()), (&b"ping"[..], from, 4));
        }
        let (got, sent) = zip(server.recv_pooled(), client.send_to_owned(&b"ping"[..], to)).await;
        assert_eq!((&got.unwrap()[..], sent.0.unwrap()), (&b"ping"[..], 4));
        // Dropped while it waits.
        assert!(poll_once(server.recv_from_pooled()).await.is_none());
    });
    let kept = Cell::new(Some((Box::new(*b"abcd"), Box::new([0; 4]))));
    measure(&notifier, "owned datagrams", 0, async |_| {
        let (bytes, room) = kept.take().unwrap();
        let ((got, room), (sent, bytes)) =
            zip(server.recv_from_owned(room), client.send_to_owned(bytes, to)).await;
        assert_eq!((got.unwrap().0, sent.unwrap()), (4, 4));
        kept.set(Some((bytes, room)));
    });
    Ok(())
}
