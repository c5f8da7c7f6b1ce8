//! Sleeps, timeouts, deadlines, intervals.

use std::{
    future::{pending, poll_fn, ready},
    io::{self, Write},
    panic::catch_unwind,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::{self, or, zip};
use pike::{
    Notifier, budget, net,
    time::{
        Deadline, Elapsed, MissedTicks, Sleep, interval, interval_at, sleep, sleep_until, timeout, timeout_at,
    },
};

use crate::{Boxed, Cx, LONG, Outcome, Rng, SHORT, Task, Wakes, calling, heap, join_all, skip};

const MS: Duration = Duration::from_millis(1);

fn on<R>(notifier: &Notifier, make: impl FnOnce() -> R) -> R {
    let _here = notifier.enter();
    make()
}

fn sleep_on(notifier: &Notifier, duration: Duration) -> Sleep {
    on(notifier, || sleep(duration))
}

/// Sleeps of 0 to 30 ms in odd steps, alone and many at once, started at odd moments: none is early.
pub fn sleep_never_early(cx: &Cx) -> Outcome {
    let (notifier, mut rng) = (cx.notifier(), Rng::new());
    let one = |duration: Duration| async move {
        let start = Instant::now();
        sleep(duration).await;
        let slept = start.elapsed();
        assert!(slept >= duration, "{duration:?}, but slept {slept:?}");
    };
    for step in 0..30 {
        (0..rng.below(5000)).for_each(|_| std::hint::spin_loop());
        notifier.block_on(one(Duration::from_nanos(step * 331_777)));
    }
    for _ in 0..4 {
        let many: Vec<_> = (0..200).map(|_| Duration::from_nanos(rng.next() % 30_000_000)).collect();
        notifier.block_on(join_all(
            many.into_iter().map(|duration| -> Boxed<'_, ()> { Box::pin(one(duration)) }),
        ));
    }
    Ok(())
}

/// Sleeps of 50 to 900 microseconds are not early either; and where the kernel can, most are less than 0.6 ms late.
pub fn sleep_below_a_millisecond(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let late_by = || {
        let mut late: Vec<_> = (0..100)
            .map(|n| {
                let duration = Duration::from_micros(50 + n * 97 % 850);
                let start = Instant::now();
                notifier.block_on(sleep(duration));
                start.elapsed().checked_sub(duration).expect("early")
            })
            .collect();
        late.sort();
        late[late.len() / 2]
    };
    let first = late_by();
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        skip!(
            "the timeouts of this system may have the steps of its clock tick (half were {first:?} late or more)"
        );
    }
    // A busy machine may be late; rounding to milliseconds always is.
    let best = (0..5).map(|_| late_by()).min().expect("five").min(first);
    assert!(best < Duration::from_micros(600), "half of the sleeps are {best:?} late or more");
    Ok(())
}

/// A sleep of nothing, or until the past, is over at the first poll or after one turn that does not wait; a sleep fires
/// once.
pub fn sleep_zero_or_past(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let past = Instant::now();
    for make in [&|| sleep(Duration::ZERO) as _, &|| sleep_until(past) as _] as [&dyn Fn() -> Sleep; 2] {
        let mut task = Task::new(on(&notifier, make));
        if task.poll().is_pending() {
            notifier.poll(Some(Duration::ZERO)).unwrap();
            assert!(task.is_woken());
            task.ready();
        }
    }

    let mut fired = pin!(sleep_on(&notifier, SHORT));
    let wakes = Wakes::new();
    let waker = Waker::from(wakes.clone());
    let mut cx_ = Context::from_waker(&waker);
    assert!(fired.as_mut().poll(&mut cx_).is_pending());
    assert!(!fired.is_elapsed());
    while wakes.count() == 0 {
        cx.check_time("a sleep");
        notifier.poll(None).unwrap();
    }
    assert!(fired.is_elapsed());
    for _ in 0..3 {
        assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
        assert_eq!(notifier.poll(Some(MS)).unwrap(), 0);
        assert!(fired.as_mut().poll(&mut cx_).is_ready(), "a fired sleep stays fired");
    }
    assert_eq!(wakes.count(), 1, "woken more than once");
    Ok(())
}

/// Sleeps that no clock reaches, and those near the limits of what systems take, never fire, never wrap, and leave short
/// ones and the Notifier's own sleep alone.
pub fn sleep_huge(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let durations = [
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(i64::MAX as u64),
        Duration::from_millis(u64::MAX),
        Duration::from_nanos(u64::MAX),
        Duration::from_nanos(i64::MAX as u64),
        Duration::from_secs(u32::MAX.into()),
        Duration::from_secs(i32::MAX as u64),
        Duration::from_millis(u32::MAX.into()),
        Duration::from_millis(i32::MAX as u64 + 1),
        Duration::from_millis(i32::MAX as u64),
        Duration::from_millis((1 << 36) + 1),
    ];
    for huge in durations {
        let now = Instant::now();
        let until = now.checked_add(huge).or_else(|| now.checked_add(huge / 2)).unwrap_or(now + LONG);
        let mut tasks = [
            Task::pending(sleep_on(&notifier, huge)),
            Task::pending(on(&notifier, || sleep_until(until))),
            Task::pending(on(&notifier, || async {
                timeout(Duration::MAX, pending::<()>()).await.unwrap_or_default()
            })),
        ];
        // A turn with such a deadline waits, and does not come back at once again and again.
        let (turns, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let turner = scope.spawn({
                let (notifier, turns, stop) = (&notifier, &turns, &stop);
                move || {
                    while !stop.load(SeqCst) {
                        assert_eq!(notifier.poll(None).unwrap(), 0);
                        turns.fetch_add(1, SeqCst);
                    }
                }
            });
            thread::sleep(3 * MS);
            stop.store(true, SeqCst);
            notifier.notify();
            turner.join().unwrap();
        });
        assert!(turns.load(SeqCst) <= 2, "{huge:?}: {} turns", turns.load(SeqCst));
        let start = Instant::now();
        notifier.block_on(sleep(MS));
        assert!(start.elapsed() >= MS);
        for task in &mut tasks {
            assert!(!task.is_woken() && task.poll().is_pending(), "{huge:?} is over");
        }
    }
    Ok(())
}

