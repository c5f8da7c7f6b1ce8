//! From what was asked for to addresses.
//!
//! Addresses are there at the first poll. A name goes to std's resolver, which is the system's, on a helper thread:
//! nothing else knows all that the system is set up to ask. A look-up that hangs holds its helper until the system
//! gives it up (glibc: after 5 seconds and two tries a server, unless `resolv.conf` says otherwise). The caller has a
//! future, and may give it a deadline.

use std::{future::Future, io, net::SocketAddr, net::ToSocketAddrs as _, option, vec};

use super::addrs::{Request, ToSocketAddrs, request};
use crate::blocking;

/// Looks up a host, and gives its addresses in the order in which to try them.
///
/// Addresses and numbers are given back as they are, with no look-up; an empty slice gives none.
///
/// # Errors
///
/// Those of [`ToSocketAddrs`]. That of starting a thread, if there is none for a look-up.
/// [`Closed`](crate::Closed) in a child that was forked while it waited.
///
/// # Cancel safety
///
/// Dropping it loses nothing. A look-up that has begun ends unheard, on its thread.
///
/// # Platform
///
/// A resolver that hangs holds one of four threads until it gives up. Look-ups beyond these wait:
/// [`Deadline`](crate::time::Deadline) bounds the wait.
///
/// # Examples
///
/// ```
/// use std::{io, time::Duration};
/// use pike::{Notifier, net::lookup_host, time::Deadline};
///
/// fn main() -> io::Result<()> {
///     Notifier::new()?.block_on(async {
///         for addr in lookup_host("localhost:7000").timeout(Duration::from_secs(5)).await? {
///             assert!(addr.ip().is_loopback());
///         }
///         Ok(())
///     })
/// }
/// ```
pub fn lookup_host<T: ToSocketAddrs>(
    host: T,
) -> impl Future<Output = io::Result<impl Iterator<Item = SocketAddr> + Send>> + Send {
    lookup(request(&host))
}

/// As [`lookup_host`], for those who need an address: with none it fails.
pub(crate) fn resolve(addrs: impl ToSocketAddrs) -> impl Future<Output = io::Result<Addrs>> + Send {
    some(request(&addrs))
}

async fn some(request: Request) -> io::Result<Addrs> {
    let addrs = lookup(request).await?;
    if addrs.len() == 0 { Err(no_address()) } else { Ok(addrs) }
}

/// The error of an empty list.
#[cold]
pub(super) fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any address")
}

async fn lookup(request: Request) -> io::Result<Addrs> {
    lookup_by(request, |host, port| (host, port).to_socket_addrs()).await
}

/// With the system's resolver, or a test's.
async fn lookup_by(
    request: Request,
    resolver: impl FnOnce(&str, u16) -> io::Result<vec::IntoIter<SocketAddr>> + Send + 'static,
) -> io::Result<Addrs> {
    match request {
        Request::One(addr) => Ok(Addrs::One(Some(addr).into_iter())),
        Request::Many(addrs) => Ok(Addrs::Many(addrs.into_iter())),
        Request::Name(host, port) => {
            blocking::LOOK_UPS.run(move || resolver(&host, port)).await?.map(Addrs::Many)
        }
        Request::Invalid(error) => Err(error),
    }
}

/// What `attempt` makes of the first address that it does not fail with, or its last error.
pub(super) fn first_that<T>(
    mut addrs: Addrs,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let first = addrs.next().ok_or_else(no_address)?;
    addrs.fold(attempt(first), |made, addr| made.or_else(|_| attempt(addr)))
}

/// Addresses in the order in which to try them.
#[derive(Clone, Debug)]
pub(crate) enum Addrs {
    /// Without an allocation.
    One(option::IntoIter<SocketAddr>),
    Many(vec::IntoIter<SocketAddr>),
}

impl Iterator for Addrs {
    type Item = SocketAddr;

    #[inline]
    fn next(&mut self) -> Option<SocketAddr> {
        match self {
            Self::One(addr) => addr.next(),
            Self::Many(addrs) => addrs.next(),
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::One(addr) => addr.size_hint(),
            Self::Many(addrs) => addrs.size_hint(),
        }
    }
}

