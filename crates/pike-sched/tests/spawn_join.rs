//! Tasks run, give their results, and are detached by a dropped handle.

mod common;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use common::{Gate, message_of, polls, within};
use pike_sched::{Pool, spawn, yield_now};

#[test]
fn a_task_gives_its_result() -> io::Result<()> {
    Pool::new()?.run(async {
        assert_eq!(spawn(async { 1 + 2 }).await?, 3);
        let nested = spawn(async { spawn(async { "inner" }).await }).await??;
        assert_eq!(nested, "inner");
        Ok(())
    })
}

#[test]
fn tasks_run_in_the_order_in_which_they_became_ready() -> io::Result<()> {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = |n| {
        let seen = Arc::clone(&seen);
        async move {
            for round in 0..3 {
                seen.lock().unwrap().push((round, n));
                yield_now().await;
            }
        }
    };
    Pool::new()?.run(async {
        let tasks: Vec<_> = (0..3).map(|n| spawn(note(n))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    let expected: Vec<_> = (0..3).flat_map(|round| (0..3).map(move |n| (round, n))).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    Ok(())
}

/// A task that is woken often while it waits to be run is run once.
#[test]
fn wakes_before_a_run_are_one() -> io::Result<()> {
    let gate = Gate::new();
    let (count, task) = polls({
        let gate = Arc::clone(&gate);
        async move { gate.pass().await }
    });
    Pool::new()?.run(async {
        let task = spawn(task);
        yield_now().await;
        let waker = gate.waker().unwrap();
        for _ in 0..5 {
            waker.wake_by_ref();
        }
        yield_now().await;
        assert_eq!(count.load(SeqCst), 2);
        gate.open();
        task.await.unwrap();
        assert_eq!(count.load(SeqCst), 3);
    });
    Ok(())
}

#[test]
fn a_dropped_handle_detaches_its_task() -> io::Result<()> {
    let count = Arc::new(AtomicUsize::new(0));
    Pool::new()?.run(async {
        for _ in 0..100 {
            let count = Arc::clone(&count);
            drop(spawn(async move {
                yield_now().await;
                count.fetch_add(1, SeqCst);
            }));
        }
        while count.load(SeqCst) < 100 {
            yield_now().await;
        }
    });
    Ok(())
}

/// A handle dropped before, while and after its task runs.
#[test]
fn the_result_is_dropped_with_the_handle() -> io::Result<()> {
    let drops = common::Drops::new();
    Pool::new()?.run(async {
        for turns in 0..4 {
            let one = drops.one();
            let task = spawn(async move {
                yield_now().await;
                one
            });
            for _ in 0..turns {
                yield_now().await;
            }
            drop(task);
            for _ in 0..4 {
                yield_now().await;
            }
            assert_eq!(drops.count(), turns + 1);
        }
    });
    Ok(())
}

#[test]
fn finished_is_seen_by_the_handle() -> io::Result<()> {
    Pool::new()?.run(async {
        let mut task = spawn(async {});
        assert!(!task.is_finished());
        assert_eq!(format!("{task:?}"), "JoinHandle { finished: false, .. }");
        yield_now().await;
        assert!(task.is_finished());
        (&mut task).await?;
        assert!(task.is_finished());
        task.abort();
        Ok(())
    })
}

#[test]
fn a_handle_is_not_polled_after_it_was_ready() {
    let message = message_of(|| {
        Pool::new().unwrap().run(async {
            let mut task = spawn(async {});
            (&mut task).await.unwrap();
            let _ = (&mut task).await;
        });
    });
    assert!(message.contains("polled after it was ready"), "{message}");
}

/// Futures of 2 KiB and more lie in a box of their own.
#[test]
fn large_futures_and_results() -> io::Result<()> {
    Pool::new()?.run(async {
        let task = spawn(async {
            let buf = [1_u8; 5000];
            yield_now().await;
            buf
        });
        assert_eq!(task.await?.iter().map(|n| *n as u32).sum::<u32>(), 5000);
        Ok(())
    })
}

#[test]
fn a_handle_is_awaited_by_another_executor() -> io::Result<()> {
    within(10, || {
        let pool = Pool::new()?;
        let gate = Gate::new();
        let task = pool.spawn({
            let gate = Arc::clone(&gate);
            async move {
                gate.pass().await;
                7
            }
        });
        let other = thread::spawn(move || futures_lite::future::block_on(task));
        pool.run(async {
            while gate.waker().is_none() {
                yield_now().await;
            }
            gate.open();
            while !other.is_finished() {
                yield_now().await;
            }
        });
        assert_eq!(other.join().unwrap()?, 7);
        Ok(())
    })
}

#[test]
fn one_task_for_each_worker() -> io::Result<()> {
    let pool = Pool::new()?;
    let tasks = pool.spawn_each(|worker| async move { worker });
    assert_eq!(tasks.len(), pool.workers());
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(pool.block_on(task)?, n);
    }
    Ok(())
}

#[test]
fn outside_of_a_pool() {
    let message = message_of(|| drop(spawn(async {})));
    assert!(message.starts_with("spawn was called outside of a pool"), "{message}");
    let message = message_of(|| drop(pike_sched::spawn_local(async {})));
    assert!(message.starts_with("spawn_local was called outside of a pool"), "{message}");
    let message = message_of(|| drop(pike_sched::Group::new().spawn(async {})));
    assert!(message.starts_with("Group::spawn was called outside of a pool"), "{message}");
}

#[test]
fn auto_traits() {
    fn shared<T: Send + Sync + std::fmt::Debug + 'static>() {}
    shared::<Pool>();
    shared::<pike_sched::Builder>();
    shared::<pike_sched::Group>();
    shared::<pike_sched::JoinError>();
    shared::<pike_sched::JoinHandle<()>>();
    shared::<pike_sched::Wait<'static>>();
    shared::<pike_sched::YieldNow>();
}
