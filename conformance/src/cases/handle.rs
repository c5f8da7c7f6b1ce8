//! Handles of any socket: trying and waiting, taking it out and putting it in again, what is ready.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures_lite::future::{self, zip};
use pike::{
    Backend, Handle, Interest, net,
    socket::{Domain, Socket, Type},
};

use crate::{Cx, Outcome, SHORT, Task, read, system};

/// `async_io` calls its closure at once and after each report, as long as it says WouldBlock, and hands out the first
/// other result.
pub fn async_io_retries_until_ready(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let calls = AtomicUsize::new(0);
    // Ready at the third byte only: each report is tried and found too little.
    let mut waiter = Task::pending(handle.async_io(Interest::READABLE, |io| {
        calls.fetch_add(1, SeqCst);
        let mut bytes = [0; 3];
        match io.peek(&mut bytes)? {
            3 => Ok(bytes),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }));
    assert_eq!(calls.load(SeqCst), 1, "it runs at once, once");
    for (sent, byte) in [b"a", b"b"].into_iter().enumerate() {
        peer.write_all(byte).unwrap();
        cx.turn_until(&notifier, "a report for each arrival", || waiter.is_woken());
        assert!(waiter.poll().is_pending());
        assert_eq!(calls.load(SeqCst), 2 + sent);
    }
    // A completion port says of what is unread that it is there, each time it is asked.
    let says_again = notifier.backend() == Backend::Iocp;
    cx.settle(&notifier);
    assert!(says_again || !waiter.is_woken(), "it is woken without a report");
    peer.write_all(b"c").unwrap();
    assert_eq!(&crate::net::finish(cx, &notifier, "the last report", &mut waiter).unwrap(), b"abc");
    let calls = calls.load(SeqCst);
    assert!(calls == 4 || (says_again && calls > 4), "{calls} calls");
    drop(waiter);

    // Any other result ends it: also an interruption, which is the closure's own affair.
    for kind in [io::ErrorKind::Interrupted, io::ErrorKind::InvalidData] {
        let calls = AtomicUsize::new(0);
        let result: io::Result<()> = notifier.block_on(handle.async_io(Interest::WRITABLE, |_| {
            calls.fetch_add(1, SeqCst);
            Err(io::Error::new(kind, "mine"))
        }));
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str(), calls.load(SeqCst)), (kind, "mine", 1));
    }
    let both = Interest::READABLE | Interest::WRITABLE;
    assert_eq!(notifier.block_on(handle.async_io(both, |_| Ok(5))).unwrap(), 5);
    Ok(())
}

