//! The address of a Unix socket.

use std::{
    fmt,
    hash::{Hash, Hasher},
    io,
    path::Path,
};

use crate::sys::platform;

/// The address of a Unix socket: a path, a name in Linux's abstract namespace, or none.
///
/// It holds its bytes inside: making, receiving and copying one allocates nothing. What the system gives is kept to the
/// byte, so an address that was received can be sent to.
///
/// # Platform
///
/// - Linux: a path has at most 107 bytes, an abstract name too.
/// - macOS, BSD: a path has at most 103 bytes; there are no abstract names.
///
/// # Source
///
/// unix(7)
///
/// # Examples
///
/// ```
/// use pike::socket::UnixAddress;
/// use std::path::Path;
///
/// # fn main() -> std::io::Result<()> {
/// let address = UnixAddress::from_pathname("/run/echo.sock")?;
/// assert_eq!(address.as_pathname(), Some(Path::new("/run/echo.sock")));
/// assert!(UnixAddress::UNNAMED.is_unnamed());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct UnixAddress {
    /// How much of `name` is meant.
    len: u8,
    /// A path without its NUL, or an abstract name behind a NUL.
    name: [u8; platform::UNIX_NAME_LEN],
}

/// With the NUL before an abstract name or behind a path.
const LEN_MAX: usize = platform::UNIX_NAME_LEN - 1;

impl UnixAddress {
    /// Of a socket that has none: one that was not bound, and either of a pair.
    ///
    /// Binding to it gives a name that the system makes up (Linux: five digits in the abstract namespace).
    pub const UNNAMED: Self = Self { len: 0, name: [0; platform::UNIX_NAME_LEN] };

    /// The address at a path.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is empty, too long, or contains a NUL byte: an abstract name is made by
    /// [`from_abstract_name`](Self::from_abstract_name).
    pub fn from_pathname(path: impl AsRef<Path>) -> io::Result<Self> {
        let bytes = platform::bytes_of_path(path.as_ref())?;
        match bytes.len() {
            0 => Err(invalid("the path of a Unix socket is empty")),
            _ if bytes.contains(&0) => Err(invalid("the path of a Unix socket contains a NUL byte")),
            len if len > LEN_MAX => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the path of a Unix socket has {len} bytes, and may have {LEN_MAX}"),
            )),
            _ => Ok(Self::from_bytes(bytes)),
        }
    }

    /// The address of a name in the abstract namespace: any bytes, none being a name as well. No file stands for it, and
    /// it is free again as soon as its socket is closed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if it is too long; [`io::ErrorKind::Unsupported`] where there is no such
    /// namespace.
    ///
    /// # Platform
    ///
    /// Linux and Android.
    pub fn from_abstract_name(name: impl AsRef<[u8]>) -> io::Result<Self> {
        let bytes = name.as_ref();
        if !platform::HAS_ABSTRACT_NAMES {
            let message = "this system has no abstract names of Unix sockets";
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        if bytes.len() > LEN_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "the abstract name of a Unix socket has {} bytes, and may have {LEN_MAX}",
                    bytes.len()
                ),
            ));
        }
        let mut address = Self::UNNAMED;
        address.name[1..=bytes.len()].copy_from_slice(bytes);
        address.len = bytes.len() as u8 + 1;
        Ok(address)
    }

    /// The address that a call means which takes a path: that at the path, or behind a leading NUL an abstract name,
    /// where there are such.
    pub(crate) fn meant_by(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        match platform::bytes_of_path(path)? {
            [0, name @ ..] if platform::HAS_ABSTRACT_NAMES => Self::from_abstract_name(name),
            _ => Self::from_pathname(path),
        }
    }

    /// Whether it is none.
    pub fn is_unnamed(&self) -> bool {
        self.len == 0
    }

    /// The path, if it is one.
    pub fn as_pathname(&self) -> Option<&Path> {
        match self.bytes() {
            [] | [0, ..] => None,
            path => Some(platform::path_of_bytes(path)),
        }
    }

    /// The abstract name, if it is one.
    pub fn as_abstract_name(&self) -> Option<&[u8]> {
        self.bytes().strip_prefix(&[0])
    }

    /// As the system has it, but for what it may put behind a path. At most [`platform::UNIX_NAME_LEN`] bytes count.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut address = Self::UNNAMED;
        let len = bytes.len().min(address.name.len());
        address.name[..len].copy_from_slice(&bytes[..len]);
        address.len = len as u8;
        address
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.name[..self.len.into()]
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl Default for UnixAddress {
    fn default() -> Self {
        Self::UNNAMED
    }
}

impl PartialEq for UnixAddress {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for UnixAddress {}

impl Hash for UnixAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl TryFrom<&Path> for UnixAddress {
    type Error = io::Error;

