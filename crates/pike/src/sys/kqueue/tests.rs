//! Unit tests of the backend, on whatever kqueue there is.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

use super::*;

const LONG: Option<Duration> = Some(Duration::from_secs(10));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn token(slot: u32) -> Token {
    Token::new(slot, 7)
}

/// What one wait reports.
fn reports(driver: &Driver, wait: &mut Wait, timeout: Option<Duration>) -> (usize, Vec<(Token, u64)>) {
    let mut all = Vec::new();
    let count = driver.wait(wait, timeout, |report| all.push((report.token, report.bits))).unwrap();
    (count, all)
}

/// The bits of all reports until there is one for `token`.
fn bits_of(driver: &Driver, wait: &mut Wait, token: Token) -> u64 {
    let end = Instant::now() + LONG.unwrap();
    loop {
        let (_, reports) = reports(driver, wait, LONG);
        let bits = reports.iter().filter(|(its, _)| *its == token).fold(0, |all, (_, bits)| all | bits);
        if bits != 0 {
            return bits;
        }
        assert!(Instant::now() < end, "nothing was reported");
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: io::Result<T>, code: i32) {
    assert_eq!(result.unwrap_err().raw_os_error(), Some(code));
}

#[test]
fn events_mean_what_a_source_makes_of_them() {
    use source::*;
    const READ: u64 = READABLE | URGENT_SEEN;
    let reset = libc::ECONNRESET as u32;
    for (filter, flags, fflags, means) in [
        (os::EVFILT_READ, 0, 0, READ),
        (os::EVFILT_WRITE, 0, 0, WRITABLE),
        (os::EVFILT_READ, os::EV_EOF, 0, READ | READ_CLOSED),
        (os::EVFILT_WRITE, os::EV_EOF, 0, WRITABLE | WRITE_CLOSED),
        (os::EVFILT_READ, os::EV_EOF, reset, READ | READ_CLOSED | WRITABLE | ERROR),
        (os::EVFILT_WRITE, os::EV_EOF, reset, WRITABLE | WRITE_CLOSED | READABLE | ERROR),
        (os::EVFILT_READ, os::EV_ERROR, 0, READABLE | WRITABLE | ERROR),
        (os::EVFILT_USER, 0, 0, 0),
    ] {
        let mut event = change(3, filter, flags | os::EV_CLEAR, NOTIFY);
        event.fflags = fflags;
        assert_eq!(bits(&event), means, "{filter} {flags:#x} {fflags}");
    }
}

#[test]
fn a_queue_is_closed_on_exec() {
    let (driver, _) = Driver::new().unwrap();
    // SAFETY: takes no pointer.
    let flags = unsafe { libc::fcntl(driver.queue.raw(), libc::F_GETFD) };
    assert_ne!(flags & libc::FD_CLOEXEC, 0);
}

#[test]
fn both_directions_are_reported_with_their_token() {
    let (driver, mut wait) = Driver::new().unwrap();
    let (one, mut other) = UnixStream::pair().unwrap();
    assert_eq!(driver.attach(one.as_raw_fd(), token(1)).unwrap(), 0);
    assert_eq!(bits_of(&driver, &mut wait, token(1)), source::WRITABLE);
    other.write_all(b"x").unwrap();
    assert_ne!(bits_of(&driver, &mut wait, token(1)) & source::READABLE, 0);
    driver.detach(one.as_raw_fd(), token(1)).unwrap();
    other.write_all(b"x").unwrap();
    assert_eq!(reports(&driver, &mut wait, NOW), (0, vec![]));
    refused(driver.detach(one.as_raw_fd(), token(1)), libc::ENOENT);
}

#[test]
fn what_cannot_be_waited_for_is_refused() {
    let (driver, mut wait) = Driver::new().unwrap();
    let path = std::env::temp_dir().join(format!("pike-kqueue-{}", std::process::id()));
    let file = File::create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let folder = File::open(std::env::temp_dir()).unwrap();
    let null = File::open("/dev/null").unwrap();
    for refusable in [&file, &folder, &null] {
        refused(driver.attach(refusable.as_raw_fd(), token(1)), libc::EPERM);
    }
    refused(driver.attach(-1, token(1)), libc::EBADF);
    refused(driver.attach(1 << 20, token(1)), libc::EBADF);
    assert_eq!(reports(&driver, &mut wait, NOW), (0, vec![]), "something was left in the queue");
}

#[test]
fn a_second_registration_is_refused_and_takes_nothing_over() {
    let (driver, mut wait) = Driver::new().unwrap();
    let (one, mut other) = UnixStream::pair().unwrap();
    driver.attach(one.as_raw_fd(), token(1)).unwrap();
    refused(driver.attach(one.as_raw_fd(), token(2)), libc::EEXIST);
    refused(driver.detach(one.as_raw_fd(), token(2)), libc::ENOENT);
    other.write_all(b"x").unwrap();
    while bits_of(&driver, &mut wait, token(1)) & source::READABLE == 0 {}
    driver.detach(one.as_raw_fd(), token(1)).unwrap();
    driver.attach(one.as_raw_fd(), token(2)).unwrap();
}

/// A descriptor closed before its delete, and its number given out again.
#[test]
fn a_number_closed_behind_its_back_is_free_for_the_next() {
    let (driver, mut wait) = Driver::new().unwrap();
    let (one, _other) = UnixStream::pair().unwrap();
    // SAFETY: takes no pointer. High, so that no other test gets the number in between.
    let number = unsafe { libc::fcntl(one.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 600) };
    driver.attach(number, token(1)).unwrap();
    // SAFETY: ours, made above.
    assert_eq!(unsafe { libc::close(number) }, 0);
    let (next, mut peer) = UnixStream::pair().unwrap();
    // SAFETY: takes no pointer; the number is free.
    assert_eq!(unsafe { libc::dup2(next.as_raw_fd(), number) }, number);
    // SAFETY: just made, and nobody else's.
    let next = unsafe { OwnedFd::from_raw_fd(number) };

    driver.attach(next.as_raw_fd(), token(2)).unwrap();
    refused(driver.detach(number, token(1)), libc::ENOENT);
    peer.write_all(b"x").unwrap();
    while bits_of(&driver, &mut wait, token(2)) & source::READABLE == 0 {}
    drop(next);
    refused(driver.detach(number, token(2)), libc::EBADF);
}

/// The last reader of a pipe is gone before its writer is attached: the kernel refuses the filter, and no event follows.
#[test]
fn a_broken_pipe_is_known_at_once() {
    let (driver, _) = Driver::new().unwrap();
    let (read, write) = calls::pipe().unwrap();
    drop(read);
    let known = driver.attach(write.as_raw_fd(), token(1)).unwrap();
    assert_eq!(known, source::WRITABLE | source::WRITE_CLOSED);
    driver.detach(write.as_raw_fd(), token(1)).unwrap();
}

/// What systems say of a pipe whose other end is gone (NetBSD: EBADF), and what it must not be taken for.
#[test]
fn a_closed_number_is_no_broken_pipe() {
    assert!(is_broken_pipe(true, libc::EPIPE) && is_broken_pipe(false, libc::EPIPE));
    assert!(is_broken_pipe(true, libc::EBADF) && !is_broken_pipe(false, libc::EBADF));
    assert!(!is_broken_pipe(true, libc::EINVAL) && !is_broken_pipe(true, 0));
    let (read, _write) = calls::pipe().unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let is_pipe = |raw| calls::refuse_file(raw).unwrap();
    assert_eq!((is_pipe(read.as_raw_fd()), is_pipe(socket.as_raw_fd())), (true, false));
}

/// A socket that listens only after it was attached, as every listener of pike does.
#[test]
fn a_knote_added_again_tells_of_what_came_before() {
    let (driver, mut wait) = Driver::new().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let raw = listener.as_raw_fd();
    driver.attach(raw, token(1)).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    while bits_of(&driver, &mut wait, token(1)) & source::READABLE == 0 {}
    assert_eq!(reports(&driver, &mut wait, NOW), (0, vec![]));
    driver.attach_again(raw, token(1)).unwrap();
    while bits_of(&driver, &mut wait, token(1)) & source::READABLE == 0 {}
    assert_eq!(reports(&driver, &mut wait, NOW), (0, vec![]));

    refused(driver.attach_again(raw, token(2)), libc::ENOENT);
    driver.detach(raw, token(1)).unwrap();
    refused(driver.attach_again(raw, token(1)), libc::ENOENT);
}

/// A kind of descriptor that has one direction is attached for that.
#[test]
fn a_queue_in_a_queue_is_read_only() {
    let (driver, mut wait) = Driver::new().unwrap();
    let (inner, mut inner_wait) = Driver::new().unwrap();
    driver.attach(inner.queue.raw(), token(1)).unwrap();
    assert_eq!(reports(&driver, &mut wait, NOW), (0, vec![]));
    for _ in 0..3 {
        inner.notify();
        assert_eq!(bits_of(&driver, &mut wait, token(1)) & source::WRITABLE, 0);
        assert_eq!(reports(&inner, &mut inner_wait, NOW).0, 1);
    }
    driver.detach(inner.queue.raw(), token(1)).unwrap();
}

fn notifications_are_one(driver: &Driver, wait: &mut Wait) {
    for _ in 0..3 {
        assert_eq!(reports(driver, wait, NOW), (0, vec![]));
        // More than a pipe holds.
        for _ in 0..70_000 {
            driver.notify();
        }
        assert_eq!(reports(driver, wait, LONG), (1, vec![]));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| driver.notify());
        assert_eq!(reports(driver, wait, LONG), (1, vec![]));
    });
}

