//! Receiving.

use std::{
    future::Future,
    io::{self, IoSliceMut},
    task::{Context, Poll},
};

use super::{Address, Flavour, RecvFlags, Socket, UnixAddress, judge, lend::Lend};
use crate::{
    handle::{
        op::{Attempt, Op, Work},
        waiting::{Reads, Special},
    },
    source::{self, Direction, Seen},
    sys::platform,
    waiter::Kind,
};

impl Socket {
    /// Receives into `buf`. Returns how many bytes; on a stream, 0 means end of file (or an empty `buf`).
    ///
    /// A datagram longer than `buf` is cut, and the rest of it is lost.
    ///
    /// # Errors
    ///
    /// The system's (`ECONNRESET`, `ENOTCONN`, `ECONNREFUSED` on a connected datagram socket, ...);
    /// [`Closed`](crate::Closed). Nothing was received then.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Platform
    ///
    /// Windows: the system calls a datagram that was cut an error, which is none here; and it would tell a UDP socket of each
    /// datagram that met nobody, which it is asked not to unless the socket is connected, as elsewhere.
    #[inline]
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        Op::new(self.handle.registration(), Reads, Read { socket: self, buf })
    }

    /// Receives until `buf` is full, and returns its length.
    pub(crate) fn read_exact<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        Op::new(self.handle.registration(), Reads, ReadExact { socket: self, buf, done: 0 })
    }

    /// Receives into `buf` with flags. Otherwise as [`read`](Self::read).
    ///
    /// With [`RecvFlags::OUT_OF_BAND`] it waits for urgent data.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); `EINVAL` for urgent data that is left in line.
    pub fn recv<'a>(
        &'a self,
        buf: &'a mut [u8],
        flags: RecvFlags,
    ) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        Op::new(self.handle.registration(), flags.aim(), move |seen| self.attempt_recv(seen, buf, flags))
    }

    /// Receives into several buffers, each filled before the next. Otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_vectored<'a>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> + Send {
        Op::new(self.handle.registration(), Reads, ReadVectored { socket: self, bufs })
    }

    /// Receives into `buf` and leaves everything in the queue. Otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + Send + use<'a> {
        self.recv(buf, RecvFlags::PEEK)
    }

    /// Receives, and lends the bytes to `f` at once: a reader that is done with them there needs no buffer.
    ///
    /// `f` runs once, inside the poll that received. On a stream an empty slice is end of file. At most 64 KiB at a
    /// time. Where the kernel receives for the socket by itself (after a pooled receive on io_uring) it is lent the very
    /// buffer of the pool that the kernel filled.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); `f` has not run then.
    ///
    /// # Panics
    ///
    /// If `f` does: the bytes count as consumed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    #[inline]
    pub fn recv_with<'a, R, F>(&'a self, f: F) -> impl Future<Output = io::Result<R>> + use<'a, R, F>
    where
        F: FnOnce(&[u8]) -> R,
    {
        Op::new(self.handle.registration(), Reads, Lend::new(self, f))
    }

    /// Receives into `buf`, and says who sent it. Otherwise as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`io::ErrorKind::Unsupported`], before anything is received, if what it
    /// receives comes with no address: on a stream, [`peer_addr`](Self::peer_addr) says who sends.
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, Address)>> + Send + use<'a> {
        self.receiving_from(buf, RecvFlags::NONE)
    }

    /// Receives into `buf` and leaves the datagram in the queue. Otherwise as [`recv_from`](Self::recv_from).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(usize, Address)>> + Send + use<'a> {
        self.receiving_from(buf, RecvFlags::PEEK)
    }

    async fn receiving_from(&self, buf: &mut [u8], flags: RecvFlags) -> io::Result<(usize, Address)> {
        self.check_senders()?;
        self.receiving(move |seen| self.attempt_recv_from(seen, buf, flags)).await
    }

    /// Fails, before anything is waited for or received, if what it receives comes with no address.
    pub(crate) fn check_senders(&self) -> io::Result<()> {
        match self.flavour.has_senders() {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "what this socket receives comes with no address",
            )),
        }
    }

    /// As [`read`](Self::read), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`io::ErrorKind::WouldBlock`] if there is nothing.
    #[inline]
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.try_op(Direction::Read, |seen| self.attempt_read(seen, buf))
    }

    /// As [`read_vectored`](Self::read_vectored), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.handle.try_op(Direction::Read, |seen| self.attempt_read_vectored(seen, bufs))
    }

    /// As [`peek`](Self::peek), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.handle.try_op(Direction::Read, |seen| self.attempt_recv(seen, buf, RecvFlags::PEEK))
    }

    /// As [`recv_with`](Self::recv_with), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read); `f` has not run then.
    pub fn try_recv_with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let mut lend = Lend::new(self, f);
        let brought = self.handle.try_op(Direction::Read, |seen| lend.attempt(seen))?;
        Ok(lend.complete(brought))
    }

    /// As [`recv_from`](Self::recv_from), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`try_read`](Self::try_read).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, Address)> {
        self.try_recv_from_with(buf, RecvFlags::NONE)
    }

    pub(crate) fn try_recv_from_with(
        &self,
        buf: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Address)> {
        self.check_senders()?;
        self.handle.try_op(Direction::Read, |seen| self.attempt_recv_from(seen, buf, flags))
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Read, cx, |seen| self.attempt_read(seen, buf))
    }

    /// As `poll_read`, into memory that nobody has written yet: the count is how much of it now is.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_read_uninit(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [std::mem::MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Read, cx, |seen| self.attempt_fill(seen, buf))
    }

    /// As `attempt_read`, into memory that nobody has written yet: the count is how much of it now is.
    pub(crate) fn attempt_fill(&self, seen: Seen, buf: &mut [std::mem::MaybeUninit<u8>]) -> Attempt<usize> {
        if buf.is_empty() && self.has_nothing_to_fill() {
            return Attempt::Done(0);
        }
        if let Some(attempt) = self.undelivered(buf.len(), false, |bytes, _| copy_to_room(bytes, buf)) {
            return attempt;
        }
        let descriptor = self.descriptor().borrowed();
        if self.flavour == Flavour::UnixStream {
            return judge_unix(seen, buf.len(), platform::recv_uninit_message(descriptor, buf));
        }
        let received = platform::recv_uninit(descriptor, buf, RecvFlags::NONE);
        judge(seen, buf.len(), self.or_end(seen, received, 0))
    }

    /// As `attempt_recv`, into memory that nobody has written yet.
    pub(crate) fn attempt_fill_with(
        &self,
        seen: Seen,
        buf: &mut [std::mem::MaybeUninit<u8>],
        flags: RecvFlags,
    ) -> Attempt<usize> {
        if flags == RecvFlags::PEEK {
            if let Some(attempt) = self.undelivered(buf.len(), true, |bytes, _| copy_to_room(bytes, buf)) {
                return attempt;
            }
        }
        let received = platform::recv_uninit(self.descriptor().borrowed(), buf, flags);
        self.judge_special(seen, flags, self.or_end(seen, received, 0))
    }

    /// As `attempt_recv_from`, into memory that nobody has written yet.
    pub(crate) fn attempt_fill_from(
        &self,
        seen: Seen,
        buf: &mut [std::mem::MaybeUninit<u8>],
    ) -> Attempt<(usize, Address)> {
        if let Some(attempt) =
            self.undelivered_from(buf.len(), false, |bytes| copy_to_room(bytes, &mut buf[..]))
        {
            return attempt;
        }
        let received =
            self.check_senders().and_then(|()| platform::recv_room_from(self.descriptor().borrowed(), buf));
        self.or_end(seen, received, (0, UnixAddress::UNNAMED.into())).into()
    }

    /// What a receive into several buffers means, for `asked` bytes.
    pub(crate) fn judge_message(
        &self,
        seen: Seen,
        asked: usize,
        received: io::Result<platform::Received>,
    ) -> Attempt<usize> {
        match self.flavour {
            Flavour::UnixStream => judge_unix(seen, asked, received),
            _ => judge(seen, asked, received.map(|received| received.count)),
        }
    }

    #[cfg(feature = "futures-io")]
    pub(crate) fn poll_read_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Read, cx, |seen| self.attempt_read_vectored(seen, bufs))
    }

    pub(crate) fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_op(Direction::Read, cx, |seen| self.attempt_recv(seen, buf, RecvFlags::PEEK))
    }

    pub(crate) fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        flags: RecvFlags,
    ) -> Poll<io::Result<(usize, Address)>> {
        self.check_senders()?;
        self.poll_op(Direction::Read, cx, |seen| self.attempt_recv_from(seen, buf, flags))
    }

    #[inline]
    pub(super) fn receiving<R, F>(&self, attempt: F) -> Op<'_, Reads, F, R>
    where
        F: FnMut(Seen) -> Attempt<R>,
    {
        Op::new(self.handle.registration(), Reads, attempt)
    }

    #[inline]
    fn attempt_read(&self, seen: Seen, buf: &mut [u8]) -> Attempt<usize> {
        if buf.is_empty() && self.has_nothing_to_fill() {
            return Attempt::Done(0);
        }
        if let Some(attempt) = self.undelivered(buf.len(), false, |bytes, _| copy(bytes, buf)) {
            return attempt;
        }
        if self.flavour.is_unix() {
            return self.attempt_unix_read(seen, &mut [IoSliceMut::new(buf)]);
        }
        let received = platform::recv(self.descriptor().borrowed(), buf, RecvFlags::NONE);
        judge(seen, buf.len(), self.or_end(seen, received, 0))
    }

    /// Of an empty buffer: whether there is nothing to do. Of a datagram socket it receives a datagram.
    #[cold]
    pub(crate) fn has_nothing_to_fill(&self) -> bool {
        self.flavour.is_stream()
    }

    /// With flags a short read says nothing: a peek leaves the bytes where they are.
    fn attempt_recv(&self, seen: Seen, buf: &mut [u8], flags: RecvFlags) -> Attempt<usize> {
        match flags {
            RecvFlags::NONE => self.attempt_read(seen, buf),
            flags => {
                let peeks = flags == RecvFlags::PEEK;
                let from_lane =
                    if peeks { self.undelivered(buf.len(), true, |bytes, _| copy(bytes, buf)) } else { None };
                from_lane.unwrap_or_else(|| {
                    let received = platform::recv(self.descriptor().borrowed(), buf, flags);
                    self.judge_special(seen, flags, self.or_end(seen, received, 0))
                })
            }
        }
    }

    /// Of a receive with flags. The system says EINVAL rather than EAGAIN when there is no urgent data; after the end
    /// there will be none, and if it is left in line there is none apart.
    pub(super) fn judge_special<R>(&self, seen: Seen, flags: RecvFlags, result: io::Result<R>) -> Attempt<R> {
        match result {
            Err(error)
                if flags.contains(RecvFlags::OUT_OF_BAND)
                    && error.kind() == io::ErrorKind::InvalidInput
                    && !seen.any(source::READ_CLOSED)
                    && !platform::is_urgent_in_line(self.descriptor()) =>
            {
                Attempt::Empty
            }
            // Windows says would-block also when there will be none.
            Err(error)
                if flags.contains(RecvFlags::OUT_OF_BAND)
                    && error.kind() == io::ErrorKind::WouldBlock
                    && seen.any(source::READ_CLOSED) =>
            {
                Attempt::Failed(io::ErrorKind::InvalidInput.into())
            }
            result => result.into(),
        }
    }

    fn attempt_recv_from(&self, seen: Seen, buf: &mut [u8], flags: RecvFlags) -> Attempt<(usize, Address)> {
        if !flags.contains(RecvFlags::OUT_OF_BAND) && !flags.contains(RecvFlags::ERROR_QUEUE) {
            let peek = flags == RecvFlags::PEEK;
            if let Some(attempt) = self.undelivered_from(buf.len(), peek, |bytes| copy(bytes, buf)) {
                return attempt;
            }
        }
        let received = platform::recv_from(self.descriptor().borrowed(), buf, flags);
        self.or_end(seen, received, (0, UnixAddress::UNNAMED.into())).into()
    }

    fn attempt_read_vectored(&self, seen: Seen, bufs: &mut [IoSliceMut<'_>]) -> Attempt<usize> {
        let len = bufs.len().min(self.vectors_max());
        let bufs = &mut bufs[..len];
        let room = bufs.iter().map(|buf| buf.len()).sum();
        if room == 0 && self.has_nothing_to_fill() {
            return Attempt::Done(0);
        }
        let spread = |bytes: &[u8], _| bufs.iter_mut().fold(0, |done, buf| done + copy(&bytes[done..], buf));
        if let Some(attempt) = self.undelivered(room, false, spread) {
            return attempt;
        }
        if self.flavour.is_unix() {
            return self.attempt_unix_read(seen, bufs);
        }
        let received = platform::recv_vectored(self.descriptor().borrowed(), bufs);
        judge(seen, room, self.or_end(seen, received.map(|received| received.count), 0))
    }

    #[cold]
    pub(super) fn attempt_unix_read(&self, seen: Seen, bufs: &mut [IoSliceMut<'_>]) -> Attempt<usize> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 && self.has_nothing_to_fill() {
            return Attempt::Done(0); // the system would throw away the descriptors of the next message
        }
        let end = platform::Received { count: 0, control_cut: false };
        let received = platform::recv_vectored(self.descriptor().borrowed(), bufs);
        judge_unix(seen, len, self.or_end(seen, received, end))
    }

    /// What was received, or the end. After its own shutdown of reading a socket for datagrams says EAGAIN, where a blocking
    /// one returns nothing; and no report would follow.
    #[inline]
    pub(crate) fn or_end<T>(&self, seen: Seen, received: io::Result<T>, end: T) -> io::Result<T> {
        match received {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && matches!(self.flavour, Flavour::UnixDatagram | Flavour::Datagram)
                    && seen.any(source::READ_CLOSED) =>
            {
                Ok(end)
            }
            received => received,
        }
    }
}

