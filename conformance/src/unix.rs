//! What cases need of Unix: descriptors, pipes, limits, children, signals.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, OsString},
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddrV6, TcpStream},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStringExt,
    },
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    ptr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

pub use pike::os::unix::IoSafe;
use pike::{Handle, Notifier, socket::UnixAddress};

fn cvt(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// How many descriptors the process has open. For cases that run alone.
pub fn descriptors() -> usize {
    match std::fs::read_dir("/proc/self/fd") {
        Ok(entries) => entries.count() - 1, // the folder's own
        // Without Linux's /proc: ask each number.
        Err(_) => (0..65_536).filter(|&fd| is_open(fd)).count(),
    }
}

/// Has a Notifier open what it opens when it first needs it: a timer, on a kernel without `epoll_pwait2`.
pub fn warm_up(notifier: &Notifier) {
    if notifier.backend() == pike::Backend::Epoll {
        notifier.poll(Some(Duration::from_millis(2))).expect("a turn");
    }
}

/// Whether a number is a descriptor.
pub fn is_open(fd: RawFd) -> bool {
    flags(fd, libc::F_GETFD).is_ok()
}

/// Whether reads and writes through a descriptor do not block.
pub fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    flags(fd.as_raw_fd(), libc::F_GETFL).expect("an open descriptor") & libc::O_NONBLOCK != 0
}

/// Whether a descriptor is closed when the process becomes another program.
pub fn is_close_on_exec(fd: &impl AsRawFd) -> bool {
    flags(fd.as_raw_fd(), libc::F_GETFD).expect("an open descriptor") & libc::FD_CLOEXEC != 0
}

fn flags(fd: RawFd, which: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::fcntl(fd, which) })
}

/// An abstract name as tokio takes it where a path is asked for: behind a NUL.
pub fn name_as_path(address: &UnixAddress) -> PathBuf {
    let name = address.as_abstract_name().expect("an abstract name");
    OsString::from_vec([b"\0", name].concat()).into()
}

/// A pipe: the end to read from and the end to write to, both blocking.
pub fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors.
    cvt(unsafe { libc::pipe(fds.as_mut_ptr()) }).expect("a pipe");
    // SAFETY: open, and nobody else's.
    fds.map(|fd| unsafe { File::from_raw_fd(fd) }).into()
}

/// Owns a number that a system call has returned.
pub fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: open, and nobody else's, by the caller's account.
    cvt(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Tries to register a socket's descriptor once more, by a second wrapper of the same number. The error, if there is one;
/// else the second registration is undone.
pub fn register_again(notifier: &Notifier, socket: &impl AsRawFd) -> Option<io::Error> {
    // SAFETY: open as long as `socket` is borrowed; given up below in every case, so that it is closed once.
    let second = unsafe { OwnedFd::from_raw_fd(socket.as_raw_fd()) };
    let (error, second) = match Handle::try_new_on(notifier, second) {
        Ok(handle) => (None, handle.into_inner()),
        Err((error, second)) => (Some(error), second),
    };
    std::mem::forget(second);
    error
}

/// Sets a variable of the environment. For children only: there is no other thread that might read it.
pub fn set_env(name: &str, value: &str) {
    // SAFETY: the child has one thread.
    unsafe { std::env::set_var(name, value) };
}

/// Lowers the limit of descriptors, so that `free` more can be opened, until dropped. For cases that run alone.
#[derive(Debug)]
pub struct FewDescriptors {
    before: libc::rlimit,
}

impl FewDescriptors {
    /// The numbers that are free below the highest open one are used up first: the limit goes by number.
    pub fn leave(free: usize) -> (Self, Vec<File>) {
        let before = limit();
        let mut fill = Vec::new();
        // Open what has the lowest free number, until that is above all others.
        let top = (0..before.rlim_cur.min(65_536) as RawFd).rev().find(|&fd| is_open(fd)).unwrap_or(2);
        loop {
            let file = File::open("/dev/null").expect("a descriptor");
            let fd = file.as_raw_fd();
            if fd > top {
                drop(file);
                break;
            }
            fill.push(file);
        }
        let lowered = libc::rlimit { rlim_cur: (top + 1) as libc::rlim_t + free as libc::rlim_t, ..before };
        set_limit(&lowered).expect("a lower limit");
        (Self { before }, fill)
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        set_limit(&self.before).expect("the former limit");
    }
}

/// Raises the limit of descriptors as far as it goes; gives what it is now.
pub fn raise_descriptor_limit() -> usize {
    let limit = limit();
    // Some systems refuse what they give as the highest; then it stays as it is.
    let _ = set_limit(&libc::rlimit { rlim_cur: limit.rlim_max, ..limit });
    usize::try_from(self::limit().rlim_cur).unwrap_or(usize::MAX)
}

fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: fills the struct it is given.
    cvt(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }).expect("the limit");
    limit
}

