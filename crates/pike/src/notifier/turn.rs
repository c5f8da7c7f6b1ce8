//! One turn: wait, collect, leave the seat, dispatch once.
//!
//! 1. Take the seat, or fail with `ResourceBusy`.
//! 2. Say in the word that the turn is about to wait; only then read the earliest deadline.
//! 3. Wait, and apply each report to its source. Whom it wakes goes into the batch: nothing is woken here (I6).
//! 4. Say that the turn waits no more; collect posted events and expired timers.
//! 5. Leave the seat, so that another thread may turn while this one runs what it woke.
//! 6. Dispatch the batch, with this Notifier as the thread's current one.

use std::{
    cell::Cell,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    core::{Core, OnSeat},
    current::Enter,
    end::GRACE,
};
use crate::{
    batch::Batch,
    budget,
    op::lane::Lane,
    parker::Parker,
    registry::{Registry, View},
    source::{READABLE, WRITABLE},
    sys::{Completion, Report, Tell},
    word::Waiting,
};

thread_local! {
    /// Set while this thread dispatches, when a waker might ask for a turn inside the turn.
    static DISPATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a dispatch, where it must not turn.
pub(super) fn is_dispatching() -> bool {
    DISPATCHING.get()
}

impl Core {
    /// A whole turn.
    pub(crate) fn turn(self: &Arc<Self>, timeout: Option<Duration>) -> io::Result<usize> {
        let batch = self.collect(timeout, None)?;
        Ok(self.dispatch(batch))
    }

    /// Steps 1 to 5. A parker's thread is only let into the kernel if its future was not woken.
    pub(super) fn collect(
        self: &Arc<Self>,
        timeout: Option<Duration>,
        parker: Option<&Parker>,
    ) -> io::Result<Batch> {
        if let Err(error) = self.check() {
            if !self.is_forked() {
                self.end_if_first();
            }
            return Err(error);
        }
        if is_dispatching() {
            return Err(io::Error::new(
                io::ErrorKind::Deadlock,
                "a waker may not turn the Notifier that woke it",
            ));
        }
        self.bind()?;
        let Some(mut seat) = self.seat.take() else {
            return Err(io::ErrorKind::ResourceBusy.into());
        };
        // A plain load and store: who has the seat is the only one to write.
        self.turns.store(self.turns.load(Relaxed) + 1, Relaxed);
        let mut batch = Batch::new();
        let waited = seat.with(|on_seat| self.wait(on_seat, timeout, parker, &mut batch));
        drop(seat);
        if self.is_closed() {
            self.end(GRACE);
        }
        budget::reset();
        match waited {
            Ok(()) => Ok(batch),
            // What was collected before the failure is woken all the same, by the batch's drop.
            Err(error) => Err(error),
        }
    }

    fn wait(
        &self,
        on_seat: &mut OnSeat,
        timeout: Option<Duration>,
        parker: Option<&Parker>,
        batch: &mut Batch,
    ) -> io::Result<()> {
        let timeout = match parker {
            Some(parker) if !parker.begin_turn() => Some(Duration::ZERO),
            _ => timeout,
        };
        let mut waited = match timeout {
            Some(Duration::ZERO) => self.reap(on_seat, timeout, batch),
            _ => self.sleep(on_seat, timeout, batch),
        };
        // A full buffer: the kernel may have more. Bounded, so that a flood cannot keep the seat.
        for _ in 0..16 {
            match waited {
                Ok(count) if count == self.driver.capacity() => {
                    waited = self.reap(on_seat, Some(Duration::ZERO), batch);
                }
                _ => break,
            }
        }
        self.word.end();
        if let Some(parker) = parker {
            parker.end_turn();
        }
        self.posted.drain(|post| {
            let notified = post.count.load(std::sync::atomic::Ordering::Acquire) > 0;
            let bits = if notified { READABLE | WRITABLE } else { WRITABLE };
            if let Some(source) = self.registry.look_up(&mut on_seat.view, post.token) {
                source.report(post.token.generation(), bits, batch.list());
            }
        });
        self.timers.expire(batch.list());
        waited.map(drop)
    }

    fn sleep(&self, on_seat: &mut OnSeat, timeout: Option<Duration>, batch: &mut Batch) -> io::Result<usize> {
        let limit = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if !self.spin.is_zero() {
            if let Some(count) = self.spin(on_seat, limit, batch)? {
                return Ok(count);
            }
        }
        // Closed: another turn may have come out by the notify that follows it, before this one began.
        let timeout = match self.word.begin(Waiting::Asleep) && !self.is_closed() {
            true => self.until_deadline(limit),
            false => Some(Duration::ZERO),
        };
        self.reap(on_seat, timeout, batch)
    }

    /// Polls without sleeping for the builder's `spin`. None if that time passed and nothing happened.
    fn spin(
        &self,
        on_seat: &mut OnSeat,
        limit: Option<Instant>,
        batch: &mut Batch,
    ) -> io::Result<Option<usize>> {
        if !self.word.begin(Waiting::Spinning) {
            return self.reap(on_seat, Some(Duration::ZERO), batch).map(Some);
        }
        let end = Instant::now().checked_add(self.spin);
        loop {
            let count = self.reap(on_seat, Some(Duration::ZERO), batch)?;
            if count > 0 || self.word.is_notified() || self.until_deadline(limit) == Some(Duration::ZERO) {
                return Ok(Some(count));
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
    }

    /// How long a turn may wait that has said so in the word: until its limit or the earliest timer.
    fn until_deadline(&self, limit: Option<Instant>) -> Option<Duration> {
        let deadline = match (limit, self.timers.earliest()) {
            (Some(limit), Some(timer)) => Some(limit.min(timer)),
            (limit, timer) => limit.or(timer),
        };
        deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// One wait of the backend; each report goes to its source at once.
    #[inline]
    fn reap(&self, on_seat: &mut OnSeat, timeout: Option<Duration>, batch: &mut Batch) -> io::Result<usize> {
        let OnSeat { wait, view, .. } = on_seat;
        self.driver.wait(wait, timeout, &mut Collects { registry: &self.registry, view, batch })
    }

    /// Step 6.
    #[inline]
    pub(super) fn dispatch(self: &Arc<Self>, mut batch: Batch) -> usize {
        let count = batch.len();
        if count > 0 {
            let _here = Enter::unless_current(self);
            let _dispatching = Dispatching::begin();
            match &self.dispatch {
                Some(dispatch) => dispatch.dispatch(&mut batch),
                None => batch.by_ref().for_each(std::task::Waker::wake),
            }
            drop(batch); // what the dispatcher left
        }
        count
    }
}

/// Applies what the kernel says, and puts whom it wakes into the batch.
struct Collects<'a> {
    registry: &'a Registry,
    view: &'a mut View,
    batch: &'a mut Batch,
}

impl Tell for Collects<'_> {
    #[inline(always)]
    fn ready(&mut self, Report { token, bits }: Report) {
        if let Some(source) = self.registry.look_up(self.view, token) {
            source.report(token.generation(), bits, self.batch.list());
        }
    }

    #[inline(always)]
    fn completed(&mut self, completion: Completion) {
        Lane::reap_inline(completion, self.batch);
    }

    fn given_back(&mut self, buffer: crate::buf::Slot) {
        buffer.give_back(self.batch);
    }
}

struct Dispatching;

impl Dispatching {
    fn begin() -> Self {
        DISPATCHING.set(true);
        Self
    }
}

impl Drop for Dispatching {
    fn drop(&mut self) {
        DISPATCHING.set(false);
    }
}
