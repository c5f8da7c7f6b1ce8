//! What it costs to tell other workers of a turn's batch, counted by tracing the thread of the first worker: with a thousand
//! sockets ready, one notification.
#![cfg(any(target_os = "linux", target_os = "android"))]

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, ThreadId},
};

use pike::net;
use pike_conformance::{
    Skip,
    harness::{alone, note_skip},
    trace::{self, Calls},
    unix,
};
use pike_sched::{Pool, spawn, yield_now};

const SOCKETS: usize = 1000;
const ROUNDS: usize = 5;

/// Keeps the second worker busy until the flag is 2. The flag is 1 once it is.
async fn keep_busy(first: ThreadId, flag: Arc<AtomicUsize>) {
    while thread::current().id() == first {
        yield_now().await;
    }
    flag.store(1, SeqCst);
    while flag.load(SeqCst) != 2 {
        std::hint::spin_loop();
    }
}

/// Waits for its byte. On the second worker it does not end before all else is done: so that worker sleeps once, and is awake
/// from the one notification on.
async fn read(
    server: Arc<net::TcpStream>,
    first: ThreadId,
    waiting: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
) {
    let mut buf = [0];
    waiting.fetch_add(1, SeqCst);
    server.read_exact(&mut buf).await.unwrap();
    while thread::current().id() != first && done.load(SeqCst) < SOCKETS - 1 {
        std::hint::spin_loop();
    }
    done.fetch_add(1, SeqCst);
}

/// All sockets belong to the first worker, and become ready before its turn, while the second sleeps.
fn rounds() {
    let pool = Arc::new(Pool::builder().workers(2).build().unwrap());
    let parks = || pool.counters()[1].parks;
    pool.block_on(async {
        let first = thread::current().id();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mut clients, servers): (Vec<_>, Vec<_>) = (0..SOCKETS)
            .map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0))
            .unzip();
        let register = |server| Arc::new(net::TcpStream::from_std(server).unwrap());
        let servers: Vec<_> = servers.into_iter().map(register).collect();
        for _ in 0..ROUNDS {
            let (done, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            for server in &servers {
                spawn(read(Arc::clone(server), first, Arc::clone(&waiting), Arc::clone(&done)));
            }
            while waiting.load(SeqCst) < SOCKETS {
                yield_now().await;
            }
            // The second worker would turn the first one's Notifier while that is busy with this.
            let flag = Arc::new(AtomicUsize::new(0));
            spawn(keep_busy(first, Arc::clone(&flag)));
            while flag.load(SeqCst) == 0 {
                spawn(async {}); // so that there is something to be stolen
                yield_now().await;
            }
            for client in &mut clients {
                client.write_all(&[1]).unwrap();
            }
            let before = parks();
            flag.store(2, SeqCst);
            while parks() == before {
                std::hint::spin_loop();
            }
            trace::mark();
            while done.load(SeqCst) < SOCKETS {
                yield_now().await;
            }
            trace::mark();
        }
    });
}

#[test]
fn a_thousand_ready_sockets_are_one_notification() {
    let counted = alone(|| {
        unix::raise_descriptor_limit();
        trace::count(rounds)
    });
    match counted {
        Err(skip) => note_skip("a_thousand_ready_sockets".into(), Skip::because(skip.reason())),
        Ok(pieces) => {
            assert_eq!(pieces.len(), ROUNDS);
            let notifications = |calls: &Calls| calls.of_kind(&[libc::SYS_write, libc::SYS_futex]);
            let notifications: Vec<_> = pieces.iter().map(notifications).collect();
            println!("{notifications:?} futex and eventfd writes a turn of {SOCKETS} sockets");
            // None if the second worker was not asleep; a machine that is busy otherwise may let it rise by its alarm.
            assert!(notifications.contains(&1), "{notifications:?}");
            assert!(notifications.iter().all(|count| *count <= 2), "{notifications:?}: {pieces:?}");
        }
    }
}
