//! Counts the system calls that a piece of code makes: in a child of a fork that this process traces.
//!
//! The child says where the piece begins and ends, with a call that nobody else makes; the parent is told of each call by
//! ptrace(2). It needs `PTRACE_GET_SYSCALL_INFO` (Linux 5.3). Where tracing is forbidden (Yama's ptrace_scope, a container's
//! filter) the result is a skip with the error.
#![allow(unsafe_code)]

use std::{collections::BTreeMap, fmt, io, ptr};

use crate::{
    Skip,
    unix::{Started, start_child},
};

/// System calls by number.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<libc::c_long, usize>);

impl Calls {
    /// These numbers, each so many times; without those of zero times.
    pub fn of(calls: &[(libc::c_long, usize)]) -> Self {
        Self(calls.iter().copied().filter(|(_, count)| *count > 0).collect())
    }

    /// How many of these numbers.
    pub fn of_kind(&self, numbers: &[libc::c_long]) -> usize {
        numbers.iter().filter_map(|number| self.0.get(number)).sum()
    }

    /// How many in all.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Counts calls that differ by name only as one: each way of waiting for epoll as `SYS_epoll_pwait2`.
    pub fn with_one_wait(mut self) -> Self {
        #[cfg(target_arch = "x86_64")]
        let others = [libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
        #[cfg(not(target_arch = "x86_64"))]
        let others = [libc::SYS_epoll_pwait];
        for other in others {
            if let Some(count) = self.0.remove(&other) {
                *self.0.entry(libc::SYS_epoll_pwait2).or_default() += count;
            }
        }
        self
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (libc::SYS_epoll_pwait2, "epoll_wait*"),
            (libc::SYS_epoll_ctl, "epoll_ctl"),
            (libc::SYS_recvfrom, "recvfrom"),
            (libc::SYS_sendto, "sendto"),
            (libc::SYS_read, "read"),
            (libc::SYS_write, "write"),
            (libc::SYS_futex, "futex"),
        ];
        let name = |nr: &libc::c_long| names.iter().find(|(known, _)| known == nr).map(|(_, name)| *name);
        let mut map = f.debug_map();
        for (nr, count) in &self.0 {
            match name(nr) {
                Some(name) => map.entry(&format_args!("{name}"), count),
                None => map.entry(&format_args!("call {nr}"), count),
            };
        }
        map.finish()
    }
}

/// A call that pike never makes.
const MARK: libc::c_long = libc::SYS_getppid;

/// In the child: a counted piece begins here, or ends here.
pub fn mark() {
    // SAFETY: takes no pointer and has no effect.
    unsafe { libc::syscall(MARK) };
}

/// Runs `f` in a child and gives the calls of each piece between two [`mark`]s. For cases that run alone.
///
/// # Errors
///
/// A skip where tracing is forbidden.
///
/// # Panics
///
/// If the child fails.
#[track_caller]
pub fn count(f: impl FnOnce()) -> Result<Vec<Calls>, Skip> {
    let child = start_child(|| {
        // SAFETY: takes no pointer.
        if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, ptr::null_mut::<u8>(), ptr::null_mut::<u8>()) }
            == -1
        {
            return Err(format!("{REFUSED}{}", io::Error::last_os_error()));
        }
        // SAFETY: takes no pointer. A child that hangs is ended by the signal, which nobody handles.
        unsafe { libc::alarm(LIMIT_SECONDS) };
        // SAFETY: stops this process until the parent goes on.
        unsafe { libc::raise(libc::SIGSTOP) };
        f();
        Ok(())
    });
    let traced = trace(&child);
    let words = child.words();
    if let Some(error) = words.strip_prefix(REFUSED) {
        return Err(Skip::because(format!("ptrace(PTRACE_TRACEME) is refused: {error}")));
    }
    let (status, pieces) = traced.map_err(|error| Skip::because(format!("ptrace is refused: {error}")))?;
    assert!(status == 0, "the traced child ended with status {status:#x}: {words}");
    Ok(pieces)
}

/// What a traced child may take.
const LIMIT_SECONDS: libc::c_uint = 60;
const REFUSED: &str = "ptrace refused: ";

/// The status of the child's end, and what it counted.
fn trace(child: &Started) -> io::Result<(libc::c_int, Vec<Calls>)> {
    let request = |request, data: libc::c_long| {
        // SAFETY: none of these requests takes memory of ours.
        match unsafe { libc::ptrace(request, child.pid, ptr::null_mut::<u8>(), data) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    let mut status = wait(child.pid)?;
    if libc::WIFSTOPPED(status) {
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        if let Err(error) = request(libc::PTRACE_SETOPTIONS, options.into()) {
            child.kill();
            return Err(error);
        }
    }
    let (mut pieces, mut piece): (Vec<Calls>, Option<Calls>) = (Vec::new(), None);
    let mut signal = 0;
    while libc::WIFSTOPPED(status) {
        request(libc::PTRACE_SYSCALL, signal)?;
        status = wait(child.pid)?;
        signal = 0;
        if !libc::WIFSTOPPED(status) {
            break;
        }
        match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => match (entered(child.pid)?, &mut piece) {
                (Some(MARK), None) => piece = Some(Calls::default()),
                (Some(MARK), some) => pieces.extend(some.take()),
                (Some(nr), Some(calls)) => *calls.0.entry(nr).or_default() += 1,
                _ => {}
            },
            stop => signal = stop.into(),
        }
    }
    Ok((status, pieces))
}

fn wait(pid: libc::pid_t) -> io::Result<libc::c_int> {
    let mut status = 0;
    // SAFETY: fills the status.
    match unsafe { libc::waitpid(pid, &mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(status),
    }
}

/// The number of the call that the child is about to make. None if it comes out of one.
fn entered(pid: libc::pid_t) -> io::Result<Option<libc::c_long>> {
    /// `struct ptrace_syscall_info`, as far as it is looked at.
    #[repr(C)]
    struct Info {
        op: u8,
        _pad: [u8; 3],
        _arch: u32,
        _instruction: u64,
        _stack: u64,
        nr: u64,
        _args: [u64; 6],
    }
    const GET_SYSCALL_INFO: libc::c_uint = 0x420e;
    const ENTRY: u8 = 1;
    let mut info = Info { op: 0, _pad: [0; 3], _arch: 0, _instruction: 0, _stack: 0, nr: 0, _args: [0; 6] };
    // SAFETY: fills at most as many bytes as it is told.
    let got = unsafe { libc::ptrace(GET_SYSCALL_INFO as _, pid, size_of::<Info>(), &raw mut info) };
    match got {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((info.op == ENTRY).then_some(info.nr as libc::c_long)),
    }
}
