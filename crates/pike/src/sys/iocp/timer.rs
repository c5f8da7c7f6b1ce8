//! Timeouts finer than the system's tick, which is 15.6 ms unless somebody has asked for more.
//!
//! The timeout of GetQueuedCompletionStatusEx ends at a tick. A waitable timer of high resolution (Windows 10 1803) does not,
//! and a *wait completion packet* (Windows 8) has it post to the port when it expires. That interface of ntdll is not
//! documented; Go's network poller leans on it since 1.23. Where either is missing, as under Wine, waits are whole milliseconds,
//! rounded up.
//!
//! Source: `netpoll_windows.go` of Go.
#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io, mem,
    os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle},
    ptr,
    sync::OnceLock,
    time::Duration,
};

use windows_sys::{
    Win32::{
        Foundation::{GENERIC_ALL, HANDLE, NTSTATUS, STATUS_CANCELLED, STATUS_SUCCESS},
        System::{
            LibraryLoader::{GetModuleHandleW, GetProcAddress},
            Threading::{
                CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, CreateWaitableTimerExW, SetWaitableTimer,
                TIMER_MODIFY_STATE, TIMER_QUERY_STATE,
            },
        },
    },
    core::{PCSTR, s, w},
};

use super::port::{Port, TIMER};

const SYNCHRONIZE: u32 = 0x0010_0000;

type Create = unsafe extern "system" fn(*mut HANDLE, u32, *const c_void) -> NTSTATUS;
type Associate = unsafe extern "system" fn(
    HANDLE,
    HANDLE,
    HANDLE,
    *const c_void,
    *const c_void,
    NTSTATUS,
    usize,
    *mut u8,
) -> NTSTATUS;
type Cancel = unsafe extern "system" fn(HANDLE, u8) -> NTSTATUS;

#[derive(Debug)]
struct Calls {
    create: Create,
    associate: Associate,
    cancel: Cancel,
}

/// The calls of ntdll, if it has all.
fn calls() -> Option<&'static Calls> {
    static CALLS: OnceLock<Option<Calls>> = OnceLock::new();
    let load = || {
        // SAFETY: a constant name. The module is part of every process, and stays.
        let ntdll = unsafe { GetModuleHandleW(w!("ntdll.dll")) };
        // SAFETY: a module that stays, and a constant name.
        let find = |name: PCSTR| unsafe { GetProcAddress(ntdll, name) };
        let (create, associate, cancel) = (
            find(s!("NtCreateWaitCompletionPacket"))?,
            find(s!("NtAssociateWaitCompletionPacket"))?,
            find(s!("NtCancelWaitCompletionPacket"))?,
        );
        // SAFETY: that is their type.
        let create = unsafe { mem::transmute::<unsafe extern "system" fn() -> isize, Create>(create) };
        // SAFETY: as above.
        let associate =
            unsafe { mem::transmute::<unsafe extern "system" fn() -> isize, Associate>(associate) };
        // SAFETY: as above.
        let cancel = unsafe { mem::transmute::<unsafe extern "system" fn() -> isize, Cancel>(cancel) };
        Some(Calls { create, associate, cancel })
    };
    CALLS.get_or_init(load).as_ref()
}

/// A timer that posts to the port.
#[derive(Debug)]
pub(super) struct Timer {
    timer: OwnedHandle,
    packet: OwnedHandle,
    calls: &'static Calls,
}

impl Timer {
    /// None where the system has none that is finer than the port's own timeout.
    pub(super) fn new() -> Option<Self> {
        let calls = calls()?;
        let access = SYNCHRONIZE | TIMER_QUERY_STATE | TIMER_MODIFY_STATE;
        // SAFETY: the null pointers mean no name, and security as usual.
        let timer = unsafe {
            CreateWaitableTimerExW(ptr::null(), ptr::null(), CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, access)
        };
        if timer.is_null() {
            return None;
        }
        // SAFETY: just created, and nobody else's.
        let timer = unsafe { OwnedHandle::from_raw_handle(timer) };
        let mut packet = ptr::null_mut();
        // SAFETY: the call writes to `packet`; the null means no name.
        if unsafe { (calls.create)(&mut packet, GENERIC_ALL, ptr::null()) } != STATUS_SUCCESS {
            return None;
        }
        // SAFETY: just created, and nobody else's.
        let packet = unsafe { OwnedHandle::from_raw_handle(packet) };
        Some(Self { timer, packet, calls })
    }

    /// Has a packet posted once `timeout` has passed, in place of what was asked before. False if it cannot.
    pub(super) fn set(&self, port: &Port, timeout: Duration) -> bool {
        self.set_now(port, timeout).is_ok()
    }

    fn set_now(&self, port: &Port, timeout: Duration) -> io::Result<()> {
        self.clear()?;
        // In units of 100 ns, rounded up so as not to be early; negative means from now on.
        let due = -i64::try_from(timeout.as_nanos().div_ceil(100)).unwrap_or(i64::MAX);
        // SAFETY: the call reads `due`; there is no routine.
        if unsafe { SetWaitableTimer(self.timer.as_raw_handle(), &due, 0, None, ptr::null(), 0) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handles are open; the key and the null come back in the packet, and are looked at by nobody else.
        let status = unsafe {
            (self.calls.associate)(
                self.packet.as_raw_handle(),
                port.raw(),
                self.timer.as_raw_handle(),
                ptr::without_provenance(TIMER),
                ptr::null(),
                STATUS_SUCCESS,
                0,
                ptr::null_mut(),
            )
        };
        if status == STATUS_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
    }

    /// Takes back what was asked, a packet that was posted already among it.
    fn clear(&self) -> io::Result<()> {
        // SAFETY: takes no pointer.
        match unsafe { (self.calls.cancel)(self.packet.as_raw_handle(), 1) } {
            // Nothing was asked, or it has expired.
            STATUS_SUCCESS | STATUS_CANCELLED => Ok(()),
            // It expires at this moment: its packet ends the next wait, or this one.
            status => Err(io::Error::from_raw_os_error(status)),
        }
    }
}