fn set_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: reads the struct it is given.
    cvt(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) }).map(drop)
}

/// A child of this process that runs `f` and ends: its words, or what went wrong. For cases that run alone.
///
/// The child has this thread only. What `f` returns as an error, or panics with, fails the case here; so does a child
/// that does not end in time, which is killed.
#[track_caller]
pub fn in_child(limit: Duration, f: impl FnOnce() -> Result<(), String>) {
    expect_end(start_child(f), limit);
}

/// Waits for a child that should end well, as [`in_child`] does.
#[track_caller]
pub(crate) fn expect_end(child: Started, limit: Duration) {
    let status = reap(child.pid, limit);
    let words = child.words();
    match status {
        None => panic!("the child hangs, and was killed after {limit:?}: {words}"),
        Some(0) => {}
        Some(status) => panic!("the child failed with status {status:#x}: {words}"),
    }
}

/// A child that runs, or has ended and was not waited for.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: libc::pid_t,
    from_child: File,
}

impl Started {
    /// What it says went wrong; waits for its end.
    pub(crate) fn words(mut self) -> String {
        let mut words = String::new();
        self.from_child.read_to_string(&mut words).expect("the child's words");
        words
    }

    /// Ends it.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn kill(&self) {
        // SAFETY: our child, which was not waited for yet.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
    }
}

/// Starts a child as [`in_child`] does. The caller waits for it.
pub(crate) fn start_child(f: impl FnOnce() -> Result<(), String>) -> Started {
    let (from_child, to_parent) = pipe();
    // SAFETY: the child runs on with the memory of this thread, uses no lock that another thread of the parent may
    // hold but the C library's own, which it resets itself, and ends with `_exit`.
    let pid = cvt(unsafe { libc::fork() }).expect("a child");
    if pid == 0 {
        drop(from_child);
        child(to_parent, f);
    }
    Started { pid, from_child }
}

fn child(mut to_parent: File, f: impl FnOnce() -> Result<(), String>) -> ! {
    let words = match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => None,
        Ok(Err(words)) => Some(words),
        Err(payload) => Some(match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
            (Some(words), _) => (*words).to_owned(),
            (_, Some(words)) => words.clone(),
            _ => "a panic".to_owned(),
        }),
    };
    if let Some(words) = &words {
        let _ = to_parent.write_all(words.as_bytes());
    }
    // SAFETY: ends the process at once, without running what belongs to the parent.
    unsafe { libc::_exit(i32::from(words.is_some())) }
}

/// The status of a child, which is killed if it has none in time.
fn reap(pid: libc::pid_t, limit: Duration) -> Option<libc::c_int> {
    let end = Instant::now() + limit;
    let mut status = 0;
    loop {
        // SAFETY: fills the status.
        if cvt(unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) }).expect("our child") == pid {
            return Some(status);
        }
        if Instant::now() >= end {
            // SAFETY: our child, which was not waited for yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            // SAFETY: fills the status.
            unsafe { libc::waitpid(pid, &mut status, 0) };
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Handles a signal until dropped, without restarting the calls it interrupts. For cases that run alone.
pub struct Handler {
    signal: libc::c_int,
    before: libc::sigaction,
}

impl Handler {
    /// `handler` may do only what is safe in a signal handler.
    pub fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) -> Self {
        // SAFETY: all zeroes are a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        // SAFETY: as above.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: reads one and fills the other; the handler is a function of this shape.
        cvt(unsafe { libc::sigaction(signal, &action, &mut before) }).expect("a handler");
        Self { signal, before }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // SAFETY: gives back what the system gave.
        unsafe { libc::sigaction(self.signal, &self.before, ptr::null_mut()) };
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handler").field("signal", &self.signal).finish_non_exhaustive()
    }
}

/// A thread of this process, to send signals to.
#[derive(Clone, Copy, Debug)]
pub struct Target(libc::pthread_t);

// SAFETY: a number (or a pointer that only the C library follows), good from any thread while the target lives.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    /// The calling thread.
    pub fn me() -> Self {
        // SAFETY: takes nothing.
        Self(unsafe { libc::pthread_self() })
    }

    /// Sends it a signal. The thread must be alive.
    pub fn signal(self, signal: libc::c_int) {
        // SAFETY: the thread is alive, by the caller's account.
        let code = unsafe { libc::pthread_kill(self.0, signal) };
        assert_eq!(code, 0, "pthread_kill");
    }
}

