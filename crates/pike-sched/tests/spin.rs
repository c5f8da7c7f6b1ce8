//! A pool whose workers spin before they sleep.

#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use std::{fs, io, thread, time::Duration};

use common::within;
use pike::time;
use pike_sched::Pool;

/// Of the calling thread.
fn processor_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn every_worker_spins() -> io::Result<()> {
    within(60, || {
        let pool = Pool::builder().workers(2).spin(Duration::from_secs(5)).build();
        if thread::available_parallelism()?.get() == 1 {
            assert_eq!(pool.unwrap_err().kind(), io::ErrorKind::InvalidInput);
            return Ok(());
        }
        let pool = pool?;
        let tasks = pool.spawn_each(|_| async {
            let before = processor_time();
            time::sleep(Duration::from_millis(300)).await;
            processor_time() - before
        });
        for task in tasks {
            let used = pool.block_on(task)?;
            // A loaded machine leaves it little of these. One that sleeps uses a tenth of a millisecond.
            assert!(used > Duration::from_millis(3), "{used:?} of processor time in 300 ms");
        }
        Ok(())
    })
}
