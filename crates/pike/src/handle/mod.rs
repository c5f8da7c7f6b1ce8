//! A Handle: any descriptor, attached to a Notifier.

use std::{
    fmt,
    future::Future,
    io,
    sync::Arc,
    task::{Context, Poll},
};

mod attached;
pub(crate) mod op;
mod owned;
mod ready;
pub(crate) mod registration;
mod requests;
pub(crate) mod waiting;

pub(crate) use self::attached::Attached;
use self::requests::Requests;
use crate::{
    Notifier,
    interest::{Interest, Ready},
    notifier::{core::Core, current},
    op::lane::{Lane, Undelivered},
    socket::Descriptor,
    source::{self, Direction},
    sys::platform::{self, IoSafe},
    waiter::Kind,
};

/// A descriptor attached to a Notifier, with what drives asynchronous system calls through it.
///
/// It works with every descriptor that the system can wait for: sockets, pipes, terminals, event and signal
/// descriptors. Any number of tasks may use it at once, in both directions; operations that consume are woken one at a
/// time and in order, those that only look all together. Dropping a future loses nothing, but that a dropped
/// [`write_owned`](Self::write_owned) may have written a part.
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
///   (`os::windows::OtherNotifier`). `async_io` calls a closure again in each turn if that left something unread.
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
    requests: Requests,
    attached: Attached<T>,
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
        Attached::new(core, io).map(|attached| Self { requests: Requests::default(), attached })
    }

    /// What it was made of.
    #[inline]
    pub fn get_ref(&self) -> &T {
        self.attached.get_ref()
    }

    /// Detaches it and gives back what it was made of, still non-blocking.
    ///
    /// What the kernel has in flight for it is ended first. That takes a turn of the Notifier, by this thread or by whichever one
    /// turns it, and so it may block, for a second at most. Without owned or pooled calls nothing is ever in flight.
    ///
    /// Bytes that the kernel had read for a dropped [`read_owned`](Self::read_owned), and that nobody has read since, are
    /// lost with this, and so is an error that only such a read was told: [`into_parts`](Self::into_parts) has them. If the
    /// one thread that may turn the Notifier is busy for more than that second (it is bound to it), a read that is still in
    /// flight may take something after this, and that is lost.
    pub fn into_inner(self) -> T {
        self.into_parts().0
    }

    /// As [`into_inner`](Self::into_inner), with the bytes that come before anything that the descriptor has: those that the
    /// kernel has read for a dropped operation. And with an error that comes after those bytes, and that the system does not
    /// tell again: after a reset, who asks the descriptor hears only that the stream has ended, as if all of it had arrived.
    ///
    /// # Platform
    ///
    /// Only io_uring ever leaves bytes or an error. On the other backends the Vec is empty, without an allocation.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Handle, Notifier};
    /// use std::{
    ///     io::Write,
    ///     net::{TcpListener, TcpStream},
    /// };
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let notifier = Notifier::new()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut other = TcpStream::connect(listener.local_addr()?)?;
    /// let handle = Handle::new_on(&notifier, listener.accept()?.0)?;
    /// notifier.block_on(async {
    ///     let reading = futures_lite::future::poll_once(handle.read_owned(Vec::with_capacity(16)));
    ///     assert!(reading.await.is_none()); // dropped
    /// });
    /// other.write_all(b"ping")?;
    /// let (stream, mut read, error) = handle.into_parts();
    /// error.map_or(Ok(()), Err)?;
    /// stream.set_nonblocking(false)?;
    /// let mut rest = vec![0; 4 - read.len()];
    /// std::io::Read::read_exact(&mut &stream, &mut rest)?;
    /// read.extend(rest);
    /// assert_eq!(read, b"ping");
    /// # Ok(()) }
    /// ```
    pub fn into_parts(self) -> (T, Vec<u8>, Option<io::Error>) {
        let Self { requests, attached } = self;
        let Undelivered { bytes, error, .. } = requests.end();
        (attached.into_inner(), bytes, error.map(io::Error::from_raw_os_error))
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
        self.attached.readable().await
    }

    /// Waits until something can be written or writing has ended. Otherwise as [`readable`](Self::readable).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub async fn writable(&self) -> io::Result<()> {
        self.attached.writable().await
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
        self.attached.ready(interest)
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
        self.attached.async_io(interest, move |io: &T| {
            self.requests.step_aside(interest)?;
            attempt(io)
        })
    }

    /// Does `attempt` once if the descriptor was not found unready, and notes what it says about readiness.
    ///
    /// # Errors
    ///
    /// Those of `attempt`; [`io::ErrorKind::WouldBlock`], without calling it, if nothing was reported since an
    /// operation last found the descriptor unready; [`Closed`](crate::Closed).
    pub fn try_io<R>(&self, interest: Interest, attempt: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        self.attached.try_io(interest, |io| {
            self.requests.step_aside(interest)?;
            attempt(io)
        })
    }

    /// As [`readable`](Self::readable), for hand-written futures. One waker: the last task that called it is woken.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attached.poll_readable(cx)
    }

    /// As [`writable`](Self::writable), for hand-written futures. One waker: the last task that called it is woken.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.attached.poll_writable(cx)
    }

    /// Ends all waiting: every waiter and every later operation gets [`Closed`](crate::Closed). The descriptor stays
    /// open until the Handle is dropped.
    pub fn cancel(&self) {
        self.attached.cancel();
        self.requests.cancel();
    }
}

impl<T: IoSafe> Handle<T> {
    pub(crate) fn registration(&self) -> &registration::Registration {
        self.attached.registration()
    }

    /// What the kernel does for it by itself, if it is one for which it does.
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        self.requests.lane(&self.attached)
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
        let Self { requests, attached } = self;
        drop(requests);
        let (detached, io) = attached.detach();
        let descriptor = Descriptor::foreign(io.into());
        async move { detached.and(descriptor.close().await) }
    }
}

impl<T: IoSafe + fmt::Debug> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("io", self.get_ref())
            .field("registration", self.attached.registration())
            .finish()
    }
}
