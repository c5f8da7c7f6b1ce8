//! The header of an entry of control data, and how it is padded: the CMSG macros of each system.
#![allow(unsafe_code)]

use libc::c_uint;
pub(in crate::sys) use libc::cmsghdr as Header;

pub(super) use crate::sys::cmsg::{Entry, bytes_of, first, put, value};

/// From the beginning of an entry to its payload.
// SAFETY: an expression over its argument.
pub(in crate::sys) const DATA: usize = unsafe { libc::CMSG_LEN(0) } as usize;

/// What an entry takes whose payload has `len` bytes, up to the next entry. At most `c_uint::MAX / 2` bytes.
pub(crate) const fn space(len: usize) -> usize {
    assert!(len <= (c_uint::MAX / 2) as usize);
    // SAFETY: an expression over its argument.
    unsafe { libc::CMSG_SPACE(len as c_uint) as usize }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// What the kernel and the C library agree on (cmsg(3)); the numbers of the systems we build for.
    #[test]
    fn a_header_is_laid_out_as_the_system_has_it() {
        let wide = cfg!(all(target_os = "linux", target_pointer_width = "64"));
        let apple = cfg!(target_vendor = "apple");
        assert_eq!(size_of::<Header>(), if wide { 16 } else { 12 });
        if wide {
            assert_eq!((DATA, space(0), space(1), space(8), space(9)), (16, 16, 24, 24, 32));
        }
        if apple {
            assert_eq!((DATA, space(1), space(4), space(5)), (12, 16, 16, 20));
        }
    }

    #[test]
    fn payloads_have_the_sizes_that_are_on_the_wire() {
        assert_eq!(size_of::<libc::in6_pktinfo>(), 20);
        assert_eq!(offset_of!(libc::in6_pktinfo, ipi6_ifindex), 16);
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            assert_eq!(size_of::<libc::in_pktinfo>(), 12);
            assert_eq!(offset_of!(libc::in_pktinfo, ipi_ifindex), 0);
            assert_eq!(offset_of!(libc::in_pktinfo, ipi_spec_dst), 4);
            assert_eq!(offset_of!(libc::in_pktinfo, ipi_addr), 8);
        }
        #[cfg(target_os = "linux")]
        {
            assert_eq!((size_of::<libc::ucred>(), offset_of!(libc::ucred, gid)), (12, 8));
            assert_eq!(size_of::<libc::sock_extended_err>(), 16);
            assert_eq!(offset_of!(libc::sock_extended_err, ee_info), 8);
        }
    }
}
