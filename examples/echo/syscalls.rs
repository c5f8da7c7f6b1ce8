//! Counts the system calls of one thread, in the kernel: a perf event on the tracepoint that each of them passes.

#![allow(unsafe_code)]

use std::{
    fs::{self, File},
    io::{self, Read},
    mem,
};
#[cfg(target_os = "linux")]
use std::{
    os::fd::{FromRawFd, OwnedFd},
    ptr,
};

/// Where tracefs has the tracepoint's number, and where it was mounted in former times.
const ID: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id";
const ID_IN_DEBUGFS: &str = "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id";
const PERF_TYPE_TRACEPOINT: u32 = 2;
#[cfg(target_os = "linux")]
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// `perf_event_attr` as the first kernels had it, which all take.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    config1: u64,
}

const _: () = assert!(mem::size_of::<Attributes>() == 64);

/// The system calls of one thread.
pub struct Syscalls {
    event: File,
}

impl Syscalls {
    /// Counts those of the calling thread from now on, or says why it cannot.
    pub fn of_this_thread() -> Result<Self, String> {
        let id = fs::read_to_string(ID).or_else(|_| fs::read_to_string(ID_IN_DEBUGFS));
        let id = id.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "tracefs is not mounted at /sys/kernel/tracing".to_owned(),
            _ => format!("tracefs: {error}"),
        })?;
        let config = id.trim().parse().map_err(|_| "tracefs has no number for sys_enter".to_owned())?;
        let size = mem::size_of::<Attributes>() as u32;
        let attributes = Attributes { kind: PERF_TYPE_TRACEPOINT, size, config, ..Attributes::default() };
        open(&attributes).map(|event| Self { event }).map_err(|error| format!("perf_event_open: {error}"))
    }

    /// How many there were.
    pub fn count(&self) -> Result<u64, String> {
        let mut count = [0; 8];
        match (&self.event).read(&mut count) {
            Ok(8) => Ok(u64::from_ne_bytes(count)),
            Ok(_) => Err("the perf event gave up".to_owned()),
            Err(error) => Err(format!("perf event: {error}")),
        }
    }
}

/// Only Linux has perf events.
#[cfg(not(target_os = "linux"))]
fn open(_: &Attributes) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A perf event of the calling thread, on whatever CPU it runs.
#[cfg(target_os = "linux")]
fn open(attributes: &Attributes) -> io::Result<File> {
    let (this_thread, any_cpu, no_group) = (0, -1, -1);
    // SAFETY: the kernel reads as much of the attributes as `size` says.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            ptr::from_ref(attributes),
            this_thread,
            any_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into())
}
