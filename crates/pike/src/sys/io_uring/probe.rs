//! Whether this system's io_uring does what pike needs of it: found out by doing it, once a process.
//!
//! That a call exists says little: a filter may refuse it, a kernel may know the operation and not its multishot form, and
//! what an old one does with a flag that it does not know is its own affair. So a small ring is made, and each thing
//! is done on a socket pair.
#![allow(unsafe_code)]

use std::{
    io::{self, Write},
    mem::{self, MaybeUninit},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use io_uring::{
    EnterFlags, IoUring, cqueue, opcode, squeue,
    types::{self, BufRingEntry, CancelBuilder, SubmitArgs, Timespec},
};

use crate::{
    notifier::Cause,
    sys::unix::{cvt, forks},
};

/// What failed, and with which code of the system's; none if it did something else than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) code: Option<i32>,
}

/// The parts of the test, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    Setup = 1,
    Features,
    Sockets,
    Buffers,
    Receive,
    Cancel,
    Accept,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Setup,
        Self::Features,
        Self::Sockets,
        Self::Buffers,
        Self::Receive,
        Self::Cancel,
        Self::Accept,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Setup => "io_uring_setup",
            Self::Features => "the timeout of a wait (EXT_ARG)",
            Self::Sockets => "a socket pair to test with",
            Self::Buffers => "a ring of provided buffers",
            Self::Receive => "a multishot receive",
            Self::Cancel => "a cancellation by descriptor",
            Self::Accept => "a multishot accept",
        }
    }
}

impl Failure {
    /// Of a ring that could not be made although a test one was.
    pub(crate) fn of_setup(error: &io::Error) -> Self {
        Self { step: Step::Setup, code: error.raw_os_error() }
    }

    pub(crate) fn cause(self) -> Cause {
        match self.code {
            Some(libc::ENOSYS) => Cause::Missing,
            Some(libc::EPERM | libc::EACCES) => Cause::Forbidden,
            Some(libc::EINVAL | libc::EOPNOTSUPP) => Cause::TooOld,
            Some(libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOBUFS) => {
                Cause::NoResources
            }
            None if self.step != Step::Sockets => Cause::TooOld,
            _ => Cause::Other,
        }
    }
}

/// The last result: how many forks the process has behind it (a child may be under another filter), the step, the code.
/// Zero: none yet.
static RESULT: AtomicU64 = AtomicU64::new(0);
const PASSED: u64 = 0xff;

/// Tests, or gives the result of the test before. What a lack of memory or descriptors has spoilt is tested again.
pub(crate) fn probe() -> Result<(), Failure> {
    let forks = u64::from(forks()) << 32;
    let known = RESULT.load(Ordering::Relaxed);
    if known as u32 != 0 && known & !0xffff_ffff == forks {
        return decode(known);
    }
    let result = test();
    if result.is_ok() || result.is_err_and(|failure| failure.cause() != Cause::NoResources) {
        RESULT.store(forks | encode(result), Ordering::Relaxed);
    }
    result
}

fn encode(result: Result<(), Failure>) -> u64 {
    match result {
        Ok(()) => PASSED,
        Err(Failure { step, code }) => step as u64 | (code.unwrap_or(0) as u64) << 8,
    }
}

fn decode(word: u64) -> Result<(), Failure> {
    let code = (word as u32 >> 8) as i32;
    match Step::ALL.into_iter().find(|step| *step as u64 == word & 0xff) {
        None => Ok(()),
        Some(step) => Err(Failure { step, code: (code != 0).then_some(code) }),
    }
}

fn at(step: Step) -> impl Fn(io::Error) -> Failure {
    move |error| Failure { step, code: error.raw_os_error() }
}

/// Eight entries for buffers, of which one is used, at the beginning of a page; and that one's buffer.
#[repr(C, align(65536))]
struct Memory {
    entries: [MaybeUninit<BufRingEntry>; 8],
    buffer: [u8; 64],
}

fn test() -> Result<(), Failure> {
    let ring = IoUring::builder().dontfork().build(8).map_err(at(Step::Setup))?;
    if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
        return Err(Failure { step: Step::Features, code: None });
    }
    let pair = UnixStream::pair().and_then(|(one, other)| one.set_nonblocking(true).map(|()| (one, other)));
    let (one, mut other) = pair.map_err(at(Step::Sockets))?;
    // SAFETY: zeroes are entries, and bytes.
    let mut memory: Box<Memory> = Box::new(unsafe { mem::zeroed() });
    let mut test = Test { ring };
    let result = test.receive(&mut memory, &one, &mut other).and_then(|()| test.accept());
    if result.is_err() {
        // Something may be in flight; closing the ring does not tell when it is not (I3).
        mem::forget(memory);
    }
    result
}

struct Test {
    ring: IoUring,
}

const RECEIVE: u64 = 1;
const CANCEL: u64 = 2;
const ACCEPT: u64 = 3;

