//! What cases of sockets are made with: addresses, pairs, ports that refuse, futures with a limit.

use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    task::Poll,
    time::Duration,
};

use pike::{
    Notifier,
    net::{TcpListener, TcpStream, UdpSocket},
    socket::{Address, Domain, Socket, Type},
    time,
};

use crate::{Cx, Task};

/// What takes longer than this on a loopback will never happen.
pub(crate) const LIMIT: Duration = Duration::from_secs(8);

/// 127.0.0.1, with a port that the system chooses.
pub(crate) fn v4() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// ::1, with a port that the system chooses.
pub(crate) fn v6() -> SocketAddr {
    (Ipv6Addr::LOCALHOST, 0).into()
}

/// The loopback addresses that this machine has.
pub(crate) fn locals(cx: &Cx) -> Vec<SocketAddr> {
    if cx.needs_v6().is_ok() { vec![v4(), v6()] } else { vec![v4()] }
}

/// Runs `future` and turns `notifier`, for as long as anything can take.
#[track_caller]
pub(crate) fn soon<R>(notifier: &Notifier, what: &str, future: impl Future<Output = R>) -> R {
    match notifier.block_on(time::timeout(LIMIT, future)) {
        Ok(output) => output,
        Err(_) => panic!("nothing after {LIMIT:?}: {what}"),
    }
}

/// Polls `task` by hand, if it was not yet and whenever it is woken, and turns `notifier` in between, until it is ready.
#[track_caller]
pub(crate) fn finish<R>(cx: &Cx, notifier: &Notifier, what: &str, task: &mut Task<'_, R>) -> R {
    loop {
        if task.polls() > 0 {
            cx.turn_until(notifier, what, || task.is_woken());
        }
        if let Poll::Ready(output) = task.poll() {
            return output;
        }
    }
}

/// A listener on `notifier`.
#[track_caller]
pub(crate) fn listener(notifier: &Notifier, at: SocketAddr) -> TcpListener {
    soon(notifier, "a listener", TcpListener::bind(at)).expect("a listener")
}

/// A UDP socket on `notifier`.
#[track_caller]
pub(crate) fn udp(notifier: &Notifier, at: SocketAddr) -> UdpSocket {
    soon(notifier, "a UDP socket", UdpSocket::bind(at)).expect("a UDP socket")
}

/// A socket of the family of `at`, not bound.
#[track_caller]
pub(crate) fn bare(notifier: &Notifier, at: SocketAddr, kind: Type) -> Socket {
    Socket::new_on(notifier, Domain::of(at.into()), kind, None).expect("a socket")
}

/// A stream of std's, attached to `notifier`.
#[track_caller]
pub(crate) fn attach(notifier: &Notifier, stream: std::net::TcpStream) -> TcpStream {
    let _here = notifier.enter();
    TcpStream::from_std(stream).expect("a stream")
}

/// A stream on `notifier`, and its peer, which is std's and blocks.
#[track_caller]
pub(crate) fn with_peer(cx: &Cx, notifier: &Notifier) -> (TcpStream, std::net::TcpStream) {
    let (ours, peer) = cx.tcp_pair();
    (attach(notifier, ours), peer)
}

/// Two connected streams on `notifier`.
#[track_caller]
pub(crate) fn pair(cx: &Cx, notifier: &Notifier) -> (TcpStream, TcpStream) {
    let (one, other) = cx.tcp_pair();
    (attach(notifier, one), attach(notifier, other))
}

/// An address that refuses connections as long as the socket lives: bound, and nobody listens.
#[track_caller]
pub(crate) fn nobody(notifier: &Notifier, at: SocketAddr) -> (Socket, SocketAddr) {
    let socket = bare(notifier, at, Type::Stream);
    socket.bind(at).expect("an address");
    let address = internet(socket.local_addr());
    (socket, address)
}

/// A listener whose queue is full, and what keeps it full.
pub(crate) struct Full {
    pub(crate) listener: Socket,
    pub(crate) address: SocketAddr,
    _queue: Vec<TcpStream>,
}

/// None if this system answers however many there are.
pub(crate) fn full_listener(cx: &Cx, notifier: &Notifier) -> Option<Full> {
    let listener = bare(notifier, v4(), Type::Stream);
    listener.bind(v4()).unwrap();
    listener.listen(0).unwrap();
    let address = internet(listener.local_addr());
    let mut queue = Vec::new();
    for _ in 0..16 {
        let mut connecting = {
            let _here = notifier.enter();
            Task::new(TcpStream::connect(address))
        };
        if connecting.poll().is_pending() {
            cx.settle(notifier);
            if !connecting.is_woken() {
                return Some(Full { listener, address, _queue: queue });
            }
        }
        queue.push(connecting.ready().unwrap());
    }
    None
}

/// A UDP address that refuses everybody as long as the socket talks only to itself. It may be connected elsewhere later.
#[track_caller]
pub(crate) fn nobody_udp(notifier: &Notifier, at: SocketAddr) -> (UdpSocket, SocketAddr) {
    let socket = udp(notifier, at);
    let address = socket.local_addr().expect("an address");
    soon(notifier, "connecting UDP", socket.connect(address)).expect("connected to itself");
    (socket, address)
}

/// The internet address of a socket.
#[track_caller]
pub(crate) fn internet(address: io::Result<Address>) -> SocketAddr {
    address.expect("an address").try_into().expect("an internet address")
}

/// Asserts that an error came from the system, with its code, and is of one of `kinds`.
#[track_caller]
pub(crate) fn assert_kind(error: &io::Error, kinds: &[io::ErrorKind]) {
    assert!(error.raw_os_error().is_some(), "no OS code: {error:?}");
    assert!(kinds.contains(&error.kind()), "{error:?} is none of {kinds:?}");
}

/// The byte at a place of the sequence that is sent in tests of order: every other offset gives another sequence.
pub(crate) fn byte_at(place: usize) -> u8 {
    ((place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Bytes of that sequence.
pub(crate) fn bytes_at(place: usize, len: usize) -> Vec<u8> {
    (place..place + len).map(byte_at).collect()
}

/// Asserts that `bytes` are those of the sequence at `place`.
#[track_caller]
pub(crate) fn assert_bytes_at(place: usize, bytes: &[u8]) {
    if let Some(wrong) = bytes.iter().enumerate().position(|(at, &byte)| byte != byte_at(place + at)) {
        panic!("byte {} of {} at {place} is wrong", wrong, bytes.len());
    }
}

/// Whether an error is how a connection ends whose peer is gone.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
}

pub(crate) use crate::system::link_local;
