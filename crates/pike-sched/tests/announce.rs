//! When a worker wakes another one for what its tasks have spawned or woken, and in which order it runs that.

mod common;

use std::{
    hint::spin_loop,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use common::{Gate, polls, within};
use pike_sched::{Group, Pool, spawn};

/// A pool of two, of which one runs.
fn with_one_of_two(test: impl Future<Output = io::Result<()>> + Send + 'static) -> io::Result<()> {
    within(60, || {
        let pool = Pool::builder().workers(2).build()?;
        futures_lite::future::block_on(pool.spawn(test))?
    })
}

/// Each of a hundred tasks wakes who awaits it, who awaits the ninety-nine others as well.
#[test]
fn who_awaits_many_tasks_is_run_a_few_times() -> io::Result<()> {
    with_one_of_two(async {
        let (count, joined) = polls(async {
            let tasks: Vec<_> = (0..100).map(|_| spawn(async {})).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        spawn(joined).await?;
        assert!(count.load(SeqCst) < 10, "{count:?} polls");
        Ok(())
    })
}

/// The same with those that end in a panic, or are aborted and awaited as a group.
#[test]
fn whatever_became_of_the_tasks() -> io::Result<()> {
    with_one_of_two(async {
        let (count, joined) = polls(async {
            let panics = || spawn(async { std::panic::resume_unwind(Box::new(())) });
            let tasks: Vec<pike_sched::JoinHandle<()>> = (0..100).map(|_| panics()).collect();
            for task in tasks {
                assert!(task.await.unwrap_err().is_panic());
            }
            let group = Group::new();
            for _ in 0..100 {
                group.spawn(std::future::pending::<()>());
            }
            group.abort();
            group.wait().await;
        });
        spawn(joined).await?;
        assert!(count.load(SeqCst) < 20, "{count:?} polls");
        Ok(())
    })
}

/// A pool whose first worker is in `block_on` on another thread and sleeps, as the second one does.
fn with_sleepers(pool: Pool, test: impl FnOnce(&Pool)) {
    let (pool, gate) = (Arc::new(pool), Gate::new());
    let driver = thread::spawn({
        let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
        move || pool.block_on(gate.pass())
    });
    thread::sleep(Duration::from_millis(30));
    test(&pool);
    gate.open();
    driver.join().unwrap();
}

fn notifications(pool: &Pool) -> u64 {
    pool.counters().iter().map(|worker| worker.notifications).sum()
}

/// Nobody is woken before the spawner gives way, and then somebody is.
#[test]
#[cfg(not(miri))] // it rests
fn a_burst_is_announced_when_it_is_over() -> io::Result<()> {
    within(60, || {
        let pool = Arc::new(Pool::builder().workers(2).build()?);
        let (during, after) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        for _ in 0..10 {
            let spawner = pool.spawn({
                let (pool, during, after) = (Arc::clone(&pool), Arc::clone(&during), Arc::clone(&after));
                async move {
                    // The other worker sleeps, but for its looks at this one.
                    thread::sleep(Duration::from_millis(20));
                    let (group, before) = (Group::new(), notifications(&pool));
                    for _ in 0..100 {
                        group.spawn(async { thread::sleep(Duration::from_micros(100)) });
                    }
                    during.fetch_add(notifications(&pool) - before, SeqCst);
                    group.wait().await;
                    after.fetch_add(notifications(&pool) - before, SeqCst);
                }
            });
            pool.block_on(spawner)?;
        }
        assert_eq!(during.load(SeqCst), 0);
        assert!(after.load(SeqCst) > 0);
        Ok(())
    })
}

/// More than a ring holds is spawned, and all of it is run while the spawner does not give way.
#[test]
#[cfg(not(miri))] // it spins
fn what_a_stuck_spawner_has_spawned_is_run() -> io::Result<()> {
    within(60, || {
        for count in [1, 2, 3, 300] {
            with_sleepers(Pool::builder().workers(2).build()?, |pool| {
                let task = pool.spawn(async move {
                    let tasks: Vec<_> = (0..count).map(|_| spawn(async {})).collect();
                    while !tasks.iter().all(|task| task.is_finished()) {
                        spin_loop();
                    }
                });
                futures_lite::future::block_on(task).unwrap();
            });
        }
        Ok(())
    })
}

/// With bound Notifiers no sleeper sets an alarm: it is woken at once.
#[test]
#[cfg(not(miri))] // it spins
fn where_nobody_can_watch_a_worker_is_woken_at_once() -> io::Result<()> {
    within(60, || {
        with_sleepers(Pool::builder().workers(2).bound().build()?, |pool| {
            let done = Arc::new(AtomicBool::new(false));
            let task = pool.spawn(async move {
                spawn({
                    let done = Arc::clone(&done);
                    async move { done.store(true, SeqCst) }
                });
                // The first is displaced by this one, which stays.
                let _next = spawn(async {});
                while !done.load(SeqCst) {
                    spin_loop();
                }
            });
            futures_lite::future::block_on(task).unwrap();
        });
        Ok(())
    })
}

/// The same by the destructor of what a task has given and nobody took: it is run when the task has completed.
#[test]
#[cfg(not(miri))] // it spins
fn a_destructor_that_spawns_and_goes_on_has_it_run() -> io::Result<()> {
    struct Spawns(Arc<AtomicBool>);

    impl Drop for Spawns {
        fn drop(&mut self) {
            let _next = spawn(async {});
            let done = Arc::clone(&self.0);
            drop(spawn(async move { done.store(true, SeqCst) }));
            while !self.0.load(SeqCst) {
                spin_loop();
            }
        }
    }

    within(60, || {
        for builder in [Pool::builder().bound(), Pool::builder()] {
            with_sleepers(builder.workers(2).build()?, |pool| {
                let (done, detached) = (Arc::new(AtomicBool::new(false)), Gate::new());
                drop(pool.spawn({
                    let (done, detached) = (Arc::clone(&done), Arc::clone(&detached));
                    async move {
                        detached.pass().await;
                        Spawns(done)
                    }
                }));
                detached.open();
                while !done.load(SeqCst) {
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        Ok(())
    })
}
