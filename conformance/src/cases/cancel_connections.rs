//! Accepts and connects that are given up at every moment, thousands of times: every connection and descriptor is counted, and
//! some truly were given up and some truly done.

use std::{
    io::{ErrorKind, Read, Write},
    net::SocketAddr,
    pin::pin,
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Notifier,
    net::{TcpListener, TcpStream},
    socket::{Socket, Type},
    time,
};

use crate::{
    Cx, Outcome, Rng,
    net::{self, bare, v4},
    system,
};

/// What became of accepts and connects.
#[derive(Debug, Default)]
struct Counts {
    /// Ready at the first poll.
    at_once: usize,
    /// Ready after they had waited.
    late: usize,
    /// Given up while they waited.
    given_up: usize,
}

/// Accepts are dropped while connections come: each connection is accepted once, in order, and no descriptor is left behind.
pub fn cancel_races_accept(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(20));
    let notifier = cx.notifier();
    let rng = &mut Rng::new();
    let listener = net::listener(&notifier, v4());
    let at = listener.local_addr().unwrap();
    let count = cx.rounds(3_000);
    let before = system::descriptors();
    let mut counts = Counts::default();
    thread::scope(|scope| {
        let mut pauses = Rng::with_seed(rng.next());
        scope.spawn(move || {
            for number in 0..count as u32 {
                if pauses.one_in(2) {
                    thread::sleep(Duration::from_nanos(pauses.below(60_000) as u64));
                }
                let mut stream = std::net::TcpStream::connect(at).unwrap();
                stream.write_all(&number.to_le_bytes()).unwrap();
                // Until it was accepted: no more are open than a limit allows.
                stream.read_exact(&mut [0]).unwrap();
            }
        });
        let limit = Duration::from_secs(30);
        let all = time::timeout(limit, async {
            let mut next = 0_u32;
            while next < count as u32 {
                let Some((stream, _)) = accept_or_give_up(&listener, rng, &mut counts).await else {
                    future::yield_now().await;
                    continue;
                };
                let (got, number) = stream.read_exact_owned(Box::new([0; 4])).await;
                got.unwrap();
                assert_eq!(u32::from_le_bytes(*number), next);
                next += 1;
                stream.write_all_owned(&b"!"[..]).await.0.unwrap();
            }
        });
        notifier.block_on(all).expect("all connections");
    });
    let more = listener.try_accept().map(drop).map_err(|error| error.kind());
    assert_eq!(more, Err(ErrorKind::WouldBlock), "one too many");
    assert!(counts.late > 0 && counts.given_up > count / 10, "no race: {counts:?}");
    assert_eq!(counts.at_once + counts.late, count);
    cx.settle(&notifier);
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}

/// Gives it up after some polls, some microseconds, or, seldom, a millisecond.
async fn accept_or_give_up(
    listener: &TcpListener,
    rng: &mut Rng,
    counts: &mut Counts,
) -> Option<(TcpStream, SocketAddr)> {
    let mut accepting = pin!(listener.accept());
    if let Some(accepted) = future::poll_once(&mut accepting).await {
        counts.at_once += 1;
        return Some(accepted.unwrap());
    }
    let limit = match rng.below(8) {
        0 => Duration::from_millis(1),
        1..4 => Duration::from_nanos(rng.below(60_000) as u64),
        _ => Duration::ZERO,
    };
    let accepted = if limit.is_zero() { None } else { time::timeout(limit, accepting).await.ok() };
    match accepted {
        Some(accepted) => {
            counts.late += 1;
            Some(accepted.unwrap())
        }
        None => {
            counts.given_up += 1;
            None
        }
    }
}

