//! One connection floods and a hundred are quiet: the flood gives way, and each quiet task has its full budget.

#![cfg(not(miri))]

mod common;

use std::{
    future::{Future, poll_fn},
    io::{self, Read, Write},
    net,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use common::{Gate, polls, within};
use pike::net::TcpStream;
use pike_sched::{Pool, spawn, yield_now};

const QUIET: usize = 100;
/// Operations that one run may do before it gives way: the core's budget.
const BUDGET: usize = 32;
const ROUNDS: usize = 20;

fn pair(listener: &net::TcpListener) -> io::Result<(net::TcpStream, net::TcpStream)> {
    let client = net::TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    Ok((client, listener.accept()?.0))
}

/// The future, and how many of its runs changed `count`.
fn runs_that_count<F: Future>(
    count: Arc<AtomicUsize>,
    future: F,
) -> (Arc<AtomicUsize>, impl Future<Output = F::Output>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let (its_runs, mut future) = (Arc::clone(&runs), Box::pin(future));
    let counting = poll_fn(move |cx| {
        let before = count.load(SeqCst);
        let polled = future.as_mut().poll(cx);
        its_runs.fetch_add(usize::from(count.load(SeqCst) != before), SeqCst);
        polled
    });
    (runs, counting)
}

fn fairness(workers: usize) -> io::Result<()> {
    let listener = net::TcpListener::bind("127.0.0.1:0")?;
    let (mut floods, flooded) = pair(&listener)?;
    let over = Arc::new(AtomicBool::new(false));
    let flood = thread::spawn({
        let over = Arc::clone(&over);
        move || while !over.load(SeqCst) && floods.write_all(&[7; 4096]).is_ok() {}
    });
    let pairs = (0..QUIET).map(|_| pair(&listener)).collect::<io::Result<Vec<_>>>()?;
    let (mut clients, servers): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();

    let pool = Pool::builder().workers(workers).build()?;
    let asking = thread::spawn(move || -> io::Result<()> {
        for _ in 0..ROUNDS {
            for client in &mut clients {
                // As much as a budget allows for, a byte at a time, and the answer.
                client.write_all(&[1; BUDGET - 2])?;
            }
            for client in &mut clients {
                client.read_exact(&mut [0])?;
            }
        }
        Ok(())
    });
    pool.run(async {
        let reads = Arc::new(AtomicUsize::new(0));
        let (runs, future) = polls({
            let (reads, flooded) = (Arc::clone(&reads), flooded);
            async move {
                let (stream, mut buf) = (TcpStream::from_std(flooded)?, [0; 1]);
                while stream.read(&mut buf).await? != 0 {
                    reads.fetch_add(1, SeqCst);
                }
                io::Result::Ok(())
            }
        });
        let flooded = spawn(future);
        let quiet: Vec<_> = servers
            .into_iter()
            .map(|server| {
                let bytes = Arc::new(AtomicUsize::new(0));
                let (runs, future) = runs_that_count(Arc::clone(&bytes), async move {
                    let (stream, mut buf) = (TcpStream::from_std(server)?, [0; 1]);
                    for _ in 0..ROUNDS {
                        for _ in 0..BUDGET - 2 {
                            stream.read_exact(&mut buf).await?;
                            bytes.fetch_add(1, SeqCst);
                        }
                        stream.write_all(&buf).await?;
                    }
                    io::Result::Ok(())
                });
                (runs, spawn(future))
            })
            .collect();
        for (runs, task) in quiet {
            task.await??;
            // All of a round is there at once, so one run reads it: a budget that others had used up would take more. (A run that
            // reads nothing may come in between, of a report that another worker brought late.)
            let runs = runs.load(SeqCst);
            assert_eq!(runs, ROUNDS, "runs that read something");
        }
        let (reads, runs) = (reads.load(SeqCst), runs.load(SeqCst));
        assert!(reads > BUDGET && reads <= (BUDGET + 1) * runs, "{reads} reads in {runs} runs");
        flooded.abort();
        io::Result::Ok(())
    })?;
    asking.join().unwrap()?;
    over.store(true, SeqCst);
    flood.join().unwrap();
    Ok(())
}

#[test]
fn with_one_worker() -> io::Result<()> {
    within(60, || fairness(1))
}

#[test]
fn with_two_workers() -> io::Result<()> {
    within(60, || fairness(2))
}

/// Two tasks that wake each other are run next all the time: a third one has its turn after three of these.
#[test]
fn beside_a_ping_pong() -> io::Result<()> {
    within(60, || {
        let pool = Pool::builder().workers(2).build()?;
        let (blocks, blocked) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        // Nobody takes the third one away.
        let held = pool.spawn_each(|worker| {
            let (blocks, released) = (blocks.clone(), Arc::clone(&released));
            async move {
                if worker == 1 {
                    blocks.send(()).unwrap();
                    let _ = released.lock().unwrap().recv();
                }
            }
        });
        blocked.recv().unwrap();
        pool.run(async {
            let (gates, count) = ([Gate::new(), Gate::new()], Arc::new(AtomicUsize::new(0)));
            let mut tasks = Vec::new();
            for mine in 0..2 {
                let (gates, count) = (gates.clone(), Arc::clone(&count));
                tasks.push(spawn(async move {
                    for _ in 0..500 {
                        gates[mine].pass().await;
                        count.fetch_add(1, SeqCst);
                        gates[1 - mine].open();
                    }
                }));
            }
            let third = spawn(async move {
                let mut most = 0;
                for _ in 0..20 {
                    let before = count.load(SeqCst);
                    yield_now().await;
                    most = most.max(count.load(SeqCst) - before);
                }
                (most, count.load(SeqCst))
            });
            gates[0].open();
            let (most, count) = third.await.unwrap();
            release.send(()).unwrap();
            // A run for each hand-over, and a few of what else the worker sees to.
            assert!(most <= 8, "{most} runs while one waited");
            assert!(count > 20, "they did not run beside it");
            for task in tasks {
                task.await.unwrap();
            }
        });
        drop(held);
        Ok(())
    })
}
