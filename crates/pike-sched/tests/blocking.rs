//! Work that blocks, with the feature `blocking`.

#![cfg(feature = "blocking")]

mod common;

use std::{io, sync::mpsc, thread, time::Duration};

use common::within;
use pike_sched::{Pool, spawn, spawn_blocking};

#[test]
fn it_runs_beside_the_worker() -> io::Result<()> {
    within(20, || {
        Pool::new()?.run(async {
            let (here, (send, receive)) = (thread::current().id(), mpsc::channel());
            let blocking = spawn_blocking(move || {
                let received = receive.recv_timeout(Duration::from_secs(10)).unwrap();
                (received, thread::current().id())
            });
            // The worker is free to do this meanwhile.
            spawn(async move { send.send(7).unwrap() }).await?;
            let (received, there) = blocking.await?;
            assert_eq!(received, 7);
            assert_ne!(here, there);
            Ok(())
        })
    })
}

#[test]
fn its_panic_is_reported() -> io::Result<()> {
    within(20, || {
        let pool = Pool::new()?;
        let error = pool.block_on(pool.spawn_blocking(|| panic!("blocked"))).unwrap_err();
        assert_eq!(error.into_panic().downcast_ref(), Some(&"blocked"));
        assert_eq!(pool.block_on(pool.spawn_blocking(|| 7))?, 7);
        Ok(())
    })
}

#[test]
fn the_end_of_the_pool_does_not_wait_for_it() -> io::Result<()> {
    within(20, || {
        let (send, receive) = mpsc::channel::<()>();
        let pool = Pool::new()?;
        let (begun, begins) = mpsc::channel();
        let task = pool.spawn_blocking(move || {
            begun.send(()).unwrap();
            receive.recv().is_err()
        });
        pool.block_on(pike_sched::yield_now());
        begins.recv().unwrap();
        pool.shutdown();
        assert!(futures_lite::future::block_on(task).unwrap_err().is_shutdown());
        drop(send);
        Ok(())
    })
}
