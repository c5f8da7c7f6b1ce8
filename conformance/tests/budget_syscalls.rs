//! What a turn costs in system calls, counted by tracing a child of a fork (`pike_conformance::trace`): with the scheduler's
//! pool, with a plain `block_on`, and what a notification costs.
#![cfg(any(target_os = "linux", target_os = "android"))]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use futures_lite::future;
use pike::{Event, Notifier, net};
use pike_conformance::{
    Boxed, Skip,
    harness::{alone, note_skip},
    join_all,
    trace::{self, Calls},
    unix,
};

/// Counts in a child, and compares each piece with `expected`.
#[track_caller]
fn expect(what: &str, expected: &Calls, f: impl FnOnce()) {
    let counted = alone(|| {
        unix::raise_descriptor_limit();
        trace::count(f)
    });
    match counted {
        Err(skip) => note_skip(what.to_owned(), Skip::because(skip.reason())),
        Ok(pieces) => {
            assert!(!pieces.is_empty(), "{what}: nothing was counted");
            let pieces: Vec<_> = pieces.into_iter().map(Calls::with_one_wait).collect();
            assert!(
                pieces.iter().all(|piece| piece == expected),
                "{what}: {pieces:?}, not {expected:?} each"
            );
        }
    }
}

fn echo_turn(sockets: usize) -> Calls {
    Calls::of(&[(libc::SYS_epoll_pwait2, 1), (libc::SYS_recvfrom, sockets), (libc::SYS_sendto, sockets)])
}

fn pairs(count: usize) -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (0..count).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)).unzip()
}

/// A round in which every connection echoes once. The last one ends it.
struct Round {
    sockets: usize,
    echoed: AtomicUsize,
    /// Whether the calls of this round are counted: all but the first, which gets memory for the batch.
    counted: AtomicBool,
    over: Event,
}

impl Round {
    fn new(sockets: usize) -> Arc<Self> {
        let (echoed, counted) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { sockets, echoed, counted, over: Event::new().unwrap() })
    }

    /// A connection has answered. The last one ends the round: no call of its own.
    fn has_echoed(&self) {
        if self.echoed.fetch_add(1, SeqCst) + 1 == self.sockets {
            self.mark();
            self.over.notify();
        }
    }

    /// Called before the calls of a round, and after them.
    fn mark(&self) {
        if self.counted.load(SeqCst) {
            trace::mark();
        }
    }
}

async fn echo(stream: net::TcpStream, round: Arc<Round>) {
    let mut buf = [0; 256];
    loop {
        match stream.read(&mut buf).await.unwrap() {
            0 => return,
            n => stream.write_all(&buf[..n]).await.unwrap(),
        }
        round.has_echoed();
    }
}

/// The same by the kernel: received into a buffer of the pool, and sent out of it.
#[cfg(target_os = "linux")]
async fn relay(stream: net::TcpStream, round: Arc<Round>) {
    loop {
        let lease = stream.recv_pooled().await.unwrap();
        if lease.is_empty() {
            return;
        }
        stream.write_all_owned(lease).await.0.unwrap();
        round.has_echoed();
    }
}

/// The same of datagrams, whose senders are told.
#[cfg(target_os = "linux")]
async fn answer(socket: net::UdpSocket, round: Arc<Round>) {
    loop {
        let (lease, from) = socket.recv_from_pooled().await.unwrap();
        socket.send_to_owned(lease, from).await.0.unwrap();
        round.has_echoed();
    }
}

/// The other ends: makes all sockets ready and waits for the end of the round, so that between the marks there is the turn
/// that finds them, the work of the tasks, and nothing else.
async fn ask(mut peers: Vec<TcpStream>, round: Arc<Round>) {
    for n in 0..4 {
        peers.iter_mut().for_each(|peer| peer.write_all(b"ping").unwrap());
        round.echoed.store(0, SeqCst);
        round.counted.store(n > 0, SeqCst);
        round.mark();
        while round.echoed.load(SeqCst) < round.sockets {
            round.over.wait().await.unwrap();
        }
        let mut buf = [0; 4];
        for peer in &mut peers {
            peer.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"ping");
        }
    }
}

