//! Sockets as the system has them: any domain, type and protocol, with every call and option.
//!
//! [`net`](crate::net) has the everyday types over this one.

mod accept;
mod address;
mod connect;
mod descriptor;
mod hot;
mod kind;
pub mod option;
mod receive;
mod send;

use std::{
    fmt, io,
    net::Shutdown,
    sync::Arc,
    task::{Context, Poll},
};

pub(crate) use self::descriptor::Descriptor;
pub use self::{
    address::Address,
    kind::{Domain, Protocol, RecvFlags, SendFlags, Type},
};
use crate::{
    Handle, Notifier, budget,
    handle::op::{Attempt, Side},
    notifier::{core::Core, current},
    source::{Direction, NO_STREAM, Seen},
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
    handle: Handle<Descriptor>,
    /// Whether a short transfer means that the kernel's side is drained: see DESIGN of `source`.
    is_tcp: bool,
}

impl Socket {
    /// Makes a socket on the current Notifier (see [`Notifier`]), non-blocking and not inherited by child programs.
    ///
    /// # Errors
    ///
    /// The system's (`EMFILE`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`, ...), and those of [`Handle::new`].
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
        let is_tcp = matches!(
            (domain, kind, protocol),
            (Domain::V4 | Domain::V6, Type::Stream, None | Some(Protocol::Tcp))
        );
        let owned = platform::socket(domain, kind, protocol)?;
        Self::attach(core, Descriptor::new(owned, false), is_tcp)
    }

    /// Attaches a socket of unknown origin.
    pub(crate) fn from_owned(core: Arc<Core>, owned: platform::Owned) -> io::Result<Self> {
        platform::set_nonblocking(&owned)?;
        let is_tcp = platform::is_tcp(&owned)?;
        Self::attach(core, Descriptor::foreign(owned), is_tcp)
    }

    /// Attaches a non-blocking socket.
    fn attach(core: Arc<Core>, descriptor: Descriptor, is_tcp: bool) -> io::Result<Self> {
        let kind = if is_tcp { 0 } else { NO_STREAM };
        Ok(Self { handle: Handle::from_nonblocking(core, descriptor, kind)?, is_tcp })
    }

    /// Detaches it and gives up its descriptor, still non-blocking.
    pub(crate) fn into_owned(self) -> platform::Owned {
        self.handle.into_inner().into_owned()
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
    /// The system's: `EADDRINUSE`, `EOPNOTSUPP`.
    pub fn listen(&self, backlog: u32) -> io::Result<()> {
        self.check()?;
        platform::listen(self.descriptor(), backlog)?;
        // What was reported of the bare socket (a hang-up, on Linux) says nothing about the listener (I5).
        self.handle.registration().source().reset(Direction::Read.bits());
        Ok(())
    }

    /// Ends reading, writing or both. The peer of a TCP socket reads end of file after what was written before.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTCONN`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.check()?;
        platform::shutdown(self.descriptor(), how)
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

    /// Reads an option.
    ///
    /// # Errors
    ///
    /// The system's: `ENOPROTOOPT` or `EOPNOTSUPP` if the socket does not have it.
    pub fn get<O: option::Get>(&self, option: O) -> io::Result<O::Value> {
        option.get(self)
    }

    /// Sets an option.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and `EINVAL` or `EDOM` for a value out of range; nothing has changed then.
    pub fn set<O: option::Set>(&self, option: O, value: O::Value) -> io::Result<()> {
        option.set(self, value)
    }

    /// The Handle below, to wait for readiness or to cancel.
    pub(crate) fn handle(&self) -> &Handle<Descriptor> {
        &self.handle
    }

    /// Ends all waiting: every waiter and every later operation gets [`Closed`](crate::Closed). The descriptor stays
    /// open until the socket is dropped.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Closes it as dropping does, and reports what the system said. Otherwise as [`Handle::close`].
    ///
    /// # Errors
    ///
    /// As [`Handle::close`].
    pub fn close(self) -> impl Future<Output = io::Result<()>> + Send {
        let (detached, descriptor) = self.handle.detach();
        async move { detached.and(descriptor.close().await) }
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
        match self.is_tcp {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a TCP socket")),
        }
    }

    pub(crate) fn expect_udp(&self) -> io::Result<()> {
        match platform::is_udp(self.descriptor())? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a UDP socket")),
        }
    }

    /// Fails if it was cancelled or its Notifier is gone.
    fn check(&self) -> io::Result<()> {
        let registration = self.handle.registration();
        match registration.source().seen().is_closed() || registration.core().is_forked() {
            true => Err(registration.why_closed()),
            false => Ok(()),
        }
    }

    /// What a transfer of `asked` bytes in one call says about what the kernel has left: of a TCP stream a short one
    /// drained it, unless something was seen that stops transfers early (see `source`).
    #[inline]
    fn judge(&self, seen: Seen, asked: usize, result: io::Result<usize>) -> Attempt<usize> {
        match result {
            Ok(count) => {
                let short = count < asked && count > 0 && seen.short_means_drained();
                Attempt::Done(Ok(count), if short { Side::Drained } else { Side::Open })
            }
            error => error.into(),
        }
    }

    /// One attempt of a poll trait: the reserved slot's waker waits.
    fn poll_op<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut(Seen) -> Attempt<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            if !budget::check(cx) {
                return Poll::Pending;
            }
            match self.handle.try_op(direction, &mut attempt) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    budget::spend();
                    return Poll::Ready(result);
                }
            }
            let ready = self.handle.registration().poll_ready(direction, direction.bits(), cx);
            if std::task::ready!(ready).is_err() {
                // Closed: the next attempt says why.
                continue;
            }
        }
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
