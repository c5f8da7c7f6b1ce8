//! What an echo connection with its task costs in live heap bytes, `recv_with` reading: a counting allocator, 1,000 and 9,000
//! connections on a pool of one worker and of two, the difference by 8,000. (On Windows 200 and 1,200.)
//! The same with a pooled receive on every backend; the buffers are one pool a Notifier, made before the first measurement,
//! and not counted.

use std::{
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

#[cfg(unix)]
use pike::Backend;
use pike::net;
use pike_conformance::{
    Skip,
    harness::{alone, note_skip},
    heap, system,
};
use pike_sched::{Builder, Pool, spawn, yield_now};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const FEW: usize = if cfg!(windows) { 200 } else { 1000 };
const MANY: usize = if cfg!(windows) { 1200 } else { 9000 };
/// The budget of the design: bytes a connection with its task. A socket of Windows may take 128 more than one of Unix.
const LIMIT: f64 = if cfg!(windows) { 640.0 } else { 512.0 };

async fn echo(stream: net::TcpStream, waiting: Arc<AtomicUsize>) -> std::io::Result<()> {
    waiting.fetch_add(1, SeqCst);
    while stream.recv_with(|bytes| stream.try_write(bytes).map(|n| n > 0)).await?? {}
    Ok(())
}

#[cfg(unix)]
#[allow(clippy::manual_async_fn, reason = "an async fn would have its arguments twice")]
fn relay(
    stream: net::TcpStream,
    waiting: Arc<AtomicUsize>,
) -> impl Future<Output = std::io::Result<()>> + Send + 'static {
    async move {
        waiting.fetch_add(1, SeqCst);
        while stream.try_write(&stream.recv_pooled().await?)? > 0 {}
        Ok(())
    }
}

fn bytes_each<F>(pool: Builder, serve: fn(net::TcpStream, Arc<AtomicUsize>) -> F) -> f64
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect =
        || (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap().0);
    let (_client, accepted) = connect();
    // Room for the clients before anything is counted.
    let mut clients = Vec::with_capacity(MANY);
    pool.build().unwrap().run(async {
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut live = [0; 2];
        for (at, until) in [FEW, MANY].into_iter().enumerate() {
            for n in waiting.load(SeqCst)..until {
                // A descriptor of its own for the one connection: nothing of the kernel's is counted. A port takes no
                // second descriptor of a socket.
                let stream = if cfg!(windows) {
                    let (client, accepted) = connect();
                    clients.push(client);
                    accepted
                } else {
                    accepted.try_clone().unwrap()
                };
                let waiting = Arc::clone(&waiting);
                drop(spawn(serve(net::TcpStream::from_std(stream).unwrap(), waiting)));
                if n % 100 == 0 {
                    yield_now().await;
                }
            }
            while waiting.load(SeqCst) < until {
                yield_now().await;
            }
            live[at] = heap::live().expect("it counts");
        }
        (live[1] - live[0]) as f64 / (MANY - FEW) as f64
    })
}

/// Measures, unless this process may not have as many descriptors.
fn expect(what: &str, limit: f64, measure: impl FnOnce() -> f64) {
    let room = system::raise_descriptor_limit();
    if room < MANY + 200 {
        let reason =
            format!("{MANY} sockets need more than the {room} descriptors that this process may have");
        return note_skip(what.to_owned(), Skip::because(reason));
    }
    let each = measure();
    println!("{what}: {each:.1} bytes of heap a connection with its task");
    assert!((100.0..=limit).contains(&each), "{what}: {each:.1} bytes, where {limit} are allowed");
}

#[test]
fn bytes_a_connection_with_its_task() {
    alone(|| {
        for workers in [1, 2] {
            let pool = Pool::builder().workers(workers);
            expect(&format!("{workers} workers"), LIMIT, || bytes_each(pool, echo));
        }
    });
}

#[cfg(unix)]
#[test]
fn bytes_a_connection_with_a_pooled_receive() {
    alone(|| {
        for &backend in Backend::BUILT {
            let pool = Pool::builder().workers(1).backend(backend);
            expect(&format!("{backend}, a pooled receive"), LIMIT, || bytes_each(pool, relay));
        }
    });
}
