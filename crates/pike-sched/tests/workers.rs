//! Several workers: tasks run on all of them, move to who has nothing to do, and come to an end together.

mod common;

use std::{
    collections::HashSet,
    future::pending,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use common::{Drops, Gate, within};
use pike_sched::{Pool, spawn, spawn_local, yield_now};

const ROUNDS: usize = if cfg!(miri) { 20 } else { 2_000 };

fn pool(workers: usize) -> Pool {
    Pool::builder().workers(workers).build().unwrap()
}

#[test]
fn tasks_give_their_results() {
    within(60, || {
        for workers in [1, 2, 3, 5] {
            let sum = pool(workers).run(async {
                let tasks: Vec<_> = (0..ROUNDS)
                    .map(|n| {
                        spawn(async move {
                            yield_now().await;
                            spawn(async move { n }).await.unwrap()
                        })
                    })
                    .collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum
            });
            assert_eq!(sum, ROUNDS * (ROUNDS - 1) / 2);
        }
    });
}

/// The first worker is blocked: the others take its tasks, those that it has not announced in time included.
#[test]
fn others_take_the_tasks_of_a_blocked_worker() {
    within(60, || {
        for _ in 0..ROUNDS / 20 {
            pool(3).run(async {
                let count = Arc::new(AtomicUsize::new(0));
                for _ in 0..20 {
                    let count = Arc::clone(&count);
                    spawn(async move {
                        count.fetch_add(1, SeqCst);
                    });
                }
                // All but the last, which is to be run next here.
                while count.load(SeqCst) < 19 {
                    thread::yield_now();
                }
            });
        }
    });
}

#[test]
fn threads_are_the_builders() -> io::Result<()> {
    within(20, || {
        let pool = Pool::builder().workers(3).thread_name("test").stack_size(1 << 20).build()?;
        let names = pool.spawn_each(|_| async { thread::current().name().map(str::to_owned) });
        let mut seen = Vec::new();
        for name in names {
            seen.push(pool.block_on(name)?);
        }
        assert_eq!(seen[1..], [Some("test-1".into()), Some("test-2".into())]);
        Ok(())
    })
}

#[test]
fn the_number_of_workers_has_a_range() {
    let error = Pool::builder().workers(0).build().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    for workers in [56, 57, usize::MAX] {
        assert_eq!(pool(workers).workers(), 56);
    }
}

/// Without anybody in `block_on` the other workers run the tasks.
#[test]
fn they_run_without_the_first() -> io::Result<()> {
    within(20, || {
        let pool = pool(2);
        let tasks: Vec<_> =
            (0..100).map(|n| pool.spawn(async move { spawn(async move { n }).await })).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(futures_lite::future::block_on(task)??, n);
        }
        Ok(())
    })
}

/// Each stays with its worker, however busy that is and whoever wakes it.
#[test]
fn one_task_for_each() -> io::Result<()> {
    within(60, || {
        let pool = pool(3);
        let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
        let tasks = pool.spawn_each(|worker| {
            let gate = Arc::clone(&gates[worker]);
            async move {
                let mut threads = HashSet::new();
                for _ in 0..ROUNDS / 20 {
                    gate.pass().await;
                    threads.insert(thread::current().id());
                    yield_now().await;
                }
                threads
            }
        });
        let opener = thread::spawn(move || {
            while gates.iter().any(|gate| Arc::strong_count(gate) > 1) {
                gates.iter().for_each(|gate| gate.open());
                thread::yield_now();
            }
        });
        let mut threads = HashSet::new();
        for task in tasks {
            let here = pool.block_on(task)?;
            assert_eq!(here.len(), 1);
            threads.extend(here);
        }
        assert_eq!(threads.len(), 3);
        opener.join().unwrap();
        Ok(())
    })
}

