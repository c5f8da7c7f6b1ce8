//! Events: one task waits, any thread or signal handler notifies.
//!
//! An Event is a source without a descriptor. Its notify counts and puts it on the Notifier's stack of posted events,
//! with atomics alone; the next turn reports its source readable, as if a kernel had. So an Event costs no descriptor
//! and, while the Notifier is awake, no system call, and waiting is the same machinery as for a socket.

use std::{future::Future, io, sync::atomic::Ordering};

use crate::{
    handle::{
        op::{Attempt, Op},
        registration::Registration,
        waiting::Special,
    },
    notifier::current,
    posted::Post,
    source::{Direction, READ_BITS, Seen, WRITE_BITS},
    sync::Arc,
    waiter::Kind,
};

/// Wakes a waiting task from any thread, or from a signal handler.
///
/// It remembers notifications until they are waited for. There are three kinds: [`new`](Self::new) remembers only
/// that there was one, [`counting`](Self::counting) how many, and both hand what they have to one waiter, in order;
/// [`latch`](Self::latch) stays set and lets everyone through until [`reset`](Self::reset).
///
/// What is notified arrives with a turn of the Event's Notifier. One that nobody turns delivers nothing.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pike::{Event, Notifier};
///
/// let notifier = Notifier::new()?;
/// let event = { let _here = notifier.enter(); std::sync::Arc::new(Event::counting()?) };
/// let remote = event.clone();
/// std::thread::spawn(move || { remote.notify(); remote.notify() }).join().unwrap();
/// assert_eq!(notifier.block_on(event.wait())?, 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Event {
    registration: Registration,
    post: Arc<Post>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Coalesced,
    Counting,
    Latch,
}

impl Event {
    /// An Event that remembers one notification, on the current Notifier.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed) if the current Notifier is gone; those of [`Notifier::background`](crate::Notifier::background)
    /// if there is none.
    pub fn new() -> io::Result<Self> {
        Self::with_mode(Mode::Coalesced)
    }

    /// An Event that counts its notifications.
    ///
    /// # Errors
    ///
    /// As [`Event::new`].
    pub fn counting() -> io::Result<Self> {
        Self::with_mode(Mode::Counting)
    }

    /// An Event that stays set once notified, and wakes all who wait.
    ///
    /// # Errors
    ///
    /// As [`Event::new`].
    pub fn latch() -> io::Result<Self> {
        Self::with_mode(Mode::Latch)
    }

    fn with_mode(mode: Mode) -> io::Result<Self> {
        let registration = Registration::without_descriptor(current::current_or_background()?)?;
        let post = Post::new(registration.token());
        Ok(Self { registration, post, mode })
    }

    pub(crate) fn core(&self) -> &std::sync::Arc<crate::notifier::core::Core> {
        self.registration.core()
    }

    /// Notifies. Async-signal-safe: atomics, and one write if the Notifier sleeps.
    ///
    /// It never fails. After the Notifier is gone, and in a forked child, nobody hears it.
    pub fn notify(&self) {
        let core = self.registration.core();
        if core.is_forked() {
            return;
        }
        match self.mode {
            // Saturating would need a loop; 2^64 notifications are out of reach.
            Mode::Counting => self.post.count.fetch_add(1, Ordering::AcqRel),
            Mode::Coalesced | Mode::Latch => self.post.count.swap(1, Ordering::AcqRel),
        };
        core.post(&self.post);
    }

    /// Waits for a notification and takes it: how many there were since the last wait. A latch takes nothing, and
    /// lets all through while it is set; its count is 1, as is that of an Event that only remembers one.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    ///
    /// No notification is lost: one that woke a wait which was dropped goes to the next.
    pub fn wait(&self) -> impl Future<Output = io::Result<u64>> + Send + '_ {
        let kind = Kind::new(READ_BITS, self.mode != Mode::Latch);
        let aim = Special { direction: Direction::Read, kind };
        Op::new(&self.registration, aim, |_: Seen| self.take())
    }

    /// Waits for notifications as [`Event::wait`] does, and lets `take` say what they are about. It is Empty if another
    /// wait has taken that already.
    pub(crate) fn wait_and<'a, R: 'a>(
        &'a self,
        mut take: impl FnMut() -> Attempt<R> + Send + 'a,
    ) -> impl Future<Output = io::Result<R>> + Send + 'a {
        let aim = Special { direction: Direction::Read, kind: Kind::new(READ_BITS, true) };
        Op::new(&self.registration, aim, move |_: Seen| {
            // First: what is notified after this is reported again.
            self.post.count.swap(0, Ordering::AcqRel);
            take()
        })
    }

    /// Waits until a turn of the Notifier has come by, which it asks for. It notifies nobody, and takes no notification.
    ///
    /// A task that has much to do gives way to the Notifier so.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn post(&self) -> io::Result<()> {
        let turns = self.post.turns.load(Ordering::Acquire);
        let core = self.registration.core();
        if !core.is_forked() {
            core.post(&self.post);
        }
        // The writing side of an Event is ready once after each turn that had it; all who look are woken.
        let aim = Special { direction: Direction::Write, kind: Kind::new(WRITE_BITS, false) };
        Op::new(&self.registration, aim, |_: Seen| match self.post.turns.load(Ordering::Acquire) {
            now if now == turns => Attempt::Empty,
            _ => Attempt::Done(()),
        })
        .await
    }

    /// Forgets what was notified and not waited for.
    pub fn reset(&self) {
        self.post.count.swap(0, Ordering::AcqRel);
    }

    fn take(&self) -> Attempt<u64> {
        let count = match self.mode {
            Mode::Latch => self.post.count.load(Ordering::Acquire),
            _ => self.post.count.swap(0, Ordering::AcqRel),
        };
        match (count, self.mode) {
            (0, _) => Attempt::Empty,
            (count, Mode::Latch) => Attempt::Done(count),
            // A notification that came meanwhile is reported by the turn to come.
            (count, _) => Attempt::Drained(count),
        }
    }
}
