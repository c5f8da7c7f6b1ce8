//! The header of an entry of control data, and how it is padded: the WSA_CMSG macros of ws2def.h.

pub(in crate::sys) use windows_sys::Win32::Networking::WinSock::CMSGHDR as Header;

pub(super) use crate::sys::cmsg::{Entry, bytes_of, first, put, value};

/// `MAX_NATURAL_ALIGNMENT`, and that of a header.
const ALIGN: usize = size_of::<usize>();

/// From the beginning of an entry to its payload.
pub(in crate::sys) const DATA: usize = size_of::<Header>().next_multiple_of(ALIGN);

/// What an entry takes whose payload has `len` bytes, up to the next entry.
pub(crate) const fn space(len: usize) -> usize {
    DATA + len.next_multiple_of(ALIGN)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_laid_out_as_the_system_has_it() {
        #[cfg(target_pointer_width = "64")]
        assert_eq!(
            (size_of::<Header>(), DATA, space(0), space(1), space(8), space(9)),
            (16, 16, 16, 24, 24, 32)
        );
        #[cfg(target_pointer_width = "32")]
        assert_eq!(
            (size_of::<Header>(), DATA, space(0), space(1), space(4), space(5)),
            (12, 12, 12, 16, 16, 20)
        );
    }
}
