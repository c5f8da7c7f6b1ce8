//! What came for an operation that was dropped: it waits, whole and in order, for whoever asks next.
//!
//! On completion backends the kernel has taken it by then, on the others nobody has. How much of it a receive gives at
//! once may differ; what they give in all, and where it ends, may not.

use std::{
    io::{IoSliceMut, Write},
    net::{Shutdown, TcpStream},
};

use pike::{Interest, buf::Residue, net::TcpListener};

use crate::stage::Stage;

const BYTES: &[u8] = b"what waits";
const FORMS: [&str; 7] =
    ["read", "read_exact", "read_vectored", "recv_with", "read_owned", "recv_pooled", "try_read"];

/// Reads once.
async fn read(stream: &pike::net::TcpStream, form: &str) -> Vec<u8> {
    let (mut buf, mut more) = ([0; 3], [0; 4]);
    match form {
        "read" => {
            let count = stream.read(&mut buf).await.unwrap();
            buf[..count].to_vec()
        }
        "read_exact" => {
            stream.read_exact(&mut buf[..2]).await.unwrap();
            buf[..2].to_vec()
        }
        "read_vectored" => {
            let mut rooms = [IoSliceMut::new(&mut buf), IoSliceMut::new(&mut more)];
            let count = stream.read_vectored(&mut rooms).await.unwrap();
            [&buf[..], &more].concat()[..count].to_vec()
        }
        "recv_with" => stream.recv_with(<[u8]>::to_vec).await.unwrap(),
        "read_owned" => stream.read_owned(Vec::with_capacity(4)).await.1,
        "recv_pooled" => stream.recv_pooled().await.unwrap().to_vec(),
        _ => {
            stream.ready(Interest::READABLE).await.unwrap();
            let count = stream.try_read(&mut buf).unwrap_or(0);
            buf[..count].to_vec()
        }
    }
}

/// A receive that is dropped after it got something, or before.
fn drop_receive(
    stage: &Stage,
    stream: &pike::net::TcpStream,
    is_pooled: bool,
    before: bool,
    arrive: impl FnOnce(),
) {
    let future = async {
        match is_pooled {
            true => drop(stream.recv_pooled().await),
            false => drop(stream.read_owned(Vec::with_capacity(6)).await),
        }
    };
    let dropped = stage.waiting(future);
    if before {
        drop(dropped);
        arrive();
    } else {
        arrive();
        stage.settle();
        stage.cx.turn_until(stage.notifier(), "something arrives", || dropped.is_woken());
        drop(dropped);
    }
    stage.settle();
}

pub fn streams(stage: &mut Stage) {
    for (is_pooled, before) in [(false, false), (false, true), (true, false), (true, true)] {
        stage.note("dropped", if is_pooled { "recv_pooled" } else { "read_owned" });
        let (stream, mut peer) = stage.stream();
        for form in FORMS {
            drop_receive(stage, &stream, is_pooled, before, || peer.write_all(BYTES).unwrap());
            let mut peeked = [0; 1];
            let got = stage.run(stream.peek(&mut peeked));
            stage.result("peeked", got);
            let mut all = Vec::new();
            while all.len() < BYTES.len() {
                all.extend(stage.run(read(&stream, form)));
            }
            stage.bytes(form, &all);
            stage.result("no more", stream.try_read(&mut [0]));
        }
        // Also the end.
        drop_receive(stage, &stream, is_pooled, before, || {
            peer.write_all(b"last").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
        });
        let mut all = [0; 4];
        let got = stage.run(stream.read_exact(&mut all));
        stage.result("before the end", got);
        stage.bytes("bytes", &all);
        let got = stage.run(stream.read_owned(b"mine".to_vec()));
        stage.owned("the end", got);
        let got = stage.run(stream.recv_pooled());
        stage.received("the end again", got);
    }

    // A socket that is taken elsewhere has along what came.
    for is_pooled in [false, true] {
        let (stream, mut peer) = stage.stream();
        drop_receive(stage, &stream, is_pooled, false, || peer.write_all(BYTES).unwrap());
        let (mut all, mut stream) = match stream.into_std() {
            Ok(stream) => (Vec::new(), stream),
            Err(error) => {
                let (bytes, descriptor) =
                    error.downcast::<Residue>().expect("what was received").into_parts();
                (bytes, TcpStream::from(descriptor))
            }
        };
        peer.write_all(b", and more").unwrap();
        drop(peer);
        stream.set_nonblocking(false).unwrap();
        let rest = std::io::Read::read_to_end(&mut stream, &mut all);
        stage.result("taken elsewhere", rest.map(drop));
        stage.bytes("bytes", &all);
    }
}

/// Whole, with its sender, whatever room the dropped one had.
pub fn datagrams(stage: &mut Stage) {
    for is_pooled in [false, true] {
        let udp = stage.udp();
        let sender = stage.sender(&udp);
        let from = sender.local_addr().unwrap();
        for form in 0..6 {
            let future = async {
                match is_pooled {
                    true => drop(udp.recv_from_pooled().await),
                    false => drop(udp.recv_owned(Vec::with_capacity(2)).await),
                }
            };
            let dropped = stage.waiting(future);
            sender.send(b"the first").unwrap();
            sender.send(b"and the second").unwrap();
            stage.settle();
            drop(dropped);
            stage.settle();
            for _ in 0..2 {
                let mut buf = [0; 32];
                let peeked = stage.run(udp.peek_sender());
                stage.result("its sender", peeked.map(|sender| sender == from));
                let got = stage.run(async {
                    match form {
                        0 => udp
                            .recv_from(&mut buf)
                            .await
                            .map(|(count, sender)| (buf[..count].to_vec(), sender == from)),
                        1 => udp.recv(&mut buf).await.map(|count| (buf[..count].to_vec(), true)),
                        2 => udp.recv_with(|bytes| (bytes.to_vec(), true)).await,
                        3 => {
                            let (got, buf) = udp.recv_from_owned(Vec::with_capacity(32)).await;
                            got.map(|(_, sender)| (buf, sender == from))
                        }
                        4 => udp.recv_pooled().await.map(|lease| (lease.to_vec(), true)),
                        _ => udp
                            .recv_from_pooled()
                            .await
                            .map(|(lease, sender)| (lease.to_vec(), sender == from)),
                    }
                });
                match got {
                    Ok((bytes, is_from)) => {
                        stage.bytes("received", &bytes);
                        stage.note("of its sender", is_from);
                    }
                    Err(error) => stage.result::<()>("received", Err(error)),
                }
            }
            stage.result("no more", udp.try_recv(&mut [0]));
        }
    }
}

/// In the order in which they came.
pub fn connections(stage: &mut Stage) {
    let listener = stage.run(TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    for before in [false, true] {
        let mut dropped = Some(stage.waiting(listener.accept()));
        if before {
            dropped = None;
        }
        let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(at).unwrap()).collect();
        stage.settle();
        drop(dropped);
        stage.settle();
        for _ in &clients {
            let (stream, peer) = stage.run(listener.accept()).unwrap();
            let number = clients.iter().position(|client| client.local_addr().unwrap() == peer);
            stage.note("accepted", (number, stream.peer_addr().ok() == Some(peer)));
        }
        stage.result("no more", listener.try_accept().map(drop));
    }
}
