//! What a caller asks to hear about, and what the kernel said.

use std::{
    fmt,
    ops::{BitAnd, BitOr, BitOrAssign, Sub},
};

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

    /// Both together, as `|` has it, where constants are made.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is left without `other`, if anything is.
    #[must_use]
    pub const fn remove(self, other: Self) -> Option<Self> {
        match self.0 & !other.0 {
            0 => None,
            rest => Some(Self(rest)),
        }
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
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
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
/// use std::net::{TcpListener, TcpStream};
///
/// let notifier = Notifier::new()?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let (one, _other) = (TcpStream::connect(listener.local_addr()?)?, listener.accept()?.0);
/// let handle = Handle::new_on(&notifier, one)?;
/// let ready = notifier.block_on(handle.ready(Interest::READABLE | Interest::WRITABLE))?;
/// assert!(ready.is_writable() && !ready.is_readable());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ready(u64);

impl Ready {
    /// Nothing.
    pub const EMPTY: Self = Self(0);
    /// A read will probably not block.
    pub const READABLE: Self = Self(source::READABLE);
    /// A write will probably not block.
    pub const WRITABLE: Self = Self(source::WRITABLE);
    /// The peer writes no more. [`is_readable`](Self::is_readable) then, too.
    pub const READ_CLOSED: Self = Self(source::READ_CLOSED);
    /// Nothing can be written any more. [`is_writable`](Self::is_writable) then, too.
    pub const WRITE_CLOSED: Self = Self(source::WRITE_CLOSED);
    /// A priority condition was reported.
    pub const PRIORITY: Self = Self(source::PRIORITY);
    /// An error was reported.
    pub const ERROR: Self = Self(source::ERROR);
    /// All of these.
    pub const ALL: Self = Self(source::READ_BITS | source::WRITE_BITS | source::PRIORITY | source::ERROR);

    /// What is no caller's business is left out.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether it is nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
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

impl BitOr for Ready {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// What is in both.
impl BitAnd for Ready {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What is left without the other.
impl Sub for Ready {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn interests_add_and_remove() {
        let mut both = Interest::READABLE;
        both |= Interest::WRITABLE;
        assert_eq!(both, Interest::READABLE.add(Interest::WRITABLE));
        assert_eq!(both.remove(Interest::READABLE), Some(Interest::WRITABLE));
        assert_eq!(both.remove(Interest::PRIORITY), Some(both));
        assert_eq!(both.remove(both), None);
    }

    #[test]
    fn readiness_is_a_set_of_what_callers_may_know() {
        let ready = Ready::from_bits(source::READABLE | source::WRITE_CLOSED | source::TRY_READ | 1 << 40);
        assert_eq!(ready, Ready::READABLE | Ready::WRITE_CLOSED);
        assert!(
            ready.contains(Ready::READABLE) && ready.contains(Ready::EMPTY) && !ready.contains(Ready::ALL)
        );
        assert!(ready.is_readable() && ready.is_writable() && !ready.contains(Ready::WRITABLE));
        assert_eq!(ready & Ready::READABLE, Ready::READABLE);
        assert_eq!(ready - Ready::READABLE, Ready::WRITE_CLOSED);
        assert!((ready - Ready::ALL).is_empty() && !ready.is_empty());
        let mut all = Ready::EMPTY;
        for each in [
            Ready::READABLE,
            Ready::WRITABLE,
            Ready::READ_CLOSED,
            Ready::WRITE_CLOSED,
            Ready::PRIORITY,
            Ready::ERROR,
        ] {
            assert!(!all.contains(each));
            all |= each;
        }
        assert_eq!(all, Ready::ALL);
    }
}
