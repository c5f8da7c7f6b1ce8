//! What is ended under somebody who waits: a Handle that is cancelled, one that is closed, a Notifier that goes.

use std::{
    io::{self, Read},
    time::Duration,
};

use pike::net::{TcpListener, TcpStream, UdpSocket};
use pike_conformance::Task;

use crate::stage::Stage;

/// Sockets with an operation of each kind that waits, and its calls once more.
struct Sockets {
    stream: TcpStream,
    peer: std::net::TcpStream,
    full: TcpStream,
    _full_peer: std::net::TcpStream,
    listener: TcpListener,
    udp: UdpSocket,
}

impl Sockets {
    fn new(stage: &Stage) -> Self {
        let ((stream, peer), (full, _full_peer)) = (stage.stream(), stage.stream());
        stage.cx.fill_up(stage.notifier(), &full);
        let listener = stage.run(TcpListener::bind("127.0.0.1:0")).unwrap();
        Self { stream, peer, full, _full_peer, listener, udp: stage.udp() }
    }

    /// Each says what became of it and of its buffer.
    fn operations(&self) -> Vec<(&'static str, Task<'_, Ended>)> {
        fn owned<T>((result, buf): (io::Result<T>, Vec<u8>)) -> Ended {
            (result.map(drop), buf)
        }
        let mine = || b"mine".to_vec();
        vec![
            ("read", Task::new(async { (self.stream.read(&mut [0; 8]).await.map(drop), Vec::new()) })),
            ("read_owned", Task::new(async move { owned(self.stream.read_owned(mine()).await) })),
            ("read_exact_owned", Task::new(async move { owned(self.stream.read_exact_owned(mine()).await) })),
            ("recv_pooled", Task::new(async { (self.stream.recv_pooled().await.map(drop), Vec::new()) })),
            ("recv_with", Task::new(async { (self.stream.recv_with(|_| ()).await, Vec::new()) })),
            ("write", Task::new(async { (self.full.write(b"never").await.map(drop), Vec::new()) })),
            ("write_owned", Task::new(async move { owned(self.full.write_owned(mine()).await) })),
            ("write_all_owned", Task::new(async move { owned(self.full.write_all_owned(mine()).await) })),
            ("accept", Task::new(async { (self.listener.accept().await.map(drop), Vec::new()) })),
            ("recv_from", Task::new(async { (self.udp.recv_from(&mut [0; 8]).await.map(drop), Vec::new()) })),
            ("recv_owned", Task::new(async move { owned(self.udp.recv_owned(mine()).await) })),
            ("recv_from_owned", Task::new(async move { owned(self.udp.recv_from_owned(mine()).await) })),
            (
                "recv_from_pooled",
                Task::new(async { (self.udp.recv_from_pooled().await.map(drop), Vec::new()) }),
            ),
            ("readable", Task::new(async { (self.udp.readable().await, Vec::new()) })),
        ]
    }

    /// Has all of them wait.
    fn begin(&self, stage: &Stage) -> Vec<(&'static str, Task<'_, Ended>)> {
        let mut waiting = self.operations();
        for (name, task) in &mut waiting {
            assert!(task.poll().is_pending(), "{name}");
        }
        stage.settle();
        waiting
    }
}

type Ended = (io::Result<()>, Vec<u8>);

pub fn cancelled(stage: &mut Stage) {
    let sockets = Sockets::new(stage);
    let waiting = sockets.begin(stage);
    sockets.stream.socket().cancel();
    sockets.full.socket().cancel();
    sockets.listener.socket().cancel();
    sockets.udp.socket().cancel();
    // Where the kernel has the buffer, a turn brings it back.
    stage.cx.turn_until(stage.notifier(), "all are told", || waiting.iter().all(|(_, task)| task.is_woken()));
    ended(stage, &sockets, waiting);
    // The descriptor stays open until it is dropped.
    let Sockets { stream, mut peer, .. } = sockets;
    peer.set_nonblocking(true).unwrap();
    stage.result("its peer sees nothing", peer.read(&mut [0; 8]));
    peer.set_nonblocking(false).unwrap();
    drop(stream);
    stage.settle();
    let end = peer.read(&mut [0; 8]);
    stage.result("and then the end", end);
}

pub fn closed(stage: &mut Stage) {
    // What was sent before it goes before it, also by an operation that was dropped.
    for owned in [false, true] {
        let (stream, mut peer) = stage.stream();
        if owned {
            let wrote = stage.run(stream.write_all_owned(b"last".to_vec()));
            stage.owned("written", wrote);
        } else {
            let wrote = stage.run(stream.write_all(b"last"));
            stage.result("written", wrote);
        }
        drop(stage.waiting(stream.read_owned(Vec::with_capacity(8))));
        drop(stage.waiting(stream.recv_pooled()));
        drop(stream);
        stage.settle();
        let mut rest = Vec::new();
        let got = peer.read_to_end(&mut rest);
        stage.result("the peer reads", got);
        stage.bytes("bytes", &rest);
    }
    let (one, other) = pike::socket::Socket::pair_on(
        stage.notifier(),
        pike::socket::Domain::Unix,
        pike::socket::Type::Stream,
        None,
    )
    .map(|(one, other)| (Some(one), Some(other)))
    .unwrap_or_default();
    if let (Some(one), Some(other)) = (one, other) {
        drop(stage.waiting(one.recv_pooled()));
        let closed = stage.run(one.close());
        stage.result("closed", closed);
        let end = stage.run(other.read_owned(b"mine".to_vec()));
        stage.owned("its peer sees the end", end);
    }
}

pub fn shut_down(stage: &mut Stage) {
    let notifier = stage.builder().build().unwrap();
    stage.elsewhere(notifier, |stage| {
        let sockets = Sockets::new(stage);
        let waiting = sockets.begin(stage);
        let left = stage.notifier().shutdown(Duration::from_secs(10));
        stage.note("left in flight", left);
        ended(stage, &sockets, waiting);
        let turned = stage.notifier().poll(Some(Duration::ZERO));
        stage.result("a turn", turned);
    });
}

pub fn notifier_gone(stage: &mut Stage) {
    let notifier = stage.builder().build().unwrap();
    stage.elsewhere(notifier, |stage| {
        let sockets = Sockets::new(stage);
        let waiting = sockets.begin(stage);
        stage.drop_notifier();
        ended(stage, &sockets, waiting);
        let Sockets { stream, mut peer, .. } = sockets;
        drop(stream);
        stage.result("the peer sees the end", peer.read(&mut [0]));
    });
}

/// Whoever waited has been told by now, and who calls later is told at once.
fn ended(stage: &mut Stage, sockets: &Sockets, waiting: Vec<(&'static str, Task<'_, Ended>)>) {
    for (name, mut task) in waiting {
        stage.note(&format!("{name} is woken"), task.is_woken());
        let ended = task.ready();
        stage.owned(name, ended);
    }
    for (name, mut task) in sockets.operations() {
        let ended = task.ready();
        stage.owned(&format!("{name}, later"), ended);
    }
}
