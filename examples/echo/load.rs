//! The load: connections that send a message and wait for its echo, again and again.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    panic,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::try_zip;
use pike::{Backend, Event, net::TcpStream, time};

use super::{
    allocations,
    histogram::Histogram,
    limits,
    progress::Progress,
    report::{Report, grouped},
    serve,
    syscalls::Syscalls,
};

/// It is measured after one or more of these, once the connections have had an echo each on average.
const WARM_UP: Duration = Duration::from_millis(200);
/// Descriptors besides the two of each connection, generously.
const DESCRIPTORS: u64 = 32;

pub struct Load {
    pub connections: u64,
    pub time: Duration,
    pub message_len: usize,
    pub backend: Option<Backend>,
    /// Of the server.
    pub workers: usize,
}

impl Load {
    /// Starts a server on threads of its own, and connections against it on this one.
    pub fn run(&self) -> io::Result<Report> {
        self.check_descriptors()?;
        let (started, server) = mpsc::channel();
        thread::scope(|scope| {
            let thread = scope.spawn(move || self.serve(&started));
            // The server stops when what it sent is dropped.
            let report =
                server.recv().ok().map(|server| serve::pool(self.backend, 1)?.run(self.against(&server)));
            let served = thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked));
            // A server that did not come up has said why.
            served.and_then(|()| report.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into())))
        })
    }

    fn check_descriptors(&self) -> io::Result<()> {
        let (limit, needed) = (limits::raise_descriptors()?, 2 * self.connections + DESCRIPTORS);
        if needed <= limit {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{} connections, both ends of each, need {} descriptors, and the hard limit is {} (`ulimit -Hn`): raise it, or \
             ask for at most --connections {}",
            grouped(self.connections),
            grouped(needed),
            grouped(limit),
            limit.saturating_sub(DESCRIPTORS) / 2,
        )))
    }

    /// The server's thread.
    fn serve(&self, started: &mpsc::Sender<Server>) -> io::Result<()> {
        let pool = serve::pool(self.backend, self.workers)?;
        let backend = pool.notifier().probe().to_string();
        let listener = pool.listen("127.0.0.1:0".parse().expect("an address"))?;
        let counting = pool.spawn_each(|_| async { allocations::count_this_thread() });
        pool.run(async {
            let stop = Arc::new(Event::latch()?);
            for counts in counting {
                counts.await?;
            }
            let syscalls = match self.workers {
                1 => Syscalls::of_this_thread(),
                _ => Err("only those of one thread are".to_owned()),
            };
            let server = Server { address: listener.local_addr(), backend, stop: stop.clone(), syscalls };
            // Refused, it is dropped, which stops the server.
            let _ = started.send(server);
            serve::serve(listener, stop).await.map(drop)
        })
    }

    /// The client's pool.
    async fn against(&self, server: &Server) -> io::Result<Report> {
        let progress = Progress::new();
        let echoes = Rc::new(Echoes {
            start: Event::latch()?,
            latencies: RefCell::default(),
            failed: Cell::default(),
        });
        for done in 0..self.connections {
            if done % 1000 == 0 {
                progress.show(&format!("connecting {} of {}", grouped(done), grouped(self.connections)));
            }
            let stream = TcpStream::connect(server.address).await?;
            pike_sched::spawn_local(ping(stream, self.message_len, echoes.clone()));
        }
        echoes.start.notify();
        loop {
            time::sleep(WARM_UP).await;
            echoes.check()?;
            if echoes.latencies.borrow().count() >= self.connections {
                break;
            }
        }

        echoes.latencies.borrow_mut().clear();
        let (start, before) = (Instant::now(), server.counts());
        let mut ticks = time::interval_at(start + Duration::from_secs(1), Duration::from_secs(1));
        let mut last = (start, 0);
        for second in 1..=self.time.as_secs() {
            ticks.tick().await;
            echoes.check()?;
            let now = (Instant::now(), echoes.latencies.borrow().count());
            let rate = (now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64();
            progress.show(&format!("{second:3} s  {:>11} messages per second", grouped(rate as u64)));
            last = now;
        }
        let (time, after) = (start.elapsed(), server.counts());
        Ok(Report {
            backend: server.backend.clone(),
            workers: self.workers,
            connections: self.connections,
            message_len: self.message_len,
            time,
            latencies: echoes.latencies.take(),
            syscalls: after.0.and_then(|after| Ok(after - before.0?)),
            allocations: after.1 - before.1,
        })
    }
}

/// What the server's thread tells the client. Dropping it stops the server.
struct Server {
    address: SocketAddr,
    backend: String,
    stop: Arc<Event>,
    syscalls: Result<Syscalls, String>,
}

impl Server {
    /// The system calls of its thread, or why they are not known, and the allocations.
    fn counts(&self) -> (Result<u64, String>, u64) {
        let syscalls = self.syscalls.as_ref().map_err(Clone::clone).and_then(Syscalls::count);
        (syscalls, allocations::counted())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify();
    }
}

/// What the connections share.
struct Echoes {
    /// Set when all are connected.
    start: Event,
    latencies: RefCell<Histogram>,
    failed: Cell<Option<io::Error>>,
}

impl Echoes {
    /// Whether a connection has failed.
    fn check(&self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

async fn ping(stream: TcpStream, message_len: usize, echoes: Rc<Echoes>) {
    if let Err(error) = ping_forever(stream, message_len, &echoes).await {
        echoes.failed.set(Some(error));
    }
}

async fn ping_forever(stream: TcpStream, message_len: usize, echoes: &Echoes) -> io::Result<()> {
    stream.set_nodelay(true)?;
    echoes.start.wait().await?;
    let (mut message, mut echo) = (vec![b'.'; message_len], vec![0; message_len]);
    loop {
        message[0] = message[0].wrapping_add(1);
        let start = Instant::now();
        // At once, or a message longer than the buffers on its way would never get there.
        try_zip(stream.write_all(&message), stream.read_exact(&mut echo)).await?;
        echoes.latencies.borrow_mut().add(start.elapsed());
        if echo != message {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an echo is not what was sent"));
        }
    }
}
