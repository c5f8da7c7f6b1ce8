//! A worker: the calling thread, for as long as it is in `run` or `block_on`.
//!
//! It drives its main future, and the pool while it has the pool's seat. It does so inside of
//! `Notifier::block_on`, as the future of that, whose poll is rounds of these steps:
//!
//! 1. Poll the main future if it was woken. If that is ready, the drive is over.
//! 2. Take in what has arrived from other threads: a signal in each home says whether to look.
//! 3. Run the tasks that are in the queue now, each with a full budget. What they wake waits for the next
//!    round.
//! 4. If there is nothing to do, leave it to `block_on` to turn the Notifier and wait. If there is, turn it
//!    here without waiting, once 16 tasks were run since the last turn.
//!
//! A turn wakes its batch into the queue, on this thread and with no lock. So all that a turn made ready is
//! run before the next: N ready sockets cost one wait and what their tasks do. And tasks that keep each other
//! busy share the cost of a wait of nothing (110 ns), which is about what one of them costs.
//!
//! # Why inside of `Notifier::block_on`
//!
//! The pool's user may turn its Notifier too ([`Pool::notifier`](crate::Pool::notifier)). A worker that
//! turned with `poll` would have to do three things that only the Notifier can do right:
//!
//! - Wait while another thread has the Notifier's seat, without spinning, and take the seat over when it is
//!   left.
//! - Be woken, and not just notified. A notify is for whoever turns: the other thread's turn may take it
//!   back, after the worker has looked at its signals and before it turns, which then waits for ever. (A test
//!   under Miri did.) A wake is for the worker, and `block_on` looks for it once it has the seat.
//! - Tell a `block_on` inside of a task that it would block its worker.
//!
//! The price is one wake of its own: who pushes the first task while the worker is not in its rounds, which
//! is in a dispatch, wakes them ([`Worker::push`]).
//!
//! A Notifier that fails (it was shut down, or is that of another process, since a fork) is closed by
//! `block_on`, which gives `Closed` to all that wait for it, and goes on without turning. So the pool does:
//! tasks see the error, and what needs no I/O is not touched.
//!
//! # Without the seat
//!
//! A pool has one worker today, but any number of threads may be in `block_on`. Those without the seat do the
//! same rounds with the tasks of their own home alone, and park in between, until they are woken or the seat
//! is left.

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    io,
    ops::ControlFlow,
    pin::Pin,
    ptr,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    bell::Sleep,
    home::{ARRIVED, END, Home, MAIN, SEAT},
    pool::Shared,
    queue::Queue,
    task::Runnable,
};

/// After how many runs a worker looks at its Notifier although tasks are ready.
///
/// A task may do 32 operations a run, so a flood of one socket keeps the others waiting for 512 of them at
/// most.
const RUNS_PER_TURN: usize = 16;

pub(crate) struct Worker {
    pub(crate) pool: Arc<Shared>,
    local: Arc<Home>,
    /// The main future's waker, which is the local home.
    main: Waker,
    /// Whether this thread has the pool's seat.
    driving: Cell<bool>,
    /// The pool's home while it is driven here, otherwise null: for `is_home`.
    driven: Cell<*const Home>,
    /// Whether the rounds will look at the queue before the thread sleeps: they are running, or were woken.
    is_awake: Cell<bool>,
    /// Tasks to be run here. Touched by this thread only.
    queue: Queue,
    /// Wakes the rounds. None without the seat: then nothing but the rounds pushes to the queue.
    rounds: RefCell<Option<Sleep>>,
    /// Unparks this thread. Made at first need.
    unpark: OnceCell<Sleep>,
}

impl Worker {
    /// Without the seat.
    pub(crate) fn new(pool: Arc<Shared>) -> Self {
        let local = Home::local();
        Self {
            main: Waker::from(Arc::clone(&local)),
            local,
            pool,
            driving: Cell::new(false),
            driven: Cell::new(ptr::null()),
            is_awake: Cell::new(true),
            queue: Queue::new(),
            rounds: RefCell::new(None),
            unpark: OnceCell::new(),
        }
    }

    /// Whether a task of this home, woken on this thread, goes straight to the queue.
    #[inline]
    pub(crate) fn is_home(&self, home: *const Home) -> bool {
        self.driven.get() == home || Arc::as_ptr(&self.local) == home
    }

    #[inline]
    pub(crate) fn push(&self, runnable: Runnable) {
        // While the rounds sleep the queue is empty: who finds something in it need not look.
        if self.queue.push(runnable) {
            self.wake_rounds();
        }
        debug_assert!(self.is_awake.get());
    }

    /// Sees to it that the rounds go on before the thread sleeps.
    #[inline]
    pub(crate) fn wake_rounds(&self) {
        if !self.is_awake.get() {
            self.wake_sleeping_rounds();
        }
    }

