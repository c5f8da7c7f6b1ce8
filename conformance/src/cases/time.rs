//! Sleeps, timeouts, deadlines, intervals.

use std::{
    future::pending,
    io::Write,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{
    Notifier, budget,
    time::{Sleep, sleep, sleep_until, timeout},
};

use crate::{Boxed, Cx, LONG, Outcome, Rng, SHORT, Task, Wakes, calling, heap, join_all, skip};

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn on<R>(notifier: &Notifier, make: impl FnOnce() -> R) -> R {
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
        calling(move || {
            let due = Instant::now() + SHORT;
            *next.lock().unwrap() = Some((due, Task::pending(sleep(SHORT))));
        })
    };
    let mut first = Task::new(sleep_on(&notifier, SHORT));
    assert!(first.poll_with(&waker).is_pending());
    assert_eq!(notifier.poll(None).unwrap(), 1);
    let (due, mut second) = next.lock().unwrap().take().expect("started in the dispatch");
    assert!(!second.is_woken(), "it fired in the turn in which it began");
    assert_eq!(notifier.poll(None).unwrap(), 1);
    assert!(Instant::now() >= due, "the second sleep is early");
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
    let task = Task::pending(sleep_on(&notifier, SHORT));
    let counter = task.counter();
    drop(task);
    assert_eq!(notifier.poll(Some(SHORT + MS)).unwrap(), 0);
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
