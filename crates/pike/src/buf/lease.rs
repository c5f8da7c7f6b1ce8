//! A buffer out of the pool.

use std::{fmt, ops::Deref};

use super::{IoBuf, slot::Slot};

/// What a pooled receive brought, in a buffer out of its Notifier's pool.
///
/// It derefs to the bytes. Dropping it returns the buffer, from any thread, also after the Notifier is gone. Until then the pool
/// has one less, and its size is what [`Builder::buffers`](crate::Builder::buffers) sets: what is to be kept for long is better
/// copied (`to_vec`). A send of it to a peer that does not read lasts for long: with as many of those as there are buffers nobody
/// receives into the pool any more, so such sends are better bounded ([`Owned::timeout`](super::Owned::timeout)).
///
/// It may be sent as it is, being an [`IoBuf`], or a [`part`](IoBuf::part) of it, or in an `Arc` to many receivers.
///
/// An empty one, which is the end of a stream, has no buffer.
///
/// # Examples
///
/// ```
/// use pike::{Notifier, net::UdpSocket};
///
/// # fn main() -> std::io::Result<()> {
/// Notifier::new()?.block_on(async {
///     let socket = UdpSocket::bind("127.0.0.1:0").await?;
///     socket.send_to(b"ping", socket.local_addr()?).await?;
///     let lease = socket.recv_pooled().await?;
///     assert!(lease.starts_with(b"pi"));
///     Ok(())
/// })
/// # }
/// ```
pub struct Lease(Option<Slot>);

impl Lease {
    #[inline]
    pub(crate) fn new(slot: Slot, len: usize) -> Self {
        Self::part(slot, 0, len as u32) // no buffer is longer, see `Size::new`
    }

    /// Of a buffer of which some was taken.
    #[inline]
    pub(crate) fn part(mut slot: Slot, from: u32, to: u32) -> Self {
        if from >= to {
            return Self::empty();
        }
        slot.show(from, to);
        Self(Some(slot))
    }

    pub(crate) fn empty() -> Self {
        Self(None)
    }
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], Slot::shown)
    }
}

impl AsRef<[u8]> for Lease {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl IoBuf for Lease {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("len", &self.len()).finish_non_exhaustive()
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Lease>();
};
