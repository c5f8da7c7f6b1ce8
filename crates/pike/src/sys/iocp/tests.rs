//! The backend alone, with sockets of the standard library.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::windows::io::AsRawSocket,
    thread,
};

use windows_sys::Win32::{
    Foundation::{ERROR_ALREADY_EXISTS, GetHandleInformation},
    Networking::WinSock::{INVALID_SOCKET, SOCK_STREAM, WSAENOTSOCK, WSASocketW, closesocket},
};

use super::*;
use crate::source::{PRIORITY, READ_CLOSED, WRITABLE, WRITE_UNARMED};

pub(super) const SOON: Option<Duration> = Some(Duration::from_millis(50));
pub(super) const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// Both halves, and what a source would be told.
pub(super) struct Both(pub(super) Driver, pub(super) Wait);

impl Both {
    pub(super) fn new() -> Self {
        let (driver, wait) = Driver::new().unwrap();
        Self(driver, wait)
    }

    pub(super) fn attach(&self, socket: &impl AsRawSocket, slot: u32) -> Token {
        let token = Token::new(slot, 7);
        self.0.attach(socket.as_raw_socket(), token).unwrap();
        token
    }

    /// What one wait reports.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Vec<(u32, u64)> {
        let mut told = Vec::new();
        let Self(driver, wait) = self;
        let report = |what| match what {
            Told::Ready(report) => told.push((report.token.slot(), report.bits)),
            Told::Completed(_) => unreachable!("no operation was submitted"),
        };
        let count = driver.wait(wait, timeout, report).unwrap();
        assert_eq!(count, told.len());
        told
    }

    pub(super) fn in_flight(&self) -> usize {
        self.0.table().arms.in_flight()
    }

    /// Until the packets of all that was cancelled are here: they end no wait.
    fn drain(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.in_flight() > 0 {
            assert!(Instant::now() < end, "{} packets never came", self.in_flight());
            assert_eq!(self.wait(SOON), []);
        }
    }
}

pub(super) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    [&client, &server].into_iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
    (client, server)
}

#[test]
fn a_stream_is_readable_once_something_came_and_at_its_end() {
    let (mut client, mut server) = pair();
    let mut both = Both::new();
    let token = both.attach(&server, 3);
    assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
    assert_eq!(both.wait(SOON), []);
    client.write_all(b"x").unwrap();
    assert_eq!(both.wait(LONG), [(3, READABLE | READ_UNARMED)]);
    assert_eq!(both.wait(SOON), [], "one request, one report");
    // What is there already is told too, at once or by the next wait.
    let told = both.0.arm(token, Direction::Read).unwrap();
    assert!(told == READABLE | READ_UNARMED || both.wait(LONG) == [(3, READABLE | READ_UNARMED)]);
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 1, "no byte was taken");
    assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
    drop(client);
    assert_eq!(both.wait(LONG), [(3, READABLE | READ_UNARMED | READ_CLOSED)]);
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(both.in_flight(), 0);
}

#[test]
fn a_datagram_and_a_connection_are_told_and_left_alone() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut both = Both::new();
    for (slot, socket) in [socket.as_raw_socket(), listener.as_raw_socket()].into_iter().enumerate() {
        let token = Token::new(slot as u32, 0);
        both.0.attach(socket, token).unwrap();
        assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
    }
    assert_eq!(both.wait(SOON), []);
    socket.send_to(b"datagram", socket.local_addr().unwrap()).unwrap();
    assert_eq!(both.wait(LONG), [(0, READABLE | READ_UNARMED)]);
    assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 8);
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(both.wait(LONG), [(1, READABLE | READ_UNARMED)]);
    assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    assert_eq!(both.in_flight(), 0);
}

#[test]
fn the_sides_are_told_apart() {
    let (mut client, server) = pair();
    let mut both = Both::new();
    let token = both.attach(&client, 1);
    assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
    assert_eq!(both.0.arm(token, Direction::Write).unwrap(), 0);
    assert_eq!(both.wait(LONG), [(1, WRITABLE | WRITE_UNARMED)]);
    // Until it takes no more; then it takes more once the peer has read.
    let bytes = vec![0; 1 << 20];
    let mut sent = 0;
    while let Ok(count) = client.write(&bytes) {
        sent += count;
    }
    assert_eq!(both.0.arm(token, Direction::Write).unwrap(), 0);
    let mut reader = server.try_clone().unwrap();
    reader.set_nonblocking(false).unwrap();
    let reads = thread::spawn(move || {
        let mut buf = vec![0; 1 << 20];
        while sent > 0 {
            sent -= reader.read(&mut buf).unwrap();
        }
    });
    assert_eq!(both.wait(LONG), [(1, WRITABLE | WRITE_UNARMED)]);
    reads.join().unwrap();
    assert_eq!(both.in_flight(), 1, "the receive stays");
}