/// `try_io` calls its closure only while the descriptor may be ready; a WouldBlock takes that back until the next report.
pub fn try_io_clears_readiness(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let calls = AtomicUsize::new(0);
    let try_read = || {
        handle.try_io(Interest::READABLE, |mut io| {
            calls.fetch_add(1, SeqCst);
            io.read(&mut [0; 16])
        })
    };
    // Nothing is known at first, so the call is made; then it is known.
    for _ in 0..3 {
        assert_eq!(try_read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(calls.load(SeqCst), 1);
    }
    for _ in 0..3 {
        let mut waiter = Task::pending(handle.readable());
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "a new arrival", || waiter.is_woken());
        waiter.ready().unwrap();
        calls.store(0, SeqCst);
        assert_eq!(try_read().unwrap(), 1);
        assert_eq!(try_read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(try_read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(calls.load(SeqCst), 2);
    }

    // The other direction has its own hint.
    let full = cx.until_full(&notifier, || cx.fill(handle.get_ref()));
    let write = || handle.try_io(Interest::WRITABLE, |mut io| io.write(b"x"));
    assert_eq!(write().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let called = AtomicUsize::new(0);
    let unheard = handle.try_io(Interest::WRITABLE, |_| Ok(called.fetch_add(1, SeqCst)));
    assert_eq!(unheard.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(called.load(SeqCst), 0);
    let mut waiter = Task::pending(handle.writable());
    cx.settle(&notifier);
    assert!(!waiter.is_woken());
    cx.drain(&peer, full);
    cx.turn_until(&notifier, "room in the send buffer", || waiter.is_woken());
    waiter.ready().unwrap();
    assert_eq!(write().unwrap(), 1);
    Ok(())
}

/// What a Handle gives back is open and can be registered again, anywhere; a duplicate belongs to a second Notifier at the
/// same time.
pub fn into_inner_then_new(cx: &Cx) -> Outcome {
    let (one, two) = (cx.notifier(), cx.notifier());
    let (mut handle, mut peer) = cx.handle(&one);
    for round in 0..6_u8 {
        // An event of the old time is under way when it goes.
        peer.write_all(&[round]).unwrap();
        cx.until_arrived([&handle]);
        let inner = handle.into_inner();
        system::assert_ours(&inner);
        let mut byte = [0];
        (&inner).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [round]);
        let notifier = if round % 2 == 0 || !system::SOCKETS_MOVE { &one } else { &two };
        handle = Handle::new_on(notifier, inner).unwrap();
        cx.settle(&one);
        cx.settle(&two);
        let mut waiter = Task::pending(handle.readable());
        cx.settle(notifier);
        assert!(!waiter.is_woken(), "woken by what happened before it was registered");
        peer.write_all(&[round]).unwrap();
        cx.turn_until(notifier, "a socket that is registered again", || waiter.is_woken());
        waiter.ready().unwrap();
        drop(waiter);
        assert_eq!(notifier.block_on(read(&handle)).unwrap(), [round]);
    }

    if !system::SOCKETS_MOVE {
        return Ok(()); // `another_port_is_refused` has the rest
    }
    for first_goes_first in [true, false] {
        let (ours, mut peer) = cx.tcp_pair();
        let double = ours.try_clone().unwrap();
        let (a, b) = (Handle::new_on(&one, ours).unwrap(), Handle::new_on(&two, double).unwrap());
        let (mut at_a, mut at_b) = (Task::pending(a.readable()), Task::pending(b.readable()));
        peer.write_all(b"x").unwrap();
        cx.turn_until(&one, "the first Notifier", || at_a.is_woken());
        cx.turn_until(&two, "the second Notifier", || at_b.is_woken());
        at_a.ready().unwrap();
        at_b.ready().unwrap();
        drop((at_a, at_b));
        let (gone, left, notifier) = if first_goes_first { (a, b, &two) } else { (b, a, &one) };
        drop(gone);
        assert_eq!(notifier.block_on(read(&left)).unwrap(), b"x");
        forget_readiness(&left);
        let mut waiter = Task::pending(left.readable());
        peer.write_all(b"y").unwrap();
        cx.turn_until(notifier, "the Notifier that is left", || waiter.is_woken());
        waiter.ready().unwrap();
        drop(waiter);
        drop(left);
        cx.assert_quiet(&one, "both Handles are gone");
        cx.assert_quiet(&two, "both Handles are gone");
    }
    Ok(())
}

/// Reads to would-block: of a bare Handle pike does not guess what is left.
fn forget_readiness(handle: &Handle<TcpStream>) {
    let nothing = handle.try_io(Interest::READABLE, |mut io| io.read(&mut [0]));
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Every type gives out its descriptor: open, non-blocking, closed on exec, and the one the socket has.
pub fn descriptor_is_visible(cx: &Cx) -> Outcome {
    fn check(what: &str, fd: &impl system::AsRaw) {
        assert!(system::is_open(system::raw(fd)), "{what}: not open");
        system::assert_ours(fd);
    }
    let notifier = cx.notifier();
    let _here = notifier.enter();

    let (ours, _peer) = cx.tcp_pair();
    let raw = system::raw(&ours);
    let handle = Handle::new(ours).unwrap();
    check("Handle", handle.get_ref());
    assert_eq!(system::raw(handle.get_ref()), raw);
    assert_eq!(system::raw(&handle.into_inner()), raw);

    let socket = Socket::new(Domain::V4, Type::Stream, None).unwrap();
    check("Socket", &socket);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    check("TcpListener", &listener);
    let address = listener.local_addr().unwrap();
    let (stream, accepted) = notifier.block_on(zip(net::TcpStream::connect(address), listener.accept()));
    let (stream, (accepted, _)) = (stream.unwrap(), accepted.unwrap());
    check("TcpStream", &stream);
    check("an accepted TcpStream", &accepted);
    assert_eq!(system::raw(&stream), system::raw(stream.socket()));
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    check("UdpSocket", &udp);

    // The same descriptor after into_std.
    let (raw_listener, raw_stream, raw_udp) =
        (system::raw(&listener), system::raw(&stream), system::raw(&udp));
    let listener: TcpListener = listener.into_std().unwrap();
    let stream: TcpStream = stream.into_std().unwrap();
    let udp: UdpSocket = udp.into_std().unwrap();
    assert_eq!(system::raw(&listener), raw_listener);
    assert_eq!(system::raw(&stream), raw_stream);
    assert_eq!(system::raw(&udp), raw_udp);
    Ok(())
}

/// `ready` gives what is possible now, of all that was asked for; and waits for that alone.
pub fn ready_returns_what_is_set(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handle, mut peer) = cx.handle(&notifier);
    let both = Interest::READABLE | Interest::WRITABLE;
    let ready = notifier.block_on(handle.ready(both)).unwrap();
    assert!(ready.is_writable() && !ready.is_readable(), "{ready:?}");
    assert!(!ready.is_read_closed() && !ready.is_write_closed() && !ready.is_error(), "{ready:?}");

    let mut readable = Task::pending(handle.ready(Interest::READABLE));
    let mut priority = cx.has_priority().then(|| Task::pending(handle.ready(Interest::PRIORITY)));
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    assert!(!readable.is_woken());
    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "data", || readable.is_woken());
    assert!(readable.ready().unwrap().is_readable());
    let ready = notifier.block_on(handle.ready(both)).unwrap();
    assert!(ready.is_writable() && ready.is_readable(), "{ready:?}");
    assert!(priority.iter_mut().all(|waiter| waiter.poll().is_pending()), "data is no priority condition");
    drop((readable, priority));

    assert_eq!(notifier.block_on(read(&handle)).unwrap(), b"x");
    drop(peer);
    let end = notifier.block_on(future::or(
        async {
            let mut ready = handle.ready(Interest::READABLE).await.unwrap();
            while !ready.is_read_closed() {
                future::yield_now().await;
                ready = handle.ready(Interest::READABLE).await.unwrap();
            }
            Some(ready)
        },
        async {
            pike::time::sleep(Duration::from_secs(5)).await;
            None
        },
    ));
    assert!(end.is_some_and(|ready| ready.is_readable()), "the end of reading is not seen");
    Ok(())
}
