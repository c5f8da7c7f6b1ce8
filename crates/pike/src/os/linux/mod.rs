//! What Linux has.

mod device;
pub mod option;

pub use device::DeviceName;
