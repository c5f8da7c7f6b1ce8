//! What the backend relies on, as it was measured on FreeBSD 13.2: a test a line. They run on FreeBSD itself and on the
//! double, which has to agree. Of the other systems these lines were not measured, so there they do not run.
//!
//! Times are bounded below only, and the clock may tick in 10 ms. Signals are sent to the calling thread.
#![allow(unsafe_code)]

use std::{
    io::{Read, Write},
    mem,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    ptr,
    sync::{
        Barrier, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use super::os::*;

/// Longer than anything here takes on a busy machine, shorter than a hang.
const LONG: Duration = Duration::from_secs(10);
/// Longer than a tick of any clock.
const SHORT: Duration = Duration::from_millis(30);

struct Kq(RawFd);

impl Kq {
    fn new() -> Self {
        // SAFETY: takes no pointer.
        let raw = unsafe { kqueue() };
        assert!(raw >= 0, "{}", std::io::Error::last_os_error());
        Self(raw)
    }

    /// One call, with room for `room` events.
    fn call(&self, changes: &[Event], room: usize, timeout: Duration) -> Result<Vec<Event>, i32> {
        let mut events = vec![change(0, 0, 0); room];
        let timeout = libc::timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ };
        // SAFETY: the changes and the time are readable, and there is room for that many events.
        let count = unsafe {
            kevent(self.0, changes.as_ptr(), changes.len() as _, events.as_mut_ptr(), room as _, &timeout)
        };
        match usize::try_from(count) {
            Ok(count) => {
                events.truncate(count);
                Ok(events)
            }
            Err(_) => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
        }
    }

    /// A change that must succeed.
    #[track_caller]
    fn make(&self, change: Event) {
        assert_eq!(self.code(change), 0);
    }

    /// What becomes of one change.
    fn code(&self, mut change: Event) -> i64 {
        change.flags |= EV_RECEIPT;
        let receipts = self.call(&[change], 1, Duration::ZERO).unwrap();
        assert!(receipts.len() == 1 && receipts[0].flags & EV_ERROR != 0);
        receipts[0].data
    }

    #[track_caller]
    fn next(&self) -> Event {
        let events = self.call(&[], 1, LONG).unwrap();
        assert_eq!(events.len(), 1, "nothing came");
        events[0]
    }

    /// The next events of both filters of a descriptor, however they come.
    #[track_caller]
    fn next_both(&self) -> [Event; 2] {
        let events = [self.next(), self.next()];
        if events[0].filter == EVFILT_READ { events } else { [events[1], events[0]] }
    }

    #[track_caller]
    fn silent(&self) {
        assert_eq!(self.call(&[], 8, SHORT).unwrap().len(), 0, "something came");
    }

    fn add(&self, fd: &impl AsRawFd, filter: Filter) {
        self.make(change(fd.as_raw_fd() as usize, filter, EV_ADD | EV_CLEAR));
    }
}

impl Drop for Kq {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { close(self.0) };
    }
}

fn change(ident: usize, filter: Filter, flags: Flags) -> Event {
    // SAFETY: numbers and a pointer, for which all zeroes are valid.
    let mut event: Event = unsafe { mem::zeroed() };
    (event.ident, event.filter, event.flags) = (ident, filter, flags);
    event
}

fn trigger(ident: usize, udata: usize) -> Event {
    let mut event = change(ident, EVFILT_USER, 0);
    (event.fflags, event.udata) = (NOTE_TRIGGER, ptr::without_provenance_mut(udata));
    event
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    one.set_nodelay(true).unwrap();
    other.set_nodelay(true).unwrap();
    (one, other)
}

fn is_eof(event: &Event) -> bool {
    event.flags & EV_EOF != 0
}

