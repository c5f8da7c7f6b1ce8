//! `block_on` and `run` on one thread inside of each other, and on several at once.

mod common;

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use common::{Gate, message_of, within};
use pike_sched::{Pool, spawn, spawn_local, yield_now};

const NESTED: &str = "by a thread that is in a pool already: a task must not block its worker";

#[test]
fn nested_in_the_main_future() -> io::Result<()> {
    let (pool, other) = (Pool::new()?, Pool::new()?);
    pool.block_on(async {
        assert_eq!(message_of(|| pool.block_on(async {})), format!("Pool::block_on was called {NESTED}"));
        assert_eq!(message_of(|| other.block_on(async {})), format!("Pool::block_on was called {NESTED}"));
        let third = Pool::new().unwrap();
        assert_eq!(message_of(|| third.run(async {})), format!("Pool::run was called {NESTED}"));
    });
    // Nothing is the worse for it.
    let seven = other.block_on(async { spawn(async { 7 }).await })?;
    assert_eq!(pool.block_on(pool.spawn(async move { seven }))?, 7);
    Ok(())
}

#[test]
fn nested_in_a_task() -> io::Result<()> {
    let pool = Arc::new(Pool::new()?);
    let inner = Arc::clone(&pool);
    let error = pool.block_on(pool.spawn(async move { inner.block_on(async {}) })).unwrap_err();
    assert_eq!(error.to_string(), format!("the task panicked: Pool::block_on was called {NESTED}"));
    Ok(())
}

#[test]
fn one_after_another_on_different_threads() -> io::Result<()> {
    within(20, || {
        let (pool, count) = (Pool::new()?, Arc::new(AtomicUsize::new(0)));
        let task = pool.spawn({
            let count = Arc::clone(&count);
            async move {
                for _ in 0..10 {
                    count.fetch_add(1, SeqCst);
                    yield_now().await;
                }
            }
        });
        assert_eq!(count.load(SeqCst), 0, "nobody drives the pool");
        for _ in 0..10 {
            thread::scope(|scope| scope.spawn(|| pool.block_on(yield_now())).join().unwrap());
        }
        assert!(count.load(SeqCst) >= 10);
        pool.block_on(task)?;
        Ok(())
    })
}

/// One drives; when its future is ready, another takes over, and so on to the last.
#[test]
fn the_seat_is_handed_on() -> io::Result<()> {
    within(60, || {
        let rounds = if cfg!(miri) { 2 } else { 200 };
        for _ in 0..rounds {
            let pool = Arc::new(Pool::new()?);
            let ticks = Arc::new(AtomicUsize::new(0));
            let ticker = pool.spawn({
                let ticks = Arc::clone(&ticks);
                async move {
                    loop {
                        ticks.fetch_add(1, SeqCst);
                        yield_now().await;
                    }
                }
            });
            let gates: Vec<_> = (0..3).map(|_| Gate::new()).collect();
            let threads: Vec<_> = gates
                .iter()
                .map(|gate| {
                    let (pool, gate) = (Arc::clone(&pool), Arc::clone(gate));
                    thread::spawn(move || pool.block_on(gate.pass()))
                })
                .collect();
            for gate in &gates {
                while gate.waker().is_none() {
                    thread::yield_now();
                }
            }
            for (gate, thread) in gates.iter().zip(threads) {
                let before = ticks.load(SeqCst);
                while ticks.load(SeqCst) < before + 10 {
                    thread::yield_now();
                }
                gate.open();
                thread.join().unwrap();
            }
            ticker.abort();
            assert!(pool.block_on(ticker).unwrap_err().is_cancelled());
        }
        Ok(())
    })
}

/// A thread without the seat runs its own tasks, and is woken for them.
#[test]
fn local_tasks_without_the_seat() -> io::Result<()> {
    within(20, || {
        let (pool, first) = (Arc::new(Pool::new()?), Gate::new());
        let driver = thread::spawn({
            let (pool, first) = (Arc::clone(&pool), Arc::clone(&first));
            move || pool.block_on(first.pass())
        });
        while first.waker().is_none() {
            thread::yield_now();
        }
        let gate = Gate::new();
        let opener = gate.open_once_awaited();
        let here = thread::current().id();
        let ran_on = pool.block_on(async {
            let driven = spawn(async { thread::current().id() });
            let local = spawn_local({
                let gate = Arc::clone(&gate);
                async move {
                    yield_now().await;
                    gate.pass().await;
                    thread::current().id()
                }
            });
            (driven.await.unwrap(), local.await.unwrap())
        });
        assert_eq!(ran_on, (driver.thread().id(), here));
        opener.join().unwrap();
        first.open();
        driver.join().unwrap();
        Ok(())
    })
}

#[test]
fn what_it_borrows() -> io::Result<()> {
    let pool = Pool::new()?;
    let mut text = String::from("not Send, not 'static: ");
    let rc = std::rc::Rc::new("yes");
    pool.block_on(async { text.push_str(&rc) });
    assert_eq!(text, "not Send, not 'static: yes");
    Ok(())
}

/// A future that was dropped unfinished is polled no more, and its waker does nothing to the next.
#[test]
fn a_waker_of_an_earlier_future() -> io::Result<()> {
    let (pool, gate) = (Pool::new()?, Gate::new());
    pool.block_on(async {
        let _ = futures_lite::future::poll_once(gate.pass()).await;
    });
    let old = gate.waker().unwrap();
    let task = pool.spawn(pending::<()>());
    pool.block_on(async {
        old.wake_by_ref();
        yield_now().await;
    });
    thread::spawn(move || old.wake()).join().unwrap();
    assert!(!task.is_finished());
    Ok(())
}
