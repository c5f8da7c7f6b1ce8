//! One connection floods and a hundred are quiet: the flood gives way, and each quiet task has its full budget.

#![cfg(not(miri))]

mod common;

use std::{
    io::{self, Read, Write},
    net,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use common::{polls, within};
use pike::net::TcpStream;
use pike_sched::{Pool, spawn};

const QUIET: usize = 100;
/// Operations that one run may do before it gives way: the core's budget.
const BUDGET: usize = 32;
const ROUNDS: usize = 20;

fn pair(listener: &net::TcpListener) -> io::Result<(net::TcpStream, net::TcpStream)> {
    let client = net::TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    Ok((client, listener.accept()?.0))
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
                let (runs, future) = polls(async move {
                    let (stream, mut buf) = (TcpStream::from_std(server)?, [0; 1]);
                    for _ in 0..ROUNDS {
                        for _ in 0..BUDGET - 2 {
                            stream.read_exact(&mut buf).await?;
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
            // One run to begin with, and one a round: a budget that others had used up would take more.
            let runs = runs.load(SeqCst);
            assert!(runs <= ROUNDS + 1, "{runs} runs for {ROUNDS} rounds");
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
