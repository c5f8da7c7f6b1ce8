//! What interrupts a wait: a knote of `EVFILT_USER`, or a pipe where the system has none.
//!
//! `EVFILT_USER` came to OpenBSD with 7.8 and to NetBSD with 10; before, adding one is refused.

use std::{io, os::fd::OwnedFd};

use super::{
    NOTIFY,
    calls::{self, Queue, change},
    os,
};

/// The one knote of `EVFILT_USER` in a queue. The numbers of this filter are apart from those of descriptors.
const IDENT: usize = 0;

/// How the queue is notified.
#[derive(Debug)]
pub(super) enum Notify {
    User,
    /// The end to read from, in the queue, and the end to write to. The only users of both.
    Pipe(OwnedFd, OwnedFd),
}

impl Notify {
    pub(super) fn new(queue: &Queue) -> io::Result<Self> {
        let [code] = queue.change([change(IDENT, os::EVFILT_USER, os::EV_ADD | os::EV_CLEAR, NOTIFY)])?;
        match code {
            0 => Ok(Self::User),
            libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP => Self::with_pipe(queue),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    pub(super) fn with_pipe(queue: &Queue) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let (read, write) = calls::pipe()?;
        let add = change(read.as_raw_fd() as usize, os::EVFILT_READ, os::EV_ADD | os::EV_CLEAR, NOTIFY);
        match queue.change([add])? {
            [0] => Ok(Self::Pipe(read, write)),
            [code] => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Async-signal-safe: one system call, and `errno` stays as it was.
    pub(super) fn notify(&self, queue: &Queue) {
        match self {
            // With the token again: a trigger's udata takes the place of the stored one.
            Self::User => {
                let mut trigger = change(IDENT, os::EVFILT_USER, 0, NOTIFY);
                trigger.fflags = os::NOTE_TRIGGER;
                queue.trigger(&trigger);
            }
            Self::Pipe(_, write) => calls::write_byte(write),
        }
    }

    /// A notification was reported. The knote has cleared itself; a pipe is emptied, since no event comes of a full one.
    pub(super) fn heard(&self) {
        if let Self::Pipe(read, _) = self {
            calls::drain(read);
        }
    }
}
