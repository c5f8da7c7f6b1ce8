//! Sending.

use std::{
    future::Future,
    io::{self, IoSlice},
    task::{Context, Poll},
};

use super::{Address, Flavour, SendFlags, Socket, is_drained, judge, pause::Pause};
use crate::{
    handle::{
        op::{Attempt, Op},
        waiting::Writes,
    },
    source::{Direction, Seen},
    sys::platform,
};

impl Socket {
    /// Sends from `buf`. Returns how many bytes the system took: on a stream perhaps not all.
    ///
    /// # Errors
    ///
    /// The system's (`EPIPE`, `ECONNRESET`, `EMSGSIZE` for a datagram that is too long, ...);
    /// [`Closed`](crate::Closed). Nothing was sent then. No SIGPIPE is raised.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has sent nothing.
    ///
    /// # Platform
    ///
    /// Windows: one call of any form takes at most 1 MiB of a stream, since the system keeps a copy of all that it takes,
    /// however much that is.
    #[inline]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.send(buf, SendFlags::NONE)
    }

    /// Sends all of `buf`.
    #[inline]
    pub(crate) fn write_all<'a>(
        &'a self,
        mut buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + use<'a> {
        self.sending(move |seen| {
            if buf.is_empty() {
                return Attempt::Done(());
            }
            if self.is_sending() {
                return Attempt::Empty;
            }
            match platform::send(self.descriptor().borrowed(), buf, SendFlags::NONE) {
                Ok(count) if count == buf.len() => Attempt::Done(()),
                result => self.sent_in_part(seen, &mut buf, result),
            }
        })
    }

    /// Sends from `buf` with flags. Otherwise as [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    #[inline]
    pub fn send<'a>(
        &'a self,
        buf: &'a [u8],
        flags: SendFlags,
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.sending(move |seen| self.attempt_send(seen, buf, flags))
    }

    /// Sends from several buffers, in order, in one call. Otherwise as [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored<'a>(
        &'a self,
        bufs: &'a [IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send {
        self.sending(move |seen| self.attempt_write_vectored(seen, bufs))
    }

    /// Sends a datagram to `address`. Otherwise as [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); `EAFNOSUPPORT` or `EINVAL` for an address of another family.
    ///
    /// # Platform
    ///
    /// Linux: a Unix socket whose queue is full takes no datagram, and tells only those who are connected to it when it
    /// has room. So this waits by trying again after 1 to 64 milliseconds; connect to a slow receiver to be woken instead.
    pub fn send_to<'a>(
        &'a self,
        buf: &'a [u8],
        address: impl Into<Address>,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        let address = address.into();
        self.until_there_is_room(move || self.attempt_send_to(buf, address))
    }

    /// Does `attempt` until it has sent, with a pause after each that gave nothing: see `no_room`.
    #[allow(clippy::manual_async_fn)] // which would keep the closure twice
    pub(super) fn until_there_is_room<'a>(
        &'a self,
        mut attempt: impl FnMut() -> Attempt<Option<usize>> + Send + 'a,
    ) -> impl Future<Output = io::Result<usize>> + Send + 'a {
        async move {
            let mut pause = Pause::for_room();
            loop {
                match self.sending(|_| attempt()).await? {
                    Some(count) => return Ok(count),
                    None => pause.wait(self).await,
                }
            }
        }
    }

    /// As [`write`](Self::write), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write); [`io::ErrorKind::WouldBlock`] if there is no room.
    #[inline]
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.handle.try_op(Direction::Write, |seen| self.attempt_send(seen, buf, SendFlags::NONE))
    }

    /// As [`write_vectored`](Self::write_vectored), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.handle.try_op(Direction::Write, |seen| self.attempt_write_vectored(seen, bufs))
    }

    /// As [`send_to`](Self::send_to), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_write`](Self::try_write).
    pub fn try_send_to(&self, buf: &[u8], address: impl Into<Address>) -> io::Result<usize> {
        let address = address.into();
        let sent = self.handle.try_op(Direction::Write, |_| self.attempt_send_to(buf, address))?;
        sent.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Write, cx, |seen| self.attempt_send(seen, buf, SendFlags::NONE))
    }

    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Write, cx, |seen| self.attempt_write_vectored(seen, bufs))
    }

    /// As [`shutdown`](Self::shutdown) of writing, for poll traits: that the connection is gone is no error, since then
    /// the peer knows.
    #[cfg(any(feature = "futures-io", feature = "tokio"))]
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self.shutdown(std::net::Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    pub(crate) fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        address: Address,
    ) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Write, cx, |_| self.attempt_send_to(buf, address))
            .map(|sent| sent?.ok_or_else(|| io::ErrorKind::WouldBlock.into()))
    }

    #[inline]
    fn sending<R, F>(&self, attempt: F) -> Op<'_, Writes, F, R>
    where
        F: FnMut(Seen) -> Attempt<R>,
    {
        Op::new(self.handle.registration(), Writes, attempt)
    }

    /// Whether the kernel sends an owned buffer: whatever is sent after that waits for its end.
    #[inline]
    pub(crate) fn is_sending(&self) -> bool {
        self.descriptor().lane().is_some_and(|lane| lane.is_sending())
    }

    #[inline]
    pub(crate) fn attempt_send(&self, seen: Seen, buf: &[u8], flags: SendFlags) -> Attempt<usize> {
        if self.is_sending() {
            return Attempt::Empty;
        }
        match platform::send(self.descriptor().borrowed(), buf, flags) {
            Ok(count) if count == buf.len() => Attempt::Done(count),
            result => self.sent_less(seen, buf.len(), result),
        }
    }

    /// Nothing, if there is no room at the receiver and no report will say when there is.
    fn attempt_send_to(&self, buf: &[u8], address: Address) -> Attempt<Option<usize>> {
        if self.is_sending() {
            return Attempt::Empty;
        }
        match platform::send_to(self.descriptor().borrowed(), buf, address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.no_room(),
            result => result.map(Some).into(),
        }
    }

    /// Nothing, for a Unix socket: the room of a receiver is not reported, and the system does not tell it from one's own.
    /// It calls a sender unwritable, and reports nothing, as long as a quarter of its own room is taken, by whatever
    /// receiver; and the failed attempt itself takes room and gives it back, which it does report.
    #[cold]
    pub(super) fn no_room(&self) -> Attempt<Option<usize>> {
        if self.flavour == Flavour::UnixDatagram { Attempt::Done(None) } else { Attempt::Empty }
    }

    fn attempt_write_vectored(&self, seen: Seen, bufs: &[IoSlice<'_>]) -> Attempt<usize> {
        if self.is_sending() {
            return Attempt::Empty;
        }
        let bufs = &bufs[..bufs.len().min(self.vectors_max())];
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.sent_less(seen, len, platform::send_vectored(self.descriptor().borrowed(), bufs))
    }

    /// What a call means that may not have sent all of its `asked` bytes. Of a Unix stream that may be for want of memory,
    /// of which nothing is reported: only the next call tells.
    #[cold]
    pub(crate) fn sent_less(&self, seen: Seen, asked: usize, result: io::Result<usize>) -> Attempt<usize> {
        if self.flavour == Flavour::Tcp { judge(seen, asked, result) } else { result.into() }
    }

    /// Goes on with what a write of all of `buf` did, unless that was all.
    #[cold]
    fn sent_in_part(&self, seen: Seen, buf: &mut &[u8], result: io::Result<usize>) -> Attempt<()> {
        match result {
            Ok(0) => Attempt::Failed(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                let drained = self.flavour == Flavour::Tcp && is_drained(seen, buf.len(), count);
                *buf = &buf[count..];
                if drained { Attempt::Empty } else { Attempt::Partly }
            }
            Err(error) => Attempt::Failed(error),
        }
    }
}
