//! Counts allocations: one a spawn, none a wake, run or yield. Alone in its binary, with one test.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::poll_fn,
    io,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use pike_sched::{Group, Pool, spawn, spawn_local, yield_now};

const ROUNDS: usize = if cfg!(miri) { 50 } else { 1000 };

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations this thread makes while `future` runs.
async fn count(future: impl Future<Output = ()>) -> usize {
    let before = COUNT.get();
    future.await;
    COUNT.get() - before
}

#[test]
fn budget() -> io::Result<()> {
    Pool::new()?.run(async {
        let group = Group::new();
        // Warm: the register and the group have room for a hundred.
        for _ in 0..2 {
            let tasks: Vec<_> = (0..100).map(|_| group.spawn(yield_now())).collect();
            group.wait().await;
            drop(tasks);
        }

        let spawns = count(async {
            for _ in 0..100 {
                spawn(async {}).await.unwrap();
            }
        });
        assert_eq!(spawns.await, 100, "spawn, run and join");

        let detached = count(async {
            for _ in 0..100 {
                drop(spawn(async {}));
            }
            yield_now().await;
        });
        assert_eq!(detached.await, 100, "spawn, and detach");

        let grouped = count(async {
            for _ in 0..100 {
                group.spawn(async {}).await.unwrap();
            }
        });
        assert_eq!(grouped.await, 100, "spawn into a group");

        spawn_local(async {}).await.unwrap();
        let local = count(async {
            for _ in 0..100 {
                spawn_local(async {}).await.unwrap();
            }
        });
        assert_eq!(local.await, 100, "spawn on the thread");

        let yields = spawn(async {
            count(async {
                for _ in 0..ROUNDS {
                    yield_now().await;
                }
            })
            .await
        });
        assert_eq!(yields.await.unwrap(), 0, "yields of a task");

        let yields = count(async {
            for _ in 0..ROUNDS {
                yield_now().await;
            }
        });
        assert_eq!(yields.await, 0, "yields of the main future");

        // Two tasks wake each other by turns.
        let slots = Arc::new([Mutex::new(None::<Waker>), Mutex::new(None::<Waker>)]);
        let player = |me: usize| {
            let slots = Arc::clone(&slots);
            async move {
                let mut left = ROUNDS;
                poll_fn(move |cx| {
                    *slots[me].lock().unwrap() = Some(cx.waker().clone());
                    let other = slots[1 - me].lock().unwrap().take();
                    if let Some(other) = other {
                        other.wake();
                    }
                    left -= 1;
                    if left == 0 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        };
        let (one, two) = (spawn(player(0)), spawn(player(1)));
        let played = count(async {
            one.await.unwrap();
            two.await.unwrap();
        });
        assert_eq!(played.await, 0, "wakes and runs");
        Ok(())
    })
}
