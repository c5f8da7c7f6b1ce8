//! Signals by `EVFILT_SIGNAL`: a knote a signal that anybody on this Notifier listens to.
//!
//! The kernel notes a signal for the knote when it is sent, whatever is done with it then: no mask is touched, a thread that
//! blocks it hides nothing, and a handler that somebody else puts in place takes nothing away. What the signal does by
//! default is prevented by a handler (`sys/unix/disposition.rs`), which here only remembers the sender.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Driver, SIGNALS,
    calls::{Queue, change},
    os,
};
use crate::signal::SignalSet;

/// Hears of a signal: its number, how many there were, and whose queue told.
pub(crate) type Told = fn(i32, u64, usize);

/// Which signals a queue has knotes of.
#[derive(Debug)]
pub(super) struct Signals(Mutex<Uses>);

#[derive(Debug)]
struct Uses {
    told: Option<Told>,
    /// By number, how many listeners there are.
    listeners: [u32; SignalSet::NUMBERS],
}

impl Signals {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Uses { told: None, listeners: [0; SignalSet::NUMBERS] }))
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(queue: &Queue, number: i32, flags: os::Flags) -> io::Result<()> {
        match queue.change([change(number as usize, os::EVFILT_SIGNAL, flags, SIGNALS)])? {
            [0] => Ok(()),
            [code] => Err(io::Error::from_raw_os_error(code)),
        }
    }
}

impl Driver {
    /// What tells the listeners of this queue from others: its place in memory, where it stays while anybody has it.
    pub(crate) fn signal_source(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Has a turn call `told` for each signal of this number that comes. For each success one [`Driver::unwatch_signal`].
    pub(crate) fn watch_signal(&self, number: i32, told: Told) -> io::Result<()> {
        let mut uses = self.signals.uses();
        if uses.listeners[number as usize] == 0 {
            Signals::change(&self.queue, number, os::EV_ADD)?;
        }
        uses.listeners[number as usize] += 1;
        uses.told = Some(told);
        Ok(())
    }

    pub(crate) fn unwatch_signal(&self, number: i32) {
        let mut uses = self.signals.uses();
        let left = &mut uses.listeners[number as usize];
        *left -= 1;
        if *left == 0 {
            // The knote is there: nothing else takes one away.
            let _ = Signals::change(&self.queue, number, os::EV_DELETE);
        }
    }

    /// On the seat.
    #[cold]
    pub(super) fn tell_signal(&self, event: &os::Event) {
        let told = self.signals.uses().told;
        if let (Some(told), Ok(number), Ok(count)) =
            (told, i32::try_from(event.ident), u64::try_from(event.data))
        {
            told(number, count, self.signal_source());
        }
    }
}
