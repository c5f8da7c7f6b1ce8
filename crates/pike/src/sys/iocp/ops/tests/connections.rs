//! Connections that a port accepts and makes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    os::windows::io::{FromRawSocket, OwnedSocket, RawSocket},
};

use windows_sys::Win32::Foundation::{GetHandleInformation, HANDLE_FLAG_INHERIT};

use super::*;
use crate::{
    socket::{Domain, Type},
    sys::platform::Envelope,
};

/// A port with one attached listener.
struct Listening {
    driver: Driver,
    wait: Wait,
    listener: TcpListener,
    accept: Shared,
}

fn listening(at: &str) -> Listening {
    let (driver, wait) = Driver::new().unwrap();
    let listener = TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    driver.attach(listener.as_raw_socket(), TOKEN).unwrap();
    let accept = block(Request::AcceptMany { descriptor: listener.as_raw_socket() });
    Listening { driver, wait, listener, accept }
}

impl Listening {
    fn start(&self) {
        assert!(self.driver.submit(&self.accept));
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// What a wait says of the accept.
    fn result(&mut self, timeout: Option<Duration>) -> Option<i32> {
        let done = told(&self.driver, &mut self.wait, timeout);
        assert!(done.iter().all(|(block, _)| *block == at(&self.accept)) && done.len() <= 1, "{done:?}");
        done.first().map(|(_, result)| *result)
    }

    fn connection(&mut self) -> TcpStream {
        connection(self.result(LONG).unwrap())
    }
}

fn connection(result: i32) -> TcpStream {
    assert!(result >= 0, "{}", io::Error::from_raw_os_error(-result));
    // SAFETY: accepted, and nobody else's.
    unsafe { OwnedSocket::from_raw_socket(result as u32 as RawSocket) }.into()
}

#[test]
fn an_accepted_connection_is_whole() {
    for anyone in ["127.0.0.1:0", "[::1]:0"] {
        let mut listening = listening(anyone);
        listening.start();
        assert_eq!(listening.result(SOON), None);
        for round in 0..3 {
            if round > 0 {
                listening.start(); // before the client, and then after it
            }
            let mut client = TcpStream::connect(listening.address()).unwrap();
            let mut accepted = listening.connection();
            assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
            assert_eq!(accepted.local_addr().unwrap(), listening.address());
            let error = accepted.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "it is non-blocking");
            let mut flags = u32::MAX;
            let handle = socket::handle(accepted.as_raw_socket());
            // SAFETY: an open handle, and a place for what it is.
            assert_ne!(unsafe { GetHandleInformation(handle, &mut flags) }, 0);
            assert_eq!(flags & HANDLE_FLAG_INHERIT, 0, "no child program has it");
            accepted.write_all(b"hi").unwrap();
            let mut got = [0; 2];
            client.read_exact(&mut got).unwrap();
            // What ends it is known only to a socket that knows whose it is.
            accepted.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(&got, b"hi");
            assert_eq!(client.read(&mut got).unwrap(), 0);
        }
        let _client = TcpStream::connect(listening.address()).unwrap();
        listening.start();
        drop(listening.connection()); // one that was there before
        assert_eq!(listening.result(SOON), None, "one a request");
    }
}

/// Whatever became of an accept, no handle is left.
#[test]
fn accepts_that_bring_nothing_leave_nothing() {
    let round = || {
        // Cancelled.
        let mut listening = listening("127.0.0.1:0");
        listening.start();
        listening.driver.cancel(&listening.accept);
        assert_eq!(listening.result(LONG), Some(-platform::CANCELLED));
        // A peer that has reset it: accepted and found to be gone, or passed over.
        let client = TcpStream::connect(listening.address()).unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        listening.start();
        let alive = TcpStream::connect(listening.address()).unwrap();
        loop {
            match listening.result(LONG).unwrap() {
                result @ 0.. if connection(result).peer_addr().ok() == alive.local_addr().ok() => break,
                0.. => {}
                code => assert_ne!(-code, platform::INVALID, "that would be for good"),
            }
            listening.start();
        }
        // A listener that is closed, before and after a connection has come.
        listening.start();
        let client = TcpStream::connect(listening.address()).unwrap();
        thread::sleep(Duration::from_millis(10));
        close(&mut listening);
        let result = listening.result(LONG).unwrap();
        if result >= 0 {
            drop(connection(result));
        }
        drop((alive, client));
        let mut listening = self::listening("127.0.0.1:0");
        listening.start();
        close(&mut listening);
        assert_eq!(listening.result(LONG), Some(-platform::CANCELLED));
        // A port that ends.
        let mut listening = self::listening("127.0.0.1:0");
        listening.start();
        let mut results = Vec::new();
        let limit = Duration::from_secs(10);
        let completed = |completion: Completion| results.push(completion.result);
        assert_eq!(listening.driver.shutdown(&mut listening.wait, limit, completed).unwrap(), 0);
        assert_eq!(results, [-platform::CANCELLED]);
    };
    round();
    // Other tests open and close handles meanwhile; what is left behind is left each time.
    let grown = [(); 6].map(|()| {
        let before = crate::sys::iocp::tests::handles();
        (0..20).for_each(|_| round());
        crate::sys::iocp::tests::handles().saturating_sub(before)
    });
    assert!(
        grown.iter().any(|grown| *grown < 15),
        "{grown:?} handles more, of 20 rounds with at least one of each kind"
    );
}

