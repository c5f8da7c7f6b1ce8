//! The Notifier: turns, notifications, the seat, which one is current, its end.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, Read, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{Backend, Batch, Closed, Event, Handle, Interest, Notifier, time};

use super::block_on::panic_of;
use crate::{Cx, LONG, Outcome, Rng, SHORT, Task, calling, read, skip, system, write};

/// Turns with nothing to report end at once with a zero timeout and otherwise not before the timeout; a turn with a zero
/// timeout still collects what is there.
pub fn poll_with_timeouts(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
    for _ in 0..2 {
        let start = Instant::now();
        assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
        assert!(start.elapsed() >= SHORT, "the turn ended after {:?}", start.elapsed());
    }

    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let mut waiter = Task::pending(handle.readable());
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
    }
    assert!(start.elapsed() < 100 * SHORT, "a zero timeout waits");
    assert!(!waiter.is_woken());

    peer.write_all(b"x").unwrap();
    cx.until_arrived([&handle]);
    assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 1);
    assert_eq!(waiter.wakes(), 1);
    waiter.ready().unwrap();
    Ok(())
}

/// A turn that makes 64 sockets ready is one dispatch of 64 wakers; a dispatcher may wake them later and elsewhere, and
/// what it leaves in the batch is woken for it, once.
pub fn poll_one_turn_one_batch(cx: &Cx) -> Outcome {
    const SOCKETS: usize = 64;
    let batches = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::new(Mutex::new(VecDeque::<Waker>::new()));
    // What the dispatcher takes out of a batch and keeps.
    let take = Arc::new(AtomicUsize::new(0));
    let notifier = {
        let (batches, kept, take) = (batches.clone(), kept.clone(), take.clone());
        let dispatch = move |batch: &mut Batch| {
            batches.lock().unwrap().push(batch.len());
            kept.lock().unwrap().extend(batch.take(take.load(SeqCst)));
        };
        cx.builder().dispatch(dispatch).build().unwrap()
    };
    let (handles, mut peers) = cx.handles(&notifier, SOCKETS);
    cx.settle(&notifier);
    assert!(batches.lock().unwrap().iter().all(|&len| len > 0), "an empty batch was dispatched");

    for taken in [SOCKETS, SOCKETS / 2, 0] {
        batches.lock().unwrap().clear();
        take.store(taken, SeqCst);
        let mut waiters: Vec<_> = handles.iter().map(|handle| Task::pending(read(handle))).collect();
        peers.iter_mut().for_each(|peer| peer.write_all(b"x").unwrap());
        cx.until_arrived(&handles);
        assert_eq!(notifier.poll(Some(LONG)).unwrap(), SOCKETS);
        assert_eq!(*batches.lock().unwrap(), [SOCKETS]);

        let woken: usize = waiters.iter().map(Task::wakes).sum();
        assert_eq!(woken, SOCKETS - taken, "what the dispatcher left is woken, what it took is not");
        let late = kept.clone();
        thread::spawn(move || late.lock().unwrap().drain(..).for_each(Waker::wake)).join().unwrap();
        for waiter in &mut waiters {
            assert_eq!(waiter.wakes(), 1, "each waker is woken once");
            assert_eq!(waiter.ready().unwrap(), b"x");
        }
    }
    Ok(())
}

/// A notification ends a turn that waits, or keeps the next from waiting; once, however many there were. None is lost
/// just before the sleep, from one thread or from eight.
pub fn notify_interrupts_turn(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();

    // Kept for the next turn, and for that one only.
    notifier.notify();
    notifier.notify();
    assert_eq!(notifier.poll(None).unwrap(), 0);
    let start = Instant::now();
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    assert!(start.elapsed() >= SHORT, "one notification ended two turns");

    // One thread ahead or behind the other by chance.
    let (rounds, mut rng) = (cx.rounds(200), Rng::new());
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                begun.store(round, SeqCst);
                assert_eq!(notifier.poll(None).unwrap(), 0);
                ended.store(round, SeqCst);
            }
        });
        for round in 1..=rounds {
            cx.until("the turn before never ended", || begun.load(SeqCst) == round);
            match rng.below(3) {
                0 => (0..rng.below(2000)).for_each(|_| std::hint::spin_loop()),
                1 => thread::yield_now(),
                _ => thread::sleep(Duration::from_micros(rng.below(300) as u64)),
            }
            notifier.notify();
            cx.until("a notification was lost", || ended.load(SeqCst) == round);
        }
    });

    let finished = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                (0..1000).for_each(|_| notifier.notify());
                finished.fetch_add(1, SeqCst);
                notifier.notify();
            });
        }
        while finished.load(SeqCst) < 8 {
            notifier.poll(Some(LONG)).unwrap();
        }
    });
    Ok(())
}

