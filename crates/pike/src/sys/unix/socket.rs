//! Making sockets and asking about them. What socket2 has is taken from there.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockAddr, SockRef};

use super::{
    Owned, Raw,
    address::{from_raw_address, raw_address},
    cvt,
};
use crate::socket::{Address, Domain, Flavour, Protocol, Type};

/// Whether a listener sets `SO_REUSEADDR`, so that a server can start again while connections of an earlier one end.
pub(crate) const REUSE_TO_LISTEN: bool = true;

/// Whether a socket's own shutdown is reported to those who wait on it.
pub(crate) const REPORTS_SHUTDOWN: bool = true;

/// Whether closing a lingering socket blocks is the kernel's affair; that it lingers is asked here.
pub(crate) fn lingers(fd: &impl AsFd) -> bool {
    SockRef::from(fd).linger().is_ok_and(|linger| linger.is_some_and(|time| !time.is_zero()))
}

/// From now on closing it does not wait, and what was not yet sent is sent in the background.
pub(crate) fn stop_lingering(fd: &impl AsFd) -> io::Result<()> {
    SockRef::from(fd).set_linger(None)
}

/// A non-blocking, close-on-exec socket.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Owned> {
    let protocol = protocol.map(|protocol| socket2::Protocol::from(number_of_protocol(protocol)));
    let domain = socket2::Domain::from(number_of_domain(domain));
    finished(socket2::Socket::new(domain, nonblocking(kind), protocol)?)
}

