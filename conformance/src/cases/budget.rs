//! Budgets: how much one task may do before others are served, and what an operation costs.

use std::{
    future::{Future, poll_fn},
    io::{IoSlice, IoSliceMut, Read, Write},
    net::{Ipv4Addr, TcpStream},
    pin::pin,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use futures_lite::future::{self, zip};
use pike::{
    Event, Interest, Notifier, budget, net,
    socket::{
        RecvFlags, SendFlags, Type,
        control::{ControlBuf, Outgoing, PACKET_INFO_SPACE, Source, TIMESTAMP_SPACE},
        option,
    },
    time,
};

use crate::{Boxed, Cx, LONG, Outcome, Task, heap, join_all, skip};

/// Inline successes in a row.
const INLINE_MAX: usize = 32;

/// Writes to `peer` until nobody reads any more.
fn flood(mut peer: TcpStream) {
    while peer.write(&[b'x'; 4096]).is_ok() {}
}

/// A task that reads from a socket which always has more gives way: twenty quiet connections, a timer and a flag of the same
/// thread get on.
pub fn flooding_socket_yields(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (greedy, flooding) = cx.stream(&notifier);
    let (quiet, peers): (Vec<_>, Vec<_>) = (0..20).map(|_| cx.stream(&notifier)).unzip();
    let (stop, longest, reads) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let greedy = greedy;
        scope.spawn(|| flood(flooding));
        scope.spawn(|| {
            for round in 0..50_u8 {
                for mut peer in &peers {
                    peer.write_all(&[round]).unwrap();
                }
                for mut peer in &peers {
                    let mut byte = [0];
                    peer.read_exact(&mut byte).unwrap();
                    assert_eq!(byte, [round]);
                }
            }
        });
        let greedy_reader = async {
            let run = AtomicUsize::new(0);
            let mut reading = pin!(async {
                let mut byte = [0];
                while !stop.load(SeqCst) {
                    assert_eq!(greedy.read(&mut byte).await.unwrap(), 1);
                    reads.fetch_add(1, SeqCst);
                    run.fetch_add(1, SeqCst);
                }
            });
            poll_fn(|cx| {
                run.store(0, SeqCst);
                let polled = reading.as_mut().poll(cx);
                longest.fetch_max(run.load(SeqCst), SeqCst);
                polled
            })
            .await;
        };
        let mut all: Vec<Boxed<'_, ()>> = vec![Box::pin(greedy_reader)];
        let left = AtomicUsize::new(quiet.len() + 1);
        for stream in &quiet {
            all.push(Box::pin(async {
                for _ in 0..50 {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).await.unwrap();
                    stream.write_all(&byte).await.unwrap();
                }
                if left.fetch_sub(1, SeqCst) == 1 {
                    stop.store(true, SeqCst);
                }
            }));
        }
        all.push(Box::pin(async {
            for _ in 0..5 {
                time::sleep(Duration::from_millis(1)).await;
            }
            if left.fetch_sub(1, SeqCst) == 1 {
                stop.store(true, SeqCst);
            }
        }));
        notifier.block_on(join_all(all));
        // Ends the flood.
        greedy.set_linger(Some(Duration::ZERO)).unwrap();
        drop(greedy);
    });
    assert!(reads.load(SeqCst) > INLINE_MAX, "the greedy task did nothing");
    assert!(longest.load(SeqCst) <= INLINE_MAX, "{} reads in one poll", longest.load(SeqCst));
    Ok(())
}

