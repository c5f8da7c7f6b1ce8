//! A panic in a task stays in that task, wherever in it.

mod common;

use std::{future::pending, future::poll_fn, io, sync::Arc, task::Poll};

use common::message_of;
use pike_sched::{Pool, spawn, spawn_local, yield_now};

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[test]
fn in_a_poll() -> io::Result<()> {
    Pool::new()?.run(async {
        for yields in 0..3 {
            let task = spawn(async move {
                for _ in 0..yields {
                    yield_now().await;
                }
                panic!("after {yields}");
            });
            let error = task.await.unwrap_err();
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(error.to_string(), format!("the task panicked: after {yields}"));
            assert_eq!(*error.into_panic().downcast::<String>().unwrap(), format!("after {yields}"));
        }
        assert_eq!(spawn(async { 7 }).await?, 7);
        Ok(())
    })
}

#[test]
fn of_a_detached_task() -> io::Result<()> {
    Pool::new()?.run(async {
        drop(spawn(async { panic!("nobody hears this") }));
        drop(spawn_local(async { panic!("nor this") }));
        yield_now().await;
        assert_eq!(spawn(async { 7 }).await?, 7);
        Ok(())
    })
}

#[test]
fn in_the_destructor_of_an_aborted_future() -> io::Result<()> {
    Pool::new()?.run(async {
        let task = spawn(async {
            let _panics = PanicsWhenDropped;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert_eq!(task.await.unwrap_err().to_string(), "the task panicked: in drop");
    });
    Ok(())
}

/// A future that is no `async` block may have something left to drop when it is ready.
#[test]
fn in_the_destructor_of_a_finished_future() -> io::Result<()> {
    Pool::new()?.run(async {
        let left = PanicsWhenDropped;
        let task = spawn(poll_fn(move |_| {
            let _ = &left;
            Poll::Ready(7)
        }));
        assert!(task.await.unwrap_err().is_panic());
    });
    Ok(())
}

#[test]
fn in_a_poll_and_then_in_the_destructor() -> io::Result<()> {
    Pool::new()?.run(async {
        let left = PanicsWhenDropped;
        let task = spawn(poll_fn(move |_| -> Poll<()> {
            let _ = &left;
            panic!("first");
        }));
        assert_eq!(task.await.unwrap_err().to_string(), "the task panicked: first");
    });
    Ok(())
}

#[test]
fn in_the_destructor_of_a_result_that_nobody_takes() -> io::Result<()> {
    Pool::new()?.run(async {
        drop(spawn(async { PanicsWhenDropped }));
        yield_now().await;
        let task = spawn(async { PanicsWhenDropped });
        yield_now().await;
        assert!(task.is_finished());
        drop(task);
    });
    Ok(())
}

#[test]
fn in_a_destructor_at_the_end() -> io::Result<()> {
    let pool = Pool::new()?;
    let first = pool.spawn(async {
        let _panics = PanicsWhenDropped;
        pending::<()>().await;
    });
    let second = pool.spawn(pending::<()>());
    pool.run(async {
        drop(spawn_local(async {
            let _panics = PanicsWhenDropped;
            pending::<()>().await;
        }));
        yield_now().await;
    });
    assert!(futures_lite::future::block_on(first).unwrap_err().is_panic());
    assert!(futures_lite::future::block_on(second).unwrap_err().is_shutdown());
    Ok(())
}

/// What the panic carries panics when it is dropped.
#[test]
fn in_the_destructor_of_a_payload() -> io::Result<()> {
    Pool::new()?.run(async {
        drop(spawn(async { std::panic::panic_any(PanicsWhenDropped) }));
        yield_now().await;
        let left = PanicsWhenDropped;
        let task = spawn(poll_fn(move |_| -> Poll<()> {
            let _ = &left;
            std::panic::panic_any(7)
        }));
        assert_eq!(task.await.unwrap_err().into_panic().downcast_ref(), Some(&7));
    });
    Ok(())
}

/// The main future is the caller's own: its panic comes out of `run`, after the tasks were dropped.
#[test]
fn of_the_main_future() {
    let drops = common::Drops::new();
    let message = message_of(|| {
        Pool::new().unwrap().run(async {
            let one = drops.one();
            spawn(async move {
                let _one = one;
                pending::<()>().await;
            });
            yield_now().await;
            panic!("main");
        });
    });
    assert_eq!((message.as_str(), drops.count()), ("main", 1));
}

/// And the pool of a `block_on` that panicked goes on.
#[test]
fn of_a_main_future_that_does_not_own_the_pool() -> io::Result<()> {
    let pool = Pool::new()?;
    let gate = common::Gate::new();
    let task = pool.spawn({
        let gate = Arc::clone(&gate);
        async move { gate.pass().await }
    });
    let message = message_of(|| {
        pool.block_on(async {
            yield_now().await;
            panic!("main");
        });
    });
    assert_eq!(message, "main");
    gate.open();
    pool.block_on(task)?;
    Ok(())
}

#[test]
fn a_panic_becomes_an_io_error() {
    let error: io::Result<()> = Pool::new().unwrap().run(async {
        spawn(async { panic!("no") }).await?;
        Ok(())
    });
    assert_eq!(error.unwrap_err().to_string(), "the task panicked: no");
}