/// A folder of a case's own, gone with all that is in it when dropped. Its path is short, so that the addresses of Unix
/// sockets have room for names in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "makes a folder")]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("pike-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a folder");
        Self(path)
    }

    /// Where a file of this name is in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Sends bytes over a Unix socket, and a descriptor with them.
pub fn send_descriptor(over: &impl AsRawFd, bytes: &[u8], descriptor: &impl AsRawFd) {
    let fd = descriptor.as_raw_fd();
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut control = [0_u64; 8]; // aligned as a header wants it
    // SAFETY: all zeros is an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&raw mut vector, 1);
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: computes a length.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as libc::c_uint) } as _;
    // SAFETY: the control buffer has room for one header and one number.
    unsafe {
        let header = &mut *libc::CMSG_FIRSTHDR(&message);
        (header.cmsg_level, header.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
        header.cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as libc::c_uint) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
    }
    // SAFETY: reads the message, the bytes and the control buffer.
    let sent = unsafe { libc::sendmsg(over.as_raw_fd(), &message, 0) };
    assert_eq!(usize::try_from(sent), Ok(bytes.len()), "{}", io::Error::last_os_error());
}

/// Makes a named pipe.
pub fn make_fifo(path: &CStr) -> io::Result<()> {
    // SAFETY: reads a string that ends with zero.
    cvt(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }).map(drop)
}

/// A pseudo terminal: its master and its slave, as they come: the slave echoes and reads whole lines.
pub fn open_pty() -> io::Result<(File, File)> {
    // SAFETY: takes no pointer.
    let master = File::from(owned(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) })?);
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::grantpt(master.as_raw_fd()) })?;
    // SAFETY: takes no pointer.
    cvt(unsafe { libc::unlockpt(master.as_raw_fd()) })?;
    // SAFETY: the name is in a buffer of the C library, copied before another case could overwrite it: there is one
    // case with terminals, and it is the only user of this function.
    let name =
        unsafe { libc::ptsname(master.as_raw_fd()).as_ref().map(|name| CStr::from_ptr(name).to_owned()) };
    let name = name.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: reads a string that ends with zero.
    let slave = owned(unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY) })?;
    Ok((master, File::from(slave)))
}

/// A counter of the kernel with a descriptor, non-blocking.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn eventfd() -> OwnedFd {
    // SAFETY: takes no pointer.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).expect("an eventfd")
}

