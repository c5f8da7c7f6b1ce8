//! What Linux has.

pub mod control;
mod device;
pub mod option;

pub use device::DeviceName;