#[test]
fn notifications_are_one_by_a_trigger() {
    let (driver, mut wait) = Driver::new().unwrap();
    assert!(matches!(driver.notify, Notify::User));
    notifications_are_one(&driver, &mut wait);
}

/// What NetBSD before 10 and OpenBSD before 7.8 do.
#[test]
fn notifications_are_one_by_a_pipe() {
    let queue = Queue::new().unwrap();
    let notify = Notify::with_pipe(&queue).unwrap();
    let mut wait = Wait { events: Events::new(EVENTS) };
    notifications_are_one(&Driver::of(queue, notify), &mut wait);
}

/// More events than one wait has room for: none is lost, and the count says that there may be more.
#[test]
fn a_full_event_list_is_continued() {
    let (driver, _) = Driver::new().unwrap();
    let mut wait = Wait { events: Events::new(16) };
    let sockets: Vec<_> = (0..50).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).collect();
    for (slot, socket) in (0..).zip(&sockets) {
        socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
        driver.attach(socket.as_raw_fd(), token(slot)).unwrap();
    }
    let mut seen = vec![0; sockets.len()];
    let all = source::READABLE | source::WRITABLE;
    // A loopback may bring a datagram later than the send returns.
    while seen.iter().any(|&bits| bits != all) {
        let (count, reports) = reports(&driver, &mut wait, LONG);
        assert!((1..=16).contains(&count), "{count} events; {seen:?}");
        for (token, bits) in reports {
            seen[token.slot() as usize] |= bits & all;
        }
    }
}

