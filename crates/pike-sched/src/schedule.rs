//! A batch that comes from outside: what some other thread's Notifier made ready reaches the pool by one push.
//!
//! While a thread wakes such a batch, the tasks of that pool are linked up here instead of going to the inbox one by one.

use std::{cell::Cell, sync::Arc, task::Waker};

use crate::{home::Home, queue::Queue, task::Runnable};

struct Gathered {
    home: Arc<Home>,
    tasks: Queue,
}

thread_local! {
    /// The batch that this thread is waking.
    static GATHERED: Cell<Option<Gathered>> = const { Cell::new(None) };
}

/// Wakes them all. The tasks of `home` come to it together, even if a waker panics.
pub(crate) fn wake_all(home: &Arc<Home>, batch: impl IntoIterator<Item = Waker>) {
    let gathered = Gathered { home: Arc::clone(home), tasks: Queue::new() };
    // Another one is there if a waker hands a batch to a pool.
    let _handing_over = HandOver { outer: GATHERED.replace(Some(gathered)) };
    batch.into_iter().for_each(Waker::wake);
}

struct HandOver {
    outer: Option<Gathered>,
}

impl Drop for HandOver {
    fn drop(&mut self) {
        if let Some(Gathered { home, tasks }) = GATHERED.replace(self.outer.take()) {
            home.receive_all(tasks);
        }
    }
}

/// Takes a task of `home` into the batch that this thread is waking for it. It comes back if there is none.
pub(crate) fn gather(home: &Arc<Home>, runnable: Runnable) -> Option<Runnable> {
    // A thread that is going away wakes no batch.
    let Some(gathered) = GATHERED.try_with(Cell::take).ok().flatten() else { return Some(runnable) };
    let left = if Arc::ptr_eq(&gathered.home, home) {
        gathered.tasks.push(runnable);
        None
    } else {
        Some(runnable)
    };
    GATHERED.set(Some(gathered));
    left
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        panic::{self, AssertUnwindSafe},
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::{Poll, Wake},
    };

    use super::*;
    use crate::{JoinHandle, Pool, yield_now};

    /// What a waker that is not a task's does when it is woken.
    struct Calls<F>(F);

    impl<F: Fn() + Send + Sync + 'static> Wake for Calls<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    fn calls(f: impl Fn() + Send + Sync + 'static) -> Waker {
        Arc::new(Calls(f)).into()
    }

    /// Tasks of a pool that nobody drives, each polled once, and their wakers.
    fn waiting(pool: &Pool, count: usize) -> (Vec<JoinHandle<()>>, Vec<Waker>) {
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let tasks = (0..count).map(|_| {
            let (wakers, mut waited) = (Arc::clone(&wakers), false);
            pool.spawn(std::future::poll_fn(move |cx| {
                if std::mem::replace(&mut waited, true) {
                    return Poll::Ready(());
                }
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::Pending
            }))
        });
        let tasks = tasks.collect();
        pool.block_on(async {
            while wakers.lock().unwrap().len() < count {
                yield_now().await;
            }
        });
        (tasks, std::mem::take(&mut *wakers.lock().unwrap()))
    }

    #[test]
    fn a_batch_is_one_push() {
        let pool = Pool::new().unwrap();
        let (tasks, mut batch) = waiting(&pool, 3);
        let (home, seen) = (Arc::clone(&pool.shared().home), Arc::new(AtomicUsize::new(0)));
        let looks = Arc::clone(&seen);
        batch.push(calls(move || {
            looks.fetch_add(1, SeqCst);
            assert!(home.inbox.is_empty(), "they come together");
        }));
        pool.schedule(batch);
        assert_eq!(seen.load(SeqCst), 1);
        assert!(!pool.shared().home.inbox.is_empty());
        for task in tasks {
            pool.block_on(task).unwrap();
        }
    }

    #[test]
    fn a_waker_that_panics_and_one_with_a_batch_of_its_own() {
        let (pool, other) = (Pool::new().unwrap(), Arc::new(Pool::new().unwrap()));
        let (tasks, mut batch) = waiting(&pool, 2);
        let (inner_tasks, inner) = waiting(&other, 2);
        let (inner, at) = (Mutex::new(inner), Arc::clone(&other));
        batch.insert(1, calls(move || at.schedule(std::mem::take(&mut *inner.lock().unwrap()))));
        batch.push(calls(|| panic!("a waker that panics")));
        assert!(panic::catch_unwind(AssertUnwindSafe(|| pool.schedule(batch))).is_err());
        for task in tasks {
            pool.block_on(task).unwrap();
        }
        for task in inner_tasks {
            other.block_on(task).unwrap();
        }
    }
}
