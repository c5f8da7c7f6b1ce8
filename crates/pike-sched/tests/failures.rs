//! A worker loses its Notifier: that is reported, and the others go on.

mod common;

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use common::{Gate, within};
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
