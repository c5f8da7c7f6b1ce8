//! What a case is given: its backend, its time, and the helpers that most cases need.

use std::{
    env,
    future::{Future, poll_fn},
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream},
    pin::Pin,
    sync::Mutex,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use pike::{Backend, Handle, Interest, Notifier, net};

use crate::{
    Skip,
    system::{self, IoSafe},
};

/// Long enough that a turn which ends on its own does not reach it.
pub const LONG: Duration = Duration::from_secs(600);
/// Short, for turns that should find nothing; longer than the clock ticks of any system.
pub const SHORT: Duration = Duration::from_millis(30);

/// One run of one case.
#[derive(Debug)]
pub struct Cx {
    title: String,
    backend: Backend,
    started: Instant,
    deadline: Mutex<Instant>,
    is_alone: bool,
}

impl Cx {
    /// For `title` on `backend`, which may take `limit`.
    pub fn new(title: String, backend: Backend, limit: Duration) -> Self {
        let started = Instant::now();
        Self { title, backend, started, deadline: Mutex::new(started + limit), is_alone: false }
    }

    /// The backend to test.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Whether the backend reports priority readiness: no kqueue does.
    pub fn has_priority(&self) -> bool {
        self.backend != Backend::Kqueue
    }

    /// An interest that some case has no event for: priority, or reading where the backend has no priority.
    pub fn rare_interest(&self) -> Interest {
        if self.has_priority() { Interest::PRIORITY } else { Interest::READABLE }
    }

    /// A Notifier with that backend and no other setting. Its descriptors are open, if the case is alone and counts them.
    pub fn notifier(&self) -> Notifier {
        self.opened(self.builder().build().expect("a Notifier"))
    }

    /// The same of another Notifier.
    pub fn opened(&self, notifier: Notifier) -> Notifier {
        if self.is_alone {
            system::warm_up(&notifier);
        }
        notifier
    }

    /// The same, known to be alone in the process.
    pub(crate) fn alone(self, is_alone: bool) -> Self {
        Self { is_alone, ..self }
    }

    /// A builder that insists on that backend.
    pub fn builder(&self) -> pike::Builder {
        Notifier::builder().backend(self.backend)
    }

    /// When the case began.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// When the watchdog ends the case.
    pub fn deadline(&self) -> Instant {
        *self.deadline.lock().expect("never held by a panic")
    }

    /// Gives the case more time, for one that is known to take long.
    pub fn take_longer(&self, more: Duration) {
        *self.deadline.lock().expect("never held by a panic") += more;
    }

    /// `n`, or the per cent of it that `PIKE_ROUNDS` says; at least one.
    pub fn rounds(&self, n: usize) -> usize {
        let percent = env::var("PIKE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
        (n * percent / 100).max(1)
    }

    /// Fails the case if its time is nearly up. For loops that could go on for ever.
    #[track_caller]
    pub fn check_time(&self, what: &str) {
        let left = self.deadline().saturating_duration_since(Instant::now());
        assert!(left > Duration::from_millis(200), "{}: the time is up: {what}", self.title);
    }

    /// Waits until `condition` holds that another thread brings about.
    #[track_caller]
    pub fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        while !condition() {
            self.check_time(what);
            // Only shortens the busy wait. A Task's waker ends it at once.
            thread::park_timeout(Duration::from_micros(200));
        }
    }

    /// Turns `notifier` until `condition` holds.
    #[track_caller]
    pub fn turn_until(&self, notifier: &Notifier, what: &str, mut condition: impl FnMut() -> bool) {
        while !condition() {
            self.check_time(what);
            notifier.poll(Some(Duration::from_millis(20))).expect("a turn");
        }
    }

    /// Turns without waiting until nothing comes any more, so that a later turn is not ended by something old.
    pub fn settle(&self, notifier: &Notifier) {
        // What is under way on a loopback takes microseconds.
        let _ = turns(notifier, Duration::from_millis(20));
        while notifier.poll(Some(Duration::ZERO)).expect("a turn") > 0 {}
    }