/// Two non-blocking, close-on-exec sockets that are connected with each other.
pub(crate) fn pair(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<(Owned, Owned)> {
    let protocol = protocol.map(|protocol| socket2::Protocol::from(number_of_protocol(protocol)));
    let domain = socket2::Domain::from(number_of_domain(domain));
    let (one, other) = socket2::Socket::pair(domain, nonblocking(kind), protocol)?;
    Ok((finished(one)?, finished(other)?))
}

/// A type with the flag that makes its sockets non-blocking, where the system has one.
fn nonblocking(kind: Type) -> socket2::Type {
    let kind = socket2::Type::from(number_of_type(kind));
    #[cfg(not(target_os = "macos"))]
    let kind = kind.nonblocking();
    kind
}

/// A new socket with what its type could not ask for. Close-on-exec and no SIGPIPE are socket2's doing everywhere.
fn finished(socket: socket2::Socket) -> io::Result<Owned> {
    #[cfg(target_os = "macos")]
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn number_of_domain(domain: Domain) -> i32 {
    match domain {
        Domain::V4 => libc::AF_INET,
        Domain::V6 => libc::AF_INET6,
        Domain::Unix => libc::AF_UNIX,
        Domain::Other(number) => number,
    }
}

fn number_of_type(kind: Type) -> i32 {
    match kind {
        Type::Stream => libc::SOCK_STREAM,
        Type::Datagram => libc::SOCK_DGRAM,
        Type::SeqPacket => libc::SOCK_SEQPACKET,
        Type::Other(number) => number,
    }
}

fn number_of_protocol(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
        Protocol::Other(number) => number,
    }
}

/// Of a socket of unknown origin: whether it is TCP, and not, say, MPTCP or SCTP.
pub(crate) fn flavour(fd: &impl AsFd) -> io::Result<Flavour> {
    let kind = SockRef::from(fd).r#type()?;
    Ok(match (kind, protocol(fd)?) {
        (socket2::Type::STREAM, libc::IPPROTO_TCP) => Flavour::Tcp,
        (socket2::Type::DGRAM, libc::IPPROTO_UDP) => Flavour::Datagram,
        _ if !SockRef::from(fd).local_addr()?.is_unix() => Flavour::Other,
        (socket2::Type::STREAM, _) => Flavour::UnixStream,
        (socket2::Type::DGRAM, _) => Flavour::UnixDatagram,
        (socket2::Type::SEQPACKET, _) => Flavour::UnixSeqPacket,
        _ => Flavour::Other,
    })
}

pub(crate) fn is_stream(fd: &impl AsFd) -> io::Result<bool> {
    Ok(SockRef::from(fd).r#type()? == socket2::Type::STREAM)
}

pub(crate) fn is_udp(fd: &impl AsFd) -> io::Result<bool> {
    Ok(protocol(fd)? == libc::IPPROTO_UDP)
}

/// Which protocol a socket speaks: zero for one that has no number.
#[cfg(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd"))]
fn protocol(fd: &impl AsFd) -> io::Result<libc::c_int> {
    let mut protocol: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `protocol`.
    cvt(unsafe {
        libc::getsockopt(
            fd.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PROTOCOL,
            (&raw mut protocol).cast(),
            &mut len,
        )
    })?;
    Ok(protocol)
}

/// These systems do not tell. What a socket of the Internet with this type is, unless somebody asked for another.
#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "openbsd")))]
fn protocol(fd: &impl AsFd) -> io::Result<libc::c_int> {
    let socket = SockRef::from(fd);
    let kind = socket.r#type()?;
    Ok(match i32::from(socket.local_addr()?.family()) {
        libc::AF_INET | libc::AF_INET6 if kind == socket2::Type::STREAM => libc::IPPROTO_TCP,
        libc::AF_INET | libc::AF_INET6 if kind == socket2::Type::DGRAM => libc::IPPROTO_UDP,
        _ => 0,
    })
}

/// Keeps writes to a socket of unknown origin from raising SIGPIPE, where each send cannot say so itself.
pub(crate) fn refuse_sigpipe(fd: &impl AsFd) {
    // It fails on a socket whose peer is gone and on some Unix sockets; reads and writes tell what there is to tell.
    #[cfg(target_os = "macos")]
    let _ = SockRef::from(fd).set_nosigpipe(true);
    let _ = fd;
}

pub(crate) fn bind(fd: &impl AsFd, address: Address) -> io::Result<()> {
    SockRef::from(fd).bind(&raw_address(address))
}

pub(crate) fn listen(fd: &impl AsFd, backlog: u32) -> io::Result<()> {
    SockRef::from(fd).listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// What a connect that was started has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Connecting {
    Done,
    InProgress,
    /// The listener, which is a Unix socket, takes no more; nothing tells when it does.
    QueueFull,
}

/// Starts to connect. One that is under way already is not an error: it goes on.
pub(crate) fn connect(fd: &impl AsFd, address: Address) -> io::Result<Connecting> {
    match SockRef::from(fd).connect(&raw_address(address)) {
        Ok(()) => Ok(Connecting::Done),
        // An interrupted connect goes on in the kernel too.
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR) => Ok(Connecting::InProgress),
            Some(libc::EAGAIN) if matches!(address, Address::Unix(_)) => Ok(Connecting::QueueFull),
            _ => Err(error),
        },
    }
}

/// How a connect ended that was in progress. `WouldBlock` if it did not.
pub(crate) fn connected(fd: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(fd);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // No error is no proof: a hang-up reported before the connect began looks the same.
    match socket.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(match hung_up(fd) {
            // It failed, and another operation took the error.
            Ok(true) => io::ErrorKind::ConnectionAborted.into(),
            Ok(false) => io::ErrorKind::WouldBlock.into(),
            Err(error) => error,
        }),
        Err(error) => Err(error),
    }
}

/// Whether a socket that was connecting is no more: one that still is reports nothing.
fn hung_up(fd: &impl AsFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().contains(PollFlags::HUP))
}

/// Takes one connection off the queue: non-blocking, close-on-exec.
#[cfg(not(target_os = "macos"))]
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(Owned, io::Result<Address>)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: storage and length are those of an address that `try_init` made for this call.
    let (raw, address) = unsafe {
        SockAddr::try_init(|storage, len| cvt(libc::accept4(fd.as_raw_fd(), storage.cast(), len, flags)))
    }?;
    // SAFETY: just accepted, and nobody else's.
    Ok((unsafe { Owned::from_raw_fd(raw) }, from_raw_address(&address)))
}

