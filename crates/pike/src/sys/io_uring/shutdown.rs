//! The end of a ring: all that is in flight is cancelled, and reaped (I3).
//!
//! A kernel that cannot be entered any more (a filter that was installed since) ends nothing. Entries that it never took are
//! ended here, since it looks at them in an enter only, and none follows. What it has taken stays in flight (I9), and is said to.

use std::{
    io,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use io_uring::{cqueue, opcode, types};

use super::{
    Driver, RETRY, Wait,
    key::{self, Kind},
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
        let mut works = wait.ring.is_enabled() && !wait.broken;
        if works {
            // First, so that it fails before anything was done where another thread must do it.
            works = match wait.ring.enter(Some(Duration::ZERO)) {
                Err(error) if ring::is_anothers(&error) => return Err(error),
                Err(error) => ring::is_loss(&error),
                Ok(_) => true,
            };
        }
        self.mailbox.close(&mut wait.mail);
        wait.later.extend(wait.mail.drain(..));
        wait.refused.drain(..).for_each(|(at, code)| completed(at.failed(code)));
        for mail in wait.later.drain(..) {
            if let Mail::Submit { at } | Mail::Refuse { at } = mail {
                completed(at.failed(libc::ECANCELED));
            }
        }
        // Release: pairs with the look before a descriptor is closed, whose number no entry may name after that (I12).
        self.ended.store(true, Ordering::Release);
        let ended = works && wait.cancel_all(limit, &mut completed).is_ok();
        if !ended && wait.ring.is_enabled() {
            wait.give_up(&mut completed);
        }
        Ok(wait.operations)
    }
}

impl Wait {
    fn cancel_all(&mut self, limit: Duration, completed: &mut impl FnMut(Completion)) -> io::Result<()> {
        let end = Instant::now().checked_add(limit);
        let mut cancelling = false;
        while self.in_flight > 0 {
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            let entered = match self.cancel_and_wait(&mut cancelling, left) {
                Err(error) if ring::is_loss(&error) => Entered::Later, // and the rest ends all the same
                entered => entered?,
            };
            let reaped = self.reap_all(completed);
            if left.is_zero() {
                break;
            }
            if reaped == 0 && entered == Entered::Later {
                thread::sleep(left.min(RETRY));
            }
        }
        Ok(())
    }

    fn cancel_and_wait(&mut self, cancelling: &mut bool, timeout: Duration) -> io::Result<Entered> {
        if !*cancelling {
            let all = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
            *cancelling = self.push(all, key::of_driver(Kind::Cancel))?;
        }
        let entered = self.ring.enter(Some(timeout))?;
        self.ring.work(Driver::CAPACITY)?;
        Ok(entered)
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

    /// Ends what the kernel never took. It is not entered from here on.
    #[cold]
    fn give_up(&mut self, completed: &mut impl FnMut(Completion)) {
        self.reap_all(completed);
        if self.broken {
            return;
        }
        self.broken = true;
        for at in self.ring.untaken().into_iter().map(At::of_key) {
            self.in_flight -= 1;
            if let Some(at) = at {
                self.operations -= 1;
                completed(at.failed(libc::ECANCELED));
            }
        }
    }
}
