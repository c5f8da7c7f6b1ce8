//! Events: notified from anywhere, waited for by tasks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{Event, Notifier};

use crate::{Cx, LONG, Outcome, SHORT, Task, calling};

pub(super) fn event_on(notifier: &Notifier, make: fn() -> std::io::Result<Event>) -> Event {
    let _here = notifier.enter();
    make().unwrap()
}

/// A notification resolves one wait, from this thread or another, before the wait or during it; a thousand count as one.
pub fn event_notify_wakes_waiter(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let event = Arc::new(event_on(&notifier, Event::new));

    // During the wait.
    let mut waiter = Task::pending(event.wait());
    assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
    event.notify();
    assert_eq!(notifier.poll(Some(LONG)).unwrap(), 1);
    assert_eq!((waiter.wakes(), waiter.ready().unwrap()), (1, 1));
    let remote = event.clone();
    let mut waiter = Task::pending(event.wait());
    thread::spawn(move || remote.notify()).join().unwrap();
    assert_eq!(notifier.poll(Some(LONG)).unwrap(), 1);
    assert_eq!(waiter.ready().unwrap(), 1);

    // Before it, and many.
    for count in [1, 1000] {
        (0..count).for_each(|_| event.notify());
        assert_eq!(notifier.block_on(event.wait()).unwrap(), 1);
        let mut next = Task::pending(event.wait());
        cx.settle(&notifier);
        assert!(next.poll().is_pending(), "one notification, two waits");
    }
    // Another Event of the same Notifier is another Event.
    let other = event_on(&notifier, Event::new);
    let (mut a, mut b) = (Task::pending(event.wait()), Task::pending(other.wait()));
    other.notify();
    notifier.poll(Some(LONG)).unwrap();
    assert!(!a.is_woken() && b.is_woken());
    b.ready().unwrap();
    assert!(a.poll().is_pending());
    event.reset();
    event.notify();
    event.reset();
    notifier.poll(Some(Duration::ZERO)).unwrap();
    assert!(a.poll().is_pending(), "what was reset is forgotten");
    Ok(())
}

/// The counts that the waits of a counting Event give add up to its notifications, made by eight threads, while others
/// give way to the Notifier by `post`.
pub fn event_counting(cx: &Cx) -> Outcome {
    const THREADS: usize = 8;
    let (notifier, each) = (cx.notifier(), cx.rounds(5_000));
    let event = event_on(&notifier, Event::counting);
    (0..7).for_each(|_| event.notify());
    assert_eq!(notifier.block_on(event.wait()).unwrap(), 7);

    let mut sum = 0;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..each).for_each(|_| event.notify()));
        }
        notifier.block_on(async {
            while sum < THREADS * each {
                sum += event.wait().await.unwrap() as usize;
            }
        });
    });
    assert_eq!(sum, THREADS * each);
    let mut more = Task::pending(event.wait());
    cx.settle(&notifier);
    assert!(more.poll().is_pending(), "more than were notified");
    drop(more);

    // Posting: a turn goes by, each time, here and from other threads.
    for round in 0..3 {
        let mut post = Task::new(event.post());
        assert!(post.poll().is_pending(), "post {round} does not wait for a turn");
        assert_eq!(notifier.poll(Some(LONG)).unwrap(), 1);
        post.ready().unwrap();
    }
    notifier.block_on(async {
        for _ in 0..100 {
            event.post().await.unwrap();
        }
    });
    let left = AtomicUsize::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // One Event a thread: a post waits for its own notification.
                let event = event_on(&notifier, Event::counting);
                for _ in 0..cx.rounds(500) {
                    future::block_on(event.post()).unwrap();
                }
                left.fetch_sub(1, SeqCst);
                notifier.notify();
            });
        }
        while left.load(SeqCst) > 0 {
            notifier.poll(Some(LONG)).unwrap();
        }
    });
    Ok(())
}

/// A latch lets all present and later waits through until it is reset.
pub fn event_latch(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let latch = event_on(&notifier, Event::latch);
    for _ in 0..3 {
        let mut waiters: Vec<_> = (0..20).map(|_| Task::pending(latch.wait())).collect();
        cx.settle(&notifier);
        assert!(waiters.iter_mut().all(|waiter| waiter.poll().is_pending()));
        latch.notify();
        assert_eq!(notifier.poll(Some(LONG)).unwrap(), 20);
        for waiter in &mut waiters {
            assert_eq!((waiter.wakes(), waiter.ready().unwrap()), (1, 1));
        }
        (0..3).for_each(|_| assert_eq!(Task::new(latch.wait()).ready().unwrap(), 1));
        latch.notify();
        assert_eq!(notifier.block_on(latch.wait()).unwrap(), 1);
        latch.reset();
    }
    Ok(())
}

