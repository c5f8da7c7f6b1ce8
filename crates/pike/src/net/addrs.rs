//! What may be given where an address is wanted.
//!
//! A trait as std and tokio have it, for the same types. Its one job is to turn what it is given into a [`Request`],
//! which borrows nothing: so an `async fn` that takes `&str` becomes a future that may be sent and outlive the text.
//! Numbers are understood here. Only a name is left to [`resolve`](super::resolve).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use sealed::{Internal, Sealed};

/// What one or more [`SocketAddr`] can be made of: addresses, or a host's name and a port.
///
/// As in tokio, for: [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`]; a pair of a port with an [`IpAddr`], an
/// [`Ipv4Addr`], an [`Ipv6Addr`], a `&str` or a [`String`]; `&[SocketAddr]`; the text `"host:port"` as `str` or
/// [`String`]; and references to these. The trait cannot be implemented elsewhere. [`lookup_host`](super::lookup_host)
/// gives the addresses themselves.
///
/// A host in text may be a name or a number. A number is taken as it is. A name is looked up by the system's resolver
/// on a helper thread, of which there are at most four; it sees what the system is set up to see, `/etc/hosts` and DNS
/// for example. An IPv6 number stands in brackets in the text (`"[::1]:80"`) and without them in a pair
/// (`("::1", 80)`).
///
/// A `Vec` or an array of addresses is given as a slice: `&addresses[..]`.
///
/// # Errors
///
/// What takes such an argument fails with [`io::ErrorKind::InvalidInput`] if the text is not `host:port`, if the port
/// is not a number below 65,536, and if the host is empty, contains a NUL byte or is longer than a name can be (253
/// bytes). A failed look-up gives the error of [`std::net::ToSocketAddrs`], the resolver's text in it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no socket address and cannot be looked up",
    note = "a `Vec` or an array of addresses is given as a slice: `&addresses[..]`"
)]
pub trait ToSocketAddrs: Sealed {}

/// The longest name that DNS can carry, as text and without the dot of the root (RFC 1035, section 2.3.4: 255 octets on
/// the wire).
const HOST_LEN_MAX: usize = 253;

/// What was asked for, owned.
#[derive(Debug)]
#[doc(hidden)]
pub enum Request {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
    Name(Box<str>, u16),
    Invalid(io::Error),
}

impl Request {
    /// Of `"host:port"`, as std reads it: the last colon counts.
    fn text(text: &str) -> Self {
        if let Ok(addr) = text.parse() {
            return Self::One(addr);
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Self::invalid("invalid socket address");
        };
        match port.parse() {
            Ok(port) => Self::pair(host, port),
            Err(_) => Self::invalid("invalid port value"),
        }
    }

