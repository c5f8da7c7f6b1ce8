//! Groups: waiting, aborting, counting.

mod common;

use std::{
    future::{Future, pending},
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
    thread,
    time::Duration,
};

use common::{Drops, Gate, within};
use futures_lite::future::{or, poll_once};
use pike_sched::{Group, Pool, spawn, yield_now};

#[test]
fn an_empty_group_is_waited_for_already() -> io::Result<()> {
    let group = Group::new();
    assert_eq!((group.len(), group.is_empty()), (0, true));
    futures_lite::future::block_on(group.wait());
    Pool::new()?.run(async {
        group.wait().await;
        group.abort();
        group.wait().await;
    });
    Ok(())
}

#[test]
fn waits_for_all() -> io::Result<()> {
    Pool::new()?.run(async {
        let (group, drops) = (Group::new(), Drops::new());
        for n in 0..100 {
            let one = drops.one();
            group.spawn(async move {
                let _one = one;
                for _ in 0..n % 7 {
                    yield_now().await;
                }
            });
        }
        assert_eq!(group.len(), 100);
        group.wait().await;
        assert_eq!((group.len(), drops.count()), (0, 100));
    });
    Ok(())
}

#[test]
fn several_wait_and_some_give_up() -> io::Result<()> {
    within(10, || {
        Pool::new()?.run(async {
            let (group, gate) = (Group::new(), Gate::new());
            group.spawn({
                let gate = Arc::clone(&gate);
                async move { gate.pass().await }
            });
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let group = group.clone();
                    spawn(async move { group.wait().await })
                })
                .collect();
            assert!(poll_once(group.wait()).await.is_none());
            let outside = thread::spawn({
                let group = group.clone();
                move || futures_lite::future::block_on(group.wait())
            });
            yield_now().await;
            gate.open();
            for task in waiting {
                task.await?;
            }
            outside.join().unwrap();
            Ok(())
        })
    })
}

#[test]
fn abort_takes_all_that_are_in_it() -> io::Result<()> {
    Pool::new()?.run(async {
        let (group, drops) = (Group::new(), Drops::new());
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let one = drops.one();
                group.spawn(async move {
                    let _one = one;
                    pending::<()>().await;
                })
            })
            .collect();
        for _ in 0..5 {
            // Not polled yet when it is aborted: the last five are.
            yield_now().await;
        }
        group.abort();
        assert_eq!(drops.count(), 0);
        group.wait().await;
        assert_eq!(drops.count(), 10);
        for task in tasks {
            let error = task.await.unwrap_err();
            assert!(error.is_cancelled() && !error.is_shutdown());
        }
        // A later member is not touched, and may be aborted in turn.
        let later = group.spawn(async { 7 });
        assert_eq!(later.await?, 7);
        let last = group.spawn(pending::<()>());
        group.abort();
        assert!(last.await.unwrap_err().is_cancelled());
        Ok(())
    })
}

#[test]
fn a_member_that_panics_or_is_aborted_counts_no_more() -> io::Result<()> {
    Pool::new()?.run(async {
        let group = Group::new();
        let (panics, aborted) = (group.spawn(async { panic!("member") }), group.spawn(pending::<()>()));
        aborted.abort();
        group.wait().await;
        assert!(panics.await.unwrap_err().is_panic());
        assert!(aborted.await.unwrap_err().is_cancelled());
    });
    Ok(())
}

#[test]
fn a_dropped_group_leaves_its_tasks_alone() -> io::Result<()> {
    Pool::new()?.run(async {
        let group = Group::new();
        let task = group.spawn(async {
            yield_now().await;
            7
        });
        drop(group);
        assert_eq!(task.await?, 7);
        Ok(())
    })
}

#[test]
fn a_group_outlives_its_pool() -> io::Result<()> {
    let group = Group::new();
    Pool::new()?.run(async {
        group.spawn(pending::<()>());
        yield_now().await;
    });
    assert!(group.is_empty());
    futures_lite::future::block_on(group.wait());
    group.abort();
    Pool::new()?.run(async { group.spawn(async {}).await.map_err(io::Error::from) })
}

/// As a server drains: wait for a while, then abort.
#[test]
fn a_deadline_on_the_wait() -> io::Result<()> {
    within(10, || {
        Pool::new()?.run(async {
            let group = Group::new();
            group.spawn(pending::<()>());
            let late = Gate::new();
            let timer = thread::spawn({
                let late = Arc::clone(&late);
                move || {
                    thread::sleep(Duration::from_millis(20));
                    late.open();
                }
            });
            let waited = or(
                async {
                    group.wait().await;
                    true
                },
                async {
                    late.pass().await;
                    false
                },
            )
            .await;
            assert!(!waited);
            group.abort();
            group.wait().await;
            timer.join().unwrap();
        });
        Ok(())
    })
}

struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new(()));
    }
}

/// One of those who wait has a waker that is not pike's and panics: the others are woken, and the task has its result.
#[test]
fn a_waker_panics() -> io::Result<()> {
    within(60, || {
        for workers in [1, 2] {
            Pool::builder().workers(workers).build()?.run(async {
                let (group, gate) = (Group::new(), Gate::new());
                let task = group.spawn({
                    let gate = Arc::clone(&gate);
                    async move { gate.pass().await }
                });
                let waker = Waker::from(Arc::new(PanicsWhenWoken));
                let mut bad = pin!(group.wait());
                assert!(bad.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                let waits = {
                    let group = group.clone();
                    spawn(async move { group.wait().await })
                };
                yield_now().await;
                gate.open();
                waits.await?;
                task.await?;
                io::Result::Ok(())
            })?;
        }
        Ok(())
    })
}