/// Sockets are registered, used and dropped by other threads while one thread turns; it notices without being notified.
pub fn register_during_poll(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = system::descriptors();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                notifier.poll(None).unwrap();
            }
        });

        // Data before the registration: the report comes to the turn that goes on.
        for count in [1, 50] {
            let (handles, peers): (Vec<_>, Vec<_>) = (0..count)
                .map(|_| {
                    let (ours, mut peer) = cx.tcp_pair();
                    peer.write_all(b"x").unwrap();
                    (Handle::new_on(&notifier, ours).unwrap(), peer)
                })
                .unzip();
            let mut waiters: Vec<_> = handles.iter().map(|handle| Task::new(handle.readable())).collect();
            for waiter in &mut waiters {
                while waiter.poll().is_pending() {
                    cx.until("a running turn does not see a new socket", || waiter.is_woken());
                }
            }
            drop(peers);
        }

        thread::scope(|users| {
            for user in 0..8_u8 {
                let notifier = &notifier;
                users.spawn(move || (0..cx.rounds(200)).for_each(|round| one_use(cx, notifier, user, round)));
            }
        });
        stop.store(true, SeqCst);
        notifier.notify();
    });
    // A thread is let go before the system has ended it.
    cx.until("every descriptor is closed", || system::descriptors() == before);
    Ok(())
}

/// A socket that lives for one exchange of bytes which nobody else sends.
fn one_use(cx: &Cx, notifier: &Notifier, user: u8, round: usize) {
    let (handle, mut peer) = cx.handle(notifier);
    let tag = [user, round as u8, 0xa5];
    peer.write_all(&tag).unwrap();
    future::block_on(async {
        handle.readable().await.unwrap();
        assert_eq!(read(&handle).await.unwrap(), tag);
        write(&handle, &tag).await.unwrap();
    });
    let mut back = [0; 3];
    peer.read_exact(&mut back).unwrap();
    assert_eq!(back, tag);
}

/// A waker may use the Notifier as it likes: no lock is held when it runs. Only a turn inside the turn fails, and that
/// hurts nobody else.
pub fn waker_may_reenter(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (ours, mut peer) = cx.handle(&notifier);
    let (other, _other_peer) = cx.handle(&notifier);
    let ours = Arc::new(ours);
    cx.settle(&notifier);

    // The future that waits, where its own waker can drop it.
    type Slot = Arc<Mutex<Option<Task<'static, io::Result<()>>>>>;
    let slot: Slot = Arc::default();
    let (other, report) = (Mutex::new(Some(other)), Arc::new(Mutex::new(None)));
    let waker = {
        let (slot, ours, report, notifier) = (slot.clone(), ours.clone(), report.clone(), notifier.clone());
        let (fresh, fresh_peer) = cx.tcp_pair();
        let fresh = Mutex::new(Some((fresh, fresh_peer)));
        calling(move || {
            let registered =
                fresh.lock().unwrap().take().map(|(ours, _peer)| Handle::new_on(&notifier, ours));
            drop(other.lock().unwrap().take());
            notifier.notify();
            let byte = ours.try_io(Interest::READABLE, |mut io| {
                let mut byte = [0];
                io.read(&mut byte).map(|_| byte)
            });
            drop(slot.lock().unwrap().take());
            *report.lock().unwrap() = Some((registered.is_some_and(|handle| handle.is_ok()), byte.ok()));
        })
    };
    let mut waiter = Task::new({
        let ours = ours.clone();
        async move { ours.readable().await }
    });
    assert!(waiter.poll_with(&waker).is_pending());
    drop(waker);
    *slot.lock().unwrap() = Some(waiter);
    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "the waker never ran", || report.lock().unwrap().is_some());
    assert_eq!(*report.lock().unwrap(), Some((true, Some(*b"x"))));
    assert!(slot.lock().unwrap().is_none());

    // A turn inside a turn, from the first of three wakers of one batch.
    let (handles, mut peers) = cx.handles(&notifier, 3);
    cx.settle(&notifier);
    let turned = Arc::new(Mutex::new(Vec::new()));
    let waker = {
        let (turned, notifier) = (turned.clone(), notifier.clone());
        calling(move || {
            turned.lock().unwrap().push(notifier.poll(Some(Duration::ZERO)).map_err(|e| e.kind()))
        })
    };
    let mut waiters: Vec<_> = handles.iter().map(|handle| Task::new(read(handle))).collect();
    assert!(waiters[0].poll_with(&waker).is_pending());
    assert!(waiters[1..].iter_mut().all(|waiter| waiter.poll().is_pending()));
    peers.iter_mut().for_each(|peer| peer.write_all(b"y").unwrap());
    cx.until_arrived(&handles);
    assert_eq!(notifier.poll(Some(LONG)).unwrap(), 3);
    assert_eq!(*turned.lock().unwrap(), [Err(io::ErrorKind::Deadlock)]);
    assert!(waiters[1..].iter().all(|waiter| waiter.wakes() == 1), "a waker that fails takes others with it");
    waiters.iter_mut().for_each(|waiter| assert_eq!(waiter.ready().unwrap(), b"y"));
    assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap(), 0);
    Ok(())
}