/// The budget by numbers: 32 operations resolve inline, the next gives way before its system call, and `reset` or a turn
/// begins anew. It counts every kind of operation on every socket, a thread for itself.
pub fn budget_counts_inline_successes(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    peer.write_all(&[b'x'; 200]).unwrap();
    cx.turn_until(&notifier, "200 bytes", || stream.try_peek(&mut [0; 256]).is_ok_and(|n| n == 200));
    let queued = || stream.try_peek(&mut [0; 256]).unwrap();
    let mut byte = [0];
    // With what is left of the budget, unlike Task::poll.
    let mut reads_inline = |most| {
        let mut done = 0;
        while done < most {
            let mut read = Task::new(stream.read(&mut byte));
            match read.poll_on() {
                std::task::Poll::Ready(n) => assert_eq!(n.unwrap(), 1),
                std::task::Poll::Pending => {
                    assert!(read.is_woken(), "it gives way, and is not woken again");
                    break;
                }
            }
            done += 1;
        }
        done
    };
    budget::reset();
    assert_eq!(reads_inline(100), INLINE_MAX);
    assert_eq!(queued(), 200 - INLINE_MAX, "giving way comes before the system call");
    notifier.poll(Some(Duration::ZERO)).unwrap();
    assert_eq!(reads_inline(100), INLINE_MAX);
    // Up to the limit and not beyond: reset, or a turn, before the operation that would give way.
    assert_eq!(reads_inline(INLINE_MAX), INLINE_MAX);
    budget::reset();
    assert_eq!(reads_inline(INLINE_MAX), INLINE_MAX);
    notifier.poll(Some(Duration::ZERO)).unwrap();
    assert_eq!(reads_inline(INLINE_MAX), INLINE_MAX);
    // Another thread has a budget of its own, and does not change this one's.
    budget::reset();
    assert_eq!(reads_inline(20), 20);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..INLINE_MAX {
                assert!(Task::new(stream.write(b"y")).poll_on().is_ready());
            }
        });
    });
    assert_eq!(reads_inline(100), INLINE_MAX - 20);

    every_kind_counts(cx, &notifier);
    Ok(())
}

/// Eight of each kind are 32 and more: the last ones give way.
fn every_kind_counts(cx: &Cx, notifier: &Notifier) {
    let (stream, mut peer) = cx.stream(notifier);
    let (other, mut other_peer) = cx.stream(notifier);
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let latch = notifier.block_on(async { Event::latch() }).unwrap();
    peer.write_all(&[0; 8]).unwrap();
    other_peer.write_all(&[0; 8]).unwrap();
    (0..4).for_each(|_| assert_eq!(sender.send_to(b"x", udp.local_addr().unwrap()).unwrap(), 1));
    let clients: Vec<_> =
        (0..4).map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap()).collect();
    latch.notify();
    cx.turn_until(notifier, "everything is ready", || {
        let ready = |interest| stream.ready(interest);
        let all =
            zip(zip(ready(Interest::READABLE), other.readable()), zip(udp.readable(), listener.readable()));
        Task::new(zip(all, latch.wait())).poll().is_ready()
    });

    let (mut a, mut b, mut c) = ([0], [0], [0; 8]);
    budget::reset();
    let mut count = 0;
    let mut inline = |what: &str, ready: bool| {
        assert!(ready == (count < INLINE_MAX), "{what}: operation {count}, ready: {ready}");
        count += 1;
    };
    for round in 0..4 {
        let _ = round;
        inline("read", Task::new(stream.read(&mut a)).poll_on().is_ready());
        inline("another socket's read", Task::new(other.read(&mut b)).poll_on().is_ready());
        inline("write", Task::new(stream.write(b"x")).poll_on().is_ready());
        inline("recv_from", Task::new(udp.recv_from(&mut c)).poll_on().is_ready());
        inline("send_to", Task::new(udp.send_to(b"x", sender.local_addr().unwrap())).poll_on().is_ready());
        inline("accept", Task::new(listener.accept()).poll_on().is_ready());
        inline("wait", Task::new(latch.wait()).poll_on().is_ready());
        inline("peek", Task::new(stream.peek(&mut c)).poll_on().is_ready());
    }
    inline("the operation after", Task::new(other.read(&mut b)).poll_on().is_ready());
    drop(clients);
}