    /// Asserts that the Notifier sleeps when nothing happens: a turn of `SHORT` is not ended early again and again.
    #[track_caller]
    pub fn assert_quiet(&self, notifier: &Notifier, what: &str) {
        self.settle(notifier);
        // One may be ended by a signal or by what settled late.
        let turns = turns(notifier, 2 * SHORT);
        assert!(turns <= 3, "{turns} turns in {:?} where nothing happens: {what}", 2 * SHORT);
    }

    /// Two connected TCP sockets of the standard library, blocking, over 127.0.0.1, with no delay.
    pub fn tcp_pair(&self) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        connect_pair(&listener)
    }

    /// The same with one of them attached to `notifier` as a bare Handle, and the other left alone.
    pub fn handle(&self, notifier: &Notifier) -> (Handle<TcpStream>, TcpStream) {
        let (ours, peer) = self.tcp_pair();
        (Handle::new_on(notifier, ours).expect("a handle"), peer)
    }

    /// The same with a TcpStream of pike, without delay.
    pub fn stream(&self, notifier: &Notifier) -> (net::TcpStream, TcpStream) {
        let (ours, peer) = self.tcp_pair();
        let _here = notifier.enter();
        (net::TcpStream::from_std(ours).expect("a stream"), peer)
    }

    /// Two TcpStreams of pike that are connected with each other, on two Notifiers or one.
    pub fn streams(&self, one: &Notifier, other: &Notifier) -> (net::TcpStream, net::TcpStream) {
        let (ours, peer) = self.stream(one);
        let _here = other.enter();
        (ours, net::TcpStream::from_std(peer).expect("a stream"))
    }

    /// As `handle`, `count` times.
    pub fn handles(&self, notifier: &Notifier, count: usize) -> (Vec<Handle<TcpStream>>, Vec<TcpStream>) {
        (0..count).map(|_| self.handle(notifier)).unzip()
    }

    /// Waits until a byte is there for each of `handles`, by looking at the sockets behind the Notifier's back.
    #[track_caller]
    pub fn until_arrived<'a>(&self, handles: impl IntoIterator<Item = &'a Handle<TcpStream>>) {
        for handle in handles {
            self.until("a byte never arrives", || handle.get_ref().peek(&mut [0]).is_ok());
        }
    }

    /// Ends the case where there is no IPv6.
    ///
    /// # Errors
    ///
    /// The skip.
    pub fn needs_v6(&self) -> Result<(), Skip> {
        match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            Ok(_) => Ok(()),
            Err(error) => Err(Skip::because(format!("this machine has no IPv6 on its loopback: {error}"))),
        }
    }

    /// For cases that wait for urgent data: `cx.needs_priority()?`.
    ///
    /// # Errors
    ///
    /// The skip.
    pub fn needs_priority(&self) -> Result<(), Skip> {
        match self.has_priority() {
            true => Ok(()),
            false => Err(Skip::because(format!("{} does not report urgent data", self.backend))),
        }
    }

    /// For cases that wait for Linux's error queue: `cx.needs_error_queue()?`. No system with kqueue has one, and the double
    /// of kqueue does not tell of Linux's.
    ///
    /// # Errors
    ///
    /// The skip.
    pub fn needs_error_queue(&self) -> Result<(), Skip> {
        match self.backend {
            Backend::Kqueue => Err(Skip::because("kqueue does not tell of an error queue")),
            _ => Ok(()),
        }
    }

    /// For cases that start `cat` and `sleep`: `cx.needs_programs()?`.
    ///
    /// # Errors
    ///
    /// The skip: FreeBSD's kernel is tested without the programs of its base system.
    pub fn needs_programs(&self) -> Result<(), Skip> {
        if cfg!(target_os = "freebsd") {
            return Err(Skip::because("tests on FreeBSD start no other program"));
        }
        Ok(())
    }
}

