//! Ticks at even distances, and those that were missed.

use std::{
    future::poll_fn,
    panic::catch_unwind,
    task::Poll,
    time::{Duration, Instant},
};

use futures_lite::future::{or, poll_once};
use pike::time::{MissedTicks, interval, interval_at, sleep, sleep_until, timeout};

use super::time::MS;
use crate::{Cx, LONG, Outcome, SHORT};

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
        let (mut came, mut dropped) = (0, 0);
        // Where the machine is always late, each tick is due before it is dropped: until it was in time once.
        while came < 5 || dropped == 0 {
            cx.check_time("every tick is late");
            let tick = match poll_once(ticks.tick()).await {
                Some(at) => Some(at),
                None => {
                    dropped += 1;
                    let wait = async { Some(ticks.tick().await) };
                    or(wait, async {
                        sleep(PERIOD / 4).await;
                        None
                    })
                    .await
                }
            };
            if let Some(at) = tick {
                assert_eq!(at, last + PERIOD, "a tick is lost");
                last = at;
                came += 1;
            }
        }
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
            // Not before the first: it may be late as well, and its successor is to be a period after it.
            let first = ticks.tick().await;
            ticks.set_missed_ticks(missed);
            assert_eq!(ticks.missed_ticks(), missed);
            sleep_until(first + PERIOD * 7 / 2).await;
            // Late by two and a half periods, or more on a busy machine.
            let before = Instant::now();
            assert_eq!(ticks.tick().await, first + PERIOD, "{missed:?}: the tick that was due first");
            let after = Instant::now();
            let next = ticks.tick().await;
            let came = Instant::now();
            assert!(came >= next, "{missed:?}: early");
            match missed {
                MissedTicks::Burst => {
                    assert_eq!(next, first + 2 * PERIOD);
                    assert_eq!(ticks.tick().await, first + 3 * PERIOD);
                }
                MissedTicks::Delay => {
                    assert!(next >= before + PERIOD && next <= after + PERIOD);
                    // That one in time, unless the machine was late by a period again.
                    let third = ticks.tick().await;
                    assert!(third >= next + PERIOD);
                    assert!(third == next + PERIOD || came >= next + PERIOD && third <= came + PERIOD);
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
