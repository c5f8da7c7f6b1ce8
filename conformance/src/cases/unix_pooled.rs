//! Streams of Unix into buffers of the pool: by readiness everywhere, and with all of a pool that a kernel may have a part of.

use std::{io::Write, os::unix::net::UnixStream};

use crate::{
    Boxed, Cx, Outcome, Task, join_all,
    net::{self, assert_bytes_at, bytes_at, soon},
};

/// Unix streams that share a pool: more than a buffer each, in order, sent before and while they wait, to the end and beyond.
pub fn unix_pooled_streams(cx: &Cx) -> Outcome {
    const LEN: usize = 150;
    let notifier = cx.builder().buffers(32, 64).build().unwrap();
    let here = notifier.enter();
    let pairs: Vec<_> = (0..8)
        .map(|_| {
            let (ours, peer) = UnixStream::pair().unwrap();
            (pike::net::UnixStream::from_std(ours).unwrap(), peer)
        })
        .collect();
    drop(here);
    for round in 0..4 {
        let mut waiting: Vec<_> = pairs.iter().map(|(ours, _)| Task::new(ours.recv_pooled())).collect();
        if round % 2 == 0 {
            waiting.iter_mut().for_each(|waiting| assert!(waiting.poll().is_pending()));
            cx.settle(&notifier);
        }
        for (n, (_, peer)) in pairs.iter().enumerate() {
            { peer }.write_all(&bytes_at(round * LEN + n, LEN)).unwrap();
        }
        for ((n, (ours, _)), mut waiting) in pairs.iter().enumerate().zip(waiting) {
            let mut got = net::finish(cx, &notifier, "a buffer", &mut waiting).unwrap().to_vec();
            while got.len() < LEN {
                let lease = soon(&notifier, "another buffer", ours.recv_pooled()).unwrap();
                assert!(!lease.is_empty() && lease.len() <= 64);
                got.extend_from_slice(&lease);
            }
            assert_eq!(got.len(), LEN);
            assert_bytes_at(round * LEN + n, &got);
        }
    }
    for (ours, peer) in pairs {
        let mut waiting = Task::pending(ours.recv_pooled());
        drop(peer);
        assert!(net::finish(cx, &notifier, "the end", &mut waiting).unwrap().is_empty());
        drop(waiting);
        assert!(soon(&notifier, "the end once more", ours.recv_pooled()).unwrap().is_empty());
    }
    Ok(())
}

/// Unix streams may have every buffer of the pool, although a kernel that receives for others by itself was lent most of them.
/// However short they are.
pub fn unix_pooled_has_every_buffer(cx: &Cx) -> Outcome {
    const COUNT: usize = 16;
    for (builder, len) in
        [(cx.builder(), 64), (cx.builder().bound(), 64), (cx.builder(), 8), (cx.builder(), 7)]
    {
        let notifier = builder.buffers(COUNT, len).build().unwrap();
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        let mut other = Task::pending(stream.recv_pooled());
        cx.settle(&notifier);
        let (ours, mut sender) = UnixStream::pair().unwrap();
        let ours = {
            let _here = notifier.enter();
            pike::net::UnixStream::from_std(ours).unwrap()
        };
        for round in 0..3 {
            let take = |number: usize| {
                let bytes = [(round * COUNT + number) as u8];
                (&sender).write_all(&bytes).unwrap();
                let lease = soon(&notifier, "every buffer", ours.recv_pooled()).unwrap();
                assert_eq!(lease[..], bytes);
                lease
            };
            let mut held: Vec<_> = (0..COUNT).map(take).collect();
            sender.write_all(b"late").unwrap();
            let mut late = Task::pending(ours.recv_pooled());
            cx.settle(&notifier);
            assert!(late.poll().is_pending(), "there is something, and no buffer");
            cx.assert_quiet(&notifier, "a dry pool");
            assert!(!late.is_woken(), "woken for nothing");
            held.pop();
            assert_eq!(&net::finish(cx, &notifier, "the last buffer", &mut late).unwrap()[..], b"late");
            // Who has what the kernel brings is served too, and the kernel is lent its part again.
            peer.write_all(b"bytes").unwrap();
            held.clear();
            assert_eq!(&net::finish(cx, &notifier, "bytes", &mut other).unwrap()[..], b"bytes");
            drop(other);
            other = Task::pending(stream.recv_pooled());
            cx.settle(&notifier);
        }
        // And as many streams one each, of which all wait at once.
        let here = notifier.enter();
        let pairs: Vec<_> = (0..COUNT)
            .map(|_| {
                let (ours, mut peer) = UnixStream::pair().unwrap();
                peer.write_all(b"of many").unwrap();
                (pike::net::UnixStream::from_std(ours).unwrap(), peer)
            })
            .collect();
        drop(here);
        let all = pairs.iter().map(|(ours, _)| -> Boxed<'_, _> { Box::pin(ours.recv_pooled()) });
        let held = soon(&notifier, "one each", join_all(all));
        assert!(held.into_iter().all(|lease| lease.unwrap()[..] == *b"of many"));
    }
    Ok(())
}