/// Under an executor that knows nothing of pike, while the Notifier turns elsewhere, the limit makes a task give way and go
/// on: a loop that is always ready ends. Loops over what is over, or only looked at, give way as well.
pub fn budget_under_foreign_executor(cx: &Cx) -> Outcome {
    let polls = AtomicUsize::new(0);
    let counted = |future: Boxed<'_, ()>| {
        polls.store(0, SeqCst);
        let mut future = future;
        future::block_on(poll_fn(|cx| {
            polls.fetch_add(1, SeqCst);
            future.as_mut().poll(cx)
        }));
        polls.load(SeqCst)
    };
    // No current Notifier: the one in the background.
    let latch = Event::latch().unwrap();
    latch.notify();
    let rounds = cx.rounds(1_000_000);
    let latch = &*Box::leak(Box::new(latch));
    let waits = counted(Box::pin(async move {
        for _ in 0..rounds {
            latch.wait().await.unwrap();
        }
    }));
    assert!(waits >= rounds / (INLINE_MAX + 1), "{waits} polls for {rounds} waits");

    let (ours, flooding) = cx.tcp_pair();
    let flood = thread::spawn(move || flood(flooding));
    let stream = net::TcpStream::from_std(ours).unwrap();
    let rounds = cx.rounds(200_000);
    let polls = counted(Box::pin(async move {
        let mut byte = [0];
        for _ in 0..rounds {
            assert_eq!(stream.read(&mut byte).await.unwrap(), 1);
        }
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    }));
    assert!(polls > rounds / 1000, "{polls} polls for {rounds} reads");
    flood.join().unwrap();
    Ok(())
}