/// Sleeps fire in the order of their deadlines, equal ones in one turn; of a hundred thousand, most of which are dropped,
/// the rest fires, none early, and all memory comes back.
pub fn sleep_order(cx: &Cx) -> Outcome {
    let (notifier, mut rng) = (cx.notifier(), Rng::new());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut which: Vec<u32> = (0..50).collect();
    rng.shuffle(&mut which);
    let base = Instant::now() + SHORT;
    let mut tasks: Vec<_> = which
        .iter()
        .map(|&n| {
            let (at, order) = (base + n * Duration::from_micros(200), order.clone());
            let mut task = Task::new(on(&notifier, || sleep_until(at)));
            let waker = calling(move || {
                assert!(Instant::now() >= at, "early");
                order.lock().unwrap().push(n);
            });
            assert!(task.poll_with(&waker).is_pending(), "the case began too slowly");
            task
        })
        .collect();
    cx.turn_until(&notifier, "all fire", || order.lock().unwrap().len() == tasks.len());
    assert!(order.lock().unwrap().is_sorted(), "{:?}", order.lock().unwrap());
    tasks.iter_mut().for_each(|task| task.ready());

    let at = Instant::now() + SHORT;
    let mut equal: Vec<_> = (0..100).map(|_| Task::pending(on(&notifier, || sleep_until(at)))).collect();
    assert_eq!(notifier.poll(None).unwrap(), 100);
    equal.iter_mut().for_each(|task| task.ready());
    drop((tasks, equal));

    let before = heap::here();
    many_sleeps(cx, &notifier, &mut rng);
    if let (Some(before), Some(after)) = (before, heap::here()) {
        // The queue of a batch may keep room for the next one.
        let kept = (after - before).live;
        assert!(kept < 4 << 20, "{kept} bytes are kept");
    }
    Ok(())
}

fn many_sleeps(cx: &Cx, notifier: &Notifier, rng: &mut Rng) {
    let count = cx.rounds(100_000);
    let base = Instant::now() + 20 * MS;
    let wakes = Wakes::new();
    let waker = Waker::from(wakes.clone());
    let mut polled = Context::from_waker(&waker);
    let mut sleeps: Vec<Option<Pin<Box<Sleep>>>> = (0..count)
        .map(|_| {
            let at = base + Duration::from_micros(rng.next() % 300_000);
            let mut sleep = Box::pin(on(notifier, || sleep_until(at)));
            // One that is past by now needs no queue.
            sleep.as_mut().poll(&mut polled).is_pending().then_some(sleep)
        })
        .collect();
    for sleep in &mut sleeps {
        if !rng.one_in(3) {
            *sleep = None;
        }
    }
    let mut left: Vec<_> = sleeps.into_iter().flatten().collect();
    while !left.is_empty() {
        cx.check_time("sleeps that never fire");
        notifier.poll(None).unwrap();
        left.retain_mut(|sleep| {
            budget::reset();
            let over = sleep.as_mut().poll(&mut polled).is_ready();
            assert!(!over || Instant::now() >= sleep.deadline(), "early");
            !over
        });
    }
}

