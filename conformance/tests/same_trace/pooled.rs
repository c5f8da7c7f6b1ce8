//! Receives into buffers of the pool, on streams; a lease that is sent; a pool that has no buffer left.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::Duration,
};

use futures_lite::future::zip;
use pike::time::Deadline;
use pike_conformance::Task;

use crate::stage::{Stage, take};

pub fn scene(stage: &mut Stage) {
    let (stream, mut peer) = stage.stream();
    peer.write_all(b"was there").unwrap();
    let got = stage.run(stream.recv_pooled());
    stage.received("received", got);
    let mut waiting = stage.waiting(stream.recv_pooled());
    peer.write_all(b"ping").unwrap();
    let lease = stage.finish(&mut waiting).unwrap();
    drop(waiting);
    stage.bytes("waited for", &lease);
    let (wrote, lease) = stage.run(stream.write_all_owned(lease));
    stage.result("sent back", wrote);
    let wrote = stage.run(stream.write_owned(lease));
    stage.owned("and again", wrote);
    stage.bytes("arrived", &take(&mut peer, 8));

    // Beside the other forms, which take what comes in the order in which they asked.
    let echo = async {
        let mut all = Vec::new();
        let mut buf = [0; 4];
        for _ in 0..3 {
            all.extend_from_slice(&stream.recv_pooled().await.unwrap());
            all.extend(stream.read_exact_owned(vec![0; 4].into_boxed_slice()).await.1);
            stream.read_exact(&mut buf).await.unwrap();
            all.extend_from_slice(&buf);
            stream.write_all(b".").await.unwrap();
        }
        all
    };
    let asking = blocking_rounds(&mut peer);
    let (got, ()) = stage.run(zip(echo, asking));
    stage.bytes("one form after the other", &got);
    stage.result("then nothing", stream.try_read(&mut [0]));
    let late = stage.run(stream.recv_pooled().timeout(Duration::from_millis(5)));
    stage.received("in vain", late);

    let mut waiting = stage.waiting(stream.recv_pooled());
    peer.write_all(b"last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.received("the last bytes", got);
    for again in ["the end", "the end again"] {
        let got = stage.run(stream.recv_pooled());
        stage.received(again, got);
    }
    let got = stage.run(stream.read(&mut [0]));
    stage.result("in another form", got);
    let wrote = stage.run(stream.write_all_owned(&b"the other way"[..]));
    stage.owned("goes on", wrote);
    stage.bytes("arrived", &take(&mut peer, 13));

    let (stream, mut peer) = stage.stream();
    let mut waiting = stage.waiting(stream.recv_pooled());
    stage.result("no more reading", stream.shutdown(Shutdown::Read));
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.received("ends who reads", got);
    drop(stream);
    stage.settle();
    stage.result("the peer sees the end", peer.read(&mut [0]));

    for waits in [false, true] {
        let (stream, peer) = stage.streams();
        peer.set_zero_linger().unwrap();
        let mut waiting = waits.then(|| stage.waiting(stream.recv_pooled()));
        drop(peer);
        stage.settle();
        let got = match &mut waiting {
            Some(waiting) => stage.finish(waiting),
            None => stage.run(stream.recv_pooled()),
        };
        drop(waiting);
        stage.received("a reset", got);
        let got = stage.run(stream.recv_pooled());
        stage.received("once", got);
    }

    let unconnected = stage.bare();
    let got = stage.run(unconnected.recv_pooled());
    stage.received("connected with nobody", got);
}

/// What the other end asks, a round at a time.
async fn blocking_rounds(peer: &mut std::net::TcpStream) {
    for _ in 0..3 {
        for bytes in [b"pool", b"owns", b"lent"] {
            peer.write_all(bytes).unwrap();
            // What is sent at once may come at once.
            pike::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(take(peer, 1), b".");
    }
}

/// Two buffers of 16 bytes: who wants a third waits until one comes back, first come, first served, and nobody else does.
pub fn dry(stage: &mut Stage) {
    let notifier = stage.builder().buffers(2, 16).build().unwrap();
    stage.elsewhere(notifier, |stage| {
        let (stream, mut peer) = stage.stream();
        let (other, mut other_peer) = stage.stream();
        peer.write_all(b"fills one bufferfills the other.the rest").unwrap();
        let mut leases: Vec<_> = (0..2).map(|_| stage.run(stream.recv_pooled()).unwrap()).collect();
        for lease in &leases {
            stage.bytes("taken", lease);
        }
        let mut first = stage.waiting(stream.recv_pooled());
        other_peer.write_all(b"the other's").unwrap();
        let mut second = stage.waiting(other.recv_pooled());
        stage.note("nobody is woken", [first.is_woken(), second.is_woken()]);
        let (got, peeked) = stage.run(async {
            let mut buf = [0; 3];
            let peeked = other.peek(&mut buf).await;
            (peeked, buf)
        });
        stage.result("who brings a buffer has no need to wait", got);
        stage.bytes("and sees", &peeked);
        drop(leases.pop());
        let got = stage.finish(&mut first);
        stage.received("a buffer comes back to the first", got);
        let got = stage.finish(&mut second);
        stage.received("that is dropped at once, to the second", got);
        drop((first, second));

        // A lease outlives its socket, and its Notifier.
        drop((stream, other));
        stage.bytes("still there", &leases[0]);
        let (elsewhere, _peer) = stage.stream();
        let mut waiting = Task::pending(elsewhere.recv_pooled());
        stage.drop_notifier();
        let got = waiting.ready();
        stage.received("its Notifier is gone", got);
        stage.bytes("and the lease is not", &leases[0]);
    });
}
