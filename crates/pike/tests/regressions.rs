//! Defects that reviews found; each test was seen to fail before its fix.

use std::{
    future::poll_fn,
    io::{ErrorKind, Read, Write},
    net::{self, SocketAddr},
    panic,
    pin::pin,
    sync::mpsc,
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future::{block_on, poll_once, zip};
use pike::{
    Event, Handle, Interest, Notifier,
    socket::{Domain, Socket, Type},
    time::{Deadline, Elapsed, sleep},
};

const LONG: Duration = Duration::from_secs(5);

fn std_pair() -> (net::TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let one = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

fn send_urgent(stream: &net::TcpStream, bytes: &[u8]) {
    let sent = socket2::SockRef::from(stream).send_out_of_band(bytes).unwrap();
    assert_eq!(sent, bytes.len());
}

#[test]
fn try_io_of_priority_leaves_reading_ready() {
    let notifier = Notifier::new().unwrap();
    let (mut peer, stream) = std_pair();
    let handle = Handle::new_on(&notifier, stream).unwrap();
    peer.write_all(b"abc").unwrap();
    notifier.block_on(async {
        handle.readable().await.unwrap();
        let nothing = handle.try_io(Interest::PRIORITY, |_| Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut buf = [0; 3];
        let read = handle.async_io(Interest::READABLE, |mut io| io.read(&mut buf));
        assert_eq!(read.timeout(LONG).await.unwrap(), 3);
    });
}

#[test]
fn try_io_of_priority_runs_when_priority_was_reported() {
    if pike::Notifier::new().unwrap().backend() == pike::Backend::Kqueue {
        return; // which never reports it
    }
    let notifier = Notifier::new().unwrap();
    let (peer, stream) = std_pair();
    let handle = Handle::new_on(&notifier, stream).unwrap();
    notifier.block_on(async {
        let mut buf = [0; 3];
        let reading = poll_once(handle.async_io(Interest::READABLE, |mut io| io.read(&mut buf))).await;
        assert!(reading.is_none());
        send_urgent(&peer, b"x");
        assert!(handle.ready(Interest::PRIORITY).timeout(LONG).await.unwrap().is_priority());
        handle.try_io(Interest::PRIORITY, |_| Ok(())).unwrap();
    });
}

#[test]
fn a_connect_ends_whose_error_a_read_has_taken() {
    let notifier = Notifier::new().unwrap();
    let [nobody, socket] =
        [(); 2].map(|()| Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap());
    nobody.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap(); // and keeps it from whoever might listen there
    let closed = nobody.local_addr().unwrap();
    notifier.block_on(async {
        let mut connecting = pin!(socket.connect(closed));
        if poll_once(connecting.as_mut()).await.is_some() {
            return; // this system refuses at once
        }
        let read = socket.read(&mut [0]).timeout(LONG).await;
        // Windows keeps the error for the connect, and the read may fail for want of a connection or, under Wine, end.
        assert!(read.is_err() || cfg!(windows));
        assert!(!read.is_err_and(|error| Elapsed::is(&error)));
        let error = connecting.timeout(LONG).await.unwrap_err();
        assert!(!Elapsed::is(&error), "the connect hangs");
    });
}

#[test]
fn recv_from_of_a_stream_receives_nothing() {
    let notifier = Notifier::new().unwrap();
    let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
    notifier.block_on(async {
        socket.connect(listener.local_addr().unwrap()).await.unwrap();
        listener.accept().unwrap().0.write_all(b"abcdef").unwrap();
        let mut buf = [0; 6];
        let error = socket.recv_from(&mut buf[..3]).timeout(LONG).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(socket.read(&mut buf).timeout(LONG).await.unwrap(), 6);
    });
}

#[test]
fn a_timeout_of_nothing_takes_what_is_there() {
    let notifier = Notifier::new().unwrap();
    let (mut peer, stream) = std_pair();
    let handle = Handle::new_on(&notifier, stream).unwrap();
    peer.write_all(&[7; 1000]).unwrap();
    notifier.block_on(async {
        handle.readable().await.unwrap();
        for at in 0..200 {
            let mut buf = [0; 1];
            let read = handle.async_io(Interest::READABLE, |mut io| io.read(&mut buf));
            assert_eq!(read.timeout(Duration::ZERO).await.unwrap(), 1, "read {at}");
        }
    });
}

#[test]
fn a_post_takes_no_notification() {
    for make in [Event::new, Event::counting, Event::latch] {
        let notifier = Notifier::new().unwrap();
        let _here = notifier.enter();
        let event = make().unwrap();
        notifier.block_on(async {
            for _ in 0..3 {
                event.post().timeout(LONG).await.unwrap();
            }
            assert!(poll_once(event.wait()).await.is_none(), "a post notified");
            event.notify();
            let (waited, posted) = zip(event.wait().timeout(LONG), event.post().timeout(LONG)).await;
            assert_eq!((waited.unwrap(), posted.unwrap()), (1, ()));
        });
    }
}

#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn a_sleep_fires_in_a_child_that_was_forked_inside_enter() {
    let notifier = Notifier::new().unwrap();
    let _here = notifier.enter();
    // SAFETY: the child uses no lock of another thread of this process, and ends with `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: takes no pointer. It ends a child that hangs.
        unsafe { libc::alarm(5) };
        let slept = panic::catch_unwind(|| block_on(sleep(Duration::from_millis(10))));
        // SAFETY: takes no pointer.
        unsafe { libc::_exit(slept.is_err().into()) };
    }
    let mut status = 0;
    // SAFETY: writes the status it is given.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child's sleep");
}

/// Each `block_on` polls its future once more when there are no more turns, and not only the first that finds out.
#[test]
fn every_block_on_hears_of_a_shutdown() {
    const COUNT: usize = 3;
    let (notifier, (sender, receiver)) = (Notifier::new().unwrap(), mpsc::channel());
    for _ in 0..COUNT {
        let (notifier, sender) = (notifier.clone(), sender.clone());
        thread::spawn(move || {
            notifier.block_on(poll_fn(|_| {
                let is_over = notifier.failure().is_some();
                sender.send(is_over).unwrap();
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
    }
    let hear = || receiver.recv_timeout(LONG).expect("one sleeps on, and nobody wakes it");
    assert!((0..COUNT).all(|_| !hear()));
    notifier.shutdown(Duration::ZERO);
    let mut told = 0;
    while told < COUNT {
        told += usize::from(hear());
    }
}

/// Tests that break what others share. Not on FreeBSD, whose kernel is tested where no other program can be started.
#[cfg(not(target_os = "freebsd"))]
mod in_another_process {
    use std::{
        future::Future,
        panic::AssertUnwindSafe,
        pin::Pin,
        process::Command,
        sync::Arc,
        task::{Context, Wake, Waker},
        time::Instant,
    };

    use super::*;

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }

    /// Polls once with a waker that panics.
    fn poll_with_panicking_waker<F: Future>(future: Pin<&mut F>) {
        assert!(future.poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
    }

    /// Runs a test in a process of its own, since it breaks what others share. True inside of it.
    fn alone(test: &str) -> bool {
        const CHILD: &str = "PIKE_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return true;
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args([test, "--exact", "--nocapture"]).env(CHILD, "1").output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
        false
    }

    #[test]
    fn a_background_notifier_that_was_shut_down_is_replaced() {
        if !alone("in_another_process::a_background_notifier_that_was_shut_down_is_replaced") {
            return;
        }
        let before = Notifier::background().unwrap();
        let mut sleeping = pin!(sleep(Duration::from_secs(2)));
        assert!(block_on(poll_once(sleeping.as_mut())).is_none());
        before.shutdown(Duration::ZERO);
        let start = Instant::now();
        assert!(block_on(poll_once(sleeping.as_mut())).is_none());
        assert!(start.elapsed() < Duration::from_secs(1), "the poll of a sleep slept");
        block_on(sleeping);
    }

    #[test]
    fn a_panicking_waker_does_not_end_the_background_notifier() {
        if !alone("in_another_process::a_panicking_waker_does_not_end_the_background_notifier") {
            return;
        }
        let event = Event::new().unwrap();
        let mut waiting = Box::pin(event.wait());
        poll_with_panicking_waker(waiting.as_mut());
        event.notify();
        // Notified until it was woken, and so has panicked.
        while block_on(poll_once(event.wait())).is_some() {
            thread::yield_now();
        }
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            block_on(sleep(Duration::from_millis(50)));
            sender.send(()).unwrap();
        });
        receiver.recv_timeout(LONG).expect("a sleep after the panic");
    }

    #[test]
    fn two_panicking_wakers_in_one_batch() {
        if !alone("in_another_process::two_panicking_wakers_in_one_batch") {
            return;
        }
        let notifier = Notifier::new().unwrap();
        let _here = notifier.enter();
        let events = [(); 3].map(|()| Event::new().unwrap());
        let mut waiting: Vec<_> = events.iter().map(|event| Box::pin(event.wait())).collect();
        waiting[..2].iter_mut().for_each(|wait| poll_with_panicking_waker(wait.as_mut()));
        events[..2].iter().for_each(Event::notify);
        let turned = panic::catch_unwind(AssertUnwindSafe(|| notifier.poll(Some(Duration::ZERO))));
        assert!(turned.is_err());
        events[2].notify();
        assert_eq!(notifier.block_on(waiting.pop().unwrap().timeout(LONG)).unwrap(), 1);
    }

    /// A waker that panics as a thread exits does not end the process, and keeps none of the thread's Notifiers from their end.
    #[test]
    fn a_panicking_waker_at_the_exit_of_a_thread() {
        if !alone("in_another_process::a_panicking_waker_at_the_exit_of_a_thread") {
            return;
        }
        let notifiers = [(); 2].map(|()| Notifier::builder().bound().build().unwrap());
        let events = notifiers.each_ref().map(|notifier| {
            let _here = notifier.enter();
            Event::new().unwrap()
        });
        let mut waiting = events.each_ref().map(|event| Box::pin(event.wait()));
        waiting.iter_mut().for_each(|wait| poll_with_panicking_waker(wait.as_mut()));
        let its = notifiers.clone();
        let exits =
            thread::spawn(move || its.iter().for_each(|notifier| _ = notifier.poll(Some(Duration::ZERO))));
        exits.join().unwrap();
        for notifier in &notifiers {
            assert!(pike::Closed::is(&notifier.poll(Some(Duration::ZERO)).unwrap_err()));
        }
    }

    /// The thread of a background Notifier ends with it: no number of shutdowns leaves threads behind.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_background_thread_ends_with_its_notifier() {
        if !alone("in_another_process::the_background_thread_ends_with_its_notifier") {
            return;
        }
        let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        for _ in 0..3 {
            let notifier = Notifier::background().unwrap();
            while notifier.turns() == 0 {
                notifier.notify();
                thread::yield_now(); // it is in its `block_on`
            }
            notifier.shutdown(Duration::ZERO);
        }
        let start = Instant::now();
        while threads() > before {
            assert!(start.elapsed() < LONG, "{} threads, and there were {before}", threads());
            thread::sleep(Duration::from_millis(1));
        }
    }
}
