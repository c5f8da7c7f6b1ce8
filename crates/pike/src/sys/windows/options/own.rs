//! The options that only Windows has.
#![allow(unsafe_code)]

use std::{io, ptr};

use windows_sys::Win32::Networking::WinSock::{
    self, SO_EXCLUSIVEADDRUSE, SO_UPDATE_ACCEPT_CONTEXT, SO_UPDATE_CONNECT_CONTEXT, SOCKET, SOL_SOCKET,
};

use super::{cvt, get, info, raw, set};
use crate::{
    os::windows::{self, option},
    socket::{
        Socket,
        option::{Get, Set},
    },
    sys::options::form::Flag,
};

impl Get for option::ExclusiveAddress {
    fn get(self, socket: &Socket) -> io::Result<bool> {
        get::<Flag>(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE)
    }
}

impl Set for option::ExclusiveAddress {
    fn set(self, socket: &Socket, value: bool) -> io::Result<()> {
        set::<Flag>(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, value)
    }
}

impl Get for option::ProtocolInfo {
    fn get(self, socket: &Socket) -> io::Result<windows::ProtocolInfo> {
        info(socket.descriptor()).map(windows::ProtocolInfo::new)
    }
}

impl Set for option::UpdateAcceptContext<'_> {
    fn set(self, socket: &Socket, (): ()) -> io::Result<()> {
        let listener = raw(self.0.descriptor());
        update(socket, SO_UPDATE_ACCEPT_CONTEXT, Some(&listener))
    }
}

impl Set for option::UpdateConnectContext {
    fn set(self, socket: &Socket, (): ()) -> io::Result<()> {
        update(socket, SO_UPDATE_CONNECT_CONTEXT, None)
    }
}

fn update(socket: &Socket, name: i32, of: Option<&SOCKET>) -> io::Result<()> {
    let (at, len) = of.map_or((ptr::null(), 0), |of| (ptr::from_ref(of).cast(), size_of::<SOCKET>()));
    // SAFETY: reads a socket's number, or nothing.
    cvt(unsafe { WinSock::setsockopt(raw(socket.descriptor()), SOL_SOCKET, name, at, len as i32) })
}
