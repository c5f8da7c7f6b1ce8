//! Sockets as the system has them: any domain, type and protocol, with every call and option.
//!
//! [`net`](crate::net) has the everyday types over this one.

mod accept;
mod address;
mod connect;
pub mod control;
mod descriptor;
mod hot;
mod kind;
mod lend;
mod message;
pub mod option;
mod owned;
mod pause;
mod peek_sender;
mod receive;
mod send;
mod undelivered;
mod unix_address;

use std::{
    fmt, io,
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

pub use self::{
    address::Address,
    kind::{Domain, Protocol, RecvFlags, SendFlags, Type},
    message::Message,
    unix_address::UnixAddress,
};
pub(crate) use self::{descriptor::Descriptor, kind::Flavour};
use crate::{
    Interest, Notifier, Ready, budget,
    buf::Residue,
    handle::{Attached, op::Attempt},
    notifier::{core::Core, current},
    op::lane::{Carries, Lane},
    source::{Direction, NO_STREAM, READABLE, Seen, TRY_READ, TRY_WRITE, WRITABLE},
    sys::platform,
};

/// A socket of any kind, attached to a Notifier.
///
/// Every operation takes `&self`, and any number of tasks may use one socket: each call of the system is atomic, and
/// two writers interleave at call boundaries.
///
/// # Examples
///
/// ```
/// use pike::{Notifier, socket::{Domain, Socket, Type, option}};
/// use std::net::{Ipv4Addr, SocketAddr};
///
/// # fn main() -> std::io::Result<()> {
/// let notifier = Notifier::new()?;
/// let listener = Socket::new_on(&notifier, Domain::V4, Type::Stream, None)?;
/// listener.set(option::ReuseAddress, true)?;
/// listener.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
/// listener.listen(128)?;
/// println!("listening at {}", listener.local_addr()?);
/// # Ok(()) }
/// ```
pub struct Socket {
    handle: Attached<Descriptor>,
    flavour: Flavour,
}

impl Socket {
    /// Makes a socket on the current Notifier (see [`Notifier`]), non-blocking and not inherited by child programs.
    ///
    /// # Errors
    ///
    /// The system's (`EMFILE`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`, ...), and those of [`Handle::new`](crate::Handle::new).
    pub fn new(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Self> {
        Self::new_in(current::current_or_background()?, domain, kind, protocol)
    }

    /// Makes a socket on `notifier`. Otherwise as [`Socket::new`].
    ///
    /// # Errors
    ///
    /// As [`Socket::new`].
    pub fn new_on(
        notifier: &Notifier,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<Self> {
        Self::new_in(notifier.core.clone(), domain, kind, protocol)
    }

    pub(crate) fn new_in(
        core: Arc<Core>,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<Self> {
        let owned = platform::socket(domain, kind, protocol)?;
        Self::attach(core, Descriptor::new(owned, false), Flavour::of(domain, kind, protocol))
    }

    /// Makes two sockets that are connected with each other, on the current Notifier. Otherwise as [`Socket::new`].
    ///
    /// # Errors
    ///
    /// As [`Socket::new`]; `EOPNOTSUPP` in a domain that has no pairs: they are a thing of [`Domain::Unix`], and of no domain
    /// on Windows.
    ///
    /// # Examples
    ///
    /// ```
    /// use pike::{Notifier, socket::{Domain, Socket, Type}};
    ///
    /// # #[cfg(windows)]
    /// # fn main() {}
    /// # #[cfg(unix)]
    /// # fn main() -> std::io::Result<()> {
    /// Notifier::new()?.block_on(async {
    ///     let (one, other) = Socket::pair(Domain::Unix, Type::SeqPacket, None)?;
    ///     one.write(b"a message").await?;
    ///     one.write(b"another").await?;
    ///     let mut buf = [0; 16];
    ///     assert_eq!(other.read(&mut buf).await?, 9); // in order, and each by itself
    ///     Ok(())
    /// })
    /// # }
    /// ```
    pub fn pair(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<(Self, Self)> {
        Self::pair_in(current::current_or_background()?, domain, kind, protocol)
    }

    /// Makes a pair on `notifier`. Otherwise as [`Socket::pair`].
    ///
    /// # Errors
    ///
    /// As [`Socket::pair`].
    pub fn pair_on(
        notifier: &Notifier,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<(Self, Self)> {
        Self::pair_in(notifier.core.clone(), domain, kind, protocol)
    }

    fn pair_in(
        core: Arc<Core>,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<(Self, Self)> {
        let (one, other) = platform::pair(domain, kind, protocol)?;
        let flavour = Flavour::of(domain, kind, protocol);
        let one = Self::attach(core.clone(), Descriptor::new(one, false), flavour)?;
        Ok((one, Self::attach(core, Descriptor::new(other, false), flavour)?))
    }

    /// Attaches a socket of unknown origin.
    pub(crate) fn from_owned(core: Arc<Core>, owned: platform::Owned) -> io::Result<Self> {
        platform::set_nonblocking(&owned)?;
        let flavour = platform::flavour(&owned)?;
        platform::make_as_ours(&owned);
        Self::attach(core, Descriptor::foreign(owned), flavour)
    }

    /// Attaches a non-blocking socket.
    fn attach(core: Arc<Core>, descriptor: Descriptor, flavour: Flavour) -> io::Result<Self> {
        let kind = if flavour.is_stream() { 0 } else { NO_STREAM };
        Ok(Self { handle: Attached::from_nonblocking(core, descriptor, kind)?, flavour })
    }

    /// Detaches it and gives up its descriptor, still non-blocking. What the kernel does for it is ended first, for which
    /// the Notifier is turned, or another thread is waited for that does.
    ///
    /// # Errors
    ///
    /// [`Residue`], if something was received that nobody has read; [`io::ErrorKind::ResourceBusy`] if the kernel's part
    /// could not be ended, by which the socket is closed.
    pub(crate) fn into_owned(self) -> io::Result<platform::Owned> {
        // In a child of a fork nothing is in flight, and what has arrived is the parent's (I14).
        let lane = self.descriptor().lane().filter(|_| !self.core().is_forked()).map(Arc::clone);
        if let Some(lane) = &lane {
            if !lane.end() {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
        }
        let undelivered = lane.map(|lane| lane.take_undelivered()).unwrap_or_default();
        let owned = self.handle.into_inner().into_owned();
        match undelivered.is_empty() {
            true => Ok(owned),
            false => Err(io::Error::other(Residue::new(undelivered, owned))),
        }
    }

    /// Gives the socket an address of its own.
    ///
    /// # Errors
    ///
    /// The system's: `EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, `EINVAL` if it has one, `EAFNOSUPPORT` for an address
    /// of another family.
    pub fn bind(&self, address: impl Into<Address>) -> io::Result<()> {
        self.check()?;
        platform::bind(self.descriptor(), address.into())
    }

    /// Takes connections from now on, and queues up to about `backlog` of them for [`accept`](Self::accept).
    ///
    /// # Errors
    ///
    /// The system's: `EADDRINUSE`, `EOPNOTSUPP`. On kqueue also those of registering it anew (`ENOMEM`): it listens then,
    /// and accepts hear of no connection.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        self.check()?;
        self.changing(TRY_READ | TRY_WRITE, || platform::listen(self.descriptor(), backlog))?;
        self.handle.registration().attach_again()
    }

    /// Ends reading, writing or both. The peer of a TCP socket reads end of file after what was written before.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.check()?;
        if how != Shutdown::Read && self.descriptor().lane().is_some_and(|lane| lane.shutdown_later(how)) {
            return Ok(()); // behind what is being sent
        }
        platform::shutdown(self.descriptor(), how)?;
        if let Some(lane) = self.descriptor().lane().filter(|_| how != Shutdown::Write) {
            lane.reads_no_more();
        }
        if !platform::REPORTS_SHUTDOWN {
            let bits = match how {
                Shutdown::Read => READABLE,
                Shutdown::Write => WRITABLE,
                Shutdown::Both => READABLE | WRITABLE,
            };
            self.handle.registration().report(bits);
        }
        Ok(())
    }

    /// Its own address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<Address> {
        platform::local_address(self.descriptor())
    }

    /// The address of its peer.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN`.
    pub fn peer_addr(&self) -> io::Result<Address> {
        platform::peer_address(self.descriptor())
    }

    /// Reads an [`option`].
    ///
    /// # Errors
    ///
    /// The system's: `ENOPROTOOPT`, `EOPNOTSUPP` or `EINVAL` if the socket cannot have it;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the system does not.
    pub fn get<O: option::Get>(&self, option: O) -> io::Result<O::Value> {
        option.get(self)
    }

    /// Sets an [`option`].
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), `EINVAL` or `EDOM` for a value out of range, `EPERM` or `EACCES` for one that asks for a
    /// privilege. Nothing has changed then.
    pub fn set<O: option::Set>(&self, option: O, value: O::Value) -> io::Result<()> {
        option.set(self, value)
    }

    /// What is below, to wait for readiness or to cancel.
    pub(crate) fn handle(&self) -> &Attached<Descriptor> {
        &self.handle
    }

    /// Waits until any of `interest` is ready, and says what is. Otherwise as [`Handle::ready`](crate::Handle::ready).
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::Closed).
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send + '_ {
        self.handle.ready(interest)
    }

    /// Ends all waiting: every waiter and every later operation gets [`Closed`](crate::Closed). The descriptor stays
    /// open until the socket is dropped.
    pub fn cancel(&self) {
        self.handle.cancel();
        if let Some(lane) = self.descriptor().lane() {
            lane.cancel();
        }
    }

    /// What the kernel does for it, on a backend that completes; of kinds that it knows.
    pub(crate) fn native_lane(&self) -> Option<&Arc<Lane>> {
        // In a child of a fork a thread that it does not have may be making it for ever (I14).
        if !self.core().is_native() || self.flavour == Flavour::Other || self.core().is_forked() {
            return None;
        }
        Some(self.descriptor().lane_or(|| {
            self.handle.registration().new_lane(match self.flavour {
                Flavour::Tcp => Carries::Stream,
                Flavour::UnixStream => Carries::LocalStream,
                Flavour::Datagram => Carries::Datagrams,
                Flavour::UnixDatagram | Flavour::UnixSeqPacket | Flavour::Other => Carries::Messages,
            })
        }))
    }

    /// Closes it as dropping does, and reports what the system said. Otherwise as [`Handle::close`](crate::Handle::close).
    ///
    /// # Errors
    ///
    /// As [`Handle::close`](crate::Handle::close).
    pub fn close(self) -> impl Future<Output = io::Result<()>> + Send {
        let (detached, descriptor) = self.handle.detach();
        async move { detached.and(descriptor.close().await) }
    }

    pub(crate) fn flavour(&self) -> Flavour {
        self.flavour
    }

    #[inline]
    pub(crate) fn descriptor(&self) -> &Descriptor {
        self.handle.get_ref()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        self.handle.registration().core()
    }

    /// For the types that promise a TCP socket.
    pub(crate) fn expect_tcp(&self) -> io::Result<()> {
        match self.flavour {
            Flavour::Tcp => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a TCP socket")),
        }
    }

    pub(crate) fn expect_unix_stream(&self) -> io::Result<()> {
        match self.flavour {
            Flavour::UnixStream => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix socket for a stream")),
        }
    }

    #[cfg(unix)]
    pub(crate) fn expect_unix_datagram(&self) -> io::Result<()> {
        match self.flavour {
            Flavour::UnixDatagram => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix socket for datagrams")),
        }
    }

    pub(crate) fn expect_udp(&self) -> io::Result<()> {
        match platform::is_udp(self.descriptor())? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a UDP socket")),
        }
    }

    /// Makes a call that changes what the socket is. What was reported before (a hang-up, of a bare socket on Linux) says
    /// nothing about what comes after (I5), of which `bits` are assumed; but if the call fails, nothing has changed.
    fn changing<T>(&self, bits: u64, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let registration = self.handle.registration();
        let before = registration.source().reset(bits);
        // After the reset: whatever the system reports from here on is of the new kind.
        let result = call();
        if result.is_err() {
            registration.report(before.readiness());
        }
        result
    }

    /// Fails if it was cancelled or its Notifier is gone.
    fn check(&self) -> io::Result<()> {
        let registration = self.handle.registration();
        match registration.source().seen().is_closed() || registration.core().is_forked() {
            true => Err(registration.why_closed()),
            false => Ok(()),
        }
    }

    /// How many vectors a call is given. A stream may do less than it was asked; a message is not cut in silence, but
    /// refused by the system.
    pub(crate) fn vectors_max(&self) -> usize {
        if self.flavour.is_stream() { platform::VECTORS_MAX } else { usize::MAX }
    }

    /// One attempt of a poll trait: the reserved slot's waker waits.
    fn poll_op<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(Seen) -> Attempt<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            if !budget::take(cx) {
                return Poll::Pending;
            }
            match self.handle.try_op(direction, &mut attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => budget::give_back(),
                result => return Poll::Ready(result),
            }
            let ready = self.handle.registration().poll_ready(direction, direction.bits(), cx);
            if std::task::ready!(ready).is_err() {
                // Closed: the next attempt says why.
                continue;
            }
        }
    }
}

/// Whether a transfer of `count` bytes in one call, of `asked`, says that the kernel has nothing left: of a TCP stream a
/// short one does, unless something was seen that stops transfers early (see `source`). Of a Unix stream a short read
/// does too, unless it stopped at a message with control data.
#[inline]
pub(crate) fn is_drained(seen: Seen, asked: usize, count: usize) -> bool {
    count < asked && count > 0 && seen.short_means_drained()
}

#[inline]
pub(crate) fn judge(seen: Seen, asked: usize, result: io::Result<usize>) -> Attempt<usize> {
    match result {
        Ok(count) if is_drained(seen, asked, count) => Attempt::Drained(count),
        result => result.into(),
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Socket");
        if let Ok(address) = self.local_addr() {
            debug.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            debug.field("peer", &address);
        }
        debug.field("handle", &self.handle).finish()
    }
}
