//! What a file is, and what it says about itself: the judgement of a knote's filter.

use std::{
    io::Write,
    mem::{self, MaybeUninit},
};

use libc::c_int;

use super::{Code, EV_EOF, EVFILT_READ, checked};

/// An open file, so that a number that was closed and given out again is told from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    device: libc::dev_t,
    inode: libc::ino_t,
    /// Both ends of a pipe are one inode.
    access: c_int,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Socket,
    Pipe,
    /// A regular file or directory: ready always.
    Vnode,
    /// Another queue, or set of epoll.
    Queue,
    Other,
}

impl File {
    pub(super) fn of(fd: c_int) -> Result<Self, Code> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fills the struct it is given.
        checked(unsafe { libc::fstat(fd, stat.as_mut_ptr()) })?;
        // SAFETY: filled above.
        let stat = unsafe { stat.assume_init() };
        // SAFETY: takes no pointer.
        let access = checked(unsafe { libc::fcntl(fd, libc::F_GETFL) })? & libc::O_ACCMODE;
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFSOCK if option(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL) == Some(libc::IPPROTO_TCP) => {
                Kind::Tcp
            }
            libc::S_IFSOCK => Kind::Socket,
            libc::S_IFIFO => Kind::Pipe,
            libc::S_IFREG if is_set(fd) => Kind::Queue,
            0 if is_set(fd) => Kind::Queue,
            libc::S_IFREG | libc::S_IFDIR => Kind::Vnode,
            _ => Kind::Other,
        };
        Ok(Self { device: stat.st_dev, inode: stat.st_ino, access, kind })
    }
}

/// Whether a file without a place in a file system is a set of epoll.
fn is_set(fd: c_int) -> bool {
    let mut target = [0_u8; 32];
    // Without an allocation, which tests count.
    let mut name = [0_u8; 32];
    let _ = write!(&mut name[..31], "/proc/self/fd/{fd}");
    // SAFETY: reads a string that ends with zero, and writes at most that many bytes.
    let len = unsafe { libc::readlink(name.as_ptr().cast(), target.as_mut_ptr().cast(), target.len()) };
    usize::try_from(len).is_ok_and(|len| &target[..len] == b"anon_inode:[eventpoll]")
}

/// What a filter found: flags, the error, data.
pub(super) struct Found {
    pub(super) flags: u16,
    pub(super) fflags: u32,
    pub(super) data: i64,
    /// Bytes that were ever written to a TCP socket which can be written now.
    pub(super) written: Option<u64>,
}

/// What a filter makes of what epoll said; None if FreeBSD would say nothing.
pub(super) fn judge(fd: c_int, kind: Kind, filter: i16, said: u32) -> Option<Found> {
    let has = |bits: c_int| said & bits as u32 != 0;
    let is_socket = matches!(kind, Kind::Tcp | Kind::Socket);
    let (hung, error) = (has(libc::EPOLLHUP), has(libc::EPOLLERR));
    // Only those who read asked for it.
    let closed = has(libc::EPOLLRDHUP) || hung && poll(fd, libc::POLLRDHUP) & libc::POLLRDHUP != 0;
    if is_socket && hung && !closed && !error {
        return None; // neither connected nor listening: Linux calls that a hang-up
    }
    let info = if kind == Kind::Tcp { TcpInfo::of(fd) } else { None };
    let (ready, eof, data, written);
    if filter == EVFILT_READ {
        eof = if is_socket { closed } else { hung };
        (ready, data) = match &info {
            Some(info) if info.state == LISTEN => (info.unacked > 0, info.unacked.into()),
            _ => (has(libc::EPOLLIN) || error, readable_bytes(fd)),
        };
        written = None;
    } else {
        let ended = info.as_ref().is_some_and(|info| HAS_SENT_FIN.contains(&info.state));
        eof = ended || if is_socket { hung } else { error };
        (ready, data) = (has(libc::EPOLLOUT) || error, 1);
        // Written first, then looked whether it can still be written: what fills it from here on is not counted.
        written = info.map(|info| info.written()).filter(|_| is_writable(fd));
    }
    if !ready && !eof {
        return None;
    }
    let fflags = match kind {
        Kind::Tcp if eof && error => match TcpInfo::of(fd) {
            // Nothing was agreed on: there never was a connection.
            Some(info) if info.options == 0 => libc::ECONNREFUSED as u32,
            _ => libc::ECONNRESET as u32,
        },
        _ => 0,
    };
    Some(Found { flags: if eof { EV_EOF } else { 0 }, fflags, data, written })
}

/// Whether the other end of a pipe that is written is gone.
pub(super) fn is_broken(fd: c_int) -> bool {
    poll(fd, libc::POLLOUT) & libc::POLLERR != 0
}

fn is_writable(fd: c_int) -> bool {
    poll(fd, libc::POLLOUT) & libc::POLLOUT != 0
}

fn poll(fd: c_int, events: i16) -> i16 {
    let mut asked = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one entry.
    unsafe { libc::poll(&mut asked, 1, 0) };
    asked.revents
}

fn readable_bytes(fd: c_int) -> i64 {
    let mut count: c_int = 0;
    // SAFETY: fills the number it is given.
    match unsafe { libc::ioctl(fd, libc::FIONREAD, &raw mut count) } {
        0 => count.into(),
        _ => 1,
    }
}

fn option(fd: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let (mut value, mut len): (c_int, _) = (0, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: fills the number it is given, of that length.
    let result = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut len) };
    (result == 0).then_some(value)
}

const LISTEN: u8 = 10;
/// FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING.
const HAS_SENT_FIN: [u8; 5] = [4, 5, 6, 9, 11];

/// `struct tcp_info` of Linux 4.19, as far as it is looked at.
#[repr(C)]
struct TcpInfo {
    state: u8,
    _1: [u8; 4],
    options: u8,
    _2: [u8; 2],
    _3: [u32; 4],
    unacked: u32,
    _4: [u32; 19],
    _5: [u64; 4],
    _6: [u32; 2],
    notsent_bytes: u32,
    _7: [u32; 3],
    _8: [u64; 4],
    _9: [u32; 2],
    bytes_sent: u64,
    bytes_retrans: u64,
}

const _: () = {
    assert!(mem::offset_of!(TcpInfo, unacked) == 24);
    assert!(mem::offset_of!(TcpInfo, notsent_bytes) == 144);
    assert!(mem::offset_of!(TcpInfo, bytes_sent) == 200);
};

impl TcpInfo {
    fn of(fd: c_int) -> Option<Self> {
        let mut info = MaybeUninit::<Self>::zeroed();
        let mut len = size_of::<Self>() as libc::socklen_t;
        // SAFETY: writes at most `len` bytes into it.
        let result = unsafe {
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &mut len)
        };
        // SAFETY: zeroed, then written in part; numbers have no invalid bits.
        (result == 0).then(|| unsafe { info.assume_init() })
    }

    fn written(&self) -> u64 {
        self.bytes_sent - self.bytes_retrans + u64::from(self.notsent_bytes)
    }
}
