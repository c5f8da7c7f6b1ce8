//! The kqueue backend: readiness, edge-triggered, one registration a descriptor for both directions.
//!
//! kqueue tells reading and writing by two filters, each with a *knote* of its own. Both are added with `EV_CLEAR`, in one
//! call that asks for a receipt of each and so reports no events; after that nothing calls kevent for the descriptor until
//! it goes. The token travels in `udata`. A third filter, `EVFILT_USER`, is what [`Driver::notify`] triggers; its number is
//! a namespace of its own, so it meets no descriptor's.
//!
//! What differs from epoll, and what is done about it:
//!
//! - Adding a knote that is there succeeds, and takes it over. The driver keeps a [`Table`] of what it has attached, so
//!   that a second registration is refused, and the knote of a number that was closed and given out again is told from it.
//! - A regular file is accepted and always ready. It is refused here, as epoll does.
//! - Urgent data is not told: there is no priority readiness, and since a read stops at the urgent mark with more behind
//!   it, every report says that urgent data may have been seen. So a short read never means "drained" here.
//! - A queue is not inherited by a child of a fork: the child's number may be something else's, and is never touched.
//! - A descriptor's close takes its knotes with it, even while a duplicate lives.
//! - What a knote looks at may be chosen once, when it is added: NetBSD, OpenBSD and DragonFly have one filter for sockets
//!   that listen and another for those that do not. So a socket's read knote is added again after its listen.
//!
//! Signals come by `EVFILT_SIGNAL`, from a queue within this one: see `signals`.
//!
//! `calls` has the system calls, `os` the numbers and shapes of each system; a double for Linux stands in for them under
//! `cfg(pike_kqueue_double)`.
//!
//! Timers are the wait's timeout, which needs no call of its own and is never early; a knote of `EVFILT_TIMER` would cost one
//! for every new deadline. Both count nanoseconds on macOS, FreeBSD and DragonFly and clock ticks on NetBSD and OpenBSD, but
//! FreeBSD may add a tick and a sixteenth of a long wait to the timeout.
//!
//! Sources: kqueue(2) of each system; `sys/kern/kern_event.c` and `uipc_socket.c` of FreeBSD 13.

use std::{io, sync::Mutex, time::Duration};

use super::{Raw, Report};
use crate::{source, token::Token};

mod calls;
#[cfg(pike_kqueue_double)]
mod double;
mod notify;
mod os;
#[cfg(all(test, any(target_os = "freebsd", pike_kqueue_double)))]
mod semantics;
mod signals;
mod table;
#[cfg(test)]
mod tests;

use self::{
    calls::{Events, Queue, change},
    notify::Notify,
    signals::Signals,
    table::Table,
};

/// Reports taken from the kernel at once; a socket may have two, one a direction. 64 KiB a Notifier on FreeBSD.
const EVENTS: usize = 1024;
const NOTIFY: Token = Token::internal(0);
const SIGNALS: Token = Token::internal(1);

// A token has 64 bits and travels in a pointer's place.
const _: () = assert!(size_of::<usize>() == 8, "the kqueue backend needs a 64-bit target");

/// The half that every thread uses.
#[derive(Debug)]
pub(crate) struct Driver {
    queue: Queue,
    notify: Notify,
    attached: Mutex<Table>,
    signals: Signals,
}

/// The half that only the holder of the seat uses.
pub(crate) struct Wait {
    events: Events,
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("capacity", &EVENTS).finish()
    }
}

impl Driver {
    pub(crate) fn new() -> io::Result<(Self, Wait)> {
        let queue = Queue::new()?;
        let notify = Notify::new(&queue)?;
        Ok((Self::of(queue, notify), Wait { events: Events::new(EVENTS) }))
    }

    fn of(queue: Queue, notify: Notify) -> Self {
        Self { queue, notify, attached: Mutex::default(), signals: Signals::new() }
    }

    /// Attaches both directions. What it returns is known at once, and nothing will report it again.
    pub(crate) fn attach(&self, descriptor: Raw, token: Token) -> io::Result<u64> {
        let is_pipe = calls::refuse_file(descriptor)?;
        // Locked until the kernel has answered: two attempts for one number must not both find it free.
        let mut attached = self.table();
        if let Some(holder) = attached.holder(descriptor) {
            if self.is_attached(descriptor, holder)? {
                return Err(io::Error::from_raw_os_error(libc::EEXIST));
            }
        }
        attached.reserve(descriptor);
        let add = os::EV_ADD | os::EV_CLEAR;
        let bits = match self.change_both(descriptor, token, add)? {
            (0, 0) => 0,
            (0, code) if is_broken_pipe(is_pipe, code) => source::WRITABLE | source::WRITE_CLOSED,
            // A kind of descriptor that has one direction only, such as another queue.
            (0, code) | (code, 0) if is_lacking(code) => 0,
            (read, write) => {
                // One of them may be there. The error to tell is that of the add.
                let _ = self.change_both(descriptor, token, os::EV_DELETE);
                return Err(refusal(if read == 0 { write } else { read }));
            }
        };
        attached.insert(descriptor, token);
        Ok(bits)
    }

