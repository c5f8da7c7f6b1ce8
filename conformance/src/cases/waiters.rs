//! Many waiters of one direction: who is woken, and who passes it on.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Waker},
    thread,
};

use pike::{Handle, Interest, Notifier, net};

use super::readiness::read_up_to;
use crate::{Cx, Outcome, Rng, Task, Wakes, heap, system};

/// Whoever only looks is woken together with all others of the same direction, and with none of the other one; of the
/// pollers the last one. A waker may be exchanged any number of times.
pub fn many_waiters_wake_all(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    cx.fill_up(&notifier, &stream);
    let mut readers: Vec<_> = (0..20).map(|_| Task::pending(stream.readable())).collect();
    let mut writers: Vec<_> = (0..20).map(|_| Task::pending(stream.writable())).collect();
    let urgent_waiters = if cx.has_priority() { 20 } else { 0 };
    let mut urgent: Vec<_> =
        (0..urgent_waiters).map(|_| Task::pending(stream.ready(Interest::PRIORITY))).collect();
    let [first, last, writer] = [(); 3].map(|()| Wakes::new());
    let poll = |wakes: &Arc<Wakes>, write| {
        let waker = Waker::from(wakes.clone());
        let mut polled = Context::from_waker(&waker);
        if write { stream.poll_write_ready(&mut polled) } else { stream.poll_read_ready(&mut polled) }
    };
    assert!(poll(&first, false).is_pending() && poll(&last, false).is_pending());
    assert!(poll(&writer, true).is_pending());
    assert_eq!(Arc::strong_count(&first), 1, "the waker that was replaced is kept");

    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "all readers", || readers.iter().all(Task::is_woken));
    cx.settle(&notifier);
    for reader in &mut readers {
        assert_eq!(reader.wakes(), 1);
        reader.ready().unwrap();
    }
    assert_eq!((first.count(), last.count(), writer.count()), (0, 1, 0));
    assert!(writers.iter().all(|writer| !writer.is_woken()), "a writer is woken by data");
    assert!(urgent.iter_mut().all(|waiter| waiter.poll().is_pending()), "priority by plain data");
    assert!(poll(&last, false).is_ready());

    let double = system::double(&peer);
    let drainer = thread::spawn(move || {
        let mut buf = vec![0; 1 << 16];
        while (&double).read(&mut buf).unwrap() > 0 {}
    });
    cx.turn_until(&notifier, "all writers", || writers.iter().all(Task::is_woken) && writer.count() > 0);
    assert_eq!(writer.count(), 1);
    writers.iter_mut().for_each(|writer| writer.ready().unwrap());
    drop((readers, writers, urgent));
    drop(peer);
    stream.shutdown(Shutdown::Write).unwrap();
    drainer.join().unwrap();
    drop(stream);

    // Ten thousand wakers for one read.
    let (stream, mut peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    let early = Wakes::new();
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    let before = heap::here();
    for _ in 0..10_000 {
        assert!(reader.poll_with(&early.clone().into()).is_pending());
    }
    let last = Wakes::new();
    assert!(reader.poll_with(&last.clone().into()).is_pending());
    if let (Some(before), Some(after)) = (before, heap::here()) {
        assert!((after - before).live < 1024, "{:?}", after - before);
    }
    assert_eq!(Arc::strong_count(&early), 1, "a waker that was replaced is kept");
    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "the last waker", || last.count() > 0);
    assert_eq!((early.count(), last.count()), (0, 1));
    Ok(())
}

/// A queue of tasks in one kind of operation, and what was polled.
struct Crowd<'a, R> {
    tasks: Vec<Task<'a, io::Result<R>>>,
}

impl<'a, R> Crowd<'a, R> {
    fn new(tasks: impl Iterator<Item = Task<'a, io::Result<R>>>) -> Self {
        let mut crowd = Self { tasks: tasks.collect() };
        assert!(crowd.tasks.iter_mut().all(|task| task.poll().is_pending()));
        crowd
    }

    /// Polls whoever is woken until nobody is; gives those that are done now, in the order of their end.
    fn run(&mut self) -> Vec<usize> {
        let mut done = Vec::new();
        while let Some(at) = self.tasks.iter().position(|task| !task.is_done() && task.is_woken()) {
            if let std::task::Poll::Ready(result) = self.tasks[at].poll() {
                result.unwrap();
                done.push(at);
            }
        }
        done
    }

    fn polls(&self) -> usize {
        self.tasks.iter().map(Task::polls).sum()
    }

    fn woken(&self) -> Vec<usize> {
        let woken = self.tasks.iter().enumerate().filter(|(_, task)| !task.is_done() && task.is_woken());
        woken.map(|(at, _)| at).collect()
    }
}

