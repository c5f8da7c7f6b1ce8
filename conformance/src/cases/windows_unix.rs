//! Unix sockets on Windows: streams at a path, where the system has them (Windows 10 1803; Wine has none).

use std::{
    io::ErrorKind,
    net::Shutdown,
    path::{Path, PathBuf},
};

use pike::{
    Notifier,
    net::{UnixListener, UnixStream},
    socket::{Domain, Socket, Type, UnixAddress},
};

use windows_sys::Win32::Networking::WinSock::WSAEAFNOSUPPORT;

use crate::{
    Cx, Outcome, Skip,
    net::{assert_kind, soon},
};

/// A place for a socket, which is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pike-{name}-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A listener, unless the system has no Unix sockets, which it says with its own code.
fn listen(notifier: &Notifier, path: &Path) -> Result<UnixListener, Skip> {
    let _here = notifier.enter();
    match UnixListener::bind(path) {
        Ok(listener) => Ok(listener),
        Err(error) => {
            assert_eq!(error.raw_os_error(), Some(WSAEAFNOSUPPORT), "{error:?}");
            Err(Skip::because("this system has no Unix sockets"))
        }
    }
}

/// A connection by path, both ways and to its end, with the addresses of both sides; a second one that is dropped.
pub fn windows_unix_streams(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let place = Place::new("streams");
    let listener = listen(&notifier, &place.0)?;
    assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*place.0));
    let _here = notifier.enter();
    let client = soon(&notifier, "a connect", UnixStream::connect(&place.0)).unwrap();
    let (server, peer) = soon(&notifier, "an accept", listener.accept()).unwrap();
    assert!(peer.is_unnamed());
    assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*place.0));
    let mut buf = [0; 16];
    for (from, to, words) in [(&client, &server, "there"), (&server, &client, "and back")] {
        soon(&notifier, "a write", from.write_all(words.as_bytes())).unwrap();
        let count = soon(&notifier, "a read", to.read(&mut buf)).unwrap();
        assert_eq!(&buf[..count], words.as_bytes());
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(soon(&notifier, "the end", server.read(&mut buf)).unwrap(), 0);

    let second = soon(&notifier, "a second", UnixStream::connect(&place.0)).unwrap();
    let (server, _) = soon(&notifier, "an accept", listener.accept()).unwrap();
    drop(second);
    assert!(matches!(soon(&notifier, "the end", server.read(&mut buf)), Ok(0) | Err(_)));
    Ok(())
}

/// What Windows has not is refused with a code, or in words: datagrams, pairs, abstract names, paths that are taken or
/// impossible.
pub fn windows_unix_refusals(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    assert!(
        Socket::pair_on(&notifier, Domain::Unix, Type::Stream, None).unwrap_err().raw_os_error().is_some()
    );
    assert!(
        Socket::new_on(&notifier, Domain::Unix, Type::Datagram, None).unwrap_err().raw_os_error().is_some()
    );
    assert_eq!(UnixAddress::from_abstract_name("name").unwrap_err().kind(), ErrorKind::Unsupported);
    for path in ["", "a\0b", &"x".repeat(108)] {
        assert_eq!(UnixAddress::from_pathname(path).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let place = Place::new("refusals");
    let listener = listen(&notifier, &place.0)?;
    let _here = notifier.enter();
    assert_kind(&UnixListener::bind(&place.0).unwrap_err(), &[ErrorKind::AddrInUse]);
    drop(listener);
    let nobody = soon(&notifier, "a connect", UnixStream::connect(&place.0)).unwrap_err();
    assert_kind(&nobody, &[ErrorKind::ConnectionRefused]);
    Ok(())
}
