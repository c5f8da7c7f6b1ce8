//! The system calls of the kqueue backend, each result checked (I10). The only file that calls what `os` names.
#![allow(unsafe_code)]

use std::{
    io, mem,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    time::Duration,
};

use super::os;
use crate::{
    sys::{
        Raw,
        unix::{cvt, forks, keep_errno},
    },
    token::Token,
};

/// Room for events: numbers, and tokens in a pointer's place.
#[derive(Debug)]
pub(super) struct Events(Box<[os::Event]>);

// SAFETY: what looks like a pointer is a token, which nobody follows.
unsafe impl Send for Events {}
// SAFETY: as for Send.
unsafe impl Sync for Events {}

impl Events {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![change(0, 0, 0, Token::internal(0)); count].into())
    }

    #[inline]
    pub(super) fn first(&self, count: usize) -> &[os::Event] {
        &self.0[..count]
    }
}

/// A kqueue, closed on drop: but never in a child of a fork, which does not inherit it, so that there the number is
/// something else's (I14).
#[derive(Debug)]
pub(super) struct Queue {
    raw: RawFd,
    forks: u32,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let raw = cvt(unsafe { os::kqueue() })?;
        let queue = Self { raw, forks: forks() };
        // Between the two calls a child cannot inherit it, so no other program does.
        // SAFETY: takes no pointer.
        cvt(unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) })?;
        Ok(queue)
    }

    pub(super) fn raw(&self) -> RawFd {
        self.raw
    }

    /// Makes changes, and says what became of each: its error's code, or zero. Events are not looked at.
    pub(super) fn change<const N: usize>(&self, mut changes: [os::Event; N]) -> io::Result<[i32; N]> {
        for change in &mut changes {
            change.flags |= os::EV_RECEIPT;
        }
        let mut receipts = changes;
        let mut is_repeated = false;
        loop {
            match self.kevent(&changes, &mut receipts, Some(Duration::ZERO)) {
                Ok(count) if count == N => break,
                Ok(count) => {
                    return Err(io::Error::other(format!("kevent gave {count} receipts for {N} changes")));
                }
                // All changes have been tried by then, kqueue(2) says, but it keeps their receipts to itself. What failed
                // fails again, and an add of what is there succeeds.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => is_repeated = true,
                Err(error) => return Err(error),
            }
        }
        let code = |receipt: &os::Event| match receipt.flags & os::EV_ERROR {
            0 => 0,
            _ => receipt.data as i32,
        };
        let mut codes = receipts.each_ref().map(code);
        for (change, code) in changes.iter().zip(&mut codes) {
            if is_repeated && change.flags & os::EV_DELETE != 0 && *code == libc::ENOENT {
                *code = 0; // deleted the first time
            }
        }
        Ok(codes)
    }

    /// Makes one change whose only failure would be a queue that is gone. `errno` stays as it was.
    pub(super) fn trigger(&self, change: &os::Event) {
        keep_errno(|| {
            let _ = self.kevent(std::slice::from_ref(change), &mut [], Some(Duration::ZERO));
        });
    }

    /// Waits for events; for ever without a timeout.
    #[inline]
    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        self.kevent(&[], &mut events.0, timeout)
    }

    fn kevent(
        &self,
        changes: &[os::Event],
        events: &mut [os::Event],
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        let timeout = timeout.map(timespec);
        // SAFETY: the kernel reads the changes and the time, and writes at most as many events as there is room for.
        let count = unsafe {
            os::kevent(
                self.raw,
                changes.as_ptr(),
                changes.len() as _,
                events.as_mut_ptr(),
                events.len() as _,
                timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
            )
        };
        Ok(cvt(count)? as usize)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if forks() == self.forks {
            // SAFETY: ours, and not used after.
            unsafe { os::close(self.raw) };
        }
    }
}

/// A change, or room for an event.
pub(super) fn change(ident: usize, filter: os::Filter, flags: os::Flags, token: Token) -> os::Event {
    // SAFETY: numbers and a pointer, for which all zeroes are valid.
    let mut event: os::Event = unsafe { mem::zeroed() };
    event.ident = ident as _;
    event.filter = filter;
    event.flags = flags;
    event.udata = ptr::without_provenance_mut(token.bits() as usize);
    event
}

/// The longest wait that every system takes; some refuse more than three years.
const SECONDS_MAX: u64 = 100_000_000;

fn timespec(timeout: Duration) -> libc::timespec {
    match timeout.as_secs() {
        seconds if seconds < SECONDS_MAX => {
            libc::timespec { tv_sec: seconds as _, tv_nsec: timeout.subsec_nanos() as _ }
        }
        _ => libc::timespec { tv_sec: SECONDS_MAX as _, tv_nsec: 0 },
    }
}

/// Fails with epoll's code for a regular file or a directory: kqueue takes them, and says that they are ready always.
/// Otherwise it says whether the descriptor is a pipe's.
pub(super) fn refuse_file(descriptor: Raw) -> io::Result<bool> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fills the struct it is given.
    cvt(unsafe { libc::fstat(descriptor, stat.as_mut_ptr()) })?;
    // SAFETY: filled above.
    let mode = unsafe { stat.assume_init() }.st_mode;
    match mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR => Err(io::Error::from_raw_os_error(libc::EPERM)),
        kind => Ok(kind == libc::S_IFIFO),
    }
}

/// A pipe, both ends non-blocking and close-on-exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    #[cfg(not(target_os = "macos"))]
    cvt(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: room for two descriptors.
    #[cfg(target_os = "macos")]
    cvt(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    // SAFETY: just made, and nobody else's.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    #[cfg(target_os = "macos")]
    for end in [&read, &write] {
        crate::sys::unix::set_close_on_exec(end)?;
        crate::sys::unix::set_nonblocking(end)?;
    }
    Ok((read, write))
}

/// Async-signal-safe: one write, and `errno` stays as it was.
pub(super) fn write_byte(pipe: &OwnedFd) {
    keep_errno(|| {
        // SAFETY: one readable byte. A full pipe is readable as well.
        unsafe { libc::write(pipe.as_raw_fd(), [1_u8].as_ptr().cast(), 1) };
    });
}

/// Reads all that is in a pipe.
pub(super) fn drain(pipe: &OwnedFd) {
    let mut buf = [0_u8; 256];
    // SAFETY: room for that many bytes.
    while unsafe { libc::read(pipe.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) } == buf.len() as isize {}
}
