//! The end of a port (I3).

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use windows_sys::Win32::System::IO::OVERLAPPED_ENTRY;

use super::{Driver, Taken, Wait, port};
use crate::{
    op::block::Request,
    sys::{Completion, Told, platform},
};

/// A request that was about to be started when all was cancelled is cancelled after so long.
const AGAIN: Duration = Duration::from_millis(10);

impl Driver {
    /// Starts nothing any more, cancels all, and takes packets until nothing is in flight or the limit has passed. May be
    /// called again. Says how much is left in flight, whose memory is leaked.
    pub(crate) fn shutdown(
        &self,
        wait: &mut Wait,
        limit: Duration,
        mut completed: impl FnMut(Completion),
    ) -> io::Result<usize> {
        let end = Instant::now().checked_add(limit);
        self.ended.store(true, Ordering::SeqCst);
        loop {
            self.cancel_all();
            self.hand_over(wait, &mut completed);
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if self.in_flight() == 0 {
                return Ok(0);
            }
            let count = self.port.take(&mut wait.entries, super::milliseconds(left.min(AGAIN)))?;
            let mut tell = |told| {
                if let Told::Completed(completion) = told {
                    completed(completion);
                }
            };
            self.dispatch(&mut wait.entries[..count], &mut Taken::default(), &mut tell);
            if left.is_zero() && count < wait.entries.len() {
                return Ok(self.in_flight());
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.operations.load(Ordering::SeqCst) + self.table().arms.in_flight()
    }

    #[allow(unsafe_code)]
    fn cancel_all(&self) {
        let mut table = self.table();
        table.ended = true;
        for handle in table.handles() {
            // SAFETY: the null stands for all requests of the handle.
            unsafe { port::cancel(handle, std::ptr::null()) };
        }
    }
}

/// Of a completion that nobody reaps, a connection is closed (I7).
#[allow(unsafe_code)]
fn discard(completion: Completion) {
    // SAFETY: its kernel's share was not taken back, so the block is there.
    let request = unsafe { completion.block.as_ref().request() };
    if matches!(request, Request::AcceptMany { .. }) && completion.result >= 0 {
        drop(platform::adopt_accepted(completion.result));
    }
}

impl Drop for Driver {
    /// What came after the shutdown, which did not wait for it. Then the pool is nobody's but ours, and is freed.
    fn drop(&mut self) {
        let mut entries = [OVERLAPPED_ENTRY::default(); 64];
        let mut tell = |told| {
            if let Told::Completed(completion) = told {
                discard(completion);
            }
        };
        while self.in_flight() > 0 {
            match self.port.take(&mut entries, 0) {
                Ok(count @ 1..) => self.dispatch(&mut entries[..count], &mut Taken::default(), &mut tell),
                _ => return,
            }
        }
    }
}
