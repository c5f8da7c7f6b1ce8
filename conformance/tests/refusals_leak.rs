//! Bad input costs nothing that stays: each refusal, 50 times, leaves the descriptors and the live heap as they were.
//!
//! What each refusal says is the business of the cases; a use after a fork and a shortage of descriptors are there too.
#![cfg(target_os = "linux")]

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    panic::{self, AssertUnwindSafe},
};

use pike::{
    Closed, Event, Handle, Notifier, net,
    os::unix::control::{Outgoing, descriptors_space},
    socket::{Domain, RecvFlags, SendFlags, Socket, Type, control::ControlBuf},
};
use pike_conformance::{harness::alone, heap, unix};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// A refusal: done on a Notifier of its own, which is gone after it.
type Refusal = fn(&Notifier) -> io::Error;

const REFUSALS: &[(&str, Refusal)] = &[
    ("a regular file", |notifier| {
        Handle::new_on(notifier, File::open("/proc/self/exe").unwrap()).unwrap_err()
    }),
    ("a descriptor registered twice", |notifier| {
        let (stream, _peer) = UnixStream::pair().unwrap();
        let handle = Handle::new_on(notifier, stream).unwrap();
        unix::register_again(notifier, &handle).expect("refused")
    }),
    ("a foreign descriptor as TCP", |notifier| {
        let _here = notifier.enter();
        let (stream, _peer) = UnixStream::pair().unwrap();
        net::TcpStream::from_std(stream.as_fd().try_clone_to_owned().unwrap().into()).unwrap_err()
    }),
    ("an address of the wrong family", |notifier| {
        let socket = Socket::new_on(notifier, Domain::V4, Type::Stream, None).unwrap();
        notifier.block_on(socket.connect("[::1]:9".parse::<SocketAddr>().unwrap())).unwrap_err()
    }),
    ("a refused connect", |notifier| {
        let nobody = Socket::new_on(notifier, Domain::V4, Type::Stream, None).unwrap();
        nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap(); // and does not listen
        let socket = Socket::new_on(notifier, Domain::V4, Type::Stream, None).unwrap();
        notifier.block_on(socket.connect(nobody.local_addr().unwrap())).unwrap_err()
    }),
    ("an address in use", |notifier| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        notifier.block_on(net::TcpListener::bind(listener.local_addr().unwrap())).unwrap_err()
    }),
    ("a path that exists", |notifier| {
        let _here = notifier.enter();
        let path = std::env::temp_dir();
        net::UnixDatagram::bind(&path).unwrap_err();
        net::UnixListener::bind(path).unwrap_err()
    }),
    ("a path where nobody is", |notifier| {
        let _here = notifier.enter();
        let socket = net::UnixDatagram::unbound().unwrap();
        notifier.block_on(socket.send_to(b"x", "/nobody/here")).unwrap_err();
        notifier.block_on(net::UnixStream::connect("/nobody/here")).unwrap_err()
    }),
    ("a name too long for a Unix socket", |notifier| {
        let _here = notifier.enter();
        let long = "x".repeat(108);
        net::unix::SocketAddr::from_abstract_name(&long).unwrap_err();
        net::UnixListener::bind(&long).unwrap_err();
        notifier.block_on(net::UnixStream::connect(&long)).unwrap_err()
    }),
    ("a descriptor that nobody takes", |notifier| {
        let _here = notifier.enter();
        let (one, other) = net::UnixStream::pair().unwrap();
        let passed = File::open("/dev/null").unwrap();
        for _ in 0..3 {
            unix::send_descriptor(&other, b"x", &passed); // one is read without it, the others are never read
        }
        notifier.block_on(one.read(&mut [0; 8])).unwrap();
        drop(other);
        one.try_write(b"x").unwrap_err()
    }),
    ("no address at all", |notifier| notifier.block_on(net::TcpStream::connect("no port")).unwrap_err()),
    ("a nested block_on", |notifier| {
        let nested = AssertUnwindSafe(|| notifier.block_on(async { notifier.block_on(async {}) }));
        panic::catch_unwind(nested).unwrap_err();
        io::ErrorKind::Deadlock.into()
    }),
    ("a panic in a recv_with closure", |notifier| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _here = notifier.enter();
        let stream = net::TcpStream::from_std(listener.accept().unwrap().0).unwrap();
        io::Write::write_all(&mut &peer, b"x").unwrap();
        let lent = AssertUnwindSafe(|| notifier.block_on(stream.recv_with(|_| panic!("in the closure"))));
        panic::catch_unwind(lent).unwrap_err();
        io::ErrorKind::Other.into()
    }),
    ("more descriptors than there is room for", |notifier| {
        let (one, other) = Socket::pair_on(notifier, Domain::Unix, Type::Stream, None).unwrap();
        let given = [one.as_fd(); 8];
        let control = [Outgoing::Descriptors(&given).into()];
        one.try_send_msg(&[IoSlice::new(b"x")], None, &control, SendFlags::NONE).unwrap();
        let (mut buf, mut received) = ([0; 8], ControlBuf::<{ descriptors_space(2) }>::new());
        let mut bufs = [IoSliceMut::new(&mut buf)];
        assert!(other.try_recv_msg(&mut bufs, &mut received, RecvFlags::NONE).unwrap().control_truncated);
        let error = other.try_recv_msg(&mut bufs, &mut received, RecvFlags::NONE).unwrap_err();
        one.try_send_msg(&[IoSlice::new(b"x")], None, &control, SendFlags::NONE).unwrap();
        notifier.block_on(other.recv_msg(&mut bufs, &mut received, RecvFlags::NONE)).unwrap();
        error
    }),
    ("descriptors without a byte on a stream", |notifier| {
        let (one, _other) = Socket::pair_on(notifier, Domain::Unix, Type::Stream, None).unwrap();
        let given = [one.as_fd()];
        one.try_send_msg(&[], None, &[Outgoing::Descriptors(&given).into()], SendFlags::NONE).unwrap_err()
    }),
    ("descriptors in the queue of a socket that is dropped", |notifier| {
        let (one, other) = Socket::pair_on(notifier, Domain::Unix, Type::Datagram, None).unwrap();
        let file = File::open("/dev/null").unwrap();
        let given = [file.as_fd(); 100];
        let control = [Outgoing::Descriptors(&given).into()];
        one.try_send_msg(&[IoSlice::new(b"x")], None, &control, SendFlags::NONE).unwrap();
        drop(other);
        one.try_send_msg(&[IoSlice::new(b"x")], None, &control, SendFlags::NONE).unwrap_err()
    }),
    ("a Notifier dropped before its sockets and events", |notifier| {
        let own = Notifier::builder().backend(notifier.backend()).build().unwrap();
        let here = own.enter();
        let event = Event::new().unwrap();
        let (stream, _peer) = UnixStream::pair().unwrap();
        let handle = Handle::new_on(&own, stream).unwrap();
        drop(here);
        drop(own);
        let error = futures_lite::future::block_on(handle.readable()).unwrap_err();
        assert!(Closed::is(&error));
        futures_lite::future::block_on(event.wait()).unwrap_err()
    }),
];

