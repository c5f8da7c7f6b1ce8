//! Blocks handed to a port, with sockets of the standard library.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::windows::io::AsRawSocket,
    thread,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    sys::{iocp::Wait, platform::Envelope},
    token::Token,
};

mod connections;

const SOON: Option<Duration> = Some(Duration::from_millis(50));
const LONG: Option<Duration> = Some(Duration::from_secs(10));

/// A port with one attached stream, and its peer.
struct Setting {
    driver: Driver,
    wait: Wait,
    stream: TcpStream,
    peer: TcpStream,
}

const TOKEN: Token = Token::new(1, 0);

impl Setting {
    fn new() -> Self {
        let (driver, wait) = Driver::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        driver.attach(stream.as_raw_socket(), TOKEN).unwrap();
        Self { driver, wait, stream, peer }
    }

    fn receive(&self, into: &mut [u8]) -> Shared {
        let (at, len) = (into.as_mut_ptr(), into.len() as u32);
        block(Request::Receive { descriptor: self.stream.as_raw_socket(), at, len })
    }

    fn send(&self, bytes: &[u8]) -> Shared {
        let (at, len) = (bytes.as_ptr(), bytes.len() as u32);
        block(Request::Send { descriptor: self.stream.as_raw_socket(), at, len, flags: 0 })
    }

    /// What one wait hands over.
    fn wait(&mut self, timeout: Option<Duration>) -> Vec<(NonNull<Block>, i32)> {
        told(&self.driver, &mut self.wait, timeout)
    }
}

fn told(driver: &Driver, wait: &mut Wait, timeout: Option<Duration>) -> Vec<(NonNull<Block>, i32)> {
    let mut done = Vec::new();
    let tell = |told| match told {
        Told::Completed(Completion { block, result, more, buffer }) => {
            assert!(!more && buffer.is_none());
            done.push((block, result));
        }
        Told::Ready(report) => unreachable!("nothing was armed: {report:?}"),
    };
    assert_eq!(driver.wait(wait, timeout, tell).unwrap(), done.len());
    done
}

/// A block, which a lane shares between threads.
struct Shared(Box<Block>);

// SAFETY: what it asks is set before it is shared.
unsafe impl Sync for Shared {}

impl std::ops::Deref for Shared {
    type Target = Block;

    fn deref(&self) -> &Block {
        &self.0
    }
}

fn block(request: Request) -> Shared {
    let block = Box::new(Block::new(true));
    // SAFETY: not in flight.
    unsafe { block.set(request) };
    Shared(block)
}

fn at(block: &Shared) -> NonNull<Block> {
    NonNull::from(&*block.0)
}

#[test]
fn bytes_go_both_ways() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    assert!(setting.driver.submit(&receive));
    assert_eq!(setting.wait(SOON), []);
    setting.peer.write_all(b"ping").unwrap();
    assert_eq!(setting.wait(LONG), [(at(&receive), 4)]);
    assert_eq!(&into[..4], b"ping");
    // A block is used again, and something may be there already.
    setting.peer.write_all(b"pong").unwrap();
    thread::sleep(Duration::from_millis(20));
    assert!(setting.driver.submit(&receive));
    assert_eq!(setting.wait(LONG), [(at(&receive), 4)]);
    let send = setting.send(b"answer");
    assert!(setting.driver.submit(&send));
    assert_eq!(setting.wait(LONG), [(at(&send), 6)]);
    let mut got = [0; 6];
    setting.peer.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"answer");
    assert_eq!(setting.wait(SOON), [], "each is told once");
    assert_eq!(setting.driver.operations.load(Ordering::SeqCst), 0);
}

#[test]
fn a_cancelled_request_ends_whenever_it_is_cancelled() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    assert!(setting.driver.submit(&receive));
    setting.driver.cancel(&receive);
    assert_eq!(setting.wait(LONG), [(at(&receive), -platform::CANCELLED)]);
    // By another thread, a moment before it is submitted.
    setting.driver.cancel(&receive);
    assert!(setting.driver.submit(&receive));
    assert_eq!(setting.wait(LONG), [(at(&receive), -platform::CANCELLED)]);
    // That was all: the next one goes on.
    assert!(setting.driver.submit(&receive));
    assert_eq!(setting.wait(SOON), []);
    setting.peer.write_all(b"x").unwrap();
    assert_eq!(setting.wait(LONG), [(at(&receive), 1)]);
}

