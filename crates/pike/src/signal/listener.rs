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
use crate::{Event, handle::op::Attempt};

/// For each kind a word that the handler writes, and an Event that it then notifies.
#[derive(Debug)]
pub(super) struct Listener {
    event: Event,
    kinds: Box<[(SignalKind, Heard)]>,
    /// Where the next receive looks first, so that no kind starves another.
    next: AtomicUsize,
}

impl Listener {
    /// On the current Notifier.
    pub(super) fn new(kinds: SignalSet) -> io::Result<Self> {
        let kinds = kinds.iter().map(|kind| (kind, Heard::new())).collect();
        Ok(Self { event: Event::new()?, kinds, next: AtomicUsize::new(0) })
    }

    pub(super) fn kinds(&self) -> SignalSet {
        self.kinds.iter().map(|(kind, _)| *kind).collect()
    }

    /// In the handler. Async-signal-safe: atomics, and one write if the Notifier sleeps.
    pub(super) fn hear(&self, number: i32, sender: Sender) {
        if let Some((_, heard)) = self.kinds.iter().find(|(kind, _)| kind.as_raw() == number) {
            heard.add(sender);
            // After it, with Release: a receive that this wakes finds what was added.
            self.event.notify();
        }
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
                let received = Received::new(*kind, count, Info::from_sender(sender));
                return match self.kinds.iter().any(|(_, heard)| heard.any()) {
                    true => Attempt::Done(received),
                    false => Attempt::Drained(received),
                };
            }
        }
        Attempt::Empty
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
