//! One address for all workers: each gets its part of the connections.

#![cfg(not(miri))]

mod common;

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use common::within;
use pike::net::TcpStream;
use pike_sched::{Pool, Sharding};

const CONNECTIONS: usize = 400;

/// On which threads the tasks of so many connections began.
fn spread(workers: usize, sharding: Sharding) -> io::Result<HashMap<ThreadId, usize>> {
    let pool = Pool::builder().workers(workers).build()?;
    let listener = pool.listen_by("127.0.0.1:0".parse().unwrap(), sharding)?;
    assert_eq!(listener.sharding(), sharding);
    let address = listener.local_addr();
    let counts = Arc::new(Mutex::new(HashMap::new()));
    let tasks = listener.serve({
        let counts = Arc::clone(&counts);
        move |stream: TcpStream, _| {
            // Called where the connection came to.
            *counts.lock().unwrap().entry(thread::current().id()).or_default() += 1;
            async move {
                let mut buf = [0; 4];
                stream.read_exact(&mut buf).await.unwrap();
                stream.write_all(&buf).await.unwrap();
            }
        }
    });
    assert_eq!(tasks.len(), if sharding == Sharding::PerWorker { workers } else { 1 });
    let clients = thread::spawn(move || {
        for _ in 0..CONNECTIONS {
            let mut stream = net::TcpStream::connect(address).unwrap();
            let mut buf = [0; 4];
            stream.write_all(b"ping").unwrap();
            stream.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"ping");
        }
    });
    pool.run(async {
        while !clients.is_finished() {
            pike::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    clients.join().unwrap();
    assert!(tasks.iter().all(|task| task.is_finished()));
    let counts = counts.lock().unwrap().clone();
    Ok(counts)
}

#[test]
fn every_worker_gets_its_part() -> io::Result<()> {
    within(60, || {
        for sharding in [Sharding::NATIVE, Sharding::OneAcceptor] {
            for workers in [1, 2, 3] {
                let counts = spread(workers, sharding)?;
                assert_eq!(counts.len(), workers, "{sharding:?}: {counts:?}");
                assert_eq!(counts.values().sum::<usize>(), CONNECTIONS);
                // The system's hash is no exact share: half of one at least, which it misses by chance in no number of runs.
                let least = CONNECTIONS / workers / 2;
                assert!(counts.values().all(|count| *count >= least), "{sharding:?}: {counts:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn an_address_in_use() -> io::Result<()> {
    let taken = net::TcpListener::bind("127.0.0.1:0")?;
    let pool = Pool::builder().workers(2).build()?;
    let error = pool.listen(taken.local_addr()?).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    // Nothing of the pool is spent.
    drop(pool.listen("[::1]:0".parse().unwrap())?);
    Ok(())
}

/// Panics of the closure end their connections, and nothing else.
#[test]
fn the_closure_panics() -> io::Result<()> {
    within(60, || {
        for sharding in [Sharding::NATIVE, Sharding::OneAcceptor] {
            let pool = Pool::builder().workers(2).build()?;
            let listener = pool.listen_by("127.0.0.1:0".parse().unwrap(), sharding)?;
            let (address, count) = (listener.local_addr(), AtomicUsize::new(0));
            let tasks = listener.serve(move |stream, _| {
                if count.fetch_add(1, Relaxed) % 5 == 0 {
                    panic!("of a test");
                }
                async move { stream.write_all(b"pike").await.unwrap() }
            });
            let clients = thread::spawn(move || {
                let answers = (0..50).filter(|_| {
                    let mut stream = net::TcpStream::connect(address).unwrap();
                    stream.read_exact(&mut [0; 4]).is_ok()
                });
                answers.count()
            });
            pool.block_on(async {
                while !clients.is_finished() {
                    pike::time::sleep(Duration::from_millis(5)).await;
                }
            });
            assert_eq!(clients.join().unwrap(), 40, "{sharding:?}");
            assert!(!tasks.iter().any(|task| task.is_finished()), "{sharding:?}");
        }
        Ok(())
    })
}
