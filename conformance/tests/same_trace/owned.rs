//! Operations that own their buffer, on streams: what they move, and what comes back with each end there is.

use std::{
    io::{Read, Write},
    net::Shutdown,
    pin::pin,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use pike::{
    buf::IoBuf,
    socket::{RecvFlags, SendFlags},
};

use crate::stage::{Stage, take};

pub fn scene(stage: &mut Stage) {
    let (stream, mut peer) = stage.stream();
    let wrote = stage.run(stream.write_owned(b"a Vec,".to_vec()));
    stage.owned("written", wrote);
    let wrote = stage.run(stream.write_all_owned(Bytes::from_static(b"Bytes,")));
    stage.owned("all written", wrote);
    let wrote = stage.run(stream.socket().send_owned(Box::new(*b"a Box,"), SendFlags::NONE));
    stage.owned("sent", wrote);
    let (wrote, pieces) =
        stage.run(stream.write_vectored_owned([b"seve".to_vec(), Vec::new(), b"ral".to_vec()]));
    stage.result("written of several", wrote);
    stage.bytes("with the buffers", &pieces.concat());
    stage.bytes("arrived in order", &take(&mut peer, 25));

    // Receives that have to wait, and then one after another what is there already.
    let mut waiting = stage.waiting(stream.read_owned(b"what was there".to_vec()));
    peer.write_all(b"waited").unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("read", got);
    peer.write_all(b"a Box,BytesMut,several,flags,exactly").unwrap();
    let got = stage.run(stream.read_owned(vec![b'.'; 6].into_boxed_slice()));
    stage.owned("into a Box", got);
    let got = stage.run(stream.read_exact_owned(BytesMut::with_capacity(64).part(..9)));
    stage.owned("into BytesMut", got);
    let rooms = [Vec::with_capacity(3), Vec::new(), Vec::with_capacity(5)];
    let (got, rooms) = stage.run(stream.read_vectored_owned(rooms));
    stage.result("into several", got);
    stage.note("of these lengths", rooms.each_ref().map(Vec::len));
    stage.bytes("with the buffers", &rooms.concat());
    let got = stage.run(stream.socket().recv_owned(Vec::with_capacity(5), RecvFlags::PEEK));
    stage.owned("peeked", got);
    let got = stage.run(stream.socket().recv_owned(Vec::with_capacity(6), RecvFlags::NONE));
    stage.owned("received", got);
    let mut waiting = stage.waiting(stream.read_exact_owned(Vec::with_capacity(9)));
    peer.write_all(b"!!").unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("all of them", got);
    stage.result("then nothing", stream.try_read(&mut [0]));
    let got = stage.run(stream.read_owned(Vec::new()));
    stage.owned("no room", got);
    let wrote = stage.run(stream.write_owned(Vec::new()));
    stage.owned("nothing to write", wrote);
    peer.write_all(b"x").unwrap();
    let got = stage.run(stream.socket().recv_from_owned(b"mine".to_vec()));
    stage.owned("a stream has no senders", (got.0.map(drop), got.1));
    let got = stage.run(stream.read_owned(Vec::with_capacity(8)));
    stage.owned("and the byte is there", got);

    ends(stage);
}

/// The end of either direction, a reset, and a peer that is gone.
fn ends(stage: &mut Stage) {
    let (stream, mut peer) = stage.stream();
    let mut waiting = stage.waiting(stream.read_owned(b"mine".to_vec()));
    peer.write_all(b"ab").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("the last bytes", got);
    let got = stage.run(stream.read_owned(b"mine".to_vec()));
    stage.owned("the end", got);
    let got = stage.run(stream.read_exact_owned(b"mine".to_vec()));
    stage.owned("not so many", got);
    let (got, rooms) = stage.run(stream.read_vectored_owned([b"mi".to_vec(), b"ne".to_vec()]));
    stage.result("the end of several", got);
    stage.bytes("with the buffers", &rooms.concat());
    stage.result("no more writing", stream.shutdown(Shutdown::Write));
    let wrote = stage.run(stream.write_owned(b"mine".to_vec()));
    stage.owned("after its own end", wrote);
    let (wrote, pieces) = stage.run(stream.write_vectored_owned([b"mi".to_vec(), b"ne".to_vec()]));
    stage.result("nor several", wrote);
    stage.bytes("with the buffers", &pieces.concat());
    drop(stream);

    let (stream, _peer) = stage.stream();
    let mut waiting = stage.waiting(stream.read_owned(b"mine".to_vec()));
    stage.result("no more reading", stream.shutdown(Shutdown::Read));
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("ends who reads", got);

    for waits in [false, true] {
        let (stream, peer) = stage.streams();
        peer.set_zero_linger().unwrap();
        let mut waiting = waits.then(|| stage.waiting(stream.read_owned(b"mine".to_vec())));
        drop(peer);
        stage.settle();
        let got = match &mut waiting {
            Some(waiting) => stage.finish(waiting),
            None => stage.run(stream.read_owned(b"mine".to_vec())),
        };
        drop(waiting);
        stage.owned("a reset", got);
        let got = stage.run(stream.read_owned(b"mine".to_vec()));
        stage.owned("once", got);
        let wrote = stage.run(stream.write_all_owned(b"mine".to_vec()));
        stage.owned("nobody is there", wrote);
    }
}

/// Limits, explicit cancels, and what comes behind a send that was not done.
pub fn given_up(stage: &mut Stage) {
    let (stream, mut peer) = stage.stream();
    let late = stage.run(stream.read_owned(b"mine".to_vec()).timeout(Duration::from_millis(5)));
    stage.owned("a read in vain", late);
    let late = stage.run(stream.read_exact_owned(b"mine".to_vec()).timeout(Duration::from_millis(5)));
    stage.owned("all of it in vain", late);

    let mut unpolled = Box::pin(stream.read_owned(b"mine".to_vec()));
    unpolled.as_mut().cancel();
    let got = stage.run(unpolled);
    stage.owned("cancelled before its first poll", got);
    for bytes in [&b""[..], b"ping"] {
        let got = stage.run(async {
            let mut waiting = pin!(stream.read_owned(b"mine".to_vec()));
            assert!(futures_lite::future::poll_once(waiting.as_mut()).await.is_none());
            if !bytes.is_empty() {
                peer.write_all(bytes).unwrap();
                stream.readable().await.unwrap();
            }
            waiting.as_mut().cancel();
            waiting.await
        });
        if bytes.is_empty() {
            stage.owned("cancelled while it waits", got);
            continue;
        }
        // It may have won the race. Nothing is lost either way.
        let mut all = if got.0.is_ok() { got.1 } else { Vec::new() };
        while all.len() < 4 {
            all.extend(stage.run(stream.read_owned(Vec::with_capacity(8))).1);
        }
        stage.bytes("cancelled when something is there", &all);
    }

    // Sends that do not begin, as the peer reads nothing, and what is sent after that.
    let full = stage.cx.fill_up(stage.notifier(), &stream);
    let late = stage.run(stream.write_owned(b"never".to_vec()).timeout(Duration::from_millis(5)));
    stage.owned("a write in vain", late);
    let cancelled = stage.run(async {
        let mut waiting = pin!(stream.write_owned(b"never".to_vec()));
        assert!(futures_lite::future::poll_once(waiting.as_mut()).await.is_none());
        waiting.as_mut().cancel();
        waiting.await
    });
    stage.owned("a write that is cancelled", cancelled);
    let mut waiting = stage.waiting(stream.write_all_owned(b"owned,".to_vec()));
    let mut behind = stage.waiting(stream.write_all(b"borrowed"));
    stage.cx.drain(&mut peer, full);
    let wrote = stage.finish(&mut waiting);
    stage.owned("a write that waited", wrote);
    let wrote = stage.finish(&mut behind);
    stage.result("and the one behind", wrote);
    drop((waiting, behind));
    stage.bytes("arrived in order", &take(&mut peer, 14));

    // An end goes behind what was begun before.
    let full = stage.cx.fill_up(stage.notifier(), &stream);
    let mut waiting = stage.waiting(stream.write_all_owned(b"before the end".to_vec()));
    let reader = std::thread::spawn(move || {
        take(&mut peer, full);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).map(|_| rest)
    });
    let wrote = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("a write", wrote);
    stage.result("and an end", stream.shutdown(Shutdown::Write));
    stage.cx.turn_until(stage.notifier(), "the end arrives", || reader.is_finished());
    stage.received("the peer has read", reader.join().unwrap());
}