/// A turn waits no longer than until the next sleep is due, whatever its own limit; what is due and what is ready by the
/// same turn are one batch.
pub fn sleep_bounds_the_wait(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for limit in [None, Some(LONG)] {
        let start = Instant::now();
        let mut task = Task::pending(sleep_on(&notifier, SHORT));
        cx.check_time("a turn that waits too long");
        assert_eq!(notifier.poll(limit).unwrap(), 1);
        assert!(start.elapsed() >= SHORT);
        task.ready();
    }
    let mut task = Task::pending(sleep_on(&notifier, LONG));
    assert_eq!(notifier.poll(Some(MS)).unwrap(), 0);
    assert!(task.poll().is_pending());

    // A waker that starts a shorter sleep: not in the same turn, but the next waits for it.
    let next = Arc::new(Mutex::new(None));
    let waker = {
        let next = next.clone();
        calling(move || *next.lock().unwrap() = Some(Task::pending(sleep(SHORT))))
    };
    let mut first = Task::new(sleep_on(&notifier, MS));
    assert!(first.poll_with(&waker).is_pending());
    assert_eq!(notifier.poll(None).unwrap(), 1);
    let mut second = next.lock().unwrap().take().expect("started in the dispatch");
    assert!(!second.is_woken(), "it fired in the turn in which it began");
    let start = Instant::now();
    assert_eq!(notifier.poll(None).unwrap(), 1);
    assert!(start.elapsed() >= SHORT / 2, "the second sleep began at most a moment ago");
    second.ready();

    // Due and ready in one turn.
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let seen = sizes.clone();
    let dispatch = move |batch: &mut pike::Batch| {
        seen.lock().unwrap().push(batch.len());
        batch.for_each(Waker::wake);
    };
    let notifier = cx.builder().dispatch(dispatch).build().unwrap();
    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let (mut due, mut ready) = (Task::pending(sleep_on(&notifier, SHORT)), Task::pending(handle.readable()));
    peer.write_all(b"x").unwrap();
    cx.until_arrived([&handle]);
    thread::sleep(SHORT);
    assert_eq!(notifier.poll(None).unwrap(), 2);
    assert_eq!(*sizes.lock().unwrap(), [2]);
    due.ready();
    ready.ready().unwrap();
    Ok(())
}