/// Closes the listener with its accept in flight; another socket may have its number then.
fn close(listening: &mut Listening) {
    assert!(listening.driver.cancel_now(&listening.accept));
    listening.driver.detach(TOKEN);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    drop(mem::replace(&mut listening.listener, other));
}

/// A port with one attached socket that is to connect.
struct Connecting {
    driver: Driver,
    wait: Wait,
    socket: platform::Owned,
    envelope: Box<Envelope>,
}

fn connecting(domain: Domain) -> Connecting {
    let (driver, wait) = Driver::new().unwrap();
    let socket = platform::socket(domain, Type::Stream, None).unwrap();
    driver.attach(socket.as_raw_socket(), TOKEN).unwrap();
    Connecting { driver, wait, socket, envelope: Box::new(Envelope::new()) }
}

impl Connecting {
    fn start(&mut self, to: SocketAddr) -> Shared {
        self.envelope.connect_to(to.into());
        let descriptor = self.socket.as_raw_socket();
        let block = block(Request::Connect { descriptor, envelope: &raw mut *self.envelope });
        assert!(self.driver.submit(&block));
        block
    }

    fn result(&mut self, block: &Shared) -> i32 {
        match told(&self.driver, &mut self.wait, LONG)[..] {
            [(told, result)] if told == at(block) => result,
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_that_was_made_is_whole() {
    for (domain, anyone, bound) in [
        (Domain::V4, "127.0.0.1:0", None),
        (Domain::V6, "[::1]:0", None),
        (Domain::V4, "127.0.0.1:0", Some("127.0.0.1:0")),
    ] {
        let listener = TcpListener::bind(anyone).unwrap();
        let mut connecting = connecting(domain);
        if let Some(address) = bound {
            let address: SocketAddr = address.parse().unwrap();
            platform::bind(&connecting.socket, address.into()).unwrap();
        }
        let block = connecting.start(listener.local_addr().unwrap());
        assert_eq!(connecting.result(&block), 0);
        let (mut peer, from) = listener.accept().unwrap();
        let mut stream = TcpStream::from(connecting.socket);
        assert_eq!(stream.local_addr().unwrap(), from);
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        stream.write_all(b"hi").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut got = Vec::new();
        peer.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"hi");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connecting = connecting(Domain::V4);
    let block = connecting.start((Ipv4Addr::UNSPECIFIED, listener.local_addr().unwrap().port()).into());
    assert_eq!(connecting.result(&block), 0, "the unspecified address means this machine");
}

#[test]
fn a_connect_that_fails_says_why() {
    // Bound, so that nobody else listens there, and not listening itself.
    let nobody = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    nobody.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let mut connecting = connecting(Domain::V4);
    let block = connecting.start(nobody.local_addr().unwrap().as_socket().unwrap());
    let error = io::Error::from_raw_os_error(-connecting.result(&block));
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    let mut connecting = self::connecting(Domain::V4);
    let block = connecting.start("[::1]:1".parse().unwrap());
    let error = io::Error::from_raw_os_error(-connecting.result(&block));
    assert_eq!(error.raw_os_error(), Some(windows_sys::Win32::Networking::WinSock::WSAEAFNOSUPPORT));
}

/// A listener whose queue is full, and what keeps it full. None where the system answers then.
fn full_listener() -> Option<(TcpListener, Vec<socket2::Socket>)> {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let mut clients = Vec::new();
    while clients.len() < 10 {
        let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        assert!(client.connect(&listener.local_addr().unwrap()).is_err(), "it takes a moment");
        thread::sleep(Duration::from_millis(20));
        clients.push(client);
        let last = clients.last().unwrap();
        if last.peer_addr().is_err() {
            return last.take_error().unwrap().is_none().then(|| (listener.into(), clients));
        }
    }
    None
}

/// A connect that nobody answers is given up: by a cancellation, and by a close.
#[test]
fn a_connect_that_hangs_ends_when_it_is_asked_to() {
    let Some((full, _clients)) = full_listener() else { return };
    for closes in [false, true] {
        let mut connecting = connecting(Domain::V4);
        let block = connecting.start(full.local_addr().unwrap());
        assert_eq!(told(&connecting.driver, &mut connecting.wait, SOON), []);
        if closes {
            assert!(connecting.driver.cancel_now(&block));
            connecting.driver.detach(TOKEN);
            let other = platform::socket(Domain::V4, Type::Stream, None).unwrap();
            drop(mem::replace(&mut connecting.socket, other));
        } else {
            connecting.driver.cancel(&block);
        }
        assert_eq!(connecting.result(&block), -platform::CANCELLED);
    }
}