impl ExactSizeIterator for Addrs {}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, pin::pin, sync::mpsc, time::Duration};

    use futures_lite::future::{block_on, poll_once};

    use super::*;
    use crate::{
        Notifier,
        time::{Deadline, Elapsed},
    };

    fn looked_up(addrs: impl ToSocketAddrs) -> Vec<SocketAddr> {
        block_on(resolve(addrs)).unwrap().collect()
    }

    /// Goal: what TcpStream::connect does with its argument compiles: a future that is Send and kept nothing borrowed.
    #[test]
    fn futures_are_send_and_borrow_nothing() {
        fn sent<T: Send>(value: T) -> T {
            value
        }
        async fn connect<A: ToSocketAddrs>(addrs: A) -> io::Result<usize> {
            resolve(addrs).await.map(|addrs| addrs.len())
        }
        let host = String::from("127.0.0.1:80");
        assert_eq!(block_on(sent(connect(&host))).unwrap(), 1);
        assert_eq!(
            block_on(sent(async { lookup_host(&*host).await.map(|addrs| sent(addrs).count()) })).unwrap(),
            1
        );
        let outlives: std::pin::Pin<Box<dyn Future<Output = io::Result<Addrs>> + Send>> =
            Box::pin(some(request(&host)));
        drop(host);
        assert_eq!(block_on(outlives).unwrap().len(), 1);
    }

    #[test]
    fn what_needs_no_look_up_is_ready_at_once() {
        let addrs = [7, 8, 9].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let ready = block_on(poll_once(pin!(resolve(&addrs[..])))).expect("no wait").unwrap();
        assert_eq!(ready.size_hint(), (3, Some(3)));
        assert!(ready.eq(addrs));
        let ready = block_on(poll_once(pin!(resolve(("127.0.0.1", 7))))).expect("no wait").unwrap();
        assert_eq!(ready.size_hint(), (1, Some(1)));
        assert!(ready.eq([addrs[0]]));
        let refused = block_on(poll_once(pin!(resolve("nowhere")))).expect("no wait").unwrap_err();
        assert_eq!(refused.to_string(), "invalid socket address");
    }

    /// `localhost` is the one name that every machine knows.
    #[test]
    fn a_name_is_looked_up() {
        for found in [
            looked_up("localhost:7000"),
            looked_up(("localhost", 7000)),
            looked_up((String::from("localhost"), 7000)),
            Notifier::new().unwrap().block_on(lookup_host("localhost:7000")).unwrap().collect(),
        ] {
            assert!(!found.is_empty());
            assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7000), "{found:?}");
        }
    }

    /// A name that the resolver refuses without asking anyone. Its error is std's, word for word.
    #[test]
    fn a_failed_look_up_keeps_the_error_of_std() {
        for host in ["a b", "a..b", &"x".repeat(64)] {
            let expected = (host, 1).to_socket_addrs().unwrap_err();
            let limit = Duration::from_secs(20);
            let found = block_on(resolve((host, 1)).timeout(limit)).unwrap_err();
            assert_eq!(found.to_string(), expected.to_string());
            assert_eq!(found.kind(), expected.kind());
            assert_eq!(found.raw_os_error(), expected.raw_os_error());
        }
    }

    /// Goal: a resolver that hangs past the caller's deadline holds up neither the caller nor other look-ups, and what it
    /// says afterwards is dropped.
    #[test]
    fn a_resolver_that_hangs() {
        let (release, hangs) = mpsc::channel::<()>();
        let (said, heard) = mpsc::channel();
        let hung = lookup_by(request(&"host:1"), move |_, port| {
            hangs.recv().unwrap_err(); // until it is released
            said.send(()).unwrap();
            Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))].into_iter())
        });
        let late = block_on(hung.timeout(Duration::from_millis(20))).unwrap_err();
        assert!(Elapsed::is(&late));
        assert!(!looked_up("localhost:7000").is_empty());
        assert!(heard.try_recv().is_err());
        drop(release);
        heard.recv_timeout(Duration::from_secs(20)).expect("the helper ends its work");
    }

    #[test]
    fn no_address() {
        let error = block_on(resolve(&[][..])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "could not resolve to any address");
        // As in tokio, a look-up of nothing finds nothing.
        assert_eq!(block_on(lookup_host(&[][..])).unwrap().count(), 0);
    }
}
