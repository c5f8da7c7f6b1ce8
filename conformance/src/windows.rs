//! What cases need of Windows: handles, sockets. The same names as `unix` has for what cases of both need.
#![allow(unsafe_code)]

use std::{
    io,
    mem::ManuallyDrop,
    net::{SocketAddrV6, TcpStream, UdpSocket},
    os::windows::io::{FromRawSocket, OwnedSocket},
    sync::Mutex,
    time::Duration,
};

pub use pike::os::windows::IoSafe;
use pike::{Handle, Notifier, net, time};
use windows_sys::Win32::{
    Foundation::{GetHandleInformation, HANDLE, HANDLE_FLAG_INHERIT},
    Networking::WinSock::{
        FIONREAD, IPPROTO_IPV6, IPV6_UNICAST_HOPS, SO_TYPE, SOCKET_ERROR, SOL_SOCKET, WSAGetLastError,
        getsockopt, ioctlsocket,
    },
    System::Threading::{GetCurrentProcess, GetProcessHandleCount},
};
use windows_sys::{
    Wdk::System::SystemInformation::NtQuerySystemInformation, Win32::Foundation::STATUS_INFO_LENGTH_MISMATCH,
};

/// A number that names a socket, and what has one.
pub use std::os::windows::io::{AsRawSocket as AsRaw, AsSocket as AsDescriptor, RawSocket as Raw};

/// The number of a socket.
pub fn raw(of: &impl AsRaw) -> Raw {
    of.as_raw_socket()
}

/// Whether a socket can be registered with one Notifier after the other, and with two at once. A socket stays with its
/// first completion port.
pub const SOCKETS_MOVE: bool = false;

/// Whether an error says that nothing can be written any more.
pub fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Error codes, by the names that they have on Unix.
pub mod code {
    pub use windows_sys::Win32::Networking::WinSock::{
        WSA_OPERATION_ABORTED as ECANCELED, WSAECONNREFUSED as ECONNREFUSED, WSAECONNRESET as ECONNRESET,
        WSAEDESTADDRREQ as EDESTADDRREQ, WSAEISCONN as EISCONN, WSAEMSGSIZE as EMSGSIZE,
        WSAENOBUFS as ENOBUFS, WSAENOPROTOOPT as ENOPROTOOPT, WSAENOTCONN as ENOTCONN,
        WSAETIMEDOUT as ETIMEDOUT,
    };
    use windows_sys::Win32::Networking::WinSock::{WSAEAFNOSUPPORT, WSAEFAULT, WSAEINVAL, WSAEOPNOTSUPP};

    /// Of an address of another family than the socket's: a wrong length, or a wrong family. The last is Wine's.
    pub const WRONG_FAMILY: &[i32] = &[WSAEFAULT, WSAEAFNOSUPPORT, WSAEINVAL, WSAEOPNOTSUPP];
    /// Of a second registration.
    pub const REGISTERED: Option<i32> = Some(windows_sys::Win32::Foundation::ERROR_ALREADY_EXISTS as i32);
}

/// How many handles the process has open. For cases that run alone.
pub fn descriptors() -> usize {
    // The first call of a socket on a thread may open an event that the thread keeps.
    let quiet = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    quiet.set_nonblocking(true).expect("a mode");
    quiet.recv(&mut [0]).expect_err("nobody sends");
    drop(quiet);
    let mut count = 0;
    // SAFETY: fills the number; the handle stands for this process and is never closed.
    let counted = unsafe { GetProcessHandleCount(GetCurrentProcess(), &mut count) };
    assert_ne!(counted, 0, "{}", io::Error::last_os_error());
    // Wine does not count there, and a process has some always.
    if count == 0 { handles_listed() } else { count as usize }
}

/// The handles of this process, in the list of all.
fn handles_listed() -> usize {
    const ALL_HANDLES: i32 = 64; // SystemExtendedHandleInformation
    let mut words = vec![0_usize; 1 << 16];
    loop {
        let mut len = 0;
        // SAFETY: fills at most as many bytes as it is told.
        let status = unsafe {
            NtQuerySystemInformation(
                ALL_HANDLES,
                words.as_mut_ptr().cast(),
                (words.len() * size_of::<usize>()) as u32,
                &mut len,
            )
        };
        if status == STATUS_INFO_LENGTH_MISMATCH {
            words.resize(words.len() * 2, 0);
            continue;
        }
        assert_eq!(status, 0, "NtQuerySystemInformation: {status:#x}");
        let me = std::process::id() as usize;
        // The count and a word; then five words for each, the second of which is the process.
        return words[2..].chunks_exact(5).take(words[0]).filter(|handle| handle[1] == me).count();
    }
}

