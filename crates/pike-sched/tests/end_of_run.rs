//! The end of a pool: in which order things go, and what may still be done.

mod common;

use std::{
    future::pending,
    io,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use common::{Drops, Gate, within};
use pike_sched::{Pool, spawn, spawn_local, yield_now};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

struct Says(Log, &'static str);

impl Log {
    fn on_drop(&self, what: &'static str) -> Says {
        Says(self.clone(), what)
    }
}

impl Drop for Says {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().push(self.1);
    }
}

/// The main future, then the thread's tasks, then the pool's; and all before `run` returns.
#[test]
fn drop_order() -> io::Result<()> {
    let log = Log::default();
    Pool::new()?.run(async {
        let _main = log.on_drop("main");
        for (n, what) in ["first", "second", "queued"].into_iter().enumerate() {
            let one = log.on_drop(what);
            spawn(async move {
                let _one = one;
                pending::<()>().await;
            });
            if n == 1 {
                let one = log.on_drop("local");
                spawn_local(async move {
                    let _one = one;
                    pending::<()>().await;
                });
                yield_now().await;
            }
        }
    });
    // Among tasks of a kind, those that were to be run go first.
    assert_eq!(*log.0.lock().unwrap(), ["main", "local", "queued", "first", "second"]);
    Ok(())
}

/// A task that ends spawns, wakes and aborts others; all of it comes to nothing.
#[test]
fn tasks_that_act_when_dropped() -> io::Result<()> {
    struct Acts {
        drops: Drops,
        gate: Arc<Gate>,
        other: Option<pike_sched::JoinHandle<()>>,
    }
    impl Drop for Acts {
        fn drop(&mut self) {
            let one = self.drops.one();
            let refused = spawn(async move {
                let _one = one;
            });
            assert!(refused.is_finished());
            assert!(futures_lite::future::block_on(refused).unwrap_err().is_shutdown());
            self.gate.open();
            if let Some(other) = &self.other {
                other.abort();
            }
        }
    }
    let (gate, drops) = (Gate::new(), Drops::new());
    Pool::new()?.run(async {
        let other = spawn({
            let (gate, one) = (Arc::clone(&gate), drops.one());
            async move {
                let _one = one;
                gate.pass().await;
                unreachable!("it was cancelled");
            }
        });
        let acts = Acts { drops: drops.clone(), gate: Arc::clone(&gate), other: Some(other) };
        spawn(async move {
            let _acts = acts;
            pending::<()>().await;
        });
        let acts = Acts { drops: drops.clone(), gate: Arc::clone(&gate), other: None };
        spawn_local(async move {
            let _acts = acts;
            pending::<()>().await;
        });
        yield_now().await;
    });
    assert_eq!(drops.threads(), [thread::current().id(); 3]);
    Ok(())
}

/// Tasks await each other in a ring, and none has an end.
#[test]
#[allow(clippy::async_yields_async)] // it is the handle that is wanted
fn handles_of_cancelled_tasks() -> io::Result<()> {
    let handle = Pool::new()?.run(async {
        let mut handle = spawn(pending::<()>());
        for _ in 0..10 {
            let inner = handle;
            handle = spawn(async move { inner.await.unwrap() });
        }
        yield_now().await;
        handle
    });
    assert!(handle.is_finished());
    assert!(futures_lite::future::block_on(handle).unwrap_err().is_shutdown());
    Ok(())
}

#[test]
fn shutdown_without_a_driver() -> io::Result<()> {
    let (pool, drops) = (Pool::new()?, Drops::new());
    let one = drops.one();
    let task = pool.spawn(async move {
        let _one = one;
    });
    let backend = pool.notifier().backend();
    assert_eq!(format!("{pool:?}"), format!("Pool {{ workers: 1, tasks: 1, backend: {backend:?}, .. }}"));
    pool.shutdown();
    pool.shutdown();
    assert_eq!(drops.threads(), [thread::current().id()]);
    assert!(task.is_finished());
    let one = drops.one();
    let refused = pool.spawn(async move {
        let _one = one;
    });
    assert_eq!(drops.count(), 2);
    assert!(pool.block_on(refused).unwrap_err().is_shutdown());
    assert!(pool.run(async { spawn(async {}).await.unwrap_err().is_shutdown() }));
    Ok(())
}

/// Another thread drives the pool, and sleeps: it drops the tasks, and goes on with its own future.
#[test]
fn shutdown_from_another_thread() -> io::Result<()> {
    within(10, || {
        let (pool, drops, gate) = (Arc::new(Pool::new()?), Drops::new(), Gate::new());
        let driver = thread::spawn({
            let (pool, drops, gate) = (Arc::clone(&pool), drops.clone(), Arc::clone(&gate));
            move || {
                pool.block_on(async {
                    let one = drops.one();
                    spawn(async move {
                        let _one = one;
                        pending::<()>().await;
                    });
                    let one = drops.one();
                    let local = spawn_local(async move {
                        let _one = one;
                        7
                    });
                    gate.pass().await;
                    local.await
                })
            }
        });
        while gate.waker().is_none() {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(10));
        pool.shutdown();
        assert_eq!(drops.count(), 2);
        assert!(drops.threads().iter().all(|thread| *thread == driver.thread().id()));
        assert!(!driver.is_finished());
        gate.open();
        assert_eq!(driver.join().unwrap()?, 7);
        Ok(())
    })
}

/// It cannot wait for itself.
#[test]
fn shutdown_from_inside() -> io::Result<()> {
    within(10, || {
        let pool = Arc::new(Pool::new()?);
        let inner = Arc::clone(&pool);
        let refused = pool.block_on(async {
            let task = spawn(async move {
                inner.shutdown();
                assert!(spawn(async {}).await.unwrap_err().is_shutdown());
                yield_now().await;
                unreachable!("it was cancelled itself");
            });
            task.await
        });
        assert!(refused.unwrap_err().is_shutdown());
        Ok(())
    })
}

#[test]
fn dropping_a_pool_drops_its_tasks() -> io::Result<()> {
    let (pool, drops, gate) = (Pool::new()?, Drops::new(), Gate::new());
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (one, gate) = (drops.one(), Arc::clone(&gate));
            pool.spawn(async move {
                let _one = one;
                gate.pass().await;
            })
        })
        .collect();
    pool.block_on(yield_now());
    gate.open();
    drop(pool);
    assert_eq!(drops.count(), 3);
    assert!(tasks.iter().all(|task| task.is_finished()));
    Ok(())
}

/// Another pool's task drops the last value of a pool.
#[test]
fn a_pool_dropped_in_another_pool() -> io::Result<()> {
    let (inner, drops) = (Pool::new()?, Drops::new());
    let one = drops.one();
    inner.spawn(async move {
        let _one = one;
        pending::<()>().await;
    });
    inner.block_on(yield_now());
    Pool::new()?.run(async {
        spawn(async move { drop(inner) }).await?;
        assert_eq!(drops.threads(), [thread::current().id()]);
        // The thread is in the outer pool again.
        assert_eq!(spawn(async { 7 }).await?, 7);
        Ok(())
    })
}
