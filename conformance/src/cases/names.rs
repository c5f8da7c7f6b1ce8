//! Names, and hosts with several addresses.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use pike::net::{TcpStream, lookup_host};

use crate::{
    Boxed, Cx, Outcome, SHORT, Task, join_all,
    net::{self, assert_kind, full_listener, nobody, soon, v4, v6},
    skip, system,
};

/// Longer than any case may take.
const NEVER: Duration = Duration::from_secs(3600);

/// One name is looked up by many tasks at once, more than there are helper threads: each gets its addresses and its own
/// port, in the order of the system.
pub fn names_are_looked_up_at_once(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let look_ups = (1..=32_u16).map(|port| {
        Box::pin(async move {
            let found: Vec<SocketAddr> = lookup_host(("localhost", port)).await.unwrap().collect();
            assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == port), "{found:?}");
            found.into_iter().map(|addr| addr.ip()).collect()
        }) as Boxed<'_, Vec<IpAddr>>
    });
    let found = soon(&notifier, "32 look-ups", join_all(look_ups));
    assert_eq!(found.len(), 32);
    assert!(!found[0].is_empty());
    assert!(found.iter().all(|addrs| *addrs == found[0]), "not the same order: {found:?}");
    Ok(())
}

/// Names that no resolver takes fail, with a text, and leave nothing; one that was dropped does too.
pub fn names_that_fail(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    // A look-up may open descriptors for good.
    let _ = soon(&notifier, "a look-up", TcpStream::connect("a..b:1")).map(drop);
    let before = system::descriptors();
    for name in ["a..b:1", "a b:1", &format!("{}:1", "x".repeat(64))] {
        let error = soon(&notifier, name, TcpStream::connect(name)).unwrap_err();
        assert!(!error.to_string().is_empty());
        assert!(!matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{name}: {error}");
        let error = soon(&notifier, name, TcpStream::connect_staggered(name, SHORT)).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    for bad in ["", ":1", "no port", "a:port", "a:65536", "a\0b:1", &format!("{}:1", "x.".repeat(128))] {
        let error = soon(&notifier, bad, TcpStream::connect(bad)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}: {error}");
    }
    let _here = notifier.enter();
    let _ = Task::new(TcpStream::connect("localhost:1")).poll();
    cx.until("descriptors of a dropped look-up are closed", || system::descriptors() <= before);
    Ok(())
}

/// A host whose first address does not answer costs `delay`, not the system's timeout; who lost is closed.
pub fn staggered_passes_a_silent_address(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let Some(silent) = full_listener(cx, &notifier) else {
        skip!("this system answers connects to a listener with a full queue");
    };
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    let before = system::descriptors();
    let start = Instant::now();
    let addresses = [silent.address, silent.address, here];
    let stream = soon(&notifier, "a connect", TcpStream::connect_staggered(&addresses[..], SHORT)).unwrap();
    assert!(start.elapsed() >= 2 * SHORT, "the third address was tried after {:?}", start.elapsed());
    assert_eq!(stream.peer_addr().unwrap(), here);
    assert_eq!(system::descriptors(), before + 1, "the losers are open");

    // Dropped, it closes what was under way.
    drop(stream);
    let _here = notifier.enter();
    let connecting = Task::pending(TcpStream::connect_staggered(&addresses[..2], NEVER));
    assert_eq!(system::descriptors(), before + 1);
    drop(connecting);
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// After a refusal the next address is tried at once; when all have failed the last error counts.
pub fn staggered_goes_on_after_a_failure(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (_socket, refuses) = nobody(&notifier, v4());
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    let before = system::descriptors();
    let connect = |addresses: &[SocketAddr]| {
        soon(&notifier, "a connect", TcpStream::connect_staggered(addresses, NEVER))
    };
    assert_eq!(connect(&[refuses, refuses, here, refuses]).unwrap().peer_addr().unwrap(), here);
    assert_eq!(connect(&[here]).unwrap().peer_addr().unwrap(), here);
    let addresses = [refuses, here];
    let for_ever = TcpStream::connect_staggered(&addresses[..], Duration::MAX);
    assert_eq!(soon(&notifier, "a connect", for_ever).unwrap().peer_addr().unwrap(), here);
    let many = SocketAddr::from(([224, 0, 0, 1], 9));
    assert_kind(&connect(&[many, refuses]).unwrap_err(), &[ErrorKind::ConnectionRefused]);
    assert_kind(&connect(&[refuses]).unwrap_err(), &[ErrorKind::ConnectionRefused]);
    assert_eq!(connect(&[]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(system::descriptors(), before, "descriptors");

    // Both families, the one that nobody serves first.
    if cx.needs_v6().is_ok() {
        let (_socket, refuses) = nobody(&notifier, v6());
        assert_eq!(connect(&[refuses, here]).unwrap().peer_addr().unwrap(), here);
    }
    Ok(())
}
