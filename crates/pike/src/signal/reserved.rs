//! Signals that one signalfd receives, and so nobody else in this process may.

use std::{fmt, io};

use super::{
    SignalSet,
    process::{Process, taken},
};

impl Process {
    /// Keeps `kinds` for one signalfd, which `open` makes.
    pub(super) fn reserve<T>(
        &'static self,
        kinds: SignalSet,
        open: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(T, Reserved)> {
        let mut uses = self.uses.lock();
        for kind in kinds.iter() {
            if uses.listeners[kind.as_raw() as usize] > 0 {
                return Err(taken(kind, "a Signal with a handler receives it"));
            }
            if uses.descriptors.contains(kind) {
                return Err(taken(kind, "another signalfd receives it"));
            }
        }
        let opened = open()?;
        uses.descriptors.extend(kinds.iter());
        Ok((opened, Reserved { process: self, kinds }))
    }
}

/// Kinds that no other source may receive, until this is dropped.
pub(super) struct Reserved {
    process: &'static Process,
    kinds: SignalSet,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.process.is_this() {
            let mut uses = self.process.uses.lock();
            uses.descriptors = uses.descriptors.iter().filter(|kind| !self.kinds.contains(*kind)).collect();
        }
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.kinds, f)
    }
}
