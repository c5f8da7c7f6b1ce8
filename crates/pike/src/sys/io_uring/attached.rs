//! Which descriptors are attached, and which can be: what epoll finds out when it is given one, and a ring does not.
//!
//! The kernel takes a poll of anything, also twice, and reports a regular file ready for ever. A Handle is promised
//! `EPERM`, `EEXIST` and `EBADF` at once, on every backend (I10). One bit a number tells what is attached already.
#![allow(unsafe_code)]

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{Mutex, PoisonError},
};

use crate::sys::{Raw, unix::cvt};

#[derive(Debug, Default)]
pub(super) struct Attached(Mutex<Vec<u64>>);

impl Attached {
    /// Notes a descriptor that is open and can be waited for.
    pub(super) fn add(&self, descriptor: Raw) -> io::Result<()> {
        let (word, bit) = place(descriptor);
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        if words[word] & bit != 0 {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        words[word] |= bit;
        Ok(())
    }

    /// Forgets a descriptor that was noted.
    pub(super) fn remove(&self, descriptor: Raw) {
        let (word, bit) = place(descriptor);
        let mut words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        words[word] &= !bit;
    }
}

/// Only what is open gets here, and no such number is negative.
fn place(descriptor: Raw) -> (usize, u64) {
    (descriptor as usize / 64, 1 << (descriptor % 64))
}

/// Sockets and pipes can, regular files and folders cannot; of what else there is, epoll knows.
pub(super) fn can_be_waited_for(descriptor: Raw) -> io::Result<()> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the struct, or says that it did not.
    cvt(unsafe { libc::fstat(descriptor, status.as_mut_ptr()) })?;
    // SAFETY: filled, since the call succeeded.
    let kind = unsafe { status.assume_init() }.st_mode & libc::S_IFMT;
    if kind == libc::S_IFSOCK || kind == libc::S_IFIFO { Ok(()) } else { ask_epoll(descriptor) }
}

/// Adds it to a set of its own, which is thrown away.
fn ask_epoll(descriptor: Raw) -> io::Result<()> {
    // SAFETY: takes no pointer.
    let epoll = cvt(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
    // SAFETY: just created, and nobody else's.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: `event` outlives the call, which only reads it.
    cvt(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &mut event) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_number_is_attached_once_until_it_is_removed() {
        let attached = Attached::default();
        let (one, other) = UnixStream::pair().unwrap();
        attached.add(one.as_raw_fd()).unwrap();
        attached.add(other.as_raw_fd()).unwrap();
        assert_eq!(attached.add(one.as_raw_fd()).unwrap_err().raw_os_error(), Some(libc::EEXIST));
        attached.remove(one.as_raw_fd());
        attached.add(one.as_raw_fd()).unwrap();
    }

    #[test]
    fn what_epoll_refuses_is_refused() {
        for (path, code) in [("/dev/null", Some(libc::EPERM)), (".", Some(libc::EPERM))] {
            let file = File::open(path).unwrap();
            assert_eq!(
                can_be_waited_for(file.as_raw_fd()).err().and_then(|error| error.raw_os_error()),
                code
            );
        }
        assert_eq!(can_be_waited_for(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
        can_be_waited_for(crate::sys::linux::eventfd().unwrap().as_raw_fd()).unwrap();
    }
}
