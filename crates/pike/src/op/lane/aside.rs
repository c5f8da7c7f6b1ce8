//! Making way for system calls of others, and for who takes the descriptor elsewhere.

use std::{
    io,
    mem::MaybeUninit,
    thread,
    time::{Duration, Instant},
};

use super::{Carries, Found, Lane};
use crate::{Interest, handle::op::Attempt, sync::atomic::Ordering};

/// How long who takes a descriptor elsewhere waits for the end of what the kernel does for it, and for each step of that.
const END_MAX: Duration = Duration::from_secs(1);
const TURN: Duration = Duration::from_millis(1);

impl Lane {
    /// For an attempt of the caller's own: fails if something arrived that comes before all it could find, or, with
    /// `WouldBlock`, if the kernel does something by itself, which ends for that.
    pub(crate) fn make_way(&self, interest: Interest) -> io::Result<()> {
        if interest.is_writable() && self.is_sending() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !interest.is_readable() && !interest.is_priority() {
            return Ok(());
        }
        match self.step_aside() {
            Found::Free => Ok(()),
            Found::Delivered(()) => {
                let what = "what was received or accepted for a dropped operation comes first";
                Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
            }
            Found::Failed(error) => Err(error),
            Found::Wait => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// What comes before anything that a system call of the caller's could read, or that there is nothing before that has ended
    /// which the kernel does. None if the system is to be called.
    pub(crate) fn fill(&self, room: &mut [MaybeUninit<u8>]) -> Option<Attempt<usize>> {
        let len = room.len();
        let take = |bytes: &[u8], _| room.iter_mut().zip(bytes).map(|(to, &from)| _ = to.write(from)).count();
        match self.read(len, false, take) {
            Found::Delivered(count) => Some(Attempt::Done(count)),
            Found::Failed(error) => Some(Attempt::Failed(error)),
            Found::Wait => Some(Attempt::Empty),
            Found::Free => None,
        }
    }

    /// A request was answered with would-block, where the kernel should have waited. Of a socket that was for that once. Whether
    /// nobody asks it any more.
    pub(crate) fn would_block(&self) -> bool {
        let is_file = self.carries == Carries::File;
        if is_file {
            self.refuses.store(true, Ordering::Relaxed);
        }
        is_file
    }

    /// Whether the kernel does not wait for what is to be read or written here, so that nobody asks it to. It waits for sockets
    /// and pipes, and not for terminals.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// Ends what the kernel does, for which the Notifier is turned, or another thread is waited for that does. False if that
    /// could not be.
    pub(crate) fn end(&self) -> bool {
        self.withdraw();
        self.cancel();
        let end = Instant::now() + END_MAX;
        while self.is_in_flight() {
            if Instant::now() > end {
                return false;
            }
            if self.core().turn(Some(TURN)).is_err() {
                thread::sleep(TURN); // another thread turns it, or this one is inside of a turn
            }
        }
        true
    }
}
