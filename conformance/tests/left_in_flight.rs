//! What a shutdown could not end (I3): it is counted, and what the kernel may still write to stays where it is.
//!
//! Method: what is cancelled on a ring that any thread may turn ends on the thread that submitted it. That one is held in the
//! kernel, where no cancel reaches it: as the parent of a vfork(2) is until its child ends.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

use std::{
    fs::File,
    io::{Read, Write},
    mem::MaybeUninit,
    net::TcpStream as Peer,
    os::{fd::AsRawFd, unix::net::UnixStream as StdUnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{
    Backend, Closed, Notifier,
    buf::{BufResult, IoBuf, IoBufMut},
    net::{self, TcpListener},
    time,
};
use pike_conformance::{Cx, Task, harness::alone, heap, unix};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// As long as nothing takes here, on any machine.
const LONG: Duration = Duration::from_secs(60);
/// What the kernel is given to end something where nobody says more.
const GRACE: Duration = Duration::from_millis(200);
/// The child of a thread that is held ends after so long, whatever goes wrong.
const HELD_MAX_MS: i32 = 30_000;

fn cx(name: &str) -> Cx {
    Cx::new(name.to_owned(), Backend::IoUring, LONG)
}

/// A thread that has turned a Notifier, and is held until this is dropped.
struct Held {
    gate: File,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    fn after_turns_of(notifier: &Notifier) -> Self {
        let ((waits, gate), (mut is_held, held)) = (unix::pipe(), unix::pipe());
        let notifier = notifier.clone();
        let thread = thread::spawn(move || {
            for _ in 0..10 {
                notifier.poll(Some(Duration::from_millis(2))).unwrap();
            }
            drop(notifier);
            hold([waits.as_raw_fd(), held.as_raw_fd()]);
        });
        is_held.read_exact(&mut [0]).expect("the child's word");
        Self { gate, thread: Some(thread) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.gate.write_all(b"x"); // it may have waited too long for this
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Holds this thread until something can be read from the first descriptor. Once it is held a byte is written to the second.
fn hold(mut descriptors: [libc::c_int; 2]) {
    extern "C" fn child(descriptors: *mut libc::c_void) -> libc::c_int {
        // SAFETY: in the frame of the parent, which is held.
        let [gate, held] = unsafe { *descriptors.cast() };
        // SAFETY: reads the one byte it is given.
        unsafe { libc::write(held, b"x".as_ptr().cast(), 1) };
        let mut gate = libc::pollfd { fd: gate, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, which outlives the call.
        unsafe { libc::poll(&mut gate, 1, HELD_MAX_MS) };
        0
    }
    let mut stack = vec![0_u128; 4096];
    // The memory, and the table of descriptors, are the parent's.
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.cast();
    // SAFETY: the child has a stack of its own, and ends before this returns; it calls nothing but the system.
    let pid = unsafe { libc::clone(child, top, flags, descriptors.as_mut_ptr().cast()) };
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    // SAFETY: our child, and nobody asks for its status.
    assert_eq!(unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) }, pid);
}

/// A buffer whose drops are counted.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl IoBuf for Counted {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl IoBufMut for Counted {
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0.room()
    }

    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: what `room` returned last.
        unsafe { self.0.filled(count) };
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
    }
}

#[track_caller]
fn is_closed((result, buf): BufResult<usize, Vec<u8>>) -> Vec<u8> {
    assert!(Closed::is(&result.unwrap_err()));
    buf
}

/// What has not ended when the limit has passed is counted, and no sooner; it keeps its buffers, and ends with a later shutdown.
#[test]
fn what_does_not_end_in_time_is_counted() {
    alone(|| {
        let cx = cx("counted");
        let notifier = cx.builder().buffers(16, 64).build().unwrap();
        let ([(one, mut peer), (other, _other), (pooled, _third)], listener) =
            ([(); 3].map(|()| cx.stream(&notifier)), listener(&notifier));
        let mut reading = [&one, &other].map(|s| Task::pending(s.read_owned(b"mine".to_vec())));
        let mut pooled = Task::pending(pooled.recv_pooled());
        let mut accept = Task::pending(listener.accept());
        let held = Held::after_turns_of(&notifier);

        let start = Instant::now();
        assert_eq!(notifier.shutdown(Duration::ZERO), 4, "left in flight");
        assert!(start.elapsed() < LONG / 4, "it waited");
        let (start, limit) = (Instant::now(), Duration::from_millis(300));
        assert_eq!(notifier.shutdown(limit), 4, "left in flight");
        assert!(start.elapsed() >= limit, "it gave up too early");
        peer.write_all(b"late").unwrap();
        assert_eq!(notifier.shutdown(Duration::ZERO), 4, "left in flight");
        reading.iter_mut().for_each(|task| assert!(task.poll().is_pending(), "the kernel has its buffer"));
        // These have given nothing away, and need not wait for it.
        assert!(Closed::is(&pooled.ready().map(drop).unwrap_err()));
        assert!(Closed::is(&accept.ready().map(drop).unwrap_err()));

        drop(held);
        assert_eq!(notifier.shutdown(LONG), 0, "left in flight");
        let [first, second] = reading.each_mut().map(Task::ready);
        assert_eq!(is_closed(second), b"mine");
        match first.0 {
            Ok(count) => assert_eq!((count, &first.1[..]), (4, &b"late"[..])),
            Err(_) => assert_eq!(is_closed(first), b"mine"),
        }
    });
}

fn listener(notifier: &Notifier) -> TcpListener {
    let _here = notifier.enter();
    TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0").unwrap()).unwrap()
}

/// All of it goes while the kernel still has receives: of futures that are there, were dropped and were leaked, and into buffers
/// of the pool. None of their memory is freed, nor is the pool's; the sockets are closed, and end once the kernel is done.
#[test]
fn what_the_kernel_may_write_to_is_kept() {
    const POOL: usize = 64 << 16;
    alone(|| {
        let cx = cx("kept");
        let (before, dropped) = (heap::live().unwrap(), Arc::new(AtomicUsize::new(0)));
        let notifier = cx.builder().buffers(64, 1 << 16).build().unwrap();
        let (streams, mut peers): (Vec<_>, Vec<Peer>) = (0..8).map(|_| cx.stream(&notifier)).unzip();
        let new = || Counted(vec![b'.'; 64], Arc::clone(&dropped));
        let mut reading: Vec<_> =
            streams[..6].iter().map(|stream| Task::pending(stream.read_owned(new()))).collect();
        let pooled: Vec<_> = streams[6..].iter().map(|stream| Task::pending(stream.recv_pooled())).collect();
        let held = Held::after_turns_of(&notifier);

        reading.pop().unwrap().forget();
        reading.truncate(3);
        drop(notifier); // nothing has ended in its time
        assert!(reading.iter_mut().all(|task| task.poll().is_pending()));
        drop((reading, pooled));
        drop(streams);
        // The kernel was asked to end them all, and has not got to that.
        peers.iter_mut().for_each(|peer| peer.write_all(&[b'x'; 64]).unwrap());
        assert_eq!(dropped.load(SeqCst), 0, "buffers that the kernel has");
        assert!(heap::live().unwrap() - before >= POOL as isize, "the pool that the kernel has");

        drop(held);
        for mut peer in peers {
            peer.set_read_timeout(Some(LONG)).unwrap();
            // What was not read makes it a reset.
            assert!(
                peer.read(&mut [0])
                    .map_or_else(|error| error.raw_os_error() == Some(libc::ECONNRESET), |n| n == 0)
            );
        }
        assert_eq!(dropped.load(SeqCst), 0, "nobody has reaped them");
    });
}

/// More is in flight on a bound ring than one wait reaps, and another thread has shut it down, which cannot: all of it ends with
/// the next call of the thread whose it is, or as that exits.
#[test]
fn a_bound_ring_ends_all_that_its_thread_began() {
    const SOCKETS: usize = 3_000;
    alone(|| {
        assert!(unix::raise_descriptor_limit() >= 3 * SOCKETS);
        let cx = cx("many at the end");
        for calls in [true, false] {
            let notifier = cx.builder().bound().build().unwrap();
            let (streams, _peers): (Vec<_>, Vec<_>) = {
                let _here = notifier.enter();
                let pairs = (0..SOCKETS).map(|_| StdUnixStream::pair().unwrap());
                pairs.map(|(one, other)| (net::UnixStream::from_std(one).unwrap(), other)).unzip()
            };
            let mut reading: Vec<_> =
                streams.iter().map(|stream| Task::pending(stream.read_owned(b"mine".to_vec()))).collect();
            thread::scope(|scope| {
                let ((said, word), (go, goes)) = (mpsc::channel(), mpsc::channel::<()>());
                let (cx, notifier) = (&cx, &notifier);
                let owner = scope.spawn(move || {
                    cx.settle(notifier);
                    said.send(()).unwrap();
                    goes.recv().unwrap();
                    if calls {
                        assert!(Closed::is(&notifier.poll(None).unwrap_err()));
                        said.send(()).unwrap();
                        let _ = goes.recv();
                    }
                });
                word.recv().unwrap();
                assert_eq!(notifier.shutdown(LONG), 0, "it is the other thread's to do");
                assert!(reading.iter().all(|task| !task.is_woken()));
                go.send(()).unwrap();
                if calls {
                    word.recv().unwrap();
                } else {
                    owner.join().unwrap();
                }
                for task in &mut reading {
                    assert!(task.is_woken(), "calls: {calls}");
                    assert_eq!(is_closed(task.ready()), b"mine");
                }
            });
        }
    });
}

/// The thread of a bound ring exits just as another shuts it down, which cannot: whatever comes first, what is in flight ends.
#[test]
fn an_exit_beside_a_shutdown_ends_all() {
    alone(|| {
        let cx = cx("exit beside shutdown");
        for round in 0..cx.rounds(500) {
            let notifier = cx.builder().bound().build().unwrap();
            let (one, _other) = StdUnixStream::pair().unwrap();
            let stream = {
                let _here = notifier.enter();
                net::UnixStream::from_std(one).unwrap()
            };
            let mut reading = Task::pending(stream.read_owned(b"mine".to_vec()));
            let is_going = AtomicUsize::new(0);
            thread::scope(|scope| {
                let owner = scope.spawn(|| {
                    notifier.poll(Some(Duration::ZERO)).unwrap();
                    is_going.store(1, SeqCst);
                });
                while is_going.load(SeqCst) == 0 {
                    std::hint::spin_loop();
                }
                // The exit takes some microseconds.
                (0..round % 64 * 16).for_each(|_| std::hint::spin_loop());
                for _ in 0..8 {
                    notifier.shutdown(Duration::ZERO);
                }
                owner.join().unwrap();
            });
            cx.until("what a bound ring had in flight", || reading.is_woken());
            assert_eq!(is_closed(reading.ready()), b"mine");
        }
    });
}

/// Another thread turns the ring all the time, and finds it closed just as this one shuts it down, with much time: that ends all,
/// whichever of them does; also if that one shuts it down as well, with no time at all.
#[test]
fn a_shutdown_beside_who_finds_it_closed_ends_all() {
    alone(|| {
        let cx = cx("shutdown beside polls");
        for round in 0..cx.rounds(2_000) {
            let notifier = cx.builder().buffers(1, 64).build().unwrap();
            let (one, _other) = StdUnixStream::pair().unwrap();
            let stream = {
                let _here = notifier.enter();
                net::UnixStream::from_std(one).unwrap()
            };
            let mut reading = Task::pending(stream.read_owned(b"mine".to_vec()));
            notifier.poll(Some(Duration::ZERO)).unwrap(); // what is cancelled ends on this thread
            let (is_going, start) = (AtomicUsize::new(0), Instant::now());
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    is_going.store(1, SeqCst);
                    while !notifier.poll(Some(Duration::ZERO)).is_err_and(|error| Closed::is(&error)) {}
                    if round % 2 == 0 {
                        notifier.shutdown(Duration::ZERO);
                    }
                });
                while is_going.load(SeqCst) == 0 {
                    thread::yield_now();
                }
                (0..round % 64 * 8).for_each(|_| std::hint::spin_loop());
                assert_eq!(notifier.shutdown(LONG), 0, "left in flight");
                other.join().unwrap();
            });
            if start.elapsed() >= GRACE {
                notifier.shutdown(LONG); // on a machine that does not let this thread run the other may have run out of time
            }
            assert!(reading.is_woken(), "round {round}: nobody has ended it");
            assert_eq!(is_closed(reading.ready()), b"mine");
        }
    });
}

