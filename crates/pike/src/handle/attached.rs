//! A descriptor attached to a Notifier, without what the kernel may do for it by itself: what a Handle and a socket share.

use std::{
    fmt,
    future::Future,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    aim,
    op::{Attempt, Op, unless_would_block},
    ready::UntilReady,
    registration::Registration,
    waiting::Special,
};
use crate::{
    interest::{Interest, Ready},
    notifier::core::Core,
    source::{self, Direction, NO_STREAM, Seen},
    sys::platform::{self, IoSafe},
};

/// The calls are those of [`Handle`](super::Handle), which describes them.
pub(crate) struct Attached<T: IoSafe> {
    // First, so that it is dropped first: the descriptor is detached before it is closed.
    registration: Registration,
    io: T,
}

impl<T: IoSafe> Attached<T> {
    pub(super) fn new(core: Arc<Core>, io: T) -> Result<Self, (io::Error, T)> {
        let attached = platform::set_nonblocking(&io)
            .and_then(|()| core.admits(platform::raw(&io)))
            .and_then(|()| Self::attach_nonblocking(core, &io, NO_STREAM));
        match attached {
            Ok(registration) => Ok(Self { registration, io }),
            Err(error) => Err((error, io)),
        }
    }

    fn attach_nonblocking(core: Arc<Core>, io: &T, bits: u64) -> io::Result<Registration> {
        Registration::new(
            core,
            platform::raw(io),
            source::TRY_READ | source::TRY_WRITE | source::ERROR_QUEUE | bits,
        )
    }

    /// Attaches a socket, or what else is known to be something to wait for, and non-blocking. `bits`: what is known of the
    /// source beside.
    pub(crate) fn from_nonblocking(core: Arc<Core>, io: T, bits: u64) -> io::Result<Self> {
        let registration = Self::attach_nonblocking(core, &io, bits)?;
        Ok(Self { registration, io })
    }

    #[inline]
    pub(crate) fn get_ref(&self) -> &T {
        &self.io
    }

    /// Whose descriptor stays the same.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    pub(crate) fn into_inner(self) -> T {
        self.io
    }

    /// Detaches it, and says what the system said.
    pub(crate) fn detach(self) -> (io::Result<()>, T) {
        let Self { registration, io } = self;
        (registration.end(), io)
    }

    #[inline]
    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    pub(crate) fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send + '_ {
        UntilReady::new(&self.registration, interest)
    }

    pub(crate) fn async_io<'a, R, F>(
        &'a self,
        interest: Interest,
        mut attempt: F,
    ) -> impl Future<Output = io::Result<R>> + use<'a, T, R, F>
    where
        F: FnMut(&T) -> io::Result<R>,
    {
        let (direction, kind) = aim(interest);
        Op::new(&self.registration, Special { direction, kind }, move |_: Seen| {
            Attempt::from(attempt(&self.io))
        })
    }

    pub(crate) fn try_io<R>(
        &self,
        interest: Interest,
        attempt: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let (direction, kind) = aim(interest);
        self.try_bits(direction, kind.bits(), |_| Attempt::from(attempt(&self.io)))
    }

    #[inline]
    pub(crate) fn try_op<R>(
        &self,
        direction: Direction,
        attempt: impl FnOnce(Seen) -> Attempt<R>,
    ) -> io::Result<R> {
        self.try_bits(direction, direction.bits(), attempt)
    }

    #[inline]
    pub(crate) fn try_bits<R>(
        &self,
        direction: Direction,
        bits: u64,
        attempt: impl FnOnce(Seen) -> Attempt<R>,
    ) -> io::Result<R> {
        let source = self.registration.source();
        let mut seen = source.seen().with(platform::forked());
        if seen.is_closed() {
            seen = self.registration.look_again()?;
        }
        if !seen.any(bits) {
            return Err(self.until_reported(seen, direction, bits));
        }
        match attempt(seen) {
            Attempt::Done(result) => Ok(result),
            Attempt::Drained(result) => {
                source.clear(seen, bits);
                Ok(result)
            }
            Attempt::Failed(error) => Err(match unless_would_block(error) {
                Some(error) => error,
                None => {
                    source.clear(seen, bits);
                    self.until_reported(seen, direction, bits)
                }
            }),
            Attempt::Empty => {
                source.clear(seen, bits);
                Err(self.until_reported(seen, direction, bits))
            }
            Attempt::Partly => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// `WouldBlock`, until something is reported: a backend that does so only when asked is asked.
    #[cold]
    fn until_reported(&self, seen: Seen, direction: Direction, bits: u64) -> io::Error {
        match self.registration.arm(seen, direction, bits) {
            Ok(()) => io::ErrorKind::WouldBlock.into(),
            Err(error) => error,
        }
    }

    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_ready(Direction::Read, source::READ_BITS, cx)
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_ready(Direction::Write, source::WRITE_BITS, cx)
    }

    pub(crate) fn cancel(&self) {
        self.registration.cancel();
    }
}

impl<T: IoSafe + fmt::Debug> fmt::Debug for Attached<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("io", &self.io).field("registration", &self.registration).finish()
    }
}
