//! The attachment of one descriptor, or of an event, to one Notifier: its source, and the end of it.

use std::{
    io,
    ptr::NonNull,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    Closed,
    batch::Batch,
    notifier::core::Core,
    op::lane::{Carries, Lane},
    source::{self, Direction, PRIORITY, Seen, Source, UNARMED, Wait},
    sys::{Raw, platform},
    token::Token,
};

/// Keeps the Notifier's memory, but not the Notifier, alive.
pub(crate) struct Registration {
    core: Arc<Core>,
    source: NonNull<Source>,
    token: Token,
    /// The number as it was at registration; none for an event.
    descriptor: Option<Raw>,
}

// SAFETY: a Source is Sync, and `core` keeps it in place.
#[allow(unsafe_code)]
unsafe impl Send for Registration {}
// SAFETY: as for Send.
#[allow(unsafe_code)]
unsafe impl Sync for Registration {}

impl Registration {
    /// Attaches a descriptor. `bits`: what is assumed about it until something is reported.
    pub(crate) fn new(core: Arc<Core>, descriptor: Raw, bits: u64) -> io::Result<Self> {
        let (source, token) = core.open(bits | core.source_bits())?;
        match core.attach(descriptor, token) {
            Ok(known) => {
                let registration = Self { core, source, token, descriptor: Some(descriptor) };
                if known != 0 {
                    registration.report(known);
                }
                Ok(registration)
            }
            Err(error) => {
                core.retire(token);
                Err(error)
            }
        }
    }

    /// For a descriptor that has become another kind of thing, such as a socket that listens: what the kernel chose to watch
    /// when it was attached may never say anything of that.
    ///
    /// # Errors
    ///
    /// The backend's. It may be attached for writing only then.
    pub(crate) fn attach_again(&self) -> io::Result<()> {
        self.descriptor.map_or(Ok(()), |descriptor| self.core.attach_again(descriptor, self.token))
    }