    /// Adds the read knote anew, for a socket that listens since the first time: then it tells of connections, also of
    /// those that came before.
    pub(crate) fn attach_again(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        let attached = self.table();
        if attached.holder(descriptor) != Some(token) {
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        let change = |flags| change(descriptor as usize, os::EVFILT_READ, flags, token);
        match self.queue.change([change(os::EV_DELETE), change(os::EV_ADD | os::EV_CLEAR)])? {
            [_, 0] => Ok(()),
            [_, code] => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Takes both knotes out, if they are still those of `token`.
    pub(crate) fn detach(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        let mut attached = self.table();
        if !attached.remove(descriptor, token) {
            // The number was closed behind our back, and is attached again as another descriptor's.
            return Err(io::Error::from_raw_os_error(libc::ENOENT));
        }
        match self.change_both(descriptor, token, os::EV_DELETE)? {
            // One direction may never have been there.
            (0, _) | (_, 0) => Ok(()),
            (code, _) => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Async-signal-safe.
    pub(crate) fn notify(&self) {
        self.notify.notify(&self.queue);
    }

    /// One wait. An interruption by a signal is an empty one.
    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        mut report: impl FnMut(Report),
    ) -> io::Result<usize> {
        let count = match self.queue.wait(&mut wait.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        for event in wait.events.first(count) {
            let token = Token::from_bits(event.udata as u64);
            match token {
                NOTIFY => self.notify.heard(),
                SIGNALS => self.tell_signals(),
                _ => report(Report { token, bits: bits(event) }),
            }
        }
        Ok(count)
    }

    /// As many reports as one wait takes: with a full buffer the kernel may have more.
    pub(crate) const CAPACITY: usize = EVENTS;

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // Nothing panics while it is held but for want of memory, and then it was not changed.
        self.attached.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The codes of one change for reading and one for writing, zero for success.
    fn change_both(&self, descriptor: Raw, token: Token, flags: os::Flags) -> io::Result<(i32, i32)> {
        let change = |filter| change(descriptor as usize, filter, flags, token);
        self.queue
            .change([change(os::EVFILT_READ), change(os::EVFILT_WRITE)])
            .map(|[read, write]| (read, write))
    }

    /// Whether the knotes of a number that was attached are still there: closing it takes them away. Enabling what is
    /// enabled changes nothing in the knote, since it carries the token that the knote has; FreeBSD looks again, and reports
    /// once more what is ready, which costs its holder an attempt.
    fn is_attached(&self, descriptor: Raw, holder: Token) -> io::Result<bool> {
        let (read, write) = self.change_both(descriptor, holder, os::EV_ENABLE)?;
        Ok(read == 0 || write == 0)
    }
}

/// Whether writing was refused because the other end of a pipe is gone already, so that no event will say so. The number is
/// open, so what NetBSD says (of both ends) means no other.
fn is_broken_pipe(is_pipe: bool, code: i32) -> bool {
    code == libc::EPIPE || is_pipe && code == libc::EBADF
}

/// Whether a filter was refused because this kind of descriptor does not have it.
fn is_lacking(code: i32) -> bool {
    [libc::EINVAL, libc::ENODEV, libc::EOPNOTSUPP, libc::ENOTSUP, libc::EPERM].contains(&code)
}

/// Why a descriptor was refused: with one code for one mistake on every backend.
fn refusal(code: i32) -> io::Error {
    // What has neither direction, such as /dev/null (ENODEV on FreeBSD, EINVAL on macOS), is EPERM as in epoll.
    io::Error::from_raw_os_error(if is_lacking(code) { libc::EPERM } else { code })
}

/// What an event says, in the words of a source. End of file is said once, under `EV_CLEAR`: the source remembers it.
#[inline]
fn bits(event: &os::Event) -> u64 {
    if event.flags & os::EV_ERROR != 0 {
        return source::READABLE | source::WRITABLE | source::ERROR;
    }
    let (ready, closed) = match event.filter {
        // Urgent data is not told, and may be there.
        os::EVFILT_READ => (source::READABLE | source::URGENT_SEEN, source::READ_CLOSED),
        os::EVFILT_WRITE => (source::WRITABLE, source::WRITE_CLOSED),
        _ => return 0,
    };
    match event.flags & os::EV_EOF {
        0 => ready,
        // Without an error a half-closed peer ends one direction only.
        _ if event.fflags == 0 => ready | closed,
        // The socket's error: both sides are ready once, so that a call finds it (I5).
        _ => ready | closed | source::READABLE | source::WRITABLE | source::ERROR,
    }
}
