//! The source that is a descriptor: each signal is received for itself, with its sender and value.

use std::{io, os::fd::OwnedFd};

use super::{
    Info, Received, Signal, SignalKind, SignalSet, Source, Value, check, process::Process, reserved::Reserved,
};
use crate::{
    Handle, Interest,
    notifier::current,
    sync::Mutex,
    sys::platform::signalfd::{self as sys, Entry, READ_MAX},
};

/// Makes a [`Signal`] of a signalfd. Public as `os::linux::signal::signalfd`.
pub(crate) fn signalfd(kinds: SignalSet) -> io::Result<Signal> {
    check(kinds)?;
    let numbers = || kinds.iter().map(SignalKind::as_raw);
    if let Some(number) = sys::first_unblocked(numbers())? {
        let kind = SignalKind::from_raw(number);
        let text = format!(
            "{kind} is not blocked on this thread, so a signalfd would not receive it: block it, with \
             pike::os::unix::signal::block, before the program starts another thread"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let core = current::current_or_background()?;
    let open = || Handle::from_nonblocking(core, sys::open(numbers())?, 0);
    let (handle, reserved) = Process::this().reserve(kinds, open)?;
    let read = Mutex::new(Read { entries: [None; READ_MAX], next: 0 });
    let descriptor = Box::new(Descriptor { handle, read, kinds, _reserved: reserved });
    Ok(Signal { source: Source::Descriptor(descriptor) })
}

#[derive(Debug)]
pub(super) struct Descriptor {
    // First, so that it is closed before the kinds are free for others.
    handle: Handle<OwnedFd>,
    read: Mutex<Read>,
    kinds: SignalSet,
    _reserved: Reserved,
}

/// What was read with one call and not received yet.
#[derive(Debug)]
struct Read {
    entries: [Option<Entry>; READ_MAX],
    next: usize,
}

impl Descriptor {
    pub(super) fn kinds(&self) -> SignalSet {
        self.kinds
    }

    /// Only an attempt that finds nothing read before, and nothing to read, waits. So what one receive has read and not
    /// taken keeps the descriptor ready for the others.
    pub(super) async fn recv(&self) -> io::Result<Received> {
        let entry = self.handle.async_io(Interest::READABLE, |fd| self.read.lock().next(fd)).await?;
        let info = match (entry.sender.process, entry.value) {
            (0, None) => None,
            (process, value) => Some(Info {
                process,
                user: entry.sender.user,
                value: value.map(|(int, pointer)| Value { int, pointer }),
            }),
        };
        Ok(Received::new(SignalKind::from_raw(entry.number), 1, info))
    }
}

impl Read {
    fn next(&mut self, fd: &OwnedFd) -> io::Result<Entry> {
        if let Some(entry) = self.take() {
            return Ok(entry);
        }
        let mut at = 0;
        self.next = 0;
        sys::read(fd, |entry| {
            self.entries[at] = Some(entry);
            at += 1;
        })?;
        self.take().ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn take(&mut self) -> Option<Entry> {
        let entry = self.entries.get_mut(self.next)?.take()?;
        self.next += 1;
        Some(entry)
    }
}
