//! The server: a task a connection, and a drain at the end.

use std::{
    fmt,
    future::{poll_fn, ready},
    io,
    net::ToSocketAddrs,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use futures_lite::future::{or, pending};
use pike::{Backend, Event, Signal, net::TcpStream, time::timeout};
use pike_sched::{Group, Listener, Pool};

use super::{limits, report::grouped};

/// What a connection reads at most at a time.
const BUFFER_LEN: usize = 16 * 1024;
/// How long connections may take to finish what they are echoing.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A pool of so many workers, on the backend that was asked for, or the best there is.
pub fn pool(backend: Option<Backend>, workers: usize) -> io::Result<Pool> {
    let builder = Pool::builder().workers(workers);
    match backend {
        Some(backend) => builder.backend(backend).build(),
        None => builder.build(),
    }
}

/// Serves at `address` until SIGINT or SIGTERM, and says what it did.
pub fn until_signal(address: &str, backend: Option<Backend>, workers: usize) -> io::Result<()> {
    limits::raise_descriptors()?;
    let pool = pool(backend, workers)?;
    let probe = pool.notifier().probe().clone();
    let cannot =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {address}: {error}"));
    let found = address.to_socket_addrs().map_err(cannot)?.next();
    let listener =
        pool.listen(found.ok_or_else(|| cannot(io::ErrorKind::NotFound.into()))?).map_err(cannot)?;
    pool.run(async {
        let (term, stop) = (Signal::termination()?, Arc::new(Event::latch()?));
        println!("listening at {} ({probe}; {:?})", listener.local_addr(), listener.sharding());
        let serving = serve(listener, stop.clone());
        let stopping = async move {
            let _held = term.recv().await?; // until all is served
            drop(term); // a second one ends the program at once
            stop.notify();
            pending().await
        };
        println!("{}", or(serving, stopping).await?);
        Ok(())
    })
}

/// Serves until `stop`, then accepts no more and lets each connection finish what it is echoing.
pub async fn serve(listener: Listener, stop: Arc<Event>) -> io::Result<Totals> {
    let (group, totals) = (Group::new(), Arc::new(Totals::default()));
    let mut acceptors = listener.serve({
        let (group, totals, stop) = (group.clone(), totals.clone(), stop.clone());
        move |stream, _| {
            totals.connections.fetch_add(1, Relaxed);
            group.spawn(connection(stream, stop.clone(), totals.clone()));
            ready(())
        }
    });
    let failed = poll_fn(|cx| {
        let ended = acceptors.iter_mut().map(|acceptor| Pin::new(acceptor).poll(cx));
        ended.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
    });
    or(async { failed.await? }, async { stop.wait().await.map(drop) }).await?;
    for acceptor in acceptors {
        acceptor.abort();
        drop(acceptor.await);
    }
    if timeout(DRAIN_MAX, group.wait()).await.is_err() {
        totals.cut_off.store(group.len() as u64, Relaxed);
        group.abort();
        group.wait().await;
    }
    Ok(Arc::into_inner(totals).unwrap_or_default())
}

async fn connection(stream: TcpStream, stop: Arc<Event>, totals: Arc<Totals>) {
    if echo(stream, &stop, &totals).await.is_err() {
        totals.failed.fetch_add(1, Relaxed);
    }
}

async fn echo(stream: TcpStream, stop: &Event, totals: &Totals) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; BUFFER_LEN];
    // One wait for the whole connection. `or` looks at it only when there is nothing to read.
    let mut stopped = pin!(stop.wait());
    loop {
        let end = async { stopped.as_mut().await.map(|_| 0) };
        match or(stream.read(&mut buf), end).await? {
            0 => return Ok(()),
            n => {
                stream.write_all(&buf[..n]).await?;
                totals.bytes.fetch_add(n as u64, Relaxed);
            }
        }
    }
}

/// What a server did.
#[derive(Debug, Default)]
pub struct Totals {
    connections: AtomicU64,
    bytes: AtomicU64,
    /// Connections that ended in an error, mostly of the peer's making.
    failed: AtomicU64,
    /// Connections that the drain did not wait for.
    cut_off: AtomicU64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicU64| grouped(count.load(Relaxed));
        write!(f, "served: connections {}, bytes {}, ", of(&self.connections), of(&self.bytes))?;
        write!(f, "failed {}, cut off {}", of(&self.failed), of(&self.cut_off))
    }
}
