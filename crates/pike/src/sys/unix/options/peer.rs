//! Who the peer of a Unix socket is. Each system has a struct, an option and a gap of its own.

use std::io;

use super::{
    Get, Socket,
    form::{Decode, Form, Plain, plain},
    get,
};
use crate::os::unix::{UCred, option::PeerCred};

struct Ids;

impl Form for Ids {
    type Value = UCred;
    type Raw = Raw;
}

impl Decode for Ids {
    fn decode(raw: Raw) -> UCred {
        read(raw)
    }
}

plain!(Raw);

impl Get for PeerCred {
    fn get(self, socket: &Socket) -> io::Result<UCred> {
        complete(socket, get::<Ids>(socket, LEVEL, NAME)?)
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        use libc::{SO_PEERCRED as NAME, SOL_SOCKET as LEVEL, ucred as Raw};

        fn read(raw: Raw) -> UCred {
            UCred::new(raw.pid, raw.uid, raw.gid)
        }

        /// Linux answers of every socket, with the user -1 where there is no peer.
        fn complete(socket: &Socket, cred: UCred) -> io::Result<UCred> {
            if cred.uid() != libc::uid_t::MAX {
                return Ok(cred);
            }
            let family = socket2::SockRef::from(socket.descriptor()).local_addr()?.family();
            let is_unix = libc::c_int::from(family) == libc::AF_UNIX;
            Err(io::Error::from_raw_os_error(if is_unix { libc::ENOTCONN } else { libc::EOPNOTSUPP }))
        }
    } else if #[cfg(target_os = "openbsd")] {
        use libc::{SO_PEERCRED as NAME, SOL_SOCKET as LEVEL, sockpeercred as Raw};

        fn read(raw: Raw) -> UCred {
            UCred::new(raw.pid, raw.uid, raw.gid)
        }
    } else if #[cfg(target_os = "netbsd")] {
        use libc::{LOCAL_PEEREID as NAME, unpcbid as Raw};

        /// `SOL_LOCAL` of <sys/un.h>, which libc lacks.
        const LEVEL: libc::c_int = 0;

        fn read(raw: Raw) -> UCred {
            UCred::new(raw.unp_pid, raw.unp_euid, raw.unp_egid)
        }
    } else if #[cfg(target_os = "freebsd")] {
        use libc::{LOCAL_PEERCRED as NAME, xucred as Raw};

        /// `SOL_LOCAL` of <sys/un.h>.
        const LEVEL: libc::c_int = 0;

        /// The first group is the effective one. The number is there since FreeBSD 13, and zero before.
        #[allow(unsafe_code)]
        fn read(raw: Raw) -> UCred {
            // SAFETY: every field of the union is a number or the bytes of a pointer, zero or written by the kernel.
            let pid = unsafe { raw.cr_pid__c_anonymous_union.cr_pid };
            UCred::new(pid, raw.cr_uid, raw.cr_groups[0])
        }
    } else if #[cfg(target_vendor = "apple")] {
        use libc::{LOCAL_PEERCRED as NAME, SOL_LOCAL as LEVEL, xucred as Raw};

        /// The first group is the effective one. The number is an option by itself.
        fn read(raw: Raw) -> UCred {
            UCred::new(0, raw.cr_uid, raw.cr_groups[0])
        }

        fn complete(socket: &Socket, cred: UCred) -> io::Result<UCred> {
            let pid = get::<super::multicast::Index>(socket, LEVEL, libc::LOCAL_PEEREPID)?;
            Ok(UCred::new(pid as libc::pid_t, cred.uid(), cred.gid()))
        }
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn complete(_socket: &Socket, cred: UCred) -> io::Result<UCred> {
    Ok(cred)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::mem::offset_of;

    use super::Raw;

    /// As <linux/socket.h> has it.
    #[test]
    fn layout() {
        assert_eq!((size_of::<Raw>(), align_of::<Raw>()), (12, 4));
        assert_eq!((offset_of!(Raw, pid), offset_of!(Raw, uid), offset_of!(Raw, gid)), (0, 4, 8));
    }
}
