//! A worker loses its Notifier: that is reported, and the others go on.

mod common;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use common::{Gate, at_rest, within};
use pike::{Closed, Event, time};
use pike_sched::{Pool, spawn, yield_now};

type Reports = Arc<Mutex<Vec<(usize, bool)>>>;

fn pool(workers: usize) -> (Pool, Reports) {
    let reports = Reports::default();
    let pool = Pool::builder().workers(workers).on_failure({
        let reports = Arc::clone(&reports);
        move |worker, error| reports.lock().unwrap().push((worker, Closed::is(error)))
    });
    (pool.build().unwrap(), reports)
}

fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Shut down under it while it sleeps, and while it is busy.
#[test]
fn the_other_workers_go_on() -> io::Result<()> {
    within(60, || {
        for busy in [false, true] {
            let (pool, reports) = pool(3);
            let gate = Gate::new();
            let mut stays = pool.spawn_each(|_| {
                let gate = Arc::clone(&gate);
                async move {
                    let event = Event::new()?;
                    let waited = event.wait().await;
                    gate.pass().await;
                    waited.map(drop)
                }
            });
            // Of the second worker, whose Notifier goes.
            let stays = stays.remove(1);
            let spins: Vec<_> = (0..if busy { 6 } else { 0 })
                .map(|_| {
                    pool.spawn(async {
                        loop {
                            yield_now().await;
                        }
                    })
                })
                .collect();
            until(|| pool.notifiers()[1].turns() > 0);
            pool.notifiers()[1].shutdown(Duration::ZERO);
            until(|| !reports.lock().unwrap().is_empty());
            drop(spins);

            // Whoever runs these has a Notifier.
            pool.block_on(async {
                let tasks: Vec<_> = (0..100)
                    .map(|_| {
                        spawn(async {
                            time::sleep(Duration::from_micros(100)).await;
                            Arc::new(Event::new()?).notify();
                            io::Result::Ok(())
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await??;
                }
                io::Result::Ok(())
            })?;
            // What stayed with the failed worker was told, and goes on without I/O.
            gate.open();
            assert!(Closed::is(&pool.block_on(stays)?.unwrap_err()));
            assert_eq!(*reports.lock().unwrap(), [(1, true)]);
            let failures = pool.failures();
            assert_eq!((failures.len(), failures[0].0), (1, 1));
        }
        Ok(())
    })
}

/// The only one has nobody to leave its tasks to.
#[test]
fn all_have_failed() -> io::Result<()> {
    within(60, || {
        for workers in [1, 2] {
            let (pool, reports) = pool(workers);
            for notifier in pool.notifiers() {
                notifier.shutdown(Duration::ZERO);
            }
            let sum: i32 = pool.block_on(async {
                let mut sum = 0;
                for n in 0..100 {
                    sum += spawn(async move {
                        yield_now().await;
                        n
                    })
                    .await
                    .unwrap();
                }
                sum
            });
            assert_eq!(sum, 4950);
            until(|| reports.lock().unwrap().len() == workers);
            assert_eq!(pool.failures().len(), workers);
        }
        Ok(())
    })
}

/// So many tasks of the pool that do something, and how many of them ran on the calling thread.
async fn runs_here(tasks: usize) -> usize {
    let here = thread::current().id();
    let spin = || {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_micros(20) {}
        thread::current().id()
    };
    let tasks: Vec<_> = (0..tasks).map(|_| spawn(async move { spin() })).collect();
    let mut runs = 0;
    for task in tasks {
        runs += usize::from(task.await.unwrap() == here);
    }
    runs
}

/// Nobody is in `block_on`, so there is no sound worker, whatever the first one's Notifier is like; then somebody comes, and
/// goes.
#[test]
fn the_first_worker_comes_and_goes() -> io::Result<()> {
    within(60, || {
        let (pool, reports) = pool(2);
        pool.notifiers()[1].shutdown(Duration::ZERO);
        until(|| reports.lock().unwrap().len() == 1);
        for _ in 0..10 {
            let worker = futures_lite::future::block_on(pool.spawn(async { thread::current().id() }))?;
            assert_ne!(worker, thread::current().id());
            // Once it has seen that, the other one takes no more of these.
            pool.block_on(async { while runs_here(500).await < 500 {} });
        }
        Ok(())
    })
}

/// Each time that a thread drives it, not only when it fails.
#[test]
fn a_failed_worker_takes_no_tasks_again() -> io::Result<()> {
    within(60, || {
        let (pool, reports) = pool(2);
        pool.notifier().shutdown(Duration::ZERO);
        for round in 0..3 {
            let here = pool.block_on(runs_here(1000));
            assert_eq!(reports.lock().unwrap().len(), 1);
            // At first it does not know before its first turn.
            assert!(here == 0 || round == 0, "{here} in round {round}");
        }
        Ok(())
    })
}

/// It is called when the worker has left its tasks to others, and its panic stays there.
#[test]
fn the_report_panics() -> io::Result<()> {
    within(60, || {
        let called = Arc::new(AtomicBool::new(false));
        let pool = Pool::builder().workers(2).on_failure({
            let called = Arc::clone(&called);
            move |_, _| {
                called.store(true, SeqCst);
                panic!("of a test");
            }
        });
        let pool = pool.build()?;
        let waits = pool.spawn_each(|_| async { Event::new()?.wait().await.map(drop) });
        pool.block_on(async {
            until(|| pool.notifiers()[1].turns() > 0);
            pool.notifiers()[1].shutdown(Duration::ZERO);
            until(|| called.load(SeqCst));
            assert_eq!(runs_here(1000).await, 1000);
        });
        drop(waits);
        Ok(())
    })
}

/// A worker that shares no tasks says no more that it sleeps: the others do not wait for that.
#[test]
#[cfg_attr(miri, ignore = "it waits in real time")]
fn an_idle_pool_stays_idle() -> io::Result<()> {
    within(60, || {
        let (pool, reports) = pool(4);
        let (pool, gate) = (Arc::new(pool), Gate::new());
        let driver = thread::spawn({
            let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
            move || pool.block_on(gate.pass())
        });
        pool.notifiers()[2].shutdown(Duration::ZERO);
        until(|| reports.lock().unwrap().len() == 1);
        at_rest(&pool, Duration::from_millis(300));
        gate.open();
        driver.join().unwrap();
        Ok(())
    })
}
