//! Where a set of tasks belongs: its inbox, its register, its signals and its bell.
//!
//! There are two kinds. A pool has one home, for the tasks of [`spawn`](crate::spawn()): the thread that
//! drives the pool runs them, today this one and tomorrow another. And every `run` or `block_on` has one of
//! its own, for its main future and the tasks of [`spawn_local`](crate::spawn_local): they never leave its
//! thread, and end with it.
//!
//! A task woken on the thread where its home is goes straight to that worker's queue. Woken anywhere else, it
//! comes to the *inbox*, the signal says so, and the bell is rung.
//!
//! The *register* holds a waker of every task whose future is alive, so that they can be cancelled. A task
//! enters it before it is first scheduled and leaves it when its future has been dropped. From that follows
//! what makes shutdown sound:
//!
//! - Once the register is closed and empty, no Runnable of the home exists, and none will: a task without its
//!   future is completed, and async-task schedules no completed task. So what wakers and handles do then, on
//!   any thread, comes to nothing, and no future is ever dropped on a thread that it does not belong to.
//! - A Runnable may be on its way for a while: a foreign thread has marked the task as scheduled, and not yet
//!   pushed it. Who ends the home waits for it, since the register is not empty.
//!
//! ```text
//!   signals     raised by                                          taken by the thread of the home, which then
//!   MAIN        the main future's waker                            polls the main future
//!   ARRIVED     who has pushed a task to the inbox                 takes the inbox
//!   END         Pool::shutdown                                     ends the home
//!   SEAT        the thread that leaves the pool's seat             tries to take it
//! ```
//!
//! Raising is a Release and taking an Acquire of the one word: what was stored before a signal is visible to
//! who takes it. Only who raises a signal that was not up rings: who finds it up knows that the signal was
//! not taken yet, so that what he stored is seen with it, and that its raiser rings.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Wake, Waker},
};

use crate::{bell::Bell, current, queue::Queue, task::Runnable, wakers::Wakers};

pub(crate) const MAIN: u8 = 1;
pub(crate) const ARRIVED: u8 = 2;
pub(crate) const END: u8 = 4;
pub(crate) const SEAT: u8 = 8;

pub(crate) struct Home {
    /// Whether it is that of one `run` or `block_on`, and not that of a pool.
    local: bool,
    signals: AtomicU8,
    inbox: Mutex<Queue>,
    register: Mutex<Register>,
    pub(crate) bell: Bell,
}

struct Register {
    /// One a task whose future is alive.
    wakers: Wakers,
    /// No task enters any more.
    closed: bool,
}

impl Home {
    /// The home of a pool.
    pub(crate) fn new() -> Arc<Self> {
        Self::make(false)
    }

    /// The home of the calling thread while it is in a pool.
    pub(crate) fn local() -> Arc<Self> {
        Self::make(true)
    }

    fn make(local: bool) -> Arc<Self> {
        Arc::new(Self {
            local,
            signals: AtomicU8::new(0),
            inbox: Mutex::new(Queue::new()),
            register: Mutex::new(Register { wakers: Wakers::new(), closed: false }),
            bell: Bell::default(),
        })
    }

    #[inline]
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }

    #[inline]
    pub(crate) fn has_signals(&self) -> bool {
        self.signals.load(Relaxed) != 0
    }

    pub(crate) fn is_up(&self, signal: u8) -> bool {
        self.signals.load(Acquire) & signal != 0
    }

    #[inline]
    pub(crate) fn take_signals(&self) -> u8 {
        match self.has_signals() {
            true => self.signals.swap(0, Acquire),
            false => 0,
        }
    }

    pub(crate) fn raise(&self, signal: u8) {
        if self.signals.fetch_or(signal, Release) & signal == 0 {
            self.bell.ring();
        }
    }

    /// As `raise`, by the home's own thread, which sees to it that it looks at the signals before it sleeps.
    #[inline]
    pub(crate) fn raise_here(&self, signal: u8) {
        self.signals.fetch_or(signal, Release);
    }

    /// Takes a task in that was woken away from home.
    pub(crate) fn receive(&self, runnable: Runnable) {
        self.inbox().push(runnable);
        self.raise(ARRIVED);
    }

    /// Puts tasks back that the worker leaves behind; they are older than those in the inbox.
    pub(crate) fn put_back(&self, tasks: Queue) {
        if !tasks.is_empty() {
            let inbox = self.inbox();
            tasks.append(inbox.take());
            inbox.append(tasks);
            drop(inbox);
            self.raise_here(ARRIVED);
        }
    }

    pub(crate) fn take_inbox(&self) -> Queue {
        self.inbox().take()
    }

    /// Enters a task, unless the home is closed: then the waker comes back.
    pub(crate) fn enter(&self, waker: Waker) -> Result<u32, Waker> {
        let mut register = self.register();
        match register.closed {
            true => Err(waker),
            false => Ok(register.wakers.insert(waker)),
        }
    }

    /// The future of the task with this key was dropped.
    pub(crate) fn leave(&self, key: u32) {
        let waker = self.register().wakers.remove(key);
        drop(waker);
    }

    /// Refuses tasks from now on.
    pub(crate) fn close(&self) {
        self.register().closed = true;
    }

    /// The wakers of all tasks that are left. No task must enter meanwhile: close it first.
    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        self.register().wakers.take_all()
    }

    /// How many tasks are alive.
    pub(crate) fn len(&self) -> usize {
        self.register().wakers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.register().wakers.is_empty()
    }

    fn inbox(&self) -> MutexGuard<'_, Queue> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The home of a `run` or `block_on` is the waker of its main future.
impl Wake for Home {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        current::with(|worker| match worker {
            Some(worker) if worker.is_home(Arc::as_ptr(self)) => {
                self.raise_here(MAIN);
                worker.wake_rounds();
            }
            _ => self.raise(MAIN),
        });
    }
}
