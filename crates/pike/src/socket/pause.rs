//! Waiting where nothing tells when the next attempt may succeed.

use std::{pin::Pin, time::Duration};

use super::Socket;
use crate::time::Sleep;

/// A wait that doubles each time, up to a limit.
pub(super) struct Pause {
    next_ms: u32,
    last_ms: u32,
}

impl Pause {
    /// Until the process or the system has descriptors or memory again.
    pub(super) const fn for_resources() -> Self {
        Self { next_ms: 5, last_ms: 500 }
    }

    /// Until another socket has room in its queue.
    pub(super) const fn for_room() -> Self {
        Self { next_ms: 1, last_ms: 64 }
    }

    /// In a box: it is rare, and operations that may need one are smaller for it.
    pub(super) fn wait(&mut self, socket: &Socket) -> Pin<Box<Sleep>> {
        let sleep = Sleep::on(socket.core().clone(), Duration::from_millis(self.next_ms.into()));
        self.next_ms = (self.next_ms * 2).min(self.last_ms);
        Box::pin(sleep)
    }
}
