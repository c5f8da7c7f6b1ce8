//! Driving one future and the Notifier on the calling thread.
//!
//! The thread turns the Notifier when it has the seat and parks when another thread has it. It never holds the seat
//! while it polls its future: user code may take long, and others must get their events meanwhile.

use std::{
    cell::Cell,
    future::Future,
    io, mem,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::{core::Core, current::Enter, end::GRACE, turn::is_dispatching};
use crate::{parker::Parker, sync};

/// Polls of a future that keeps waking itself, between two turns.
const POLLS_PER_TURN: u32 = 61;

thread_local! {
    static BLOCKED_ON: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as inside a `block_on` until dropped.
pub(crate) struct Scope;

impl Scope {
    #[track_caller]
    pub(crate) fn begin() -> Self {
        if BLOCKED_ON.replace(true) {
            panic!(
                "block_on inside a block_on: this thread drives a future already and would never return to it"
            );
        }
        Self
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        BLOCKED_ON.set(false);
    }
}

/// Wakes the thread, wherever it sleeps.
struct ThreadWaker {
    parker: sync::Arc<Parker>,
    core: Arc<Core>,
}

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.parker.wake() {
            self.core.notify();
        }
    }
}

impl Core {
    #[track_caller]
    pub(super) fn block_on<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        let _scope = Scope::begin();
        if is_dispatching() {
            panic!("block_on inside a waker: it would turn the Notifier that woke it");
        }
        if let Err(error) = self.bind() {
            panic!("block_on: {error}");
        }
        let _here = Enter::new(self);
        let parker = sync::Arc::new(Parker::new());
        let waker =
            Waker::from(Arc::new(ThreadWaker { parker: sync::Arc::clone(&parker), core: Arc::clone(self) }));
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        // However this ends, a seat that was left to this thread goes to the next.
        let _baton = PassOn(self);
        let (mut polls, mut is_told) = (0, false);
        loop {
            if parker.take_woken() {
                // Should the poll take long, whoever is parked may turn meanwhile.
                self.seat.pass_on();
                if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                    return output;
                }
                polls = (polls + 1) % POLLS_PER_TURN;
                if parker.is_woken() && polls != 0 {
                    continue;
                }
            }
            self.turn_or_park(&parker, &mut is_told);
        }
    }

    /// `is_told`: whether the future was polled since it could have seen why there are no more turns.
    fn turn_or_park(self: &Arc<Self>, parker: &sync::Arc<Parker>, is_told: &mut bool) {
        let timeout = parker.is_woken().then_some(Duration::ZERO);
        match self.collect(timeout, Some(parker)) {
            Ok(batch) => {
                self.dispatch(batch);
            }
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                if self.seat.queue(parker) {
                    parker.park();
                    self.seat.unqueue(parker);
                }
            }
            // Shut down, or the kernel refuses to wait: waiters were or are told, and only a waker helps from here.
            Err(error) => {
                parker.end_turn();
                // What a shutdown has left in flight may end still, which the future may wait for. In a child of a fork, the
                // locks may be held for ever (I14).
                if !*is_told && !self.is_forked() {
                    self.shutdown(GRACE);
                }
                let _ = self.failure.set(error); // unless another has told one already
                // The future is polled once more, so that it can look at the reason; then it has to be woken.
                match mem::replace(is_told, true) {
                    false => _ = parker.wake(),
                    true => parker.park(),
                }
            }
        }
    }
}

struct PassOn<'a>(&'a Core);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.seat.pass_on();
    }
}
