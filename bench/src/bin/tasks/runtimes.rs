//! The three libraries, as their users run them: pike's workers and tokio's with their I/O, async-executor without any. Each has
//! a way to run a piece of work on some workers and to say how long an operation took.

use std::{future::Future, pin::Pin, sync::Arc, thread, time::Instant};

use crate::work::Work;

/// A future that any worker may run.
pub type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Spawns on the runtime that the caller is in.
pub trait Spawn: Clone + Send + Sync + 'static {
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        future: F,
    ) -> impl Future<Output = ()> + Send + 'static;
}

type Run = fn(&Work, usize) -> f64;

pub const ALL: [(&str, Run); 3] = [("pike", pike), ("tokio", tokio), ("async-executor", executor)];

/// Once to warm up, and once that counts.
async fn timed(work: Boxed, warm: Boxed, operations: usize) -> f64 {
    warm.await;
    let begin = Instant::now();
    work.await;
    begin.elapsed().as_nanos() as f64 / operations as f64
}

#[derive(Clone)]
pub struct Pike;

impl Spawn for Pike {
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        future: F,
    ) -> impl Future<Output = ()> + Send + 'static {
        let task = pike_sched::spawn(future);
        async { task.await.unwrap() }
    }
}

fn pike(work: &Work, workers: usize) -> f64 {
    let timed = timed((work.on_pike)(Pike), (work.on_pike)(Pike), work.operations);
    let pool = pike_sched::Pool::builder().workers(workers).build().unwrap();
    pool.run(async { pike_sched::spawn(timed).await.unwrap() })
}

#[derive(Clone)]
pub struct Tokio;

impl Spawn for Tokio {
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        future: F,
    ) -> impl Future<Output = ()> + Send + 'static {
        let task = tokio::spawn(future);
        async { task.await.unwrap() }
    }
}

fn tokio(work: &Work, workers: usize) -> f64 {
    let timed = timed((work.on_tokio)(Tokio), (work.on_tokio)(Tokio), work.operations);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    runtime.block_on(async { tokio::spawn(timed).await.unwrap() })
}

#[derive(Clone)]
pub struct Executor(Arc<async_executor::Executor<'static>>);

impl Spawn for Executor {
    fn spawn<F: Future<Output = ()> + Send + 'static>(
        &self,
        future: F,
    ) -> impl Future<Output = ()> + Send + 'static {
        self.0.spawn(future)
    }
}

fn executor(work: &Work, workers: usize) -> f64 {
    let executor = Executor(Arc::default());
    let on = |work: &Work| (work.on_executor)(executor.clone());
    let timed = timed(on(work), on(work), work.operations);
    let (stop, stopped) = async_channel();
    let others: Vec<_> = (1..workers)
        .map(|_| {
            let (executor, stopped) = (Arc::clone(&executor.0), Arc::clone(&stopped));
            thread::spawn(move || futures_lite::future::block_on(executor.run(wait_for(stopped))))
        })
        .collect();
    let took = futures_lite::future::block_on(executor.0.run(executor.0.spawn(timed)));
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    // Each is in its `run` until something happens.
    while !others.iter().all(|other| other.is_finished()) {
        executor.0.spawn(async {}).detach();
        thread::yield_now();
    }
    took
}

type Flag = Arc<std::sync::atomic::AtomicBool>;

fn async_channel() -> (Flag, Flag) {
    let flag = Flag::default();
    (Arc::clone(&flag), flag)
}

async fn wait_for(flag: Flag) {
    std::future::poll_fn(|_| match flag.load(std::sync::atomic::Ordering::SeqCst) {
        true => std::task::Poll::Ready(()),
        false => std::task::Poll::Pending,
    })
    .await
}
