//! A Handle: any descriptor, attached to a Notifier.

use std::{
    fmt,
    future::Future,
    io,
    sync::Arc,
    task::{Context, Poll},
};

pub(crate) mod op;
mod owned;
mod ready;
pub(crate) mod registration;
pub(crate) mod waiting;

use self::{
    op::{Attempt, Op, unless_would_block},
    ready::UntilReady,
    registration::Registration,
    waiting::Special,
};
use crate::{
    Notifier,
    interest::{Interest, Ready},
    notifier::{core::Core, current},
    socket::Descriptor,
    source::{self, Direction, NO_STREAM, Seen},
    sys::platform::{self, IoSafe},
    waiter::Kind,
};

/// A descriptor attached to a Notifier, with what drives asynchronous system calls through it.
///
/// It works with every descriptor that the system can wait for: sockets, pipes, terminals, event and signal
/// descriptors. Any number of tasks may use it at once, in both directions; operations that consume are woken one at a
/// time and in order, those that only look all together. Dropping a future never loses anything.
///
/// The descriptor must not be swapped or closed while it is attached, so a Handle gives out `&T` only. A duplicate of
/// the descriptor (`dup`, `try_clone`) shares its queue and its blocking mode, and keeps it open after the Handle is
/// gone; pike cannot see it. Dropping a Handle closes the descriptor as dropping `T` does: of a socket of std that was
/// made to linger, that may block. [`Handle::close`] does not, nor do pike's own sockets.
///
/// # Platform
///
/// - Unix: any descriptor that the system can wait for.
/// - Windows: sockets that were made for overlapped calls, as those of std are, and nothing else: no pipes, no consoles. A
///   socket stays with the Notifier that it was attached to first, also after [`Handle::into_inner`]; another one refuses it
///   (`os::windows::OtherNotifier`). `async_io` calls a closure that left something unread again in each turn.
///   A socket of std that was made to linger is closed by [`Handle::close`] alone: the system refuses to close it while it is
///   non-blocking, and a drop leaves it open.
///
/// # Pipes
///
/// An end of a pipe, a FIFO and what a child process reads or writes are files to a Handle: `File::from(OwnedFd::from(..))`
/// of a `ChildStdout`, of a `PipeReader` of std (Rust 1.87), or an opened FIFO. A reader whose last writer has gone reads
/// the rest and then 0 bytes; a writer whose last reader has gone fails with [`BrokenPipe`](io::ErrorKind::BrokenPipe)
/// (the program must not have set SIGPIPE to its default). A FIFO is opened with `O_NONBLOCK` for reading, since an open
/// waits for the other side.
///
/// ```
/// # #[cfg(windows)]
/// # fn main() {}
/// # #[cfg(unix)]
/// # fn main() -> std::io::Result<()> {
/// use pike::{Handle, Interest, Notifier};
/// use std::{fs::File, io::{self, Read, Write}, os::fd::OwnedFd, process::{Command, Stdio}};
///
/// let notifier = Notifier::new()?;
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let pipes = child.stdin.take().map(OwnedFd::from).zip(child.stdout.take().map(OwnedFd::from));
/// let (stdin, stdout) = pipes.ok_or(io::ErrorKind::NotFound)?;
/// let (stdin, stdout) = (
///     Handle::new_on(&notifier, File::from(stdin))?,
///     Handle::new_on(&notifier, File::from(stdout))?,
/// );
/// let mut buf = [0; 16];
/// notifier.block_on(async {
///     stdin.async_io(Interest::WRITABLE, |mut pipe| pipe.write(b"ping")).await?;
///     let n = stdout.async_io(Interest::READABLE, |mut pipe| pipe.read(&mut buf)).await?;
///     assert_eq!(&buf[..n], b"ping");
///     drop(stdin); // the child reads the end, and ends
///     assert_eq!(stdout.async_io(Interest::READABLE, |mut pipe| pipe.read(&mut [0])).await?, 0);
///     io::Result::Ok(())
/// })?;
/// assert!(child.wait()?.success());
/// # Ok(()) }
/// ```
///
/// # Examples
///
/// ```
/// use pike::{Handle, Interest, Notifier};
/// use std::{io::{Read, Write}, net::{TcpListener, TcpStream}};
///
/// # fn main() -> std::io::Result<()> {
/// let notifier = Notifier::new()?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let (one, mut other) = (TcpStream::connect(listener.local_addr()?)?, listener.accept()?.0);
/// let handle = Handle::new_on(&notifier, one)?;
/// other.write_all(b"ping")?;
/// let mut buf = [0; 16];
/// let n = notifier.block_on(handle.async_io(Interest::READABLE, |mut io| io.read(&mut buf)))?;
/// assert_eq!(&buf[..n], b"ping");
/// # Ok(()) }
/// ```
pub struct Handle<T: IoSafe> {
    // First, so that it is dropped first: the descriptor is detached before it is closed.
    registration: Registration,
    io: T,
}

impl<T: IoSafe> Handle<T> {
    /// Attaches `io` to the current Notifier (see [`Notifier`]) and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// As [`Handle::new_on`]; also those of [`Notifier::background`].
    pub fn new(io: T) -> io::Result<Self> {
        Self::attach(current::current_or_background()?, io).map_err(|(error, _)| error)
    }

