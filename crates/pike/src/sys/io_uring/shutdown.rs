//! The end of a ring: all that is in flight is cancelled, and reaped (I3).
//!
//! 1. What was mailed ends, and so does what is in the queue and was not taken by the kernel, which looks at it in an enter
//!    only: no enter submits any of that from here on. So nothing is ever begun by a number that is closed now (I12).
//! 2. What the kernel has is cancelled by a call that needs no entry, and reaped. A kernel that cannot be entered any more (a
//!    filter that was installed since) completes it within that call, where the ring is not bound. Where that call is what a
//!    filter forbids, an entry of the now empty queue cancels all.
//! 3. What it does not end in time stays in flight (I9), and is counted.

use std::{
    io,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use io_uring::cqueue;

use super::{
    Driver, RETRY, Wait, cancel,
    mailbox::Mail,
    ops::{self, At},
    ring::{self, Entered},
};
use crate::sys::Completion;

impl Driver {
    /// Cancels all, and reaps until nothing is in flight or the limit has passed. On the seat. Says how many operations are left
    /// in flight.
    ///
    /// # Errors
    ///
    /// On a ring that is bound to another thread: nothing was done.
    pub(crate) fn shutdown(
        &self,
        wait: &mut Wait,
        limit: Duration,
        mut completed: impl FnMut(Completion),
    ) -> io::Result<usize> {
        if wait.ring.is_enabled() {
            // First, so that it fails before anything was done where another thread must do it.
            match wait.ring.enter(Some(Duration::ZERO)) {
                Err(error) if ring::is_anothers(&error) => return Err(error),
                _ => {} // whatever else it says, it is asked again
            }
        }
        self.mailbox.close(&mut wait.mail);
        wait.later.extend(wait.mail.drain(..));
        wait.refused.drain(..).for_each(|(at, code)| completed(at.failed(code)));
        for mail in wait.later.drain(..) {
            if let Mail::Submit { at } | Mail::Refuse { at } = mail {
                completed(at.failed(libc::ECANCELED));
            }
        }

        wait.end_what_is_untaken(&mut completed);
        // Release: pairs with the look before a descriptor is closed, whose number no entry may name after that (I12).
        self.ended.store(true, Ordering::Release);
        if wait.ring.is_enabled() {
            wait.cancel_all(limit, &mut completed);
        }
        Ok(wait.operations)
    }
}

impl Wait {
    fn end_what_is_untaken(&mut self, completed: &mut impl FnMut(Completion)) {
        for key in self.ring.stop_submitting() {
            self.in_flight -= 1;
            if let Some(at) = At::of_key(key) {
                self.operations -= 1;
                completed(at.failed(libc::ECANCELED));
            }
        }
    }

    fn cancel_all(&mut self, limit: Duration, completed: &mut impl FnMut(Completion)) {
        let end = Instant::now().checked_add(limit);
        if self.in_flight > 0 && cancel::cancel_all(self.ring.raw()).is_err() {
            // If that cannot be either, nothing is made to end, and what does not is counted.
            self.in_flight += usize::from(self.ring.cancel_all());
        }
        while self.in_flight > 0 {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let entered = self.ring.enter(Some(left)).and_then(|entered| {
                self.ring.work(Driver::CAPACITY)?;
                Ok(entered)
            });
            let reaped = self.reap_all(completed);
            let asks_again = match entered {
                Ok(entered) => entered == Entered::Done || reaped > 0,
                Err(error) if ring::is_loss(&error) => reaped > 0, // the rest ends all the same
                Err(_) => break,
            };
            if left.is_zero() {
                break;
            }
            if !asks_again {
                thread::sleep(left.min(RETRY));
            }
        }
    }

    fn reap_all(&mut self, completed: &mut impl FnMut(Completion)) -> usize {
        let Self { ring, in_flight, operations, .. } = self;
        ring.reap(usize::MAX, |completion| {
            let last = usize::from(!cqueue::more(completion.flags()));
            *in_flight -= last;
            if let Some(done) = ops::completion(&completion) {
                *operations -= last;
                completed(done);
            }
        })
    }
}
