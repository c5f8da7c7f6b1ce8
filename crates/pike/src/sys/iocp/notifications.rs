//! Readiness by what Windows 11 documents for it, ProcessSocketNotifications, in place of polls of AFD. Off unless
//! [`WANTED`] is set: it is written by the documentation, and was never run, since no system that pike is tested on has it.
//!
//! A socket has one *registration*, for both sides together: one-shot and level-triggered, it posts one packet when the first of
//! what it names is there, and is then disabled. So the side that is armed is put to what is asked already, and a packet that
//! tells of one side only has the other asked anew. No memory is lent: the packet brings the source's token as its key and the
//! events as its number of bytes, and one that comes late is for a token that is nobody's (I4), or for a side that does not ask.
//!
//! closesocket removes a registration and posts nothing: who closes a socket behind its Handle's back leaves its waiters.
//!
//! What stays with the polls: urgent data, which no event names; sockets behind a layered provider, and those that may be with
//! another port (`places`), or were registered before by a token whose packets nobody would take; and a socket once its
//! registration has failed, or has told of an end. The conditions of that one hold on and are told whatever is asked, so asking
//! again would not wait; a poll tells apart which side has ended, and how.
//!
//! Sources: "Winsock socket state notifications", ProcessSocketNotifications and SOCK_NOTIFY_REGISTRATION of the Windows SDK.
#![allow(unsafe_code)]

use std::{env, ffi::OsStr, mem, ptr, sync::OnceLock};

use windows_sys::{
    Win32::{
        Foundation::{ERROR_SUCCESS, HANDLE},
        Networking::WinSock::{
            SOCK_NOTIFY_EVENT_ERR, SOCK_NOTIFY_EVENT_HANGUP, SOCK_NOTIFY_EVENT_IN, SOCK_NOTIFY_EVENT_OUT,
            SOCK_NOTIFY_EVENT_REMOVE, SOCK_NOTIFY_OP_ENABLE, SOCK_NOTIFY_OP_REMOVE,
            SOCK_NOTIFY_REGISTER_EVENT_HANGUP, SOCK_NOTIFY_REGISTER_EVENT_IN, SOCK_NOTIFY_REGISTER_EVENT_OUT,
            SOCK_NOTIFY_REGISTRATION, SOCK_NOTIFY_TRIGGER_LEVEL, SOCK_NOTIFY_TRIGGER_ONESHOT, SOCKET,
        },
        System::{
            IO::OVERLAPPED_ENTRY,
            LibraryLoader::{GetModuleHandleW, GetProcAddress},
        },
    },
    core::{s, w},
};

use super::{
    Driver,
    arms::{NONE, NOTIFIED},
    port::{Port, Role},
    table::{Entry, Table, Way},
};
use crate::{
    source::{ERROR, READ_UNARMED, READABLE, WRITABLE, WRITE_UNARMED},
    sys::{Raw, Report},
    token::Token,
};

/// The environment variable that has a Notifier use them: 1, when it is made.
const WANTED: &str = "PIKE_SOCKET_NOTIFICATIONS";
/// What makes a token a key: one of the bits that tokens leave zero. No other key of the port has it.
const MARK: u64 = 1 << 31;
/// What ends a registration's use.
const ENDS: u32 = SOCK_NOTIFY_EVENT_HANGUP | SOCK_NOTIFY_EVENT_ERR | SOCK_NOTIFY_EVENT_REMOVE;

type Call = unsafe extern "system" fn(
    HANDLE,
    u32,
    *mut SOCK_NOTIFY_REGISTRATION,
    u32,
    u32,
    *mut OVERLAPPED_ENTRY,
    *mut u32,
) -> u32;

/// The call, where the system has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notifications(Call);

impl Notifications {
    /// None unless they are asked for, and the system has them.
    pub(super) fn wanted() -> Option<Self> {
        if is_wanted(env::var_os(WANTED).as_deref()) { Self::find() } else { None }
    }

    /// Looks for the call, once a process. A key has no room for a token if it has 32 bits.
    fn find() -> Option<Self> {
        static FOUND: OnceLock<Option<Notifications>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            // SAFETY: a constant name. The standard library is linked to the module, which stays.
            let sockets = unsafe { GetModuleHandleW(w!("ws2_32.dll")) };
            // SAFETY: a module that stays, or null, in which nothing is found; and a constant name.
            let call = unsafe { GetProcAddress(sockets, s!("ProcessSocketNotifications")) }?;
            // SAFETY: that is its type.
            let call = unsafe { mem::transmute::<unsafe extern "system" fn() -> isize, Call>(call) };
            (usize::BITS == 64).then_some(Self(call))
        })
    }

    /// Has the registration of a socket changed. False if the system refuses.
    fn change(self, port: &Port, socket: Raw, token: Token, operation: u32, filter: u32) -> bool {
        let trigger = if operation == SOCK_NOTIFY_OP_ENABLE {
            SOCK_NOTIFY_TRIGGER_ONESHOT | SOCK_NOTIFY_TRIGGER_LEVEL
        } else {
            0
        };
        let mut registration = SOCK_NOTIFY_REGISTRATION {
            socket: socket as SOCKET,
            completionKey: ptr::without_provenance_mut(key(token)),
            eventFilter: filter as u16,
            operation: operation as u8,
            triggerFlags: trigger as u8,
            registrationResult: 0,
        };
        // SAFETY: the call reads and writes the one registration, and keeps of it only numbers. It takes no packets: there is
        // room for none.
        let error =
            unsafe { (self.0)(port.raw(), 1, &mut registration, 0, 0, ptr::null_mut(), ptr::null_mut()) };
        error == ERROR_SUCCESS && registration.registrationResult == ERROR_SUCCESS
    }

    /// Asks for all that is armed.
    fn enable(self, port: &Port, token: Token, entry: &mut Entry) -> bool {
        self.change(port, entry.socket, token, SOCK_NOTIFY_OP_ENABLE, filter(asked(entry)))
    }

    /// No packet but that of the removal follows what is in the port already.
    pub(super) fn remove(self, port: &Port, token: Token, entry: &Entry) {
        if entry.way == Way::Registered {
            // Refused if the socket was closed meanwhile, which has removed it.
            self.change(port, entry.socket, token, SOCK_NOTIFY_OP_REMOVE, 0);
        }
    }
}