pub(super) fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let len = from.len().min(to.len());
    to[..len].copy_from_slice(&from[..len]);
    len
}

pub(super) fn copy_to_room(from: &[u8], to: &mut [std::mem::MaybeUninit<u8>]) -> usize {
    to.iter_mut().zip(from).map(|(to, &from)| _ = to.write(from)).count()
}

/// Of a Unix stream. A read stops behind a message with control data (descriptors, credentials), which the system throws
/// away since nobody has asked for it: what is behind that was reported before, and no further edge comes for it.
fn judge_unix(seen: Seen, asked: usize, received: io::Result<platform::Received>) -> Attempt<usize> {
    match received {
        Ok(received) if received.control_cut => Attempt::Done(received.count),
        received => judge(seen, asked, received.map(|received| received.count)),
    }
}

impl RecvFlags {
    /// What a receive with these flags waits for: of urgent data and of errors, all who wait are woken.
    pub(super) fn bits(self) -> u64 {
        match self {
            _ if self.contains(Self::OUT_OF_BAND) => source::PRIORITY | source::READ_CLOSED,
            _ if self.contains(Self::ERROR_QUEUE) => source::ERROR_QUEUE,
            _ => Direction::Read.bits(),
        }
    }

    pub(crate) fn aim(self) -> Special {
        Special { direction: Direction::Read, kind: Kind::new(self.bits(), true) }
    }
}

