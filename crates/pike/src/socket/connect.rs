//! Connecting.

use std::{
    future::{Future, poll_fn},
    io,
    sync::Arc,
    task::{Poll, ready},
};

use super::{Address, Flavour, Socket, pause::Pause};
use crate::{
    budget,
    handle::{
        op::{Attempt, Op},
        waiting::Writes,
    },
    op::{
        Flight,
        lane::{Connect, Lane},
    },
    source::{Direction, Seen, TRY_READ, WRITABLE},
    sys::platform::{self, Connecting},
};

impl Socket {
    /// Connects to `address`; a datagram socket only notes whom it talks to.
    ///
    /// # Errors
    ///
    /// The system's: `ECONNREFUSED`, `ETIMEDOUT`, `ENETUNREACH`, `EAFNOSUPPORT` or `EINVAL` for an address of another
    /// family, `EISCONN` if it is connected; of a Unix socket also `ENOENT`, and `EPROTOTYPE` if the other is of another
    /// type; [`Closed`](crate::Closed). After a failure make a new socket: what the old one is good for differs between
    /// systems.
    ///
    /// # Cancel safety
    ///
    /// The system goes on connecting, and a later call to the same address waits for that; on Windows it is over with the attempt.
    ///
    /// # Platform
    ///
    /// - Linux: a Unix listener whose queue is full refuses with `EAGAIN`, and nothing tells when there is room. This
    ///   waits as a blocking connect(2) would, but by trying again after 1 to 64 milliseconds; a deadline bounds it.
    /// - macOS, BSD: such a listener refuses with `ECONNREFUSED`.
    /// - Windows: the system refuses an unspecified address (0.0.0.0, ::), which means this machine elsewhere; so it does here.
    ///   A socket that connects cannot have its options set meanwhile.
    pub fn connect(&self, address: impl Into<Address>) -> impl Future<Output = io::Result<()>> + Send {
        let address = address.into();
        self.connect_to(move || address)
    }

    /// Connects to what `address` gives, which may take less room in the future than an [`Address`].
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
    pub(crate) fn connect_to(
        &self,
        address: impl Fn() -> Address + Send + Sync,
    ) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            if let Some(lane) = self.connecting_lane() {
                if self.connect_by_kernel(lane, &address).await? {
                    return Ok(());
                }
            }
            let mut pause = Pause::for_room();
            loop {
                match self.start_connecting(address())? {
                    Connecting::Done => return Ok(()),
                    Connecting::InProgress => break,
                    Connecting::QueueFull => pause.wait(self).await,
                }
            }
            let connected = |_: Seen| {
                Attempt::from(platform::connected(self.descriptor()).inspect(|()| self.forget_before()))
            };
            Op::new(self.handle.registration(), Writes, connected).await
        }
    }

    /// Of a TCP socket. A Unix socket's connect(2) is done at once, or to be tried again.
    fn connecting_lane(&self) -> Option<&Arc<Lane>> {
        if self.flavour == Flavour::Tcp { self.native_lane() } else { None }
    }

    /// Has the backend connect. False if that is for connect(2) to do: the backend would not, something is under way already,
    /// or the request ended with the thread that submitted it.
    ///
    /// Dropped, the request is cancelled, and the descriptor stays open until nothing names it (I12).
    fn connect_by_kernel<'a>(
        &'a self,
        lane: &'a Arc<Lane>,
        address: &'a (impl Fn() -> Address + Send + Sync),
    ) -> impl Future<Output = io::Result<bool>> + Send + 'a {
        // Not an `async fn`, which would keep all of this twice.
        let (mut flight, mut before) = (Flight::default(), 0);
        poll_fn(move |cx| {
            let registration = self.handle.registration();
            if !flight.is_under_way() {
                self.check()?;
                if !budget::take(cx) {
                    return Poll::Pending;
                }
                // What was reported of the bare socket says nothing about one that connects (I5).
                before = registration.source().reset(TRY_READ).readiness();
                match lane.connect(cx, address) {
                    Connect::Begun => flight.begin(lane, Direction::Write),
                    Connect::Ended(result) => return Poll::Ready(self.has_connected(-result, before)),
                    Connect::Busy => return Poll::Ready(self.has_connected(platform::WOULD_BLOCK, before)),
                }
            }
            let result = ready!(flight.poll(cx));
            lane.end_connect();
            Poll::Ready(self.has_connected(-result, before))
        })
    }

    /// What a connect of the backend's means, by its code. `before`: what was reported of the bare socket.
    fn has_connected(&self, code: i32, before: u64) -> io::Result<bool> {
        let registration = self.handle.registration();
        if code == 0 {
            self.forget_before();
            registration.report(WRITABLE); // whether the system reports that, too, differs
            return Ok(true);
        }
        if matches!(code, platform::CANCELLED | platform::INTERRUPTED) {
            self.check()?;
        }
        registration.report(before); // nothing has changed
        match code {
            platform::CANCELLED | platform::INTERRUPTED => Ok(false),
            platform::WOULD_BLOCK | platform::IN_PROGRESS | platform::ALREADY => Ok(false),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// It is connected: no receive is told any more that it was not.
    fn forget_before(&self) {
        if let Some(lane) = self.descriptor().lane() {
            lane.has_connected();
        }
    }

    /// Just connected, so that nothing goes on: what was needed for that is left to others.
    pub(crate) fn connected(mut self) -> Self {
        self.handle.get_mut().give_up_lane();
        self
    }

    fn start_connecting(&self, address: Address) -> io::Result<Connecting> {
        self.check()?;
        let connect = || platform::connect(self.descriptor(), address);
        // A datagram socket stays what it is.
        let started =
            if self.flavour.is_connectionless() { connect() } else { self.changing(TRY_READ, connect) };
        let connecting = match started {
            Err(_) if self.is_connected_for_nobody() => Connecting::Done,
            started => started?,
        };
        if connecting == Connecting::Done {
            self.forget_before();
            // Whether the system reports that, too, differs.
            self.handle.registration().report(WRITABLE);
        }
        Ok(connecting)
    }

    /// Whether the backend has connected it for a call that was dropped, and has not said so yet.
    fn is_connected_for_nobody(&self) -> bool {
        let is_connected = || platform::connected(self.descriptor()).is_ok();
        self.descriptor().lane().is_some_and(|lane| lane.has_connected_for_nobody(is_connected))
    }

    /// Notes the one peer of a socket for datagrams, which needs no waiting.
    #[cfg(unix)]
    pub(crate) fn connect_datagrams(&self, address: Address) -> io::Result<()> {
        self.start_connecting(address).map(drop)
    }
}
