//! Bad input costs nothing that stays: each refusal, 50 times on each backend, leaves the descriptors and the live heap as they
//! were.
//!
//! What each refusal says is the business of the cases; a use after a fork and a shortage of descriptors are there too.
#![cfg(target_os = "linux")]

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::AsFd, unix::net::UnixStream},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    time::Duration,
};

use futures_lite::future::{block_on, poll_once};
use pike::{
    Backend, Closed, Event, Handle, Notifier, net,
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
    ("a pool without buffers, and of buffers without bytes", |notifier| {
        let pool = |count, len| Notifier::builder().backend(notifier.backend()).buffers(count, len).build();
        pool(16, 0).unwrap_err();
        pool(usize::MAX, 2).unwrap_err();
        pool(0, 4096).unwrap_err()
    }),
    ("buffers of length 0", |notifier| {
        let (one, other) = streams(notifier);
        let (udp, to) = udp(notifier);
        notifier.block_on(async {
            assert_eq!(one.write_owned(Vec::new()).await.0.unwrap(), 0);
            one.write_all_owned(Box::<[u8]>::default()).await.0.unwrap();
            assert_eq!(other.read_owned(Vec::new()).await.0.unwrap(), 0);
            assert_eq!(other.read_exact_owned(Vec::new()).await.0.unwrap(), 0);
            drop(poll_once(other.read_vectored_owned([Vec::new(), Vec::new()])).await); // which may wait
            // Into no room a datagram is cut, and waited for.
            assert!(poll_once(udp.recv_owned(Vec::new())).await.is_none());
            assert_eq!(udp.send_to_owned(Vec::new(), to).await.0.unwrap(), 0);
            assert_eq!(udp.recv_from_owned(Vec::new()).await.0.unwrap(), (0, to));
            assert_eq!(udp.send_to_owned(&b"cut"[..], to).await.0.unwrap(), 3);
            assert_eq!(udp.recv_owned(Vec::new()).await.0.unwrap(), 0);
        });
        udp.try_recv(&mut [0]).unwrap_err()
    }),
    ("buffers longer than a u32 says", |notifier| {
        const LEN: usize = (1 << 32) + 3;
        let (one, mut peer) = stream(notifier);
        let room = || Vec::<u8>::with_capacity(LEN);
        notifier.block_on(async {
            assert!(poll_once(one.read_owned(room())).await.is_none()); // given up
            io::Write::write_all(&mut peer, b"short").unwrap();
            assert_eq!(one.read_owned(room()).await.0.unwrap(), 5);
            let (sent, zeros) = one.write_owned(vec![0; LEN]).await;
            assert!((1..LEN).contains(&sent.unwrap()) && zeros.len() == LEN);
            let all = poll_once(one.write_all_owned(vec![0; LEN])).await;
            assert!(all.is_none(), "more than fits");
        });
        one.try_read(&mut [0]).unwrap_err()
    }),
    ("a socket that is cancelled under owned and pooled calls", |notifier| {
        let (one, _peer) = stream(notifier);
        let (udp, _) = udp(notifier);
        let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let (full, _other) = stream(notifier);
        let [mut read, mut from] =
            [one.read_owned(vec![7; 64]), udp.socket().read_owned(vec![7; 64])].map(Box::pin);
        let mut pooled = pin!(udp.recv_from_pooled());
        let mut accept = pin!(listener.accept());
        let mut write = pin!(full.write_all_owned(vec![7; MORE_THAN_FITS]));
        notifier.block_on(async {
            // All are in the kernel, where that does them.
            for _ in 0..3 {
                assert!(poll_once(read.as_mut()).await.is_none() && poll_once(from.as_mut()).await.is_none());
                assert!(poll_once(pooled.as_mut()).await.is_none());
                assert!(poll_once(accept.as_mut()).await.is_none());
                assert!(poll_once(write.as_mut()).await.is_none());
                pike::time::sleep(Duration::from_millis(1)).await;
            }
        });
        for socket in [one.socket(), udp.socket(), listener.socket(), full.socket()] {
            socket.cancel();
        }
        notifier.block_on(async {
            let ((result, buffer), (other, _)) = (read.await, from.await);
            assert!(Closed::is(&result.unwrap_err()) && Closed::is(&other.unwrap_err()));
            assert_eq!(buffer, [7; 64]);
            let (result, buffer) = write.await;
            assert!(Closed::is(&result.unwrap_err()) && buffer.len() == MORE_THAN_FITS);
            assert!(Closed::is(&accept.await.map(drop).unwrap_err()));
            pooled.await.unwrap_err()
        })
    }),
    ("a Notifier dropped before its sockets, which have owned and pooled calls under way", |notifier| {
        let own = Notifier::builder().backend(notifier.backend()).build().unwrap();
        let ((one, _peer), (full, _other), (udp, _)) = (stream(&own), stream(&own), udp(&own));
        let (taken, mut sender) = stream(&own);
        let listener = own.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let mut read = pin!(one.read_owned(vec![7; 64]));
        let mut pooled = pin!(udp.recv_from_pooled());
        let mut accept = pin!(listener.accept());
        let mut write = pin!(full.write_all_owned(vec![7; MORE_THAN_FITS]));
        let mut leases = Vec::new();
        own.block_on(async {
            for _ in 0..3 {
                assert!(
                    poll_once(read.as_mut()).await.is_none() && poll_once(pooled.as_mut()).await.is_none()
                );
                assert!(poll_once(accept.as_mut()).await.is_none());
                assert!(poll_once(write.as_mut()).await.is_none());
                io::Write::write_all(&mut sender, b"x").unwrap();
                leases.push(taken.recv_pooled().await.unwrap());
            }
            // And something that nobody takes.
            assert!(poll_once(taken.recv_pooled()).await.is_none());
            io::Write::write_all(&mut sender, b"unread").unwrap();
            pike::time::sleep(Duration::from_millis(1)).await;
        });
        drop(own);
        block_on(async {
            let (result, buffer) = read.await;
            assert!(Closed::is(&result.unwrap_err()) && buffer == [7; 64]);
            let (result, buffer) = write.await;
            assert!(Closed::is(&result.unwrap_err()) && buffer.len() == MORE_THAN_FITS);
            assert!(Closed::is(&pooled.await.map(drop).unwrap_err()));
            assert!(leases.iter().all(|lease| lease[..] == *b"x"));
            accept.await.map(drop).unwrap_err()
        })
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

/// Of a stream whose peer does not read.
const MORE_THAN_FITS: usize = 16 << 20;

/// A stream on `notifier`, and its peer.
fn stream(notifier: &Notifier) -> (net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _here = notifier.enter();
    (net::TcpStream::from_std(listener.accept().unwrap().0).unwrap(), peer)
}

fn streams(notifier: &Notifier) -> (net::TcpStream, net::TcpStream) {
    let (one, other) = stream(notifier);
    let _here = notifier.enter();
    (one, net::TcpStream::from_std(other).unwrap())
}

fn udp(notifier: &Notifier) -> (net::UdpSocket, SocketAddr) {
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let at = udp.local_addr().unwrap();
    (udp, at)
}

/// One that finds nothing is enough.
const MEASUREMENTS: usize = 4;

#[test]
fn a_refusal_leaves_nothing_behind() {
    alone(|| {
        panic::set_hook(Box::new(|_| {})); // the two that panic do so 50 times
        let mut leaks = Vec::new();
        let granted = |backend: &&Backend| Notifier::builder().backend(**backend).build().is_ok();
        let backends: Vec<_> = Backend::BUILT.iter().filter(granted).collect();
        for (backend, (what, refusal)) in
            backends.iter().flat_map(|backend| REFUSALS.iter().map(move |refusal| (**backend, refusal)))
        {
            let once = || {
                let notifier = Notifier::builder().backend(backend).build().unwrap();
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
                leaks
                    .push(format!("{what}, {backend}: descriptors and bytes before and after: {measured:?}"));
            }
        }
        let _ = panic::take_hook();
        assert!(leaks.is_empty(), "{leaks:#?}");
    });
}
