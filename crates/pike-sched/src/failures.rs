//! The Notifiers that have failed, each reported once, and who runs the pool's tasks then.
//!
//! A worker whose Notifier has failed leaves the tasks of the pool to the others, as long as there is one that can run them: a
//! thread drives it, and its Notifier has not failed. The first worker comes and goes with the threads that are in `run` or
//! `block_on`. So that is kept here too, under the same lock: of a worker that looks whether others can, and the last of those
//! that leaves, one is first; and who leaves tells the workers that have failed, which look again.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{sync::Mutex, task::discard};

/// Called with the number of the worker and the reason.
pub(crate) type Hook = Box<dyn Fn(usize, &io::Error) + Send + Sync>;

pub(crate) struct Failures {
    state: Mutex<State>,
    hook: Option<Hook>,
}

struct State {
    /// Why, for each worker whose Notifier has failed.
    reasons: Vec<Option<(io::ErrorKind, String)>>,
    /// Whether a thread is the first worker. The others have one each.
    first_is_driven: bool,
}

impl Failures {
    pub(crate) fn new(workers: usize, hook: Option<Hook>) -> Self {
        Self { state: Mutex::new(State { reasons: vec![None; workers], first_is_driven: false }), hook }
    }

    /// True if that was not known.
    pub(crate) fn add(&self, worker: usize, error: &io::Error) -> bool {
        let reason = &mut self.state.lock().reasons[worker];
        let is_new = reason.is_none();
        if is_new {
            *reason = Some((error.kind(), error.to_string()));
        }
        is_new
    }

    /// Tells the pool's user. A panic of what he gave for it is contained: the worker has other tasks.
    pub(crate) fn report(&self, worker: usize, error: &io::Error) {
        let Some(hook) = &self.hook else { return };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook(worker, error))) {
            discard(payload);
        }
    }

    /// Whether there is a worker that is driven and has not failed.
    pub(crate) fn has_sound_worker(&self) -> bool {
        let state = self.state.lock();
        let mut workers = state.reasons.iter().enumerate();
        workers.any(|(worker, reason)| reason.is_none() && (worker != 0 || state.first_is_driven))
    }

    /// The first worker comes or goes. Those that have failed are to look again whether there is a sound one.
    pub(crate) fn set_first_is_driven(&self, driven: bool) -> Vec<usize> {
        let mut state = self.state.lock();
        state.first_is_driven = driven;
        let failed = state.reasons.iter().enumerate().filter(|(_, reason)| reason.is_some());
        failed.map(|(worker, _)| worker).collect()
    }

    pub(crate) fn list(&self) -> Vec<(usize, io::Error)> {
        let state = self.state.lock();
        let failed =
            state.reasons.iter().enumerate().filter_map(|(worker, reason)| Some((worker, reason.as_ref()?)));
        failed.map(|(worker, (kind, reason))| (worker, io::Error::new(*kind, reason.clone()))).collect()
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
