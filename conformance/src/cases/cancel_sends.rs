//! Owned sends that end early: by a cancel, a limit or a drop, while the peer reads at its own pace, thousands of times. Every
//! byte is counted, and some truly were given up and some truly done.

use std::{
    io::Read,
    net::Shutdown,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Backend, Closed, Notifier,
    buf::{BufResult, Owned},
    net::TcpStream,
    socket::option,
    time::{self, Elapsed},
};

use crate::{Cx, Outcome, Rng, net, system};

/// What one send has said of itself.
struct Sent {
    len: usize,
    /// How many of its bytes were sent, if that is known.
    count: Option<usize>,
    was_dropped: bool,
}

#[derive(Debug, Default)]
struct Counts {
    whole: usize,
    /// Asked to end, and ended by that.
    cancelled: usize,
    /// Asked to end, and done all the same.
    too_late: usize,
    /// Dropped while it waited: nothing of it was sent, or something.
    dropped: usize,
    dropped_late: usize,
}

/// The first byte alone has the highest bit, and says whose they are.
fn message(number: usize, len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (number * 7 + at * 31) as u8 & 0x7f).collect();
    bytes[0] = number as u8 | 0x80;
    bytes
}

/// What the peer reads is a beginning of each, in their order; of those that said how much was sent, so much. The sender's thread
/// turns the Notifier, or another one does.
pub fn cancel_races_send(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(20));
    let before = system::descriptors();
    let mut counts = Counts::default();
    let count = cx.rounds(1_000);
    for (bound, elsewhere) in [(false, false), (true, false), (false, true), (true, true)] {
        let builder = if bound { cx.builder().bound() } else { cx.builder() };
        let notifier = builder.build().unwrap();
        let (stream, peer) = small_pair(cx, &notifier);
        let rng = &mut Rng::new();
        let pauses = Rng::with_seed(rng.next());
        let is_read = AtomicBool::new(false);
        let turn_until_read = || {
            while !is_read.load(SeqCst) {
                notifier.poll(Some(Duration::from_millis(2))).unwrap();
            }
        };
        let (sent, received) = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let _ends = SetOnDrop(&is_read);
                read_to_end(peer, pauses)
            });
            let all = async {
                let mut sent = Vec::new();
                for number in 0..count {
                    sent.push(send(&stream, rng, number, &mut counts).await);
                }
                // Behind what is under way still.
                stream.shutdown(Shutdown::Write).unwrap();
                sent
            };
            let all = time::timeout(Duration::from_secs(30), all);
            let sent = if elsewhere {
                let _here = notifier.enter();
                scope.spawn(turn_until_read);
                future::block_on(all)
            } else {
                let sent = notifier.block_on(all);
                turn_until_read();
                sent
            };
            (sent.expect("all sends"), reader.join().unwrap())
        });
        check(&sent, &received, &mut counts);
    }
    let Counts { whole, cancelled, dropped, dropped_late, too_late } = counts;
    assert!(whole > 0 && cancelled > 0 && dropped > 0, "no race: {counts:?}");
    // Where the kernel sends by itself, some have been sent before it heard that they were not to be.
    let is_native = cx.backend() == Backend::IoUring;
    assert!(!is_native || count < 1_000 || (too_late > 0 && dropped_late > 0), "no race: {counts:?}");
    assert!(system::descriptors() <= before, "descriptors are left behind");
    Ok(())
}

/// At its own pace.
fn read_to_end(mut peer: std::net::TcpStream, mut pauses: Rng) -> Vec<u8> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        let room = 1 + pauses.below(buf.len());
        match peer.read(&mut buf[..room]).unwrap() {
            0 => return all,
            n => all.extend_from_slice(&buf[..n]),
        }
        // So that it is slower than who sends.
        thread::sleep(Duration::from_nanos(pauses.below(60_000) as u64));
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Little room goes before the peer's. (Of that some is needed: TCP waits for room for all that it has, or for a fifth of a second.)
fn small_pair(cx: &Cx, notifier: &Notifier) -> (TcpStream, std::net::TcpStream) {
    let (stream, peer) = net::with_peer(cx, notifier);
    stream.socket().set(option::SendBufferSize, 4 * 1024).unwrap();
    peer.set_read_timeout(Some(net::LIMIT)).unwrap();
    (stream, peer)
}

