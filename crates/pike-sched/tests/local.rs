//! Tasks that are not Send: they stay on their thread, and end with its drive.

mod common;

use std::{cell::Cell, future::pending, io, rc::Rc, sync::Arc, thread};

use common::{Drops, Gate, within};
use pike_sched::{JoinHandle, Pool, spawn, spawn_local, yield_now};

#[test]
fn they_share_what_is_not_send() -> io::Result<()> {
    Pool::new()?.run(async {
        let count = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let count = Rc::clone(&count);
                spawn_local(async move {
                    yield_now().await;
                    count.set(count.get() + n);
                    Rc::clone(&count)
                })
            })
            .collect();
        for task in tasks {
            assert!(Rc::ptr_eq(&task.await?, &count));
        }
        assert_eq!(count.get(), 45);
        Ok(())
    })
}

#[test]
fn they_are_spawned_by_tasks_as_well() -> io::Result<()> {
    Pool::new()?.run(async {
        // The outer one is Send: it has nothing but the handle of the other across its await.
        let sum = spawn(async {
            let inner: JoinHandle<i32> = spawn_local(async { *Rc::new(3) });
            inner.await.unwrap() + 4
        });
        assert_eq!(sum.await?, 7);
        Ok(())
    })
}

/// Polled and dropped on its own thread, wherever its waker is woken, cloned and dropped.
#[test]
fn its_waker_goes_anywhere() -> io::Result<()> {
    within(30, || {
        for wakes_last in [true, false] {
            let (gate, drops) = (Gate::new(), Drops::new());
            Pool::new()?.run(async {
                let here = thread::current().id();
                let task = spawn_local({
                    let (gate, one, rc) = (Arc::clone(&gate), drops.one(), Rc::new(7));
                    async move {
                        let _one = one;
                        gate.pass().await;
                        assert_eq!(thread::current().id(), here);
                        *rc
                    }
                });
                yield_now().await;
                let waker = gate.waker().unwrap();
                let other = thread::spawn({
                    let gate = Arc::clone(&gate);
                    move || {
                        thread::sleep(std::time::Duration::from_millis(10));
                        drop(waker.clone());
                        waker.wake_by_ref();
                        match wakes_last {
                            true => {
                                gate.open();
                                waker.wake();
                            }
                            false => {
                                waker.wake();
                                gate.open();
                            }
                        }
                    }
                });
                assert_eq!(task.await?, 7);
                other.join().unwrap();
                assert_eq!(drops.threads(), [here]);
                io::Result::Ok(())
            })?;
        }
        Ok(())
    })
}

/// The pool goes on after a `block_on`; the tasks of its thread do not, for the next one may be on another
/// thread.
#[test]
fn they_end_with_block_on() -> io::Result<()> {
    let (pool, drops, gate) = (Pool::new()?, Drops::new(), Gate::new());
    let (local, other) = pool.block_on(async {
        let one = drops.one();
        let local = spawn_local(async move {
            let _one = one;
            pending::<()>().await;
        });
        let other = spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass().await }
        });
        yield_now().await;
        (local, other)
    });
    assert_eq!(drops.threads(), [thread::current().id()]);
    gate.open();
    pool.block_on(async {
        let error = local.await.unwrap_err();
        assert!(error.is_cancelled() && error.is_shutdown());
        other.await.unwrap();
    });
    Ok(())
}

/// Even if it was never polled, and if its spawn comes too late.
#[test]
fn they_end_unpolled() -> io::Result<()> {
    struct SpawnsWhenDropped(Drops, Rc<()>);
    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            let one = self.0.one();
            let refused = spawn_local({
                let rc = Rc::clone(&self.1);
                async move {
                    let (_one, _rc) = (one, rc);
                }
            });
            assert!(refused.is_finished());
        }
    }
    let drops = Drops::new();
    let rc = Rc::new(());
    Pool::new()?.run(async {
        let spawns = SpawnsWhenDropped(drops.clone(), Rc::clone(&rc));
        spawn_local(async move {
            let _spawns = spawns;
        });
    });
    assert_eq!(drops.threads(), [thread::current().id()]);
    assert_eq!(Rc::strong_count(&rc), 1);
    Ok(())
}

/// A waker kept beyond the end does nothing, on any thread.
#[test]
fn a_waker_outlives_the_pool() -> io::Result<()> {
    for detach in [true, false] {
        let (gate, drops) = (Gate::new(), Drops::new());
        let handle = Pool::new()?.run(async {
            let task = spawn_local({
                let (gate, one) = (Arc::clone(&gate), drops.one());
                async move {
                    let _one = one;
                    gate.pass().await;
                }
            });
            yield_now().await;
            if detach { None } else { Some(task) }
        });
        assert_eq!(drops.threads(), [thread::current().id()]);
        let waker = gate.waker().unwrap();
        thread::spawn(move || {
            waker.wake_by_ref();
            let other = waker.clone();
            other.wake();
            gate.open();
            drop(waker);
            if let Some(handle) = handle {
                handle.abort();
                assert!(futures_lite::future::block_on(handle).unwrap_err().is_shutdown());
            }
        })
        .join()
        .unwrap();
    }
    Ok(())
}

/// Threads wake local tasks for as long as they can, across the end of the run.
#[test]
fn woken_while_the_run_ends() -> io::Result<()> {
    within(60, || {
        for _ in 0..if cfg!(miri) { 5 } else { 500 } {
            let gates: Vec<_> = (0..4).map(|_| Gate::new()).collect();
            let drops = Drops::new();
            let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let wakers: Vec<_> = gates
                .iter()
                .map(|gate| {
                    let (gate, stop) = (Arc::clone(gate), Arc::clone(&stop));
                    thread::spawn(move || {
                        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                            gate.open();
                            thread::yield_now();
                        }
                    })
                })
                .collect();
            Pool::new()?.run(async {
                for gate in &gates {
                    let (gate, one) = (Arc::clone(gate), drops.one());
                    spawn_local(async move {
                        let _one = one;
                        loop {
                            gate.pass().await;
                        }
                    });
                }
                for _ in 0..3 {
                    yield_now().await;
                }
            });
            assert_eq!(drops.threads(), [thread::current().id(); 4]);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            for waker in wakers {
                waker.join().unwrap();
            }
        }
        Ok(())
    })
}

/// The destructor of a thread-local wakes a task that is long gone, when the thread's pools are gone.
#[test]
fn woken_by_a_thread_local_destructor() {
    struct WakesWhenDropped(Cell<Option<std::task::Waker>>);
    impl Drop for WakesWhenDropped {
        fn drop(&mut self) {
            self.0.take().unwrap().wake();
        }
    }
    thread_local! {
        static LAST: WakesWhenDropped = const { WakesWhenDropped(Cell::new(None)) };
    }
    for local in [true, false] {
        let pool = Arc::new(Pool::new().unwrap());
        let gate = Gate::new();
        thread::spawn({
            let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
            move || {
                pool.block_on(async {
                    let pass = {
                        let gate = Arc::clone(&gate);
                        async move { gate.pass().await }
                    };
                    drop(if local { spawn_local(pass) } else { spawn(pass) });
                    yield_now().await;
                    LAST.with(|last| last.0.set(gate.waker()));
                });
            }
        })
        .join()
        .unwrap();
    }
}