/// Connects are dropped at every stage, and their sockets closed or connected after all: a connection that nobody went on
/// with ends cleanly and without a byte, each of the others brings its number, and no descriptor is left behind. Some wait for a
/// listener that answers nobody: those are never connected.
pub fn cancel_races_connect(cx: &Cx) -> Outcome {
    const LAST: u32 = u32::MAX;
    cx.take_longer(Duration::from_secs(20));
    let notifier = cx.notifier();
    let rng = &mut Rng::new();
    let listener = net::listener(&notifier, v4());
    let at = listener.local_addr().unwrap();
    let full = net::full_listener(cx, &notifier);
    let before = system::descriptors();
    let (mut counts, mut begun, mut accepted) = (Counts::default(), 0, 0);
    let count = cx.rounds(3_000) as u32;
    let limit = Duration::from_secs(30);
    let all = time::timeout(limit, async {
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for number in (0..count).chain([LAST]) {
            if let Some(full) = full.as_ref().filter(|_| number % 16 == 7) {
                never_answered(&notifier, full.address, rng).await;
            }
            let socket = bare(&notifier, v4(), Type::Stream);
            let begins = !rng.one_in(4);
            begun += u32::from(begins);
            let connected = begins && connect_or_give_up(&socket, at, rng, &mut counts).await;
            if number == LAST || rng.one_in(2) {
                // It goes on; on Windows it is over, which a new socket begins again.
                let socket = match connected {
                    true => socket,
                    false if cfg!(windows) => {
                        drop(socket); // which may have been connected all the same
                        let socket = bare(&notifier, v4(), Type::Stream);
                        socket.connect(at).await.unwrap();
                        begun += 1;
                        socket
                    }
                    false => {
                        socket.connect(at).await.unwrap();
                        begun += u32::from(!begins);
                        socket
                    }
                };
                socket.write_owned(number.to_le_bytes().to_vec()).await.0.unwrap();
                sent.push(number);
            } else if rng.one_in(2) {
                socket.close().await.unwrap();
            } else {
                drop(socket);
            }
            while let Some(taken) = match number {
                LAST if got.last() == Some(&LAST) => None,
                LAST => Some(listener.accept().await),
                _ => future::poll_once(listener.accept()).await,
            } {
                let (stream, _) = taken.unwrap();
                accepted += 1;
                let (received, bytes) = stream.read_owned(Vec::with_capacity(8)).await;
                if received.unwrap() > 0 {
                    got.push(u32::from_le_bytes(bytes.try_into().unwrap()));
                    assert_eq!(stream.read_owned(Vec::with_capacity(8)).await.0.unwrap(), 0);
                }
            }
        }
        assert_eq!(got, sent);
        sent.len() as u32
    });
    let sent = notifier.block_on(all).expect("all connects");
    let done = counts.at_once + counts.late;
    assert!(done > 0 && counts.given_up > done / 10, "no race: {counts:?}");
    // Some were connected for nobody; and there is no connection that nobody has begun.
    assert!(
        (sent + 1..=begun).contains(&accepted),
        "{accepted} accepted, {begun} begun, {sent} with a number"
    );
    cx.settle(&notifier);
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}

/// Gives it up after some polls, or some microseconds. Whether it was connected.
async fn connect_or_give_up(socket: &Socket, at: SocketAddr, rng: &mut Rng, counts: &mut Counts) -> bool {
    let mut connecting = pin!(socket.connect(at));
    let mut connected = future::poll_once(&mut connecting).await;
    counts.at_once += usize::from(connected.is_some());
    if connected.is_none() {
        if rng.one_in(2) {
            let limit = Duration::from_nanos(rng.below(60_000) as u64);
            connected = time::timeout(limit, connecting).await.ok();
        } else {
            for _ in 0..rng.below(3) {
                future::yield_now().await;
                connected = future::poll_once(&mut connecting).await;
                if connected.is_some() {
                    break;
                }
            }
        }
        *(if connected.is_some() { &mut counts.late } else { &mut counts.given_up }) += 1;
    }
    connected.map(Result::unwrap).is_some()
}

/// Begins to connect where nobody answers, and gives that up before the kernel has been told or after.
async fn never_answered(notifier: &Notifier, at: SocketAddr, rng: &mut Rng) {
    let socket = bare(notifier, v4(), Type::Stream);
    let limit = Duration::from_micros(rng.below(200) as u64);
    assert!(time::timeout(limit, socket.connect(at)).await.is_err(), "somebody has answered");
    if rng.one_in(2) {
        socket.close().await.unwrap();
    }
}