/// The pool: a task a connection.
#[test]
fn pool_echo_turn() {
    for sockets in [1, 16, 64, 1000] {
        expect(&format!("pool, {sockets} sockets"), &echo_turn(sockets), || {
            let (ours, peers) = pairs(sockets);
            pike_sched::Pool::new().unwrap().run(async {
                let round = Round::new(sockets);
                for stream in ours {
                    let stream = net::TcpStream::from_std(stream).unwrap();
                    pike_sched::spawn(echo(stream, round.clone()));
                }
                settle().await;
                ask(peers, round).await;
            });
        });
    }
}

/// A ring takes all sends of a turn with one call, which brings what was received too: at most 0.06 calls a message are allowed
/// (the budget of the design), where epoll makes two and a turn; one or two calls for 64 messages are made.
#[cfg(target_os = "linux")]
#[test]
fn ring_echo_turn() {
    expect_few("ring_echo_turn", 0.04, ring_echo(pike_sched::Pool::builder(), SOCKETS, 0), SOCKETS);
}

/// More messages at a time than the kernel is lent buffers for at first: of the first round it receives some, and is lent more
/// for the next. Nobody makes a call for what found no buffer then.
#[cfg(target_os = "linux")]
#[test]
fn ring_echo_of_many() {
    const MANY: usize = 1000;
    expect_few("ring_echo_of_many", 0.04, ring_echo(pike_sched::Pool::builder(), MANY, 0), MANY);
}

/// Leases that are held elsewhere are none of the buffers that the kernel was lent: it has as many as without them.
#[cfg(target_os = "linux")]
#[test]
fn ring_echo_beside_leases() {
    expect_few(
        "ring_echo_beside_leases",
        0.06,
        ring_echo(pike_sched::Pool::builder(), SOCKETS, 2000),
        SOCKETS,
    );
}

/// A bound ring does its work within calls, and in a round that begins with nothing to send it does twenty pieces of it in the
/// first, twenty in the second, and the rest in the third.
#[cfg(target_os = "linux")]
#[test]
fn bound_ring_echo_turn() {
    expect_few(
        "bound_ring_echo_turn",
        0.07,
        ring_echo(pike_sched::Pool::builder().bound(), SOCKETS, 0),
        SOCKETS,
    );
}

/// Of fewer than twenty nothing is left that a call has to look for: one brings what has come, and one what was sent.
#[cfg(target_os = "linux")]
#[test]
fn bound_ring_echo_of_few() {
    const FEW: usize = 16;
    expect_few("bound_ring_echo_of_few", 0.13, ring_echo(pike_sched::Pool::builder().bound(), FEW, 0), FEW);
}

#[cfg(target_os = "linux")]
const SOCKETS: usize = 64;

#[cfg(target_os = "linux")]
/// `held`: so many buffers of the pool are in use by others meanwhile.
fn ring_echo(pool: pike_sched::Builder, sockets: usize, held: usize) -> Result<Vec<Calls>, Skip> {
    alone(|| {
        unix::raise_descriptor_limit();
        trace::count(|| {
            let (ours, peers) = pairs(sockets);
            pool.backend(pike::Backend::IoUring).build().unwrap().run(async {
                let (mut sender, receiver) = UnixStream::pair().unwrap();
                let receiver = net::UnixStream::from_std(receiver).unwrap();
                let mut leases = Vec::new();
                for _ in 0..held {
                    sender.write_all(b"x").unwrap();
                    leases.push(receiver.recv_pooled().await.unwrap());
                }
                let round = Round::new(sockets);
                for stream in ours {
                    let stream = net::TcpStream::from_std(stream).unwrap();
                    pike_sched::spawn(relay(stream, round.clone()));
                }
                settle().await;
                ask(peers, round).await;
            });
        })
    })
}