#[test]
fn urgent_data_is_told_to_who_waits_for_it() {
    let (client, server) = pair();
    let mut both = Both::new();
    let token = both.attach(&server, 1);
    both.0.arm_priority(token).unwrap();
    both.0.arm_priority(token).unwrap();
    assert_eq!(both.in_flight(), 1);
    assert_eq!(both.wait(SOON), []);
    socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
    let told = both.wait(LONG);
    assert!(matches!(told[..], [(1, bits)] if bits & PRIORITY != 0), "{told:?}");
    assert_eq!(both.in_flight(), 0);
}

#[test]
fn notifications_end_one_wait_each_time_and_are_one() {
    let mut both = Both::new();
    (0..1000).for_each(|_| both.0.notify());
    assert_eq!(both.wait(None), []);
    let start = Instant::now();
    assert_eq!(both.wait(SOON), []);
    assert!(start.elapsed() >= SOON.unwrap(), "the others were the same one");
    thread::scope(|scope| {
        let Both(driver, wait) = &mut both;
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(20));
            driver.notify();
        });
        assert_eq!(driver.wait(wait, None, |_| {}).unwrap(), 0);
    });
}

#[test]
fn a_wait_is_never_early() {
    let mut both = Both::new();
    for micros in [1, 300, 1500, 2001, 19_999, 25_000, 45_500] {
        let timeout = Duration::from_micros(micros);
        let start = Instant::now();
        assert_eq!(both.wait(Some(timeout)), []);
        assert!(start.elapsed() >= timeout, "{timeout:?}: {:?}", start.elapsed());
    }
}

#[test]
fn a_thread_that_started_a_request_and_exited_does_not_cancel_it() {
    let (mut client, server) = pair();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut both = Both::new();
    let tokens = [both.attach(&server, 1), both.attach(&socket, 2)];
    let driver = &both.0;
    thread::scope(|scope| {
        scope.spawn(|| tokens.map(|token| assert_eq!(driver.arm(token, Direction::Read).unwrap(), 0)));
    });
    assert_eq!(both.wait(SOON), []);
    assert_eq!(both.in_flight(), 2);
    client.write_all(b"x").unwrap();
    assert_eq!(both.wait(LONG), [(1, READABLE | READ_UNARMED)]);
    socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
    assert_eq!(both.wait(LONG), [(2, READABLE | READ_UNARMED)]);
}

/// The Handle goes, and its socket, with requests in flight: their packets come, concern nobody, and give the memory back.
#[test]
fn a_packet_after_the_handle_is_gone_ends_no_wait() {
    let mut both = Both::new();
    for round in 0..3 {
        let (client, mut server) = pair();
        let token = both.attach(&client, 1);
        for direction in [Direction::Read, Direction::Write, Direction::Read] {
            if direction == Direction::Write {
                while client.try_clone().unwrap().write(&[0; 1 << 16]).is_ok() {}
            } else if both.in_flight() > 0 {
                continue;
            }
            assert_eq!(both.0.arm(token, direction).unwrap(), 0);
        }
        both.0.arm_priority(token).unwrap();
        assert_eq!(both.in_flight(), 3);
        both.0.detach(token);
        drop(client);
        if round > 0 {
            // Nothing is in flight that keeps the peer from seeing the end.
            server.set_nonblocking(false).unwrap();
            while server.read(&mut [0; 1 << 16]).unwrap() > 0 {}
        }
        let start = Instant::now();
        assert_eq!(both.wait(SOON), []);
        assert!(start.elapsed() >= SOON.unwrap());
        both.drain();
    }
}

#[test]
fn a_socket_that_is_closed_behind_its_handle_is_told() {
    let (client, server) = pair();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut both = Both::new();
    for (slot, token) in [(1, both.attach(&server, 1)), (2, both.attach(&socket, 2))] {
        assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0, "{slot}");
    }
    drop(server);
    assert_eq!(both.wait(LONG), [(1, READABLE | READ_UNARMED)]);
    drop(socket);
    assert_eq!(both.wait(LONG), [(2, READABLE | READ_UNARMED)]);
    assert_eq!(both.in_flight(), 0);
    drop(client);
}

#[test]
fn a_reset_is_told_to_both_sides() {
    let (client, server) = pair();
    let mut both = Both::new();
    let token = both.attach(&server, 1);
    while server.try_clone().unwrap().write(&[0; 1 << 16]).is_ok() {}
    both.0.arm(token, Direction::Read).unwrap();
    both.0.arm(token, Direction::Write).unwrap();
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let mut bits = 0;
    while bits & (READABLE | WRITABLE) != READABLE | WRITABLE {
        let told = both.wait(LONG);
        assert!(!told.is_empty());
        bits |= told.into_iter().fold(0, |bits, (_, more)| bits | more);
    }
    assert!(server.try_clone().unwrap().read(&mut [0; 8]).is_err());
}

