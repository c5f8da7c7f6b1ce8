//! What FreeBSD has.

pub mod option;