/// Hundreds of Events on one Notifier, made, dropped and made again: each notification wakes its own waiter.
pub fn event_many_on_one_notifier(cx: &Cx) -> Outcome {
    const EVENTS: usize = 500;
    let notifier = cx.notifier();
    let mut events: Vec<_> = (0..EVENTS).map(|_| event_on(&notifier, Event::new)).collect();
    for round in 0..5 {
        // A notification that is under way when its Event goes is nobody's.
        for at in (round..EVENTS).step_by(3) {
            events[at].notify();
            events[at] = event_on(&notifier, Event::new);
        }
        let mut waiters: Vec<_> = events.iter().map(|event| Task::pending(event.wait())).collect();
        assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
        for parity in [0, 1] {
            let notified = |at: &usize| at % 2 == parity;
            (0..EVENTS).filter(notified).for_each(|at| events[at].notify());
            assert_eq!(notifier.poll(Some(LONG)).unwrap(), EVENTS / 2);
            for (at, waiter) in waiters.iter_mut().enumerate().filter(|(at, _)| notified(at)) {
                assert_eq!(waiter.wakes(), 1, "event {at}");
                waiter.ready().unwrap();
            }
            assert!(waiters.iter().all(|waiter| waiter.is_done() || !waiter.is_woken()));
        }
    }
    Ok(())
}

/// A wait that is dropped, before or after it was woken, takes no notification along: the next wait or waiter gets it.
pub fn event_dropped_wait_keeps_count(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let event = event_on(&notifier, Event::counting);

    // Alone: dropped before the notification, between it and the turn, after the turn.
    drop(Task::pending(event.wait()));
    event.notify();
    assert!(Task::new(event.wait()).poll().is_pending(), "what is notified arrives with a turn");
    notifier.poll(Some(Duration::ZERO)).unwrap();
    assert_eq!(Task::new(event.wait()).ready().unwrap(), 1);
    assert!(Task::new(event.wait()).poll().is_pending());

    let waiter = Task::pending(event.wait());
    event.notify();
    event.notify();
    assert_eq!(notifier.poll(Some(LONG)).unwrap(), 1);
    assert!(waiter.is_woken());
    drop(waiter);
    assert_eq!(Task::new(event.wait()).ready().unwrap(), 2);
    assert!(Task::new(event.wait()).poll().is_pending());

    // With a second waiter, which is woken by the drop of the first.
    for _ in 0..3 {
        let (first, mut second) = (Task::pending(event.wait()), Task::pending(event.wait()));
        event.notify();
        assert_eq!(notifier.poll(Some(LONG)).unwrap(), 1);
        assert!(first.is_woken() && !second.is_woken());
        drop(first);
        assert!(second.is_woken(), "the wake of a dropped wait is lost");
        assert_eq!(second.ready().unwrap(), 1);
    }
    // First come, first served.
    let mut waiters: Vec<_> = (0..5).map(|_| Task::pending(event.wait())).collect();
    for which in 0..5 {
        event.notify();
        notifier.poll(Some(LONG)).unwrap();
        assert!(waiters[which].is_woken(), "waiter {which}");
        assert_eq!(waiters[which].ready().unwrap(), 1);
        assert!(waiters[which + 1..].iter_mut().all(|waiter| waiter.poll().is_pending()));
    }
    Ok(())
}

/// A turn that waits for nothing but an Event is ended by its notification from another thread: a ping-pong between two
/// Notifiers loses none.
pub fn event_wakes_blocked_turn(cx: &Cx) -> Outcome {
    let (one, two) = (cx.notifier(), cx.notifier());
    let (ping, pong) = (event_on(&one, Event::new), event_on(&two, Event::new));
    let rounds = cx.rounds(10_000);
    thread::scope(|scope| {
        scope.spawn(|| {
            two.block_on(async {
                for _ in 0..rounds {
                    assert_eq!(pong.wait().await.unwrap(), 1);
                    ping.notify();
                }
            })
        });
        for round in 0..rounds {
            // By turns, not by block_on: the turn itself must end and wake the waiter.
            let mut waiter = Task::pending(ping.wait());
            pong.notify();
            while !waiter.is_woken() {
                one.poll(None).unwrap();
            }
            assert_eq!(waiter.ready().unwrap(), 1, "round {round}");
        }
    });

    // Woken once, by the turn that was ended.
    let woken = Arc::new(AtomicBool::new(false));
    let waker = {
        let woken = woken.clone();
        calling(move || assert!(!woken.swap(true, SeqCst), "woken twice"))
    };
    let mut waiter = Task::new(ping.wait());
    assert!(matches!(waiter.poll_with(&waker), Poll::Pending));
    ping.notify();
    assert_eq!(one.poll(None).unwrap(), 1);
    assert!(woken.load(SeqCst));
    assert_eq!(one.poll(Some(SHORT)).unwrap(), 0);
    Ok(())
}
