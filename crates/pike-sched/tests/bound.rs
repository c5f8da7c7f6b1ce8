//! Workers whose Notifiers are bound to their threads: what is registered there can be used from there alone.

#![cfg(not(miri))]

mod common;

use std::{
    collections::HashSet,
    io, net,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use common::within;
use pike::{Event, Notifier};
use pike_sched::{Builder, Pool, Sharding, spawn, yield_now};

const TASKS: usize = 40;

/// The first worker's tasks give way again and again, and it is stuck in between, while the others have nothing to do: nobody
/// steals a task that has run, and so may own a Handle.
fn tasks_stay(builder: Builder) -> io::Result<()> {
    let pool = builder.build()?;
    let (begun, here) = (Arc::new(AtomicUsize::new(0)), thread::current().id());
    let threads = pool.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let begun = Arc::clone(&begun);
                spawn(async move {
                    let mut threads = HashSet::from([thread::current().id()]);
                    let event = Event::new()?;
                    begun.fetch_add(1, SeqCst);
                    for _ in 0..20 {
                        yield_now().await;
                        threads.insert(thread::current().id());
                        event.notify();
                        event.wait().await?;
                        threads.insert(thread::current().id());
                    }
                    io::Result::Ok(threads)
                })
            })
            .collect();
        while begun.load(SeqCst) < TASKS {
            yield_now().await;
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let mut threads = Vec::new();
        for task in tasks {
            threads.push(task.await??);
        }
        io::Result::Ok(threads)
    })?;
    assert!(threads.iter().all(|threads| threads.len() == 1), "{threads:?}");
    assert!(threads.iter().any(|threads| threads.contains(&here)), "{threads:?}");
    Ok(())
}

#[test]
fn no_task_is_stolen() -> io::Result<()> {
    within(60, || {
        for workers in [2, 3] {
            for _ in 0..5 {
                tasks_stay(Pool::builder().workers(workers).bound())?;
            }
        }
        Ok(())
    })
}

/// One bound Notifier among them is enough.
#[test]
fn none_if_the_first_alone_is_bound() -> io::Result<()> {
    within(60, || tasks_stay(Pool::builder().workers(3).notifier(Notifier::builder().bound().build()?)))
}

/// A connection's socket is of the worker that it came to, and its task stays there, from the first run on.
#[test]
fn connections_stay_where_they_came_to() -> io::Result<()> {
    within(60, || {
        for sharding in [Sharding::NATIVE, Sharding::OneAcceptor] {
            let pool = Pool::builder().workers(2).bound().build()?;
            let listener = pool.listen_by("127.0.0.1:0".parse().unwrap(), sharding)?;
            let address = listener.local_addr();
            let (strays, served) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            drop(listener.serve({
                let (strays, served) = (Arc::clone(&strays), Arc::clone(&served));
                move |stream, _| {
                    let (came, strays, served) =
                        (thread::current().id(), Arc::clone(&strays), Arc::clone(&served));
                    async move {
                        strays.fetch_add(usize::from(thread::current().id() != came), SeqCst);
                        // Its neighbours are there to be taken.
                        thread::sleep(Duration::from_micros(200));
                        stream.write_all(b"pike").await.unwrap();
                        strays.fetch_add(usize::from(thread::current().id() != came), SeqCst);
                        served.fetch_add(1, SeqCst);
                    }
                }
            }));
            // All wait to be accepted at once.
            let clients: Vec<_> = (0..TASKS).map(|_| net::TcpStream::connect(address).unwrap()).collect();
            pool.block_on(async {
                while served.load(SeqCst) < TASKS {
                    pike::time::sleep(Duration::from_millis(1)).await;
                }
            });
            drop(clients);
            assert_eq!(strays.load(SeqCst), 0, "{sharding:?}");
        }
        Ok(())
    })
}