struct Read<'a> {
    socket: &'a Socket,
    buf: &'a mut [u8],
}

impl Work<usize> for Read<'_> {
    type Brings = usize;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<usize> {
        self.socket.attempt_read(seen, self.buf)
    }

    #[inline]
    fn complete(&mut self, count: usize) -> usize {
        count
    }

    #[inline]
    fn is_nothing(&self) -> bool {
        self.buf.is_empty() && self.socket.has_nothing_to_fill()
    }
}

struct ReadVectored<'a, 'b> {
    socket: &'a Socket,
    bufs: &'a mut [IoSliceMut<'b>],
}

impl Work<usize> for ReadVectored<'_, '_> {
    type Brings = usize;

    fn attempt(&mut self, seen: Seen) -> Attempt<usize> {
        self.socket.attempt_read_vectored(seen, self.bufs)
    }

    fn complete(&mut self, count: usize) -> usize {
        count
    }

    fn is_nothing(&self) -> bool {
        self.bufs.iter().all(|buf| buf.is_empty()) && self.socket.has_nothing_to_fill()
    }
}

struct ReadExact<'a> {
    socket: &'a Socket,
    buf: &'a mut [u8],
    done: usize,
}

impl Work<usize> for ReadExact<'_> {
    type Brings = usize;

    #[inline]
    fn attempt(&mut self, seen: Seen) -> Attempt<usize> {
        if self.done == self.buf.len() {
            return Attempt::Done(self.done);
        }
        let (count, drained) = match self.socket.attempt_read(seen, &mut self.buf[self.done..]) {
            Attempt::Done(0) => return Attempt::Failed(io::ErrorKind::UnexpectedEof.into()),
            Attempt::Done(count) => (count, false),
            Attempt::Drained(count) => (count, true),
            other => return other,
        };
        self.done += count;
        match (self.done == self.buf.len(), drained) {
            (true, true) => Attempt::Drained(self.done),
            (true, false) => Attempt::Done(self.done),
            (false, true) => Attempt::Empty,
            (false, false) => Attempt::Partly,
        }
    }

    #[inline]
    fn complete(&mut self, count: usize) -> usize {
        count
    }

    #[inline]
    fn is_nothing(&self) -> bool {
        self.buf.is_empty()
    }
}