/// A sleep may be moved, before and after it fired, and dropped, also from another timer's waker: it fires at its new time
/// and never at the old one.
pub fn sleep_reset_and_drop(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let wait = |sleep: Pin<&mut Sleep>| {
        let deadline = sleep.deadline();
        notifier.block_on(sleep);
        assert!(Instant::now() >= deadline, "early");
    };
    let mut moved = pin!(sleep_on(&notifier, LONG));
    let mut noop = Context::from_waker(Waker::noop());
    assert!(moved.as_mut().poll(&mut noop).is_pending());
    // Earlier; later than it was; into the past; after it fired.
    let now = Instant::now();
    moved.as_mut().reset(now + SHORT);
    assert_eq!(moved.deadline(), now + SHORT);
    assert!(moved.as_mut().poll(&mut noop).is_pending());
    moved.as_mut().reset(now + 2 * SHORT);
    wait(moved.as_mut());
    assert!(Instant::now() >= now + 2 * SHORT, "fired at its old time");
    moved.as_mut().reset(Instant::now() + LONG);
    assert!(!moved.is_elapsed() && moved.as_mut().poll(&mut noop).is_pending(), "a new time after it fired");
    moved.as_mut().reset(now);
    assert!(moved.is_elapsed());
    wait(moved.as_mut());
    moved.as_mut().reset(Instant::now() + MS);
    wait(moved.as_mut());

    // Dropped: no wake, and no turn ends for it.
    let task = Task::pending(sleep_on(&notifier, MS));
    let counter = task.counter();
    drop(task);
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    assert_eq!(counter.count(), 0);

    // A waker that drops other sleeps, due in the same turn and later; and moves one.
    let others = Arc::new(Mutex::new(Vec::new()));
    let waker = {
        let others = others.clone();
        calling(move || others.lock().unwrap().clear())
    };
    let at = Instant::now() + SHORT;
    let mut killer = Task::new(on(&notifier, || sleep_until(at)));
    assert!(killer.poll_with(&waker).is_pending());
    let later = (0..50).map(|n| Task::pending(on(&notifier, || sleep_until(at + n % 5 * MS))));
    others.lock().unwrap().extend(later);
    cx.turn_until(&notifier, "the waker that drops others", || others.lock().unwrap().is_empty());
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0, "a dropped sleep was woken");

    // The task that polled last is woken, and only that one.
    let mut passed = Task::new(sleep_on(&notifier, SHORT));
    let (first, last) = (Wakes::new(), Wakes::new());
    assert!(passed.poll_with(&first.clone().into()).is_pending());
    assert!(passed.poll_with(&last.clone().into()).is_pending());
    cx.turn_until(&notifier, "the second task", || last.count() > 0);
    assert_eq!((first.count(), last.count()), (0, 1));

    // Moved to another thread while it is in the queue.
    let start = Instant::now();
    let mut travels = Box::pin(sleep_on(&notifier, SHORT));
    assert!(travels.as_mut().poll(&mut noop).is_pending());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            future::block_on(travels);
            over.store(true, SeqCst);
            notifier.notify();
        });
        while !over.load(SeqCst) {
            notifier.poll(Some(LONG)).unwrap();
        }
    });
    assert!(start.elapsed() >= SHORT);
    Ok(())
}

/// While a turn waits for ever or for a late deadline another thread starts a short sleep on the same Notifier: it does not
/// wait for the late one.
pub fn sleep_earlier_from_other_thread(cx: &Cx) -> Outcome {
    let (notifier, mut rng) = (cx.notifier(), Rng::new());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut turns = 0;
            while !stop.load(SeqCst) {
                // With and without a deadline that is far off: a wait that nobody shortens ends the case.
                let far = (turns % 2 == 0).then(|| Task::pending(sleep_on(&notifier, LONG)));
                notifier.poll(None).unwrap();
                turns += 1;
                drop(far);
            }
        });
        for _ in 0..cx.rounds(500) {
            let duration = Duration::from_micros(rng.below(4000) as u64);
            let start = Instant::now();
            future::block_on(sleep_on(&notifier, duration));
            assert!(start.elapsed() >= duration);
            (0..rng.below(3000)).for_each(|_| std::hint::spin_loop());
        }
        stop.store(true, SeqCst);
        notifier.notify();
    });
    Ok(())
}

/// `timeout` gives the future's value if that is first, also if both are ready, and `Elapsed` if not; then the future can be
/// dropped. Limits of nothing and of for ever.
pub fn timeout_of_a_future(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    notifier.block_on(async {
        assert_eq!(timeout(LONG, ready(1)).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, ready(2)).await, Ok(2));
        assert_eq!(timeout(Duration::MAX, ready(3)).await, Ok(3));
        assert_eq!(timeout_at(Instant::now() - MS.min(cx.started().elapsed()), ready(4)).await, Ok(4));
        assert_eq!(
            timeout(Duration::MAX, async {
                future::yield_now().await;
                5
            })
            .await,
            Ok(5)
        );

        let start = Instant::now();
        assert!(timeout(SHORT, pending::<()>()).await.is_err());
        assert!(start.elapsed() >= SHORT);
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        // Nested: the inner one is first.
        assert!(timeout(LONG, timeout(MS, pending::<()>())).await.unwrap().is_err());
    });

    // Both ready at the same poll: the future wins. Its drop comes with the Timeout's.
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let (dropped, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (guard, gate) = (Dropped(dropped.clone()), open.clone());
    let gated = async move {
        let _guard = guard;
        poll_fn(|_| if gate.load(SeqCst) { Poll::Ready(7) } else { Poll::Pending }).await
    };
    let mut both = Task::pending(on(&notifier, || timeout(MS, gated)));
    cx.turn_until(&notifier, "the limit", || both.is_woken());
    open.store(true, SeqCst);
    assert_eq!(both.ready(), Ok(7));
    drop(both);
    assert!(dropped.load(SeqCst));
    let elapsed = notifier.block_on(timeout(Duration::ZERO, pending::<()>())).unwrap_err();
    assert!(!elapsed.to_string().is_empty());
    assert!(Elapsed::is(&elapsed.into()));
    Ok(())
}

