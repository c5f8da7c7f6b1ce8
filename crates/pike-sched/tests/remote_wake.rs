//! Other threads spawn to a pool and wake its tasks, while it runs and while it sleeps.

mod common;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{Gate, within};
use futures_lite::future::block_on;
use pike_sched::{Pool, spawn, yield_now};

const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };

#[test]
fn spawn_from_another_thread_wakes_a_sleeping_worker() -> io::Result<()> {
    within(20, || {
        let (pool, gate) = (Arc::new(Pool::new()?), Gate::new());
        let driver = thread::spawn({
            let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
            move || pool.block_on(gate.pass())
        });
        while gate.waker().is_none() {
            thread::yield_now();
        }
        for n in 0..10 {
            thread::sleep(Duration::from_millis(5));
            let begin = Instant::now();
            assert_eq!(block_on(pool.spawn(async move { n }))?, n);
            assert!(cfg!(miri) || begin.elapsed() < Duration::from_secs(2));
        }
        gate.open();
        driver.join().unwrap();
        Ok(())
    })
}

/// A thread that opens the gate, and waits to be told so, `ROUNDS` times.
fn player() -> (Arc<Gate>, mpsc::Sender<usize>, thread::JoinHandle<()>) {
    let (gate, (back, wait)) = (Gate::new(), mpsc::channel());
    let player = thread::spawn({
        let gate = Arc::clone(&gate);
        move || {
            for round in 0..ROUNDS {
                gate.open();
                assert_eq!(wait.recv().unwrap(), round);
            }
        }
    });
    (gate, back, player)
}

/// One message in flight: the worker sleeps, or is just about to, at every wake.
#[test]
fn ping_pong_with_a_task() -> io::Result<()> {
    within(60, || {
        let (there, back, other) = player();
        Pool::new()?.run(async {
            let task = spawn(async move {
                for round in 0..ROUNDS {
                    there.pass().await;
                    back.send(round).unwrap();
                }
            });
            task.await
        })?;
        other.join().unwrap();
        Ok(())
    })
}

/// The same with the main future, whose waker is another.
#[test]
fn ping_pong_with_the_main_future() -> io::Result<()> {
    within(60, || {
        let (there, back, other) = player();
        Pool::new()?.run(async {
            for round in 0..ROUNDS {
                there.pass().await;
                back.send(round).unwrap();
            }
        });
        other.join().unwrap();
        Ok(())
    })
}

/// Several threads wake several tasks at will. A lost wake of the last opening would hang its task.
#[test]
fn many_threads_and_tasks() -> io::Result<()> {
    const THREADS: usize = 3;
    within(60, || {
        let passed: Arc<Vec<AtomicUsize>> = Arc::new((0..THREADS).map(|_| AtomicUsize::new(0)).collect());
        let gates: Vec<_> = (0..THREADS).map(|_| Gate::new()).collect();
        let last: Arc<Vec<AtomicBool>> = Arc::new((0..THREADS).map(|_| AtomicBool::new(false)).collect());
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let (gate, last) = (Arc::clone(&gates[n]), Arc::clone(&last));
                thread::spawn(move || {
                    for round in 0..ROUNDS {
                        if round == ROUNDS - 1 {
                            last[n].store(true, SeqCst);
                        }
                        gate.open();
                        if round % 64 == n {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        Pool::new()?.run(async {
            let tasks: Vec<_> = (0..THREADS)
                .map(|n| {
                    let (gate, last, passed) =
                        (Arc::clone(&gates[n]), Arc::clone(&last), Arc::clone(&passed));
                    spawn(async move {
                        loop {
                            gate.pass().await;
                            passed[n].fetch_add(1, SeqCst);
                            if last[n].load(SeqCst) {
                                break;
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(passed.iter().all(|passed| passed.load(SeqCst) > 0));
        Ok(())
    })
}

/// Threads spawn while the pool ends: each task runs or is refused, and none is forgotten.
#[test]
fn spawn_while_the_pool_ends() -> io::Result<()> {
    within(60, || {
        for _ in 0..ROUNDS / 200 {
            let (pool, drops) = (Arc::new(Pool::new()?), common::Drops::new());
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (pool, drops) = (Arc::clone(&pool), drops.clone());
                    thread::spawn(move || {
                        let mut count = 0;
                        loop {
                            let one = drops.one();
                            count += 1;
                            let task = pool.spawn(async move {
                                let _one = one;
                            });
                            if let Err(error) = block_on(task) {
                                assert!(error.is_shutdown());
                                return count;
                            }
                        }
                    })
                })
                .collect();
            pool.block_on(async {
                for _ in 0..20 {
                    yield_now().await;
                }
            });
            pool.shutdown();
            let count: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(drops.count(), count);
        }
        Ok(())
    })
}