/// An epoll set of a case's own.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug)]
pub struct Epoll(OwnedFd);

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Epoll {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "makes a descriptor")]
    pub fn new() -> Self {
        // SAFETY: takes no pointer.
        Self(owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).expect("an epoll set"))
    }

    /// Adds a descriptor, to be reported as long as something can be read.
    pub fn add(&self, fd: &impl AsRawFd) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: reads the event it is given.
        cvt(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) })
            .expect("an addition");
    }

    /// How many descriptors in the set `raw` are ready; does not wait.
    pub fn ready(raw: RawFd) -> usize {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        // SAFETY: room for eight events.
        cvt(unsafe { libc::epoll_wait(raw, events.as_mut_ptr(), 8, 0) }).expect("a look at the set") as usize
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl From<Epoll> for OwnedFd {
    fn from(epoll: Epoll) -> Self {
        epoll.0
    }
}

/// A kqueue of a case's own.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[derive(Debug)]
pub struct Queue(OwnedFd);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Queue {
    /// Empty.
    #[expect(clippy::new_without_default, reason = "makes a descriptor")]
    pub fn new() -> Self {
        // SAFETY: takes no pointer.
        Self(owned(unsafe { libc::kqueue() }).expect("a queue"))
    }

    /// Adds a descriptor, to be reported as long as something can be read.
    pub fn add(&self, fd: &impl AsRawFd) {
        // SAFETY: numbers and a pointer, for which all zeroes are valid.
        let mut change: libc::kevent = unsafe { std::mem::zeroed() };
        change.ident = fd.as_raw_fd() as _;
        change.filter = libc::EVFILT_READ;
        change.flags = libc::EV_ADD;
        // SAFETY: reads one change, and has no room for events.
        cvt(unsafe { libc::kevent(self.0.as_raw_fd(), &change, 1, ptr::null_mut(), 0, ptr::null()) })
            .expect("an addition");
    }

    /// How many descriptors in the queue `raw` are ready; does not wait.
    pub fn ready(raw: RawFd) -> usize {
        // SAFETY: numbers and pointers, for which all zeroes are valid.
        let mut events: [libc::kevent; 8] = unsafe { std::mem::zeroed() };
        let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: room for eight events.
        cvt(unsafe { libc::kevent(raw, ptr::null(), 0, events.as_mut_ptr(), 8, &now) })
            .expect("a look at the queue") as usize
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl From<Queue> for OwnedFd {
    fn from(queue: Queue) -> Self {
        queue.0
    }
}

/// How many bytes can be read from a socket; the system may stop counting at an urgent one.
pub fn bytes_queued(socket: &impl AsRawFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: fills the number it is given.
    cvt(unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) }).expect("FIONREAD");
    count as usize
}

/// The index of the loopback interface.
pub fn loopback_index() -> u32 {
    let name = if cfg!(any(target_os = "linux", target_os = "android")) { c"lo" } else { c"lo0" };
    // SAFETY: a C string, which is only read.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "{}", io::Error::last_os_error());
    index
}

/// The process, and its effective user and group.
pub fn own_ids() -> (i32, u32, u32) {
    // SAFETY: they take nothing and cannot fail.
    unsafe { (libc::getpid(), libc::geteuid(), libc::getegid()) }
}

/// A number that names a descriptor, and what has one.
pub use std::os::fd::{AsFd as AsDescriptor, AsRawFd as AsRaw, RawFd as Raw};

/// The number of a descriptor.
pub fn raw(of: &impl AsRawFd) -> Raw {
    of.as_raw_fd()
}

/// Whether a socket can be registered with one Notifier after the other, and with two at once.
pub const SOCKETS_MOVE: bool = true;

/// Whether an error says that nothing can be written any more.
pub fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Error codes, by the names that they have everywhere.
pub mod code {
    pub use libc::{
        ECANCELED, ECONNREFUSED, ECONNRESET, EDESTADDRREQ, EISCONN, EMSGSIZE, ENOBUFS, ENOPROTOOPT, ENOTCONN,
        ETIMEDOUT,
    };

    /// Of an address of another family than the socket's.
    pub const WRONG_FAMILY: &[i32] = &[libc::EAFNOSUPPORT, libc::EINVAL];
    /// Of a second registration.
    pub const REGISTERED: Option<i32> = Some(libc::EEXIST);
}

/// Asserts that a descriptor is as pike makes them: non-blocking, and not for the programs that this one starts.
#[track_caller]
pub fn assert_ours(fd: &impl AsRawFd) {
    assert!(is_nonblocking(fd), "blocking");
    assert!(is_close_on_exec(fd), "inherited by other programs");
}

/// Asserts that reads and writes through a descriptor block.
#[track_caller]
pub fn assert_blocks(fd: &impl AsRawFd) {
    assert!(!is_nonblocking(fd), "non-blocking");
}

/// The same socket once more, in the standard library's hands: what happens there happens behind pike's back.
pub fn double(socket: &impl AsDescriptor) -> TcpStream {
    socket.as_fd().try_clone_to_owned().expect("a duplicate").into()
}

/// How many hops the packets of an IPv6 socket may go.
pub fn hops_v6(socket: &impl AsRawFd) -> u32 {
    let (mut value, mut len): (libc::c_int, _) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    let (level, name) = (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS);
    // SAFETY: writes at most `len` bytes, the size of `value`.
    cvt(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &mut len) })
        .expect("an option");
    value as u32
}

/// A link-local address of this machine, with its scope, if it has one.
pub fn link_local() -> Option<SocketAddrV6> {
    let mut first: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: fills the pointer.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return None;
    }
    let (mut found, mut at) = (None, first);
    // SAFETY: the list's entries and addresses live until it is freed below.
    while let Some(entry) = unsafe { at.as_ref() } {
        at = entry.ifa_next;
        // SAFETY: as above.
        let is_v6 =
            unsafe { entry.ifa_addr.as_ref() }.is_some_and(|a| i32::from(a.sa_family) == libc::AF_INET6);
        if is_v6 && entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0 {
            // SAFETY: an address of that family is one of this type.
            let address = unsafe { &*entry.ifa_addr.cast::<libc::sockaddr_in6>() };
            let mut octets = address.sin6_addr.s6_addr;
            if octets[0] == 0xfe && octets[1] & 0xc0 == 0x80 && address.sin6_scope_id != 0 {
                // BSDs keep the scope in here as well.
                (octets[2], octets[3]) = (0, 0);
                found = Some(SocketAddrV6::new(octets.into(), 0, 0, address.sin6_scope_id));
            }
        }
    }
    // SAFETY: what getifaddrs gave, once.
    unsafe { libc::freeifaddrs(first) };
    // One that is still being checked for doubles, or is no more, cannot be bound.
    found.filter(|&address| std::net::UdpSocket::bind(address).is_ok())
}
