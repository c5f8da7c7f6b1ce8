//! Which signals: a kind, and sets of kinds.

use std::fmt;

use crate::sys::platform;

/// A kind of signal: a number that the system has for it.
///
/// [`INTERRUPT`](Self::INTERRUPT) is on every system. The others are in `os`: `pike::os::unix::signal`,
/// `pike::os::windows::signal`.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)] {
/// use pike::{os::unix::signal::HANGUP, signal::SignalKind};
///
/// assert_eq!(SignalKind::INTERRUPT.to_string(), "SIGINT");
/// assert_eq!(SignalKind::from_raw(HANGUP.as_raw()), HANGUP);
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SignalKind(i32);

impl SignalKind {
    /// What ctrl-c sends: SIGINT; CTRL_C_EVENT on Windows.
    pub const INTERRUPT: Self = Self(platform::INTERRUPT);

    /// By number. Whether there is such a signal, and whether it can be listened to, [`Signal::new`](crate::Signal::new)
    /// finds out.
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match platform::signal_name(self.0) {
            Some((name, 0)) => f.write_str(name),
            Some((name, offset)) => write!(f, "{name}+{offset}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalKind({self})")
    }
}

/// Any number of kinds of signals.
///
/// Made of one kind, of an array of them, or by collecting.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)] {
/// use pike::{os::unix::signal::{HANGUP, TERMINATE}, signal::{SignalKind, SignalSet}};
///
/// let set = SignalSet::from([HANGUP, TERMINATE]).with(SignalKind::INTERRUPT);
/// assert!(set.contains(HANGUP));
/// assert_eq!(set.iter().count(), 3);
/// # }
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SignalSet {
    /// Bit n: the kind with number n.
    bits: u128,
    /// One whose number has no bit: no system has it, and who uses the set is told.
    odd: Option<SignalKind>,
}

impl SignalSet {
    /// How many numbers have a bit: more than any system has signals.
    pub(crate) const NUMBERS: usize = u128::BITS as usize;

    /// Without any.
    pub const fn new() -> Self {
        Self { bits: 0, odd: None }
    }

    /// With one more.
    #[must_use]
    pub const fn with(mut self, kind: SignalKind) -> Self {
        if 0 <= kind.0 && kind.0 < Self::NUMBERS as i32 {
            self.bits |= 1 << kind.0;
        } else {
            self.odd = Some(kind);
        }
        self
    }

    /// Whether this kind is in it.
    pub fn contains(&self, kind: SignalKind) -> bool {
        self.iter().any(|own| own == kind)
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::new()
    }

    /// Those in it, by number. Of several that no system can have, one.
    pub fn iter(&self) -> impl Iterator<Item = SignalKind> + use<> {
        let Self { bits, odd } = *self;
        (0..Self::NUMBERS as i32).filter(move |number| bits >> number & 1 == 1).map(SignalKind).chain(odd)
    }
}

impl From<SignalKind> for SignalSet {
    fn from(kind: SignalKind) -> Self {
        Self::new().with(kind)
    }
}

impl<const N: usize> From<[SignalKind; N]> for SignalSet {
    fn from(kinds: [SignalKind; N]) -> Self {
        kinds.into_iter().collect()
    }
}

impl From<&[SignalKind]> for SignalSet {
    fn from(kinds: &[SignalKind]) -> Self {
        kinds.iter().copied().collect()
    }
}

impl FromIterator<SignalKind> for SignalSet {
    fn from_iter<I: IntoIterator<Item = SignalKind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::new(), Self::with)
    }
}

impl Extend<SignalKind> for SignalSet {
    fn extend<I: IntoIterator<Item = SignalKind>>(&mut self, kinds: I) {
        *self = kinds.into_iter().fold(*self, Self::with);
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in() {
        let raw = |number| SignalKind::from_raw(number);
        assert!(SignalSet::new().is_empty());
        let set = SignalSet::from([raw(64), raw(1), raw(1)]);
        assert!(set.iter().eq([raw(1), raw(64)]));
        assert!(set.contains(raw(1)) && !set.contains(raw(2)));
        for odd in [-1, 128, i32::MAX, i32::MIN] {
            let set = set.with(raw(odd));
            assert!(set.contains(raw(odd)) && !set.is_empty());
            assert_eq!(set.iter().count(), 3);
        }
        assert!(SignalSet::from(raw(0)).contains(raw(0)));
        assert_eq!(SignalSet::from(&[raw(3)][..]), SignalSet::from(raw(3)));
    }

    #[cfg(unix)]
    #[test]
    fn names() {
        #[cfg(unix)]
        let known = [(libc::SIGTERM, "SIGTERM"), (libc::SIGCHLD, "SIGCHLD"), (libc::SIGINT, "SIGINT")];
        #[cfg(windows)]
        let known = [(0, "CTRL_C_EVENT"), (1, "CTRL_BREAK_EVENT"), (6, "CTRL_SHUTDOWN_EVENT")];
        for (number, name) in known {
            assert_eq!(SignalKind::from_raw(number).to_string(), name);
        }
        assert_eq!(SignalKind::from_raw(127).to_string(), "signal 127");
        assert_eq!(format!("{:?}", SignalKind::INTERRUPT), format!("SignalKind({})", SignalKind::INTERRUPT));
    }
}
