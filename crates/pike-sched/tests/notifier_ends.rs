//! The pool's Notifier ends with it, whatever is kept of its tasks. Alone in its binary: it counts
//! descriptors.

#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use std::{fs, io, sync::Arc};

use common::Gate;
use pike_sched::{Pool, spawn, yield_now};

#[test]
#[allow(clippy::async_yields_async)] // it is the handle that is wanted
fn handles_and_wakers_do_not_keep_it() -> io::Result<()> {
    let before = descriptors()?;
    let (gate, main) = (Gate::new(), Gate::new());
    let handle = Pool::new()?.run(async {
        let handle = spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass().await }
        });
        let passed = futures_lite::future::poll_once(main.pass()).await;
        assert!(passed.is_none());
        yield_now().await;
        handle
    });
    assert_eq!(descriptors()?, before);
    assert!(handle.is_finished());
    gate.waker().unwrap().wake();
    main.waker().unwrap().wake();
    Ok(())
}

fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
