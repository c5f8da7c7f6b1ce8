//! A worker that gets stuck just after it rose: others are told of what is there before its code runs, and look after it.

#![cfg(not(miri))] // it spins

mod common;

use std::{
    future::{Future, poll_fn},
    hint::spin_loop,
    io::{self, Read, Write},
    net,
    panic::resume_unwind,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use common::{Gate, within};
use pike::{Event, net::TcpStream, time::sleep};
use pike_sched::{Pool, spawn, yield_now};

/// Long enough for all workers to sleep, with no alarm set.
const REST: Duration = Duration::from_millis(30);

/// A pool whose first worker is in `block_on` on a thread of its own, while `test` runs.
fn with_pool(workers: usize, test: impl FnOnce(&Pool)) -> io::Result<()> {
    let (pool, gate) = (Arc::new(Pool::builder().workers(workers).build()?), Gate::new());
    let driver = thread::spawn({
        let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
        move || pool.block_on(gate.pass())
    });
    test(&pool);
    gate.open();
    driver.join().unwrap();
    Ok(())
}

/// The task was pushed by another thread, which claimed a worker for it.
#[test]
fn in_the_task_it_was_claimed_for() -> io::Result<()> {
    within(60, || {
        for workers in [2, 4] {
            with_pool(workers, |pool| {
                for _ in 0..10 {
                    thread::sleep(REST);
                    let task = pool.spawn(async {
                        // To be run next here: nobody is notified of it.
                        let child = spawn(async {});
                        while !child.is_finished() {
                            spin_loop();
                        }
                    });
                    futures_lite::future::block_on(task).unwrap();
                }
            })?;
        }
        Ok(())
    })
}

/// The first worker was claimed for the tasks, and has the main future to poll as well.
#[test]
fn in_the_main_future_while_it_searches() -> io::Result<()> {
    const TASKS: usize = 6;
    within(60, || {
        for workers in [2, 4] {
            let pool = Arc::new(Pool::builder().workers(workers).build()?);
            let (left, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
            let waker = Arc::new(Mutex::new(None::<Waker>));
            let driver = thread::spawn({
                let (pool, left, over, waker) =
                    (Arc::clone(&pool), Arc::clone(&left), Arc::clone(&over), Arc::clone(&waker));
                move || {
                    pool.block_on(poll_fn(|cx| {
                        *waker.lock().unwrap() = Some(cx.waker().clone());
                        while left.load(SeqCst) > 0 {
                            spin_loop();
                        }
                        if over.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                    }))
                }
            });
            let wake = || {
                let waker = waker.lock().unwrap().clone();
                waker.expect("it was polled").wake();
            };
            for _ in 0..20 {
                thread::sleep(REST);
                left.store(TASKS, SeqCst);
                wake();
                for _ in 0..TASKS {
                    let left = Arc::clone(&left);
                    drop(pool.spawn(async move {
                        left.fetch_sub(1, SeqCst);
                    }));
                }
                while left.load(SeqCst) > 0 {
                    thread::yield_now();
                }
            }
            over.store(true, SeqCst);
            wake();
            driver.join().unwrap();
        }
        Ok(())
    })
}

/// Who helps a stuck worker gets stuck in what it took from there.
#[test]
fn in_what_it_has_taken_over() -> io::Result<()> {
    within(60, || {
        with_pool(4, |pool| {
            for _ in 0..10 {
                thread::sleep(REST);
                let task = pool.spawn(async {
                    let child = spawn(async {
                        let grandchild = spawn(async {});
                        while !grandchild.is_finished() {
                            spin_loop();
                        }
                    });
                    while !child.is_finished() {
                        spin_loop();
                    }
                });
                futures_lite::future::block_on(task).unwrap();
            }
        })
    })
}

/// It rose by a timer of its own, or by that and its alarm in one turn, and the other worker sleeps.
#[test]
fn in_the_main_future_after_a_timer() -> io::Result<()> {
    within(60, || {
        for millis in [1, 1, 2, 5, 20].repeat(8) {
            let listener = net::TcpListener::bind("127.0.0.1:0")?;
            let mut client = net::TcpStream::connect(listener.local_addr()?)?;
            client.set_read_timeout(Some(Duration::from_secs(10)))?;
            let (stream, _) = listener.accept()?;
            Pool::builder().workers(2).build()?.run(async {
                let stream = TcpStream::from_std(stream)?;
                spawn(async move {
                    let mut buf = [0; 4];
                    stream.read_exact(&mut buf).await?;
                    stream.write_all(&buf).await
                });
                yield_now().await;
                sleep(Duration::from_millis(millis)).await;
                // Nothing here gives way to the answer.
                client.write_all(b"ping")?;
                client.read_exact(&mut [0; 4])
            })?;
        }
        Ok(())
    })
}

struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new(()));
    }
}

/// A waker that is not pike's panics in a turn of the worker that watches, whose thread goes on, and looks on.
#[test]
fn while_its_watcher_gets_over_a_panic() -> io::Result<()> {
    within(60, || {
        let pool = Pool::builder().workers(2).build()?;
        let event = {
            let _there = pool.notifiers()[1].enter();
            Event::new()?
        };
        pool.block_on(async {
            for _ in 0..10 {
                let waker = Waker::from(Arc::new(PanicsWhenWoken));
                let mut wait = pin!(event.wait());
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                thread::sleep(Duration::from_millis(5));
                event.notify();
                thread::sleep(Duration::from_millis(5));
                let (child, began) = (spawn(async {}), Instant::now());
                while !child.is_finished() {
                    assert!(began.elapsed() < Duration::from_secs(10), "nobody looks after the worker");
                    spin_loop();
                }
                wait.await?;
            }
            Ok(())
        })
    })
}