async fn send(stream: &TcpStream, rng: &mut Rng, number: usize, counts: &mut Counts) -> Sent {
    let len_max = match rng.below(64) {
        0 => 150_000, // more than goes at once
        1..32 => 200,
        _ => 20_000,
    };
    let len = 1 + rng.below(len_max);
    let bytes = message(number, len);
    let limit = Duration::from_nanos(rng.below(60_000) as u64);
    let sent = |count| Sent { len, count, was_dropped: false };
    let (head, tail) = bytes.split_at(len / 2);
    // Some of these in each row of so many that one could be taken for another.
    let form = if number % 32 == 0 { 0 } else { rng.below(9) };
    match form {
        0 => {
            let (result, buf) = stream.write_all_owned(bytes).await;
            result.unwrap();
            assert_eq!(buf.len(), len);
            counts.whole += 1;
            sent(Some(len))
        }
        1 => sent(Some(stream.write_owned(bytes).await.0.unwrap())),
        2 | 3 => match cancelled(stream.write_owned(bytes), limit, counts).await {
            (Ok(count), _) => sent(Some(count)),
            (Err(error), buf) => {
                assert!(Closed::is(&error), "{error}");
                assert_eq!(buf, message(number, len));
                sent(none_of_it())
            }
        },
        4 => match cancelled(stream.write_all_owned(bytes), limit, counts).await {
            (Ok(()), _) => sent(Some(len)),
            (Err(error), buf) => {
                assert!(Closed::is(&error), "{error}");
                assert_eq!(buf, message(number, len));
                sent(None)
            }
        },
        5 => match stream.write_owned(bytes).timeout(limit).await {
            (Ok(count), _) => sent(Some(count)),
            (Err(error), buf) => {
                assert!(Elapsed::is(&error), "{error}");
                assert_eq!(buf, message(number, len));
                sent(none_of_it())
            }
        },
        6 => or_dropped(len, done_in_time(stream.write_owned(bytes), limit).await),
        7 => {
            let pieces = [head.to_vec(), tail.to_vec()];
            or_dropped(len, done_in_time(stream.write_vectored_owned(pieces), limit).await)
        }
        _ => or_dropped(len, done_in_time(stream.write_all_owned(bytes), limit).await.map(|()| len)),
    }
}

fn or_dropped(len: usize, count: Option<usize>) -> Sent {
    Sent { len, count, was_dropped: count.is_none() }
}

/// Drops it after so long.
async fn done_in_time<T, B>(operation: Owned<'_, T, B>, limit: Duration) -> Option<T> {
    let (result, _) = time::timeout(limit, operation).await.ok()?;
    Some(result.unwrap())
}

/// A write that was cancelled before it was done has written nothing, but on Windows, where that is the driver's to say.
fn none_of_it() -> Option<usize> {
    if cfg!(windows) { None } else { Some(0) }
}

/// Waits for it for so long, asks for its end, and waits for what it says.
async fn cancelled<T, B>(
    operation: Owned<'_, T, B>,
    limit: Duration,
    counts: &mut Counts,
) -> BufResult<T, B> {
    let mut operation = pin!(operation);
    if let Ok(output) = time::timeout(limit, operation.as_mut()).await {
        return output;
    }
    operation.as_mut().cancel();
    let output = operation.await;
    *(if output.0.is_ok() { &mut counts.too_late } else { &mut counts.cancelled }) += 1;
    output
}

/// Finds what was received of each.
fn check(sent: &[Sent], received: &[u8], counts: &mut Counts) {
    let mut rest = received;
    for (number, &Sent { len, count, was_dropped }) in sent.iter().enumerate() {
        let all = message(number, len);
        let others = |rest: &[u8]| rest.iter().position(|byte| byte & 0x80 != 0).unwrap_or(rest.len());
        let is_there = rest.first() == Some(&all[0]);
        let (bytes, behind) = rest.split_at(if is_there { 1 + others(&rest[1..]) } else { 0 });
        rest = behind;
        assert!(all.starts_with(bytes), "{} bytes of message {number}, which has {len}", bytes.len());
        assert!(count.is_none_or(|count| count == bytes.len()), "{count:?}, and {} are there", bytes.len());
        match bytes.is_empty() {
            _ if !was_dropped => {}
            true => counts.dropped += 1,
            false => counts.dropped_late += 1,
        }
    }
    assert!(rest.is_empty(), "{} bytes that nobody has sent", rest.len());
}
