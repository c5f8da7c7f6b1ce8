//! What the driver asks of the call and makes of its packets, with a call that only notes what it is asked, and packets that
//! the test posts; and the real call, where the system has it.

use std::{
    cell::{Cell, RefCell},
    ffi::OsString,
    io::{self, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::windows::io::AsRawSocket,
};

use windows_sys::Win32::{Foundation::ERROR_NOT_ENOUGH_MEMORY, System::IO::PostQueuedCompletionStatus};

use super::{
    super::tests::{Both, LONG, SOON, pair},
    *,
};
use crate::{
    source::{Direction, PRIORITY},
    token::SLOT_MAX,
};

const IN: u32 = SOCK_NOTIFY_EVENT_IN;
const OUT: u32 = SOCK_NOTIFY_EVENT_OUT;
const HANGUP: u32 = SOCK_NOTIFY_EVENT_HANGUP;
const REMOVE: u32 = SOCK_NOTIFY_EVENT_REMOVE;
const READ: u64 = READABLE | READ_UNARMED;
const WRITE: u64 = WRITABLE | WRITE_UNARMED;

thread_local! {
    /// What was asked of this thread's call: the key, operation, filter and trigger.
    static ASKED: RefCell<Vec<(usize, u32, u32, u32)>> = const { RefCell::new(Vec::new()) };
    /// What it answers: for the call, and for the registration.
    static ANSWER: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

unsafe extern "system" fn noted(
    _: HANDLE,
    count: u32,
    registration: *mut SOCK_NOTIFY_REGISTRATION,
    timeout_ms: u32,
    room: u32,
    entries: *mut OVERLAPPED_ENTRY,
    received: *mut u32,
) -> u32 {
    assert_eq!((count, timeout_ms, room), (1, 0, 0));
    assert!(entries.is_null() && received.is_null());
    // SAFETY: one, which the caller has.
    let registration = unsafe { &mut *registration };
    ASKED.with_borrow_mut(|asked| {
        asked.push((
            registration.completionKey.addr(),
            u32::from(registration.operation),
            u32::from(registration.eventFilter),
            u32::from(registration.triggerFlags),
        ));
    });
    let (error, result) = ANSWER.get();
    registration.registrationResult = result;
    error
}

/// What was asked since the last look.
fn asked() -> Vec<(usize, u32, u32, u32)> {
    ASKED.with_borrow_mut(mem::take)
}

fn enable(token: Token, filter: u32) -> (usize, u32, u32, u32) {
    (key(token), SOCK_NOTIFY_OP_ENABLE, filter, SOCK_NOTIFY_TRIGGER_ONESHOT | SOCK_NOTIFY_TRIGGER_LEVEL)
}

fn removal(token: Token) -> (usize, u32, u32, u32) {
    (key(token), SOCK_NOTIFY_OP_REMOVE, 0, 0)
}

fn both() -> Both {
    let mut both = Both::new();
    both.0.notifications = Some(Notifications(noted));
    both
}

/// A packet as the system posts it.
fn post(both: &Both, token: Token, events: u32) {
    // SAFETY: the null is only handed back.
    let posted = unsafe { PostQueuedCompletionStatus(both.0.port.raw(), events, key(token), ptr::null()) };
    assert_ne!(posted, 0);
}

fn datagrams() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn events_are_told_to_who_asks() {
    assert_eq!((filter(IN), filter(OUT), filter(IN | OUT)), (IN | HANGUP, OUT | HANGUP, IN | OUT | HANGUP));
    assert_eq!((told(IN, IN | OUT), told(IN | OUT, OUT), told(OUT, IN)), (IN, OUT, 0));
    for end in [HANGUP, SOCK_NOTIFY_EVENT_ERR, REMOVE] {
        assert_eq!((told(IN | OUT, end), told(OUT, IN | end), told(0, end)), (IN | OUT, OUT, 0));
    }
    assert_eq!((bits(IN, IN), bits(OUT, OUT), bits(IN | OUT, HANGUP)), (READ, WRITE, READ | WRITE));
    assert_eq!(bits(IN, SOCK_NOTIFY_EVENT_ERR), READ | WRITABLE | ERROR);
}

#[test]
fn a_key_is_a_token_and_no_other_key() {
    for (slot, generation) in [(0, 0), (3, 7), (SLOT_MAX - 1, u32::MAX)] {
        let one = Token::new(slot, generation);
        assert!(is_key(key(one)));
        assert_eq!(token(key(one)), one);
    }
    for other in 0..4 {
        assert!(!is_key(other));
    }
}

#[test]
fn they_are_asked_for_by_one_value() {
    for (value, wanted) in [(Some("1"), true), (Some("0"), false), (Some(""), false), (None, false)] {
        assert_eq!(is_wanted(value.map(OsString::from).as_deref()), wanted, "{value:?}");
    }
}

#[test]
fn both_sides_share_a_registration_and_are_told_apart() {
    let (mut both, socket) = (both(), datagrams());
    let token = both.attach(&socket, 3);
    assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
    assert_eq!(both.0.arm(token, Direction::Write).unwrap(), 0);
    assert_eq!(asked(), [enable(token, IN | HANGUP), enable(token, IN | OUT | HANGUP)]);
    post(&both, token, OUT);
    assert_eq!(both.wait(LONG), [(3, WRITE)]);
    assert_eq!(asked(), [enable(token, IN | HANGUP)], "the other side asks still");
    post(&both, token, OUT);
    assert_eq!(both.wait(SOON), [], "nobody asks for it any more");
    assert_eq!(asked(), [enable(token, IN | HANGUP)], "it was the packet that the registration had left");
    post(&both, token, IN | OUT);
    assert_eq!(both.wait(LONG), [(3, READ)]);
    assert_eq!((asked(), both.in_flight()), (vec![], 0));
    // Both at once; and what comes behind the detach is nobody's.
    both.0.arm(token, Direction::Write).unwrap();
    both.0.arm(token, Direction::Read).unwrap();
    post(&both, token, IN | OUT);
    assert_eq!(both.wait(LONG), [(3, READ | WRITE)]);
    both.0.arm(token, Direction::Read).unwrap();
    asked();
    post(&both, token, IN);
    both.0.detach(token);
    assert_eq!(asked(), [removal(token)]);
    post(&both, token, REMOVE);
    assert_eq!(both.wait(SOON), []);
    assert_eq!((asked(), both.in_flight()), (vec![], 0));
}

#[test]
fn after_an_end_the_polls_go_on() {
    for end in [HANGUP, SOCK_NOTIFY_EVENT_ERR, REMOVE] {
        let (mut both, socket) = (both(), datagrams());
        let token = both.attach(&socket, 1);
        both.0.arm(token, Direction::Read).unwrap();
        both.0.arm(token, Direction::Write).unwrap();
        asked();
        post(&both, token, end);
        let told = both.wait(LONG);
        assert!(matches!(told[..], [(1, more)] if more & (READ | WRITE) == READ | WRITE), "{told:?}");
        let removed = if end == REMOVE { vec![] } else { vec![removal(token)] };
        assert_eq!((asked(), both.in_flight()), (removed, 0));
        // Late ones are nobody's. A poll tells now.
        both.0.arm(token, Direction::Read).unwrap();
        assert_eq!((asked(), both.in_flight()), (vec![], 1));
        post(&both, token, IN | REMOVE);
        assert_eq!(both.wait(SOON), []);
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(both.wait(LONG), [(1, READ)]);
        both.0.detach(token);
        assert_eq!(asked(), []);
    }
}

#[test]
fn what_the_system_refuses_is_polled() {
    for answer in [(ERROR_NOT_ENOUGH_MEMORY, 0), (0, ERROR_NOT_ENOUGH_MEMORY)] {
        let (mut both, socket) = (both(), datagrams());
        let token = both.attach(&socket, 1);
        ANSWER.set(answer);
        both.0.arm(token, Direction::Read).unwrap();
        assert_eq!((asked().len(), both.in_flight()), (1, 1));
        ANSWER.set((0, 0));
        both.0.arm(token, Direction::Write).unwrap();
        assert_eq!(asked(), [], "it is not tried again");
        assert_eq!(both.wait(LONG), [(1, WRITE)]);
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        assert_eq!(both.wait(LONG), [(1, READ)]);
        both.0.detach(token);
        assert_eq!(asked(), []);

        // Of a registration that stands: the side is polled, and the one that cannot be asked anew is told.
        let other = datagrams();
        let token = both.attach(&other, 2);
        both.0.arm(token, Direction::Read).unwrap();
        ANSWER.set(answer);
        both.0.arm(token, Direction::Write).unwrap();
        assert_eq!((asked().len(), both.in_flight()), (2, 1));
        assert_eq!(both.wait(LONG), [(2, WRITE)]);
        post(&both, token, OUT);
        assert_eq!(both.wait(LONG), [(2, READ)]);
        ANSWER.set((0, 0));
        assert_eq!((asked(), both.in_flight()), (vec![enable(token, IN | HANGUP)], 0));
        both.0.arm(token, Direction::Read).unwrap();
        assert_eq!(asked(), [enable(token, IN | HANGUP)]);
    }
}

#[test]
fn what_it_does_not_tell_goes_the_other_ways() {
    let (mut both, (client, server)) = (both(), pair());
    let token = both.attach(&server, 1);
    assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
    both.0.arm_priority(token).unwrap();
    assert_eq!((asked(), both.in_flight()), (vec![], 2));
    both.0.arm(token, Direction::Write).unwrap();
    assert_eq!((asked(), both.in_flight()), (vec![enable(token, OUT | HANGUP)], 2));
    (&client).write_all(b"x").unwrap();
    assert_eq!(both.wait(LONG), [(1, READ)]);
    socket2::SockRef::from(&client).send_out_of_band(b"!").unwrap();
    let told = both.wait(LONG);
    assert!(matches!(told[..], [(1, more)] if more & PRIORITY != 0), "{told:?}");
    // A socket that was given back and comes again: its old registration may not be gone.
    let socket = datagrams();
    let token = both.attach(&socket, 2);
    both.0.detach(token);
    let token = both.attach(&socket, 2);
    both.0.arm(token, Direction::Read).unwrap();
    assert_eq!((asked(), both.in_flight()), (vec![], 1));
}

#[test]
fn nothing_is_asked_once_all_was_cancelled() {
    let (mut both, socket) = (both(), datagrams());
    let token = both.attach(&socket, 1);
    both.0.arm(token, Direction::Read).unwrap();
    both.0.arm(token, Direction::Write).unwrap();
    let Both(driver, wait) = &mut both;
    assert_eq!(driver.shutdown(wait, LONG.unwrap(), |_| {}).unwrap(), 0);
    asked();
    post(&both, token, OUT);
    assert_eq!(both.wait(LONG), [(1, WRITE)]);
    assert!(both.0.arm(token, Direction::Write).is_err());
    assert_eq!(asked(), []);
    both.0.detach(token);
    assert_eq!(asked(), [removal(token)]);
}

/// The call itself, where the system has it.
#[test]
fn the_system_tells() {
    let Some(calls) = Notifications::find() else {
        let line = "\nSKIPPED: the_system_tells: this system has no ProcessSocketNotifications\n";
        // Nobody reads it: nothing is lost.
        let _ = io::stderr().write_all(line.as_bytes());
        return;
    };
    let mut both = Both::new();
    both.0.notifications = Some(calls);
    // Two datagram sockets: what is to read, what is not, what may be written, and both.
    let (socket, peer) = (datagrams(), datagrams());
    let token = both.attach(&socket, 0);
    for _ in 0..3 {
        assert_eq!(both.0.arm(token, Direction::Read).unwrap(), 0);
        assert_eq!(both.0.table().entry(token).unwrap().way, Way::Registered);
        assert_eq!(both.wait(SOON), []);
        both.0.arm(token, Direction::Write).unwrap();
        assert_eq!(both.wait(LONG), [(0, WRITE)]);
        assert_eq!(both.wait(SOON), [], "one-shot");
        peer.send_to(b"datagram", socket.local_addr().unwrap()).unwrap();
        assert_eq!(both.wait(LONG), [(0, READ)]);
        assert_eq!(both.wait(SOON), [], "one-shot");
        both.0.arm(token, Direction::Read).unwrap();
        assert_eq!(both.wait(LONG), [(0, READ)], "level-triggered");
        assert_eq!(socket.recv(&mut [0; 16]).unwrap(), 8);
    }
    both.0.arm(token, Direction::Read).unwrap();
    both.0.detach(token);
    peer.send_to(b"datagram", socket.local_addr().unwrap()).unwrap();
    assert_eq!(both.wait(SOON), []);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let token = both.attach(&listener, 1);
    both.0.arm(token, Direction::Read).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(both.wait(LONG), [(1, READ)]);
    let (server, _) = listener.accept().unwrap();

    // A stream that is full, and whose peer resets it: its writer is told, and polls serve it from then on.
    client.set_nonblocking(true).unwrap();
    let token = both.attach(&client, 2);
    while (&client).write(&[0; 1 << 16]).is_ok() {}
    both.0.arm(token, Direction::Write).unwrap();
    assert_eq!(both.wait(SOON), []);
    socket2::SockRef::from(&server).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(server);
    let told = both.wait(LONG);
    assert!(matches!(told[..], [(2, more)] if more & WRITE == WRITE), "{told:?}");

    // A connect that nobody takes fails, and is told.
    let port = listener.local_addr().unwrap();
    drop(listener);
    let refused = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    refused.set_nonblocking(true).unwrap();
    let token = Token::new(3, 0);
    both.0.attach(refused.as_raw_socket(), token).unwrap();
    assert!(refused.connect(&port.into()).is_err());
    both.0.arm(token, Direction::Write).unwrap();
    let told = both.wait(LONG);
    assert!(matches!(told[..], [(3, more)] if more & WRITE == WRITE), "{told:?}");
    assert!(refused.take_error().unwrap().is_some());
    assert_eq!(both.in_flight(), 0);
}
