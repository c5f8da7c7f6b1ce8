//! Making sockets and asking about them. What socket2 has is taken from there.
#![allow(unsafe_code)]

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6},
    os::windows::io::{AsSocket, BorrowedSocket, FromRawSocket, RawSocket},
    ptr,
};

use socket2::{SockAddr, SockRef};
use windows_sys::Win32::{
    Foundation::{HANDLE, HANDLE_FLAG_INHERIT, SetHandleInformation},
    Networking::WinSock::{self, INVALID_SOCKET, SOCKET, WSAPOLLFD, WSAPROTOCOL_INFOW},
};

use super::{
    Borrowed, Owned, Raw,
    address::{from_raw_address, raw_address},
    cvt, number,
};
use crate::socket::{Address, Domain, Flavour, Protocol, Type};

/// Whether a listener sets `SO_REUSEADDR`. Here it would let another program take the address away, and without it a server
/// can start again at once.
pub(crate) const REUSE_TO_LISTEN: bool = false;

/// Whether closing a lingering socket blocks is the system's affair; that it lingers is asked here.
pub(crate) fn lingers(io: &impl AsSocket) -> bool {
    SockRef::from(io).linger().is_ok_and(|linger| linger.is_some_and(|time| !time.is_zero()))
}

/// From now on closing it does not wait, and what was not yet sent is sent in the background.
pub(crate) fn stop_lingering(io: &impl AsSocket) -> io::Result<()> {
    SockRef::from(io).set_linger(None)
}

/// A non-blocking socket for overlapped calls, not inherited by child programs.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Owned> {
    let protocol = protocol.map(|protocol| socket2::Protocol::from(number_of_protocol(protocol)));
    let domain = socket2::Domain::from(number_of_domain(domain));
    let owned = Owned::from(socket2::Socket::new(domain, number_of_type(kind).into(), protocol)?);
    super::set_nonblocking(&owned)?;
    if is_udp(&owned)? {
        report_resets(&owned, false);
    }
    Ok(owned)
}

/// There are no pairs: what makes one of two sockets that connect to each other is no call of the system's.
pub(crate) fn pair(_: Domain, _: Type, _: Option<Protocol>) -> io::Result<(Owned, Owned)> {
    Err(io::Error::from_raw_os_error(WinSock::WSAEOPNOTSUPP))
}

/// Whether receives of a UDP socket fail with what ICMP says about a datagram that it has sent earlier. At first they do,
/// whether the socket is connected or not, and a server fails by each client that has gone. Elsewhere only connected ones
/// are told, and so it is done here.
fn report_resets(io: &impl AsSocket, reports: bool) {
    for code in [WinSock::SIO_UDP_CONNRESET, WinSock::SIO_UDP_NETRESET] {
        let reports = i32::from(reports);
        let (at, len) = ((&raw const reports).cast(), size_of_val(&reports) as u32);
        let mut returned = 0;
        // SAFETY: reads `len` bytes of a BOOL, and writes how many bytes it returns: none.
        let _ = unsafe {
            WinSock::WSAIoctl(
                number(io),
                code,
                at,
                len,
                ptr::null_mut(),
                0,
                &mut returned,
                ptr::null_mut(),
                None,
            )
        };
        // A provider that does not know the code has no such reports, or keeps to its ways.
    }
}

fn number_of_domain(domain: Domain) -> i32 {
    match domain {
        Domain::V4 => WinSock::AF_INET.into(),
        Domain::V6 => WinSock::AF_INET6.into(),
        Domain::Unix => WinSock::AF_UNIX.into(),
        Domain::Other(number) => number,
    }
}

fn number_of_type(kind: Type) -> i32 {
    match kind {
        Type::Stream => WinSock::SOCK_STREAM,
        Type::Datagram => WinSock::SOCK_DGRAM,
        Type::SeqPacket => WinSock::SOCK_SEQPACKET,
        Type::Other(number) => number,
    }
}

fn number_of_protocol(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tcp => WinSock::IPPROTO_TCP,
        Protocol::Udp => WinSock::IPPROTO_UDP,
        Protocol::Other(number) => number,
    }
}

pub(crate) fn domain_of_number(number: i32) -> Domain {
    match u16::try_from(number) {
        Ok(WinSock::AF_INET) => Domain::V4,
        Ok(WinSock::AF_INET6) => Domain::V6,
        Ok(WinSock::AF_UNIX) => Domain::Unix,
        _ => Domain::Other(number),
    }
}

pub(crate) fn type_of_number(number: i32) -> Type {
    match number {
        WinSock::SOCK_STREAM => Type::Stream,
        WinSock::SOCK_DGRAM => Type::Datagram,
        WinSock::SOCK_SEQPACKET => Type::SeqPacket,
        other => Type::Other(other),
    }
}

