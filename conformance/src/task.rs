//! Futures polled by hand: a case decides when, and sees who was woken.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread::{self, Thread},
};

/// A waker that counts, and unparks the thread that made it.
#[derive(Debug)]
pub struct Wakes {
    count: AtomicUsize,
    thread: Thread,
}

impl Wakes {
    /// At zero.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), thread: thread::current() })
    }

    /// How often it was woken.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// How often it was woken since the last call of this.
    pub fn take(&self) -> usize {
        self.count.swap(0, Ordering::AcqRel)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.thread.unpark();
    }
}

/// A waker that calls `f`, for cases that do something odd in it.
pub fn calling(f: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Calling<F>(F);
    impl<F: Fn() + Send + Sync + 'static> Wake for Calling<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    Waker::from(Arc::new(Calling(f)))
}

/// A waker that wakes `inner`, and calls `f` when it is cloned: then an operation has looked, and is about to wait.
pub fn calling_when_cloned(inner: Waker, f: impl Fn() + Send + Sync + 'static) -> Waker {
    type Calls = Arc<(Waker, Box<dyn Fn() + Send + Sync>)>;
    fn raw(calls: Calls) -> RawWaker {
        RawWaker::new(Box::into_raw(Box::new(calls)).cast_const().cast(), &TABLE)
    }
    #[allow(unsafe_code)]
    fn calls<'a>(at: *const ()) -> &'a Calls {
        // SAFETY: called for live wakers, each of which has a box; what is borrowed is given up before the waker is.
        unsafe { &*at.cast::<Calls>() }
    }
    #[allow(unsafe_code)]
    fn end(at: *const ()) {
        // SAFETY: called once for each waker, at its end.
        drop(unsafe { Box::from_raw(at.cast::<Calls>().cast_mut()) });
    }
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |at| {
            (calls(at).1)();
            raw(Arc::clone(calls(at)))
        },
        |at| {
            calls(at).0.wake_by_ref();
            end(at);
        },
        |at| calls(at).0.wake_by_ref(),
        end,
    );
    #[allow(unsafe_code)]
    // SAFETY: the table's functions keep to the contract of RawWaker, over one box a waker.
    unsafe {
        Waker::from_raw(raw(Arc::new((inner, Box::new(f)))))
    }
}

/// A future, and the waker it is polled with.
///
/// Dropping the Task drops the future. It never runs by itself.
pub struct Task<'a, R> {
    future: Pin<Box<dyn Future<Output = R> + Send + 'a>>,
    wakes: Arc<Wakes>,
    polls: usize,
    done: bool,
}

impl<'a, R> Task<'a, R> {
    /// Not polled yet.
    pub fn new(future: impl Future<Output = R> + Send + 'a) -> Self {
        Self { future: Box::pin(future), wakes: Wakes::new(), polls: 0, done: false }
    }

    /// Polled once, and found pending.
    ///
    /// # Panics
    ///
    /// If it is ready.
    #[track_caller]
    pub fn pending(future: impl Future<Output = R> + Send + 'a) -> Self {
        let mut task = Self::new(future);
        assert!(task.poll().is_pending(), "the future was ready at its first poll");
        task
    }

    /// Polls with a full budget, as an executor does, and takes the wakes there were before.
    ///
    /// # Panics
    ///
    /// After it was ready.
    #[track_caller]
    pub fn poll(&mut self) -> Poll<R> {
        pike::budget::reset();
        self.poll_on()
    }

    /// Polls with what is left of the thread's budget.
    ///
    /// # Panics
    ///
    /// After it was ready.
    #[track_caller]
    pub fn poll_on(&mut self) -> Poll<R> {
        self.wakes.take();
        self.poll_with(&Waker::from(Arc::clone(&self.wakes)))
    }

    /// Polls with another waker than its own, and with what is left of the budget.
    ///
    /// # Panics
    ///
    /// After it was ready.
    #[track_caller]
    pub fn poll_with(&mut self, waker: &Waker) -> Poll<R> {
        assert!(!self.done, "polled after it was ready");
        self.polls += 1;
        let polled = self.future.as_mut().poll(&mut Context::from_waker(waker));
        self.done = polled.is_ready();
        polled
    }

    /// Polls, and expects the result.
    ///
    /// # Panics
    ///
    /// If it is pending.
    #[track_caller]
    pub fn ready(&mut self) -> R {
        match self.poll() {
            Poll::Ready(result) => result,
            Poll::Pending => panic!("the future is pending"),
        }
    }

    /// Whether it was woken since its last poll.
    pub fn is_woken(&self) -> bool {
        self.wakes() > 0
    }

    /// How often it was woken since its last poll.
    pub fn wakes(&self) -> usize {
        self.wakes.count()
    }

    /// How often it was polled.
    pub fn polls(&self) -> usize {
        self.polls
    }

    /// Whether it gave its result.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// What counts its wakes, also after it is dropped.
    pub fn counter(&self) -> Arc<Wakes> {
        Arc::clone(&self.wakes)
    }

    /// Leaks the future, which is never dropped.
    pub fn forget(self) {
        std::mem::forget(self.future);
    }
}

impl<R> std::fmt::Debug for Task<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task")
            .field("wakes", &self.wakes())
            .field("polls", &self.polls)
            .field("done", &self.done)
            .finish()
    }
}
