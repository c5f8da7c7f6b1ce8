//! The Notifiers that have failed, each reported once.

use std::{fmt, io};

use crate::sync::Mutex;

/// Called with the number of the worker and the reason.
pub(crate) type Hook = Box<dyn Fn(usize, &io::Error) + Send + Sync>;

pub(crate) struct Failures {
    /// Why, for each worker whose Notifier has failed.
    reasons: Mutex<Vec<Option<(io::ErrorKind, String)>>>,
    hook: Option<Hook>,
}

impl Failures {
    pub(crate) fn new(workers: usize, hook: Option<Hook>) -> Self {
        Self { reasons: Mutex::new(vec![None; workers]), hook }
    }

    /// Reports a failure, if that was not done. True if it was not, and there are workers without one.
    pub(crate) fn add(&self, worker: usize, error: &io::Error) -> bool {
        let mut reasons = self.reasons.lock();
        if reasons[worker].is_some() {
            return false;
        }
        reasons[worker] = Some((error.kind(), error.to_string()));
        let others = reasons.iter().any(Option::is_none);
        drop(reasons);
        if let Some(hook) = &self.hook {
            hook(worker, error);
        }
        others
    }

    pub(crate) fn list(&self) -> Vec<(usize, io::Error)> {
        let reasons = self.reasons.lock();
        let failed =
            reasons.iter().enumerate().filter_map(|(worker, reason)| Some((worker, reason.as_ref()?)));
        failed.map(|(worker, (kind, reason))| (worker, io::Error::new(*kind, reason.clone()))).collect()
    }
}

impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}
