//! A receive of one message, for which the kernel chooses a buffer of the pool once the message is there.
//!
//! It is one receive as those into a buffer of their own are (`incoming`): begun by a future, which has what comes in to
//! itself until it has the result or is gone. Its buffer is none until the reaper puts in the one that the kernel chose, and
//! its envelope, which the lane keeps, is for the sender alone. So a socket that waits has no buffer, and nothing is
//! allocated for a message.
//!
//! Of a future that is gone the message is copied, as of every such receive: what nobody asks for keeps no buffer from
//! others.
//!
//! A request costs a turn, and a socket that is busy has more messages than turns, which system calls empty sooner. Nothing
//! in a completion says whether there are more; so after some the socket is reported readable, and the next receive looks.

use std::{io, sync::Arc, task::Context};

use super::Lane;
use crate::{
    batch::Batch,
    buf::Slot,
    op::block::Request,
    socket::Address,
    source::{Direction, READABLE},
    sync::atomic::{AtomicU8, Ordering},
    sys::platform::Envelope,
};

/// How many messages requests have brought since one looked for more in vain. A guess, which no order of memory has to
/// make exact.
#[derive(Debug)]
pub(super) struct Streak(AtomicU8);

/// A look in vain is one call more for so many messages.
const LONG: u8 = 16;

impl Default for Streak {
    fn default() -> Self {
        Self(AtomicU8::new(0))
    }
}

impl Streak {
    /// A request has brought one. True if the next receive is to look whether there are more.
    fn grow(&self) -> bool {
        let now = LONG.min(self.0.load(Ordering::Relaxed) + 1);
        self.0.store(now, Ordering::Relaxed);
        now == LONG
    }

    /// A receive has looked. While there was something each time, each message of a request is followed by a look.
    fn looked(&self, found: bool) {
        match found {
            true => self.0.store(LONG - 1, Ordering::Relaxed),
            false if self.0.load(Ordering::Relaxed) == LONG => self.0.store(0, Ordering::Relaxed),
            false => {} // the end of what was found
        }
    }
}

impl Lane {
    /// Starts to receive one message. False if something has arrived already, or somebody else receives or waits.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::OutOfMemory`] if there is no memory for the pool.
    pub(crate) fn receive_pooled(self: &Arc<Self>, cx: &Context<'_>) -> io::Result<bool> {
        self.core().pool().prepare()?;
        let Some(taking) = self.begin_one(cx) else { return Ok(false) };
        // SAFETY: this operation has just begun, so the place is empty and ours; as below.
        let slot = unsafe { taking.cargo.put(None::<Slot>) }.as_ptr();
        // SAFETY: as above.
        let envelope = unsafe { taking.envelope() }.as_ptr();
        // SAFETY: it is there, and nobody else looks at it.
        let named = unsafe { &mut *envelope };
        named.clear();
        named.ask_sender();
        let descriptor = self.descriptor;
        // SAFETY: this operation has just begun.
        unsafe { self.incoming.set(Request::ReceivePooled { descriptor, envelope, slot }) };
        self.submit(&self.incoming, Direction::Read);
        Ok(true)
    }

    /// What such a receive brought that is done: its buffer, if it has one, and what `look` makes of its envelope.
    ///
    /// # Safety
    ///
    /// The caller began it, and has its result.
    pub(crate) unsafe fn take_pooled<T>(&self, look: impl FnOnce(&Envelope) -> T) -> (Option<Slot>, T) {
        // SAFETY: passed on to the caller.
        let looked = look(unsafe { self.envelope() });
        // SAFETY: as above; `receive_pooled` put it in.
        (unsafe { self.take_back::<Option<Slot>>(Direction::Read, |_| ()) }, looked)
    }

    /// True as for [`Lane::ends`].
    pub(super) fn received_pooled(
        self: &Arc<Self>,
        slot: *mut Option<Slot>,
        result: i32,
        buffer: Option<u32>,
        batch: &mut Batch,
    ) -> bool {
        if let Some(index) = buffer {
            // SAFETY: what the operation needs is the reaper's until it says that it is done. There is none in it yet.
            unsafe { slot.write(Some(self.core().pool().adopt(index))) };
        }
        let looks = result >= 0 && self.half(Direction::Read).streak.grow();
        let later = self.received_once(result, batch);
        if looks {
            self.report(READABLE, batch);
        }
        later
    }

    /// A receive has tried a system call first, and whether that brought one.
    pub(crate) fn looked(&self, found: bool) {
        if let Some(taking) = self.taking.get() {
            taking.streak.looked(found);
        }
    }

    /// The bytes of one whose future is gone. Its buffer goes with the operation, which happens under no lock.
    ///
    /// # Safety
    ///
    /// The kernel is done with it, brought `count` bytes, and the caller owns it.
    pub(super) unsafe fn arrived_pooled(
        envelope: *const Envelope,
        slot: *const Option<Slot>,
        count: usize,
    ) -> (Vec<u8>, Option<Address>) {
        // SAFETY: the caller's; as below.
        let slot = unsafe { &*slot };
        let bytes = slot.as_ref().map_or_else(Vec::new, |slot| slot.bytes(count).to_vec());
        // SAFETY: as above.
        (bytes, unsafe { &*envelope }.sender().ok())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_rare_unless_it_finds_something() {
        let streak = Streak::default();
        for _ in 0..3 {
            assert_eq!((1..=LONG).position(|_| streak.grow()), Some(usize::from(LONG) - 1));
            streak.looked(false);
        }
        assert!((1..LONG).all(|_| !streak.grow()) && streak.grow());
        for _ in 0..3 {
            streak.looked(true);
            streak.looked(true);
            streak.looked(false);
            assert!(streak.grow(), "the one before had found something");
        }
        streak.looked(false);
        assert!(!streak.grow());
    }
}