/// The Deadline trait on socket operations: `TimedOut` without an OS code when the time is up, which loses nothing; the
/// operation's own result when that is first.
pub fn deadline_trait(cx: &Cx) -> Outcome {
    #[track_caller]
    fn check<T: std::fmt::Debug>(start: Instant, result: io::Result<T>) {
        let error = result.unwrap_err();
        assert!(start.elapsed() >= SHORT, "early");
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::TimedOut, None));
        assert!(Elapsed::is(&error) && !pike::Closed::is(&error));
    }
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let mut buf = [0; 16];
    notifier.block_on(async {
        let start = Instant::now();
        check(start, stream.read(&mut buf).timeout(SHORT).await);
        let start = Instant::now();
        check(start, stream.read(&mut buf).deadline(start + SHORT).await);
        let start = Instant::now();
        check(start, stream.readable().timeout(SHORT).await);
        peer.write_all(b"late").unwrap();
        assert_eq!(stream.read(&mut buf).timeout(LONG).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"late");

        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        check(start, listener.accept().timeout(SHORT).await);
        let address = listener.local_addr().unwrap();
        let connecting = net::TcpStream::connect(address).timeout(LONG);
        let (connected, accepted) = zip(connecting, listener.accept().deadline(Instant::now() + LONG)).await;
        assert_eq!(connected.unwrap().local_addr().unwrap(), accepted.unwrap().1);

        let udp = net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        check(start, udp.recv_from(&mut buf).timeout(SHORT).await);
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"datagram", udp.local_addr().unwrap()).unwrap();
        let from = udp.recv_from(&mut buf).timeout(LONG).await.unwrap();
        assert_eq!(from, (8, sender.local_addr().unwrap()));

        // An error of the operation's own is not the deadline's.
        drop(listener);
        let refused = net::TcpStream::connect(address).timeout(LONG).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(refused.raw_os_error().is_some() && !Elapsed::is(&refused));
    });

    // Timed out just when bytes come, again and again: not one is lost.
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, total) = (sent.clone(), cx.rounds(1000));
    let sender = thread::spawn(move || {
        for n in 0..total {
            peer.write_all(&[n as u8]).unwrap();
            count.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_micros(n as u64 % 7 * 30));
        }
    });
    let mut received = 0;
    notifier.block_on(async {
        while received < total {
            match stream.read(&mut buf).timeout(Duration::from_micros(received as u64 % 5 * 30)).await {
                Ok(0) => panic!("end of file"),
                Ok(n) => {
                    buf[..n].iter().for_each(|&byte| {
                        assert_eq!(byte, received as u8, "a byte is lost");
                        received += 1;
                    });
                }
                Err(error) => {
                    assert!(Elapsed::is(&error));
                    future::yield_now().await;
                }
            }
        }
    });
    sender.join().unwrap();
    assert_eq!(sent.load(SeqCst), total);
    Ok(())
}

/// An interval ticks at once and then each period, never early; a dropped tick is not lost; a period of nothing panics.
pub fn interval_ticks(cx: &Cx) -> Outcome {
    const PERIOD: Duration = Duration::from_millis(5);
    let notifier = cx.notifier();
    notifier.block_on(async {
        let start = Instant::now();
        let mut ticks = interval(PERIOD);
        let first = ticks.tick().await;
        for n in 0..10 {
            let at = if n == 0 { first } else { ticks.tick().await };
            assert_eq!(at, first + n * PERIOD, "tick {n}");
            assert!(Instant::now() >= at, "tick {n} is early");
        }
        assert!(start.elapsed() >= 9 * PERIOD);

        // From a given moment on.
        let begin = Instant::now() + 2 * PERIOD;
        let mut ticks = interval_at(begin, PERIOD);
        assert_eq!(ticks.tick().await, begin);
        assert_eq!((ticks.tick().await, ticks.period()), (begin + PERIOD, PERIOD));

        // Dropped before it is due, many times over: the next wait gets the tick that is due, in its order.
        let mut ticks = interval(PERIOD);
        let mut last = ticks.tick().await;
        let mut dropped = 0;
        for _ in 0..5 {
            loop {
                let tick = or(async { Some(ticks.tick().await) }, async {
                    sleep(PERIOD / 4).await;
                    None
                });
                match tick.await {
                    None => dropped += 1,
                    Some(at) => {
                        assert_eq!(at, last + PERIOD, "a tick is lost");
                        last = at;
                        break;
                    }
                }
            }
        }
        assert!(dropped > 0);
    });

    // The poll form, in a task that wakes itself and in one that only waits.
    for wakes_itself in [false, true] {
        let mut ticks = notifier.block_on(async { interval(PERIOD) });
        let mut seen = 0;
        notifier.block_on(poll_fn(|cx| {
            while ticks.poll_tick(cx).is_ready() {
                seen += 1;
            }
            if wakes_itself {
                cx.waker().wake_by_ref();
            }
            if seen >= 5 { Poll::Ready(()) } else { Poll::Pending }
        }));
    }

    assert!(catch_unwind(|| interval(Duration::ZERO)).is_err(), "a period of nothing");
    // A period without an end: one tick and no panic.
    notifier.block_on(async {
        let mut once = interval(Duration::MAX);
        once.tick().await;
        assert!(timeout(SHORT, once.tick()).await.is_err());
    });
    Ok(())
}

