//! Sleeping until a moment.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use pin_project_lite::pin_project;

use super::{
    queue::{State, Timer},
    timers::Inserted,
};
use crate::{
    budget,
    notifier::{core::Core, current},
};

pin_project! {
    /// Resolves at a moment. Made by [`sleep`] and [`sleep_until`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Sleep {
        at: Instant,
        // None until the first poll, if there was no current Notifier at the start.
        core: Option<Arc<Core>>,
        #[pin]
        timer: Timer,
    }

    impl PinnedDrop for Sleep {
        fn drop(this: Pin<&mut Self>) {
            this.leave();
        }
    }
}

/// Sleeps for `duration`, counted from this call. Never less; how much more depends on the Notifier's next turn.
///
/// A duration that no clock reaches sleeps for some thirty years.
///
/// # Panics
///
/// When polled, if the thread has no current Notifier and the one in the background cannot be started, for lack of
/// descriptors or threads.
///
/// # Cancel safety
///
/// Dropping it cancels the timer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// # fn main() -> std::io::Result<()> {
/// pike::Notifier::new()?.block_on(pike::time::sleep(Duration::from_micros(50)));
/// # Ok(()) }
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(after(duration))
}

/// Sleeps until `at`; not at all if that is past. Otherwise as [`sleep`].
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep { at, core: current::current(), timer: Timer::new() }
}

/// The moment `duration` from now, or as good as never.
pub(crate) fn after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365 * 30))
}

impl Sleep {
    /// On the Notifier of an operation that needs a pause.
    pub(crate) fn on(core: Arc<Core>, duration: Duration) -> Self {
        Self { at: after(duration), core: Some(core), timer: Timer::new() }
    }

    /// When it resolves.
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// Whether it has resolved, or would when polled.
    pub fn is_elapsed(&self) -> bool {
        self.timer.state() == State::Fired || Instant::now() >= self.at
    }

    /// Makes it resolve at another moment, whether it has resolved already or not.
    pub fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.as_mut().leave();
        let mut this = self.project();
        *this.at = at;
        this.timer.set(Timer::new());
    }

    /// Takes the timer out of its queue, if it is in one.
    fn leave(self: Pin<&mut Self>) {
        let this = self.project();
        if this.timer.state() != State::Queued {
            return;
        }
        if let Some(core) = this.core.as_ref().filter(|core| !core.is_forked()) {
            // SAFETY: inserted by `poll` in this core's queue.
            #[allow(unsafe_code)]
            unsafe {
                core.timers.remove(this.timer.as_ref())
            };
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.core.as_ref().is_some_and(|core| core.is_forked()) {
            // The queue is the parent's, and nobody here will look at it again (I14).
            *this.core = None;
            this.timer.set(Timer::new());
        }
        let timer = this.timer.as_ref();
        loop {
            if timer.state() == State::Fired || Instant::now() >= *this.at {
                if !budget::take(cx) {
                    return Poll::Pending;
                }
                return Poll::Ready(());
            }
            let core = match this.core {
                Some(core) if timer.state() != State::Expelled => core,
                _ => this.core.insert(next_core(timer.state())),
            };
            if timer.state() == State::Queued {
                // SAFETY: inserted below, in this core's queue.
                #[allow(unsafe_code)]
                unsafe {
                    core.timers.renew(timer, cx.waker())
                };
                // It may have been taken out before the new waker was in.
                if timer.state() == State::Queued {
                    return Poll::Pending;
                }
                continue;
            }
            // SAFETY: in no queue; `leave` takes it out before it is dropped or reset.
            #[allow(unsafe_code)]
            match unsafe { core.timers.insert(timer, *this.at, cx.waker().clone()) } {
                Inserted::Earliest => {
                    core.notify_if_waiting();
                    return Poll::Pending;
                }
                Inserted::Later => return Poll::Pending,
                Inserted::Closed => *this.core = Some(next_core(State::Expelled)),
            }
        }
    }
}

/// The Notifier of a timer that has none, or whose own is gone.
fn next_core(state: State) -> Arc<Core> {
    let entered = current::current().filter(|core| state != State::Expelled && !core.is_forked());
    let core = entered.map_or_else(current::background, Ok);
    core.unwrap_or_else(|error| panic!("no Notifier for a timer: {error}"))
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("at", &self.at).field("state", &self.timer.state()).finish()
    }
}
