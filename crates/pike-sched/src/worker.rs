//! A worker: the calling thread, for as long as it is in `run` or `block_on`.
//!
//! It drives its main future, and the pool while it has the pool's seat. It does so inside of
//! `Notifier::block_on`, as the future of that, whose poll is rounds of these steps:
//!
//! 1. Poll the main future if it was woken. If that is ready, the drive is over.
//! 2. Take in what has arrived from other threads: a signal in each home says whether to look.
//! 3. Run the tasks that are in the queue now, each with a full budget; and then what they woke, until the main future is
//!    woken or 16 were run.
//! 4. If there is nothing to do, leave it to `block_on` to turn the Notifier and wait. If there is, turn it
//!    here without waiting, once 16 tasks were run since the last turn, or 64 if the last turns found nothing.
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
//! `block_on`, which gives `Closed` to all that wait for it, and goes on without turning. So the worker does, and reports
//! it: tasks see the error, and what needs no I/O is not touched. As long as a thread drives another worker whose Notifier has
//! not failed, it leaves the tasks of the pool to those, and keeps what has to stay with it.
//!
//! # Several workers
//!
//! In a pool of several, each worker has a thread (the first has that of `run` or `block_on`) and a Notifier of its own, and
//! does the same rounds. The queue here then holds only what stays with the worker. The tasks of the pool are in what
//! [`share`](crate::share) tells of, between steps 3 and 4; before a worker sleeps it says so to the others.
//!
//! # Without the seat
//!
//! Any number of threads may be in `block_on`, and one of them is the first worker. Those without the seat do the
//! same rounds with the tasks of their own home alone, and park in between, until they are woken or the seat
//! is left.

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    io,
    ops::ControlFlow,
    pin::Pin,
    ptr,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use pike::Notifier;

use crate::{
    bell::Sleep,
    crew::Slot,
    duty::Duty,
    home::{ARRIVED, END, Home, MAIN, SEAT, WORK},
    pool::Shared,
    queue::Queue,
    task::{Runnable, When},
    watch::Watch,
};

/// After how many runs a worker looks at its Notifier although tasks are ready.
///
/// A task may do 32 operations a run, so a flood of one socket keeps the others waiting for 512 of them at
/// most, and for 2,048 if there was nothing to wait for before. With many tasks ready a round that begins before that is
/// finished: then each of them is run once.
const RUNS_PER_TURN: usize = 16;
/// The same after turns that found nothing: each of them doubles it up to this.
const RUNS_PER_TURN_MAX: usize = 64;

pub(crate) struct Worker {
    pub(crate) pool: Arc<Shared>,
    index: usize,
    slot: Arc<Slot>,
    local: Arc<Home>,
    /// The main future's waker, which is the local home.
    main: Waker,
    /// Whether this thread has the pool's seat, or is a worker by itself.
    driving: Cell<bool>,
    /// The pool's home while it is driven here, otherwise null: for `is_pool_home`.
    driven: Cell<*const Home>,
    /// The home of what stays with this worker, otherwise null: for `is_own_home`.
    own: Cell<*const Home>,
    /// Whether the rounds will look at the queue before the thread sleeps: they are running, or were woken.
    is_awake: Cell<bool>,
    /// Whether the rounds have returned, for the thread to turn and wait.
    is_parked: Cell<bool>,
    /// Tasks to be run here. Touched by this thread only.
    queue: Queue,
    /// Wakes the rounds. None without the seat: then nothing but the rounds pushes to the queue.
    rounds: RefCell<Option<Sleep>>,
    /// Unparks this thread. Made at first need.
    unpark: OnceCell<Sleep>,
    /// Counts the tasks that are spawned here.
    spawned: Cell<u32>,
    pub(crate) sharing: Sharing,
}

/// What a worker has that shares its tasks with others. See [`share`](crate::share).
pub(crate) struct Sharing {
    /// Whether it does.
    pub(crate) on: Cell<bool>,
    /// Whether the rounds stand still, so that what is woken here belongs to a turn's batch.
    pub(crate) in_turn: Cell<bool>,
    /// What this turn made ready so far: empty while the rounds run.
    pub(crate) batch: Queue,
    pub(crate) duty: Duty,
    pub(crate) watch: Watch,
    /// How many tasks were run from `next` in a row.
    pub(crate) nexts: Cell<u8>,
    /// Counts runs.
    pub(crate) tick: Cell<u32>,
    /// Whether the task that is being run has completed: whom the rest of its run wakes awaits its handle or its group.
    pub(crate) completed: Cell<bool>,
}

impl Sharing {
    fn new() -> Self {
        Self {
            on: Cell::new(false),
            in_turn: Cell::new(false),
            batch: Queue::new(),
            duty: Duty::new(),
            watch: Watch::new(),
            nexts: Cell::new(0),
            tick: Cell::new(0),
            completed: Cell::new(false),
        }
    }
}

