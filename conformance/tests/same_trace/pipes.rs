//! What is no socket: a pipe, read and written in every form that a Handle has.

use std::io::{Read, Write};

use pike::{Handle, Interest};
use pike_conformance::unix;

use crate::stage::Stage;

pub fn scene(stage: &mut Stage) {
    let (source, sink) = unix::pipe();
    let source = Handle::new_on(stage.notifier(), source).unwrap();
    let sink = Handle::new_on(stage.notifier(), sink).unwrap();
    let mut waiting = stage.waiting(source.read_owned(b"what was there".to_vec()));
    let wrote = stage.run(sink.write_owned(b"waited".to_vec()));
    stage.owned("written", wrote);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("read", got);
    let mut waiting = stage.waiting(source.read_pooled());
    let wrote = stage.run(sink.write_all_owned(b"into the pool".to_vec()));
    stage.owned("all written", wrote);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.received("a buffer of the pool", got);
    let wrote = stage.run(sink.async_io(Interest::WRITABLE, |mut io| io.write(b"borrowed")));
    stage.result("borrowed", wrote);
    let mut buf = [0; 8];
    let got = stage.run(source.async_io(Interest::READABLE, |mut io| io.read(&mut buf)));
    stage.result("read", got);
    stage.bytes("bytes", &buf);
    stage.result("then nothing", source.try_io(Interest::READABLE, |mut io| io.read(&mut buf)));
    let got = stage.run(source.read_owned(Vec::new()));
    stage.owned("no room", got);

    // Bytes that come for a read which was dropped.
    let dropped = stage.waiting(source.read_owned(Vec::with_capacity(4)));
    let wrote = stage.run(sink.write_owned(&b"for the next"[..]));
    stage.owned("written for nobody", wrote);
    stage.settle();
    drop(dropped);
    stage.settle();
    let mut all = Vec::new();
    while all.len() < 12 {
        all.extend(stage.run(source.read_owned(Vec::with_capacity(16))).1);
    }
    stage.bytes("waited for the next", &all);

    let mut waiting = stage.waiting(source.read_owned(b"mine".to_vec()));
    drop(sink);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("the end", got);
    let got = stage.run(source.read_pooled());
    stage.received("the end again", got);
    let closed = stage.run(source.close());
    stage.result("closed", closed);

    let (source, sink) = unix::pipe();
    let sink = Handle::new_on(stage.notifier(), sink).unwrap();
    stage.cx.fill(sink.get_ref());
    let mut waiting = stage.waiting(sink.write_owned(b"mine".to_vec()));
    drop(source);
    let wrote = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("nobody reads any more", wrote);
    let wrote = stage.run(sink.write_all_owned(b"mine".to_vec()));
    stage.owned("nor later", wrote);
}