/// What a shutdown left in flight ends as the last value is dropped.
#[test]
fn what_was_left_ends_with_the_last_value() {
    alone(|| {
        let cx = cx("left, and dropped");
        let notifier = cx.builder().build().unwrap();
        let (stream, _peer) = cx.stream(&notifier);
        let mut reading = Task::pending(stream.read_owned(b"mine".to_vec()));
        let held = Held::after_turns_of(&notifier);
        assert_eq!(notifier.shutdown(Duration::ZERO), 1, "left in flight");
        let other = notifier.clone();
        drop(held);
        drop(other);
        assert!(reading.poll().is_pending(), "there is a value still");
        drop(notifier);
        assert_eq!(is_closed(reading.ready()), b"mine");
    });
}

/// A `block_on` gives what a shutdown has left in flight time to end: who waits for that there hears of it by nothing else.
#[test]
fn what_was_left_ends_in_a_block_on() {
    alone(|| {
        let cx = cx("left, and waited for");
        loop {
            let notifier = cx.builder().build().unwrap();
            let (stream, _peer) = cx.stream(&notifier);
            let mut reading = Box::pin(stream.read_owned(b"mine".to_vec()));
            assert!(notifier.block_on(future::poll_once(reading.as_mut())).is_none());
            let held = Held::after_turns_of(&notifier);
            assert_eq!(notifier.shutdown(Duration::ZERO), 1, "left in flight");
            let start = Instant::now();
            let (ended, is_late) = thread::scope(|scope| {
                let lets_go = scope.spawn(move || {
                    thread::sleep(GRACE / 10);
                    drop(held);
                    start.elapsed() >= GRACE / 2
                });
                let is_over = async {
                    time::sleep(2 * GRACE).await; // by the Notifier in the background
                    None
                };
                let ended = notifier.block_on(future::or(async { Some(reading.await) }, is_over));
                (ended, lets_go.join().unwrap())
            });
            match ended {
                Some(ended) => return assert_eq!(is_closed(ended), b"mine"),
                None => assert!(is_late, "nobody has ended it"), // on a machine that is busy: once more
            }
        }
    });
}
