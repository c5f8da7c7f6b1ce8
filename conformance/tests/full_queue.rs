//! A submission queue that is full while the kernel takes nothing: what finds no room waits, in order, and is lost by nothing;
//! and what is in the queue at the end is never begun.
//!
//! Method: another thread answers io_uring_enter instead of the kernel (`supervised`); the queue has 256 entries.
#![cfg(target_os = "linux")]

use std::{
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream as StdUnixStream,
    },
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_lite::future;
use pike::{Backend, Closed, Notifier, buf::Owned, net, time};
use pike_conformance::{
    Cx, Task,
    harness::{alone, note_skip},
    supervised::{Answer, supervised},
    unix,
};

const SOCKETS: usize = 600;
const LIMIT: Duration = Duration::from_secs(30);

type Receives<'a> = Vec<Pin<Box<Owned<'a, usize, Vec<u8>>>>>;

type Body = fn(&Cx, &Notifier, &Stuck, Receives<'_>, &mut [StdUnixStream]);
type Then = fn(&Cx, &Notifier, &Stuck, Vec<net::UnixStream>, Vec<StdUnixStream>);

/// Whether the kernel takes nothing.
type Stuck = Arc<AtomicBool>;

/// Runs `body` with more receives begun than the queue has room for, of which the kernel has taken none after some turns.
fn stuck(code: libc::c_int, bound: bool, body: Body, then: Then) {
    alone(|| {
        unix::raise_descriptor_limit();
        let what = format!("{code}, bound: {bound}");
        let cx = Cx::new(what.clone(), Backend::IoUring, LIMIT);
        drop(cx.notifier()); // the self-test of rings is over
        let (is_stuck, mut refused) = (Stuck::default(), 0);
        let its_stuck = Arc::clone(&is_stuck);
        let answer = |_| match is_stuck.load(SeqCst) {
            true => {
                refused += 1;
                Answer::Fails(code)
            }
            false => Answer::Goes,
        };
        let done = supervised(LIMIT, &[libc::SYS_io_uring_enter], answer, move || {
            let builder = cx.builder();
            let notifier = if bound { builder.bound() } else { builder }.build().unwrap();
            let (ours, mut peers): (Vec<_>, Vec<_>) = {
                let _here = notifier.enter();
                let pairs = (0..SOCKETS).map(|_| StdUnixStream::pair().unwrap());
                pairs.map(|(one, other)| (net::UnixStream::from_std(one).unwrap(), other)).unzip()
            };
            // One is in the kernel.
            let (first, _first_peer) = StdUnixStream::pair().unwrap();
            let first = {
                let _here = notifier.enter();
                net::UnixStream::from_std(first).unwrap()
            };
            let mut in_kernel = Task::pending(first.read_owned(vec![7; 1]));
            cx.settle(&notifier);
            its_stuck.store(true, SeqCst);
            let mut receiving: Receives<'_> =
                ours.iter().map(|stream| Box::pin(stream.read_exact_owned(vec![7; 1]))).collect();
            for receive in &mut receiving {
                pike::budget::reset();
                assert!(notifier.block_on(future::poll_once(receive.as_mut())).is_none());
            }
            for _ in 0..5 {
                let turned = notifier.poll(Some(Duration::ZERO));
                assert_eq!(turned.err().and_then(|error| error.raw_os_error()), told(code));
            }
            body(&cx, &notifier, &its_stuck, receiving, &mut peers);
            then(&cx, &notifier, &its_stuck, ours, peers);
            assert_eq!(notifier.shutdown(Duration::from_secs(5)), 0);
            assert!(Closed::is(&in_kernel.ready().0.unwrap_err()));
        });
        match done {
            Ok(()) => assert!((5..200).contains(&refused), "{what}: refused {refused} times"),
            Err(skip) => note_skip(what, skip),
        }
    });
}

/// The Notifier has ended, and the sockets are closed: their numbers are others', of which nothing is received (I12), now that
/// the kernel takes something again.
fn others_have_the_numbers(
    _: &Cx,
    notifier: &Notifier,
    stuck: &Stuck,
    ours: Vec<net::UnixStream>,
    _peers: Vec<StdUnixStream>,
) {
    let numbers = numbers(&ours);
    drop(ours);
    let all = strangers();
    let reused = all.iter().filter(|one| numbers.contains(&one.as_raw_fd())).count();
    assert!(reused > SOCKETS / 2, "{reused} numbers were given out again");
    stuck.store(false, SeqCst);
    assert_eq!(notifier.shutdown(Duration::from_secs(5)), 0);
    all.iter().for_each(|one| assert_eq!(unix::bytes_queued(one), 1));
}

fn numbers(of: &[net::UnixStream]) -> Vec<RawFd> {
    of.iter().map(AsRawFd::as_raw_fd).collect()
}

/// Others' sockets, each with a byte to be read.
fn strangers() -> Vec<StdUnixStream> {
    let pairs = (0..SOCKETS).map(|_| StdUnixStream::pair().unwrap());
    let mut all: Vec<_> = pairs.flat_map(<[_; 2]>::from).collect();
    all.iter_mut().for_each(|one| one.write_all(b"x").unwrap());
    all
}

/// Sockets that are closed while their receives are in the queue, or wait for room in it, keep their numbers (I12), until the
/// kernel has let go of them.
fn nobody_has_the_numbers(
    cx: &Cx,
    notifier: &Notifier,
    stuck: &Stuck,
    ours: Vec<net::UnixStream>,
    peers: Vec<StdUnixStream>,
) {
    let numbers = numbers(&ours);
    drop(ours);
    let all = strangers();
    let given: Vec<_> =
        (0..SOCKETS).filter(|&at| all.iter().any(|one| one.as_raw_fd() == numbers[at])).collect();
    assert!(given.is_empty(), "the numbers of these were given out again: {given:?}");
    stuck.store(false, SeqCst);
    for mut peer in peers {
        peer.set_nonblocking(true).unwrap();
        cx.turn_until(notifier, "its end", || match peer.read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            other => panic!("neither its end nor nothing: {other:?}"),
        });
    }
    all.iter().for_each(|one| assert_eq!(unix::bytes_queued(one), 1));
}