/// What becomes of the ticks that a late consumer missed: all at once, all later by as much, or none of them.
pub fn interval_missed_ticks(cx: &Cx) -> Outcome {
    const PERIOD: Duration = Duration::from_millis(20);
    let notifier = cx.notifier();
    notifier.block_on(async {
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            let mut ticks = interval(PERIOD);
            assert_eq!(ticks.missed_ticks(), MissedTicks::Burst);
            ticks.set_missed_ticks(missed);
            assert_eq!(ticks.missed_ticks(), missed);
            let first = ticks.tick().await;
            sleep_until(first + PERIOD * 7 / 2).await;
            // Late by two and a half periods, or more on a busy machine.
            let before = Instant::now();
            assert_eq!(ticks.tick().await, first + PERIOD, "{missed:?}: the tick that was due first");
            let after = Instant::now();
            let next = ticks.tick().await;
            assert!(Instant::now() >= next, "{missed:?}: early");
            match missed {
                MissedTicks::Burst => {
                    assert_eq!(next, first + 2 * PERIOD);
                    assert_eq!(ticks.tick().await, first + 3 * PERIOD);
                }
                MissedTicks::Delay => {
                    assert!(next >= before + PERIOD && next <= after + PERIOD);
                    assert_eq!(ticks.tick().await, next + PERIOD);
                }
                MissedTicks::Skip => {
                    assert!(next > before && next <= after + PERIOD);
                    assert_eq!((next - first).as_nanos() % PERIOD.as_nanos(), 0, "off the beat");
                }
            }
        }

        // Begun anew: a period from now.
        let mut ticks = interval(PERIOD);
        ticks.tick().await;
        sleep(PERIOD / 2).await;
        let before = Instant::now();
        ticks.reset();
        let next = ticks.tick().await;
        assert!(next >= before + PERIOD && Instant::now() >= next);
        let mut ticks = interval(LONG);
        ticks.tick().await;
        ticks.reset();
        assert!(timeout(MS, ticks.tick()).await.is_err());

        // At a given moment, after a given time, or at once; on from there with the period.
        let mut ticks = interval(PERIOD);
        ticks.tick().await;
        let at = Instant::now() + PERIOD / 4;
        ticks.reset_at(at);
        assert_eq!((ticks.tick().await, ticks.tick().await), (at, at + PERIOD));
        let before = Instant::now();
        ticks.reset_after(2 * PERIOD);
        assert!(ticks.tick().await >= before + 2 * PERIOD);
        let mut ticks = interval(LONG);
        ticks.tick().await;
        let before = Instant::now();
        ticks.reset_immediately();
        let next = ticks.tick().await;
        assert!(before <= next && next <= Instant::now());
        assert!(timeout(MS, ticks.tick()).await.is_err());
        // In the past, what came since is missed.
        let mut ticks = interval(PERIOD);
        ticks.tick().await;
        let past = Instant::now() - PERIOD * 5 / 2;
        ticks.reset_at(past);
        for n in 0..3 {
            assert_eq!(ticks.tick().await, past + n * PERIOD);
        }
        ticks.reset_after(Duration::MAX);
        assert!(timeout(MS, ticks.tick()).await.is_err());
    });
    Ok(())
}
