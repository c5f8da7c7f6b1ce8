//! Aborting a task in every state it may be in.

mod common;

use std::{future::pending, io, sync::Arc, thread};

use common::{Drops, Gate, polls, within};
use pike_sched::{Pool, spawn, yield_now};

#[test]
fn before_its_first_poll() -> io::Result<()> {
    let drops = Drops::new();
    Pool::new()?.run(async {
        let one = drops.one();
        let (count, future) = polls(async move {
            let _one = one;
        });
        let task = spawn(future);
        task.abort();
        assert_eq!(drops.count(), 0, "it is the worker that drops the future");
        let error = task.await.unwrap_err();
        assert!(error.is_cancelled() && !error.is_shutdown() && !error.is_panic());
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
        assert_eq!(drops.count(), 1);
    });
    Ok(())
}

#[test]
fn while_it_waits() -> io::Result<()> {
    let drops = Drops::new();
    Pool::new()?.run(async {
        let one = drops.one();
        let task = spawn(async move {
            let _one = one;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        task.abort();
        assert_eq!(drops.count(), 0);
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(drops.count(), 1);
    });
    Ok(())
}

#[test]
fn while_it_is_woken_already() -> io::Result<()> {
    let gate = Gate::new();
    Pool::new()?.run(async {
        let task = spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass().await }
        });
        yield_now().await;
        gate.open();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    Ok(())
}

#[test]
fn after_it_has_finished() -> io::Result<()> {
    Pool::new()?.run(async {
        let task = spawn(async { 7 });
        yield_now().await;
        task.abort();
        assert_eq!(task.await?, 7);
        Ok(())
    })
}

/// A poll under way goes on to the next await; a task that ends first keeps its result.
#[test]
fn by_itself_while_it_runs() -> io::Result<()> {
    Pool::new()?.run(async {
        for ends_first in [true, false] {
            let slot = Arc::new(std::sync::Mutex::new(None::<pike_sched::JoinHandle<i32>>));
            let task = spawn({
                let slot = Arc::clone(&slot);
                async move {
                    slot.lock().unwrap().as_ref().unwrap().abort();
                    if !ends_first {
                        yield_now().await;
                    }
                    7
                }
            });
            *slot.lock().unwrap() = Some(task);
            yield_now().await;
            yield_now().await;
            let task = slot.lock().unwrap().take().unwrap();
            match ends_first {
                true => assert_eq!(task.await?, 7),
                false => assert!(task.await.unwrap_err().is_cancelled()),
            }
        }
        Ok(())
    })
}

/// The worker sleeps; the future is dropped on its thread all the same.
#[test]
fn from_another_thread() -> io::Result<()> {
    within(10, || {
        let drops = Drops::new();
        Pool::new()?.run(async {
            let one = drops.one();
            let task = spawn(async move {
                let _one = one;
                pending::<()>().await;
            });
            yield_now().await;
            let task = Arc::new(task);
            let other = thread::spawn({
                let task = Arc::clone(&task);
                move || {
                    thread::sleep(std::time::Duration::from_millis(20));
                    task.abort();
                }
            });
            while !task.is_finished() {
                yield_now().await;
            }
            other.join().unwrap();
            assert_eq!(drops.threads(), [thread::current().id()]);
        });
        Ok(())
    })
}

#[test]
fn a_handle_that_is_awaited_hears_of_it() -> io::Result<()> {
    Pool::new()?.run(async {
        let task = spawn(pending::<()>());
        let aborter = spawn({
            let task = Arc::new(std::sync::Mutex::new(Some(task)));
            async move {
                yield_now().await;
                let task = task.lock().unwrap().take().unwrap();
                task.abort();
                task.await
            }
        });
        assert!(aborter.await?.unwrap_err().is_cancelled());
        Ok(())
    })
}
