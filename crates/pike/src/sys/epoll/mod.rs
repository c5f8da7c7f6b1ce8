//! The epoll backend: readiness, and nothing else. All of it is the set of `linux::set`; after registration nothing calls
//! `epoll_ctl` until the descriptor goes.

use std::{io, time::Duration};

use super::{
    Raw, Report,
    linux::{Events, Set},
};
use crate::token::Token;

/// The half that every thread uses.
#[derive(Debug)]
pub(crate) struct Driver(Set);

/// The half that only the holder of the seat uses.
#[derive(Debug)]
pub(crate) struct Wait(Events);

impl Driver {
    pub(crate) fn new() -> io::Result<(Self, Wait)> {
        Set::new().map(|(set, events)| (Self(set), Wait(events)))
    }

    pub(crate) fn attach(&self, descriptor: Raw, token: Token) -> io::Result<()> {
        self.0.add(descriptor, token)
    }

    pub(crate) fn detach(&self, descriptor: Raw) -> io::Result<()> {
        self.0.remove(descriptor)
    }

    pub(crate) fn notify(&self) {
        self.0.notify();
    }

    #[inline]
    pub(crate) fn wait(
        &self,
        wait: &mut Wait,
        timeout: Option<Duration>,
        report: impl FnMut(Report),
    ) -> io::Result<usize> {
        self.0.wait(&mut wait.0, timeout, report)
    }

    pub(crate) const CAPACITY: usize = Set::CAPACITY;
}
