//! A task: one allocation of async-task, which holds the state word, the metadata, and the future or its
//! output.
//!
//! What async-task does: it schedules a task at most once at a time, and never after its future was dropped;
//! the task's one [`Runnable`] exists from then until it is run. What is added here:
//!
//! - **Home.** The schedule function finds the way by the metadata alone. It is no closure, so a wake by
//!   value hands its reference over to the Runnable and counts nothing.
//! - **Containment.** A panic in the future, in its destructor, or in the destructor of an output that nobody
//!   took, ends in this task. (async-task aborts the process for the last two.)
//! - **Cancellation** is a flag and a wake: the next run drops the future instead of polling it, and
//!   completes the task. So a future is dropped where it would be polled, and a Runnable is never dropped but
//!   always run.
//!
//! # Why a future that is not Send is sound here
//!
//! A task of `spawn_local` is polled and dropped by its thread alone, because both happen only when its
//! Runnable is run, and its Runnable
//! - is made on the thread of its home, and run there if the home refuses it;
//! - goes into the private queue of the worker on whose thread the home is, or into the home's inbox;
//! - is run by no one but that worker: it runs what is in its queue, and takes the inbox of no other worker's
//!   home;
//! - is not lost when the worker goes: that ends the home first, on its thread, and waits until no task is
//!   left.
//!
//! If it was leaked with a queue, its future would never be dropped, which is sound as well. Its output is
//! taken or dropped by the handle, which is not Send if the output is not, or dropped by the run that makes
//! it. A debug build checks the thread at each poll and drop.

#![allow(unsafe_code)]

use std::{
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU8, AtomicU32,
            Ordering::{Relaxed, Release},
        },
    },
    task::{Context, Poll},
};

use async_task::{ScheduleInfo, WithInfo};

use crate::{
    current,
    error::{JoinError, Payload},
    home::{Home, Place},
    join::JoinHandle,
    queue::Link,
    schedule,
    wakers::NO_KEY,
    worker::Worker,
};

pub(crate) type Runnable = async_task::Runnable<Meta>;
pub(crate) type Task<T> = async_task::Task<Output<T>, Meta>;

/// The task was aborted through its handle.
const ABORTED: u8 = 1;
/// Its home ended.
const SHUTDOWN: u8 = 2;
/// The future was dropped, or is being dropped. Nobody asks for the others after that.
const DROPPED: u8 = 4;

/// What the pool keeps in each task.
pub(crate) struct Meta {
    pub(crate) home: Arc<Home>,
    /// The queue's, while the task is in one.
    pub(crate) next: Link,
    /// Of the task's waker in the home's register. Set before the task is first scheduled, if ever.
    key: AtomicU32,
    /// The part of the register that the key is of. Set with it.
    part: AtomicU8,
    /// One more than the number of the worker that the task has to stay with; 0 if any worker may run it. Set by the
    /// worker that runs it first, before that, if its Notifier is bound.
    bound: AtomicU8,
    /// ABORTED and SHUTDOWN, set before the wake that makes the task see them, until DROPPED takes their place: one word, so that
    /// a run asks once. Only [`TaskFuture`] looks at it, and only it sets DROPPED: it is used by one thread at a time.
    flags: AtomicU8,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Meta>() == 24, "each task has one");

impl Meta {
    /// The task's next run will drop its future. The caller wakes it, or has its Runnable.
    pub(crate) fn abort(&self) {
        self.flags.fetch_or(ABORTED, Release);
    }

    /// The worker that the task has to stay with.
    #[inline]
    pub(crate) fn bound_to(&self) -> Option<usize> {
        // Relaxed: it is set by the run before, and async-task orders that and this.
        usize::from(self.bound.load(Relaxed)).checked_sub(1)
    }

    /// The task stays with this worker from now on. The caller is about to run it there.
    pub(crate) fn bind_to(&self, worker: usize) {
        self.bound.store(worker as u8 + 1, Relaxed);
    }

    /// As `abort`, for the end of its home.
    pub(crate) fn shut_down(&self) {
        self.flags.fetch_or(SHUTDOWN, Release);
    }
}