/// The same of datagrams, each on a socket of its own.
#[cfg(target_os = "linux")]
#[test]
fn ring_datagram_turn() {
    let counted = alone(|| {
        trace::count(|| {
            let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
            let (ours, peers): (Vec<_>, Vec<_>) = (0..SOCKETS).map(|_| (socket(), socket())).unzip();
            let pool = pike_sched::Pool::builder().backend(pike::Backend::IoUring).build().unwrap();
            pool.run(async {
                let round = Round::new(SOCKETS);
                for (ours, peer) in ours.into_iter().zip(&peers) {
                    peer.connect(ours.local_addr().unwrap()).unwrap();
                    let socket = net::UdpSocket::from_std(ours).unwrap();
                    pike_sched::spawn(answer(socket, round.clone()));
                }
                settle().await;
                for n in 0..4 {
                    peers.iter().for_each(|peer| _ = peer.send(b"ping").unwrap());
                    round.echoed.store(0, SeqCst);
                    round.counted.store(n > 0, SeqCst);
                    round.mark();
                    while round.echoed.load(SeqCst) < SOCKETS {
                        round.over.wait().await.unwrap();
                    }
                    peers.iter().for_each(|peer| assert_eq!(peer.recv(&mut [0; 8]).unwrap(), 4));
                }
            });
        })
    });
    expect_few("ring_datagram_turn", 0.04, counted, SOCKETS);
}

/// At most the limit for a message, in each round that was counted.
#[cfg(target_os = "linux")]
fn expect_few(what: &str, limit: f64, counted: Result<Vec<Calls>, Skip>, sockets: usize) {
    let pieces = match counted {
        Err(skip) => return note_skip(what.to_owned(), Skip::because(skip.reason())),
        Ok(pieces) => pieces,
    };
    assert_eq!(pieces.len(), 3, "the rounds that are counted");
    for piece in pieces {
        let each = piece.total() as f64 / sockets as f64;
        println!("{each:.3} calls a message: {piece:?}");
        assert!(piece.of_kind(&[libc::SYS_io_uring_enter]) > 0, "nothing of the ring was counted: {piece:?}");
        assert!(each <= limit, "{each:.3} calls a message, where {limit} are allowed: {piece:?}");
    }
}

/// Reads and writes of pipes whose buffers are owned are the ring's own requests, and a connect is one: no call of their own.
#[cfg(target_os = "linux")]
#[test]
fn ring_makes_no_other_calls() {
    const ROUNDS: usize = 20;
    let counted = alone(|| {
        trace::count(|| {
            let notifier = Notifier::builder().backend(pike::Backend::IoUring).build().unwrap();
            let _here = notifier.enter();
            let (source, sink) = unix::pipe();
            let (source, sink) = (pike::Handle::new(source).unwrap(), pike::Handle::new(sink).unwrap());
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let mut room = Vec::with_capacity(8);
            notifier.block_on(async {
                for round in 0..3 + ROUNDS {
                    if round == 3 {
                        trace::mark();
                    }
                    let reading = source.read_owned(room);
                    let (got, sent) = future::zip(reading, sink.write_owned(&b"ping"[..])).await;
                    assert_eq!((got.0.unwrap(), sent.0.unwrap()), (4, 4));
                    room = got.1;
                }
                trace::mark();
                trace::mark();
                for _ in 0..ROUNDS {
                    drop(net::TcpStream::connect(address).await.unwrap());
                }
                trace::mark();
            });
        })
    });
    let pieces = match counted {
        Err(skip) => return note_skip("ring_makes_no_other_calls".to_owned(), Skip::because(skip.reason())),
        Ok(pieces) => pieces,
    };
    println!("{ROUNDS} rounds, pipes and connects: {pieces:?}");
    let [pipes, connects] = &pieces[..] else { panic!("{} pieces", pieces.len()) };
    let enters = pipes.of_kind(&[libc::SYS_io_uring_enter]);
    assert!(enters > 0 && enters <= 2 * ROUNDS && pipes.total() == enters, "pipes: {pipes:?}");
    let others =
        [libc::SYS_connect, libc::SYS_epoll_ctl, libc::SYS_getsockopt, libc::SYS_getpeername, libc::SYS_poll];
    assert_eq!(connects.of_kind(&others), 0, "connects: {connects:?}");
    let enters = connects.of_kind(&[libc::SYS_io_uring_enter]);
    assert!(enters > 0 && enters <= 2 * ROUNDS, "connects: {connects:?}");
}