/// What names no Notifier belongs to the one that the thread entered last; leaving it brings back the one before.
pub fn enter_sets_current(cx: &Cx) -> Outcome {
    let (outer, inner) = (cx.notifier(), cx.notifier());
    let belongs_to = |event: Event, owner: &Notifier, stranger: &Notifier, what: &str| {
        let mut waiter = Task::pending(event.wait());
        event.notify();
        stranger.poll(Some(Duration::ZERO)).unwrap();
        assert!(!waiter.is_woken(), "{what}: it belongs to the wrong Notifier");
        owner.poll(Some(LONG)).unwrap();
        assert!(waiter.is_woken(), "{what}: it does not belong to the right Notifier");
        waiter.ready().unwrap();
    };
    {
        let _outer = outer.enter();
        belongs_to(Event::new().unwrap(), &outer, &inner, "inside one");
        {
            let _inner = inner.enter();
            belongs_to(Event::new().unwrap(), &inner, &outer, "inside two");
            let (ours, mut peer) = cx.tcp_pair();
            let handle = Handle::new(ours).unwrap();
            let mut waiter = Task::pending(handle.readable());
            peer.write_all(b"x").unwrap();
            outer.poll(Some(SHORT)).unwrap();
            assert!(!waiter.is_woken());
            cx.turn_until(&inner, "a socket of the current Notifier", || waiter.is_woken());
            waiter.ready().unwrap();
        }
        belongs_to(Event::new().unwrap(), &outer, &inner, "after two");
        // block_on enters, too, and so does the dispatch of a turn.
        let event = inner.block_on(async { Event::new() }).unwrap();
        belongs_to(event, &inner, &outer, "in block_on");
        let made = Arc::new(Mutex::new(None));
        let waker = {
            let made = made.clone();
            calling(move || *made.lock().unwrap() = Some(Event::new().unwrap()))
        };
        let trigger = inner.block_on(async { Event::new() }).unwrap();
        let mut waiter = Task::new(trigger.wait());
        assert!(waiter.poll_with(&waker).is_pending());
        trigger.notify();
        inner.poll(Some(LONG)).unwrap();
        belongs_to(made.lock().unwrap().take().unwrap(), &inner, &outer, "in a dispatch");
    }
    // Guards may go in another order than they came.
    let (first, second) = (outer.enter(), inner.enter());
    drop(first);
    belongs_to(Event::new().unwrap(), &inner, &outer, "after the outer guard went first");
    drop(second);
    Ok(())
}

/// Without any set-up everything works under a foreign executor, by a Notifier in the background: always the same one.
pub fn background_without_setup(cx: &Cx) -> Outcome {
    let (ours, peer) = cx.tcp_pair();
    let echo = thread::spawn(move || {
        let peer = Handle::new(peer).unwrap();
        future::block_on(async {
            loop {
                match read(&peer).await.unwrap() {
                    bytes if bytes.is_empty() => return,
                    bytes => write(&peer, &bytes).await.unwrap(),
                }
            }
        })
    });
    let handle = Handle::new(ours).unwrap();
    future::block_on(async {
        for round in 0..100_u8 {
            write(&handle, &[round; 10]).await.unwrap();
            assert_eq!(read(&handle).await.unwrap(), [round; 10]);
        }
        let start = Instant::now();
        time::sleep(SHORT).await;
        assert!(start.elapsed() >= SHORT);
    });

    // The same one: it knows the descriptor already.
    let (one, two) = (Notifier::background().unwrap(), Notifier::background().unwrap());
    let is_preferred = one.backend() == Backend::BUILT[0];
    assert_eq!(one.probe().to_string().contains("prefers"), is_preferred, "{}", one.probe());
    for notifier in [&one, &two] {
        let error =
            system::register_again(notifier, handle.get_ref()).expect("it must be registered there already");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
    }
    drop(handle);
    echo.join().unwrap();
    Ok(())
}

