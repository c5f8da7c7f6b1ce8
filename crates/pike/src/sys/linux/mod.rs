//! What the two Linux backends share: what readiness bits mean, and the descriptor that ends a wait.

mod eventfd;
mod events;

pub(super) use eventfd::{eventfd, write_eventfd};
pub(super) use events::{INTEREST, bits};
