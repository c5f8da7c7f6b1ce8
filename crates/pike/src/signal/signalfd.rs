//! The source that is a descriptor: each signal is received for itself, with its sender and value.

use std::{io, os::fd::OwnedFd};

use super::{
    Info, Received, Signal, SignalKind, SignalSet, Source, Value, check, process::Process, reserved::Reserved,
};
use crate::{
    Interest,
    handle::Attached,
    notifier::current,
    source::READABLE,
    sync::Mutex,
    sys::platform::{
        Held,
        signalfd::{self as sys, Entry, READ_MAX},
    },
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
    let open = || Attached::from_nonblocking(core, sys::open(numbers())?, 0);
    let (handle, reserved) = Process::this().reserve(kinds, open)?;
    let read = Mutex::new(Read { entries: [None; READ_MAX], next: 0 });
    let descriptor = Box::new(Descriptor { handle, read, kinds, _reserved: reserved });
    Ok(Signal { source: Source::Descriptor(descriptor) })
}

#[derive(Debug)]
pub(super) struct Descriptor {
    // First, so that it is closed before the kinds are free for others.
    handle: Attached<OwnedFd>,
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
        let entry = self.handle.async_io(Interest::READABLE, |fd| self.attempt(fd)).await?;
        let info = match (entry.sender.process, entry.value) {
            (0, None) => None,
            (process, value) => Some(Info {
                process,
                user: entry.sender.user,
                value: value.map(|(int, pointer)| Value { int, pointer }),
            }),
        };
        Ok(Received::new(SignalKind::from_raw(entry.number), 1, info, Held::adopt(entry.number)))
    }

    fn attempt(&self, fd: &OwnedFd) -> io::Result<Entry> {
        let (entry, has_left) = self.read.lock().next(fd)?;
        if has_left {
            // Another attempt may have found nothing just before this read, at the same tick, and takes the readiness back
            // only now (I5). The kernel has nothing more to report: so this does, at a new tick, of what lies in `read`.
            self.handle.registration().report(READABLE);
        }
        Ok(entry)
    }
}

impl Read {
    /// The next one, and whether this has read more than that: others wait for them perhaps.
    fn next(&mut self, fd: &OwnedFd) -> io::Result<(Entry, bool)> {
        if let Some(entry) = self.take() {
            return Ok((entry, false));
        }
        let mut at = 0;
        self.next = 0;
        sys::read(fd, |entry| {
            self.entries[at] = Some(entry);
            at += 1;
        })?;
        let entry = self.take().ok_or(io::ErrorKind::WouldBlock)?;
        Ok((entry, at > 1))
    }

    fn take(&mut self) -> Option<Entry> {
        let entry = self.entries.get_mut(self.next)?.take()?;
        self.next += 1;
        Some(entry)
    }
}

#[cfg(all(test, not(any(miri, loom))))]
mod tests {
    use std::{
        future::Future,
        mem,
        pin::{Pin, pin},
        task::{Context, Poll},
        time::Duration,
    };

    use super::*;
    use crate::{Notifier, testing::Log};

    #[allow(unsafe_code)]
    fn raise(kind: SignalKind) {
        // SAFETY: takes no pointer. The signal is for this thread, which blocks it.
        assert_eq!(unsafe { libc::raise(kind.as_raw()) }, 0);
    }

    /// Between the moment in which one receive finds nothing and the one in which it takes the readiness back, another reads
    /// three signals and takes one. The first finds the others, which the kernel will not report again.
    #[test]
    fn what_one_has_read_and_left_is_there_for_one_that_found_nothing() {
        let kind = crate::os::unix::signal::real_time(5).unwrap();
        crate::os::unix::signal::block(kind).unwrap();
        let notifier = Notifier::new().unwrap();
        let signal = {
            let _here = notifier.enter();
            signalfd(kind.into()).unwrap()
        };
        let Source::Descriptor(descriptor) = &signal.source else { unreachable!("a signalfd") };
        // Received, with the readiness left as it is.
        raise(kind);
        assert_eq!(notifier.block_on(signal.recv()).unwrap().kind(), kind);

        let log = Log::default();
        let (slow_waker, quick_waker) = (log.waker(1), log.waker(2));
        let poll_slow = |slow: Pin<&mut dyn Future<Output = io::Result<Entry>>>| {
            slow.poll(&mut Context::from_waker(&slow_waker))
        };
        let mut is_first = true;
        let mut slow = pin!(descriptor.handle.async_io(Interest::READABLE, |fd| {
            let found = descriptor.attempt(fd);
            if mem::take(&mut is_first) {
                assert_eq!(found.as_ref().map(drop).map_err(io::Error::kind), Err(io::ErrorKind::WouldBlock));
                (0..3).for_each(|_| raise(kind));
                let quick = pin!(descriptor.recv());
                assert!(quick.poll(&mut Context::from_waker(&quick_waker)).is_ready());
            }
            found
        }));
        let mut got = poll_slow(slow.as_mut());
        if got.is_pending() {
            notifier.poll(Some(Duration::from_millis(200))).unwrap();
            assert_eq!(log.take(), [1], "two signals were read, and nobody is told");
            got = poll_slow(slow);
        }
        assert!(matches!(got, Poll::Ready(Ok(entry)) if entry.number == kind.as_raw()));
        assert!(matches!(notifier.block_on(signal.recv()), Ok(got) if got.kind() == kind));
    }
}
