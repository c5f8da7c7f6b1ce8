//! Ticks at a fixed period.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::sleep::{Sleep, sleep_until};

/// What an [`Interval`] does about ticks that nobody waited for in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// Ticks at once until it has caught up.
    #[default]
    Burst,
    /// Goes on a period after the late tick.
    Delay,
    /// Leaves out what was missed, and keeps to multiples of the period.
    Skip,
}

/// Ticks at a fixed period. Made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    // Boxed so that the Interval may be moved between ticks: one allocation an Interval, none a tick.
    sleep: Pin<Box<Sleep>>,
    period: Duration,
    missed: MissedTicks,
}

/// Ticks now, and then each `period`.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// # fn main() -> std::io::Result<()> {
/// let start = Instant::now();
/// pike::Notifier::new()?.block_on(async {
///     let mut ticks = pike::time::interval(Duration::from_millis(1));
///     for _ in 0..3 {
///         ticks.tick().await;
///     }
/// });
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// # Ok(()) }
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks at `start`, and then each `period`.
///
/// # Panics
///
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval is not zero");
    Interval { sleep: Box::pin(sleep_until(start)), period, missed: MissedTicks::default() }
}

impl Interval {
    /// Waits for the next tick, and says when that was due.
    ///
    /// # Cancel safety
    ///
    /// A tick is not lost.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Self::tick), for hand-written futures.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.sleep.as_mut().poll(cx));
        let due = self.sleep.deadline();
        let next = next_tick(due, Instant::now(), self.period, self.missed);
        self.sleep.as_mut().reset(next);
        Poll::Ready(due)
    }

    /// The next tick comes a period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// The next tick comes at once.
    pub fn reset_immediately(&mut self) {
        self.reset_at(Instant::now());
    }

    /// The next tick comes `delay` from now.
    pub fn reset_after(&mut self, delay: Duration) {
        self.reset_at(super::sleep::after(delay));
    }

    /// The next tick is due at `at`. What was missed until now is forgotten; if `at` has passed, the ticks since then
    /// count as missed.
    pub fn reset_at(&mut self, at: Instant) {
        self.sleep.as_mut().reset(at);
    }

    /// The time between ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What it does about missed ticks: [`MissedTicks::Burst`] unless set.
    pub fn missed_ticks(&self) -> MissedTicks {
        self.missed
    }

    /// Sets what it does about missed ticks.
    pub fn set_missed_ticks(&mut self, missed: MissedTicks) {
        self.missed = missed;
    }
}

/// When the tick after the one that was due at `due` comes, if it is `now`.
fn next_tick(due: Instant, now: Instant, period: Duration, missed: MissedTicks) -> Instant {
    let in_time = due.checked_add(period).unwrap_or_else(|| super::sleep::after(Duration::MAX));
    if now < in_time {
        return in_time;
    }
    match missed {
        MissedTicks::Burst => in_time,
        MissedTicks::Delay => now + period,
        MissedTicks::Skip => {
            let into_period = (now - due).as_nanos() % period.as_nanos();
            // Less than a period, so it fits.
            now + (period - Duration::from_nanos(into_period as u64).min(period))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_tick_in_time_keeps_the_period() {
        let due = Instant::now();
        for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
            assert_eq!(next_tick(due, due + MS, 10 * MS, missed), due + 10 * MS);
        }
    }

    #[test]
    fn missed_ticks_burst_delay_or_are_skipped() {
        let due = Instant::now();
        let now = due + 25 * MS;
        assert_eq!(next_tick(due, now, 10 * MS, MissedTicks::Burst), due + 10 * MS);
        assert_eq!(next_tick(due, now, 10 * MS, MissedTicks::Delay), due + 35 * MS);
        assert_eq!(next_tick(due, now, 10 * MS, MissedTicks::Skip), due + 30 * MS);
    }
}