pub(crate) fn protocol_of_number(number: i32) -> Protocol {
    match number {
        WinSock::IPPROTO_TCP => Protocol::Tcp,
        WinSock::IPPROTO_UDP => Protocol::Udp,
        other => Protocol::Other(other),
    }
}

/// What a socket is, by its provider.
pub(in crate::sys) fn info(io: &impl AsSocket) -> io::Result<WSAPROTOCOL_INFOW> {
    let mut info = WSAPROTOCOL_INFOW::default();
    let mut len = size_of_val(&info) as i32;
    // SAFETY: writes at most `len` bytes, the size of `info`.
    cvt(unsafe {
        WinSock::getsockopt(
            number(io),
            WinSock::SOL_SOCKET,
            WinSock::SO_PROTOCOL_INFOW,
            (&raw mut info).cast(),
            &mut len,
        )
    })?;
    Ok(info)
}

/// Of a socket of unknown origin: whether it is TCP.
pub(crate) fn flavour(io: &impl AsSocket) -> io::Result<Flavour> {
    let info = info(io)?;
    let is_unix = info.iAddressFamily == i32::from(WinSock::AF_UNIX);
    Ok(match (info.iSocketType, info.iProtocol) {
        (WinSock::SOCK_STREAM, _) if is_unix => Flavour::UnixStream,
        (WinSock::SOCK_STREAM, WinSock::IPPROTO_TCP) => Flavour::Tcp,
        (WinSock::SOCK_DGRAM, WinSock::IPPROTO_UDP) => Flavour::Datagram,
        _ => Flavour::Other,
    })
}

pub(crate) fn is_udp(io: &impl AsSocket) -> io::Result<bool> {
    Ok(info(io)?.iProtocol == WinSock::IPPROTO_UDP)
}

/// Whether a socket's own shutdown is reported to those who wait on it: here they are left alone with it.
pub(crate) const REPORTS_SHUTDOWN: bool = false;

/// Has a socket of unknown origin do as one that was made here: see `report_resets`. A connected one is told, as it was.
pub(crate) fn make_as_ours(io: &impl AsSocket) {
    if is_udp(io).is_ok_and(|is_udp| is_udp) && SockRef::from(io).peer_addr().is_err() {
        report_resets(io, false);
    }
}

pub(crate) fn bind(io: &impl AsSocket, address: Address) -> io::Result<()> {
    SockRef::from(io).bind(&raw_address(address)).map_err(|error| of_family(io, address, error))
}

/// An address of another family is refused as such, whatever the provider calls it: it may say that the address is too short.
#[cold]
fn of_family(io: &impl AsSocket, address: Address, error: io::Error) -> io::Error {
    let is_other = |family| family != number_of_domain(Domain::of(address));
    match info(io) {
        Ok(info) if is_other(info.iAddressFamily) => io::Error::from_raw_os_error(WinSock::WSAEAFNOSUPPORT),
        _ => error,
    }
}

/// One without an address gets some, as elsewhere: the system refuses it.
pub(crate) fn listen(io: &impl AsSocket, backlog: u32) -> io::Result<()> {
    let (socket, backlog) = (SockRef::from(io), i32::try_from(backlog).unwrap_or(i32::MAX));
    match socket.listen(backlog) {
        Err(error) if error.raw_os_error() == Some(WinSock::WSAEINVAL) && socket.local_addr().is_err() => {
            bind(io, local_address(io)?)?;
            socket.listen(backlog)
        }
        result => result,
    }
}

/// What a connect that was started has come to.
#[derive(Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the last is a Unix socket's of other systems")]
pub(crate) enum Connecting {
    Done,
    InProgress,
    QueueFull,
}

/// Whom a connect to an unspecified address means: elsewhere that is this machine, and here nobody.
pub(super) fn meant_by(address: Address) -> Address {
    match address {
        Address::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddrV4::new(Ipv4Addr::LOCALHOST, v4.port()).into()
        }
        Address::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddrV6::new(Ipv6Addr::LOCALHOST, v6.port(), 0, 0).into()
        }
        address => address,
    }
}

/// Starts to connect. One that is under way already is not an error: it goes on.
pub(crate) fn connect(io: &impl AsSocket, address: Address) -> io::Result<Connecting> {
    match SockRef::from(io).connect(&raw_address(meant_by(address))) {
        Ok(()) => {
            if is_udp(io)? {
                report_resets(io, true);
            }
            Ok(Connecting::Done)
        }
        Err(error) => match error.raw_os_error() {
            Some(WinSock::WSAEWOULDBLOCK | WinSock::WSAEALREADY | WinSock::WSAEINPROGRESS) => {
                Ok(Connecting::InProgress)
            }
            _ => Err(of_family(io, address, error)),
        },
    }
}

/// How a connect ended that was in progress. `WouldBlock` if it did not.
pub(crate) fn connected(io: &impl AsSocket) -> io::Result<()> {
    let socket = SockRef::from(io);
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    // No error is no proof: a report of before the connect began looks the same.
    match socket.peer_addr() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Err(match hung_up(io) {
            // It failed, and another operation took the error.
            true => io::ErrorKind::ConnectionAborted.into(),
            false => io::ErrorKind::WouldBlock.into(),
        }),
        Err(error) => Err(error),
    }
}

