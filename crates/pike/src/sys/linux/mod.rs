//! What the two Linux backends share: the epoll set, what readiness bits mean, and the descriptor that ends a wait.

mod calls;
mod eventfd;
mod events;
mod set;

pub(super) use eventfd::{eventfd, write_eventfd};
pub(super) use set::{Events, Set};
