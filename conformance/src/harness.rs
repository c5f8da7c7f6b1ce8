//! What runs a case: on a thread of its own, for a bounded time, beside others or alone.
//!
//! Cases of one process run beside each other, as libtest starts them. One that looks at the whole process (descriptors,
//! heap, signal handlers, limits, forks) is marked `alone` in the table and waits until no other runs: each case
//! takes one lock, shared or exclusive.

use std::{
    any::Any,
    env,
    io::{self, Write},
    panic,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pike::Backend;

use crate::{Cx, table};

/// What comes of a case that does not fail: it held, or it could not be tried.
pub type Outcome = Result<(), Skip>;

/// Why a case cannot run here.
#[derive(Clone, Debug)]
pub struct Skip {
    reason: String,
}

impl Skip {
    /// With the reason, in words that a reader can check.
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    /// The reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Ends a case that cannot run here: `skip!("no IPv6: {error}")`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {
        return Err($crate::Skip::because(format!($($reason)+)))
    };
}

/// A case in the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its file in `src/cases`, without `.rs`.
    pub file: &'static str,
    /// Its function.
    pub name: &'static str,
    /// Whether no other case may run beside it.
    pub alone: bool,
    /// The case itself.
    pub run: fn(&Cx) -> Outcome,
}

static ROOM: RwLock<()> = RwLock::new(());
static SKIPPED: Mutex<Vec<(String, Skip)>> = Mutex::new(Vec::new());

/// Runs a case of the table on a backend.
///
/// # Panics
///
/// If it fails or takes too long. If there is no such case. If it is skipped where [`note_skip`] denies that.
pub fn run(name: &'static str, backend: Backend) {
    let entry =
        table::CASES.iter().copied().flatten().find(|entry| entry.name == name).expect("a case of the table");
    match entry.alone {
        true => alone(|| run_bounded(entry, backend)),
        false => {
            let _shared = ROOM.read().unwrap_or_else(PoisonError::into_inner);
            run_bounded(entry, backend);
        }
    }
}

/// Runs `f` while no case runs: for tests outside of the table that look at the whole process.
pub fn alone<R>(f: impl FnOnce() -> R) -> R {
    let _exclusive = ROOM.write().unwrap_or_else(PoisonError::into_inner);
    f()
}

fn run_bounded(entry: &Entry, backend: Backend) {
    let title = format!("{backend}::{}", entry.name);
    #[cfg(windows)]
    if let Some(skip) = crate::wine::difference(entry.name) {
        return note_skip(title, skip);
    }
    let case = entry.run;
    match bounded(&title, case, backend, entry.alone) {
        Ok(()) => {}
        Err(skip) => note_skip(title, skip),
    }
}

/// Runs `case` on a thread of its own. A case that outstays its time is left behind on that thread and fails here.
fn bounded(
    title: &str,
    case: impl FnOnce(&Cx) -> Outcome + Send + 'static,
    backend: Backend,
    is_alone: bool,
) -> Outcome {
    let cx = Arc::new(Cx::new(title.to_owned(), backend, limit()).alone(is_alone));
    let (its, waiting) = (Arc::clone(&cx), thread::current());
    let done = Arc::new(AtomicBool::new(false));
    let its_done = Done(Arc::clone(&done), waiting);
    let thread = thread::Builder::new()
        .name(title.to_owned())
        .spawn(move || {
            let _its_done = its_done;
            case(&its)
        })
        .expect("a thread for the case");
    while !done.load(Ordering::Acquire) {
        let left = cx.deadline().saturating_duration_since(Instant::now());
        if left.is_zero() {
            panic!(
                "{title} HANGS: it did not end in its {:?} (its thread is left behind)",
                cx.started().elapsed()
            );
        }
        thread::park_timeout(left);
    }
    thread.join().unwrap_or_else(|payload: Box<dyn Any + Send>| panic::resume_unwind(payload))
}

/// Tells the waiting thread that the case has ended, however it did.
struct Done(Arc<AtomicBool>, thread::Thread);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.unpark();
    }
}

fn limit() -> Duration {
    let seconds = env::var("PIKE_CASE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    Duration::from_secs(seconds)
}

/// Prints the skip where libtest captures nothing, and keeps it.
///
/// # Panics
///
/// If `PIKE_DENY_SKIPS` is set, unless the reason has a line of `PIKE_LACKS` in it: what the machine is known to lack.
pub fn note_skip(title: String, skip: Skip) {
    let lacks = env::var("PIKE_LACKS").unwrap_or_default();
    if env::var_os("PIKE_DENY_SKIPS").is_some() && !is_for_want_of(&skip.reason, &lacks) {
        panic!("{title} was skipped, and PIKE_DENY_SKIPS is set: {}", skip.reason);
    }
    let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let line = format!("\nSKIPPED ({} so far): {title}: {}\n", skipped.len() + 1, skip.reason);
    // Nobody reads it: nothing is lost.
    let _ = io::stderr().write_all(line.as_bytes());
    skipped.push((title, skip));
}

fn is_for_want_of(reason: &str, lacks: &str) -> bool {
    lacks.lines().any(|word| !word.is_empty() && reason.contains(word))
}

/// The cases that this process has skipped until now.
pub fn skipped() -> Vec<(String, Skip)> {
    SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::is_for_want_of;

    #[test]
    fn a_skip_is_denied_unless_the_machine_lacks_it() {
        let reason = "ptrace(PTRACE_TRACEME) is refused: Operation not permitted";
        assert!(is_for_want_of(reason, "IPv6\nptrace\n"));
        assert!(!is_for_want_of(reason, "IPv6\n\n"));
        assert!(!is_for_want_of(reason, ""));
    }
}