    /// As [`from_pathname`](Self::from_pathname).
    fn try_from(path: &Path) -> io::Result<Self> {
        Self::from_pathname(path)
    }
}

/// The path, or `@` and the abstract name as ss(8) and /proc/net/unix have it, or `(unnamed)`.
impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_pathname(), self.as_abstract_name()) {
            (Some(path), _) => path.display().fmt(f),
            (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
            (None, None) => f.write_str("(unnamed)"),
        }
    }
}

impl fmt::Debug for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.as_pathname(), self.as_abstract_name()) {
            (Some(path), _) => write!(f, "{path:?} (pathname)"),
            (None, Some(name)) => write!(f, "\"{}\" (abstract)", name.escape_ascii()),
            (None, None) => f.write_str("(unnamed)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: io::Result<UnixAddress>) -> String {
        let error = address.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        error.to_string()
    }

    #[test]
    fn a_path() {
        let address = UnixAddress::from_pathname("/a/b").unwrap();
        assert_eq!(address.as_pathname(), Some(Path::new("/a/b")));
        assert_eq!((address.as_abstract_name(), address.is_unnamed()), (None, false));
        assert_eq!(
            (address.to_string(), format!("{address:?}")),
            ("/a/b".into(), "\"/a/b\" (pathname)".into())
        );
    }

    #[test]
    fn an_abstract_name() {
        if !platform::HAS_ABSTRACT_NAMES {
            let refused = UnixAddress::from_abstract_name(b"a").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
            return;
        }
        let address = UnixAddress::from_abstract_name(b"a\0b\xff").unwrap();
        assert_eq!(address.as_abstract_name(), Some(&b"a\0b\xff"[..]));
        assert_eq!((address.as_pathname(), address.is_unnamed()), (None, false));
        assert_eq!(address.to_string(), "@a\\x00b\\xff");
        // Without a single byte it is a name all the same, and not none.
        let empty = UnixAddress::from_abstract_name([]).unwrap();
        assert_eq!((empty.as_abstract_name(), empty.is_unnamed()), (Some(&[][..]), false));
        assert_ne!(empty, UnixAddress::UNNAMED);
    }

    #[test]
    fn none() {
        let none = UnixAddress::default();
        assert_eq!((none.is_unnamed(), none.as_pathname(), none.as_abstract_name()), (true, None, None));
        assert_eq!((none.to_string(), format!("{none:?}")), ("(unnamed)".into(), "(unnamed)".into()));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_length() {
        let longest = "x".repeat(LEN_MAX);
        assert_eq!(UnixAddress::from_pathname(&longest).unwrap().bytes(), longest.as_bytes());
        let has_abstract_names = platform::HAS_ABSTRACT_NAMES;
        if has_abstract_names {
            assert_eq!(UnixAddress::from_abstract_name(&longest).unwrap().bytes().len(), LEN_MAX + 1);
        }
        for len in [LEN_MAX + 1, LEN_MAX + 2, 256, 65_536 + 1] {
            let long = "x".repeat(len);
            let says = format!("has {len} bytes, and may have {LEN_MAX}");
            assert!(refused(UnixAddress::from_pathname(&long)).ends_with(&says));
            assert!(!has_abstract_names || refused(UnixAddress::from_abstract_name(&long)).ends_with(&says));
        }
    }

    #[test]
    fn bad_paths() {
        assert_eq!(refused(UnixAddress::from_pathname("")), "the path of a Unix socket is empty");
        for path in ["\0", "\0abstract", "/a\0b", "/a\0"] {
            let says = "the path of a Unix socket contains a NUL byte";
            assert_eq!(refused(UnixAddress::from_pathname(path)), says, "{path:?}");
        }
    }

    /// Other than here, where what is no path is refused.
    #[test]
    fn a_call_that_takes_a_path_takes_an_abstract_name() {
        assert_eq!(UnixAddress::meant_by("/a/b").unwrap(), UnixAddress::from_pathname("/a/b").unwrap());
        assert_eq!(refused(UnixAddress::meant_by("")), "the path of a Unix socket is empty");
        assert_eq!(refused(UnixAddress::meant_by("/a\0b")), "the path of a Unix socket contains a NUL byte");
        for name in ["", "a", "a\0b"] {
            let meant = UnixAddress::meant_by(format!("\0{name}"));
            if platform::HAS_ABSTRACT_NAMES {
                assert_eq!(meant.unwrap().as_abstract_name(), Some(name.as_bytes()));
            } else {
                assert_eq!(refused(meant), "the path of a Unix socket contains a NUL byte");
            }
        }
    }

    /// What lies behind the end does not count.
    #[test]
    fn equal_by_name() {
        let (a, b) = (UnixAddress::from_bytes(b"/a"), UnixAddress::from_bytes(b"/ab"));
        let cut = UnixAddress { len: 2, ..b };
        assert_eq!(a, cut);
        assert_ne!(a, b);
        let hash = |address: UnixAddress| {
            let mut hasher = std::collections::hash_map::DefaultHasher::new();
            address.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(a), hash(cut));
    }
}
