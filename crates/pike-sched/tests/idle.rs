//! An idle pool sleeps: no worker rises, and no processor time is used. `PIKE_IDLE_SECONDS` says for how long it is watched.

#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use std::{env, fs, io, sync::Arc, thread, time::Duration};

use common::{Gate, at_rest, within};
use pike::Event;
use pike_sched::{Pool, spawn};

/// Of all threads of this process but this one.
fn processor_time() -> io::Result<Duration> {
    let me = fs::read_link("/proc/thread-self")?;
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let path = thread?.path();
        if Some(path.file_name().unwrap()) != me.file_name() {
            let schedstat = fs::read_to_string(path.join("schedstat"))?;
            nanos += schedstat.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Ok(Duration::from_nanos(nanos))
}

#[test]
fn it_uses_no_processor_time() -> io::Result<()> {
    let seconds =
        env::var("PIKE_IDLE_SECONDS").ok().map(|seconds| seconds.parse().expect("a number of seconds"));
    let time = Duration::from_secs_f64(seconds.unwrap_or(1.0));
    within(time.as_secs() + 60, move || {
        let pool = Arc::new(Pool::builder().workers(3).build()?);
        let gate = Gate::new();
        let driver = thread::spawn({
            let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
            move || pool.block_on(gate.pass())
        });
        // It has worked, and waits for something on every worker.
        let tasks = pool.spawn_each(|_| async {
            for _ in 0..100 {
                spawn(async {}).await.unwrap();
            }
            Event::new()?.wait().await.map(drop)
        });
        let counters = at_rest(&pool, Duration::from_millis(300));
        let before = processor_time()?;
        thread::sleep(time);
        let (used, after) = (processor_time()? - before, pool.counters());
        println!("{used:?} of processor time in {time:?}");
        assert_eq!(counters, after);
        assert!(used < Duration::from_millis(1), "{used:?} of processor time in {time:?}");
        drop(tasks);
        gate.open();
        driver.join().unwrap();
        Ok(())
    })
}