impl Worker {
    /// Without the seat.
    pub(crate) fn new(pool: Arc<Shared>, index: usize) -> Self {
        let local = Home::local();
        Self {
            main: Waker::from(Arc::clone(&local)),
            local,
            index,
            slot: Arc::clone(&pool.crew.slots[index]),
            pool,
            driving: Cell::new(false),
            driven: Cell::new(ptr::null()),
            own: Cell::new(ptr::null()),
            is_awake: Cell::new(true),
            is_parked: Cell::new(false),
            queue: Queue::new(),
            rounds: RefCell::new(None),
            unpark: OnceCell::new(),
            spawned: Cell::new(0),
            sharing: Sharing::new(),
        }
    }

    /// Whether this is the home of the pool, and any of its tasks may be run here.
    #[inline]
    pub(crate) fn is_pool_home(&self, home: *const Home) -> bool {
        self.driven.get() == home
    }

    /// Whether the tasks of this home are run here and nowhere else.
    #[inline]
    pub(crate) fn is_own_home(&self, home: *const Home) -> bool {
        Arc::as_ptr(&self.local) == home || self.own.get() == home
    }

    /// Takes a task of the pool in that was woken on this thread.
    #[inline]
    pub(crate) fn push_of_pool(&self, runnable: Runnable, when: When) {
        match self.sharing.on.get() {
            false => self.push(runnable),
            true => self.push_shared(runnable, when),
        }
    }

    #[inline]
    pub(crate) fn push(&self, runnable: Runnable) {
        // While the rounds sleep the queue is empty: who finds something in it need not look.
        if self.queue.push(runnable) {
            self.wake_rounds();
        }
        debug_assert!(self.is_awake.get());
    }

    /// How many tasks were spawned here before, in several pools: counts one more.
    #[inline]
    pub(crate) fn count_spawned(&self) -> u32 {
        let before = self.spawned.get();
        self.spawned.set(before.wrapping_add(1));
        before
    }

    /// The task that is being run has completed.
    #[inline]
    pub(crate) fn has_completed(&self) {
        self.sharing.completed.set(true);
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

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    #[inline]
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
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
        let if_driving = |home| if driving { Arc::as_ptr(home) } else { ptr::null() };
        self.driving.set(driving);
        self.driven.set(if_driving(&self.pool.home));
        self.own.set(if_driving(&self.slot.home));
        if self.index == 0 {
            self.pool.crew.first_is_driven.store(driving, Relaxed);
            for failed in self.pool.failures.set_first_is_driven(driving) {
                self.pool.crew.slots[failed].home.raise(WORK);
            }
        }
    }

    fn notifier(&self) -> &Notifier {
        &self.pool.notifiers[self.index]
    }

    /// Drives the main future until it is ready.
    #[track_caller]
    pub(crate) fn drive<F: Future>(&self, mut main: Pin<&mut F>) -> F::Output {
        self.local.raise_here(MAIN);
        loop {
            if self.pool.seat.take_or_wait(&self.local) {
                return self.drive_with_seat(main);
            }
            if let Some(output) = self.drive_without_seat(main.as_mut()) {
                return output;
            }
        }
    }

    #[track_caller]
    pub(crate) fn drive_with_seat<F: Future>(&self, mut main: Pin<&mut F>) -> F::Output {
        self.set_driving(true);
        self.sharing.on.set(self.pool.is_shared());
        self.notifier().block_on(poll_fn(|cx| self.poll_with_seat(main.as_mut(), cx)))
    }

    /// The Notifier of this worker turns no more: leaves the tasks of the pool to the others, and says so, once.
    #[cold]
    fn has_failed(&self, error: &io::Error) {
        let is_new = self.pool.failures.add(self.index, error);
        self.pool.crew.set_failed(self.index);
        self.share_if_no_other_can();
        if is_new {
            self.pool.failures.report(self.index, error);
        }
    }

    /// Of a worker that has failed: it shares tasks only while there is no other to run them.
    #[cold]
    fn share_if_no_other_can(&self) {
        if !self.pool.is_shared() || self.pool.is_ending() {
            return;
        }
        if self.pool.failures.has_sound_worker() {
            self.stop_sharing();
            // What is woken here from now on is sent to the others.
            self.driven.set(ptr::null());
        } else {
            self.driven.set(Arc::as_ptr(&self.pool.home));
            self.sharing.on.set(true);
        }
    }