#[test]
fn a_listener_counts_what_is_pending_and_is_silent_until_more() {
    let (kq, listener) = (Kq::new(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let at = listener.local_addr().unwrap();
    kq.add(&listener, EVFILT_READ);
    kq.silent();
    let _one = TcpStream::connect(at).unwrap();
    assert_eq!(kq.next().data, 1);
    kq.silent();
    let _two = TcpStream::connect(at).unwrap();
    assert_eq!(kq.next().data, 2);
}

fn socket() -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn writing_is_silent_before_a_connect_and_told_once_after() {
    let (kq, socket) = (Kq::new(), socket());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    kq.add(&socket, EVFILT_READ);
    kq.add(&socket, EVFILT_WRITE);
    kq.silent();
    // It may be connected at once, or later.
    let _ = socket.connect(&listener.local_addr().unwrap().into());
    let event = kq.next();
    assert!(event.filter == EVFILT_WRITE && !is_eof(&event));
    kq.silent();
}

#[test]
fn a_refused_connect_ends_both_filters_with_its_error() {
    let (kq, socket) = (Kq::new(), socket());
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    kq.add(&socket, EVFILT_READ);
    kq.add(&socket, EVFILT_WRITE);
    let error = socket.connect(&nobody.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
    for event in kq.next_both() {
        assert!(is_eof(&event));
        assert_eq!(event.fflags, libc::ECONNREFUSED as u32);
    }
    assert_eq!(socket.take_error().unwrap().unwrap().raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn reading_tells_all_unread_bytes_and_again_only_when_more_come() {
    let (kq, (mut one, other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_READ);
    kq.silent();
    one.write_all(b"12345").unwrap();
    assert_eq!(kq.next().data, 5);
    kq.silent();
    one.write_all(b"678").unwrap();
    assert_eq!(kq.next().data, 8);
    kq.silent();
}

#[test]
fn adding_again_fires_again_and_takes_the_knote_over() {
    let (kq, (mut one, other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_READ);
    one.write_all(b"x").unwrap();
    assert_eq!(kq.next().udata as usize, 0);
    let mut again = change(other.as_raw_fd() as usize, EVFILT_READ, EV_ADD | EV_CLEAR);
    again.udata = ptr::without_provenance_mut(77);
    kq.make(again);
    let event = kq.next();
    assert_eq!((event.udata as usize, event.data), (77, 1));
    kq.silent();
}

#[test]
fn a_fin_is_told_once_to_reading_and_never_to_writing() {
    let (kq, (mut one, mut other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_READ);
    kq.add(&other, EVFILT_WRITE);
    assert_eq!(kq.next().filter, EVFILT_WRITE);
    one.write_all(b"123").unwrap();
    assert_eq!(kq.next().data, 3);
    one.shutdown(Shutdown::Write).unwrap();
    let event = kq.next();
    assert!(event.filter == EVFILT_READ && is_eof(&event));
    assert_eq!((event.data, event.fflags), (3, 0));
    kq.silent();
    // Writing stays possible.
    other.write_all(b"still").unwrap();
    let mut buf = [0; 5];
    one.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"still");
}

#[test]
fn a_reset_ends_both_filters_with_its_error() {
    let (kq, (one, other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_READ);
    kq.add(&other, EVFILT_WRITE);
    assert_eq!(kq.next().filter, EVFILT_WRITE);
    let one = socket2::Socket::from(one);
    one.set_linger(Some(Duration::ZERO)).unwrap();
    drop(one);
    for event in kq.next_both() {
        assert!(is_eof(&event));
        assert_eq!(event.fflags, libc::ECONNRESET as u32);
    }
}

#[test]
fn ending_our_own_reading_is_its_end() {
    let (kq, (_one, other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_READ);
    kq.silent();
    other.shutdown(Shutdown::Read).unwrap();
    let event = kq.next();
    assert!(is_eof(&event));
    assert_eq!(event.data, 0);
}

#[test]
fn writing_is_told_at_the_add_and_when_the_peer_has_drained() {
    let (kq, (mut one, mut other)) = (Kq::new(), pair());
    one.set_nonblocking(true).unwrap();
    kq.add(&one, EVFILT_WRITE);
    assert!(!is_eof(&kq.next()));
    kq.silent();
    let (mut sent, chunk) = (0, [0; 65536]);
    // Until nothing moves any more: what is on its way makes room.
    let mut since = Instant::now();
    while since.elapsed() < 2 * SHORT {
        if let Ok(count) = one.write(&chunk) {
            sent += count;
            since = Instant::now();
        }
    }
    while !kq.call(&[], 8, Duration::ZERO).unwrap().is_empty() {}
    kq.silent();
    let mut got = vec![0; sent];
    other.read_exact(&mut got).unwrap();
    assert_eq!(kq.next().filter, EVFILT_WRITE);
}

#[test]
fn a_trigger_of_nothing_is_refused_and_triggers_are_one() {
    let kq = Kq::new();
    assert_eq!(kq.code(trigger(1, 0)), i64::from(libc::ENOENT));
    kq.make(change(1, EVFILT_USER, EV_ADD | EV_CLEAR));
    kq.silent();
    for _ in 0..3 {
        kq.make(trigger(1, 5));
    }
    let event = kq.next();
    assert_eq!((event.ident, event.udata as usize), (1, 5), "the trigger's udata");
    kq.silent();
}

#[test]
fn a_trigger_in_the_add_does_nothing() {
    let kq = Kq::new();
    let mut add = change(1, EVFILT_USER, EV_ADD | EV_CLEAR);
    add.fflags = NOTE_TRIGGER;
    kq.make(add);
    kq.silent();
}

#[test]
fn a_trigger_of_what_is_disabled_comes_once_it_is_enabled() {
    let kq = Kq::new();
    kq.make(change(1, EVFILT_USER, EV_ADD | EV_CLEAR));
    kq.make(change(1, EVFILT_USER, EV_DISABLE));
    kq.make(trigger(1, 0));
    kq.silent();
    kq.make(change(1, EVFILT_USER, EV_ENABLE));
    assert_eq!(kq.next().ident, 1);
    kq.silent();
}

#[test]
fn a_trigger_and_a_descriptor_of_one_number_are_apart() {
    let (kq, (mut one, other)) = (Kq::new(), pair());
    let number = other.as_raw_fd() as usize;
    kq.make(change(number, EVFILT_USER, EV_ADD | EV_CLEAR));
    kq.add(&other, EVFILT_READ);
    kq.make(trigger(number, 0));
    assert_eq!(kq.next().filter, EVFILT_USER);
    kq.silent();
    one.write_all(b"x").unwrap();
    assert_eq!(kq.next().filter, EVFILT_READ);
    kq.make(change(number, EVFILT_READ, EV_DELETE));
    kq.make(trigger(number, 0));
    assert_eq!(kq.next().filter, EVFILT_USER);
}

/// One test at a time has the process's signal.
static SIGNAL: Mutex<()> = Mutex::new(());
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

fn with_action(action: libc::sighandler_t, f: impl FnOnce()) {
    let _alone = SIGNAL.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: a function of the right shape, or one of the system's words.
    let before = unsafe { libc::signal(libc::SIGUSR2, action) };
    f();
    // SAFETY: gives back what the system gave.
    unsafe { libc::signal(libc::SIGUSR2, before) };
}

fn raise() {
    // SAFETY: to this thread, which does not block it.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR2) }, 0);
}

#[test]
fn an_ignored_signal_is_told() {
    with_action(libc::SIG_IGN, || {
        let kq = Kq::new();
        kq.make(change(libc::SIGUSR2 as usize, EVFILT_SIGNAL, EV_ADD));
        raise();
        assert_eq!(kq.next().data, 1);
        kq.silent();
    });
}

#[test]
fn signals_are_counted_and_their_handler_runs_as_well() {
    with_action(count as *const () as libc::sighandler_t, || {
        let (kq, before) = (Kq::new(), HANDLED.load(SeqCst));
        let mask = mask();
        kq.make(change(libc::SIGUSR2 as usize, EVFILT_SIGNAL, EV_ADD));
        for _ in 0..3 {
            raise();
        }
        let event = kq.next();
        assert_eq!((event.ident, event.data), (libc::SIGUSR2 as usize, 3));
        assert_eq!(HANDLED.load(SeqCst), before + 3);
        kq.silent(); // it clears itself
        raise();
        assert_eq!(kq.next().data, 1);
        kq.make(change(libc::SIGUSR2 as usize, EVFILT_SIGNAL, EV_DELETE));
        raise();
        kq.silent();
        assert_eq!(HANDLED.load(SeqCst), before + 5);
        assert_eq!(mask, self::mask(), "the mask is not touched");
    });
}

/// Which signals the calling thread blocks.
fn mask() -> Vec<bool> {
    // SAFETY: a set, filled below.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: fills the set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &mut set) };
    // SAFETY: looks at the set.
    (1..32).map(|signal| unsafe { libc::sigismember(&set, signal) } == 1).collect()
}

#[test]
fn a_timer_counts_and_a_fired_oneshot_is_gone() {
    let kq = Kq::new();
    let mut timer = change(1, EVFILT_TIMER, EV_ADD);
    timer.data = 20;
    kq.make(timer);
    thread::sleep(Duration::from_millis(100));
    assert!(kq.next().data >= 2);
    kq.make(change(1, EVFILT_TIMER, EV_DELETE));
    kq.silent();
    timer.flags |= EV_ONESHOT;
    let begin = Instant::now();
    kq.make(timer);
    assert_eq!(kq.next().data, 1);
    assert!(begin.elapsed() >= Duration::from_millis(20), "early");
    assert_eq!(kq.code(change(1, EVFILT_TIMER, EV_DELETE)), i64::from(libc::ENOENT));
}

#[test]
fn a_timer_clears_itself() {
    let kq = Kq::new();
    let mut timer = change(1, EVFILT_TIMER, EV_ADD);
    timer.data = 20;
    let begin = Instant::now();
    kq.make(timer);
    let mut told = 0;
    for _ in 0..5 {
        let event = kq.next();
        assert_ne!(event.flags & EV_CLEAR, 0);
        told += event.data;
    }
    // One that is told again and again counts more than there were.
    let were = begin.elapsed().as_millis() as i64 / 20;
    assert!((5..=were + 1).contains(&told), "{told} of {were}");
}

#[test]
fn an_event_has_flags_of_the_change_beside_its_own() {
    let (kq, (mut one, other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_READ);
    one.write_all(b"x").unwrap();
    let event = kq.next();
    // So they are looked at one by one.
    assert!(event.flags & EV_CLEAR != 0 && event.flags & EV_RECEIPT != 0, "{:#x}", event.flags);
    assert_eq!(event.flags & (EV_ADD | EV_ERROR | EV_EOF), 0, "{:#x}", event.flags);
}

#[test]
fn filters_have_the_numbers_of_freebsd() {
    let filters = [EVFILT_READ, EVFILT_WRITE, EVFILT_SIGNAL, EVFILT_TIMER, EVFILT_USER];
    assert_eq!(filters, [-1, -2, -6, -7, -11]);
}

#[test]
fn a_wait_is_never_early() {
    let kq = Kq::new();
    for timeout in [1, 300, 1_000, 2_500, 12_345].map(Duration::from_micros) {
        let begin = Instant::now();
        assert!(kq.call(&[], 1, timeout).unwrap().is_empty());
        assert!(begin.elapsed() >= timeout, "{timeout:?}");
    }
}

#[test]
fn receipts_come_in_order_and_without_events() {
    let (kq, (_one, other)) = (Kq::new(), pair());
    kq.add(&other, EVFILT_WRITE); // ready
    let mut changes = [
        change(1, EVFILT_USER, EV_ADD | EV_CLEAR),
        change(2, EVFILT_USER, EV_DELETE),
        change(3, EVFILT_USER, EV_ADD | EV_CLEAR),
    ];
    for change in &mut changes {
        change.flags |= EV_RECEIPT;
    }
    let receipts = kq.call(&changes, 8, LONG).unwrap();
    let told: Vec<_> = receipts.iter().map(|receipt| (receipt.ident, receipt.data)).collect();
    assert_eq!(told, [(1, 0), (2, i64::from(libc::ENOENT)), (3, 0)]);
    assert!(receipts.iter().all(|receipt| receipt.flags & EV_ERROR != 0));
    assert_eq!(kq.next().filter, EVFILT_WRITE);
}

#[test]
fn a_failing_change_is_an_entry_and_the_later_ones_are_made() {
    let kq = Kq::new();
    let changes = [change(1, EVFILT_USER, EV_DELETE), change(2, EVFILT_USER, EV_ADD | EV_CLEAR)];
    let entries = kq.call(&changes, 8, Duration::ZERO).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].ident, entries[0].data), (1, i64::from(libc::ENOENT)));
    assert!(entries[0].flags & EV_ERROR != 0);
    assert_eq!(kq.code(trigger(2, 0)), 0);
}

#[test]
fn without_room_a_failing_change_fails_the_call_and_ends_it() {
    let kq = Kq::new();
    let changes = [
        change(1, EVFILT_USER, EV_ADD | EV_CLEAR),
        change(2, EVFILT_USER, EV_DELETE),
        change(3, EVFILT_USER, EV_ADD | EV_CLEAR),
    ];
    assert_eq!(kq.call(&changes, 0, Duration::ZERO).unwrap_err(), libc::ENOENT);
    assert_eq!(kq.code(trigger(1, 0)), 0);
    assert_eq!(kq.code(trigger(3, 0)), i64::from(libc::ENOENT));
}

#[test]
fn a_close_takes_the_knotes_even_if_a_duplicate_lives() {
    let (kq, (mut one, other)) = (Kq::new(), pair());
    let number = other.as_raw_fd();
    kq.add(&other, EVFILT_READ);
    let duplicate = other.try_clone().unwrap();
    // In the number's place something else is put, at once: other tests open descriptors too.
    let null = std::fs::File::open("/dev/null").unwrap();
    // SAFETY: ends what `other` refers to, which the double and the kernel see as a close of its number.
    assert_eq!(unsafe { libc::dup2(null.as_raw_fd(), number) }, number);
    one.write_all(b"x").unwrap();
    kq.silent();
    let delete = change(number as usize, EVFILT_READ, EV_DELETE);
    assert_eq!(kq.code(delete), i64::from(libc::ENOENT), "a number that was given out again");
    drop((other, duplicate));
}

#[test]
fn a_closed_number_is_refused() {
    let kq = Kq::new();
    let (read, _write) = super::calls::pipe().unwrap();
    // SAFETY: takes no pointer. High, so that no other test gets the number.
    let number = unsafe { libc::fcntl(read.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 500) };
    assert!(number >= 500);
    kq.make(change(number as usize, EVFILT_READ, EV_ADD | EV_CLEAR));
    // SAFETY: ours, made above.
    assert_eq!(unsafe { libc::close(number) }, 0);
    for flags in [EV_DELETE, EV_ENABLE, EV_ADD | EV_CLEAR] {
        let code = kq.code(change(number as usize, EVFILT_READ, flags));
        assert_eq!(code, i64::from(libc::EBADF), "{flags:#x}");
    }
}

#[test]
fn closing_the_queue_wakes_no_waiter() {
    let kq = Kq::new();
    let raw = kq.0;
    let wait = Duration::from_millis(200);
    let begun = Barrier::new(2);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let kq = mem::ManuallyDrop::new(Kq(raw));
            let begin = Instant::now();
            begun.wait();
            let _ = kq.call(&[], 1, wait);
            begin.elapsed()
        });
        begun.wait();
        thread::sleep(SHORT);
        drop(kq); // it may wait for the waiter
        assert!(waiter.join().unwrap() >= wait);
    });
}

#[test]
fn a_child_of_a_fork_does_not_inherit_it() {
    let kq = Kq::new();
    // SAFETY: the child makes system calls only.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes no pointer.
        let found = unsafe { libc::fcntl(kq.0, libc::F_GETFD) };
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(found != -1)) };
    }
    let mut status = -1;
    // SAFETY: fills the status of our child.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child has the number");
    // SAFETY: takes no pointer.
    let flags = unsafe { libc::fcntl(kq.0, libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, 0, "close-on-exec is for us to set");
}

#[test]
fn an_event_goes_to_one_waiter() {
    let kq = Kq::new();
    kq.make(change(1, EVFILT_USER, EV_ADD | EV_CLEAR));
    thread::scope(|scope| {
        let waiters =
            [(); 3].map(|()| scope.spawn(|| kq.call(&[], 4, Duration::from_millis(300)).unwrap().len()));
        thread::sleep(SHORT);
        kq.make(trigger(1, 0));
        let got: usize = waiters.into_iter().map(|waiter| waiter.join().unwrap()).sum();
        assert_eq!(got, 1);
    });
}

#[test]
fn datagrams_are_told_by_their_bytes() {
    let (kq, socket) = (Kq::new(), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let to: SocketAddr = socket.local_addr().unwrap();
    for bytes in [&b"123"[..], b"12345"] {
        socket.send_to(bytes, to).unwrap();
    }
    kq.add(&socket, EVFILT_READ);
    // The double cannot add them up: Linux tells the first one's bytes only. FreeBSD adds up what is there, and its loopback
    // may bring the second one later.
    let all = if cfg!(pike_kqueue_double) { 3 } else { 8 };
    let mut told = kq.next().data;
    while told < all {
        told = kq.next().data;
    }
    assert_eq!(told, all);
}
