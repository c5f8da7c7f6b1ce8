//! What keeps the handler of console events from returning while a program finishes its work (Windows).
//!
//! Once the handlers of a closed console, a logoff or a shutdown return, the system ends the process. So each listener that
//! is told of one holds it, and so does, after it, the [`Received`](super::Received) that a receive makes of it:
//!
//! ```text
//!   a thread of the system's                        the program
//!   begin: does anybody listen? no: not handled
//!   each listener: hold, then hear     -------->    receive; work; drop what was received: release
//!   wait: until nobody holds it, or the limit
//!   the handler returns
//! ```
//!
//! - The hold comes before the listener can be heard of, so that no receive releases what is not yet held, and a handler
//!   never sees a gap between the two.
//! - Several events that one listener has not received yet are one to it, and it holds them once (`Heard` says which was
//!   the first). Each handler waits for all that hold its kind, so also for the hold of an event before its own.
//!
//! # In place, or not
//!
//! The system runs handlers with a lock held that adding one and removing one take, too. Who removes the handler while it
//! waits would wait for it in turn, and it, perhaps, for what that thread has received. So [`Hold::unlisten`] has it
//! removed only while it does not run. One that was left in place for that reason handles nothing, as nobody listens; it is
//! removed by the next one that finds nobody else. A handler that begins after the last listener has gone sees that, and
//! returns at once, so that the removal waits for moments only.

use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex};

/// Numbers of kinds are below this.
const KINDS: usize = 8;

#[derive(Debug)]
pub(crate) struct Hold {
    state: Mutex<State>,
    /// Notified when nobody holds some kind any more.
    released: Condvar,
}

#[derive(Debug)]
struct State {
    /// Bit n: somebody listens to the kind with number n.
    listened: u8,
    /// How many there are that hold each kind.
    holders: [u32; KINDS],
    /// Whether the system has the handler.
    in_place: bool,
    /// How many handlers run.
    running: u32,
}

impl Hold {
    pub(crate) fn new() -> Self {
        let state = State { listened: 0, holders: [0; KINDS], in_place: false, running: 0 };
        Self { state: Mutex::new(state), released: Condvar::new() }
    }

    /// Somebody listens to `kind` from now on. True if the handler must be put in place, which the caller does. One listener
    /// comes or goes at a time.
    pub(crate) fn listen(&self, kind: usize) -> bool {
        let mut state = self.state.lock();
        state.listened |= 1 << kind;
        !std::mem::replace(&mut state.in_place, true)
    }

    /// Nobody listens to `kind` any more. True if the handler must be taken away, which the caller does.
    pub(crate) fn unlisten(&self, kind: usize) -> bool {
        let mut state = self.state.lock();
        state.listened &= !(1 << kind);
        let goes = state.listened == 0 && state.running == 0 && state.in_place;
        state.in_place &= !goes;
        goes
    }

    /// The handler could not be put in place: there is none, and nobody listens to `kind`.
    pub(crate) fn failed(&self, kind: usize) {
        let mut state = self.state.lock();
        state.listened &= !(1 << kind);
        state.in_place = false;
    }

    /// A handler runs from now on, until what this returns is dropped. None if nobody listens to `kind`.
    pub(crate) fn begin(&self, kind: usize) -> Option<Running<'_>> {
        let mut state = self.state.lock();
        if kind >= KINDS || state.listened & 1 << kind == 0 {
            return None;
        }
        state.running += 1;
        Some(Running { hold: self, kind })
    }

    /// Handlers of `kind` wait for one more [`Hold::release`].
    pub(crate) fn hold(&self, kind: usize) {
        self.state.lock().holders[kind] += 1;
    }

    pub(crate) fn release(&self, kind: usize) {
        let mut state = self.state.lock();
        debug_assert!(state.holders[kind] > 0, "released more often than it was held");
        state.holders[kind] -= 1;
        if state.holders[kind] == 0 {
            self.released.notify_all();
        }
    }
}

/// A handler that runs.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    hold: &'a Hold,
    kind: usize,
}

impl Running<'_> {
    /// Waits until nobody holds its kind. False if that took longer than the limit.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.hold.state.lock();
        while state.holders[self.kind] > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.hold.released.wait_timeout(state, left);
        }
        true
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.hold.state.lock().running -= 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_handler_comes_with_the_first_listener_and_goes_with_the_last() {
        let hold = Hold::new();
        assert!(hold.begin(2).is_none());
        assert!(hold.listen(2));
        assert!(!hold.listen(2) && !hold.listen(0), "it is in place already");
        assert!(hold.begin(2).is_some() && hold.begin(0).is_some());
        assert!(hold.begin(1).is_none() && hold.begin(KINDS).is_none());
        assert!(!hold.unlisten(2), "somebody listens to another kind");
        assert!(hold.begin(2).is_none());
        assert!(hold.unlisten(0));
        assert!(!hold.unlisten(0), "taken away once");
        assert!(hold.listen(6));
    }

    #[test]
    fn one_that_could_not_be_put_in_place_is_tried_again() {
        let hold = Hold::new();
        assert!(hold.listen(2));
        hold.failed(2);
        assert!(hold.begin(2).is_none());
        assert!(!hold.unlisten(2), "there is nothing to take away");
        assert!(hold.listen(2));
    }

    #[test]
    fn one_that_runs_stays_and_goes_with_a_later_listener() {
        let hold = Hold::new();
        assert!(hold.listen(2));
        let running = hold.begin(2).unwrap();
        assert!(!hold.unlisten(2), "the removal would wait for it");
        assert!(hold.begin(2).is_none(), "but nobody listens");
        drop(running);
        assert!(!hold.listen(0), "it is in place still");
        assert!(hold.unlisten(0));
    }

    #[test]
    fn a_wait_without_a_holder_is_none() {
        let hold = Hold::new();
        hold.listen(2);
        hold.hold(5);
        assert!(hold.begin(2).unwrap().wait(LONG), "another kind is none of its business");
    }

    #[test]
    fn a_wait_ends_with_the_last_holder() {
        let hold = Hold::new();
        hold.listen(2);
        hold.hold(2);
        hold.hold(2);
        let done = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                assert!(hold.begin(2).unwrap().wait(LONG));
                done.load(std::sync::atomic::Ordering::SeqCst)
            });
            for _ in 0..2 {
                std::thread::sleep(Duration::from_millis(20));
                done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                hold.release(2);
            }
            assert_eq!(waits.join().unwrap(), 2);
        });
    }

    #[test]
    fn a_wait_ends_at_its_limit() {
        let hold = Hold::new();
        hold.listen(2);
        hold.hold(2);
        let (start, limit) = (Instant::now(), Duration::from_millis(50));
        assert!(!hold.begin(2).unwrap().wait(limit));
        assert!(start.elapsed() >= limit);
    }
}
