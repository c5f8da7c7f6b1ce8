//! Control data, between the bytes of recvmsg(2) and sendmsg(2) and the types of [`crate::socket::control`].
//!
//! - [`layout`], over `sys/cmsg.rs`, walks over bytes and writes them; [`decode`] says what an entry means; [`encode`]
//!   writes down what is sent.
//! - Descriptors in received bytes belong to whoever holds the bytes. Who takes one out puts -1 in its place; what is left
//!   is closed by [`release`].

mod decode;
mod descriptors;
mod encode;
pub(in crate::sys) mod layout;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
#[path = "packet_info.rs"]
mod packet;
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
#[path = "packet_parts.rs"]
mod packet;

pub(crate) use decode::{each, next};
#[cfg(target_vendor = "apple")]
pub(super) use descriptors::close_on_exec;
pub(crate) use descriptors::{Payload, release};
pub(super) use encode::{Room, encode};
pub(crate) use layout::space;

/// What the entries of each kind take up in a control buffer.
pub(crate) mod sizes {
    use super::{layout::space, packet};

    pub(crate) const PACKET_INFO: usize = packet::SPACE + space(size_of::<libc::in6_pktinfo>());
    /// The larger one: struct timeval or timespec.
    pub(crate) const TIMESTAMP: usize = space(16);
    pub(crate) const NUMBER: usize = space(size_of::<libc::c_int>());

    cfg_if::cfg_if! {
        if #[cfg(any(target_os = "freebsd", target_os = "dragonfly"))] {
            pub(crate) const CREDENTIALS: usize = space(size_of::<libc::cmsgcred>());
        } else {
            pub(crate) const CREDENTIALS: usize = space(3 * size_of::<libc::c_int>());
        }
    }

    /// With the address of who says so.
    #[cfg(target_os = "linux")]
    pub(crate) const ERROR: usize =
        space(size_of::<libc::sock_extended_err>() + size_of::<libc::sockaddr_in6>());
    /// Three times of 64-bit numbers.
    #[cfg(target_os = "linux")]
    pub(crate) const TIMESTAMPING: usize = space(48);
}
