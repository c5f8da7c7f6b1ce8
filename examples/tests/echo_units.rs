//! The unit tests of the echo example. An example's own would be built instead of the program, not beside it.

#[allow(dead_code)]
#[path = "../echo/main.rs"]
mod echo;
