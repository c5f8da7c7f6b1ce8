//! The end of a Notifier by another thread than the one that turns it (I3): that thread does what is to be done, as it leaves its
//! turn, or as it exits. What the kernel had in flight ends, and the buffers come back.

use std::{
    io::Write,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use pike::{Closed, Notifier, buf::BufResult, net::TcpStream};

use super::lifecycle::{assert_closed, read_to_end};
use crate::{
    Cx, Outcome, Task,
    net::{self, bytes_at, v4},
    system,
};

/// Long: nobody waits for it.
const LIMIT: Duration = Duration::from_secs(600);

/// Sockets with something in flight in the kernel, where the backend completes.
struct Sockets {
    readers: Vec<TcpStream>,
    writer: TcpStream,
    listener: pike::net::TcpListener,
    peers: Vec<std::net::TcpStream>,
}

impl Sockets {
    fn new(cx: &Cx, notifier: &Notifier) -> Self {
        let (readers, mut peers): (Vec<_>, Vec<_>) = (0..8).map(|_| net::with_peer(cx, notifier)).unzip();
        let (writer, peer) = net::with_peer(cx, notifier);
        peers.push(peer);
        cx.fill_stream(&writer);
        let _here = notifier.enter();
        let listener = std::net::TcpListener::bind(v4()).unwrap();
        let listener = pike::net::TcpListener::from_std(listener).unwrap();
        Self { readers, writer, listener, peers }
    }

    fn begin(&self) -> Operations<'_> {
        let (owned, pooled) = self.readers.split_at(4);
        Operations {
            reads: owned.iter().map(|stream| Task::pending(stream.read_owned(b"mine".to_vec()))).collect(),
            pooled: pooled
                .iter()
                .map(|stream| Task::pending(async { stream.recv_pooled().await.map(drop) }))
                .collect(),
            accept: Task::pending(async { self.listener.accept().await.map(drop) }),
            write: Task::pending(self.writer.write_all_owned(bytes_at(0, 1 << 20))),
        }
    }
}

type Result<T> = std::io::Result<T>;

struct Operations<'a> {
    reads: Vec<Task<'a, BufResult<usize, Vec<u8>>>>,
    pooled: Vec<Task<'a, Result<()>>>,
    accept: Task<'a, Result<()>>,
    write: Task<'a, BufResult<(), Vec<u8>>>,
}

impl Operations<'_> {
    /// All end with `Closed`, and give back what they own.
    fn end(mut self, cx: &Cx, what: &str) {
        for read in &mut self.reads {
            let (result, buf) = closed(cx, what, read);
            assert_closed(what, result);
            assert_eq!(buf, b"mine", "{what}");
        }
        for pooled in &mut self.pooled {
            assert_closed(what, closed(cx, what, pooled));
        }
        assert_closed(what, closed(cx, what, &mut self.accept));
        let (result, buf) = closed(cx, what, &mut self.write);
        assert_closed(what, result);
        assert!(buf == bytes_at(0, 1 << 20), "{what}: another buffer, or not all of it");
    }
}

#[track_caller]
fn closed<R>(cx: &Cx, what: &str, task: &mut Task<'_, R>) -> R {
    loop {
        cx.until(what, || task.is_woken());
        if let std::task::Poll::Ready(output) = task.poll() {
            return output;
        }
    }
}

/// Another thread sleeps in a turn, for good: a shutdown returns at once with 0, and ends that turn. Its thread cancels all, and
/// finds the Notifier closed after that.
pub fn shutdown_ends_the_turn_of_another(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    for (bound, arrives) in [(false, false), (false, true), (true, false), (true, true)] {
        let builder = if bound { cx.builder().bound() } else { cx.builder() };
        let notifier = builder.buffers(64, 256).build().unwrap();
        let sockets = Sockets::new(cx, &notifier);
        thread::scope(|scope| {
            let turns = scope.spawn(|| {
                loop {
                    if let Err(error) = notifier.poll(None) {
                        return error;
                    }
                }
            });
            cx.until("the first turn", || notifier.turns() > 0);
            let operations = sockets.begin();
            if arrives {
                // By the next turn but one the kernel has all.
                let turns = notifier.turns();
                cx.until("two turns", || {
                    notifier.notify();
                    notifier.turns() > turns + 1
                });
            }
            let start = Instant::now();
            assert_eq!(notifier.shutdown(LIMIT), 0);
            assert!(start.elapsed() < LIMIT / 2, "it waited for another thread");
            operations.end(cx, &format!("bound: {bound}, arrives: {arrives}"));
            assert!(Closed::is(&turns.join().unwrap()));
        });
        assert_eq!(notifier.shutdown(LIMIT), 0, "again");
        let Sockets { readers, writer, listener, peers } = sockets;
        drop((readers, writer, listener, notifier));
        peers.into_iter().take(8).for_each(|peer| assert_eq!(read_to_end(peer), b""));
    }
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}

/// The thread that a Notifier is bound to is elsewhere, in no turn: a shutdown by another one returns at once with 0, and it is
/// that thread which ends what is in flight, with its next call or as it exits.
pub fn shutdown_of_a_bound_notifier_elsewhere(cx: &Cx) -> Outcome {
    let before = system::descriptors();
    for calls in [true, false] {
        let what = format!("its thread calls: {calls}");
        let notifier = cx.builder().bound().buffers(64, 256).build().unwrap();
        let sockets = Sockets::new(cx, &notifier);
        let operations = sockets.begin();
        thread::scope(|scope| {
            let ((turned, was_turned), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
            let its = &notifier;
            let owner = scope.spawn(move || {
                cx.settle(its);
                turned.send(()).unwrap();
                goes.recv().unwrap();
                if calls {
                    assert!(Closed::is(&its.poll(None).unwrap_err()));
                }
            });
            was_turned.recv().unwrap();
            let start = Instant::now();
            assert_eq!(notifier.shutdown(LIMIT), 0, "{what}");
            assert_eq!(notifier.shutdown(Duration::ZERO), 0, "{what}, again");
            assert!(start.elapsed() < LIMIT / 2, "it waited for another thread");
            // Nobody may begin anything.
            let (result, buf) = Task::new(sockets.readers[0].read_owned(b"mine".to_vec())).ready();
            assert_closed(&what, result);
            assert_eq!(buf, b"mine");
            go.send(()).unwrap();
            if calls {
                owner.join().unwrap();
            }
        });
        operations.end(cx, &what);
        let Sockets { readers, writer, listener, mut peers } = sockets;
        // What comes now is for nobody.
        peers[0].write_all(b"late").unwrap();
        drop((readers, writer, listener, notifier));
        peers.drain(1..8).for_each(|peer| assert_eq!(read_to_end(peer), b""));
    }
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}
