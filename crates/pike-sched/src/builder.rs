//! What can be chosen about a pool.

use std::io;

use pike::{Backend, Notifier};

use crate::Pool;

/// Settings for a [`Pool`]. Made by [`Pool::builder`].
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let pool = pike_sched::Pool::builder().build()?;
/// println!("on {}", pool.notifier().backend());
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing before build()"]
pub struct Builder {
    backend: Option<Backend>,
    notifier: Option<Notifier>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { backend: None, notifier: None }
    }

    /// Insists on a backend for the worker's Notifier.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Makes the worker sleep in this Notifier, for settings that only [`Notifier::builder`] has.
    ///
    /// A pool on a bound Notifier is driven by the one thread that the Notifier is bound to.
    pub fn notifier(mut self, notifier: Notifier) -> Self {
        self.notifier = Some(notifier);
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// Those of pike's `Builder::build`, among them that the system lacks the backend that was asked for.
    /// [`io::ErrorKind::InvalidInput`] if a Notifier was given that has another.
    pub fn build(self) -> io::Result<Pool> {
        let notifier = match (self.notifier, self.backend) {
            (None, None) => Notifier::new()?,
            (None, Some(backend)) => Notifier::builder().backend(backend).build()?,
            (Some(notifier), Some(backend)) if notifier.backend() != backend => {
                let message =
                    format!("the pool should be on {backend}, but its Notifier is on {}", notifier.backend());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            (Some(notifier), _) => notifier,
        };
        Ok(Pool::with_notifier(notifier))
    }
}
