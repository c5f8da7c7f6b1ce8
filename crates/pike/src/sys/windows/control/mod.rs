//! Control data. None is received or sent yet.

use crate::socket::control::Incoming;

/// Takes the first entry off `bytes`.
///
/// # Safety
///
/// The system wrote the bytes for this process.
#[allow(unsafe_code)]
pub(crate) unsafe fn next<'a>(_: &mut &'a mut [u8]) -> Option<Incoming<'a>> {
    None
}

pub(crate) fn each(_: &[u8]) -> impl Iterator<Item = Incoming<'static>> {
    std::iter::empty()
}

/// Nothing that the system puts in a control buffer has to be given back.
///
/// # Safety
///
/// None is asked for here.
#[allow(unsafe_code)]
pub(crate) unsafe fn release(_: &mut [u8]) {}

/// What an entry takes up in a control buffer: WSA_CMSG_SPACE.
pub(crate) const fn space(payload: usize) -> usize {
    use windows_sys::Win32::Networking::WinSock::CMSGHDR;
    const ALIGN: usize = align_of::<usize>();
    const HEADER: usize = size_of::<CMSGHDR>().next_multiple_of(ALIGN);
    HEADER + payload.next_multiple_of(ALIGN)
}

/// What the entries of each kind take up in a control buffer.
pub(crate) mod sizes {
    use windows_sys::Win32::Networking::WinSock::{IN_PKTINFO, IN6_PKTINFO};

    use super::space;

    pub(crate) const PACKET_INFO: usize = space(size_of::<IN_PKTINFO>()) + space(size_of::<IN6_PKTINFO>());
    pub(crate) const TIMESTAMP: usize = space(size_of::<u64>());
    pub(crate) const NUMBER: usize = space(size_of::<i32>());
}
