//! Bytes of a stream in borrowed and lent buffers; the end of either direction, and of both.

use std::{
    io::{IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    time::Duration,
};

use pike::{
    socket::{RecvFlags, SendFlags},
    time::Deadline,
};

use crate::stage::{Stage, take};

pub fn scene(stage: &mut Stage) {
    let (stream, mut peer) = stage.stream();
    let mut buf = [0; 8];
    stage.result("nothing yet", stream.try_read(&mut buf));
    let wrote = stage.run(stream.write(b"hello"));
    stage.result("written", wrote);
    stage.bytes("arrived", &take(&mut peer, 5));
    let pieces = [IoSlice::new(b"sever"), IoSlice::new(b""), IoSlice::new(b"al")];
    let wrote = stage.run(stream.write_vectored(&pieces));
    stage.result("written of several", wrote);
    stage.result("tried", stream.try_write(b"!"));
    let wrote = stage.run(stream.socket().send(b"?", SendFlags::NONE));
    stage.result("sent", wrote);
    stage.bytes("arrived in order", &take(&mut peer, 9));

    let mut waiting = stage.waiting(stream.read(&mut buf));
    peer.write_all(b"waited").unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.result("read", got);
    stage.bytes("bytes", &buf);
    peer.write_all(b"peeked,lent,several,exactly").unwrap();
    let got = stage.run(stream.peek(&mut buf[..6]));
    stage.result("peeked", got);
    let got = stage.run(stream.socket().recv(&mut buf[..7], RecvFlags::PEEK));
    stage.result("peeked by a flag", got);
    let got = stage.run(stream.read_exact(&mut buf[..7]));
    stage.result("all of them", got);
    stage.bytes("bytes", &buf);
    let (mut one, mut two) = ([0; 3], [0; 2]);
    let mut rooms = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut []), IoSliceMut::new(&mut two)];
    let got = stage.run(stream.read_vectored(&mut rooms));
    stage.result("read into several", got);
    stage.bytes("bytes", &[&one[..], &two].concat());
    let lent = stage.run(stream.recv_with(<[u8]>::to_vec));
    stage.received("lent", lent);
    stage.result("then nothing", stream.try_read(&mut buf));
    stage.result("nothing to lend", stream.try_recv_with(<[u8]>::len));
    let late = stage.run(stream.read(&mut buf).timeout(Duration::from_millis(5)));
    stage.result("in vain", late);
    let got = stage.run(stream.read(&mut []));
    stage.result("nothing to read into", got);
    let wrote = stage.run(stream.write(&[]));
    stage.result("nothing to write", wrote);

    // One direction ends, and the other.
    let mut waiting = stage.waiting(stream.read(&mut buf));
    peer.shutdown(Shutdown::Write).unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.result("the end", got);
    let got = stage.run(stream.read_exact(&mut buf));
    stage.result("not so many", got);
    stage.result("the end again", stream.try_read(&mut buf));
    let wrote = stage.run(stream.write_all(b"the other way goes on"));
    stage.result("written after that", wrote);
    stage.result("and ends", stream.shutdown(Shutdown::Write));
    let wrote = stage.run(stream.write(b"x"));
    stage.result("after its own end", wrote);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
    stage.bytes("the peer has read", &rest);
    drop(stream);

    let (stream, mut peer) = stage.stream();
    let mut waiting = stage.waiting(stream.read(&mut buf));
    stage.result("no more reading", stream.shutdown(Shutdown::Read));
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.result("ends who reads", got);
    let wrote = stage.run(stream.write_all(b"y"));
    stage.result("not who writes", wrote);
    stage.bytes("arrived", &take(&mut peer, 1));
    stage.result("no more at all", stream.shutdown(Shutdown::Both));
    stage.result("the peer sees it", peer.read(&mut buf));

    let (stream, peer) = stage.streams();
    peer.set_zero_linger().unwrap();
    drop(peer);
    stage.settle();
    let got = stage.run(stream.read(&mut buf));
    stage.result("a reset", got);
    let got = stage.run(stream.read(&mut buf));
    stage.result("once", got);
    let wrote = stage.run(stream.write(b"x"));
    stage.result("nobody is there", wrote);
}
