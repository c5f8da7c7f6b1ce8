//! What kinds of descriptors there are, for the requests of the kernel.

use crate::notifier::core::Core;

/// What goes through a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Bytes of a TCP socket.
    Stream,
    /// Bytes of a Unix socket, among which descriptors may come.
    LocalStream,
    /// Datagrams of the internet.
    Datagrams,
    /// Messages of a Unix socket, which may be longer.
    Messages,
    /// Bytes of a descriptor that is read and written, and no socket of pike's.
    File,
}

impl Carries {
    pub(super) fn is_message(self) -> bool {
        matches!(self, Self::Datagrams | Self::Messages)
    }

    /// Whether the kernel receives it into buffers of the pool, one behind the other: of a stream on a backend that completes,
    /// with a pool to share. Not of a Unix stream: what the kernel takes before anybody asks is taken without its descriptors,
    /// and the next receive may be one that wants them.
    pub(super) fn brings(self, core: &Core) -> bool {
        self == Self::Stream && core.receives_many() && core.pool().is_shared()
    }

    /// Room for the end of a message that is longer than its receive has room for: if that is dropped, the next has all of it.
    pub(super) fn spill(self) -> usize {
        match self {
            Self::Messages => 1 << 18,
            _ => 1 << 16,
        }
    }
}
