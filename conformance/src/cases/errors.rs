//! Errors: what cannot be waited for, too few descriptors, whose error it is, no signals, panics.

use std::{
    io::{self, ErrorKind, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use pike::{
    Backend, Batch, Closed, Handle, Notifier,
    net::TcpStream,
    time::{self, Deadline, Elapsed},
};

use crate::{
    Cx, LONG, Outcome, Task, calling,
    net::{self, soon, v4},
    read,
    system::{self, code},
};

/// A descriptor can be registered once with a Notifier; the second try is refused and harms nothing, and works once the
/// first is gone.
pub fn double_registration_is_refused(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (mut handle, mut peer) = cx.handle(&notifier);
    for _ in 0..3 {
        let error = system::register_again(&notifier, handle.get_ref()).expect("it must be refused");
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::AlreadyExists, code::REGISTERED));
        // The first goes on.
        let mut waiting = Task::pending(read(&handle));
        peer.write_all(b"still").unwrap();
        assert_eq!(net::finish(cx, &notifier, "the first registration", &mut waiting).unwrap(), b"still");
        drop(waiting);
        let other = system::register_again(&cx.notifier(), handle.get_ref());
        assert_eq!(other.is_none(), system::SOCKETS_MOVE, "another Notifier: {other:?}");
        let io = handle.into_inner();
        assert!(system::register_again(&notifier, &io).is_none(), "it is free again");
        handle = Handle::new_on(&notifier, io).unwrap();
    }
    Ok(())
}

/// `Closed` and `Elapsed` are each known by their own test and have no code; the system's errors keep theirs; what is
/// missing is `Unsupported`.
pub fn own_errors_are_typed(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, _peer) = net::with_peer(cx, &notifier);
    let elapsed = notifier.block_on(stream.read(&mut [0; 4]).timeout(Duration::from_millis(1))).unwrap_err();
    assert!(Elapsed::is(&elapsed) && !Closed::is(&elapsed));
    assert_eq!((elapsed.kind(), elapsed.raw_os_error()), (ErrorKind::TimedOut, None));
    let elapsed = notifier.block_on(time::timeout(Duration::from_millis(1), stream.readable())).unwrap_err();
    assert!(Elapsed::is(&elapsed.into()));

    stream.socket().cancel();
    let closed: [io::Result<usize>; 6] = [
        notifier.block_on(stream.read(&mut [0; 4])),
        notifier.block_on(stream.write(b"x")),
        stream.try_read(&mut [0; 4]),
        stream.try_write(b"x"),
        notifier.block_on(stream.recv_with(<[u8]>::len)),
        notifier.block_on(stream.writable()).map(|()| 0),
    ];
    for (which, closed) in closed.into_iter().enumerate() {
        let error = closed.unwrap_err();
        assert!(Closed::is(&error) && !Elapsed::is(&error), "call {which}: {error:?}");
        assert_eq!(error.raw_os_error(), None, "call {which}");
        assert!(!error.to_string().is_empty());
    }
    let last = cx.notifier();
    let (handle, _peer) = cx.handle(&last);
    drop(last);
    let error = notifier.block_on(read(&handle)).unwrap_err();
    assert!(Closed::is(&error) && error.raw_os_error().is_none());

    // The system's timeouts and others are not ours.
    for code in [code::ETIMEDOUT, code::ECANCELED, code::ECONNRESET] {
        let error = io::Error::from_raw_os_error(code);
        assert!(!Closed::is(&error) && !Elapsed::is(&error), "{error:?}");
    }
    for error in [io::Error::from(ErrorKind::TimedOut), io::Error::other("closed")] {
        assert!(!Closed::is(&error) && !Elapsed::is(&error), "{error:?}");
    }
    let (_socket, refuses) = net::nobody(&notifier, v4());
    let codes = [
        soon(&notifier, "a refusal", TcpStream::connect(refuses)).unwrap_err(),
        soon(&notifier, "a refusal", TcpStream::connect(refuses).timeout(net::LIMIT)).unwrap_err(),
    ];
    assert!(codes.iter().all(|error| error.raw_os_error() == Some(code::ECONNREFUSED)), "{codes:?}");

    for backend in [Backend::Epoll, Backend::IoUring, Backend::Kqueue, Backend::Iocp] {
        if !Backend::BUILT.contains(&backend) {
            let error = Notifier::builder().backend(backend).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(!Closed::is(&error) && !Elapsed::is(&error));
        }
    }
    Ok(())
}

/// A waker that panics in a turn: the panic comes out of it, everybody else in the batch is woken, and the Notifier works
/// on.
pub fn panicking_waker_is_contained(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handles, mut peers) = cx.handles(&notifier, 5);
    cx.settle(&notifier);
    let called = Arc::new(AtomicUsize::new(0));
    let waker = {
        let called = called.clone();
        calling(move || {
            called.fetch_add(1, SeqCst);
            panic!("a waker's panic")
        })
    };
    for bad in [0, 2, 4] {
        called.store(0, SeqCst);
        let mut waiters: Vec<_> = handles.iter().map(|handle| Task::new(read(handle))).collect();
        for (which, waiter) in waiters.iter_mut().enumerate() {
            assert!(if which == bad { waiter.poll_with(&waker) } else { waiter.poll() }.is_pending());
        }
        peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
        cx.until_arrived(&handles);
        let turned = catch_unwind(AssertUnwindSafe(|| notifier.poll(Some(LONG))));
        let payload = turned.expect_err("the panic is passed on");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a waker's panic"));
        assert_eq!(called.load(SeqCst), 1);
        for (which, waiter) in waiters.iter_mut().enumerate() {
            assert_eq!(waiter.wakes(), usize::from(which != bad), "waiter {which} beside {bad}");
            assert_eq!(waiter.ready().unwrap(), b"x");
        }

        let mut waiter = Task::pending(read(&handles[bad]));
        peers[bad].write_all(b"again").unwrap();
        assert_eq!(net::finish(cx, &notifier, "data after a panic", &mut waiter).unwrap(), b"again");
        assert_eq!(notifier.block_on(async { 1 }), 1);
    }

    // The same where the wakers are not woken by the dispatch of a turn, but by what is left of a batch.
    let lazy = cx.builder().dispatch(|_: &mut Batch| {}).build().unwrap();
    for cancels in [true, false] {
        let (handle, mut peer) = cx.handle(&lazy);
        cx.settle(&lazy);
        let mut waiters: Vec<_> = (0..5).map(|_| Task::new(handle.readable())).collect();
        for (which, waiter) in waiters.iter_mut().enumerate() {
            assert!(if which == 2 { waiter.poll_with(&waker) } else { waiter.poll() }.is_pending());
        }
        if !cancels {
            peer.write_all(b"x").unwrap();
            cx.until_arrived([&handle]);
        }
        let woken = catch_unwind(AssertUnwindSafe(|| match cancels {
            true => handle.cancel(),
            false => drop(lazy.poll(Some(LONG))),
        }));
        assert!(woken.is_err(), "the panic is passed on");
        let wakes: Vec<_> = waiters.iter().map(Task::wakes).collect();
        assert_eq!(wakes, [1, 1, 0, 1, 1], "a waker's panic takes others with it, by a cancel: {cancels}");
        for waiter in &mut waiters {
            assert_eq!(waiter.ready().is_err_and(|error| Closed::is(&error)), cancels);
        }
    }
    Ok(())
}
