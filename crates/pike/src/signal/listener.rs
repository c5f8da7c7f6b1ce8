//! One listener of the default source: what the handler leaves in it, and what a receive takes out.

use std::{
    future::Future,
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    Info, Received, SignalKind, SignalSet,
    heard::{Heard, Sender},
};
use crate::{
    Event,
    handle::op::Attempt,
    sys::{Driver, platform::Held},
};

/// For each kind a word that the handler writes, and an Event that it then notifies.
#[derive(Debug)]
pub(super) struct Listener {
    event: Event,
    /// Not zero if the backend counts the signals itself, which knows this listener by that.
    source: usize,
    kinds: Box<[(SignalKind, Heard)]>,
    /// With such a backend: the senders that the handler saw.
    senders: Box<[Heard]>,
    /// Where the next receive looks first, so that no kind starves another.
    next: AtomicUsize,
}

impl Listener {
    /// On the current Notifier.
    pub(super) fn new(kinds: SignalSet) -> io::Result<Self> {
        let event = Event::new()?;
        let source = event.core().signals().signal_source();
        let senders = kinds.iter().filter(|_| source != 0).map(|_| Heard::new()).collect();
        let kinds = kinds.iter().map(|kind| (kind, Heard::new())).collect();
        Ok(Self { event, source, kinds, senders, next: AtomicUsize::new(0) })
    }

    /// The backend that it hears by, for one that tells of signals itself.
    pub(super) fn backend(&self) -> &Driver {
        self.event.core().signals()
    }

    fn place_of(&self, number: i32) -> Option<usize> {
        self.kinds.iter().position(|(kind, _)| kind.as_raw() == number)
    }

    pub(super) fn kinds(&self) -> SignalSet {
        self.kinds.iter().map(|(kind, _)| *kind).collect()
    }

    /// In the handler. Async-signal-safe: atomics, and one write if the Notifier sleeps.
    pub(super) fn hear(&self, number: i32, sender: Sender) {
        match self.place_of(number) {
            // The backend counts it, and may have told already.
            Some(at) if self.source != 0 => self.senders[at].note(sender),
            Some(at) => self.add(at, 1, sender),
            None => {}
        }
    }

    /// On the seat of the Notifier with the backend `source`, which counted `count` of them.
    pub(super) fn hear_counted(&self, number: i32, count: u64, source: usize) {
        if source != self.source {
            return;
        }
        if let Some(at) = self.place_of(number) {
            let sender = self.senders[at].take().map_or(Sender::UNKNOWN, |(_, sender)| sender);
            self.add(at, count, sender);
        }
    }

    fn add(&self, at: usize, count: u64, sender: Sender) {
        let (kind, heard) = &self.kinds[at];
        // Before it can be received, and let go of.
        let held = Held::new(kind.as_raw());
        if heard.add_many(count, sender) {
            held.leave(); // to whoever takes it
        }
        // After it, with Release: a receive that this wakes finds what was added.
        self.event.notify();
    }

    pub(super) fn recv(&self) -> impl Future<Output = io::Result<Received>> + Send + '_ {
        self.event.wait_and(|| self.take())
    }

    /// What is added after this look is notified after it, too, and a turn to come reports that.
    fn take(&self) -> Attempt<Received> {
        let (count, first) = (self.kinds.len(), self.next.load(Ordering::Relaxed));
        for at in (0..count).map(|offset| (first + offset) % count) {
            let (kind, heard) = &self.kinds[at];
            if let Some((count, sender)) = heard.take() {
                self.next.store(at + 1, Ordering::Relaxed);
                let held = Held::adopt(kind.as_raw());
                let received = Received::new(*kind, count, Info::from_sender(sender), held);
                return match self.kinds.iter().any(|(_, heard)| heard.any()) {
                    true => Attempt::Done(received),
                    false => Attempt::Drained(received),
                };
            }
        }
        Attempt::Empty
    }
}

impl Drop for Listener {
    /// What nobody has received keeps the system waiting no longer. No handler knows this listener any more.
    fn drop(&mut self) {
        for (kind, heard) in &self.kinds {
            if heard.take().is_some() {
                drop(Held::adopt(kind.as_raw()));
            }
        }
    }
}

impl Info {
    fn from_sender(sender: Sender) -> Option<Self> {
        match sender {
            Sender { process: 0, .. } => None,
            Sender { process, user } => Some(Self { process, user, value: None }),
        }
    }
}
