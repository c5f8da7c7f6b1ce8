//! Pools that are large enough for the kernel to have a part of them (16 buffers and more): who may have how many of the buffers,
//! and what becomes of the others when one socket has endless data, or when there is none left. On a backend where the kernel
//! takes no buffer by itself the same holds, for simpler reasons.

use std::{
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{Notifier, buf::Lease, net::TcpStream};

use super::{
    pooled::with_pool,
    pooled_messages::{EndOf, receiver},
};
use crate::{
    Boxed, Cx, Outcome, SHORT, Task, join_all,
    net::{self, assert_bytes_at, bytes_at, soon},
};

/// The fewest of which the kernel has a part.
const COUNT: usize = 16;
const LEN: usize = 64;

/// Each with a pool of `count` buffers: the kernel does its part at other moments for one that is bound.
fn free_and_bound(cx: &Cx, count: usize) -> [Notifier; 2] {
    let builders = [cx.builder(), cx.builder().bound()];
    builders.map(|builder| cx.opened(builder.buffers(count, LEN).build().expect("a Notifier")))
}

/// Has `count` buffers filled, one after the other, by a stream and a socket for datagrams in turn, and keeps them.
fn take(cx: &Cx, notifier: &Notifier, count: usize) -> Vec<Lease> {
    let (stream, mut peer) = net::with_peer(cx, notifier);
    let (socket, to, sender) = receiver(notifier);
    let one = |number: usize| {
        let bytes = [number as u8];
        let lease = soon(notifier, "a buffer for others", async {
            if number % 2 == 0 {
                peer.write_all(&bytes).unwrap();
                stream.recv_pooled().await.unwrap()
            } else {
                sender.send_to(&bytes, to).unwrap();
                socket.recv_pooled().await.unwrap()
            }
        });
        assert_eq!(lease[..], bytes);
        lease
    };
    (0..count).map(one).collect()
}

/// All bytes of `stream` up to `end`, in order.
fn receive_from(notifier: &Notifier, stream: &TcpStream, mut got: usize, end: usize) {
    soon(notifier, "what is left", async {
        while got < end {
            let lease = stream.recv_pooled().await.unwrap();
            assert!(!lease.is_empty(), "the end after {got} bytes");
            assert_bytes_at(got, &lease);
            got += lease.len();
        }
    });
    assert_eq!(got, end);
}

/// A peer that goes on sending to a socket that nobody reads has a few buffers at most, and all others are there for others. None
/// of what it sent is lost.
pub fn pooled_unread_takes_few(cx: &Cx) -> Outcome {
    const COUNT: usize = 64;
    // Some more may come before the kernel has been told to stop.
    const FEW: usize = 8;
    let both = free_and_bound(cx, COUNT);
    for (notifier, given_up) in both.iter().flat_map(|notifier| [(notifier, true), (notifier, false)]) {
        let (greedy, mut peer) = net::with_peer(cx, notifier);
        let (socket, to, sender) = receiver(notifier);
        // Asked for once; then given up, or nobody comes back for it.
        let mut asked = Some((Task::pending(greedy.recv_pooled()), Task::pending(socket.recv_from_pooled())));
        cx.settle(notifier);
        if given_up {
            asked = None;
        }
        // A turn for each, so that each is a buffer of its own if it is in one.
        for at in 0..COUNT {
            peer.write_all(&bytes_at(at, 1)).unwrap();
            sender.send_to(&[at as u8], to).unwrap();
            notifier.poll(Some(Duration::from_millis(1))).unwrap();
        }
        cx.settle(notifier);
        let held = take(cx, notifier, COUNT - FEW);
        drop((held, asked));
        receive_from(notifier, &greedy, 0, COUNT);
        soon(notifier, "every datagram", async {
            for number in 0..COUNT {
                assert_eq!(socket.recv_pooled().await.unwrap()[..], [number as u8]);
            }
        });
    }
    Ok(())
}

/// As much as fits arrives at once, for a socket that nobody reads. The kernel may receive a lot of that before it is told to stop;
/// but it is not lent most of the pool before others need that, so that nearly half is left for them.
pub fn pooled_flood_that_nobody_reads(cx: &Cx) -> Outcome {
    const COUNT: usize = 512;
    const FLOOD: usize = 2 << 20;
    for builder in [cx.builder(), cx.builder().bound()] {
        let notifier = cx.opened(builder.buffers(COUNT, FLOOD / COUNT).build().expect("a Notifier"));
        let (greedy, mut peer) = net::with_peer(cx, &notifier);
        let asked = Task::pending(greedy.recv_pooled());
        cx.settle(&notifier);
        peer.set_nonblocking(true).unwrap();
        let mut sent = 0;
        for _ in 0..2 {
            // And again, into the room that was made.
            while sent < FLOOD {
                let Ok(count) = peer.write(&bytes_at(sent, 4096)) else { break };
                sent += count;
            }
            cx.settle(&notifier);
        }
        assert!(sent >= 1 << 15, "{sent} bytes fit");
        let held = take(cx, &notifier, COUNT / 2 - COUNT / 32);
        drop((held, asked));
        receive_from(&notifier, &greedy, 0, sent);
    }
    Ok(())
}

/// Connections that are idle hold no buffer: three times as many as there are buffers wait to receive, and all buffers are there
/// for others.
pub fn pooled_shared_idle_holds_no_buffer(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, COUNT, LEN);
    let (streams, mut peers): (Vec<_>, Vec<_>) =
        (0..3 * COUNT).map(|_| net::with_peer(cx, &notifier)).unzip();
    let mut waiting: Vec<_> = streams.iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
    cx.assert_quiet(&notifier, "many that wait");
    drop(take(cx, &notifier, COUNT));
    for (at, (peer, task)) in peers.iter_mut().zip(&mut waiting).enumerate().rev() {
        peer.write_all(&[at as u8]).unwrap();
        let lease = net::finish(cx, &notifier, "one of many", task).unwrap();
        assert_eq!(lease[..], [at as u8]);
    }
    Ok(())
}