/// Takes one connection off the queue: non-blocking, close-on-exec, which macOS has no flags for.
#[cfg(target_os = "macos")]
pub(crate) fn accept(fd: BorrowedFd<'_>) -> io::Result<(Owned, io::Result<Address>)> {
    // SAFETY: storage and length are those of an address that `try_init` made for this call.
    let (raw, address) =
        unsafe { SockAddr::try_init(|storage, len| cvt(libc::accept(fd.as_raw_fd(), storage.cast(), len))) }?;
    // SAFETY: just accepted, and nobody else's.
    let owned = unsafe { Owned::from_raw_fd(raw) };
    super::set_close_on_exec(&owned)?;
    super::set_nonblocking(&owned)?;
    refuse_sigpipe(&owned);
    Ok((owned, from_raw_address(&address)))
}

/// A connection that the kernel accepted by itself, by the number that it said. Nobody else may have it.
pub(crate) fn adopt_accepted(number: i32) -> Owned {
    // SAFETY: just accepted, and nobody else's.
    unsafe { Owned::from_raw_fd(number) }
}

/// The address of its peer, as accept(2) gives it: of a connection that is over already, too.
pub(crate) fn accepted_address(fd: &Owned) -> io::Result<Address> {
    match SockRef::from(fd).peer_addr() {
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => peer_name(fd),
        address => from_raw_address(&address?),
    }
}

/// `SO_PEERNAME`, which has the address of a connection that is over.
#[cfg(target_os = "linux")]
fn peer_name(fd: &Owned) -> io::Result<Address> {
    const SO_PEERNAME: libc::c_int = 28;
    // It wants to be asked for no more bytes than the address has.
    for room in [size_of::<libc::sockaddr_in6>(), size_of::<libc::sockaddr_in>()] {
        // SAFETY: storage and length are those of an address that `try_init` made for this call.
        let asked = unsafe {
            SockAddr::try_init(|storage, len| {
                *len = room as libc::socklen_t;
                cvt(libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, SO_PEERNAME, storage.cast(), len))
            })
        };
        if let Ok((_, address)) = asked {
            return from_raw_address(&address);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOTCONN))
}

#[cfg(not(target_os = "linux"))]
fn peer_name(_: &Owned) -> io::Result<Address> {
    Err(io::Error::from_raw_os_error(libc::ENOTCONN))
}

/// Whether accept failed for want of descriptors or memory: the connection stays in the queue.
pub(crate) fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Whether accept failed with an error of the one connection it took off the queue, which is gone (accept(2)).
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    #[cfg(target_os = "linux")]
    if error.raw_os_error() == Some(libc::ENONET) {
        return true;
    }
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}

/// Whether a priority condition is there now. If the system does not say, it may be.
pub(crate) fn has_priority(raw: Raw) -> bool {
    let mut asked = libc::pollfd { fd: raw, events: libc::POLLPRI, revents: 0 };
    // SAFETY: one entry, and it outlives the call.
    let count = unsafe { libc::poll(&mut asked, 1, 0) };
    count < 0 || asked.revents & (libc::POLLPRI | libc::POLLNVAL) != 0
}

pub(crate) fn local_address(fd: &impl AsFd) -> io::Result<Address> {
    from_raw_address(&SockRef::from(fd).local_addr()?)
}

pub(crate) fn peer_address(fd: &impl AsFd) -> io::Result<Address> {
    from_raw_address(&SockRef::from(fd).peer_addr()?)
}

pub(crate) fn shutdown(fd: &impl AsFd, how: std::net::Shutdown) -> io::Result<()> {
    SockRef::from(fd).shutdown(how)
}

/// Of a socket that the caller knows to be open.
pub(crate) fn shutdown_raw(fd: super::Raw, how: std::net::Shutdown) -> io::Result<()> {
    // SAFETY: open for the length of the call, as the caller knows.
    shutdown(&unsafe { BorrowedFd::borrow_raw(fd) }, how)
}
