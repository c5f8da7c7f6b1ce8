//! Connections that come and go on a Notifier that one thread turns and others use.

use std::{
    future::Future,
    net::{Shutdown, SocketAddr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use pike::{
    Notifier, budget,
    net::{TcpListener, TcpStream},
};

use crate::{Cx, Outcome, Rng, net};

/// Connects, accepts and receives, many of them given up before they are done: all bytes arrive, once, and the turns go on.
/// With a bound Notifier and with another.
pub fn connections_churn_between_threads(cx: &Cx) -> Outcome {
    for _ in 0..cx.rounds(30) {
        for builder in [cx.builder(), cx.builder().bound()] {
            let notifier = builder.buffers(16, 64).build().unwrap();
            Churn { cx, notifier: &notifier, counts: Counts::default() }.run();
        }
    }
    Ok(())
}

struct Churn<'a> {
    cx: &'a Cx,
    notifier: &'a Notifier,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    sent: AtomicUsize,
    got: AtomicUsize,
    /// Nobody connects any more.
    all_sent: AtomicBool,
    done: AtomicBool,
}

impl Churn<'_> {
    fn run(&self) {
        let listener = self.listener();
        let address = listener.local_addr().unwrap();
        thread::scope(|scope| {
            // The thread that a bound Notifier belongs to from its first turn on.
            let turns = scope.spawn(|| {
                while !self.counts.done.load(SeqCst) {
                    self.notifier.poll(Some(Duration::from_millis(2))).unwrap();
                }
            });
            let connectors =
                [(); 2].map(|()| scope.spawn(move || (0..20).for_each(|_| self.connect(address))));
            let acceptors = [(); 2].map(|()| scope.spawn(|| self.accept(&listener)));
            connectors.into_iter().for_each(|thread| thread.join().unwrap());
            self.counts.all_sent.store(true, SeqCst);
            acceptors.into_iter().for_each(|thread| thread.join().unwrap());
            self.counts.done.store(true, SeqCst);
            turns.join().unwrap();
        });
        assert_eq!(
            self.counts.got.load(SeqCst),
            self.counts.sent.load(SeqCst),
            "bytes that arrived, and sent"
        );
    }

    /// To bind to a literal address waits for nobody.
    fn listener(&self) -> TcpListener {
        self.all_of("bind", || TcpListener::bind(net::v4())).unwrap()
    }

    fn connect(&self, address: SocketAddr) {
        let mut rng = Rng::new();
        let connect = || TcpStream::connect(address);
        if rng.one_in(3) {
            drop(self.part_of(Duration::from_micros(rng.below(100) as u64), connect));
            return;
        }
        let stream = self.all_of("connect", connect).unwrap();
        let bytes = vec![5; 1 + rng.below(500)];
        let len = bytes.len();
        self.all_of("write", || stream.write_all_owned(bytes)).0.unwrap();
        self.counts.sent.fetch_add(len, SeqCst);
        let limit = Duration::from_micros(rng.below(200) as u64);
        match rng.below(3) {
            0 => drop(self.part_of(limit, || stream.recv_pooled())),
            1 => drop(self.part_of(limit, || stream.read_owned(Vec::with_capacity(10)))),
            _ => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    /// Accepts, and receives until the end, until all has arrived that was sent.
    fn accept(&self, listener: &TcpListener) {
        let mut rng = Rng::new();
        while !self.counts.all_sent.load(SeqCst)
            || self.counts.got.load(SeqCst) < self.counts.sent.load(SeqCst)
        {
            self.cx.check_time("some bytes did not arrive");
            let limit = Duration::from_micros([20, 200, 3000][rng.below(3)]);
            if let Some(accepted) = self.part_of(limit, || listener.accept()) {
                self.receive(&accepted.unwrap().0, &mut rng);
            }
        }
    }

    fn receive(&self, stream: &TcpStream, rng: &mut Rng) {
        loop {
            self.cx.check_time("a connection does not end");
            let limit = Duration::from_micros([0, 20, 2000, 1_000_000][rng.below(4)]);
            let received = match rng.below(3) {
                0 => self.part_of(limit, || async { stream.recv_pooled().await.map(|lease| lease.len()) }),
                1 => self.part_of(limit, || async { stream.read_owned(Vec::with_capacity(100)).await.0 }),
                _ => self.part_of(limit, || stream.recv_with(|bytes| bytes.len())),
            };
            match received.transpose().unwrap() {
                Some(0) => return,
                len => _ = self.counts.got.fetch_add(len.unwrap_or(0), SeqCst),
            }
        }
    }

    /// Runs a future of this thread's, which another thread's turns wake.
    fn all_of<F: Future>(&self, what: &str, future: impl FnOnce() -> F) -> F::Output {
        let left = self.cx.deadline().saturating_duration_since(Instant::now());
        let limit = left.saturating_sub(Duration::from_millis(500));
        self.part_of(limit, future).unwrap_or_else(|| panic!("{what}: the time is up"))
    }

    /// Gives it up after `limit`.
    fn part_of<F: Future>(&self, limit: Duration, future: impl FnOnce() -> F) -> Option<F::Output> {
        let _entered = self.notifier.enter();
        let mut future = pin!(future());
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let end = Instant::now() + limit;
        loop {
            budget::reset();
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(output);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