impl Test {
    fn receive(
        &mut self,
        memory: &mut Memory,
        one: &UnixStream,
        other: &mut UnixStream,
    ) -> Result<(), Failure> {
        let entries = memory.entries.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: the first of the entries, zeroed.
        let entry = unsafe { &mut *entries };
        entry.set_addr(memory.buffer.as_mut_ptr() as u64);
        entry.set_len(memory.buffer.len() as u32);
        entry.set_bid(7);
        // SAFETY: the tail lies in the first entry, and the kernel does not know it yet.
        unsafe { BufRingEntry::tail(entries).cast_mut().write(1) };
        // SAFETY: eight entries, which the caller keeps as long as anything may be in flight.
        unsafe { self.ring.submitter().register_buf_ring_with_flags(entries as u64, 8, 0, 0) }
            .map_err(at(Step::Buffers))?;

        let failed = Failure { step: Step::Receive, code: None };
        let fd = types::Fd(one.as_raw_fd());
        self.submit(opcode::RecvMulti::new(fd, 0).build().user_data(RECEIVE)).map_err(at(Step::Receive))?;
        other.write_all(b"x").map_err(at(Step::Sockets))?;
        let got = self.completion_of(&[RECEIVE]).map_err(at(Step::Receive))?.ok_or(failed)?;
        if got.result() < 0 {
            return Err(Failure { code: Some(-got.result()), ..failed });
        }
        let buffer = cqueue::buffer_select(got.flags());
        if (got.result(), buffer, cqueue::more(got.flags())) != (1, Some(7), true) || memory.buffer[0] != b'x'
        {
            return Err(failed);
        }
        self.cancel(fd, RECEIVE)
    }

    fn accept(&mut self) -> Result<(), Failure> {
        let failed = Failure { step: Step::Accept, code: None };
        let (listener, address, len) = listener().map_err(at(Step::Sockets))?;
        let fd = types::Fd(listener.as_raw_fd());
        // Not inherited, should another thread start a program now.
        let accept = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC).build().user_data(ACCEPT);
        self.submit(accept).map_err(at(Step::Accept))?;
        let client = socket().map_err(at(Step::Sockets))?;
        // SAFETY: an address of that length, as the system gave it.
        cvt(unsafe { libc::connect(client.as_raw_fd(), (&raw const address).cast(), len) })
            .map_err(at(Step::Sockets))?;
        let got = self.completion_of(&[ACCEPT]).map_err(at(Step::Accept))?.ok_or(failed)?;
        if got.result() < 0 {
            return Err(Failure { code: Some(-got.result()), ..failed });
        }
        // SAFETY: just accepted, and nobody else's.
        drop(unsafe { OwnedFd::from_raw_fd(got.result()) });
        if !cqueue::more(got.flags()) {
            return Err(failed);
        }
        self.cancel(fd, ACCEPT)
    }

    /// Cancels what is in flight on a descriptor, and waits for its end.
    fn cancel(&mut self, fd: types::Fd, key: u64) -> Result<(), Failure> {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(fd).all()).build().user_data(CANCEL);
        self.submit(entry).map_err(at(Step::Cancel))?;
        let failed = Failure { step: Step::Cancel, code: None };
        let mut ended = self.completion_of(&[key, CANCEL]).map_err(at(Step::Cancel))?.ok_or(failed)?;
        if ended.user_data() == CANCEL {
            if ended.result() < 0 {
                return Err(Failure { code: Some(-ended.result()), ..failed });
            }
            ended = self.completion_of(&[key]).map_err(at(Step::Cancel))?.ok_or(failed)?;
        }
        match ended.result() {
            code if code == -libc::ECANCELED && !cqueue::more(ended.flags()) => Ok(()),
            _ => Err(failed),
        }
    }

    fn submit(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: what it names is kept by the callers, and the queue is emptied by each submission.
        unsafe { self.ring.submission().push(&entry) }
            .map_err(|_| io::Error::from_raw_os_error(libc::EBUSY))?;
        self.ring.submit().map(drop)
    }

    /// The next completion of a request, or of one of several; those of others are passed over. None if none comes in seconds.
    fn completion_of(&mut self, keys: &[u64]) -> io::Result<Option<cqueue::Entry>> {
        for _ in 0..4 {
            if let Some(found) = self.ring.completion().find(|entry| keys.contains(&entry.user_data())) {
                return Ok(Some(found));
            }
            let second = Timespec::from(Duration::from_secs(1));
            let argument = SubmitArgs::new().timespec(&second);
            let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
            // SAFETY: the argument is of the kind that EXT_ARG says, and outlives the call with its timeout.
            match unsafe { self.ring.submitter().enter(0, 1, flags, Some(&argument)) } {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR)) => {}
                other => drop(other?),
            }
        }
        Ok(None)
    }
}

fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no pointer.
    let fd = cvt(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: just created, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A listener with a name that the system chooses, in no folder (unix(7), "autobind").
fn listener() -> io::Result<(OwnedFd, libc::sockaddr_un, libc::socklen_t)> {
    let listener = socket()?;
    // SAFETY: zeroes are an address.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let family = size_of::<libc::sa_family_t>() as libc::socklen_t;
    // SAFETY: an address of that length.
    cvt(unsafe { libc::bind(listener.as_raw_fd(), (&raw const address).cast(), family) })?;
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::listen(listener.as_raw_fd(), 1) })?;
    let mut len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: room for an address of that length.
    cvt(unsafe { libc::getsockname(listener.as_raw_fd(), (&raw mut address).cast(), &mut len) })?;
    Ok((listener, address, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_survives_its_word() {
        let failure = |step, code| Err(Failure { step, code });
        for result in Step::ALL
            .into_iter()
            .flat_map(|step| {
                [failure(step, None), failure(step, Some(libc::ENOSYS)), failure(step, Some(libc::EPERM))]
            })
            .chain([Ok(())])
        {
            assert_eq!(decode(encode(result)), result);
            assert_ne!(encode(result) as u32, 0);
        }
    }

    /// Where the build machine has io_uring, all of it is there; where it has not, it is the first step that says so.
    #[test]
    fn the_test_passes_or_fails_at_its_beginning() {
        if let Err(failure) = test() {
            assert_eq!(failure.step, Step::Setup, "{failure:?}");
        }
    }
}
