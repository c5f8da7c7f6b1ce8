//! System calls that this process answers instead of the kernel, or before it: what only a kernel in need would say.
//!
//! A thread gets a seccomp filter that has its calls of some numbers wait for another thread's answer (seccomp_unotify(2),
//! Linux 5.5). That one may fail the call, which the kernel then never sees; let it go on; or first look at, and change, what
//! a ring is about to be given. Other threads of the process, but those that it starts, have no part in it.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    panic, ptr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::Skip;

fn cvt(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// `SYS_...`.
    pub number: libc::c_long,
    /// As they are in registers.
    pub args: [u64; 6],
}

impl Call {
    /// Of an io_uring_enter: how many entries it submits.
    pub fn submits(&self) -> u64 {
        if self.number == libc::SYS_io_uring_enter { self.args[1] } else { 0 }
    }

    /// The ring of an io_uring_enter or io_uring_register.
    pub fn ring(&self) -> RawFd {
        self.args[0] as RawFd
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel does it.
    Goes,
    /// It fails with this code, and the kernel has not seen it.
    Fails(libc::c_int),
    /// It returns this, and the kernel has not seen it.
    Says(i64),
}

/// Runs `body` on a thread of its own, with `answer` asked for each of its calls of these numbers.
///
/// # Errors
///
/// The skip, where such a filter cannot be had.
///
/// # Panics
///
/// As `body` does, and if it takes longer than `limit`: then its thread is left behind.
pub fn supervised<R: Send + 'static>(
    limit: Duration,
    numbers: &'static [libc::c_long],
    mut answer: impl FnMut(Call) -> Answer,
    body: impl FnOnce() -> R + Send + 'static,
) -> Result<R, Skip> {
    let (give, take) = mpsc::channel();
    let thread = thread::spawn(move || {
        let listener = wait_for_answers(numbers);
        let is_filtered = listener.is_ok();
        give.send(listener).expect("the other end waits for it");
        // Joined here, so that the calls which its thread makes as it exits are answered too.
        is_filtered
            .then(|| thread::spawn(body).join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
    });
    let listener = take.recv().expect("the thread says what came of it");
    let listener =
        listener.map_err(|error| Skip::because(format!("no filter that waits for an answer: {error}")))?;
    let end = Instant::now() + limit;
    while !thread.is_finished() {
        assert!(Instant::now() < end, "it HANGS: no end after {limit:?} (its thread is left behind)");
        answer_one(&listener, &mut answer);
    }
    let done = thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload));
    Ok(done.expect("it was filtered"))
}

/// Has this thread's calls of these numbers wait for an answer from the descriptor.
fn wait_for_answers(numbers: &[libc::c_long]) -> io::Result<OwnedFd> {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let listener = install(numbers, libc::SECCOMP_RET_USER_NOTIF, flags)?;
    // SAFETY: just made, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(listener as RawFd) })
}

/// Makes the system call `number` fail with `errno` in this thread, and those that it starts, from now on.
///
/// # Errors
///
/// What went wrong, for a child's words.
pub fn refuse(number: libc::c_long, errno: libc::c_int) -> Result<(), String> {
    install(&[number], libc::SECCOMP_RET_ERRNO | errno as u32, 0)
        .map(drop)
        .map_err(|error| format!("seccomp: {error}"))
}

fn install(numbers: &[libc::c_long], verdict: u32, flags: libc::c_ulong) -> io::Result<libc::c_long> {
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)]; // the call's number
    for &number in numbers {
        filter.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32));
        filter.push(op(libc::BPF_RET | libc::BPF_K, 0, 0, verdict));
    }
    filter.push(op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program =
        libc::sock_fprog { len: filter.len() as libc::c_ushort, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    // SAFETY: the program outlives the call, which copies it.
    cvt(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
}

/// Waits a little for a call, and answers it.
fn answer_one(listener: &OwnedFd, answer: &mut impl FnMut(Call) -> Answer) {
    let mut poll = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: fills one entry. A signal ends it early.
    unsafe { libc::poll(&mut poll, 1, 1) };
    if poll.revents & libc::POLLIN == 0 {
        if poll.revents != 0 {
            thread::sleep(Duration::from_millis(1)); // the thread has exited, or is about to
        }
        return;
    }
    // SAFETY: all zeroes are a valid one, as which the kernel wants it.
    let mut told: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: fills it.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV as _, &mut told) };
    if result == -1 {
        return; // a signal has ended the call meanwhile
    }
    let answer = answer(Call { number: told.data.nr.into(), args: told.data.args });
    let (val, error, flags) = match answer {
        Answer::Goes => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Fails(code) => (0, -code, 0),
        Answer::Says(result) => (result, 0, 0),
    };
    let response = libc::seccomp_notif_resp { id: told.id, val, error, flags };
    // SAFETY: reads it. It fails only if a signal has ended the call meanwhile.
    unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND as _, &response) };
}

/// Submits what is queued in a ring, on behalf of who asks for that in a call.
///
/// # Errors
///
/// The system's.
pub fn submit(call: &Call) -> io::Result<()> {
    let none = ptr::null::<u8>();
    // SAFETY: without an argument. What the entries refer to is the affair of who queued them.
    cvt(unsafe { libc::syscall(libc::SYS_io_uring_enter, call.ring(), call.submits(), 0, 0, none, 0) })
        .map(drop)
}

/// An entry of a submission queue (io_uring_enter(2)), as far as anybody here looks at it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Entry {
    /// `IORING_OP_...`.
    pub opcode: u8,
    /// `IOSQE_...`.
    pub flags: u8,
    /// Flags of the operation, where it has no priority.
    pub ioprio: u16,
}

/// Calls `f` with each entry of a ring's submission queue of so many, also those that were taken long ago. Its owner must be
/// waiting for an answer.
///
/// # Errors
///
/// The system's.
pub fn each_entry(ring: RawFd, entries: usize, f: impl FnMut(&mut Entry)) -> io::Result<()> {
    const IORING_OFF_SQES: libc::off_t = 0x1000_0000;
    let len = entries * size_of::<Entry>();
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a mapping wherever there is room.
    let at = unsafe { libc::mmap(ptr::null_mut(), len, access, libc::MAP_SHARED, ring, IORING_OFF_SQES) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: so many entries are mapped there, and who would use them waits for an answer.
    unsafe { std::slice::from_raw_parts_mut(at.cast::<Entry>(), entries) }.iter_mut().for_each(f);
    // SAFETY: mapped above, and used no more.
    cvt(unsafe { libc::munmap(at, len) }.into()).map(drop)
}
