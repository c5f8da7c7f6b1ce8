//! Signals that interrupt: a turn, and the program that an Event is notified from.

use std::{
    io::{Read, Write},
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use pike::{Event, time};

use super::event::event_on;
use crate::{Cx, LONG, Outcome, SHORT, read, unix, write};

/// What the handler notifies: an Event that is leaked, so that the handler may look at any time.
static HANDLED: AtomicPtr<Event> = AtomicPtr::new(std::ptr::null_mut());

#[allow(unsafe_code)]
extern "C" fn notify_handled(_: libc::c_int) {
    // SAFETY: null, or leaked.
    if let Some(event) = unsafe { HANDLED.load(SeqCst).as_ref() } {
        event.notify();
    }
}

/// `notify` in a signal handler, while its thread is in a turn and while it runs: the waiter is woken, each time.
pub fn event_from_signal_handler(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let event: &'static Event = Box::leak(Box::new(event_on(&notifier, Event::counting)));
    HANDLED.store(std::ptr::from_ref(event).cast_mut(), SeqCst);
    let _handler = unix::Handler::install(libc::SIGUSR2, notify_handled);

    // While the thread runs.
    for _ in 0..cx.rounds(1000) {
        unix::Target::me().signal(libc::SIGUSR2);
        assert_eq!(notifier.block_on(event.wait()).unwrap(), 1);
    }
    // While it is in a turn, or about to be, or just out of one.
    let (me, rounds, seen) = (unix::Target::me(), cx.rounds(1000), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..rounds {
                cx.until("a notification by a signal handler was lost", || seen.load(SeqCst) == round);
                me.signal(libc::SIGUSR2);
            }
        });
        for round in 0..rounds {
            assert_eq!(notifier.block_on(event.wait()).unwrap(), 1, "round {round}");
            seen.store(round + 1, SeqCst);
        }
    });
    Ok(())
}

/// Signals that interrupt the turning thread all the time: no turn fails, no sleep is early, no byte of an echo is lost.
pub fn poll_survives_interruption(cx: &Cx) -> Outcome {
    extern "C" fn nothing(_: libc::c_int) {}
    let _handler = unix::Handler::install(libc::SIGUSR1, nothing);
    let notifier = cx.notifier();
    let (target, stop) = (unix::Target::me(), AtomicBool::new(false));
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                target.signal(libc::SIGUSR1);
                thread::sleep(Duration::from_micros(300));
            }
        });

        // Turns that only signals and their timeouts end.
        let start = Instant::now();
        while start.elapsed() < 3 * SHORT {
            assert_eq!(notifier.poll(Some(LONG)).unwrap(), 0);
        }
        for _ in 0..5 {
            let start = Instant::now();
            notifier.block_on(time::sleep(SHORT));
            assert!(start.elapsed() >= SHORT, "a sleep is early");
        }

        let (handle, peer) = cx.handle(&notifier);
        scope.spawn(move || {
            let mut peer = peer;
            let mut byte = [0];
            while peer.read(&mut byte).unwrap() > 0 {
                peer.write_all(&byte).unwrap();
            }
        });
        notifier.block_on(async {
            for round in 0..cx.rounds(2_000) {
                write(&handle, &[round as u8]).await.unwrap();
                assert_eq!(read(&handle).await.unwrap(), [round as u8]);
            }
        });
    });
    Ok(())
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
