//! What the counters say: exact numbers, for every form of pool.

mod common;

use std::{
    io,
    sync::{Arc, Barrier, atomic::Ordering::SeqCst},
    thread,
    time::Duration,
};

use common::{polls, within};
use pike::time;
use pike_sched::{Counters, Pool, spawn_local, yield_now};

/// A worker by itself, and one of two, whichever kind of task it is that a turn made ready.
#[test]
#[cfg_attr(miri, ignore = "it waits in real time")]
fn parks_and_batches() -> io::Result<()> {
    const SLEEPS: u64 = 20;
    async fn sleeps() {
        let mut waited = 0;
        while waited < SLEEPS {
            // Where the machine was elsewhere for so long, it is over before it begins, and no turn waits for it.
            let (runs, sleep) = polls(time::sleep(Duration::from_millis(2)));
            sleep.await;
            waited += u64::from(runs.load(SeqCst) > 1);
        }
    }
    fn check(counters: Counters, what: &str) {
        let Counters { parks, batches, runs, .. } = counters;
        assert!(batches >= SLEEPS, "{what}: {batches} batches");
        assert!(parks >= SLEEPS, "{what}: {parks} parks");
        assert!(batches <= runs, "{what}: {batches} batches, {runs} runs");
    }
    within(60, || {
        for workers in [1, 2] {
            let pool = Pool::builder().workers(workers).build()?;
            pool.block_on(async { spawn_local(sleeps()).await })?;
            check(pool.counters()[0], "spawn_local");

            let pool = Pool::builder().workers(workers).build()?;
            pool.block_on(pool.spawn_each(|_| sleeps()).remove(0))?;
            check(pool.counters()[0], "spawn_each");
        }
        let pool = Pool::new()?;
        pool.block_on(pool.spawn(sleeps()))?;
        check(pool.counters()[0], "spawn");
        Ok(())
    })
}

/// Each thread runs its own tasks; one of them is the worker.
#[test]
fn threads_beside_the_worker() -> io::Result<()> {
    const THREADS: usize = 3;
    let yields = if cfg!(miri) { 20 } else { 100_000 };
    within(60, move || {
        let (pool, barrier) = (Arc::new(Pool::new()?), Arc::new(Barrier::new(THREADS)));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (pool, barrier) = (Arc::clone(&pool), Arc::clone(&barrier));
                thread::spawn(move || {
                    barrier.wait();
                    pool.block_on(async {
                        let task = spawn_local(async move {
                            for _ in 1..yields {
                                yield_now().await;
                            }
                        });
                        task.await.unwrap();
                    });
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(pool.counters()[0].runs, (THREADS * yields) as u64);
        Ok(())
    })
}
