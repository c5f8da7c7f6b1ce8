//! Async I/O without buying a runtime.
#![cfg_attr(not(test), warn(unreachable_pub))]

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "pike has a backend for Linux (epoll) only so far; PLATFORM.md says what is planned for other targets"
);

mod batch;
mod blocking;
pub mod budget;
mod error;
mod event;
mod handle;
mod interest;
pub mod net;
mod notifier;
mod parker;
mod posted;
mod registry;
mod seat;
pub mod socket;
mod source;
mod sync;
mod sys;
pub mod time;
mod token;
mod waiter;
mod word;

pub use batch::{Batch, Dispatch};
pub use error::Closed;
pub use event::Event;
pub use handle::Handle;
pub use interest::{Interest, Ready};
pub use notifier::{Backend, Builder, ChosenBy, Enter, Notifier, Probe};

pub mod os {
    //! What only some systems have.

    #[cfg(unix)]
    pub mod unix {
        //! Unix.
        pub use crate::sys::platform::IoSafe;
    }
}
