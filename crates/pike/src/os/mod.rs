//! What only some systems have.

#[cfg(target_os = "linux")]
pub mod linux;
pub mod unix;