/// Turns until `time` has passed, and counts the turns.
fn turns(notifier: &Notifier, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut turns = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return turns;
        }
        notifier.poll(Some(left)).expect("a turn");
        turns += 1;
    }
}

fn connect_pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let one = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let me = one.local_addr().expect("an address");
    // A stranger on this machine may connect to the port, too.
    let other = loop {
        let (other, from) = listener.accept().expect("a connection");
        if from == me {
            break other;
        }
    };
    one.set_nodelay(true).expect("no delay");
    other.set_nodelay(true).expect("no delay");
    (one, other)
}

/// Reads once through a Handle: what was there, at most 64 KiB.
pub async fn read<T: IoSafe + Sync>(handle: &Handle<T>) -> io::Result<Vec<u8>>
where
    for<'a> &'a T: Read,
{
    let mut buf = vec![0; 64 * 1024];
    let n = handle.async_io(Interest::READABLE, |mut io| io.read(&mut buf)).await?;
    buf.truncate(n);
    Ok(buf)
}

/// Writes all of `bytes` through a Handle.
pub async fn write<T: IoSafe + Sync>(handle: &Handle<T>, mut bytes: &[u8]) -> io::Result<()>
where
    for<'a> &'a T: Write,
{
    while !bytes.is_empty() {
        let n = handle.async_io(Interest::WRITABLE, |mut io| io.write(bytes)).await?;
        bytes = &bytes[n..];
    }
    Ok(())
}

/// A future of a task in a case.
pub type Boxed<'a, R> = Pin<Box<dyn Future<Output = R> + Send + 'a>>;

/// Runs all to their ends, on one task.
pub async fn join_all<'a, R>(futures: impl IntoIterator<Item = Boxed<'a, R>>) -> Vec<R> {
    let mut running: Vec<_> = futures.into_iter().map(Some).collect();
    let mut results: Vec<_> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, result) in running.iter_mut().zip(&mut results) {
            if let Some(Poll::Ready(output)) = future.as_mut().map(|future| future.as_mut().poll(cx)) {
                (*future, *result) = (None, Some(output));
            }
        }
        if running.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    results.into_iter().map(|result| result.expect("all are done")).collect()
}

impl Cx {
    /// Writes to a non-blocking `sink` until it would block; gives the number of bytes.
    pub fn fill(&self, mut sink: impl Write) -> usize {
        let chunk = [b'x'; 16 * 1024];
        let mut sent = 0;
        loop {
            match sink.write(&chunk) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("while filling a buffer: {error}"),
            }
            self.check_time("a buffer is never full");
        }
    }

    /// Writes to a stream until it would block; gives the number of bytes.
    pub fn fill_stream(&self, stream: &net::TcpStream) -> usize {
        let mut sent = 0;
        loop {
            match stream.try_write(&[b'x'; 16 * 1024]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
                Err(error) => panic!("while filling a buffer: {error}"),
            }
            self.check_time("a buffer is never full");
        }
    }

    /// Calls `fill` until it finds no room, also after a while: what was sent may leave its buffer for the peer's a little
    /// later, and makes room for more. From then on there is none until the peer reads. Gives the number of bytes.
    pub fn until_full(&self, notifier: &Notifier, mut fill: impl FnMut() -> usize) -> usize {
        let mut sent = 0;
        loop {
            match fill() {
                0 => return sent,
                more => sent += more,
            }
            self.settle(notifier);
        }
    }

    /// Writes to a stream until it would block, also after a while.
    pub fn fill_up(&self, notifier: &Notifier, stream: &net::TcpStream) -> usize {
        self.until_full(notifier, || self.fill_stream(stream))
    }

    /// Reads exactly `count` bytes of a blocking `source` and throws them away.
    pub fn drain(&self, mut source: impl Read, mut count: usize) {
        let mut chunk = [0; 64 * 1024];
        while count > 0 {
            let take = chunk.len().min(count);
            match source.read(&mut chunk[..take]).expect("data") {
                0 => panic!("end of file, {count} bytes too early"),
                n => count -= n,
            }
        }
    }
}
