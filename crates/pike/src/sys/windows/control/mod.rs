//! Control data, between the bytes of WSARecvMsg and WSASendMsg and the types of [`crate::socket::control`].
//!
//! [`layout`], over `sys/cmsg.rs`, walks over bytes and writes them; [`decode`] says what an entry means; [`encode`] writes
//! down what is sent. No entry carries what has to be given back.

mod decode;
mod encode;
pub(in crate::sys) mod layout;

pub(crate) use decode::{each, next, release};
pub(super) use encode::{Room, encode};

/// Copies the entries of `all` that fit into `room`. How many bytes these have.
pub(super) fn whole_entries(all: &[u8], room: &mut [u8]) -> usize {
    let mut end = 0;
    while let Some(entry) = layout::first(&all[end..]) {
        if end + entry.end > room.len() {
            break;
        }
        end += entry.end;
    }
    room[..end].copy_from_slice(&all[..end]);
    end
}

/// What the entries of each kind take up in a control buffer.
pub(crate) mod sizes {
    use windows_sys::Win32::Networking::WinSock::{IN_PKTINFO, IN6_PKTINFO};

    use super::layout::space;

    pub(crate) const PACKET_INFO: usize = space(size_of::<IN_PKTINFO>()) + space(size_of::<IN6_PKTINFO>());
    /// Nothing is told, but the size is of the portable surface.
    pub(crate) const TIMESTAMP: usize = space(size_of::<u64>());
    pub(crate) const NUMBER: usize = space(size_of::<i32>());
}

#[cfg(all(test, not(loom)))]
#[allow(unsafe_code)]
mod tests;
