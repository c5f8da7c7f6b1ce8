//! What Linux has.

pub mod control;
mod device;
pub mod option;
pub mod signal;

pub use device::DeviceName;
