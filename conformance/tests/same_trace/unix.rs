//! Unix sockets: streams, whose bytes may have descriptors among them, and datagrams, which are never lost and may be long.

use std::io::{Read, Write};

use pike::net::{UnixDatagram, UnixStream};

use crate::stage::Stage;

pub fn streams(stage: &mut Stage) {
    let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let stream = {
        let _here = stage.notifier().enter();
        UnixStream::from_std(ours).unwrap()
    };
    let mut waiting = stage.waiting(stream.read_owned(b"what was there".to_vec()));
    peer.write_all(b"waited").unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("read", got);
    let mut waiting = stage.waiting(stream.recv_pooled());
    peer.write_all(b"pooled").unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.received("received", got);
    let wrote = stage.run(stream.write_all_owned(b"all of it,".to_vec()));
    stage.owned("written", wrote);
    let (wrote, pieces) = stage.run(stream.write_vectored_owned([b"of ".to_vec(), b"several".to_vec()]));
    stage.result("gathered", wrote);
    stage.bytes("with the buffers", &pieces.concat());
    let mut arrived = [0; 20];
    peer.read_exact(&mut arrived).unwrap();
    stage.bytes("arrived in order", &arrived);

    for is_pooled in [false, true] {
        let dropped = stage.waiting(async {
            match is_pooled {
                true => drop(stream.recv_pooled().await),
                false => drop(stream.read_owned(Vec::with_capacity(4)).await),
            }
        });
        peer.write_all(b"for the next").unwrap();
        stage.settle();
        drop(dropped);
        stage.settle();
        let mut all = [0; 12];
        let got = stage.run(stream.read_exact(&mut all));
        stage.result("what came for one that was dropped", got);
        stage.bytes("bytes", &all);
    }
    let mut waiting = stage.waiting(stream.read_owned(b"mine".to_vec()));
    drop(peer);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("the end", got);
    let got = stage.run(stream.recv_pooled());
    stage.received("the end again", got);
    let wrote = stage.run(stream.write_owned(b"mine".to_vec()));
    stage.owned("nobody is there", wrote);
}

pub fn datagrams(stage: &mut Stage) {
    let (one, other) = {
        let _here = stage.notifier().enter();
        UnixDatagram::pair().unwrap()
    };
    let mut waiting = stage.waiting(other.recv_from_owned(vec![b'.'; 8]));
    let sent = stage.run(one.send_owned(b"longer than room".to_vec()));
    stage.owned("sent", sent);
    let (got, buf) = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("received, and cut", (got.map(|(count, from)| (count, from.is_unnamed())), buf));
    let mut waiting = stage.waiting(other.recv_from_pooled());
    let sent = stage.run(one.send(b""));
    stage.result("an empty one", sent);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.result("received", got.map(|(lease, from)| (lease.len(), from.is_unnamed())));
    let mut waiting = stage.waiting(other.recv_pooled());
    let sent = stage.run(one.send_owned(vec![b'x'; 5_000]));
    stage.result("longer than a buffer of the pool", sent.0);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.result("received, and cut", got.map(|lease| lease.len()));

    for is_pooled in [false, true] {
        let dropped = stage.waiting(async {
            match is_pooled {
                true => drop(other.recv_pooled().await),
                false => drop(other.recv_owned(Vec::with_capacity(2)).await),
            }
        });
        stage.result("sent", one.try_send(b"whole"));
        stage.settle();
        drop(dropped);
        stage.settle();
        let got = stage.run(other.recv_owned(Vec::with_capacity(16)));
        stage.owned("what came for one that was dropped", got);
    }
    let mut waiting = stage.waiting(other.recv_owned(b"mine".to_vec()));
    other.socket().cancel();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("cancelled", got);
    drop(other);
    stage.settle();
    let sent = stage.run(one.send_owned(b"mine".to_vec()));
    stage.owned("nobody is there", sent);
}
