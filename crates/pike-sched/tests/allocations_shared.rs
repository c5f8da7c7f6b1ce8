//! Counts the allocations of all threads of a pool of several workers: one a task, and none for what moves it about. Alone in its
//! binary, with one test.

#![cfg(not(miri))]
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use pike_sched::{JoinHandle, Pool, spawn, yield_now};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
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

/// More than a ring holds, so that the inbox is used too.
const OUTER: usize = 400;
const ROUNDS: usize = 21;

/// Tasks that give way, spawn and join others, and are awaited by a task of another worker.
async fn work(tasks: &mut Vec<JoinHandle<usize>>) {
    tasks.extend((0..OUTER).map(|n| {
        spawn(async move {
            for _ in 0..3 {
                yield_now().await;
            }
            spawn(async move { n }).await.unwrap()
        })
    }));
    for (n, task) in tasks.drain(..).enumerate() {
        assert_eq!(task.await.unwrap(), n);
    }
}

#[test]
fn budget() -> io::Result<()> {
    for workers in [2, 3] {
        let pool = Pool::builder().workers(workers).build()?;
        let excess = pool.block_on(async {
            let mut tasks = Vec::with_capacity(OUTER);
            let mut excess = Vec::with_capacity(ROUNDS);
            // Each worker's part of the register has room for all tasks, whoever spawns them.
            for warm in pool.spawn_each(|_| async { work(&mut Vec::with_capacity(OUTER)).await }) {
                warm.await.unwrap();
            }
            for _ in 0..ROUNDS {
                let before = COUNT.load(Relaxed);
                work(&mut tasks).await;
                excess.push(COUNT.load(Relaxed) - before - 2 * OUTER);
            }
            excess
        });
        let counters = pool.counters();
        assert!(counters.iter().any(|worker| worker.steals > 0), "they stayed where they were: {counters:?}");
        // Once in a pool's life a worker makes its alarm, and lists grow.
        let free = excess.iter().filter(|excess| **excess == 0).count();
        assert!(free > ROUNDS / 2, "{workers} workers: beyond the tasks {excess:?}, {counters:?}");
        assert!(excess.iter().sum::<usize>() < 16 * workers, "{workers} workers: {excess:?}");
    }
    Ok(())
}
