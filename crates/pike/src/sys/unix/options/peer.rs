//! Who the peer of a Unix socket is. Each system has a struct, an option and a gap of its own.

use std::io;

use super::{Socket, is_unix, read};
use crate::{
    os::unix::{UCred, option::PeerCred},
    socket::option::Get,
    sys::options::form::plain,
};

plain!(Raw);

impl Get for PeerCred {
    /// By the family first: the level and name that ask a Unix socket ask others something else, and that succeeds.
    fn get(self, socket: &Socket) -> io::Result<UCred> {
        if !is_unix(socket)? {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let (raw, len) = read::<Raw>(socket, LEVEL, NAME)?;
        if len != size_of::<Raw>() || !is_known(&raw) {
            // What was not written must not become the user 0.
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the system has another form of credentials",
            ));
        }
        complete(socket, decode(raw))
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        use libc::{SO_PEERCRED as NAME, SOL_SOCKET as LEVEL, ucred as Raw};

        fn decode(raw: Raw) -> UCred {
            UCred::new(raw.pid, raw.uid, raw.gid)
        }

        /// The user is -1 where there is no peer.
        fn complete(_: &Socket, cred: UCred) -> io::Result<UCred> {
            match cred.uid() {
                libc::uid_t::MAX => Err(io::Error::from_raw_os_error(libc::ENOTCONN)),
                _ => Ok(cred),
            }
        }
    } else if #[cfg(target_os = "openbsd")] {
        use libc::{SO_PEERCRED as NAME, SOL_SOCKET as LEVEL, sockpeercred as Raw};

        fn decode(raw: Raw) -> UCred {
            UCred::new(raw.pid, raw.uid, raw.gid)
        }
    } else if #[cfg(target_os = "netbsd")] {
        use libc::{LOCAL_PEEREID as NAME, unpcbid as Raw};

        /// `SOL_LOCAL` of <sys/un.h>, which libc lacks.
        const LEVEL: libc::c_int = 0;

        fn decode(raw: Raw) -> UCred {
            UCred::new(raw.unp_pid, raw.unp_euid, raw.unp_egid)
        }
    } else if #[cfg(target_os = "freebsd")] {
        use libc::{LOCAL_PEERCRED as NAME, xucred as Raw};

        /// `SOL_LOCAL` of <sys/un.h>.
        const LEVEL: libc::c_int = 0;

        /// The first group is the effective one. The number is there since FreeBSD 13, and zero before.
        #[allow(unsafe_code)]
        fn decode(raw: Raw) -> UCred {
            // SAFETY: every field of the union is a number or the bytes of a pointer, zero or written by the kernel.
            let pid = unsafe { raw.cr_pid__c_anonymous_union.cr_pid };
            UCred::new(pid, raw.cr_uid, raw.cr_groups[0])
        }
    } else if #[cfg(target_os = "dragonfly")] {
        use libc::{LOCAL_PEERCRED as NAME, xucred as Raw};

        /// It has no other level for them than this, which it does not look at.
        const LEVEL: libc::c_int = 0;

        /// The first group is the effective one. There is no number.
        fn decode(raw: Raw) -> UCred {
            UCred::new(0, raw.cr_uid, raw.cr_groups[0])
        }
    } else if #[cfg(target_vendor = "apple")] {
        use libc::{LOCAL_PEERCRED as NAME, SOL_LOCAL as LEVEL, xucred as Raw};

        /// The first group is the effective one. The number is an option by itself.
        fn decode(raw: Raw) -> UCred {
            UCred::new(0, raw.cr_uid, raw.cr_groups[0])
        }

        fn complete(socket: &Socket, cred: UCred) -> io::Result<UCred> {
            let (pid, _) = read::<libc::pid_t>(socket, LEVEL, libc::LOCAL_PEEREPID)?;
            Ok(UCred::new(pid, cred.uid(), cred.gid()))
        }
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn complete(_socket: &Socket, cred: UCred) -> io::Result<UCred> {
    Ok(cred)
}

/// Whether the struct says that it is of the layout which we know.
#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly"))]
fn is_known(raw: &Raw) -> bool {
    raw.cr_version == libc::XUCRED_VERSION && raw.cr_ngroups > 0
}

#[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly")))]
fn is_known(_: &Raw) -> bool {
    true
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