/// Tasks of `spawn_local` never leave the thread, and end on it.
#[test]
fn local_tasks_stay() {
    within(60, || {
        let drops = Drops::new();
        let threads = pool(3).run(async {
            let threads = Arc::new(Mutex::new(Vec::new()));
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let (drops, threads) = (drops.clone(), Arc::clone(&threads));
                    spawn(async move {
                        let (here, one, rc) = (thread::current().id(), drops.one(), std::rc::Rc::new(()));
                        threads.lock().unwrap().push(here);
                        let local = spawn_local(async move {
                            let (_one, _rc) = (one, rc);
                            for _ in 0..20 {
                                yield_now().await;
                                assert_eq!(thread::current().id(), here);
                            }
                            pending::<()>().await;
                        });
                        for _ in 0..20 {
                            yield_now().await;
                        }
                        assert!(!local.is_finished());
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            threads.lock().unwrap().clone()
        });
        let (mut here, mut there) = (threads, drops.threads());
        let key = |id: &thread::ThreadId| format!("{id:?}");
        here.sort_by_key(key);
        there.sort_by_key(key);
        assert_eq!(here, there);
    });
}

/// When `run` returns every task is gone, wherever it was.
#[test]
fn the_end_of_run() {
    within(60, || {
        for round in 0..ROUNDS / 20 {
            let (drops, pool) = (Drops::new(), pool(1 + round % 4));
            pool.spawn_each(|_| {
                let one = drops.one();
                async move {
                    let _one = one;
                    pending::<()>().await;
                }
            });
            let workers = pool.workers();
            let passes = Gate::new();
            pool.run(async {
                for n in 0..50 {
                    let (one, passes) = (drops.one(), Arc::clone(&passes));
                    spawn(async move {
                        let _one = one;
                        match n % 3 {
                            0 => pending().await,
                            1 => passes.pass().await,
                            _ => loop {
                                yield_now().await;
                            },
                        }
                    });
                    if n % 7 == round % 7 {
                        yield_now().await;
                    }
                }
                passes.open();
            });
            assert_eq!(drops.count(), 50 + workers);
        }
    });
}

/// From outside, with nobody in `block_on` and with somebody; and from a task on any worker.
#[test]
fn shutdown() {
    within(60, || {
        for round in 0..ROUNDS / 20 {
            let (drops, pool) = (Drops::new(), Arc::new(pool(3)));
            for _ in 0..10 {
                let one = drops.one();
                pool.spawn(async move {
                    let _one = one;
                    loop {
                        yield_now().await;
                    }
                });
            }
            let driver = (round % 2 == 0).then(|| {
                let (pool, gate) = (Arc::clone(&pool), Gate::new());
                let driver = thread::spawn({
                    let gate = Arc::clone(&gate);
                    move || pool.block_on(gate.pass())
                });
                (driver, gate)
            });
            match round % 3 {
                0 => pool.shutdown(),
                1 => {
                    let inner = Arc::clone(&pool);
                    pool.spawn(async move { inner.shutdown() });
                    while drops.count() < 10 {
                        thread::yield_now();
                    }
                    pool.shutdown();
                }
                _ => {
                    let one = drops.one();
                    let inner = Arc::downgrade(&pool);
                    pool.spawn(async move {
                        let _one = one;
                        drop(inner.upgrade()); // which may be the last
                        pending::<()>().await;
                    });
                    pool.shutdown();
                    assert_eq!(drops.count(), 11);
                }
            }
            assert!(drops.count() >= 10);
            assert!(futures_lite::future::block_on(pool.spawn(async {})).unwrap_err().is_shutdown());
            if let Some((driver, gate)) = driver {
                gate.open();
                driver.join().unwrap();
            }
        }
    });
}

/// The last value of a pool is dropped by one of its own tasks.
#[test]
fn dropped_by_its_own_task() {
    within(60, || {
        for _ in 0..ROUNDS / 50 {
            let (drops, pool) = (Drops::new(), Arc::new(pool(3)));
            for _ in 0..5 {
                let one = drops.one();
                pool.spawn(async move {
                    let _one = one;
                    pending::<()>().await;
                });
            }
            let (inner, one) = (Arc::clone(&pool), drops.one());
            let gate = Gate::new();
            pool.spawn({
                let gate = Arc::clone(&gate);
                async move {
                    let _one = one;
                    gate.pass().await;
                    drop(inner);
                    pending::<()>().await;
                }
            });
            drop(pool);
            gate.open();
            while drops.count() < 6 {
                thread::sleep(Duration::from_micros(100));
            }
        }
    });
}
