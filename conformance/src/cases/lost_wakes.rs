//! A wake that comes at the worst moment is not lost.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future::block_on;
use pike::{Interest, Notifier, net};

use super::waiters::StopTurning;
use crate::{Cx, Outcome, Rng, Task};

/// Single bytes bounce a hundred thousand times between two Notifiers, and over one that a third thread turns; and arrivals
/// race with the moment in which a short read takes readiness back.
pub fn lost_wake_stress(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(40));
    let (one, two) = (cx.notifier(), cx.notifier());
    let rounds = cx.rounds(100_000);
    let (a, b) = cx.streams(&one, &two);
    thread::scope(|scope| {
        scope.spawn(|| two.block_on(bounce(&b, rounds, false)));
        one.block_on(bounce(&a, rounds, true));
    });

    let rounds = cx.rounds(20_000);
    let (a, b) = cx.streams(&one, &one);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                one.poll(None).unwrap();
            }
        });
        let other = scope.spawn(|| block_on(bounce(&b, rounds, false)));
        block_on(bounce(&a, rounds, true));
        other.join().unwrap();
        stop.store(true, SeqCst);
        one.notify();
    });

    report_between_call_and_clear(cx, &one);

    // Two writes a round, the second at an odd moment after the first, while another thread turns: a reader that takes the
    // first and clears the readiness of the second would sleep for ever, since nothing follows.
    let (stream, mut peer) = cx.stream(&one);
    let rounds = cx.rounds(20_000);
    let (received, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _stop = StopTurning(&stop, &one);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                one.poll(None).unwrap();
            }
        });
        scope.spawn(|| {
            let mut rng = Rng::new();
            for round in 1..=rounds {
                peer.write_all(b"a").unwrap();
                (0..rng.below(400)).for_each(|_| std::hint::spin_loop());
                peer.write_all(b"b").unwrap();
                while received.load(SeqCst) < 2 * round {
                    cx.check_time("an arrival that raced with a short read is lost");
                    std::hint::spin_loop();
                }
            }
        });
        block_on(async {
            let mut buf = [0; 64];
            while received.load(SeqCst) < 2 * rounds {
                let n = stream.read(&mut buf).await.unwrap();
                received.fetch_add(n, SeqCst);
            }
        });
    });
    Ok(())
}

/// The race itself, made to happen: the call says would-block, and before that is believed data comes and a turn reports it.
/// The readiness of that report must survive. A port that nobody has asked reports nothing then, and finds the data when it is
/// asked next.
fn report_between_call_and_clear(cx: &Cx, notifier: &Notifier) {
    let (handle, mut peer) = cx.handle(notifier);
    // From the first waiter on every backend reports what comes, whether somebody waits or not.
    drop(Task::pending(handle.readable()));
    cx.settle(notifier);
    let mut late = |mut io: &TcpStream| {
        let nothing = io.read(&mut [0]);
        assert_eq!(nothing.as_ref().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        peer.write_all(b"x").unwrap();
        cx.until_arrived([&handle]);
        notifier.poll(Some(Duration::ZERO)).unwrap();
        nothing
    };
    let take = |mut io: &TcpStream| io.read(&mut [0; 8]);
    for round in 0..3 {
        let nothing = handle.try_io(Interest::READABLE, &mut late);
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        soon(cx, notifier, Task::new(handle.readable())).unwrap();
        assert_eq!(handle.try_io(Interest::READABLE, take).unwrap(), 1, "round {round}");

        let mut first = true;
        let waiter =
            Task::new(handle.async_io(Interest::READABLE, |io| {
                if std::mem::take(&mut first) { late(io) } else { take(io) }
            }));
        assert_eq!(soon(cx, notifier, waiter).unwrap(), 1);
    }
}

/// The result of what is ready, or is once it is woken.
fn soon<R>(cx: &Cx, notifier: &Notifier, mut task: Task<'_, R>) -> R {
    if let Poll::Ready(result) = task.poll() {
        return result;
    }
    cx.turn_until(notifier, "a report is lost between a call and its would-block", || task.is_woken());
    task.ready()
}

async fn bounce(stream: &net::TcpStream, rounds: usize, begins: bool) {
    let mut byte = [0];
    for round in 0..rounds {
        if begins {
            stream.write_all(&[round as u8]).await.unwrap();
        }
        assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
        assert_eq!(byte, [round as u8]);
        if !begins {
            stream.write_all(&byte).await.unwrap();
        }
    }
}
