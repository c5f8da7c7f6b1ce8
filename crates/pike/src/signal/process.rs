//! What this process listens to: who hears which signal, and by which source. A child of a fork starts anew.
//!
//! The state of a process is made at the first need and never freed, so a signal handler may look at it at any time. It
//! belongs to the process by two marks. The count of forks is inherited memory, changed in a child by `pthread_atfork`
//! before anything else runs there. The process number tells apart what that does not see: the child of a `vfork`, which runs
//! on its parent's memory until it becomes another program, and in which a handler must not act for the parent; and a bare
//! `clone`. So in a child the parent's listeners hear nothing, and nothing is written to the parent's descriptors (I14).
//!
//! The lock is never taken by a handler. A handler that runs while its own thread holds it finds the slots in order: they
//! need no lock.

use std::{
    fmt, io,
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::{
    SignalKind, SignalSet,
    heard::Sender,
    listener::Listener,
    slots::{Slot, Slots},
};
use crate::{sync::Mutex, sys::platform};

static PROCESS: AtomicPtr<Process> = AtomicPtr::new(ptr::null_mut());

/// The listeners of one process.
pub(super) struct Process {
    forks: u32,
    pid: u32,
    slots: Slots<Listener>,
    pub(super) uses: Mutex<Uses>,
}

/// How each signal is used. Changed together with the system's state, under the lock.
pub(super) struct Uses {
    /// By number, how many listeners the handler serves.
    pub(super) listeners: [u32; SignalSet::NUMBERS],
    /// Those that a signalfd receives.
    pub(super) descriptors: SignalSet,
}

/// Called by the platform's handler, on any thread at any time. Async-signal-safe: it makes atomic operations, one write
/// for each Notifier that sleeps, and `getpid`.
fn deliver(number: i32, sender: Sender) {
    // SAFETY: null, or never freed.
    #[allow(unsafe_code)]
    let process = unsafe { PROCESS.load(Ordering::Acquire).as_ref() };
    if let Some(process) = process.filter(|process| process.is_this()) {
        process.slots.walk(|listener| listener.hear(number, sender));
    }
}

/// Called on a seat, by a backend that tells of signals itself.
fn deliver_counted(number: i32, count: u64, source: usize) {
    // SAFETY: null, or never freed.
    #[allow(unsafe_code)]
    let process = unsafe { PROCESS.load(Ordering::Acquire).as_ref() };
    if let Some(process) = process.filter(|process| process.is_this()) {
        process.slots.walk(|listener| listener.hear_counted(number, count, source));
    }
}

impl Process {
    /// The state of this process, made at the first call. No lock: one held during a fork would stay held in the child.
    #[allow(unsafe_code)]
    pub(super) fn this() -> &'static Self {
        loop {
            let at = PROCESS.load(Ordering::Acquire);
            // SAFETY: null, or leaked below and never freed.
            match unsafe { at.as_ref() } {
                Some(process) if process.is_this() => return process,
                // None yet, or a parent's, whose listeners go on there.
                _ => {}
            }
            let new = Box::into_raw(Box::new(Self {
                forks: platform::forks(),
                pid: std::process::id(),
                slots: Slots::new(),
                uses: Mutex::new(Uses { listeners: [0; SignalSet::NUMBERS], descriptors: SignalSet::new() }),
            }));
            if PROCESS.compare_exchange(at, new, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // SAFETY: made above, and given to nobody.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    /// Whether it belongs to the calling process. Async-signal-safe.
    pub(super) fn is_this(&self) -> bool {
        self.forks == platform::forks() && self.pid == std::process::id()
    }

    /// Has the handler serve `listener` too. All or nothing.
    #[allow(unsafe_code)]
    pub(super) fn listen(&'static self, listener: Listener) -> io::Result<Listening> {
        let kinds = listener.kinds();
        let mut uses = self.uses.lock();
        if let Some(kind) = kinds.iter().find(|kind| uses.descriptors.contains(*kind)) {
            return Err(taken(kind, "a signalfd receives it"));
        }
        // A backend that counts itself: what came before goes to the others.
        listener.backend().tell_signals();
        let listener = Arc::new(listener);
        // SAFETY: `listener` stays where it is until `Listening` is dropped, which removes it before that; leaked with it.
        let slot = unsafe { self.slots.add(NonNull::from(&*listener)) };
        // From here on its drop undoes what was done so far.
        let mut listening = Listening { process: self, slot, listener, watched: SignalSet::new() };
        let mut watched = Ok(());
        for kind in kinds.iter() {
            let number = kind.as_raw();
            watched = platform::watch_signal(number, deliver);
            if watched.is_err() {
                break;
            }
            // After the handler, which keeps the signal from doing what it does by default.
            watched = listening.listener.backend().watch_signal(number, deliver_counted);
            if watched.is_err() {
                if uses.listeners[number as usize] == 0 {
                    platform::unwatch_signal(number);
                }
                break;
            }
            uses.listeners[number as usize] += 1;
            listening.watched = listening.watched.with(kind);
        }
        drop(uses); // before `listening`, which takes it
        watched.map(|()| listening)
    }
}

/// Why a signal cannot be received.
#[cold]
pub(super) fn taken(kind: SignalKind, by: &str) -> io::Error {
    let text = format!("{kind} cannot be received in two ways at once: {by} in this process");
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

/// A listener that the handler serves, until this is dropped.
pub(super) struct Listening {
    process: &'static Process,
    slot: &'static Slot<Listener>,
    listener: Arc<Listener>,
    /// Those that count it.
    watched: SignalSet,
}

impl Listening {
    pub(super) fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if !self.process.is_this() {
            // In the child of a fork: nobody walks these slots any more, the lock may be held for ever, and the
            // dispositions are the child's own affair.
            return;
        }
        let mut uses = self.process.uses.lock();
        for kind in self.watched.iter() {
            let number = kind.as_raw();
            self.listener.backend().unwatch_signal(number);
            let left = &mut uses.listeners[number as usize];
            *left -= 1;
            if *left == 0 {
                platform::unwatch_signal(number);
            }
        }
        self.process.slots.remove(self.slot);
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.watched, f)
    }
}