#[test]
fn a_cancellation_that_races_with_the_start_is_not_lost() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    for _ in 0..50 {
        let (driver, block) = (&setting.driver, &receive);
        thread::scope(|scope| {
            scope.spawn(move || driver.cancel(block));
            assert!(driver.submit(block));
        });
        assert_eq!(setting.wait(LONG), [(at(&receive), -platform::CANCELLED)]);
    }
}

#[test]
fn a_thread_that_submitted_and_exited_does_not_cancel_it() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    let driver = &setting.driver;
    thread::scope(|scope| {
        scope.spawn(|| assert!(driver.submit(&receive)));
    });
    assert_eq!(setting.wait(SOON), []);
    setting.peer.write_all(b"x").unwrap();
    assert_eq!(setting.wait(LONG), [(at(&receive), 1)]);
}

#[test]
fn errors_are_those_of_the_socket() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    assert!(setting.driver.submit(&receive));
    socket2::SockRef::from(&setting.peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(mem::replace(&mut setting.peer, setting.stream.try_clone().unwrap()));
    let done = setting.wait(LONG);
    assert!(matches!(done[..], [(_, code)] if code < 0), "{done:?}");
    let error = io::Error::from_raw_os_error(-done[0].1);
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    assert!(setting.driver.submit(&receive), "and at once");
    assert!(matches!(setting.wait(LONG)[..], [(_, code)] if code < 0));
}

#[test]
fn a_shutdown_ends_what_is_in_flight_and_refuses_more() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    assert!(setting.driver.submit(&receive));
    let mut done = Vec::new();
    let start = Instant::now();
    let completed = |completion: Completion| done.push((completion.block, completion.result));
    assert_eq!(setting.driver.shutdown(&mut setting.wait, Duration::from_secs(10), completed).unwrap(), 0);
    assert_eq!(done, [(at(&receive), -platform::CANCELLED)]);
    assert!(start.elapsed() < Duration::from_secs(9));
    assert!(!setting.driver.submit(&receive));
}

/// The socket is detached and closed with a request in flight, whose memory stays until its packet was taken.
#[test]
fn a_close_with_a_request_in_flight_ends_it() {
    let mut setting = Setting::new();
    let mut into = [0; 8];
    let receive = setting.receive(&mut into);
    assert!(setting.driver.submit(&receive));
    setting.driver.detach(TOKEN);
    drop(mem::replace(&mut setting.stream, setting.peer.try_clone().unwrap()));
    let done = setting.wait(LONG);
    assert!(matches!(done[..], [(block, code)] if block == at(&receive) && code < 0), "{done:?}");
}

/// Goal: a peer that does not read costs no more by vectors than by slices, of which the system keeps a copy.
#[test]
fn vectors_are_no_way_around_the_limit_of_a_call() {
    let mut setting = Setting::new();
    let mut peer = setting.peer.try_clone().unwrap();
    let reader = thread::spawn(move || io::copy(&mut peer, &mut io::sink()));
    let mut bytes = vec![0; 3 * platform::TRANSFER_MAX];
    let mut envelope = Box::new(Envelope::new());
    for (before, expected) in [(Some(10), 10), (None, platform::TRANSFER_MAX)] {
        envelope.clear();
        if let Some(len) = before {
            envelope.push(bytes.as_mut_ptr(), len);
        }
        envelope.push(bytes.as_mut_ptr(), bytes.len());
        let descriptor = setting.stream.as_raw_socket();
        let send = block(Request::SendMessage { descriptor, envelope: &raw mut *envelope, flags: 0 });
        assert!(setting.driver.submit(&send));
        let done = setting.wait(LONG);
        assert!(
            matches!(done[..], [(block, count)] if block == at(&send) && (1..=expected as i32).contains(&count)),
            "{done:?}"
        );
    }
    setting.stream.shutdown(std::net::Shutdown::Write).unwrap();
    reader.join().unwrap().unwrap();
}