/// What resolves at once without a transfer gives way, too: sleeps that are over, limits of nothing, readiness that is only
/// looked at. Otherwise a loop over them would never let its Notifier turn.
pub fn idle_loops_yield(cx: &Cx) -> Outcome {
    const MANY: usize = 10_000;
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let (silent, _silent_peer) = cx.stream(&notifier);
    peer.write_all(b"x").unwrap();
    notifier.block_on(stream.readable()).unwrap();
    let (stream, silent) = (&stream, &silent);
    let _here = notifier.enter();
    let loops: [(&str, Boxed<'_, ()>); 3] = [
        (
            "sleep(ZERO)",
            Box::pin(async {
                for _ in 0..MANY {
                    time::sleep(Duration::ZERO).await;
                }
            }),
        ),
        (
            "a read with a limit of nothing",
            Box::pin(async move {
                for _ in 0..MANY {
                    let _ = time::timeout(Duration::ZERO, silent.readable()).await;
                }
            }),
        ),
        (
            "readable() of what is ready",
            Box::pin(async move {
                for _ in 0..MANY {
                    stream.readable().await.unwrap();
                }
            }),
        ),
    ];
    let greedy: Vec<_> = loops
        .into_iter()
        .filter_map(|(what, future)| Task::new(future).poll().is_ready().then_some(what))
        .collect();
    assert!(greedy.is_empty(), "{MANY} times in one poll: {greedy:?}");
    Ok(())
}

/// In the steady state no operation allocates: counted on this thread, after a warm-up.
pub fn no_allocation_per_operation(cx: &Cx) -> Outcome {
    if heap::here().is_none() {
        skip!("this test binary's allocator does not count");
    }
    let notifier = cx.notifier();
    let (a, b) = cx.streams(&notifier, &notifier);
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let address = udp.local_addr().unwrap();
    let event = notifier.block_on(async { Event::counting() }).unwrap();
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let at = listener.local_addr().unwrap();
    let (a, b, udp, event, listener) = (&a, &b, &udp, &event, &listener);

    // One of each pair waits before the other goes, so that the waiting is measured as well.
    measure(&notifier, "read and write", 0, async |_| {
        let mut buf = [0; 64];
        let (read, wrote) = zip(a.read(&mut buf), b.write_all(b"ping")).await;
        assert_eq!(read.unwrap(), 4);
        wrote.unwrap();
    });
    measure(&notifier, "recv_with", 0, async |_| {
        let (got, wrote) = zip(a.recv_with(|bytes| bytes.len()), b.write(b"ping")).await;
        assert_eq!((got.unwrap(), wrote.unwrap()), (4, 4));
    });
    measure(&notifier, "recv_from and send_to", 0, async |_| {
        let mut buf = [0; 64];
        let (got, sent) = zip(udp.recv_from(&mut buf), udp.send_to(b"ping", address)).await;
        assert_eq!((got.unwrap(), sent.unwrap()), ((4, address), 4));
    });
    udp.socket().set(option::ReceivePacketInfo, true).unwrap();
    // Windows has none.
    assert_eq!(udp.socket().set(option::ReceiveTimestamp, true).is_ok(), cfg!(unix));
    measure(&notifier, "recv_msg and send_msg with packet info", 0, async |_| {
        let mut buf = [0; 64];
        let mut control = ControlBuf::<{ PACKET_INFO_SPACE + TIMESTAMP_SPACE }>::new();
        let (mut bufs, bytes) = ([IoSliceMut::new(&mut buf)], [IoSlice::new(b"ping")]);
        let source = [Outgoing::Source(Source { address: address.ip(), interface: 0 })];
        let receiving = udp.socket().recv_msg(&mut bufs, &mut control, RecvFlags::NONE);
        let sending = udp.socket().send_msg(&bytes, Some(address.into()), &source, SendFlags::NONE);
        let (got, sent) = zip(receiving, sending).await;
        assert_eq!((got.unwrap().from, sent.unwrap()), (Some(address.into()), 4));
        assert_eq!(control.packet_info().unwrap().destination, Some(address.ip()));
    });
    measure(&notifier, "readable and peek", 0, async |_| {
        let (readable, wrote) = zip(a.readable(), b.write(b"x")).await;
        readable.unwrap();
        wrote.unwrap();
        let mut buf = [0; 8];
        a.peek(&mut buf).await.unwrap();
        while a.try_read(&mut buf).is_ok() {}
    });
    measure(&notifier, "Event", 0, async |_| {
        let (count, ()) = zip(event.wait(), async { event.notify() }).await;
        assert_eq!(count.unwrap(), 1);
    });
    measure(&notifier, "sleep", 0, async |_| time::sleep(Duration::from_micros(10)).await);
    measure(&notifier, "timeout", 0, async |round| {
        if round % 2 == 0 {
            assert!(time::timeout(Duration::from_micros(10), a.readable()).await.is_err());
        } else {
            let mut buf = [0; 8];
            let read = time::timeout(LONG, a.read(&mut buf));
            assert_eq!(zip(read, b.write(b"x")).await.0.unwrap().unwrap(), 1);
            // Where a short read proves nothing, this is what takes the readiness back.
            assert!(a.try_read(&mut buf).is_err());
        }
    });
    measure(&notifier, "options", 0, async |_| {
        let (tcp, datagrams) = (a.socket(), udp.socket());
        tcp.set(option::NoDelay, true).unwrap();
        tcp.set(option::Linger, None).unwrap();
        tcp.set(option::SendTimeout, Some(LONG)).unwrap();
        assert!(tcp.get(option::NoDelay).unwrap());
        assert_eq!(tcp.get(option::SendTimeout).unwrap(), Some(LONG));
        assert!(tcp.get(option::Error).unwrap().is_none());
        assert_eq!(tcp.get(option::Type).unwrap(), Type::Stream);
        datagrams.set(option::Ttl, 9).unwrap();
        datagrams.set(option::MulticastInterfaceV4, Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(datagrams.get(option::Ttl).unwrap(), 9);
        // Refused by the kernel, and by us: an error is its code.
        assert!(datagrams.set(option::NoDelay, true).is_err() && datagrams.set(option::Ttl, 256).is_err());
        #[cfg(target_os = "linux")]
        {
            use pike::os::linux::option::{BindDevice, QuickAck};
            tcp.set(QuickAck, true).unwrap();
            assert!(tcp.get(BindDevice).unwrap().is_none());
        }
    });
    measure(&notifier, "accept", 0, async |_| {
        let connect = async {
            future::yield_now().await;
            TcpStream::connect(at)
        };
        let (accepted, client) = zip(listener.accept(), connect).await;
        accepted.unwrap();
        client.unwrap();
    });
    Ok(())
}

/// Allocations of `operation`, which must not be more than `allowed` a round. What allocates by the operation does so
/// every time; a table that grows because other cases took the lower descriptors does not, so it may be measured again.
#[track_caller]
pub(super) fn measure(notifier: &Notifier, what: &str, allowed: u64, operation: impl AsyncFn(usize)) {
    // Wine takes a hundred times as long for a call.
    const ROUNDS: usize = if cfg!(windows) { 100 } else { 1000 };
    let measured = || {
        notifier.block_on(async {
            for round in 0..100 {
                operation(round).await;
            }
            let before = heap::here().expect("it counts");
            for round in 0..ROUNDS {
                operation(round).await;
            }
            (heap::here().expect("it counts") - before).allocations
        })
    };
    let allocations =
        (0..3).map(|_| measured()).find(|&count| count <= allowed * ROUNDS as u64).unwrap_or_else(measured);
    assert!(
        allocations <= allowed * ROUNDS as u64,
        "{what}: {allocations} allocations in {ROUNDS} rounds, where {allowed} a round are allowed"
    );
}

/// A turn that finds N sockets ready, each of which is echoed, costs one wait, N receives and N sends and nothing else;
/// a notify while the Notifier is awake costs nothing. Counted by tracing a child.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn turn_costs_one_wait(cx: &Cx) -> Outcome {
    use crate::{system, trace, trace::Calls};

    // A ring waits in an epoll set as long as the kernel has nothing to complete.
    if !matches!(cx.backend(), pike::Backend::Epoll | pike::Backend::IoUring) {
        skip!("the costs of {} are budgeted otherwise", cx.backend());
    }
    system::raise_descriptor_limit();
    for sockets in [1, 64, 1000] {
        let pieces = trace::count(|| {
            let notifier = cx.notifier();
            let mut echo = Echo::new(cx, &notifier, sockets);
            // The first turn of this size gets memory for its batch.
            echo.ask();
            notifier.poll(None).unwrap();
            echo.run();
            echo.check();
            for _ in 0..3 {
                echo.ask();
                trace::mark();
                notifier.poll(None).unwrap();
                echo.run();
                trace::mark();
                echo.check();
            }
        })?;
        let expected = Calls::of(&[
            (libc::SYS_epoll_pwait2, 1),
            (libc::SYS_recvfrom, sockets),
            (libc::SYS_sendto, sockets),
        ]);
        assert_eq!(pieces.len(), 3);
        for piece in pieces {
            assert_eq!(piece.with_one_wait(), expected, "{sockets} sockets");
        }
    }

    let pieces = trace::count(|| {
        let notifier = cx.notifier();
        let event = notifier.block_on(async { Event::counting() }).unwrap();
        trace::mark();
        (0..100).for_each(|_| notifier.notify());
        (0..100).for_each(|_| event.notify());
        trace::mark();
        // And once for the turn that takes it all.
        trace::mark();
        notifier.poll(None).unwrap();
        trace::mark();
        trace::mark();
        assert_eq!(Task::new(event.wait()).poll().map(Result::unwrap), std::task::Poll::Ready(100));
        trace::mark();
    })?;
    assert_eq!(pieces[0], Calls::default(), "notify() while awake");
    assert!(pieces[1].total() <= 1, "a turn that was notified: {:?}", pieces[1]);
    assert_eq!(pieces[2], Calls::default(), "taking a notification");
    Ok(())
}

/// A turn that finds N sockets ready, each of which is echoed, costs one wait, N receives and N sends and nothing else.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn turn_costs_one_wait(_: &Cx) -> Outcome {
    skip!("this system has no ptrace(2) as on Linux, by which calls are counted");
}