#[test]
fn a_socket_belongs_to_one_port_for_good() {
    let [one, other] = [Both::new(), Both::new()];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let token = one.attach(&socket, 1);
    let attach = |both: &Both| both.0.attach(socket.as_raw_socket(), Token::new(2, 0)).unwrap_err();
    assert_eq!(attach(&one).raw_os_error(), Some(ERROR_ALREADY_EXISTS as i32));
    assert!(OtherNotifier::is(&attach(&other)));
    one.0.detach(token);
    let error = attach(&other);
    assert!(OtherNotifier::is(&error) && error.kind() == io::ErrorKind::ResourceBusy, "{error}");
    one.attach(&socket, 1);
    drop(one);
    assert!(OtherNotifier::is(&attach(&other)));
}

/// Numbers of sockets that were with our port are given out again, for duplicates of one that is with another: what our table
/// takes for ours is told by our port all the same, and nothing of it ends at the other.
#[test]
fn a_number_that_was_ours_may_be_of_a_socket_with_another_port() {
    let [mut ours, mut other] = [Both::new(), Both::new()];
    let (mut client, server) = pair();
    other.attach(&server, 1);
    let before = [(); 64].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    for socket in &before {
        let token = ours.attach(socket, 1);
        ours.0.detach(token);
    }
    drop(before);
    let doubles = [(); 64].map(|()| server.try_clone().unwrap());
    let mut taken = Vec::new();
    for (slot, double) in doubles.iter().enumerate() {
        let token = Token::new(slot as u32, 7);
        match ours.0.attach(double.as_raw_socket(), token) {
            Ok(()) => taken.push(token),
            Err(error) => assert!(OtherNotifier::is(&error), "{error}"),
        }
    }
    assert!(!taken.is_empty(), "no number was given out again");
    for token in &taken {
        assert_eq!(ours.0.arm(*token, Direction::Read).unwrap(), 0);
    }
    client.write_all(b"x").unwrap();
    assert_eq!(other.wait(SOON), [], "nothing was asked of this one");
    let mut told = Vec::new();
    while told.len() < taken.len() {
        let more = ours.wait(LONG);
        assert!(!more.is_empty(), "{} of {}", told.len(), taken.len());
        told.extend(more);
    }
    assert!(told.iter().all(|(_, bits)| *bits == READABLE | READ_UNARMED));
    assert_eq!((ours.in_flight(), other.in_flight()), (0, 0));
}

#[test]
#[allow(unsafe_code)]
fn what_cannot_be_attached_is_refused() {
    let both = Both::new();
    let refused = |socket| both.0.attach(socket, Token::new(1, 0)).unwrap_err();
    assert_eq!(refused(INVALID_SOCKET as Raw).raw_os_error(), Some(WSAENOTSOCK));
    let _started = UdpSocket::bind("127.0.0.1:0").unwrap();
    // SAFETY: no pointer but a null one. Without WSA_FLAG_OVERLAPPED.
    let socket = unsafe { WSASocketW(2, SOCK_STREAM, 0, std::ptr::null(), 0, 0) };
    let error = refused(socket as Raw);
    assert!(matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::ResourceBusy), "{error}");
    // SAFETY: ours, and open.
    unsafe { closesocket(socket) };
}

#[test]
fn a_shutdown_leaves_nothing_in_flight_and_starts_nothing() {
    let mut both = Both::new();
    let (client, server) = pair();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (slot, token) in [(1, both.attach(&server, 1)), (2, both.attach(&socket, 2))] {
        assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0, "{slot}");
    }
    let Both(driver, wait) = &mut both;
    assert_eq!(driver.shutdown(wait, Duration::from_secs(10), |_| {}).unwrap(), 0);
    assert!(driver.arm(Token::new(1, 7), Direction::Read).is_err());
    driver.detach(Token::new(1, 7));
    assert_eq!(both.in_flight(), 0);
    drop(client);
}

/// How many of the process are open. By trying, since Wine's GetProcessHandleCount says 0; other tests open and close some
/// meanwhile.
#[allow(unsafe_code)]
pub(super) fn handles() -> usize {
    let is_open = |number: &usize| {
        let mut flags = 0;
        // SAFETY: a number that is no handle is refused.
        unsafe { GetHandleInformation(std::ptr::without_provenance_mut(*number), &mut flags) != 0 }
    };
    (4..1 << 14).step_by(4).filter(is_open).count()
}

#[test]
fn handles_do_not_pile_up() {
    let round = || {
        let mut both = Both::new();
        let sockets = [(); 40].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        for (slot, socket) in sockets.iter().enumerate() {
            let token = both.attach(socket, slot as u32);
            both.0.arm(token, Direction::Read).unwrap();
        }
        assert_eq!(both.0.table().handles().count(), 42, "32 sockets a helper");
        both.0.detach(Token::new(0, 7));
        let Both(driver, wait) = &mut both;
        assert_eq!(driver.shutdown(wait, Duration::from_secs(10), |_| {}).unwrap(), 0);
    };
    round();
    let before = handles();
    assert!(before > 0);
    (0..30).for_each(|_| round());
    let grown = handles().saturating_sub(before);
    assert!(grown < 25, "{grown} handles more, of 30 rounds with at least one of each kind");
}