    fn poll_with_seat<F: Future>(&self, mut main: Pin<&mut F>, cx: &Context<'_>) -> Poll<F::Output> {
        self.is_awake.set(true);
        if self.is_parked.replace(false) {
            self.count_batch(0);
        }
        self.hang_bells(cx.waker());
        if self.sharing.on.get() {
            self.rise();
            self.look_at_others();
        }
        if let Some(error) = self.notifier().failure() {
            self.has_failed(error);
        }
        let (mut runs, mut runs_per_turn) = (0, RUNS_PER_TURN);
        loop {
            match self.round(self.local.take_signals(), main.as_mut()) {
                ControlFlow::Break(output) => return Poll::Ready(output),
                ControlFlow::Continue(more) => runs += more,
            }
            if self.sharing.on.get() {
                runs += self.run_shared();
            }
            if self.is_idle() && (!self.sharing.on.get() || self.fall_asleep(cx.waker())) {
                self.is_awake.set(false);
                self.is_parked.set(true);
                self.slot.tally.parks.add(1);
                return Poll::Pending;
            }
            if runs >= runs_per_turn {
                let found = self.turn_without_waiting();
                self.look_while_busy();
                runs_per_turn = if found { RUNS_PER_TURN } else { RUNS_PER_TURN_MAX.min(runs_per_turn * 2) };
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
            self.sharing.duty.before_own(self);
            pike::budget::reset();
            if let Poll::Ready(output) = main.poll(&mut Context::from_waker(&self.main)) {
                return ControlFlow::Break(output);
            }
            self.sharing.duty.tell_others(self);
            runs += 1;
        }
        if signals & ARRIVED != 0 {
            self.queue.append(self.local.inbox.take());
        }
        if self.driving.get() {
            self.look_at_pool();
        }
        ControlFlow::Continue(runs + self.run_queue())
    }

    /// Runs what is in the queue now; and then what that woke, as long as nobody has waited for long.
    #[inline]
    fn run_queue(&self) -> usize {
        let batch = self.queue.len();
        if batch > 0 {
            self.sharing.duty.before_own(self);
        }
        let mut runs = 0;
        while runs < batch || (runs < RUNS_PER_TURN && !self.is_called()) {
            let Some(runnable) = self.queue.pop() else { break };
            pike::budget::reset();
            runnable.run();
            self.sharing.completed.set(false);
            self.sharing.duty.tell_others(self);
            runs += 1;
        }
        match self.driving.get() {
            true => self.slot.tally.runs.add(runs as u64),
            false => _ = self.slot.tally.runs_beside.fetch_add(runs as u64, Relaxed),
        }
        runs
    }

    /// After a turn, and before its batch is closed: counts it if it made tasks ready. There were `before` in the queue.
    #[inline]
    pub(crate) fn count_batch(&self, before: usize) {
        if self.queue.len() > before || !self.sharing.batch.is_empty() {
            self.slot.tally.batches.add(1);
        }
    }

    #[inline]
    fn look_at_pool(&self) {
        let signals = self.slot.home.take_signals();
        if signals & ARRIVED != 0 {
            self.queue.append(self.slot.home.inbox.take());
        }
        if signals & WORK != 0 && self.pool.crew.has_failed(self.index) {
            self.share_if_no_other_can();
        }
        if signals & END != 0 {
            match self.index {
                0 => {
                    self.sharing.duty.before_own(self);
                    self.end_pool();
                }
                // Its main future is ready now.
                _ => self.local.raise_here(MAIN),
            }
        }
    }

    /// Whether a signal is up.
    #[inline]
    fn is_called(&self) -> bool {
        self.local.has_signals() || (self.driving.get() && self.slot.home.has_signals())
    }

    #[inline]
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.is_called() && (!self.sharing.on.get() || self.has_nothing_shared())
    }

    /// True if that found something.
    fn turn_without_waiting(&self) -> bool {
        self.sharing.in_turn.set(true);
        let before = self.queue.len();
        let turned = self.notifier().poll(Some(Duration::ZERO));
        self.count_batch(before);
        self.close_batch();
        match turned {
            Ok(wakes) => return wakes > 0,
            Err(error) => match error.kind() {
                // Another thread turns it, and wakes what is ready.
                io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted => (),
                // As `block_on` does, which may not come to it for long.
                _ => {
                    self.notifier().shutdown(Duration::ZERO);
                    self.has_failed(&error);
                }
            },
        }
        false
    }

    /// Makes the bells of what is driven here wake the rounds.
    #[inline]
    fn hang_bells(&self, waker: &Waker) {
        let is_hung = self.rounds.borrow().as_ref().is_some_and(|rounds| rounds.will_wake(waker));
        if !is_hung {
            let rounds = Arc::new(waker.clone());
            drop(self.local.bell.set(Some(Arc::clone(&rounds))));
            drop(self.slot.home.bell.set(Some(Arc::clone(&rounds))));
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
            drop(self.slot.home.bell.set(None));
        }
    }

    /// Parks the thread until something has arrived in one of these homes, which have no bell.
    #[cold]
    pub(crate) fn park_for(&self, homes: &[Arc<Home>]) {
        let before: Vec<_> = homes.iter().map(|home| home.bell.set(Some(self.unpark()))).collect();
        while !homes.iter().any(|home| home.has_signals()) {
            thread::park();
        }
        for (home, before) in homes.iter().zip(before) {
            drop(home.bell.set(before));
        }
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
