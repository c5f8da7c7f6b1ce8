//! The end of a port (I3).

use std::{
    io,
    time::{Duration, Instant},
};

use super::{Driver, Taken, Wait, port};
use crate::sys::Completion;

impl Driver {
    /// Starts nothing any more, cancels all, and takes packets until nothing is in flight or the limit has passed. May be
    /// called again. Says how much is left in flight, whose memory is leaked.
    pub(crate) fn shutdown(
        &self,
        wait: &mut Wait,
        limit: Duration,
        completed: impl FnMut(Completion),
    ) -> io::Result<usize> {
        let _ = completed;
        let end = Instant::now().checked_add(limit);
        self.cancel_all();
        loop {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let in_flight = self.table().arms.in_flight();
            if in_flight == 0 {
                return Ok(0);
            }
            let count = self.port.take(&mut wait.entries, super::milliseconds(left))?;
            self.dispatch(&wait.entries[..count], &mut Taken::default(), &mut |_| {});
            if left.is_zero() && count < wait.entries.len() {
                return Ok(self.table().arms.in_flight());
            }
        }
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