    /// A source that only [`Core::post`] reports.
    pub(crate) fn without_descriptor(core: Arc<Core>) -> io::Result<Self> {
        let (source, token) = core.open(0)?;
        Ok(Self { core, source, token, descriptor: None })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// What the kernel does for a socket of a backend that completes.
    pub(crate) fn new_lane(&self, carries: Carries) -> Arc<Lane> {
        let descriptor = self.descriptor.expect("a socket has a descriptor");
        Lane::get(self.core.clone(), descriptor, carries, self.token, self.source)
    }

    /// The same of another descriptor, which reports here.
    pub(crate) fn new_lane_of(&self, descriptor: Raw) -> Arc<Lane> {
        Lane::get(self.core.clone(), descriptor, Carries::File, self.token, self.source)
    }

    /// The descriptor.
    ///
    /// # Panics
    ///
    /// If it is an event's, which has none.
    #[allow(unsafe_code)]
    #[inline]
    pub(crate) fn descriptor(&self) -> platform::Borrowed<'_> {
        let raw = self.descriptor.expect("it has a descriptor");
        // SAFETY: open, and this very one, as long as it is attached: `IoSafe` promises that of what is registered.
        unsafe { platform::Borrowed::borrow_raw(raw) }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Whether urgent data of a TCP socket was reported and has been read since. No operation that reads past it in line
    /// would notice; of other descriptors, to ask may take the condition away (PSI's on Linux).
    pub(crate) fn is_priority_over(&self, seen: Seen) -> bool {
        seen.any(source::PRIORITY)
            && !seen.any(source::NO_STREAM)
            && self.descriptor.is_some_and(|raw| !platform::has_priority(raw))
    }

    #[inline]
    pub(crate) fn source(&self) -> &Source {
        // SAFETY: slots live as long as the core, and this one is ours until drop.
        #[allow(unsafe_code)]
        unsafe {
            self.source.as_ref()
        }
    }

    /// Why an operation on a closed source fails.
    #[cold]
    pub(crate) fn why_closed(&self) -> io::Error {
        self.core.check().err().unwrap_or_else(Closed::handle)
    }

    /// For a word that says closed, or in a process with a fork behind it: the word, if an operation may go on, and
    /// otherwise why not.
    #[cold]
    pub(crate) fn look_again(&self) -> io::Result<Seen> {
        let seen = self.source().seen();
        match seen.is_closed() || self.core.is_forked() {
            true => Err(self.why_closed()),
            false => Ok(seen),
        }
    }

    /// For a waiter that was just linked, or an attempt that found nothing: makes sure that what comes is reported, where
    /// the backend has to be asked. `seen`: the word before; `bits`: what is waited for, on the side of `direction`.
    ///
    /// # Errors
    ///
    /// The backend's, if it cannot.
    #[inline]
    pub(crate) fn arm(&self, seen: Seen, direction: Direction, bits: u64) -> io::Result<()> {
        match seen.any(direction.unarmed()) || bits & PRIORITY != 0 {
            true => self.arm_now(direction, bits),
            false => Ok(()),
        }
    }

    #[cold]
    fn arm_now(&self, direction: Direction, bits: u64) -> io::Result<()> {
        let Some(descriptor) = self.descriptor else { return Ok(()) };
        let unarmed = self.core.armed_at_once(direction);
        if self.source().take_unarmed(unarmed) {
            match self.core.arm(descriptor, self.token, direction) {
                Ok(0) => {}
                Ok(known) => self.report(known),
                Err(error) => {
                    self.source().set_unarmed(unarmed);
                    // Who was linked meanwhile counts on this request: they try, and ask themselves.
                    self.report(source::ready_of(unarmed));
                    return Err(error);
                }
            }
        }
        if bits & PRIORITY != 0 {
            self.core.arm_priority(self.token)?;
        }
        Ok(())
    }

    /// Wakes all waiters, who find the source closed, as does every later operation.
    pub(crate) fn cancel(&self) {
        if self.core.is_forked() {
            return;
        }
        let mut batch = Batch::new();
        self.source().close(batch.list());
        drop(batch); // wakes all
    }

    /// Reports `bits`, as a turn does.
    pub(crate) fn report(&self, bits: u64) {
        let mut batch = Batch::new();
        self.source().report(self.token.generation(), bits, batch.list());
        drop(batch); // wakes all
    }

    /// Ends the attachment now, and says what the kernel said.
    pub(crate) fn end(self) -> io::Result<()> {
        let mut this = std::mem::ManuallyDrop::new(self);
        let ended = this.detach();
        // SAFETY: `this` is never dropped, so its one field that needs it is dropped once, here.
        #[allow(unsafe_code)]
        unsafe {
            std::ptr::drop_in_place(&mut this.core)
        };
        ended
    }

    fn detach(&mut self) -> io::Result<()> {
        if self.core.is_forked() {
            return Err(Closed::fork()); // the registration is the parent's (I14)
        }
        match self.descriptor {
            Some(descriptor) => {
                let armed = self.source().seen().bits() & UNARMED != UNARMED;
                self.core.detach(descriptor, self.token, armed)
            }
            None => {
                self.core.retire(self.token);
                Ok(())
            }
        }
    }

    /// For the poll traits: ready, or the slot's waker is set.
    pub(crate) fn poll_ready(
        &self,
        direction: Direction,
        bits: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.core.is_forked() {
            return Poll::Ready(Err(Closed::fork()));
        }
        let source = self.source();
        loop {
            let seen = source.seen();
            if seen.is_closed() {
                return Poll::Ready(Err(self.why_closed()));
            }
            if seen.any(bits) {
                return Poll::Ready(Ok(()));
            }
            if source.wait_in_slot(direction, bits, cx.waker()) == Wait::Linked {
                self.arm(seen, direction, bits)?;
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // An error means that the descriptor was closed behind our back: there is nothing left to detach, and nobody
        // to tell. `Handle::close` reports it.
        let _ = self.detach();
    }
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("token", &self.token)
            .field("descriptor", &self.descriptor)
            .finish()
    }
}