/// A Notifier says what it waits with and why; a backend that is missing is an error and never another backend.
pub fn backend_is_visible(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    assert_eq!(notifier.backend(), cx.backend());
    assert_eq!(notifier.probe().backend, cx.backend());
    assert!(!notifier.probe().to_string().is_empty());
    assert!(Backend::BUILT.contains(&Notifier::new().unwrap().backend()));
    for backend in [Backend::Epoll, Backend::IoUring, Backend::Kqueue, Backend::Iocp] {
        assert_eq!(backend.to_string().parse::<Backend>().unwrap(), backend);
        if !Backend::BUILT.contains(&backend) {
            let error = Notifier::builder().backend(backend).build().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{backend}: {error}");
        }
    }
    assert_eq!("aio".parse::<Backend>().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    Ok(())
}

/// The environment decides where the builder does not: PIKE_BACKEND with a backend's name, or an error. In a child, since
/// it changes the environment.
pub fn backend_from_environment(cx: &Cx) -> Outcome {
    let backend = cx.backend();
    system::in_child(Duration::from_secs(5), || {
        system::set_env("PIKE_BACKEND", &backend.to_string());
        let probe = Notifier::new().map_err(|e| e.to_string())?.probe().clone();
        if (probe.backend, probe.chosen_by) != (backend, pike::ChosenBy::Environment) {
            return Err(format!("{probe:?}"));
        }
        // Whoever reads the message did not write the demand into the program.
        let says_where = |error: &io::Error| error.to_string().contains("PIKE_BACKEND");
        system::set_env("PIKE_BACKEND", "aio");
        match Notifier::new() {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && says_where(&error) => {}
            other => return Err(format!("a backend that nobody knows: {other:?}")),
        }
        let elsewhere = if cx.backend() == Backend::Iocp { Backend::Kqueue } else { Backend::Iocp };
        system::set_env("PIKE_BACKEND", &elsewhere.to_string());
        match Notifier::new() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported && says_where(&error) => {}
            other => return Err(format!("a backend of other systems: {other:?}")),
        }
        // Who insists is not overruled.
        match Notifier::builder().backend(backend).build() {
            Ok(notifier) if notifier.backend() == backend => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    Ok(())
}

/// A bound Notifier is turned by the first thread that does, until it exits; others may register, notify and wait.
pub fn bound_notifier_refuses_other_threads(cx: &Cx) -> Outcome {
    let notifier = match cx.builder().bound().build() {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            skip!("{} cannot bind: {error}", cx.backend())
        }
        built => built.unwrap(),
    };
    let (handle, mut peer) = cx.handle(&notifier);
    let (bound, is_bound) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let owner = {
        let (notifier, stop) = (notifier.clone(), stop.clone());
        thread::spawn(move || {
            assert_eq!(notifier.block_on(async { 1 }), 1);
            notifier.poll(Some(Duration::ZERO)).unwrap();
            bound.send(()).unwrap();
            while !stop.load(SeqCst) {
                notifier.poll(None).unwrap();
            }
        })
    };
    is_bound.recv().unwrap();

    assert_eq!(notifier.poll(Some(Duration::ZERO)).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    let text = panic_of(|| notifier.block_on(async {}));
    assert!(text.contains("block_on") && text.contains("bound"), "{text}");

    let mut waiter = Task::new(handle.readable());
    peer.write_all(b"x").unwrap();
    while waiter.poll().is_pending() {
        cx.until("a waiter of another thread was never woken", || waiter.is_woken());
    }
    drop(waiter);
    assert_eq!(future::block_on(read(&handle)).unwrap(), b"x");

    let mut last = Task::pending(read(&handle));
    stop.store(true, SeqCst);
    notifier.notify();
    owner.join().unwrap();
    cx.until("the owner has exited, and the waiter is not told", || last.is_woken());
    assert!(Closed::is(&last.ready().unwrap_err()));
    assert!(Closed::is(&notifier.poll(Some(Duration::ZERO)).unwrap_err()));
    Ok(())
}

/// A shutdown wakes all who wait, with `Closed`, leaves nothing in flight and may be repeated; a sleep goes on.
pub fn shutdown_reports_and_closes(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let here = notifier.enter();
    let (handles, _peers) = cx.handles(&notifier, 3);
    let listener = Handle::new(std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap()).unwrap();
    let event = Event::new().unwrap();
    cx.settle(&notifier);
    let mut waiters: Vec<Task<'_, io::Result<()>>> = vec![
        Task::pending(async { read(&handles[0]).await.map(drop) }),
        Task::pending(async { handles[1].readable().await }),
        Task::pending(async { handles[2].ready(cx.rare_interest()).await.map(drop) }),
        Task::pending(async { listener.async_io(Interest::READABLE, |l| l.accept()).await.map(drop) }),
        Task::pending(async { event.wait().await.map(drop) }),
        Task::pending(poll_fn(|cx| handles[2].poll_readable(cx))),
    ];
    let start = Instant::now();
    let mut sleep = Task::pending(time::sleep(SHORT));
    drop(here);

    assert_eq!(notifier.shutdown(Duration::from_secs(1)), 0, "operations left in flight");
    for (which, waiter) in waiters.iter_mut().enumerate() {
        assert_eq!(waiter.wakes(), 1, "waiter {which}");
        let error = waiter.ready().unwrap_err();
        assert!(Closed::is(&error), "waiter {which}: {error}");
    }
    // A sleep is not an operation of a socket: it moves on to the background.
    while sleep.poll().is_pending() {
        cx.until("a sleep was lost in a shutdown", || sleep.is_woken());
    }
    assert!(start.elapsed() >= SHORT);

    assert_eq!(notifier.shutdown(Duration::ZERO), 0);
    let (ours, _peer) = cx.tcp_pair();
    let late: [io::Result<()>; 6] = [
        Handle::new_on(&notifier, ours).map(drop),
        future::block_on(read(&handles[0])).map(drop),
        future::block_on(handles[1].writable()),
        future::block_on(event.wait()).map(drop),
        handles[0].try_io(Interest::WRITABLE, |_| Ok(())),
        notifier.poll(None).map(drop),
    ];
    for (which, late) in late.into_iter().enumerate() {
        let error = late.unwrap_err();
        assert!(Closed::is(&error), "call {which}: {error}");
    }
    // What a shut down Notifier cannot bring, wakers still do.
    assert_eq!(
        notifier.block_on(async {
            future::yield_now().await;
            2
        }),
        2
    );
    Ok(())
}

/// A spinning Notifier loses no message between two threads, keeps its deadlines and can be notified; on one CPU it is
/// refused.
pub fn spin_option_works(cx: &Cx) -> Outcome {
    let builder = cx.builder().spin(Duration::from_micros(50));
    if thread::available_parallelism().is_ok_and(|cpus| cpus.get() == 1) {
        assert_eq!(builder.build().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        skip!("one CPU: spinning is refused, as documented");
    }
    let (ours, peer) = cx.tcp_pair();
    let rounds = cx.rounds(5_000);
    let server = {
        let notifier = cx.builder().spin(Duration::from_micros(50)).build().unwrap();
        thread::spawn(move || {
            let peer = Handle::new_on(&notifier, peer).unwrap();
            notifier.block_on(async {
                for _ in 0..rounds {
                    let bytes = read(&peer).await.unwrap();
                    write(&peer, &bytes).await.unwrap();
                }
            })
        })
    };
    let notifier = builder.build().unwrap();
    let ours = Handle::new_on(&notifier, ours).unwrap();
    notifier.block_on(async {
        for round in 0..rounds {
            write(&ours, &[round as u8]).await.unwrap();
            assert_eq!(read(&ours).await.unwrap(), [round as u8]);
        }
    });
    server.join().unwrap();

    // A spin of minutes: only what ends it lets these return.
    let notifier = cx.builder().spin(LONG).build().unwrap();
    let start = Instant::now();
    notifier.block_on(time::sleep(SHORT));
    assert!(start.elapsed() >= SHORT);
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    let event = Arc::new(notifier.block_on(async { Event::new() }).unwrap());
    let remote = event.clone();
    let other = thread::spawn(move || remote.notify());
    assert_eq!(notifier.block_on(event.wait()).unwrap(), 1);
    other.join().unwrap();
    Ok(())
}
