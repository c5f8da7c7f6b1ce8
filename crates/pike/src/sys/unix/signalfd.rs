//! A descriptor that signals are read from.
//!
//! It reads what the reading thread has pending: signals for the process, and for that thread itself. They must be blocked,
//! or they are handled before anybody reads them.
//!
//! Sources: signalfd(2).
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::{cvt, sender::has_sender, signals::Mask};
use crate::signal::Sender;

/// How many one read takes at most.
pub(crate) const READ_MAX: usize = 8;

/// One signal that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) number: i32,
    pub(crate) sender: Sender,
    /// What `sigqueue` sent along, as a number and as a pointer.
    pub(crate) value: Option<(i32, u64)>,
}

/// The first of `numbers` that the calling thread does not block.
pub(crate) fn first_unblocked(mut numbers: impl Iterator<Item = i32>) -> io::Result<Option<i32>> {
    let mask = Mask::of_this_thread()?;
    Ok(numbers.find(|number| !mask.contains(*number)))
}

/// Non-blocking, and closed when the process becomes another program.
pub(crate) fn open(numbers: impl Iterator<Item = i32>) -> io::Result<OwnedFd> {
    let mask = Mask::of(numbers)?;
    // SAFETY: reads the set.
    let fd = cvt(unsafe { libc::signalfd(-1, &mask.0, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })?;
    // SAFETY: just created, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads what is pending, and calls `each` with it; how many there were, at least one. `WouldBlock` if there is nothing.
pub(crate) fn read(fd: &OwnedFd, mut each: impl FnMut(Entry)) -> io::Result<usize> {
    let mut infos = [const { MaybeUninit::<libc::signalfd_siginfo>::uninit() }; READ_MAX];
    let len = size_of_val(&infos);
    // SAFETY: the kernel writes at most `len` bytes into the array.
    let got = unsafe { libc::read(fd.as_raw_fd(), infos.as_mut_ptr().cast(), len) };
    let Ok(got) = usize::try_from(got) else { return Err(io::Error::last_os_error()) };
    let count = got / size_of::<libc::signalfd_siginfo>();
    for info in &infos[..count] {
        // SAFETY: the kernel writes whole ones, and has written this many.
        each(entry(unsafe { info.assume_init_ref() }));
    }
    Ok(count)
}

fn entry(info: &libc::signalfd_siginfo) -> Entry {
    let number = info.ssi_signo as i32;
    let sender = match has_sender(number, info.ssi_code) {
        true => Sender { process: info.ssi_pid, user: info.ssi_uid },
        false => Sender::UNKNOWN,
    };
    let value = (info.ssi_code == libc::SI_QUEUE).then_some((info.ssi_int, info.ssi_ptr));
    Entry { number, sender, value }
}
