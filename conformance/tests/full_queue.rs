//! A submission queue that is full while the kernel takes nothing: what finds no room waits, in order, and is lost by nothing.
//!
//! Method: another thread answers io_uring_enter instead of the kernel (`supervised`); the queue has 256 entries.
#![cfg(target_os = "linux")]

use std::{
    io::Write,
    os::unix::net::UnixStream as StdUnixStream,
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
    Cx,
    harness::{alone, note_skip},
    supervised::{Answer, supervised},
    unix,
};

const SOCKETS: usize = 600;
const LIMIT: Duration = Duration::from_secs(30);

type Receives<'a> = Vec<Pin<Box<Owned<'a, usize, Vec<u8>>>>>;

/// Whether the kernel takes nothing.
type Stuck = Arc<AtomicBool>;

/// Runs `body` with more receives begun than the queue has room for, of which the kernel has taken none after some turns.
fn stuck(code: libc::c_int, bound: bool, body: fn(&Cx, &Notifier, &Stuck, Receives<'_>, Vec<StdUnixStream>)) {
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
            let (ours, peers): (Vec<_>, Vec<_>) = {
                let _here = notifier.enter();
                let pairs = (0..SOCKETS).map(|_| StdUnixStream::pair().unwrap());
                pairs.map(|(one, other)| (net::UnixStream::from_std(one).unwrap(), other)).unzip()
            };
            notifier.poll(Some(Duration::ZERO)).unwrap();
            its_stuck.store(true, SeqCst);
            let mut receiving: Receives<'_> =
                ours.iter().map(|stream| Box::pin(stream.read_exact_owned(vec![7; 1]))).collect();
            for receive in &mut receiving {
                assert!(notifier.block_on(future::poll_once(receive.as_mut())).is_none());
            }
            for _ in 0..5 {
                let turned = notifier.poll(Some(Duration::ZERO));
                assert_eq!(turned.err().and_then(|error| error.raw_os_error()), told(code));
            }
            body(&cx, &notifier, &its_stuck, receiving, peers);
        });
        match done {
            Ok(()) => assert!((5..200).contains(&refused), "{what}: refused {refused} times"),
            Err(skip) => note_skip(what, skip),
        }
    });
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
    mut peers: Vec<StdUnixStream>,
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

/// What ends with the Notifier: all of them, with their buffers.
fn all_end(notifier: &Notifier, receiving: Receives<'_>) {
    let all = notifier.block_on(time::timeout(Duration::from_secs(15), async {
        for receive in receiving {
            let (result, buffer) = receive.await;
            assert!(Closed::is(&result.unwrap_err()) && buffer == [7]);
        }
    }));
    all.expect("all of them");
}

#[test]
fn what_finds_no_room_waits_in_order() {
    for bound in [false, true] {
        stuck(libc::EAGAIN, bound, half_is_cancelled);
    }
}

#[test]
fn what_finds_no_room_outlives_an_error() {
    for bound in [false, true] {
        stuck(libc::EPERM, bound, half_is_cancelled);
    }
}

/// A shutdown that the kernel takes nothing of ends in time, and says what is left; another one ends that.
#[test]
fn a_shutdown_waits_for_room() {
    for bound in [false, true] {
        stuck(libc::EAGAIN, bound, |_, notifier, stuck, receiving, _peers| {
            assert_eq!(notifier.shutdown(Duration::from_millis(50)), 256, "what is in the queue");
            stuck.store(false, SeqCst);
            assert_eq!(notifier.shutdown(Duration::from_secs(5)), 0);
            all_end(notifier, receiving);
        });
    }
}

/// If the kernel refuses to be entered, nothing in the queue was taken, nor ever is.
#[test]
fn a_shutdown_that_is_refused_ends_what_was_not_taken() {
    for bound in [false, true] {
        stuck(libc::EPERM, bound, |_, notifier, stuck, receiving, mut peers| {
            assert_eq!(notifier.shutdown(Duration::from_secs(5)), 0);
            stuck.store(false, SeqCst);
            // The kernel is let in again, and not entered.
            peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
            assert_eq!(notifier.shutdown(Duration::from_secs(5)), 0);
            all_end(notifier, receiving);
        });
    }
}
