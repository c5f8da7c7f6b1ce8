//! What a caller asks to hear about, and what the kernel said.

use std::{fmt, ops::BitOr};

use crate::source;

/// What to wait for; combine with `|`.
///
/// # Examples
///
/// ```
/// use pike::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable() && !both.is_priority());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Something can be read, or reading has ended.
    pub const READABLE: Self = Self(1);
    /// Something can be written, or writing has ended.
    pub const WRITABLE: Self = Self(2);
    /// Out-of-band data, or what else the system calls a priority condition.
    pub const PRIORITY: Self = Self(4);

    /// Whether it includes [`READABLE`](Self::READABLE).
    pub const fn is_readable(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether it includes [`WRITABLE`](Self::WRITABLE).
    pub const fn is_writable(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether it includes [`PRIORITY`](Self::PRIORITY).
    pub const fn is_priority(self) -> bool {
        self.0 & 4 != 0
    }

    /// The bits of a source that mean it, on the reading side and on the writing side.
    pub(crate) const fn bits(self) -> (u64, u64) {
        let mut read = 0;
        if self.is_readable() {
            read |= source::READ_BITS;
        }
        if self.is_priority() {
            read |= source::PRIORITY;
        }
        (read, if self.is_writable() { source::WRITE_BITS } else { 0 })
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
        ];
        let names: Vec<_> = names.into_iter().filter_map(|(is, name)| is.then_some(name)).collect();
        f.write_str(&names.join(" | "))
    }
}

/// What the kernel reported about a descriptor: hints, until a system call agrees.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use pike::{Handle, Interest, Notifier};
/// use std::os::unix::net::UnixStream;
///
/// let notifier = Notifier::new()?;
/// let (one, _other) = UnixStream::pair()?;
/// let handle = Handle::new_on(&notifier, one)?;
/// let ready = notifier.block_on(handle.ready(Interest::READABLE | Interest::WRITABLE))?;
/// assert!(ready.is_writable() && !ready.is_readable());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ready(u64);

impl Ready {
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// A read will probably not block.
    pub const fn is_readable(self) -> bool {
        self.0 & source::READ_BITS != 0
    }

    /// A write will probably not block.
    pub const fn is_writable(self) -> bool {
        self.0 & source::WRITE_BITS != 0
    }

    /// A priority condition was reported.
    pub const fn is_priority(self) -> bool {
        self.0 & source::PRIORITY != 0
    }

    /// The peer writes no more.
    pub const fn is_read_closed(self) -> bool {
        self.0 & source::READ_CLOSED != 0
    }

    /// Nothing can be written any more.
    pub const fn is_write_closed(self) -> bool {
        self.0 & source::WRITE_CLOSED != 0
    }

    /// An error was reported; a system call tells which.
    pub const fn is_error(self) -> bool {
        self.0 & source::ERROR != 0
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("readable", &self.is_readable())
            .field("writable", &self.is_writable())
            .field("priority", &self.is_priority())
            .field("read_closed", &self.is_read_closed())
            .field("write_closed", &self.is_write_closed())
            .field("error", &self.is_error())
            .finish()
    }
}
