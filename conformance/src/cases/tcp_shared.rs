//! One TCP stream in several hands: halves, many tasks; and what a future of it weighs.

use std::{
    fmt::Debug,
    future::Future,
    io::{ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use futures_lite::future;
use pike::{
    net::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpListener, TcpStream, UdpSocket, WriteHalf},
    socket::{RecvFlags, Socket},
};

use crate::{
    Cx, Outcome, join_all,
    net::{self, assert_bytes_at, bytes_at, soon, v4},
};

/// Halves work on two threads and from two tasks, unite again only with their own, and the owned one for writing ends
/// writing when it goes.
pub fn split_halves(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let echo = |mut peer: std::net::TcpStream| {
        thread::spawn(move || {
            let mut buf = [0; 4096];
            loop {
                match peer.read(&mut buf).unwrap() {
                    0 => return peer,
                    n => peer.write_all(&buf[..n]).unwrap(),
                }
            }
        })
    };
    let total = cx.rounds(1 << 20);
    let data = bytes_at(0, total);

    let (stream, peer) = net::with_peer(cx, &notifier);
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let echoing = echo(peer);
    let (read, write) = stream.into_split();
    assert_eq!((read.local_addr().unwrap(), write.peer_addr().unwrap()), (local, remote));
    let (read, write) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            notifier.block_on(write.write_all(&data)).unwrap();
            write
        });
        let mut back = vec![0; total];
        notifier.block_on(read.read_exact(&mut back)).unwrap();
        assert_bytes_at(0, &back);
        (read, writer.join().unwrap())
    });

    let (other_stream, _other_peer) = net::with_peer(cx, &notifier);
    let other_remote = other_stream.peer_addr().unwrap();
    let (other_read, other_write) = other_stream.into_split();
    let error = read.reunite(other_write).unwrap_err();
    assert!(!error.to_string().is_empty());
    let (read, other_write) = (error.0, error.1);
    assert_eq!((read.peer_addr().unwrap(), other_write.peer_addr().unwrap()), (remote, other_remote));
    let error = write.reunite(other_read).unwrap_err();
    let (other_read, write) = (error.0, error.1);
    other_read.reunite(other_write).unwrap();
    let mut stream = read.reunite(write).unwrap();
    assert_eq!(stream.local_addr().unwrap(), local);

    // Borrowed, from two tasks at once; afterwards the stream is whole.
    for _ in 0..2 {
        let (read, write) = stream.split();
        let mut back = vec![0; total];
        let both = future::try_zip(write.write_all(&data), read.read_exact(&mut back));
        soon(&notifier, "borrowed halves", both).unwrap();
        assert_bytes_at(0, &back);
    }
    drop(stream);
    echoing.join().unwrap();

    // The end of writing by drop, and not after `forget`.
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let (read, write) = stream.into_split();
    soon(&notifier, "a write", write.write_all(b"bye")).unwrap();
    drop(write);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"bye");
    peer.write_all(b"still here").unwrap();
    let mut buf = [0; 10];
    soon(&notifier, "reading without the other half", read.read_exact(&mut buf)).unwrap();
    assert_eq!(&buf, b"still here");

    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let (read, write) = stream.into_split();
    write.forget();
    peer.set_nonblocking(true).unwrap();
    cx.settle(&notifier);
    assert_eq!(peer.read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock, "forget ended writing");
    peer.set_nonblocking(false).unwrap();
    drop(read);
    assert_eq!(peer.read(&mut buf).unwrap(), 0);

    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let (_read, write) = stream.into_split();
    write.shutdown().unwrap();
    assert_eq!(peer.read(&mut buf).unwrap(), 0);
    Ok(())
}