/// N connections, each echoed by a task of its own, polled by hand.
#[cfg(any(target_os = "linux", target_os = "android"))]
struct Echo {
    tasks: Vec<Task<'static, ()>>,
    peers: Vec<TcpStream>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Echo {
    fn new(cx: &Cx, notifier: &Notifier, count: usize) -> Self {
        let (streams, peers): (Vec<_>, Vec<_>) = (0..count).map(|_| cx.stream(notifier)).unzip();
        let tasks = streams.into_iter().map(|stream| {
            Task::pending(async move {
                let mut buf = [0; 256];
                loop {
                    let n = stream.read(&mut buf).await.unwrap();
                    stream.write_all(&buf[..n]).await.unwrap();
                }
            })
        });
        let mut echo = Self { tasks: tasks.collect(), peers };
        cx.settle(notifier);
        echo.run();
        echo
    }

    fn ask(&mut self) {
        self.peers.iter_mut().for_each(|peer| peer.write_all(b"ping").unwrap());
    }

    fn run(&mut self) {
        for task in self.tasks.iter_mut().filter(|task| task.is_woken()) {
            assert!(task.poll().is_pending());
        }
    }

    fn check(&mut self) {
        let mut buf = [0; 4];
        for peer in &mut self.peers {
            peer.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"ping");
        }
    }
}
