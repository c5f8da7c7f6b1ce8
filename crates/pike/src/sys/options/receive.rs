//! Options that ask for control data with each received message. They are of IPv4 or IPv6, whichever the socket receives;
//! an IPv6 socket may receive both.

use std::{ffi::c_int, io};

use super::{ABSENT, Flag, Get, Set, Socket, get, is_v6, numbers, option, set};

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
    v4_of_v6: numbers::TELLS_MAPPED_BY_IPV4,
};
const TRAFFIC_CLASS: Both =
    Both { v4: numbers::IP_RECVTOS, v4_too: ABSENT, v6: numbers::IPV6_RECVTCLASS, v4_of_v6: true };
const HOP_LIMIT: Both =
    Both { v4: numbers::IP_RECVTTL, v4_too: ABSENT, v6: numbers::IPV6_RECVHOPLIMIT, v4_of_v6: true };
#[cfg(target_os = "linux")]
const ERRORS: Both =
    Both { v4: numbers::IP_RECVERR, v4_too: ABSENT, v6: numbers::IPV6_RECVERR, v4_of_v6: true };

impl Both {
    fn get(&self, socket: &Socket) -> io::Result<bool> {
        match is_v6(socket)? {
            true => get::<Flag>(socket, numbers::IPPROTO_IPV6, self.v6),
            false => get::<Flag>(socket, numbers::IPPROTO_IP, self.v4),
        }
    }

    fn set(&self, socket: &Socket, value: bool) -> io::Result<()> {
        if is_v6(socket)? {
            set::<Flag>(socket, numbers::IPPROTO_IPV6, self.v6, value)?;
            if self.v4_of_v6 {
                // Not every system has mapped addresses, or takes the option for them.
                let _ = set::<Flag>(socket, numbers::IPPROTO_IP, self.v4, value);
            }
            return Ok(());
        }
        set::<Flag>(socket, numbers::IPPROTO_IP, self.v4, value)?;
        if self.v4_too != ABSENT {
            set::<Flag>(socket, numbers::IPPROTO_IP, self.v4_too, value)?;
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