    /// Out of line, so that the rest of a wake can be inlined: this is once a turn.
    #[cold]
    fn wake_sleeping_rounds(&self) {
        self.is_awake.set(true);
        if let Some(rounds) = &*self.rounds.borrow() {
            rounds.wake_by_ref();
        }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn local(&self) -> &Arc<Home> {
        &self.local
    }

    pub(crate) fn pool_home(&self) -> &Arc<Home> {
        &self.pool.home
    }

    pub(crate) fn is_driving(&self) -> bool {
        self.driving.get()
    }

    /// The thread has taken the seat, or is about to leave it.
    pub(crate) fn set_driving(&self, driving: bool) {
        self.driving.set(driving);
        self.driven.set(match driving {
            true => Arc::as_ptr(&self.pool.home),
            false => ptr::null(),
        });
    }

    /// Drives the main future until it is ready.
    #[track_caller]
    pub(crate) fn drive<F: Future>(&self, mut main: Pin<&mut F>) -> F::Output {
        self.local.raise_here(MAIN);
        loop {
            if self.pool.seat.take_or_wait(&self.local) {
                self.set_driving(true);
                return self.pool.notifier.block_on(poll_fn(|cx| self.poll_with_seat(main.as_mut(), cx)));
            }
            if let Some(output) = self.drive_without_seat(main.as_mut()) {
                return output;
            }
        }
    }

    fn poll_with_seat<F: Future>(&self, mut main: Pin<&mut F>, cx: &Context<'_>) -> Poll<F::Output> {
        self.is_awake.set(true);
        self.hang_bells(cx.waker());
        let mut runs = 0;
        loop {
            match self.round(self.local.take_signals(), main.as_mut()) {
                ControlFlow::Break(output) => return Poll::Ready(output),
                ControlFlow::Continue(more) => runs += more,
            }
            if self.is_idle() {
                self.is_awake.set(false);
                return Poll::Pending;
            }
            if runs >= RUNS_PER_TURN {
                self.turn_without_waiting();
                runs = 0;
            }
        }
    }

    /// Returns without an output when the seat was left by who had it.
    #[cold]
    fn drive_without_seat<F: Future>(&self, mut main: Pin<&mut F>) -> Option<F::Output> {
        drop(self.local.bell.set(Some(self.unpark())));
        loop {
            let signals = self.local.take_signals();
            if let ControlFlow::Break(output) = self.round(signals, main.as_mut()) {
                return Some(output);
            }
            if signals & SEAT != 0 {
                return None;
            }
            while self.is_idle() {
                thread::park();
            }
        }
    }

    /// Steps 1 to 3: the main future's output, or how much was run.
    #[inline]
    fn round<F: Future>(&self, signals: u8, main: Pin<&mut F>) -> ControlFlow<F::Output, usize> {
        let mut runs = 0;
        if signals & MAIN != 0 {
            pike::budget::reset();
            if let Poll::Ready(output) = main.poll(&mut Context::from_waker(&self.main)) {
                return ControlFlow::Break(output);
            }
            runs += 1;
        }
        if signals & ARRIVED != 0 {
            self.queue.append(self.local.take_inbox());
        }
        if self.driving.get() {
            self.look_at_pool();
        }
        let batch = self.queue.len();
        for _ in 0..batch {
            if let Some(runnable) = self.queue.pop() {
                pike::budget::reset();
                runnable.run();
            }
        }
        ControlFlow::Continue(runs + batch)
    }

    #[inline]
    fn look_at_pool(&self) {
        let signals = self.pool.home.take_signals();
        if signals & ARRIVED != 0 {
            self.queue.append(self.pool.home.take_inbox());
        }
        if signals & END != 0 {
            self.end_pool();
        }
    }

    #[inline]
    fn is_idle(&self) -> bool {
        let is_called = self.local.has_signals() || (self.driving.get() && self.pool.home.has_signals());
        self.queue.is_empty() && !is_called
    }

    fn turn_without_waiting(&self) {
        if let Err(error) = self.pool.notifier.poll(Some(Duration::ZERO)) {
            match error.kind() {
                // Another thread turns it, and wakes what is ready.
                io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted => (),
                // As `block_on` does, which may not come to it for long.
                _ => drop(self.pool.notifier.shutdown(Duration::ZERO)),
            }
        }
    }

    /// Makes the bells of what is driven here wake the rounds.
    #[inline]
    fn hang_bells(&self, waker: &Waker) {
        let is_hung = self.rounds.borrow().as_ref().is_some_and(|rounds| rounds.will_wake(waker));
        if !is_hung {
            let rounds = Arc::new(waker.clone());
            drop(self.local.bell.set(Some(Arc::clone(&rounds))));
            drop(self.pool.home.bell.set(Some(Arc::clone(&rounds))));
            self.rounds.replace(Some(rounds));
        }
    }

    /// Takes the bells down: the rounds are over. What is woken from now on waits for who ends it, or drives
    /// it next.
    pub(crate) fn take_bells_down(&self) {
        self.is_awake.set(true);
        self.rounds.replace(None);
        drop(self.local.bell.set(None));
        if self.driving.get() {
            drop(self.pool.home.bell.set(None));
        }
    }

    /// Parks the thread until something has arrived in `home`, which has no bell.
    #[cold]
    pub(crate) fn park_for(&self, home: &Home) {
        let before = home.bell.set(Some(self.unpark()));
        while !home.has_signals() {
            thread::park();
        }
        drop(home.bell.set(before));
    }

    fn unpark(&self) -> Sleep {
        Arc::clone(self.unpark.get_or_init(|| Arc::new(Waker::from(Arc::new(Unpark(thread::current()))))))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