/// What a task belongs to beside its home: nothing, or a group.
pub(crate) trait Membership {
    /// Whether the group was aborted with the task in it.
    fn is_aborted(&self) -> bool;
}

impl Membership for () {
    #[inline]
    fn is_aborted(&self) -> bool {
        false
    }
}

/// Makes a task, which is not scheduled before [`launch`].
///
/// # Safety
///
/// `future` is Send, or `home` is where the calling thread's worker is. `membership` is Send.
pub(crate) unsafe fn create<F, M>(
    home: Arc<Home>,
    future: F,
    membership: M,
) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + 'static,
    F::Output: 'static,
    M: Membership + 'static,
{
    let meta = Meta {
        home,
        next: Link::default(),
        key: AtomicU32::new(NO_KEY),
        part: AtomicU8::new(0),
        bound: AtomicU8::new(0),
        flags: AtomicU8::new(0),
    };
    let builder = async_task::Builder::new().metadata(meta);
    // SAFETY: four claims are asked for. The future is Send, or used on its own thread alone (see above).
    // What it borrows is the metadata, which lives as long as the task. The schedule function is Send and
    // Sync, and 'static.
    let (runnable, task) = unsafe {
        builder.spawn_unchecked(
            |meta| TaskFuture { meta, future: ManuallyDrop::new(future), membership },
            WithInfo(schedule),
        )
    };
    let waker = runnable.waker();
    (runnable, JoinHandle::new(task, waker))
}

/// Enters the task in its home's register and schedules it; or cancels it here and now if the home is closed.
pub(crate) fn launch(runnable: Runnable) {
    match runnable.metadata().home.enter(runnable.waker()) {
        Ok(place) => {
            let meta = runnable.metadata();
            // Relaxed: the thread that runs the task gets the Runnable from this one.
            meta.part.store(place.part, Relaxed);
            meta.key.store(place.key, Relaxed);
            push(runnable, When::Next);
        }
        Err(waker) => {
            drop(waker);
            cancel(runnable);
        }
    }
}

/// Runs a task whose home has ended, or never let it in: that drops its future.
pub(crate) fn cancel(runnable: Runnable) {
    runnable.metadata().shut_down();
    runnable.run();
}

/// The schedule function of all tasks.
#[inline]
fn schedule(runnable: Runnable, info: ScheduleInfo) {
    let when = if info.woken_while_running { When::Later } else { When::Next };
    push(runnable, when);
}

/// When a task that is ready wants to be run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Soon: what the current task has woken often is what it waits for.
    Next,
    /// Behind the others: it was woken in its own run, which just ended, as by giving way.
    Later,
}

#[inline]
fn push(runnable: Runnable, when: When) {
    let home = Arc::as_ptr(&runnable.metadata().home);
    current::with(|worker| match worker {
        Some(worker) if worker.is_pool_home(home) => worker.push_of_pool(runnable, when),
        Some(worker) if worker.is_own_home(home) => worker.push(runnable),
        _ => send_home(runnable),
    });
}

#[cold]
pub(crate) fn send_home(runnable: Runnable) {
    // The task may end, and with it the reference that it holds, before `receive` returns.
    let home = Arc::clone(&runnable.metadata().home);
    match (runnable.metadata().bound_to(), &home.crew) {
        (Some(worker), Some(crew)) => crew.slots[worker].home.receive(runnable),
        _ => {
            if let Some(runnable) = schedule::gather(&home, runnable) {
                home.receive(runnable);
            }
        }
    }
}

/// The future of a task, around the user's.
struct TaskFuture<'a, F, M> {
    /// Beside this future in the same allocation.
    meta: &'a Meta,
    /// Pinned with this. Gone once `meta` says DROPPED.
    future: ManuallyDrop<F>,
    /// After `future`, so that the group is left when nothing of the task is left.
    membership: M,
}