/// One that finds nothing is enough.
const MEASUREMENTS: usize = 4;

#[test]
fn a_refusal_leaves_nothing_behind() {
    alone(|| {
        panic::set_hook(Box::new(|_| {})); // the two that panic do so 50 times
        let mut leaks = Vec::new();
        for (what, refusal) in REFUSALS {
            let once = || {
                let notifier = Notifier::new().unwrap();
                let error = refusal(&notifier);
                assert!(!error.to_string().is_empty(), "{what}");
            };
            // Buffers that a thread keeps are there after the first few.
            (0..5).for_each(|_| once());
            // The heap is the whole process's, and libtest's own thread may be at work: that passes, a leak comes again.
            let measured: Vec<_> = (0..MEASUREMENTS)
                .map(|_| {
                    let before = (unix::descriptors(), heap::live().expect("it counts"));
                    (0..50).for_each(|_| once());
                    (before, (unix::descriptors(), heap::live().expect("it counts")))
                })
                .take_while(|(before, after)| before != after)
                .collect();
            if measured.len() == MEASUREMENTS {
                leaks.push(format!("{what}: descriptors and bytes before and after: {measured:?}"));
            }
        }
        let _ = panic::take_hook();
        assert!(leaks.is_empty(), "{leaks:#?}");
    });
}
