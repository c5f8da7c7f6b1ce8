//! Who a process is.

/// Who a process is: the one at the other end of a Unix socket, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pid: Option<i32>,
    uid: u32,
    gid: u32,
}

impl UCred {
    /// A `pid` of 0 is none: the kernel did not keep it, or it has no number here (it is of another namespace).
    pub(crate) fn new(pid: i32, uid: u32, gid: u32) -> Self {
        Self { pid: (pid != 0).then_some(pid), uid, gid }
    }

    /// Of this process.
    #[allow(unsafe_code)]
    pub fn own() -> Self {
        // SAFETY: they take nothing, cannot fail and touch no memory.
        let (pid, uid, gid) = unsafe { (libc::getpid(), libc::geteuid(), libc::getegid()) };
        Self::new(pid, uid, gid)
    }

    /// Its number, where the system keeps that. It may have ended since, and another may have its number.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Its effective user.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its effective group.
    pub fn gid(&self) -> u32 {
        self.gid
    }
}