impl<F: Future, M: Membership> Future for TaskFuture<'_, F, M> {
    type Output = Output<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.check_thread();
        // SAFETY: `future` is pinned with `self`: it is not moved out of here, and only ever dropped in
        // place.
        let this = unsafe { self.get_unchecked_mut() };
        // Relaxed: the flag was set before the wake that led to this poll, and async-task orders the two.
        let flags = this.meta.flags.load(Relaxed);
        if flags != 0 || this.membership.is_aborted() {
            return Poll::Ready(this.cancelled(flags));
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: as above; it is there, since DROPPED is not set.
            let polled = unsafe { Pin::new_unchecked(&mut *this.future) }.poll(cx);
            if polled.is_ready() {
                this.drop_in_place(); // here, where a panic of its destructor is caught
            }
            polled
        }));
        let output = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Output::new(Ok(output)),
            Err(payload) => this.panicked(payload),
        };
        current::with(|worker| worker.map(Worker::has_completed));
        Poll::Ready(output)
    }
}

// All that may panic in these is caught there. `extern "C"` tells the compiler, for it does not see it: so it knows that `poll`
// never unwinds, and a run is spared what async-task prepares for that.
#[allow(improper_ctypes_definitions)] // nothing but `poll` calls them
impl<F: Future, M> TaskFuture<'_, F, M> {
    #[cold]
    extern "C" fn cancelled(&mut self, flags: u8) -> Output<F::Output> {
        debug_assert!(flags & DROPPED == 0, "a task that has completed is not run");
        Output::new(Err(match self.drop_future() {
            Err(payload) => JoinError::panicked(payload),
            Ok(()) if flags & SHUTDOWN != 0 => JoinError::shutdown(),
            Ok(()) => JoinError::aborted(),
        }))
    }

    #[cold]
    extern "C" fn panicked(&mut self, payload: Payload) -> Output<F::Output> {
        if let Err(second) = self.drop_future() {
            discard(second);
        }
        Output::new(Err(JoinError::panicked(payload)))
    }
}

impl<F, M> TaskFuture<'_, F, M> {
    fn drop_future(&mut self) -> Result<(), Payload> {
        catch_unwind(AssertUnwindSafe(|| self.drop_in_place()))
    }

    /// Drops the future, if it is there. If that panics it is gone all the same.
    #[inline]
    fn drop_in_place(&mut self) {
        if self.meta.flags.load(Relaxed) & DROPPED == 0 {
            self.meta.flags.store(DROPPED, Relaxed);
            // SAFETY: it is there, and counts as gone from here on.
            unsafe { ManuallyDrop::drop(&mut self.future) };
        }
    }

    #[inline]
    fn check_thread(&self) {
        // A pool's home is where its driver is; the home of a thread never moves, and knows no other thread.
        debug_assert!(
            !self.meta.home.is_local() || current::is_home(Arc::as_ptr(&self.meta.home)),
            "a task of one thread was used on another",
        );
    }
}

impl<F, M> Drop for TaskFuture<'_, F, M> {
    fn drop(&mut self) {
        self.check_thread();
        if let Err(payload) = self.drop_future() {
            discard(payload);
        }
        let key = self.meta.key.load(Relaxed);
        if key != NO_KEY {
            self.meta.home.leave(Place { part: self.meta.part.load(Relaxed), key });
        }
    }
}

/// The output of a task. If it is dropped with the result in it, a panic of the destructor ends here.
pub(crate) struct Output<T>(Option<Result<T, JoinError>>);

impl<T> Output<T> {
    #[inline]
    fn new(result: Result<T, JoinError>) -> Self {
        Self(Some(result))
    }

    pub(crate) fn into_result(mut self) -> Result<T, JoinError> {
        self.0.take().expect("an output is taken once")
    }
}

impl<T> Drop for Output<T> {
    fn drop(&mut self) {
        if let Some(result) = self.0.take() {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
                discard(payload);
            }
        }
    }
}

/// Drops what a panic carried, for which there is no one to tell. The panic hook was called.
#[cold]
pub(crate) fn discard(payload: Payload) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload that panics when dropped made another: that one is left alone.
        std::mem::forget(second);
    }
}