/// What a turn says of it.
fn told(code: libc::c_int) -> Option<i32> {
    (code != libc::EAGAIN).then_some(code)
}

/// In order: who is cancelled while it waits for room ends as cancelled, since the cancel waits behind it.
fn half_is_cancelled(
    cx: &Cx,
    notifier: &Notifier,
    stuck: &Stuck,
    mut receiving: Receives<'_>,
    peers: &mut [StdUnixStream],
) {
    receiving.iter_mut().step_by(2).for_each(|receive| receive.as_mut().cancel());
    for _ in 0..5 {
        let _ = notifier.poll(Some(Duration::ZERO));
    }
    stuck.store(false, SeqCst);
    cx.settle(notifier);
    for (at, peer) in peers.iter_mut().enumerate() {
        peer.write_all(&[at as u8]).unwrap();
    }
    let all = notifier.block_on(time::timeout(Duration::from_secs(15), async {
        for (at, receive) in receiving.into_iter().enumerate() {
            let (result, buffer) = receive.await;
            match at % 2 {
                0 => assert!(Closed::is(&result.unwrap_err()) && buffer == [7], "{at}"),
                _ => assert!(result.unwrap() == 1 && buffer == [at as u8], "{at}"),
            }
        }
    }));
    all.expect("all of them");
    assert_eq!(notifier.shutdown(Duration::from_secs(5)), 0);
}

#[test]
fn what_finds_no_room_waits_in_order() {
    for bound in [false, true] {
        stuck(libc::EAGAIN, bound, half_is_cancelled, others_have_the_numbers);
    }
}

#[test]
fn what_finds_no_room_outlives_an_error() {
    for bound in [false, true] {
        stuck(libc::EPERM, bound, half_is_cancelled, others_have_the_numbers);
    }
}

/// What is in the queue when all ends was not taken, and never is: it ends too.
#[test]
fn a_shutdown_ends_what_was_not_taken() {
    for (code, bound) in
        [(libc::EAGAIN, false), (libc::EPERM, false), (libc::EAGAIN, true), (libc::EPERM, true)]
    {
        let all_end: Body = |_, notifier, _, receiving, _| {
            // Of a bound ring the kernel ends nothing by itself.
            assert_eq!(notifier.shutdown(Duration::from_millis(50)), usize::from(notifier.is_bound()));
            let all = notifier.block_on(time::timeout(Duration::from_secs(15), async {
                for receive in receiving {
                    let (result, buffer) = receive.await;
                    assert!(Closed::is(&result.unwrap_err()) && buffer == [7]);
                }
            }));
            all.expect("all of them");
        };
        stuck(code, bound, all_end, others_have_the_numbers);
    }
}

#[test]
fn what_is_closed_in_the_queue_keeps_its_number() {
    for bound in [false, true] {
        stuck(libc::EAGAIN, bound, |_, _, _, receiving, _| drop(receiving), nobody_has_the_numbers);
    }
}