impl Driver {
    /// Arms a side by the registration. False if it has to be a poll.
    pub(super) fn ask(&self, table: &mut Table, token: Token, role: Role) -> bool {
        let (Some(calls), Some(entry)) = (self.notifications, table.entry(token)) else { return false };
        if !matches!(entry.way, Way::Free | Way::Registered) {
            return false;
        }
        let before = mem::replace(entry.arm(role), NOTIFIED);
        if calls.enable(&self.port, token, entry) {
            entry.way = Way::Registered;
            return true;
        }
        *entry.arm(role) = before;
        if entry.way == Way::Free {
            entry.way = Way::Polls;
        }
        false
    }

    /// What the packet of a registration says, if it concerns somebody.
    pub(super) fn notified(&self, table: &mut Table, packet: &OVERLAPPED_ENTRY) -> Option<Report> {
        let (token, events) = (token(packet.lpCompletionKey), packet.dwNumberOfBytesTransferred);
        let has_ended = table.ended;
        let (calls, entry) = (self.notifications?, table.entry(token)?);
        let mut told = told(asked(entry), events);
        if events & ENDS != 0 && entry.way == Way::Registered {
            if events & SOCK_NOTIFY_EVENT_REMOVE == 0 {
                calls.remove(&self.port, token, entry);
            }
            entry.way = Way::Polls;
        }
        let rest = asked(entry) & !told;
        // It is disabled by now, or will be with another packet of the same condition: the other side is asked anew. A side
        // that cannot be asked is told, and asks for itself.
        if rest != 0
            && !has_ended
            && !calls.change(&self.port, entry.socket, token, SOCK_NOTIFY_OP_ENABLE, filter(rest))
        {
            told |= rest;
        }
        for (event, role) in SIDES {
            if told & event != 0 {
                *entry.arm(role) = NONE;
            }
        }
        (told != 0).then(|| Report { token, bits: bits(told, events) })
    }
}

const SIDES: [(u32, Role); 2] = [(SOCK_NOTIFY_EVENT_IN, Role::Read), (SOCK_NOTIFY_EVENT_OUT, Role::Write)];

fn is_wanted(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| value == "1")
}

fn key(token: Token) -> usize {
    (token.bits() | MARK) as usize
}

/// Whether a packet with this key is a registration's.
pub(super) fn is_key(key: usize) -> bool {
    key as u64 & MARK != 0
}

fn token(key: usize) -> Token {
    Token::from_bits(key as u64 & !MARK)
}

/// The sides that wait for the registration's packet.
fn asked(entry: &mut Entry) -> u32 {
    SIDES
        .into_iter()
        .filter(|(_, role)| *entry.arm(*role) == NOTIFIED)
        .fold(0, |asked, (event, _)| asked | event)
}

/// What a registration for these sides names: the end of the connection, too, which concerns both.
fn filter(sides: u32) -> u32 {
    let read = if sides & SOCK_NOTIFY_EVENT_IN != 0 { SOCK_NOTIFY_REGISTER_EVENT_IN } else { 0 };
    let write = if sides & SOCK_NOTIFY_EVENT_OUT != 0 { SOCK_NOTIFY_REGISTER_EVENT_OUT } else { 0 };
    read | write | SOCK_NOTIFY_REGISTER_EVENT_HANGUP
}

/// Which of the sides that ask are told by these events: by an end, all.
fn told(asked: u32, events: u32) -> u32 {
    if events & ENDS != 0 { asked } else { asked & events }
}

/// What is reported of the sides that are told. An end makes them as good as ready, and no more is said: it may be the peer's
/// end of writing alone.
fn bits(told: u32, events: u32) -> u64 {
    let read = if told & SOCK_NOTIFY_EVENT_IN != 0 { READABLE | READ_UNARMED } else { 0 };
    let write = if told & SOCK_NOTIFY_EVENT_OUT != 0 { WRITABLE | WRITE_UNARMED } else { 0 };
    let error = if events & SOCK_NOTIFY_EVENT_ERR != 0 { READABLE | WRITABLE | ERROR } else { 0 };
    read | write | error
}

// The layout of the SDK's header.
const _: () = assert!(size_of::<SOCK_NOTIFY_REGISTRATION>() == 2 * size_of::<usize>() + 8);
const _: () =
    assert!(mem::offset_of!(SOCK_NOTIFY_REGISTRATION, registrationResult) == 2 * size_of::<usize>() + 4);

#[cfg(test)]
mod tests;