/// Has a Notifier open what it opens when it first needs it: a timer, and what it asks about sockets by.
pub fn warm_up(notifier: &Notifier) {
    let here = notifier.enter();
    let quiet = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).expect("a socket");
    drop(here);
    let waiting = time::timeout(Duration::from_millis(1), quiet.readable());
    notifier.block_on(waiting).expect_err("nobody sends");
    drop(quiet);
    while notifier.poll(Some(Duration::from_millis(1))).expect("a turn") > 0 {}
}

/// Whether a number is a socket.
pub fn is_open(socket: Raw) -> bool {
    option(socket, SOL_SOCKET, SO_TYPE).is_ok()
}

fn option(socket: Raw, level: i32, name: i32) -> io::Result<i32> {
    let (mut value, mut len) = (0_i32, size_of::<i32>() as i32);
    // SAFETY: writes at most `len` bytes, the size of `value`.
    let got = unsafe { getsockopt(socket as usize, level, name, (&raw mut value).cast(), &mut len) };
    if got == SOCKET_ERROR { Err(last_error()) } else { Ok(value) }
}

fn last_error() -> io::Error {
    // SAFETY: takes nothing.
    io::Error::from_raw_os_error(unsafe { WSAGetLastError() })
}

/// Asserts that a socket is as pike makes them: not for the programs that this one starts. Windows tells nobody whether a
/// socket blocks.
#[track_caller]
pub fn assert_ours(socket: &impl AsRaw) {
    let mut flags = 0;
    let handle = socket.as_raw_socket() as usize as HANDLE;
    // SAFETY: fills the number; the socket is open as long as it is borrowed.
    let got = unsafe { GetHandleInformation(handle, &mut flags) };
    assert_ne!(got, 0, "{}", io::Error::last_os_error());
    assert_eq!(flags & HANDLE_FLAG_INHERIT, 0, "inherited by other programs");
}

/// Nothing: Windows tells nobody whether a socket blocks.
pub fn assert_blocks(_: &impl AsRaw) {}

/// The same socket once more, in the standard library's hands: what happens there happens behind pike's back.
pub fn double(socket: &impl AsDescriptor) -> TcpStream {
    socket.as_socket().try_clone_to_owned().expect("a duplicate").into()
}

/// Tries to register a socket once more, by a second wrapper of the same number. The error, if there is one; else the
/// second registration is undone.
pub fn register_again(notifier: &Notifier, socket: &impl AsRaw) -> Option<io::Error> {
    // SAFETY: open as long as `socket` is borrowed; given up below in every case, so that it is closed once.
    let second = unsafe { OwnedSocket::from_raw_socket(socket.as_raw_socket()) };
    let (error, second) = match Handle::try_new_on(notifier, second) {
        Ok(handle) => (None, handle.into_inner()),
        Err((error, second)) => (Some(error), second),
    };
    let _never_closed = ManuallyDrop::new(second);
    error
}

/// How many bytes can be read from a socket.
pub fn bytes_queued(socket: &impl AsRaw) -> usize {
    let mut count = 0;
    // SAFETY: fills the number it is given.
    let asked = unsafe { ioctlsocket(socket.as_raw_socket() as usize, FIONREAD, &mut count) };
    assert_eq!(asked, 0, "{}", last_error());
    count as usize
}

/// How many hops the packets of an IPv6 socket may go.
pub fn hops_v6(socket: &impl AsRaw) -> u32 {
    option(socket.as_raw_socket(), IPPROTO_IPV6, IPV6_UNICAST_HOPS).expect("an option") as u32
}

/// The index of the loopback interface.
pub fn loopback_index() -> u32 {
    1
}

/// None: what adapters there are is not asked here.
pub fn link_local() -> Option<SocketAddrV6> {
    None
}

/// How many sockets there may be: memory is the limit.
pub fn raise_descriptor_limit() -> usize {
    16_384
}

/// Runs `f`, where Unix runs it in a child: Windows has no fork. For cases that run alone.
#[track_caller]
pub fn in_child(_: Duration, f: impl FnOnce() -> Result<(), String>) {
    let result = f();
    // SAFETY: any thread may do so on Windows.
    CHANGED
        .lock()
        .expect("not held by a panic")
        .drain(..)
        .for_each(|name| unsafe { std::env::remove_var(name) });
    if let Err(words) = result {
        panic!("{words}");
    }
}

static CHANGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Sets a variable of the environment, until `in_child` ends.
pub fn set_env(name: &str, value: &str) {
    CHANGED.lock().expect("not held by a panic").push(name.to_owned());
    // SAFETY: any thread may do so on Windows.
    unsafe { std::env::set_var(name, value) };
}
