//! Why a task has no result.

use std::{
    any::Any,
    error::Error,
    fmt, io,
    sync::{Mutex, PoisonError},
};

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// Why a task ended without a result: it was cancelled, or it panicked.
///
/// It becomes an [`io::Error`] of the kind `Other` with `?`.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// pike_sched::Pool::new()?.run(async {
///     let task = pike_sched::spawn(std::future::pending::<()>());
///     task.abort();
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// # Ok(()) }
/// ```
pub struct JoinError {
    cause: Cause,
}

enum Cause {
    Aborted,
    Shutdown,
    /// In a Mutex only to be `Sync`, which a payload is not.
    Panicked(Mutex<Payload>),
}

impl JoinError {
    pub(crate) fn aborted() -> Self {
        Self { cause: Cause::Aborted }
    }

    pub(crate) fn shutdown() -> Self {
        Self { cause: Cause::Shutdown }
    }

    pub(crate) fn panicked(payload: Payload) -> Self {
        Self { cause: Cause::Panicked(Mutex::new(payload)) }
    }

    /// Whether the task was cancelled: aborted, or ended by the end of its pool, or refused by an ended pool.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.cause, Cause::Aborted | Cause::Shutdown)
    }

    /// Whether it was the end of its pool that cancelled or refused the task. Such an error is also
    /// [`is_cancelled`](Self::is_cancelled).
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let pool = pike_sched::Pool::new()?;
    /// pool.shutdown();
    /// let refused = pool.block_on(pool.spawn(async {}));
    /// assert!(refused.unwrap_err().is_shutdown());
    /// # Ok(()) }
    /// ```
    pub fn is_shutdown(&self) -> bool {
        matches!(self.cause, Cause::Shutdown)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.cause, Cause::Panicked(_))
    }

    /// What the task panicked with, as `std::panic::resume_unwind` takes it.
    ///
    /// # Panics
    ///
    /// If the task did not panic.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// pike_sched::Pool::new()?.run(async {
    ///     let error = pike_sched::spawn(async { panic!("no") }).await.unwrap_err();
    ///     assert_eq!(error.into_panic().downcast_ref(), Some(&"no"));
    /// });
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("JoinError::into_panic: {error}"),
        }
    }

    /// What the task panicked with.
    ///
    /// # Errors
    ///
    /// The error itself if the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self.cause {
            Cause::Panicked(payload) => Ok(payload.into_inner().unwrap_or_else(PoisonError::into_inner)),
            _ => Err(self),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Aborted => f.write_str("the task was aborted"),
            Cause::Shutdown => f.write_str("the task's pool was shut down"),
            Cause::Panicked(payload) => {
                let payload = payload.lock().unwrap_or_else(PoisonError::into_inner);
                match message(&**payload) {
                    Some(message) => write!(f, "the task panicked: {message}"),
                    None => f.write_str("the task panicked"),
                }
            }
        }
    }
}

/// What `panic!` makes of its arguments.
fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    match payload.downcast_ref::<String>() {
        Some(message) => Some(message),
        None => payload.downcast_ref::<&'static str>().copied(),
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened() {
        let panicked = |payload: Payload| JoinError::panicked(payload).to_string();
        assert_eq!(panicked(Box::new("static")), "the task panicked: static");
        assert_eq!(panicked(Box::new(String::from("owned"))), "the task panicked: owned");
        assert_eq!(panicked(Box::new(7)), "the task panicked");
        assert_eq!(JoinError::aborted().to_string(), "the task was aborted");
        assert_eq!(format!("{:?}", JoinError::shutdown()), "JoinError(the task's pool was shut down)");
    }

    #[test]
    fn gives_back_what_is_no_panic() {
        assert!(JoinError::aborted().try_into_panic().unwrap_err().is_cancelled());
        assert_eq!(JoinError::panicked(Box::new(7)).into_panic().downcast_ref(), Some(&7));
    }

    #[test]
    fn auto_traits() {
        fn is<T: Send + Sync + 'static>() {}
        is::<JoinError>();
    }
}