/// Whether a socket that was connecting is no more: one that still is reports nothing.
fn hung_up(io: &impl AsSocket) -> bool {
    polled(number(io), WinSock::POLLWRNORM) & (WinSock::POLLHUP | WinSock::POLLERR) != 0
}

/// What of `events` holds now, and what is always told. `POLLNVAL` if the system does not say.
fn polled(socket: SOCKET, events: i16) -> i16 {
    let mut asked = WSAPOLLFD { fd: socket, events, revents: 0 };
    // SAFETY: one entry, and it outlives the call.
    match unsafe { WinSock::WSAPoll(&mut asked, 1, 0) } {
        0.. => asked.revents,
        _ => WinSock::POLLNVAL,
    }
}

/// Takes one connection off the queue: non-blocking, not inherited by child programs.
pub(crate) fn accept(io: Borrowed<'_>) -> io::Result<(Owned, io::Result<Address>)> {
    // SAFETY: storage and length are those of an address that `try_init` made for this call.
    let (socket, address) = unsafe {
        SockAddr::try_init(|storage, len| match WinSock::accept(number(&io), storage.cast(), len) {
            INVALID_SOCKET => Err(io::Error::last_os_error()),
            socket => Ok(socket),
        })
    }?;
    // SAFETY: just accepted, and nobody else's.
    let owned = unsafe { Owned::from_raw_socket(socket as RawSocket) };
    // Between these two calls a child program may get it: accept has no flag for that.
    // SAFETY: a socket's number is a handle, and this one is open. It fails for those of providers of another kind.
    let _ = unsafe { SetHandleInformation(socket as HANDLE, HANDLE_FLAG_INHERIT, 0) };
    super::set_nonblocking(&owned)?;
    // Of one that was reset since the system may say nothing.
    let address = if address.as_socket().is_some() || address.is_unix() {
        from_raw_address(&address)
    } else {
        accepted_address(&owned)
    };
    Ok((owned, address))
}

/// A connection that the system accepted by itself, by the number that it said. Nobody else may have it.
pub(crate) fn adopt_accepted(number: i32) -> Owned {
    // SAFETY: just accepted, and nobody else's. A socket is a handle, of which 32 bits mean something.
    unsafe { Owned::from_raw_socket(number as u32 as RawSocket) }
}

/// The address of its peer. Of one that was reset since the system may say nothing, as in `accept`.
pub(crate) fn accepted_address(io: &Owned) -> io::Result<Address> {
    peer_address(io).or_else(|_| unspecified(io))
}

/// Whether accept failed for want of sockets or memory: the connection stays in the queue.
pub(crate) fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(WinSock::WSAEMFILE | WinSock::WSAENOBUFS))
}

/// Whether accept failed with an error of the one connection it took off the queue, which is gone.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(WinSock::WSAECONNRESET | WinSock::WSAECONNABORTED))
}

/// Whether a priority condition is there now. If the system does not say, it may be.
pub(crate) fn has_priority(raw: Raw) -> bool {
    polled(raw as SOCKET, WinSock::POLLRDBAND) & (WinSock::POLLRDBAND | WinSock::POLLNVAL) != 0
}

/// The system does not tell of a socket that has none. Elsewhere that is the unspecified one of its family.
pub(crate) fn local_address(io: &impl AsSocket) -> io::Result<Address> {
    let error = match SockRef::from(io).local_addr() {
        Ok(address) => return from_raw_address(&address),
        Err(error) => error,
    };
    if error.raw_os_error() != Some(WinSock::WSAEINVAL) {
        return Err(error);
    }
    unspecified(io)
}

/// The address of nobody, of a socket's family.
fn unspecified(io: &impl AsSocket) -> io::Result<Address> {
    match u16::try_from(info(io)?.iAddressFamily) {
        Ok(WinSock::AF_INET) => Ok(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into()),
        Ok(WinSock::AF_INET6) => Ok(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0).into()),
        Ok(WinSock::AF_UNIX) => Ok(crate::socket::UnixAddress::UNNAMED.into()),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

pub(crate) fn peer_address(io: &impl AsSocket) -> io::Result<Address> {
    from_raw_address(&SockRef::from(io).peer_addr()?)
}

pub(crate) fn shutdown(io: &impl AsSocket, how: std::net::Shutdown) -> io::Result<()> {
    SockRef::from(io).shutdown(how)
}

/// Of a socket that the caller knows to be open.
pub(crate) fn shutdown_raw(raw: Raw, how: std::net::Shutdown) -> io::Result<()> {
    // SAFETY: open for the length of the call, as the caller knows.
    shutdown(&unsafe { BorrowedSocket::borrow_raw(raw) }, how)
}