    fn pair(host: &str, port: u16) -> Self {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Self::One((ip, port).into());
        }
        match host {
            "" => Self::invalid("the host name is empty"),
            _ if host.contains('\0') => Self::invalid("the host name contains a NUL byte"),
            _ if host.strip_suffix('.').unwrap_or(host).len() > HOST_LEN_MAX => {
                Self::invalid("the host name is longer than 253 bytes")
            }
            _ => Self::Name(host.into(), port),
        }
    }

    #[cold]
    fn invalid(why: &'static str) -> Self {
        Self::Invalid(io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

mod sealed {
    use super::Request;

    #[doc(hidden)]
    pub trait Sealed {
        /// Called before a future is made, since it may borrow.
        fn to_request(&self, _: Internal) -> Request;
    }

    /// Nobody else can name it, so nobody else calls the method.
    #[derive(Debug)]
    pub struct Internal;
}

/// The request of what somebody gave us.
pub(super) fn request(addrs: &(impl ToSocketAddrs + ?Sized)) -> Request {
    addrs.to_request(Internal)
}

macro_rules! to_socket_addrs {
    ($($type:ty: |$addrs:ident| $request:expr;)*) => {
        $(
            impl ToSocketAddrs for $type {}
            impl Sealed for $type {
                #[inline]
                fn to_request(&self, _: Internal) -> Request {
                    let $addrs = self;
                    $request
                }
            }
        )*
    };
}

to_socket_addrs! {
    SocketAddr: |addr| Request::One(*addr);
    SocketAddrV4: |addr| Request::One((*addr).into());
    SocketAddrV6: |addr| Request::One((*addr).into());
    (IpAddr, u16): |addr| Request::One((*addr).into());
    (Ipv4Addr, u16): |addr| Request::One((*addr).into());
    (Ipv6Addr, u16): |addr| Request::One((*addr).into());
    (&str, u16): |pair| Request::pair(pair.0, pair.1);
    (String, u16): |pair| Request::pair(&pair.0, pair.1);
    str: |text| Request::text(text);
    String: |text| Request::text(text);
    &[SocketAddr]: |addrs| match addrs {
        [one] => Request::One(*one),
        many => Request::Many(many.to_vec()),
    };
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}
impl<T: ToSocketAddrs + ?Sized> Sealed for &T {
    #[inline]
    fn to_request(&self, _: Internal) -> Request {
        request(*self)
    }
}

#[cfg(test)]
// References are taken too, and tested.
#[allow(clippy::needless_borrows_for_generic_args)]
mod tests {
    use super::*;

    fn one(addrs: impl ToSocketAddrs) -> String {
        match request(&addrs) {
            Request::One(addr) => addr.to_string(),
            other => panic!("{other:?}"),
        }
    }

    fn name(addrs: impl ToSocketAddrs) -> (String, u16) {
        match request(&addrs) {
            Request::Name(host, port) => (host.into(), port),
            other => panic!("{other:?}"),
        }
    }

    fn refused(addrs: impl ToSocketAddrs) -> String {
        match request(&addrs) {
            Request::Invalid(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                error.to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The types that tokio takes, references to them, and references to those.
    #[test]
    fn numbers_need_no_resolver() {
        let (v4, v6) = (Ipv4Addr::new(10, 0, 0, 1), Ipv6Addr::LOCALHOST);
        let scoped = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 7, 0, 3);
        assert_eq!(one(SocketAddr::from((v4, 7))), "10.0.0.1:7");
        assert_eq!(one(&&SocketAddr::from((v6, 7))), "[::1]:7");
        assert_eq!(one(SocketAddrV4::new(v4, 7)), "10.0.0.1:7");
        assert_eq!(one(scoped), "[fe80::1%3]:7");
        assert_eq!(one((IpAddr::V4(v4), 7)), "10.0.0.1:7");
        assert_eq!(one((v4, 7)), "10.0.0.1:7");
        assert_eq!(one((v6, 7)), "[::1]:7");
        assert_eq!(one(("10.0.0.1", 7)), "10.0.0.1:7");
        assert_eq!(one(("::1", 7)), "[::1]:7");
        assert_eq!(one(&(String::from("::ffff:1.2.3.4"), 7)), "[::ffff:1.2.3.4]:7");
        assert_eq!(one("10.0.0.1:7"), "10.0.0.1:7");
        assert_eq!(one("[fe80::1%3]:7"), "[fe80::1%3]:7");
        assert_eq!(one("::1:7"), "[::1]:7"); // as std has it
        assert_eq!(one(String::from("0.0.0.0:0")), "0.0.0.0:0");
        assert_eq!(one(&String::from("[::]:65535")), "[::]:65535");
    }

    #[test]
    fn the_flow_of_an_ipv6_address_is_kept() {
        let addr = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 7, 5, 0);
        assert!(matches!(request(&addr), Request::One(SocketAddr::V6(found)) if found.flowinfo() == 5));
    }

    #[test]
    fn slices() {
        let addrs = [7, 8].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        assert!(matches!(request(&&addrs[..]), Request::Many(found) if found == addrs));
        assert!(matches!(request(&&&addrs[..]), Request::Many(found) if found == addrs));
        assert!(matches!(request(&&addrs[..0]), Request::Many(found) if found.is_empty()));
        assert_eq!(one(&addrs[1..]), "127.0.0.1:8");
    }

    #[test]
    fn names() {
        assert_eq!(name("localhost:7000"), ("localhost".into(), 7000));
        assert_eq!(name(("example.org.", 80)), ("example.org.".into(), 80));
        assert_eq!(name(&(String::from("example.org"), 0)), ("example.org".into(), 0));
        assert_eq!(name(&String::from("a:b:1")), ("a:b".into(), 1)); // the resolver's to refuse
        // The old forms of a number, and zones by name, are the system's.
        assert_eq!(name("127.1:80"), ("127.1".into(), 80));
        assert_eq!(name(("fe80::1%eth0", 80)), ("fe80::1%eth0".into(), 80));
    }

    #[test]
    fn bad_text() {
        for text in ["", "localhost", "127.0.0.1", "[::1]"] {
            // The last has a colon, and "1]" behind it.
            let expected = if text.contains(':') { "invalid port value" } else { "invalid socket address" };
            assert_eq!(refused(text), expected, "{text}");
        }
        for text in
            ["localhost:", "localhost:http", "localhost:65536", "127.0.0.1:-1", "[::1]:x", "a:1 ", "::"]
        {
            assert_eq!(refused(text), "invalid port value", "{text}");
        }
    }

    #[test]
    fn bad_hosts() {
        assert_eq!(refused(":80"), "the host name is empty");
        assert_eq!(refused(("", 80)), "the host name is empty");
        assert_eq!(refused("local\0host:80"), "the host name contains a NUL byte");
        assert_eq!(refused((String::from("127.0.0.1\0"), 80)), "the host name contains a NUL byte");
        let longest = format!("{}abc", "a.".repeat(125));
        assert_eq!(longest.len(), HOST_LEN_MAX);
        name((&*longest, 80));
        name((format!("{longest}."), 80));
        for long in [format!("{longest}d"), format!("{longest}d."), "x".repeat(1 << 20)] {
            assert_eq!(refused((&*long, 80)), "the host name is longer than 253 bytes");
            assert_eq!(refused(format!("{long}:80")), "the host name is longer than 253 bytes");
        }
    }

    /// std is the model: where both refuse the text, with the same words.
    #[test]
    fn errors_of_text_are_those_of_std() {
        for text in ["", "localhost", "[::1]", "localhost:", "localhost:65536", "127.0.0.1:-1", "::"] {
            let error = std::net::ToSocketAddrs::to_socket_addrs(text).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string()),
                (io::ErrorKind::InvalidInput, refused(text)),
                "{text}"
            );
        }
    }
}
