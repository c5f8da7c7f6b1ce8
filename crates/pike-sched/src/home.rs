//! Where a set of tasks belongs: its inbox, its register, its signals and its bell.
//!
//! There are three kinds. A pool has one home, for the tasks of [`spawn`](crate::spawn()): any of its workers runs
//! them, and each is at home there. If it has several workers, each of them has a home too, for the tasks that stay
//! with it. And every thread that drives a worker has one of its own for as long as it does, for its main future and the
//! tasks of [`spawn_local`](crate::spawn_local): they never leave its thread, and end with it.
//!
//! A task woken on a thread where its home is goes straight to that worker's queues. Woken anywhere else, it comes to
//! the *inbox*. Then, if it is that of a pool with several workers, one that sleeps is woken to look there; else the
//! signal says so, and the bell is rung.
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
//!   WORK        who has claimed the sleeping worker                looks for tasks: it rises from its sleep
//!               the first worker that comes or goes, in failed ones    looks whether it is to run the pool's tasks
//!   END         Pool::shutdown                                     ends the home, or leaves it to who does
//!   SEAT        the thread that leaves the pool's seat             tries to take it
//! ```
//!
//! Raising is a Release and taking an Acquire of the one word: what was stored before a signal is visible to
//! who takes it. Only who raises a signal that was not up rings: who finds it up knows that the signal was
//! not taken yet, so that what he stored is seen with it, and that its raiser rings.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use crate::{
    bell::Bell,
    crew::Crew,
    current,
    idle::WORKERS_MAX,
    inbox::Inbox,
    queue::Queue,
    sync::{
        Mutex,
        atomic::{
            AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::Runnable,
    wakers::Wakers,
    worker::Worker,
};

pub(crate) const MAIN: u8 = 1;
pub(crate) const ARRIVED: u8 = 2;
pub(crate) const END: u8 = 4;
pub(crate) const SEAT: u8 = 8;
pub(crate) const WORK: u8 = 16;

pub(crate) struct Home {
    /// Whether it is that of one thread that drives a worker.
    local: bool,
    signals: AtomicU8,
    pub(crate) inbox: Inbox,
    /// One, or for the home of a pool `PARTS` a worker, so that they seldom meet at the lock.
    registers: Box<[Part]>,
    pub(crate) bell: Bell,
    /// If it is that of a pool with several workers.
    pub(crate) crew: Option<Arc<Crew>>,
}

/// Into how many parts the tasks that a worker spawns are divided: those that it runs itself, and those that others take.
const PARTS: usize = 4;
/// How many tasks it spawns into one part before it goes on to the next. Thieves take neighbours.
const RUN_OF_PART: u32 = 64;

// A `Place` has a byte for it.
const _: () = assert!(WORKERS_MAX * PARTS <= 256);

/// On cache lines of its own.
#[repr(align(128))]
struct Part(Mutex<Register>);

struct Register {
    /// One a task whose future is alive.
    wakers: Wakers,
    /// No task enters any more.
    closed: bool,
}

/// Where a task stands in the register.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) part: u8,
    pub(crate) key: u32,
}

impl Home {
    /// The home of a pool with one worker, or of a worker's own tasks.
    pub(crate) fn new() -> Arc<Self> {
        Self::make(false, None)
    }

    /// The home of a pool with several workers.
    pub(crate) fn of_crew(crew: Arc<Crew>) -> Arc<Self> {
        Self::make(false, Some(crew))
    }

    /// The home of the calling thread while it is in a pool.
    pub(crate) fn local() -> Arc<Self> {
        Self::make(true, None)
    }

    fn make(local: bool, crew: Option<Arc<Crew>>) -> Arc<Self> {
        let parts = crew.as_ref().map_or(1, |crew| crew.slots.len() * PARTS);
        let register = || Part(Mutex::new(Register { wakers: Wakers::new(), closed: false }));
        Arc::new(Self {
            local,
            signals: AtomicU8::new(0),
            inbox: Inbox::new(),
            registers: (0..parts).map(|_| register()).collect(),
            bell: Bell::default(),
            crew,
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
        self.inbox.push(runnable);
        // With a crew nobody listens to this but who ends the home.
        self.raise(ARRIVED);
        if let Some(crew) = &self.crew {
            crew.notify();
        }
    }

    /// Takes in what a batch has made ready, with one notification for all.
    pub(crate) fn receive_all(&self, tasks: Queue) {
        if tasks.is_empty() {
            return;
        }
        self.inbox.append(tasks);
        self.raise(ARRIVED);
        if let Some(crew) = &self.crew {
            crew.notify();
        }
    }

    /// Puts tasks back that the worker leaves behind; they are older than those in the inbox.
    pub(crate) fn put_back(&self, tasks: Queue) {
        if !tasks.is_empty() {
            self.inbox.put_back(tasks);
            self.raise_here(ARRIVED);
            if let Some(crew) = &self.crew {
                crew.notify();
            }
        }
    }

    /// Enters a task, unless the home is closed: then the waker comes back.
    pub(crate) fn enter(&self, waker: Waker) -> Result<Place, Waker> {
        // The part of the worker that spawns. Whose task it is decides nothing but how often two meet at a lock.
        let part = match self.registers.len() {
            1 => 0,
            // The worker may be one of another pool.
            parts => current::with(|worker| worker.map_or(0, Self::part_of)) % parts,
        };
        let mut register = self.registers[part].0.lock();
        match register.closed {
            true => Err(waker),
            false => Ok(Place { part: part as u8, key: register.wakers.insert(waker) }),
        }
    }

    fn part_of(worker: &Worker) -> usize {
        let spawned = worker.count_spawned();
        worker.index() * PARTS + (spawned / RUN_OF_PART) as usize % PARTS
    }

    /// The future of the task at this place was dropped.
    pub(crate) fn leave(&self, place: Place) {
        let waker = self.registers[usize::from(place.part)].0.lock().wakers.remove(place.key);
        drop(waker);
    }

    /// Refuses tasks from now on.
    pub(crate) fn close(&self) {
        for register in &self.registers {
            register.0.lock().closed = true;
        }
    }

    /// The wakers of all tasks that are left. No task must enter meanwhile: close it first.
    pub(crate) fn take_wakers(&self) -> Vec<Waker> {
        self.registers.iter().flat_map(|register| register.0.lock().wakers.take_all()).collect()
    }

    /// How many tasks are alive.
    pub(crate) fn len(&self) -> usize {
        self.registers.iter().map(|register| register.0.lock().wakers.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.registers.iter().all(|register| register.0.lock().wakers.is_empty())
    }
}

/// The home of a `run` or `block_on` is the waker of its main future.
impl Wake for Home {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        current::with(|worker| match worker {
            Some(worker) if worker.is_own_home(Arc::as_ptr(self)) => {
                self.raise_here(MAIN);
                worker.wake_rounds();
            }
            _ => self.raise(MAIN),
        });
    }
}