/// What lies in a socket already is received by a call each, and not by a turn each, once that was noticed.
#[cfg(target_os = "linux")]
#[test]
fn ring_datagram_burst() {
    const MESSAGES: usize = 120;
    let counted = alone(|| {
        trace::count(|| {
            let notifier = Notifier::builder().backend(pike::Backend::IoUring).build().unwrap();
            let _here = notifier.enter();
            let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            peer.connect(ours.local_addr().unwrap()).unwrap();
            let socket = net::UdpSocket::from_std(ours).unwrap();
            // From now on nothing is known to be there.
            let (first, _) = notifier.block_on(future::zip(socket.recv_from_pooled(), async {
                settle().await;
                peer.send(b"first").unwrap()
            }));
            assert_eq!(first.unwrap().0.len(), 5);
            for _ in 0..2 {
                (0..MESSAGES).for_each(|_| _ = peer.send(b"ping").unwrap());
                trace::mark();
                notifier.block_on(async {
                    for _ in 0..MESSAGES {
                        assert_eq!(socket.recv_from_pooled().await.unwrap().0.len(), 4);
                    }
                });
                trace::mark();
            }
        })
    });
    let pieces = match counted {
        Err(skip) => return note_skip("ring_datagram_burst".to_owned(), Skip::because(skip.reason())),
        Ok(pieces) => pieces,
    };
    println!("{MESSAGES} datagrams: {pieces:?}");
    let [first, second] = &pieces[..] else { panic!("{} pieces", pieces.len()) };
    let enters = first.of_kind(&[libc::SYS_io_uring_enter]);
    assert!(enters > 0 && enters <= 40, "before it was noticed: {first:?}");
    assert!(second.total() <= MESSAGES + 16, "after that: {second:?}");
}

/// Some turns in which nothing is left to report.
async fn settle() {
    for _ in 0..5 {
        pike::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// `block_on` of all connections as one task: the fairness budget only cuts its work in several polls.
#[test]
fn block_on_echo_turn() {
    for sockets in [1, 64] {
        expect(&format!("block_on, {sockets} sockets"), &echo_turn(sockets), || {
            let (ours, peers) = pairs(sockets);
            Notifier::new().unwrap().block_on(async {
                let round = Round::new(sockets);
                let mut all: Vec<Boxed<'_, ()>> = Vec::new();
                for stream in ours {
                    let stream = net::TcpStream::from_std(stream).unwrap();
                    all.push(Box::pin(echo(stream, round.clone())));
                }
                let asking = async {
                    settle().await;
                    ask(peers, round).await;
                };
                future::or(async { drop(join_all(all).await) }, asking).await;
            });
        });
    }
}

/// notify(), of the Notifier and of an Event, while nobody waits in a turn.
#[test]
fn notify_while_awake() {
    expect("notify while awake", &Calls::default(), || {
        let notifier = Notifier::new().unwrap();
        let event = notifier.block_on(async { Event::new() }).unwrap();
        for _ in 0..3 {
            trace::mark();
            (0..100).for_each(|_| notifier.notify());
            (0..100).for_each(|_| event.notify());
            trace::mark();
            notifier.block_on(event.wait()).unwrap();
        }
    });
}

/// The tracer counts what it should: each call of a known piece, and no other.
#[test]
fn the_tracer_counts() {
    let expected = Calls::of(&[(libc::SYS_read, 2), (libc::SYS_write, 3)]);
    expect("known calls", &expected, || {
        let (mut source, mut sink) = unix::pipe();
        for _ in 0..2 {
            trace::mark();
            (0..3).for_each(|_| sink.write_all(b"x").unwrap());
            source.read_exact(&mut [0; 2]).unwrap();
            source.read_exact(&mut [0; 1]).unwrap();
            trace::mark();
        }
    });
}