    /// Attaches `io` to `notifier` and makes it non-blocking.
    ///
    /// # Errors
    ///
    /// The system's: `EPERM` for what cannot be waited for (a regular file), `EEXIST` if the descriptor is attached to
    /// this Notifier already, `EBADF` if it is closed, `ENOSPC` over the user's limit of watches; on Windows
    /// [`io::ErrorKind::AlreadyExists`] for the second, and [`io::ErrorKind::ResourceBusy`] if it is attached elsewhere;
    /// [`Closed`](crate::Closed) if the Notifier is gone. `io` is dropped then; [`Handle::try_new_on`] gives it back.
    pub fn new_on(notifier: &Notifier, io: T) -> io::Result<Self> {
        Self::try_new_on(notifier, io).map_err(|(error, _)| error)
    }

    /// As [`Handle::new_on`], and gives `io` back with the error.
    ///
    /// # Errors
    ///
    /// As [`Handle::new_on`].
    pub fn try_new_on(notifier: &Notifier, io: T) -> Result<Self, (io::Error, T)> {
        Self::attach(notifier.core.clone(), io)
    }

    fn attach(core: Arc<Core>, io: T) -> Result<Self, (io::Error, T)> {
        let attached =
            platform::set_nonblocking(&io).and_then(|()| Self::attach_nonblocking(core, &io, NO_STREAM));
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

    /// Attaches what is known to be non-blocking. `bits`: what is known of the source beside.
    pub(crate) fn from_nonblocking(core: Arc<Core>, io: T, bits: u64) -> io::Result<Self> {
        let registration = Self::attach_nonblocking(core, &io, bits)?;
        Ok(Self { registration, io })
    }

    /// What it was made of.
    #[inline]
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Detaches it and gives back what it was made of, still non-blocking.
    pub fn into_inner(self) -> T {
        self.io
    }

    /// Waits until something can be read or reading has ended. A hint: the system call may still say otherwise.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until something can be written or writing has ended. Otherwise as [`readable`](Self::readable).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// Waits until any of `interest` is ready, and says what is. All who wait this way are woken.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send + '_ {
        UntilReady::new(&self.registration, interest)
    }

    /// Does `attempt` as soon as it succeeds: tries it, and again after each report while it says `WouldBlock`.
    ///
    /// With several interests (and priority among them) it waits on the reading side if that is among them.
    ///
    /// # Errors
    ///
    /// Those of `attempt` but `WouldBlock`, which must come from the descriptor's own system call; and
    /// [`Closed`](crate::Closed), when `attempt` was not called again.
    ///
    /// # Cancel safety
    ///
    /// What `attempt` did is never lost: its result is returned by the very poll that made it.
    pub fn async_io<'a, R, F>(
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

    /// Does `attempt` once if the descriptor was not found unready, and notes what it says about readiness.
    ///
    /// # Errors
    ///
    /// Those of `attempt`; [`io::ErrorKind::WouldBlock`], without calling it, if nothing was reported since an
    /// operation last found the descriptor unready; [`Closed`](crate::Closed).
    pub fn try_io<R>(&self, interest: Interest, attempt: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
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

    /// As [`readable`](Self::readable), for hand-written futures. One waker: the last task that called it is woken.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_ready(Direction::Read, source::READ_BITS, cx)
    }

    /// As [`writable`](Self::writable), for hand-written futures. One waker: the last task that called it is woken.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_ready(Direction::Write, source::WRITE_BITS, cx)
    }

    /// Ends all waiting: every waiter and every later operation gets [`Closed`](crate::Closed). The descriptor stays
    /// open until the Handle is dropped.
    pub fn cancel(&self) {
        self.registration.cancel();
    }

    /// What it was made of, whose descriptor stays the same.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.io
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
}

/// The side that an operation of this interest works on, and what it waits for there.
fn aim(interest: Interest) -> (Direction, Kind) {
    match interest {
        _ if interest.is_readable() => (Direction::Read, Kind::plain(Direction::Read)),
        _ if interest.is_priority() => {
            (Direction::Read, Kind::new(source::PRIORITY | source::TRY_READ, true))
        }
        _ => (Direction::Write, Kind::plain(Direction::Write)),
    }
}

impl<T: IoSafe> Handle<T>
where
    platform::Owned: From<T>,
{
    /// Closes the descriptor as dropping does, and reports what the system said.
    ///
    /// It does not block: a socket that lingers is closed by a helper thread, and the future waits for that.
    ///
    /// # Errors
    ///
    /// The system's: of detaching (`EBADF`, `ENOENT`, if the descriptor was closed behind the Handle's back) or of
    /// close(2), such as `EIO`. The descriptor is gone in any case.
    ///
    /// # Cancel safety
    ///
    /// The descriptor is closed all the same.
    pub fn close(self) -> impl Future<Output = io::Result<()>> + Send {
        let (detached, io) = self.detach();
        let descriptor = Descriptor::foreign(io.into());
        async move { detached.and(descriptor.close().await) }
    }
}

impl<T: IoSafe + fmt::Debug> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("io", &self.io).field("registration", &self.registration).finish()
    }
}