/// Of many tasks in accept, or in a receive, one arrival wakes the first that waits; several complete as many, in order.
pub fn consumers_wake_one(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    cx.settle(&notifier);
    let accepting = Crowd::new((0..20).map(|_| Task::new(listener.accept())));
    check_crowd(cx, &notifier, accepting, |count| {
        clients.extend((0..count).map(|_| TcpStream::connect(address).unwrap()));
    });

    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let (address, sender) = (udp.local_addr().unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    cx.settle(&notifier);
    let receiving = Crowd::new((0..20).map(|_| {
        Task::new(async {
            let mut buf = [0; 8];
            udp.recv_from(&mut buf).await
        })
    }));
    check_crowd(cx, &notifier, receiving, |count| {
        (0..count).for_each(|_| assert_eq!(sender.send_to(b"x", address).unwrap(), 1));
    });
    Ok(())
}

/// `arrive(k)` makes k things arrive, which a Linux loopback does at once.
fn check_crowd<R>(cx: &Cx, notifier: &Notifier, mut crowd: Crowd<'_, R>, mut arrive: impl FnMut(usize)) {
    let mut expected: VecDeque<_> = (0..crowd.tasks.len()).collect();
    for count in [1, 1, 1, 5, 1, 3] {
        let before = crowd.polls();
        arrive(count);
        cx.turn_until(notifier, "the first of a crowd", || !crowd.woken().is_empty());
        let first = expected[0];
        assert_eq!(crowd.woken(), [first], "one is woken, the first that waits");
        let mut done = crowd.run();
        while done.len() < count {
            cx.turn_until(notifier, "the others of a crowd", || !crowd.woken().is_empty());
            done.extend(crowd.run());
        }
        let due: Vec<_> = expected.drain(..count).collect();
        assert_eq!(done, due, "they complete in the order in which they began to wait");
        // Each once, and the next one in vain, which the last wakes since it cannot know.
        let polls = crowd.polls() - before;
        assert!(polls <= 2 * count + 1, "{polls} polls for {count} arrivals");
    }
}

/// A woken waiter that goes away without having looked passes its wake on: dropped, unwound, or ended by an error. Waiters
/// that complete pass on what is left, so that one edge serves all.
pub fn baton_passed_on(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = Handle::new_on(&notifier, TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let accept = || listener.async_io(Interest::READABLE, |listener| listener.accept());
    let arrive = || TcpStream::connect(address).unwrap();
    cx.settle(&notifier);

    for (how, arrivals) in [(0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (2, 2), (3, 1), (3, 2)] {
        let what = format!("end {how} of the first, {arrivals} arrivals");
        let mut first = Some(Task::pending(accept()));
        let mut second = Task::pending(accept());
        let end = |task: Task<'_, _>| match how {
            2 => {
                // By a panic that unwinds its owner.
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _task = task;
                    resume_unwind(Box::new("on purpose"));
                }));
                assert!(unwound.is_err());
            }
            _ => drop(task),
        };
        // 0: dropped before anything arrives. 1, 2: after it was woken. 3: between the arrival and the turn.
        if how == 0 {
            end(first.take().unwrap());
        }
        let clients: Vec<_> = (0..arrivals).map(|_| arrive()).collect();
        if how == 3 {
            end(first.take().unwrap());
        }
        cx.turn_until(&notifier, &what, || first.as_ref().unwrap_or(&second).is_woken());
        if let Some(first) = first.take() {
            assert!(!second.is_woken(), "{what}: both are woken by one edge");
            end(first);
        }
        assert!(second.is_woken(), "{what}: the wake is lost");
        second.ready().unwrap();
        for _ in 1..arrivals {
            assert!(notifier.block_on(accept()).is_ok());
        }
        drop(clients);
        assert_eq!(
            listener.try_io(Interest::READABLE, |l| l.accept()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    // One edge, several arrivals, waiters one of which fails.
    let failing = || {
        listener.async_io(Interest::READABLE, |listener| {
            listener.accept()?;
            Err::<(TcpStream, _), _>(io::Error::other("on purpose"))
        })
    };
    let mut waiters = vec![Task::pending(accept())];
    waiters.push(Task::pending(failing()));
    waiters.extend((0..3).map(|_| Task::pending(accept())));
    let clients: Vec<_> = (0..5).map(|_| arrive()).collect();
    cx.turn_until(&notifier, "the edge", || waiters[0].is_woken());
    for (at, waiter) in waiters.iter_mut().enumerate() {
        assert!(waiter.is_woken(), "waiter {at} is not woken by the one before");
        assert_eq!(waiter.ready().is_ok(), at != 1);
    }
    drop((waiters, clients));

    // The first is dropped at a random moment while another thread's turn wakes it: before, after, or in between.
    let (stop, mut rng) = (AtomicBool::new(false), Rng::new());
    thread::scope(|scope| {
        let _stop = StopTurning(&stop, &notifier);
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                notifier.poll(None).unwrap();
            }
        });
        for _ in 0..cx.rounds(2_000) {
            let (first, mut second) = (Task::pending(accept()), Task::pending(accept()));
            let client = arrive();
            (0..rng.below(3000)).for_each(|_| std::hint::spin_loop());
            drop(first);
            while second.poll().map(|accepted| drop(accepted.unwrap())).is_pending() {
                cx.until("a wake was lost with a waiter that was dropped", || second.is_woken());
            }
            drop(client);
        }
    });

    // The same with datagrams.
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let receive = || async {
        let mut buf = [0; 8];
        udp.recv_from(&mut buf).await.map(|(n, _)| buf[..n].to_vec())
    };
    cx.settle(&notifier);
    for _ in 0..3 {
        let (first, mut second, mut third) =
            (Task::pending(receive()), Task::pending(receive()), Task::pending(receive()));
        sender.send_to(b"one", udp.local_addr().unwrap()).unwrap();
        sender.send_to(b"two", udp.local_addr().unwrap()).unwrap();
        cx.turn_until(&notifier, "a datagram", || first.is_woken());
        drop(first);
        assert!(second.is_woken() && !third.is_woken());
        assert_eq!(second.ready().unwrap(), b"one");
        while third.poll().map(|bytes| assert_eq!(bytes.unwrap(), b"two")).is_pending() {
            cx.turn_until(&notifier, "the second datagram", || third.is_woken());
        }
    }
    Ok(())
}

/// Ends the thread that turns, however the case ends.
pub(super) struct StopTurning<'a>(pub(super) &'a AtomicBool, pub(super) &'a Notifier);

impl Drop for StopTurning<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
        self.1.notify();
    }
}
