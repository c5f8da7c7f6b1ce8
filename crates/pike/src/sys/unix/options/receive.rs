//! Options that ask for control data with each received message. They are of IPv4 or IPv6, whichever the socket receives;
//! an IPv6 socket may receive both.

use std::{io, os::fd::AsFd};

use libc::c_int;

use super::{Flag, Get, Set, SockRef, Socket, get, numbers, option, set};

/// The numbers of one option: of IPv4, one that IPv4 may have beside it, and of IPv6.
struct Both {
    v4: c_int,
    v4_too: c_int,
    v6: c_int,
    /// Whether an IPv6 socket wants that of IPv4 as well, for mapped addresses.
    v4_of_v6: bool,
}

const PACKET_INFO: Both = Both {
    v4: numbers::IP_RECVPKTINFO,
    v4_too: numbers::IP_RECVINTERFACE,
    v6: numbers::IPV6_RECVPKTINFO,
    v4_of_v6: false,
};
const TRAFFIC_CLASS: Both =
    Both { v4: numbers::IP_RECVTOS, v4_too: numbers::ABSENT, v6: numbers::IPV6_RECVTCLASS, v4_of_v6: true };
const HOP_LIMIT: Both =
    Both { v4: numbers::IP_RECVTTL, v4_too: numbers::ABSENT, v6: numbers::IPV6_RECVHOPLIMIT, v4_of_v6: true };
#[cfg(target_os = "linux")]
const ERRORS: Both =
    Both { v4: numbers::IP_RECVERR, v4_too: numbers::ABSENT, v6: numbers::IPV6_RECVERR, v4_of_v6: true };

/// Whether a socket without an address of its own has its family all the same: it does.
fn is_v6(socket: &Socket) -> io::Result<bool> {
    let family = SockRef::from(&socket.descriptor().as_fd()).local_addr()?.family();
    Ok(c_int::from(family) == libc::AF_INET6)
}

impl Both {
    fn get(&self, socket: &Socket) -> io::Result<bool> {
        match is_v6(socket)? {
            true => get::<Flag>(socket, libc::IPPROTO_IPV6, self.v6),
            false => get::<Flag>(socket, libc::IPPROTO_IP, self.v4),
        }
    }

    fn set(&self, socket: &Socket, value: bool) -> io::Result<()> {
        if is_v6(socket)? {
            set::<Flag>(socket, libc::IPPROTO_IPV6, self.v6, value)?;
            if self.v4_of_v6 {
                // Not every system has mapped addresses, or takes the option for them.
                let _ = set::<Flag>(socket, libc::IPPROTO_IP, self.v4, value);
            }
            return Ok(());
        }
        set::<Flag>(socket, libc::IPPROTO_IP, self.v4, value)?;
        if self.v4_too != numbers::ABSENT {
            set::<Flag>(socket, libc::IPPROTO_IP, self.v4_too, value)?;
        }
        Ok(())
    }
}

macro_rules! both {
    ($($option:path => $both:ident;)*) => {$(
        impl Get for $option {
            fn get(self, socket: &Socket) -> io::Result<bool> {
                $both.get(socket)
            }
        }

        impl Set for $option {
            fn set(self, socket: &Socket, value: bool) -> io::Result<()> {
                $both.set(socket, value)
            }
        }
    )*};
}

both! {
    option::ReceivePacketInfo => PACKET_INFO;
    option::ReceiveTrafficClass => TRAFFIC_CLASS;
    option::ReceiveHopLimit => HOP_LIMIT;
}

#[cfg(target_os = "linux")]
both! {
    crate::os::linux::option::ReceiveErrors => ERRORS;
}

impl Get for option::ReceiveTimestamp {
    fn get(self, socket: &Socket) -> io::Result<bool> {
        get::<Flag>(socket, numbers::SOL_SOCKET, numbers::SO_RECVTIMESTAMP)
    }
}

impl Set for option::ReceiveTimestamp {
    fn set(self, socket: &Socket, value: bool) -> io::Result<()> {
        set::<Flag>(socket, numbers::SOL_SOCKET, numbers::SO_RECVTIMESTAMP, value)
    }
}
