//! What is measured.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use futures_lite::future::yield_now;

use crate::runtimes::{Boxed, Executor, Pike, Spawn, Tokio};

pub struct Work {
    pub name: &'static str,
    /// How many a run does.
    pub operations: usize,
    pub on_pike: fn(Pike) -> Boxed,
    pub on_tokio: fn(Tokio) -> Boxed,
    pub on_executor: fn(Executor) -> Boxed,
}

macro_rules! works {
    ($($name:literal $operations:expr => $function:ident;)*) => {
        pub const WORKS: &[Work] = &[$(Work {
            name: $name,
            operations: $operations,
            on_pike: |spawner| Box::pin($function(spawner, $operations)),
            on_tokio: |spawner| Box::pin($function(spawner, $operations)),
            on_executor: |spawner| Box::pin($function(spawner, $operations)),
        },)*];
    };
}

works! {
    "spawn-join" 200_000 => spawn_join;
    "yield" 500_000 => yields;
    "ping-pong" 200_000 => ping_pong;
    "fan-out" 200_000 => fan_out;
}

/// One task after another is spawned and awaited.
async fn spawn_join(spawner: impl Spawn, operations: usize) {
    for _ in 0..operations {
        spawner.spawn(async {}).await;
    }
}

/// A hundred tasks give way, again and again.
async fn yields(spawner: impl Spawn, operations: usize) {
    const TASKS: usize = 100;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            spawner.spawn(async move {
                for _ in 0..operations / TASKS {
                    yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
}

/// Two tasks hand a ball to each other. An operation is there and back.
async fn ping_pong(spawner: impl Spawn, operations: usize) {
    let court = Arc::new([Side::default(), Side::default()]);
    let other = spawner.spawn({
        let court = Arc::clone(&court);
        async move {
            for _ in 0..operations {
                court[0].take().await;
                court[1].put();
            }
        }
    });
    let this = spawner.spawn(async move {
        for _ in 0..operations {
            court[0].put();
            court[1].take().await;
        }
    });
    this.await;
    other.await;
}

/// A thousand tasks are spawned at once, and then awaited. An operation is one task.
async fn fan_out(spawner: impl Spawn, operations: usize) {
    for _ in 0..operations / 1000 {
        let tasks: Vec<_> = (0..1000).map(|_| spawner.spawn(async {})).collect();
        for task in tasks {
            task.await;
        }
    }
}

/// Where one side takes the ball.
#[derive(Default)]
struct Side(Mutex<(bool, Option<Waker>)>);

impl Side {
    fn put(&self) {
        let mut side = self.0.lock().unwrap();
        side.0 = true;
        let waker = side.1.take();
        drop(side);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|cx| {
            let mut side = self.0.lock().unwrap();
            if std::mem::take(&mut side.0) {
                return Poll::Ready(());
            }
            side.1 = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}