/// Several writers and readers of one stream: what each call of a writer took is whole and in the order of the calls; on
/// several threads nothing is lost or doubled.
pub fn many_tasks_one_stream(cx: &Cx) -> Outcome {
    const TASKS: usize = 4;
    const RECORD: usize = 64;
    let records = cx.rounds(2_000);
    let notifier = cx.notifier();
    let (one, other) = net::pair(cx, &notifier);
    let total = TASKS * RECORD * records;

    // On one thread the order of the system's calls is the order in which the tasks see their results.
    let (sent, got) = (Mutex::new(Vec::with_capacity(total)), Mutex::new(Vec::with_capacity(total)));
    let (sent, got, one_ref, other_ref) = (&sent, &got, &one, &other);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    for task in 0..TASKS {
        tasks.push(Box::pin(async move {
            for record in 0..records {
                let bytes: Vec<_> = (0..RECORD).map(|at| (task * 64 + at) as u8 ^ record as u8).collect();
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let n = one_ref.write(rest).await.unwrap();
                    sent.lock().unwrap().extend_from_slice(&rest[..n]);
                    rest = &rest[n..];
                }
            }
        }));
        tasks.push(Box::pin(async move {
            let mut buf = [0; 100];
            while got.lock().unwrap().len() < total {
                let n = other_ref.read(&mut buf).await.unwrap();
                let mut got = got.lock().unwrap();
                got.extend_from_slice(&buf[..n]);
                if got.len() == total {
                    // The others wait for what does not come.
                    one_ref.shutdown(Shutdown::Write).unwrap();
                }
            }
        }));
    }
    soon(&notifier, "tasks that share a stream", join_all(tasks));
    assert!(*sent.lock().unwrap() == *got.lock().unwrap(), "not in the order of the calls");

    // On threads: each byte says who sent it.
    let (one, other) = net::pair(cx, &notifier);
    let (left, counts) = (AtomicUsize::new(TASKS), Mutex::new([0; TASKS]));
    thread::scope(|scope| {
        for task in 0..TASKS {
            let (one, other, notifier, left, counts) = (&one, &other, &notifier, &left, &counts);
            scope.spawn(move || {
                let record = [task as u8; RECORD];
                notifier.block_on(async {
                    for _ in 0..records {
                        one.write_all(&record).await.unwrap();
                    }
                });
                if left.fetch_sub(1, SeqCst) == 1 {
                    one.shutdown(Shutdown::Write).unwrap();
                }
            });
            scope.spawn(move || {
                notifier.block_on(async {
                    let mut buf = [0; 100];
                    loop {
                        match other.read(&mut buf).await.unwrap() {
                            0 => return,
                            n => buf[..n]
                                .iter()
                                .for_each(|&from| counts.lock().unwrap()[usize::from(from)] += 1),
                        }
                    }
                });
            });
        }
    });
    assert_eq!(*counts.lock().unwrap(), [RECORD * records; TASKS]);
    Ok(())
}

/// More than any future of a call takes.
const MOST: usize = 512;

pub(super) fn shared<T: Send + Sync + Debug>() {}

#[track_caller]
pub(super) fn small(what: &str, future: impl Future + Send) {
    let size = size_of_val(&future);
    assert!(size <= MOST, "{what}: {size} bytes");
}

/// No future contains a buffer, and types and futures may go to other threads.
pub fn futures_stay_small(cx: &Cx) -> Outcome {
    shared::<TcpStream>();
    shared::<TcpListener>();
    shared::<UdpSocket>();
    shared::<Socket>();
    shared::<OwnedReadHalf>();
    shared::<OwnedWriteHalf>();
    shared::<ReadHalf<'_>>();
    shared::<WriteHalf<'_>>();

    let notifier = cx.notifier();
    let (stream, _peer) = net::with_peer(cx, &notifier);
    let (listener, datagrams) = (net::listener(&notifier, v4()), net::udp(&notifier, v4()));
    let socket = stream.socket();
    let mut buf = [0; 4096];
    small("read", stream.read(&mut buf));
    small("peek", stream.peek(&mut buf));
    small("read_exact", stream.read_exact(&mut buf));
    small("recv_with", stream.recv_with(<[u8]>::len));
    small("read_vectored", stream.read_vectored(&mut [IoSliceMut::new(&mut buf)]));
    small("write", stream.write(&buf));
    small("write_all", stream.write_all(&buf));
    small("write_vectored", stream.write_vectored(&[IoSlice::new(&buf)]));
    small("readable", stream.readable());
    small("writable", stream.writable());
    small("connect", TcpStream::connect(v4()));
    small("connect by name", TcpStream::connect("localhost:1"));
    small("Socket::connect", socket.connect(v4()));
    small("accept", listener.accept());
    small("accept_std", listener.accept_std());
    small("bind", TcpListener::bind(v4()));
    small("send_to", datagrams.send_to(b"x", v4()));
    small("recv_from", datagrams.recv_from(&mut buf));
    small("peek_from", datagrams.peek_from(&mut buf));
    small("peek_sender", datagrams.peek_sender());
    small("recv", socket.recv(&mut [0; 4096], RecvFlags::PEEK));
    Ok(())
}
