//! What an echo connection with its task costs in live heap bytes, `recv_with` reading: a counting allocator, 1,000 and 9,000
//! connections on a pool of one worker and of two, the difference by 8,000. (On Windows 200 and 1,200.)

use std::{
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use pike::net;
use pike_conformance::{
    Skip,
    harness::{alone, note_skip},
    heap, system,
};
use pike_sched::{Pool, spawn, yield_now};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const FEW: usize = if cfg!(windows) { 200 } else { 1000 };
const MANY: usize = if cfg!(windows) { 1200 } else { 9000 };
/// DESIGN.md, section 7: bytes a connection with its task.
const LIMIT: f64 = 512.0;

async fn echo(stream: net::TcpStream, waiting: Arc<AtomicUsize>) -> std::io::Result<()> {
    waiting.fetch_add(1, SeqCst);
    while stream.recv_with(|bytes| stream.try_write(bytes).map(|n| n > 0)).await?? {}
    Ok(())
}

fn bytes_each(workers: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect =
        || (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener.accept().unwrap().0);
    let (_client, accepted) = connect();
    // Room for the clients before anything is counted.
    let mut clients = Vec::with_capacity(MANY);
    Pool::builder().workers(workers).build().unwrap().run(async {
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
                drop(spawn(async move { echo(net::TcpStream::from_std(stream).unwrap(), waiting).await }));
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

#[test]
fn bytes_a_connection_with_its_task() {
    alone(|| {
        let room = system::raise_descriptor_limit();
        if room < MANY + 200 {
            let reason =
                format!("{MANY} sockets need more than the {room} descriptors that this process may have");
            return note_skip("bytes_a_connection_with_its_task".into(), Skip::because(reason));
        }
        for workers in [1, 2] {
            let each = bytes_each(workers);
            println!("{workers} workers: {each:.1} bytes of heap a connection with its task");
            assert!(
                (100.0..=LIMIT).contains(&each),
                "{workers} workers: {each:.1} bytes, where {LIMIT} are allowed"
            );
        }
    });
}
