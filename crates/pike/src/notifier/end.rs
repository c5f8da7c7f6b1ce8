//! The end of a Notifier (I3): who cancels what the backend has in flight, and for how long it may take.
//!
//! Only who has the seat can. A shutdown that finds it free does it, with the time it was given. If another thread has it,
//!
//! - for a turn, which may be a long one: that thread comes out of it, finds the Notifier closed, and does it;
//! - to do just this, be it as one that was to turn and found it closed: the shutdown waits for that thread, which does not take
//!   long, and does what is left.
//!
//! So it is done by somebody, and who is told of none left has left none behind that nobody sees to.

use std::{
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::core::{Core, OnSeat};
use crate::{
    batch::Batch,
    op::lane::Lane,
    seat::{Holder, Taken},
};

/// How long the end of a Notifier waits for what it has cancelled: who waits for that hears of it by nothing else. It takes
/// microseconds, but the kernel may end a request on the thread that submitted it, which has to be interrupted for that.
pub(super) const GRACE: Duration = Duration::from_millis(200);

/// A seat that is another's for its end is looked at again after so long.
const AGAIN: Duration = Duration::from_micros(50);

impl Core {
    /// Refuses new operations and wakes every waiter with `Closed`. Timers go on with the background Notifier. What the backend
    /// has in flight may take so long to end, also if it was closed already. Says how much has not.
    #[cold]
    pub(super) fn shutdown(&self, limit: Duration) -> usize {
        let mut batch = Batch::new();
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.registry.close(batch.list());
            self.timers.close(batch.list());
            // Who is in a turn comes out of it, and finds the Notifier closed.
            self.notify();
        }
        let left = self.end(limit);
        drop(batch); // wakes all
        left.unwrap_or(0)
    }

    /// Once the Notifier is closed: cancels what the backend has in flight. Whoever was in a turn does it after having left
    /// the seat: the closing and the leaving thread both write the seat's word, so one of them sees what the other did.
    ///
    /// How many operations are in flight still. None if another thread does it, which is in a turn or takes longer than that.
    #[cold]
    pub(super) fn end(&self, limit: Duration) -> Option<usize> {
        let start = Instant::now();
        loop {
            match self.seat.take_to_end() {
                Ok(seat) => return Some(self.end_on(seat, |_| limit.saturating_sub(start.elapsed()))),
                Err(Holder::Ends) if start.elapsed() < limit => thread::sleep(AGAIN),
                Err(_) => return None,
            }
        }
    }

    /// The same by who was to turn it, and found it closed: this may be the first that can. Who comes later takes no time. Who is
    /// the only one that can waits for another that has the seat just now, and finds that it cannot.
    #[cold]
    pub(super) fn end_if_first(&self) {
        let start = Instant::now();
        loop {
            match self.seat.take_to_end() {
                Ok(seat) => {
                    self.end_on(seat, |on_seat| if on_seat.left.is_none() { GRACE } else { Duration::ZERO });
                    return;
                }
                Err(Holder::Ends) if self.is_owner() && start.elapsed() < GRACE => thread::sleep(AGAIN),
                Err(_) => return,
            }
        }
    }

    fn end_on(&self, mut seat: Taken<'_, OnSeat>, limit: impl FnOnce(&OnSeat) -> Duration) -> usize {
        let mut batch = Batch::new();
        let left = seat.with(|on_seat| {
            if on_seat.left != Some(0) {
                let limit = limit(on_seat);
                let reap = |completion| Lane::reap(completion, &mut batch);
                // Fails where only the thread that the Notifier is bound to may do it: it comes by here when it exits.
                if let Ok(left) = self.driver.shutdown(&mut on_seat.wait, limit, reap) {
                    on_seat.left = Some(left);
                }
            }
            on_seat.left.unwrap_or(0)
        });
        drop(seat);
        drop(batch); // wakes all
        left
    }
}

#[cfg(all(test, target_os = "linux", not(loom)))]
mod tests {
    use std::{
        future::Future,
        net::{TcpListener, TcpStream},
        pin::pin,
        sync::mpsc,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::{Backend, Closed, Notifier, net};

    /// Another thread, which cannot end it, has the seat for that just as the only one that can finds a bound Notifier closed.
    #[test]
    fn the_owner_waits_for_who_cannot_end_it() {
        let notifier = Notifier::builder().backend(Backend::IoUring).bound().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = {
            let _here = notifier.enter();
            net::TcpStream::from_std(listener.accept().unwrap().0).unwrap()
        };
        let ((is_begun, begun), (goes_on, waits)) = (mpsc::channel(), mpsc::channel());
        thread::scope(|scope| {
            let notifier = &notifier;
            let owner = scope.spawn(move || {
                let mut reading = pin!(stream.read_owned(b"mine".to_vec()));
                let mut cx = Context::from_waker(Waker::noop());
                assert!(reading.as_mut().poll(&mut cx).is_pending());
                notifier.poll(Some(Duration::ZERO)).unwrap();
                is_begun.send(()).unwrap();
                waits.recv().unwrap();
                assert!(Closed::is(&notifier.poll(Some(Duration::ZERO)).unwrap_err()));
                match reading.as_mut().poll(&mut cx) {
                    Poll::Ready((result, buf)) => assert!(Closed::is(&result.unwrap_err()) && buf == b"mine"),
                    Poll::Pending => panic!("nobody has ended it"),
                }
            });
            begun.recv().unwrap();
            let another = notifier.core.seat.take_to_end().unwrap();
            notifier.shutdown(Duration::ZERO);
            goes_on.send(()).unwrap();
            thread::sleep(GRACE / 10);
            drop(another);
            owner.join().unwrap();
        });
    }
}
