//! A Notifier that one thread turns: the first that does, until it exits.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, OnceLock, Weak},
    thread::{self, ThreadId},
    time::Duration,
};

use super::{contain_panics, core::Core, end::GRACE};

/// Which thread a bound Notifier belongs to, once it was turned.
#[derive(Debug)]
pub(super) struct Bound {
    owner: OnceLock<ThreadId>,
}

impl Bound {
    pub(super) fn new() -> Self {
        Self { owner: OnceLock::new() }
    }
}

impl Core {
    /// For a bound Notifier: makes the calling thread its owner, or fails if another one is.
    #[inline]
    pub(super) fn bind(self: &Arc<Self>) -> io::Result<()> {
        match &self.bound {
            None => Ok(()),
            Some(bound) => self.bind_to_thread(bound),
        }
    }

    /// Whether it is bound to this thread.
    pub(super) fn is_owner(&self) -> bool {
        let owner = self.bound.as_ref().and_then(|bound| bound.owner.get());
        owner.is_some_and(|owner| *owner == thread::current().id())
    }

    fn bind_to_thread(self: &Arc<Self>, bound: &Bound) -> io::Result<()> {
        let me = thread::current().id();
        let mut first = false;
        let owner = *bound.owner.get_or_init(|| {
            first = true;
            me
        });
        if owner != me {
            let message = "the Notifier is bound to another thread";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        if first {
            AtExit::close(self);
        }
        Ok(())
    }
}

/// Shuts the thread's bound Notifiers down when the thread exits: nobody else could turn them.
#[derive(Default)]
struct AtExit(RefCell<Vec<Weak<Core>>>);

thread_local! {
    static AT_EXIT: AtExit = const { AtExit(RefCell::new(Vec::new())) };
}

impl AtExit {
    fn close(core: &Arc<Core>) {
        let noted = AT_EXIT.try_with(|at_exit| {
            let mut bound = at_exit.0.borrow_mut();
            bound.retain(|core| core.strong_count() > 0);
            bound.push(Arc::downgrade(core));
        });
        // The thread is exiting already: this turn is its last.
        let _ = noted;
    }
}

impl Drop for AtExit {
    fn drop(&mut self) {
        for core in self.0.take() {
            if let Some(core) = core.upgrade().filter(|core| !core.is_forked()) {
                // A panic that got out of this destructor would end the process.
                contain_panics(|| _ = core.shutdown(Duration::ZERO));
                contain_panics(|| _ = core.end(GRACE));
            }
        }
    }
}
