//! What every backend of pike must do: cases that are written once and run on each backend of the build.
//!
//! - [`cases`]: the cases, a file a subject.
//! - [`table`](mod@table): the list of them, and [`suite!`], which makes a `#[test]` of each.
//! - [`harness`]: what runs a case, with a watchdog; [`Outcome`] and [`Skip`].
//! - [`Cx`], [`Task`], [`Rng`], [`system`] (`unix` or `windows`), `signals`, [`heap`], `trace`,
//!   `supervised`: what cases are made with.
//!
//! README.md says how to run the suite and how to add a case.

pub mod cases;
mod cx;
pub mod harness;
pub mod heap;
mod net;
pub mod relay;
mod rng;
#[cfg(unix)]
pub mod signals;
#[cfg(target_os = "linux")]
pub mod supervised;
pub mod table;
mod task;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub mod trace;
#[cfg(unix)]
pub mod unix;
#[cfg(windows)]
pub mod windows;
#[cfg(windows)]
mod wine;

pub use cx::{Boxed, Cx, LONG, SHORT, join_all, read, write};
#[doc(hidden)]
pub mod __reexport {
    //! For the macros.
    pub use pike::Backend;
}

pub use harness::{Outcome, Skip};
pub use rng::Rng;
/// What cases need of the system, by the same names on each.
#[cfg(unix)]
pub use unix as system;
#[cfg(windows)]
pub use windows as system;

pub use task::{Task, Wakes, calling, calling_when_cloned};