/// One change that fails among others is told for what it is, and the others are made.
#[test]
fn every_receipt_is_looked_at() {
    let queue = Queue::new().unwrap();
    let (one, _other) = UnixStream::pair().unwrap();
    let change = |fd: Raw, flags| change(fd as usize, os::EVFILT_READ, flags, token(1));
    let codes = queue.change([
        change(one.as_raw_fd(), os::EV_DELETE),
        change(one.as_raw_fd(), os::EV_ADD | os::EV_CLEAR),
        change(-1, os::EV_ADD | os::EV_CLEAR),
        change(one.as_raw_fd(), os::EV_DELETE),
    ]);
    assert_eq!(codes.unwrap(), [libc::ENOENT, 0, libc::EBADF, 0]);
}

static TOLD: Mutex<Vec<(i32, u64, usize)>> = Mutex::new(Vec::new());

fn told(number: i32, count: u64, source: usize) {
    TOLD.lock().unwrap().push((number, count, source));
}

/// What was told of `driver`; other tests listen, too.
fn told_of(driver: &Driver) -> u64 {
    let mut told = TOLD.lock().unwrap();
    let count = told
        .iter()
        .filter(|(_, _, source)| *source == driver.signal_source())
        .map(|(_, count, _)| count)
        .sum();
    told.retain(|(_, _, source)| *source != driver.signal_source());
    count
}

