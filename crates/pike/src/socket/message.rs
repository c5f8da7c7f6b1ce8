//! Whole messages: several buffers, an address, control data.

use std::{
    future::Future,
    io::{self, IoSlice, IoSliceMut},
};

use super::{
    Address, RecvFlags, SendFlags, Socket,
    control::{Control, Outgoing},
    receive::copy,
};
use crate::{
    handle::op::{Attempt, Op},
    source::{Direction, Seen},
    sys::platform,
};

/// What was received, beside the bytes and the control data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// How many bytes are in the buffers. On a stream, 0 means end of file.
    pub len: usize,
    /// Who sent it. None on a stream, and where the system does not say.
    pub from: Option<Address>,
    /// The message was longer than the buffers, and the rest of it is lost.
    pub truncated: bool,
    /// The control buffer was too small, and some of what came with the message is lost.
    pub control_truncated: bool,
    /// The message ends here (sockets of type [`SeqPacket`](super::Type::SeqPacket)).
    pub end_of_record: bool,
    /// The bytes are urgent data.
    pub out_of_band: bool,
}

impl Message {
    /// Nothing, of nobody.
    const END: Self = Self {
        len: 0,
        from: None,
        truncated: false,
        control_truncated: false,
        end_of_record: false,
        out_of_band: false,
    };
}

impl Socket {
    /// Receives a message into `bufs`, each filled before the next, and what comes with it into `control`.
    ///
    /// `control` is emptied first: descriptors that were left in it are closed. With an empty one
    /// ([`ControlBuf::<0>`](super::control::ControlBuf)) control data is thrown away.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and `EMSGSIZE` for more buffers than the system takes (1024), except on a stream.
    /// Nothing was received then. Too small a buffer is no error: the message says what was cut.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    ///
    /// # Source
    ///
    /// recvmsg(2), cmsg(3).
    pub fn recv_msg<'a>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'_>],
        control: &'a mut Control,
        flags: RecvFlags,
    ) -> impl Future<Output = io::Result<Message>> + Send {
        Op::new(self.handle.registration(), flags.aim(), move |seen| {
            self.attempt_recv_msg(seen, bufs, control, flags)
        })
    }

    /// As [`recv_msg`](Self::recv_msg), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`recv_msg`](Self::recv_msg); [`io::ErrorKind::WouldBlock`] if there is nothing.
    pub fn try_recv_msg(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        control: &mut Control,
        flags: RecvFlags,
    ) -> io::Result<Message> {
        self.handle
            .try_bits(Direction::Read, flags.bits(), |seen| self.attempt_recv_msg(seen, bufs, control, flags))
    }

    /// Sends `bufs` as one message, to an address or to the peer, with control data. Returns how many bytes the system
    /// took: of a message all, on a stream perhaps not, but then the control data went with the first.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write) and [`send_to`](Self::send_to); those of the control data, such as `EPERM` for
    /// credentials that are not one's own, or `EINVAL` for what the socket does not take; `EMSGSIZE` for more buffers
    /// than the system takes (1024), except on a stream; [`io::ErrorKind::InvalidInput`] for more control data than one
    /// message can carry (253 descriptors on Linux), on a stream without a byte to go with, or descriptors
    /// or credentials on a socket of the internet. Nothing was sent then.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, it has sent nothing.
    ///
    /// # Source
    ///
    /// sendmsg(2), cmsg(3).
    pub fn send_msg<'a>(
        &'a self,
        bufs: &'a [IoSlice<'_>],
        to: Option<Address>,
        control: &'a [Outgoing<'_>],
        flags: SendFlags,
    ) -> impl Future<Output = io::Result<usize>> + Send {
        self.until_there_is_room(move || self.attempt_send_msg(bufs, to, control, flags))
    }

    /// As [`send_msg`](Self::send_msg), if that does not have to wait.
    ///
    /// # Errors
    ///
    /// As [`send_msg`](Self::send_msg); [`io::ErrorKind::WouldBlock`] if there is no room.
    pub fn try_send_msg(
        &self,
        bufs: &[IoSlice<'_>],
        to: Option<Address>,
        control: &[Outgoing<'_>],
        flags: SendFlags,
    ) -> io::Result<usize> {
        let attempt = |_| self.attempt_send_msg(bufs, to, control, flags);
        self.handle.try_op(Direction::Write, attempt)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Whether the urgent byte comes next: all before it was read. A read never goes beyond it.
    ///
    /// # Errors
    ///
    /// The system's: `ENOTTY` or `EINVAL` if it is no TCP socket.
    ///
    /// # Platform
    ///
    /// Windows only tells that the urgent byte was not read yet: there may be others before it.
    ///
    /// # Source
    ///
    /// sockatmark(3).
    #[doc(alias = "sockatmark")]
    pub fn at_mark(&self) -> io::Result<bool> {
        self.check()?;
        platform::at_mark(self.descriptor().borrowed())
    }

    /// However short it is, there may be more: a message with control data ends a read of a stream early.
    #[allow(unsafe_code)]
    fn attempt_recv_msg(
        &self,
        seen: Seen,
        bufs: &mut [IoSliceMut<'_>],
        control: &mut Control,
        flags: RecvFlags,
    ) -> Attempt<Message> {
        if !flags.contains(RecvFlags::OUT_OF_BAND) && !flags.contains(RecvFlags::ERROR_QUEUE) {
            if let Some(attempt) = self.undelivered_message(bufs, control, flags == RecvFlags::PEEK) {
                return attempt;
            }
        }
        let len = bufs.len().min(self.vectors_max());
        let bufs = &mut bufs[..len];
        let with_sender = self.flavour.has_senders();
        let receive = |control: &mut [u8]| {
            platform::recv_msg(self.descriptor().borrowed(), bufs, control, flags, with_sender)
        };
        // SAFETY: the system's call wrote it.
        let received = unsafe { control.fill(receive) };
        self.judge_special(seen, flags, self.or_end(seen, received, Message::END))
    }

    /// What the kernel received for a dropped operation, which has no control data.
    #[cold]
    fn undelivered_message(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        control: &mut Control,
        peek: bool,
    ) -> Option<Attempt<Message>> {
        self.descriptor().lane()?;
        let room = bufs.iter().map(|buf| buf.len()).fold(0, usize::saturating_add);
        // A datagram is taken whole, however much room there is.
        let len = if self.flavour.is_stream() { room } else { usize::MAX };
        let attempt = self.undelivered(len, peek, |bytes, from| {
            let len = bufs.iter_mut().fold(0, |done, buf| done + copy(&bytes[done..], buf));
            Message { len, from, truncated: len < bytes.len(), ..Message::END }
        })?;
        if let Attempt::Done(_) = attempt {
            control.clear();
        }
        Some(attempt)
    }

    fn attempt_send_msg(
        &self,
        bufs: &[IoSlice<'_>],
        to: Option<Address>,
        control: &[Outgoing<'_>],
        flags: SendFlags,
    ) -> Attempt<Option<usize>> {
        if self.flavour.is_internet() && control.iter().any(Outgoing::is_for_unix_sockets) {
            // The system would drop it, and say that all was sent.
            let what = "only a Unix socket carries descriptors or credentials";
            return Attempt::Failed(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        if self.is_sending() {
            return Attempt::Empty;
        }
        let bufs = &bufs[..bufs.len().min(self.vectors_max())];
        match platform::send_msg(self.descriptor().borrowed(), bufs, to, control, flags) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.no_room(),
            result => result.map(Some).into(),
        }
    }
}