/// One stream with endless data, whose reader keeps half of the pool, beside others with little: nobody starves, and every byte
/// of the endless one comes in order.
pub fn pooled_shared_greedy_socket(cx: &Cx) -> Outcome {
    let notifier = with_pool(cx, COUNT, LEN);
    let (greedy, mut flood) = net::with_peer(cx, &notifier);
    let over = &AtomicBool::new(false);
    let rounds = cx.rounds(50);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            flood.set_nonblocking(true).unwrap();
            while !over.load(Ordering::Relaxed) {
                match flood.write(&bytes_at(sent, 1 << 14)) {
                    Ok(count) => sent += count,
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        let _flood = EndOf(over);
        let modest: Vec<_> = (0..8).map(|_| net::pair(cx, &notifier)).collect();
        let others = join_all(modest.iter().map(|(one, other)| -> Boxed<'_, ()> {
            Box::pin(async move {
                for round in 0..rounds {
                    other.write_all(&[round as u8]).await.unwrap();
                    let lease = one.recv_pooled().await.unwrap();
                    future::yield_now().await; // others ask while it is held
                    assert_eq!(lease[..], [round as u8]);
                }
            })
        }));
        let held = async {
            let (mut held, mut got) = (std::collections::VecDeque::new(), 0);
            loop {
                let lease = greedy.recv_pooled().await.unwrap();
                assert_bytes_at(got, &lease);
                got += lease.len();
                held.push_back(lease);
                if held.len() == COUNT / 2 {
                    held.pop_front();
                }
            }
        };
        soon(&notifier, "the modest", future::or(async { drop(others.await) }, held));
    });
    Ok(())
}

/// Polls those that are woken, in order, until nothing has happened for a while. Says how often it polled.
fn drive<R>(cx: &Cx, notifier: &Notifier, tasks: &mut [Task<'_, R>]) -> usize {
    let before: usize = tasks.iter().map(Task::polls).sum();
    let mut end = Instant::now() + SHORT;
    while Instant::now() < end {
        notifier.poll(Some(SHORT / 10)).unwrap();
        for task in tasks.iter_mut().filter(|task| task.is_woken()) {
            cx.check_time("tasks are woken again and again");
            assert!(task.poll().is_pending(), "there is no buffer");
            end = Instant::now() + SHORT;
        }
    }
    tasks.iter().map(Task::polls).sum::<usize>() - before
}

/// Once all buffers are taken the streams wait, and neither fail nor spin: no turn is for nothing, nobody is polled for nothing. What
/// comes back goes to them in the order in which they asked; and once all are back, every byte has come, in order.
pub fn pooled_shared_runs_dry(cx: &Cx) -> Outcome {
    const STREAMS: usize = 8;
    const TOTAL: usize = 3 * LEN + 7;
    for notifier in free_and_bound(cx, COUNT) {
        let mut held = take(cx, &notifier, COUNT);
        let (streams, mut peers): (Vec<_>, Vec<_>) =
            (0..STREAMS).map(|_| net::with_peer(cx, &notifier)).unzip();
        peers.iter_mut().for_each(|peer| peer.write_all(&bytes_at(0, TOTAL)).unwrap());
        cx.settle(&notifier);
        let mut waiting: Vec<_> = streams.iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
        let polls = drive(cx, &notifier, &mut waiting);
        assert!(polls <= 2 * STREAMS, "{polls} polls of {STREAMS} that wait for a buffer");
        cx.assert_quiet(&notifier, "a dry pool");
        assert_eq!(drive(cx, &notifier, &mut waiting), 0, "woken for nothing");

        let mut got = Vec::new();
        for at in 0..STREAMS {
            drop(held.remove(0));
            assert!(waiting[at].is_woken(), "not the next: {at}");
            assert!(waiting[at + 1..].iter().all(|task| !task.is_woken()), "overtook {at}");
            let Poll::Ready(lease) = waiting[at].poll() else { panic!("there is a buffer for {at}") };
            let lease = lease.unwrap();
            assert_bytes_at(0, &lease);
            got.push(lease.len());
            held.push(lease);
            assert_eq!(drive(cx, &notifier, &mut waiting[at + 1..]), 0, "woken for nothing");
        }
        drop(waiting);
        held.clear();
        for (stream, got) in streams.iter().zip(got) {
            receive_from(&notifier, stream, got, TOTAL);
        }
        drop(take(cx, &notifier, COUNT));
    }
    Ok(())
}

/// Who says nothing of the pool has one in which 256 messages may be at work at a time, beside sockets that wait.
pub fn pooled_default_is_large(cx: &Cx) -> Outcome {
    const AT_WORK: usize = 256;
    let notifier = cx.notifier();
    let idle: Vec<_> = (0..AT_WORK / 4).map(|_| receiver(&notifier).0).collect();
    let waiting: Vec<_> = idle.iter().map(|socket| Task::pending(socket.recv_from_pooled())).collect();
    cx.settle(&notifier);
    let held = take(cx, &notifier, AT_WORK);
    // And a buffer takes a page.
    let (socket, to, sender) = receiver(&notifier);
    sender.send_to(&bytes_at(0, 4096), to).unwrap();
    let lease = soon(&notifier, "a page", socket.recv_pooled()).unwrap();
    assert_eq!(lease.len(), 4096);
    assert_bytes_at(0, &lease);
    drop((held, waiting));
    Ok(())
}
