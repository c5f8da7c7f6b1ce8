//! What several of the tests use.

#![allow(dead_code)]

use std::{
    env,
    future::{Future, poll_fn},
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use pike_sched::{Counters, Pool};

/// Runs a test on a thread of its own, and fails it if it hangs.
pub fn within<R: Send + 'static>(seconds: u64, test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, wait) = mpsc::channel();
    let seconds = if cfg!(miri) { seconds * 100 } else { seconds };
    thread::spawn(move || done.send(panic::catch_unwind(AssertUnwindSafe(test))).unwrap());
    match wait.recv_timeout(Duration::from_secs(seconds)) {
        Ok(Ok(result)) => result,
        Ok(Err(payload)) => panic::resume_unwind(payload),
        Err(_) => panic!("the test hangs"),
    }
}

/// Says on the error output, which is not captured, that a test cannot run here, as the conformance suite says it.
///
/// # Panics
///
/// If `PIKE_DENY_SKIPS` is set.
pub fn note_skip(test: &str, reason: &str) {
    assert!(
        env::var_os("PIKE_DENY_SKIPS").is_none(),
        "{test} was skipped, and PIKE_DENY_SKIPS is set: {reason}"
    );
    // Nobody reads it: nothing is lost.
    let _ = io::stderr().write_all(format!("\nSKIPPED: {test}: {reason}\n").as_bytes());
}

/// Waits until nobody in the pool has done anything for so long, and gives what was done until then. On a loaded machine workers
/// may take a while to fall asleep; one that goes on looking is never at rest.
pub fn at_rest(pool: &Pool, time: Duration) -> Vec<Counters> {
    let begin = Instant::now();
    let mut before = pool.counters();
    loop {
        thread::sleep(time);
        let after = pool.counters();
        if after == before {
            return after;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "never at rest: {before:?}, {after:?}");
        before = after;
    }
}

/// What a panicking closure panicked with.
pub fn message_of(f: impl FnOnce()) -> String {
    let payload = panic::catch_unwind(AssertUnwindSafe(f)).expect_err("it should panic");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().expect("a message").to_string(),
    }
}

/// Keeps the waker of who polls it, and is ready once it was opened.
#[derive(Default)]
pub struct Gate {
    state: Mutex<(bool, Option<Waker>)>,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn open(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        let waker = state.1.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The waker left here, which stays.
    pub fn waker(&self) -> Option<Waker> {
        self.state.lock().unwrap().1.clone()
    }

    /// Opens it from another thread, a while after somebody has begun to wait.
    pub fn open_once_awaited(self: &Arc<Self>) -> thread::JoinHandle<()> {
        let gate = Arc::clone(self);
        thread::spawn(move || {
            while gate.waker().is_none() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(10));
            gate.open();
        })
    }

    pub async fn pass(&self) {
        poll_fn(|cx| {
            let mut state = self.state.lock().unwrap();
            if state.0 {
                state.0 = false;
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Notes on which thread each of its clones was dropped.
#[derive(Clone, Default)]
pub struct Drops {
    threads: Arc<Mutex<Vec<ThreadId>>>,
}

pub struct Dropped {
    drops: Drops,
}

impl Drops {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn one(&self) -> Dropped {
        Dropped { drops: self.clone() }
    }

    pub fn count(&self) -> usize {
        self.threads.lock().unwrap().len()
    }

    pub fn threads(&self) -> Vec<ThreadId> {
        self.threads.lock().unwrap().clone()
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.drops.threads.lock().unwrap().push(thread::current().id());
    }
}

/// Counts polls of a future.
pub struct Polls<F> {
    pub count: Arc<AtomicUsize>,
    pub inner: Pin<Box<F>>,
}

impl<F: Future> Future for Polls<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.count.fetch_add(1, SeqCst);
        self.inner.as_mut().poll(cx)
    }
}

pub fn polls<F: Future>(inner: F) -> (Arc<AtomicUsize>, Polls<F>) {
    let count = Arc::new(AtomicUsize::new(0));
    (Arc::clone(&count), Polls { count, inner: Box::pin(inner) })
}
