//! Priority conditions. A poll entry that asks for them is woken by any arrival, and its completion claims one then:
//! the kernel's wake-up names both. So each claim is checked with poll(2), and only who waits for them pays.
//!
//! An entry that asks for priority conditions alone is never woken at all, so it asks for reading too.
#![allow(unsafe_code)]

use crate::{source, sys::Raw, token::Token};

pub(super) const INTEREST: u32 = (libc::POLLIN | libc::POLLPRI) as u32;

/// The sources with such a poll in flight: few, if any.
#[derive(Debug, Default)]
pub(super) struct Priorities(Vec<(Token, Raw)>);

impl Priorities {
    /// False if it has one already.
    pub(super) fn add(&mut self, token: Token, descriptor: Raw) -> bool {
        let new = self.descriptor(token).is_none();
        if new {
            self.0.push((token, descriptor));
        }
        new
    }

    pub(super) fn remove(&mut self, token: Token) {
        self.0.retain(|(of, _)| *of != token);
    }

    fn descriptor(&self, token: Token) -> Option<Raw> {
        self.0.iter().find(|(of, _)| *of == token).map(|(_, descriptor)| *descriptor)
    }

    /// What a completion means: bits of a source, none if it was an ordinary arrival.
    pub(super) fn check(&self, token: Token) -> u64 {
        // Closed and used again meanwhile, the number says something about a stranger; the token then is nobody's.
        match self.descriptor(token).is_some_and(has_priority) {
            true => source::PRIORITY | source::URGENT_SEEN,
            false => 0,
        }
    }
}

fn has_priority(descriptor: Raw) -> bool {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLPRI, revents: 0 };
    // SAFETY: one entry, which the kernel reads and fills.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    ready == 1 && poll.revents & libc::POLLPRI != 0
}
