//! Signals by `EVFILT_SIGNAL`: a knote a signal that anybody on this Notifier listens to.
//!
//! The knotes are in a queue of their own, there while anybody listens, which the Notifier's queue reads. So what is pending can be
//! collected alone, and is, before another listener comes: the count of a knote would else go to who listens when a turn
//! collects it, also what came before. Who collects tells under the lock, so nothing is between the kernel and a listener
//! when [`Driver::tell_signals`] returns.
//!
//! The kernel notes a signal for the knote when it is sent, whatever is done with it then: no mask is touched, a thread that
//! blocks it hides nothing, and a handler that somebody else puts in place takes nothing away. What the signal does by
//! default is prevented by a handler (`sys/unix/disposition.rs`), which here only remembers the sender.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Driver, SIGNALS,
    calls::{Events, Queue, change},
    os,
};
use crate::signal::SignalSet;

/// Hears of a signal: its number, how many there were, and whose queue told.
pub(crate) type Told = fn(i32, u64, usize);

/// How many signals are collected at once.
const EVENTS: usize = 16;

/// What is there while anybody listens: most queues have nothing of it, so in a box.
#[derive(Debug)]
pub(super) struct Signals(Mutex<Option<Box<Knotes>>>);

/// Which signals a queue has knotes of.
#[derive(Debug)]
struct Knotes {
    queue: Queue,
    events: Events,
    told: Told,
    /// By number, how many listeners there are.
    listeners: [u32; SignalSet::NUMBERS],
}

impl Knotes {
    fn new(outer: &Queue, told: Told) -> io::Result<Self> {
        let listeners = [0; SignalSet::NUMBERS];
        let knotes = Self { queue: Queue::new()?, events: Events::new(EVENTS), told, listeners };
        knotes.watch(outer, os::EV_ADD)?;
        Ok(knotes)
    }

    /// Whether `outer` tells, as long as there is something to collect.
    fn watch(&self, outer: &Queue, flags: os::Flags) -> io::Result<()> {
        match outer.change([change(self.queue.raw() as usize, os::EVFILT_READ, flags, SIGNALS)])? {
            [0] => Ok(()),
            [code] => Err(io::Error::from_raw_os_error(code)),
        }
    }

    fn change(&self, number: i32, flags: os::Flags) -> io::Result<()> {
        match self.queue.change([change(number as usize, os::EVFILT_SIGNAL, flags, SIGNALS)])? {
            [0] => Ok(()),
            [code] => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Tells all that is pending.
    fn tell(&mut self, source: usize) {
        loop {
            // An error here means interrupted: then a turn does it, since it is pending still.
            let count = self.queue.wait(&mut self.events, Some(Duration::ZERO)).unwrap_or(0);
            for event in self.events.first(count) {
                if let (Ok(number), Ok(count)) = (i32::try_from(event.ident), u64::try_from(event.data)) {
                    (self.told)(number, count, source);
                }
            }
            if count < EVENTS {
                return;
            }
        }
    }
}

impl Signals {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn knotes(&self) -> MutexGuard<'_, Option<Box<Knotes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    /// What tells the listeners of this queue from others: its place in memory, where it stays while anybody has it.
    pub(crate) fn signal_source(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Has a turn call `told` for each signal of this number that comes. For each success one [`Driver::unwatch_signal`].
    pub(crate) fn watch_signal(&self, number: i32, told: Told) -> io::Result<()> {
        let mut place = self.signals.knotes();
        let knotes = match &mut *place {
            Some(knotes) => knotes,
            none => none.insert(Box::new(Knotes::new(&self.queue, told)?)), // left to the next, should the add fail
        };
        if knotes.listeners[number as usize] == 0 {
            knotes.change(number, os::EV_ADD)?;
        }
        knotes.listeners[number as usize] += 1;
        Ok(())
    }

    pub(crate) fn unwatch_signal(&self, number: i32) {
        let mut place = self.signals.knotes();
        let Some(knotes) = &mut *place else { unreachable!("there since the watch of signal {number}") };
        let left = &mut knotes.listeners[number as usize];
        *left -= 1;
        if *left > 0 {
            return;
        }
        // The knote is there: nothing else takes one away.
        let _ = knotes.change(number, os::EV_DELETE);
        if knotes.listeners.iter().all(|&listeners| listeners == 0) {
            let _ = knotes.watch(&self.queue, os::EV_DELETE);
            *place = None;
        }
    }

    /// Tells what came up to now, on the seat or for a listener to come, who must not hear of it.
    #[cold]
    pub(crate) fn tell_signals(&self) {
        if let Some(knotes) = &mut *self.signals.knotes() {
            knotes.tell(self.signal_source());
        }
    }
}
