//! Control data that Unix has: descriptors and credentials.
//!
//! # Examples
//!
//! ```
//! use pike::{Notifier, socket::{Domain, RecvFlags, SendFlags, Socket, Type, control::ControlBuf}};
//! use pike::os::unix::control::{ControlExt, descriptors_space, Outgoing};
//! use std::{io::{IoSlice, IoSliceMut}, os::fd::AsFd};
//!
//! # fn main() -> std::io::Result<()> {
//! # let notifier = Notifier::new()?;
//! # let file = std::fs::File::open("/dev/null")?;
//! # notifier.block_on(async {
//! let (one, other) = Socket::pair(Domain::Unix, Type::Stream, None)?;
//! let files = [file.as_fd()];
//! let gift = [Outgoing::Descriptors(&files).into()];
//! one.send_msg(&[IoSlice::new(b"a file")], None, &gift, SendFlags::NONE).await?;
//!
//! let (mut buf, mut control) = ([0; 64], ControlBuf::<{ descriptors_space(4) }>::new());
//! let message = other.recv_msg(&mut [IoSliceMut::new(&mut buf)], &mut control, RecvFlags::NONE).await?;
//! assert!(!message.control_truncated);
//! let received: Vec<_> = control.descriptors().map(std::fs::File::from).collect();
//! assert_eq!((&buf[..message.len], received.len()), (&b"a file"[..], 1));
//! # Ok(()) })
//! # }
//! ```

use std::os::fd::{BorrowedFd, OwnedFd};

use super::UCred;
use crate::{
    socket::control::{self, Control},
    sys::platform,
};

/// What `count` descriptors take up in a control buffer. There may be room for one more.
pub const fn descriptors_space(count: usize) -> usize {
    platform::control::space(count * size_of::<std::os::fd::RawFd>())
}

/// What credentials take up in a control buffer.
pub const CREDENTIALS_SPACE: usize = platform::control::sizes::CREDENTIALS;

/// Control data that came with a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'a> {
    /// Descriptors that the peer has sent, now of this process too.
    Descriptors(Descriptors<'a>),
    /// Who sent it, as the system attests. Asked for with `os::linux::option::PassCredentials` (Linux), or when the
    /// sender sends them (FreeBSD, DragonFly); other systems have none.
    Credentials(UCred),
}

/// Control data to send with a message.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outgoing<'a> {
    /// Duplicates of these, at most 253 on Linux.
    Descriptors(&'a [BorrowedFd<'a>]),
    /// Who sends it ([`UCred::own`]): on Linux checked by the system, on FreeBSD and DragonFly filled in by it, elsewhere
    /// [`Unsupported`](std::io::ErrorKind::Unsupported).
    Credentials(UCred),
}

impl<'a> From<Outgoing<'a>> for control::Outgoing<'a> {
    fn from(outgoing: Outgoing<'a>) -> Self {
        Self::Unix(outgoing)
    }
}

/// Takes received descriptors, each close-on-exec. Those that are not taken stay in the control buffer, which closes
/// them.
#[derive(Debug)]
pub struct Descriptors<'a> {
    payload: platform::control::Payload<'a>,
}

impl<'a> Descriptors<'a> {
    pub(crate) fn new(payload: platform::control::Payload<'a>) -> Self {
        Self { payload }
    }
}

impl Iterator for Descriptors<'_> {
    type Item = OwnedFd;

    fn next(&mut self) -> Option<OwnedFd> {
        self.payload.take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.payload.len()))
    }
}

mod sealed {
    pub trait Sealed {}
}

/// What a [`Control`] buffer has on Unix.
pub trait ControlExt: sealed::Sealed {
    /// Takes all received descriptors, of whatever entry.
    fn descriptors(&mut self) -> impl Iterator<Item = OwnedFd>;

    /// Who sent the message.
    fn credentials(&self) -> Option<UCred>;
}

impl<B: AsRef<[u8]> + AsMut<[u8]> + ?Sized> sealed::Sealed for Control<B> {}

impl<B: AsRef<[u8]> + AsMut<[u8]> + ?Sized> ControlExt for Control<B> {
    fn descriptors(&mut self) -> impl Iterator<Item = OwnedFd> {
        self.entries()
            .filter_map(|entry| match entry {
                control::Incoming::Unix(Incoming::Descriptors(descriptors)) => Some(descriptors),
                _ => None,
            })
            .flatten()
    }

    fn credentials(&self) -> Option<UCred> {
        self.find_all(|entry| match entry {
            control::Incoming::Unix(Incoming::Credentials(credentials)) => Some(credentials),
            _ => None,
        })
        .next()
    }
}