/// A signal is counted by each queue that listens, whatever else is done with it, until the last of a queue leaves.
#[test]
fn signals_are_told_to_each_queue_that_listens() {
    // By default SIGURG does nothing.
    let urge = || assert_eq!(raise_urgent(), 0);
    let (driver, mut wait) = Driver::new().unwrap();
    let (other, mut other_wait) = Driver::new().unwrap();
    for queue in [&driver, &driver, &other] {
        queue.watch_signal(libc::SIGURG, told).unwrap();
    }
    urge();
    urge();
    assert_eq!(
        (reports(&driver, &mut wait, LONG), reports(&other, &mut other_wait, LONG)),
        ((1, vec![]), (1, vec![]))
    );
    assert_eq!((told_of(&driver), told_of(&other)), (2, 2));
    driver.unwatch_signal(libc::SIGURG);
    other.unwatch_signal(libc::SIGURG);
    urge();
    reports(&driver, &mut wait, LONG);
    assert_eq!(reports(&other, &mut other_wait, NOW), (0, vec![]));
    assert_eq!((told_of(&driver), told_of(&other)), (1, 0));
    driver.unwatch_signal(libc::SIGURG);
    urge();
    assert_eq!(reports(&driver, &mut wait, NOW), (0, vec![]));
}

/// What is pending can be told at once, without a turn, and then a turn tells nothing.
#[test]
fn pending_signals_are_told_before_the_next_listener() {
    let (driver, mut wait) = Driver::new().unwrap();
    driver.tell_signals(); // nobody listens: nothing to do
    driver.watch_signal(libc::SIGURG, told).unwrap();
    assert_eq!(raise_urgent(), 0);
    driver.tell_signals();
    assert_eq!(told_of(&driver), 1);
    driver.watch_signal(libc::SIGURG, told).unwrap();
    reports(&driver, &mut wait, NOW);
    assert_eq!(told_of(&driver), 0);
    assert_eq!(raise_urgent(), 0);
    reports(&driver, &mut wait, LONG);
    assert_eq!(told_of(&driver), 1);
    driver.unwatch_signal(libc::SIGURG);
    driver.unwatch_signal(libc::SIGURG);
}

fn raise_urgent() -> i32 {
    // SAFETY: to this thread, where it does nothing by default.
    unsafe { libc::raise(libc::SIGURG) }
}

/// The number of a queue is something else's in the child: dropping the queue there closes nothing.
#[test]
fn a_forked_child_closes_nothing() {
    crate::sys::unix::watch_forks().unwrap();
    let (driver, wait) = Driver::new().unwrap();
    let raw = driver.queue.raw();
    // SAFETY: the child makes system calls, frees memory and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes no pointer; the number is free in the child.
        let taken = unsafe { libc::dup2(2, raw) } == raw;
        drop((driver, wait));
        // SAFETY: takes no pointer.
        let lives = unsafe { libc::fcntl(raw, libc::F_GETFD) } != -1;
        // SAFETY: ends the child.
        unsafe { libc::_exit(if taken && lives { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: fills the status of our child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child's descriptor was closed");
}
