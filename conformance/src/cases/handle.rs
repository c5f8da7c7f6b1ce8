//! Handles of any descriptor: pipes, terminals, what other systems are.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt, net::UnixStream},
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use futures_lite::future::{self, zip};
use pike::{
    Handle, Interest, Notifier, net,
    socket::{Domain, Socket, Type},
};

use crate::{Cx, Outcome, Rng, SHORT, Task, read, unix, write};

/// More than a pipe or a socket pair takes at once.
const MUCH: usize = 1 << 20;

/// Both ends of a pipe, with more than it takes at once: reads wait for writes and writes for reads, and every byte comes
/// in order, in several slices as well. Registering makes the ends non-blocking, and so they are given back.
pub fn handle_pipe_round_trip(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (source, sink) = unix::pipe();
    assert!(!unix::is_nonblocking(&source) && !unix::is_nonblocking(&sink));
    let source = Handle::new_on(&notifier, source).unwrap();
    let sink = Handle::new_on(&notifier, sink).unwrap();
    assert!(unix::is_nonblocking(source.get_ref()) && unix::is_nonblocking(sink.get_ref()));

    // The reader is first and has to wait; then nobody reads and the writer has to wait.
    let mut reader = Task::pending(read(&source));
    assert_eq!(sink.try_io(Interest::WRITABLE, |mut io| io.write(b"first")).unwrap(), 5);
    cx.turn_until(&notifier, "a reader of a pipe", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"first");
    let full = cx.fill(sink.get_ref());
    let mut writer = Task::pending(write(&sink, b"more"));
    cx.settle(&notifier);
    assert!(!writer.is_woken());
    cx.drain(sources_blocking(&source), full);
    cx.turn_until(&notifier, "a writer of a pipe", || writer.is_woken());
    writer.ready().unwrap();
    drop((reader, writer));
    assert_eq!(notifier.block_on(read(&source)).unwrap(), b"more");

    let mut sent = vec![0; MUCH];
    Rng::new().fill(&mut sent);
    let receive = async {
        let mut received = Vec::new();
        while received.len() < MUCH {
            received.extend(read(&source).await?);
        }
        io::Result::Ok(received)
    };
    let (wrote, received) = notifier.block_on(zip(write(&sink, &sent), receive));
    wrote.unwrap();
    assert!(received.unwrap() == sent, "the bytes differ");

    cx.settle(&notifier);
    let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
    let (mut start, mut rest) = ([0; 1], [0; 9]);
    let mut room = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
    let mut read_slices = || source.try_io(Interest::READABLE, |mut io| io.read_vectored(&mut room));
    assert_eq!(read_slices().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut readable = Task::pending(source.readable());
    notifier.block_on(sink.writable()).unwrap();
    assert_eq!(sink.try_io(Interest::WRITABLE, |mut io| io.write_vectored(&slices)).unwrap(), 5);
    cx.turn_until(&notifier, "bytes in slices", || readable.is_woken());
    readable.ready().unwrap();
    assert_eq!(read_slices().unwrap(), 5);
    assert_eq!((&start[..], &rest[..4]), (&b"a"[..], &b"bcde"[..]));

    drop(readable);
    let (mut source, mut sink) = (source.into_inner(), sink.into_inner());
    assert!(unix::is_nonblocking(&source) && unix::is_nonblocking(&sink));
    assert_eq!(source.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!((sink.write(b"given back").unwrap(), source.read(&mut [0; 16]).unwrap()), (10, 10));
    Ok(())
}

/// What is known to be there, although the descriptor is non-blocking.
fn sources_blocking(handle: &Handle<File>) -> impl Read {
    handle.get_ref()
}

/// A FIFO in a folder of its own, removed at the end.
struct Fifo {
    path: PathBuf,
    _folder: unix::Folder,
}

impl Fifo {
    fn new() -> Self {
        let folder = unix::Folder::new();
        let path = folder.path("fifo");
        unix::make_fifo(&CString::new(path.as_os_str().as_bytes()).unwrap()).unwrap();
        Self { path, _folder: folder }
    }

    fn reader(&self) -> File {
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path).unwrap()
    }

    fn writer(&self) -> File {
        OpenOptions::new().write(true).open(&self.path).unwrap()
    }
}

/// A named pipe, opened by the reader first and by the writer first: many writes arrive. Between two writers the reader
/// sees the end, unless it is a writer itself.
pub fn handle_fifo(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let fifo = Fifo::new();

    // The reader first, and the end between two writers.
    let reader = Handle::new_on(&notifier, fifo.reader()).unwrap();
    for round in 0..3_u8 {
        let writer = Handle::new_on(&notifier, fifo.writer()).unwrap();
        let mut first = Task::pending(read(&reader));
        notifier.block_on(write(&writer, &[round])).unwrap();
        cx.turn_until(&notifier, "a reader of a FIFO", || first.is_woken());
        assert_eq!(first.ready().unwrap(), [round]);
        for byte in 0..100 {
            notifier.block_on(write(&writer, &[byte])).unwrap();
            assert_eq!(notifier.block_on(read(&reader)).unwrap(), [byte]);
        }
        drop(first);
        let mut end = Task::pending(read(&reader));
        drop(writer);
        cx.turn_until(&notifier, "the end of a FIFO", || end.is_woken());
        assert_eq!(end.ready().unwrap(), b"");
    }

    // A reader that is a writer, too, sees no end.
    let own = fifo.writer();
    for round in 0..3_u8 {
        let mut patient = Task::pending(read(&reader));
        let mut writer = fifo.writer();
        cx.settle(&notifier);
        assert!(patient.poll().is_pending());
        writer.write_all(&[round; 7]).unwrap();
        drop(writer);
        while patient.poll().map(|bytes| assert_eq!(bytes.unwrap(), [round; 7])).is_pending() {
            cx.turn_until(&notifier, "the next writer's bytes", || patient.is_woken());
        }
    }
    drop((own, reader));

    // The writer first: its open waits for the reader's.
    thread::scope(|scope| {
        let writer = scope.spawn(|| fifo.writer());
        let reader = Handle::new_on(&notifier, fifo.reader()).unwrap();
        let writer = Handle::new_on(&notifier, writer.join().unwrap()).unwrap();
        notifier.block_on(async {
            write(&writer, b"late").await.unwrap();
            assert_eq!(read(&reader).await.unwrap(), b"late");
        });
    });
    Ok(())
}

/// The end of one side of a pipe wakes the other: a reader reads the rest and then the end, a writer of a full pipe gets
/// BrokenPipe.
pub fn handle_pipe_hangup(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (source, mut sink) = unix::pipe();
    let source = Handle::new_on(&notifier, source).unwrap();
    let mut reader = Task::pending(read(&source));
    let mut looker = Task::pending(source.readable());
    sink.write_all(b"rest").unwrap();
    drop(sink);
    cx.turn_until(&notifier, "the hang-up of a writer", || reader.is_woken() && looker.is_woken());
    looker.ready().unwrap();
    assert_eq!(reader.ready().unwrap(), b"rest");
    for _ in 0..3 {
        assert_eq!(notifier.block_on(read(&source)).unwrap(), b"");
    }

    // Without anything to read.
    let (source, sink) = unix::pipe();
    let source = Handle::new_on(&notifier, source).unwrap();
    let mut reader = Task::pending(read(&source));
    drop(sink);
    cx.turn_until(&notifier, "the hang-up of a silent writer", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"");
    cx.assert_quiet(&notifier, "pipes whose writers are gone");

    let (source, sink) = unix::pipe();
    let sink = Handle::new_on(&notifier, sink).unwrap();
    cx.settle(&notifier);
    cx.fill(sink.get_ref());
    let mut writer = Task::pending(write(&sink, b"x"));
    let mut looker =
        Task::pending(async { sink.async_io(Interest::WRITABLE, |mut io| io.write(b"y")).await });
    drop(source);
    cx.turn_until(&notifier, "the hang-up of a reader", || writer.is_woken());
    assert_eq!(writer.ready().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    cx.turn_until(&notifier, "the second writer", || looker.is_woken());
    assert_eq!(looker.ready().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    Ok(())
}

/// What a child process reads and writes, through Handles: there and back more than the pipes hold, the end both ways, and
/// a child that is gone.
pub fn handle_child_stdio(cx: &Cx) -> Outcome {
    cx.needs_programs()?;
    let notifier = cx.notifier();
    let start = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = File::from(OwnedFd::from(child.stdin.take().unwrap()));
        let stdout = File::from(OwnedFd::from(child.stdout.take().unwrap()));
        let new_on = |file| Handle::new_on(&notifier, file).unwrap();
        (child, new_on(stdin), new_on(stdout))
    };
    let (mut child, stdin, stdout) = start("cat", "-");
    let mut first = Task::pending(read(&stdout));
    notifier.block_on(write(&stdin, b"ping")).unwrap();
    cx.turn_until(&notifier, "an answer of cat", || first.is_woken());
    assert_eq!(first.ready().unwrap(), b"ping");
    drop(first);
    let mut sent = vec![0; MUCH];
    Rng::new().fill(&mut sent);
    let sending = async {
        write(&stdin, &sent).await.unwrap();
        drop(stdin);
    };
    let receiving = async {
        let mut received = Vec::new();
        loop {
            match read(&stdout).await.unwrap() {
                bytes if bytes.is_empty() => return received,
                bytes => received.extend(bytes),
            }
        }
    };
    let (received, ()) = notifier.block_on(zip(receiving, sending));
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    assert!(child.wait().unwrap().success());

    let (mut child, stdin, stdout) = start("sleep", "600");
    let mut end = Task::pending(read(&stdout));
    cx.fill(stdin.get_ref());
    let mut late = Task::pending(write(&stdin, b"x"));
    child.kill().unwrap();
    child.wait().unwrap();
    cx.turn_until(&notifier, "the end of a child", || end.is_woken() && late.is_woken());
    assert_eq!(end.ready().unwrap(), b"");
    assert_eq!(late.ready().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    Ok(())
}

/// Descriptors of other kinds: socket pairs of the standard library, an event descriptor, a set of the system's own
/// notification interface.
pub fn handle_foreign_descriptors(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = UnixStream::pair().unwrap();
    let (one, other) = (Handle::new_on(&notifier, one).unwrap(), Handle::new_on(&notifier, other).unwrap());
    let mut sent = vec![0; MUCH];
    Rng::new().fill(&mut sent);
    let receive = |handle| async move {
        let (mut received, mut buf) = (Vec::new(), [0; 1000]);
        loop {
            let n = Handle::<UnixStream>::async_io(handle, Interest::READABLE, |mut io| io.read(&mut buf))
                .await?;
            match n {
                0 => return io::Result::Ok(received),
                n => received.extend_from_slice(&buf[..n]),
            }
        }
    };
    let sent = &sent;
    let send = |handle| async move {
        write::<UnixStream>(handle, sent).await?;
        handle.get_ref().shutdown(Shutdown::Write)
    };
    let ends = zip(zip(send(&one), send(&other)), zip(receive(&one), receive(&other)));
    let ((a, b), (c, d)) = notifier.block_on(ends);
    a.and(b).unwrap();
    assert!(c.unwrap() == *sent && d.unwrap() == *sent, "the bytes differ");
    drop(one);
    assert_eq!(notifier.block_on(read(&other)).unwrap(), b"");

    event_descriptor(cx, &notifier);
    nested_set(cx, &notifier);
    Ok(())
}

/// Eight bytes in, eight bytes out, then nothing until the next.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn event_descriptor(cx: &Cx, notifier: &Notifier) {
    let handle = Handle::new_on(notifier, File::from(unix::eventfd())).unwrap();
    for count in 1..=3_u64 {
        let mut reader = Task::pending(read(&handle));
        handle.get_ref().write_all(&count.to_ne_bytes()).unwrap();
        cx.turn_until(notifier, "an eventfd", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), count.to_ne_bytes());
        assert_eq!(handle.get_ref().read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn event_descriptor(_: &Cx, _: &Notifier) {}

#[cfg(any(target_os = "linux", target_os = "android"))]
use unix::Epoll as Set;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix::Queue as Set;

/// A set that is readable when something in it is: of epoll, or another kqueue.
fn nested_set(cx: &Cx, notifier: &Notifier) {
    let set = Set::new();
    let (inside, mut peer) = cx.tcp_pair();
    set.add(&inside);
    let raw = set.as_raw_fd();
    let handle = Handle::new_on(notifier, OwnedFd::from(set)).unwrap();
    for _ in 0..3 {
        let take = |_: &OwnedFd| match Set::ready(raw) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        };
        let mut waiter = Task::pending(handle.async_io(Interest::READABLE, take));
        peer.write_all(b"x").unwrap();
        cx.turn_until(notifier, "a set in a set", || waiter.is_woken());
        assert_eq!(waiter.ready().unwrap(), 1);
        (&inside).read_exact(&mut [0]).unwrap();
    }
}

/// A pseudo terminal: a line goes from master to slave, its echo comes back, and the slave's end wakes the master.
pub fn handle_pty(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (master, slave) = match unix::open_pty() {
        Ok(ends) => ends,
        Err(error) => crate::skip!("this machine gives out no pseudo terminal: {error}"),
    };
    let master = Handle::new_on(&notifier, master).unwrap();
    let slave = Handle::new_on(&notifier, slave).unwrap();
    for line in ["one\n", "another\n"] {
        let mut reader = Task::pending(read(&slave));
        notifier.block_on(write(&master, line.as_bytes())).unwrap();
        cx.turn_until(&notifier, "the slave's reader", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), line.as_bytes());
        let mut echo = Vec::new();
        while !echo.ends_with(b"\n") {
            echo.extend(notifier.block_on(read(&master)).unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&echo).trim_end(), line.trim_end());
    }
    notifier.block_on(write(&slave, b"answer")).unwrap();
    assert_eq!(notifier.block_on(read(&master)).unwrap(), b"answer");

    let mut reader = Task::pending(read(&master));
    drop(slave);
    cx.turn_until(&notifier, "the hang-up of the slave", || reader.is_woken());
    match reader.ready() {
        Ok(bytes) => assert_eq!(bytes, b""),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EIO)),
    }
    Ok(())
}

/// `async_io` calls its closure at once and after each report, as long as it says WouldBlock, and hands out the first
/// other result.
pub fn async_io_retries_until_ready(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let calls = AtomicUsize::new(0);
    // Ready at the third byte only: each report is tried and found too little.
    let mut waiter = Task::pending(handle.async_io(Interest::READABLE, |io| {
        calls.fetch_add(1, SeqCst);
        let mut bytes = [0; 3];
        match io.peek(&mut bytes)? {
            3 => Ok(bytes),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }));
    assert_eq!(calls.load(SeqCst), 1, "it runs at once, once");
    for (sent, byte) in [b"a", b"b"].into_iter().enumerate() {
        peer.write_all(byte).unwrap();
        cx.turn_until(&notifier, "a report for each arrival", || waiter.is_woken());
        assert!(waiter.poll().is_pending());
        assert_eq!(calls.load(SeqCst), 2 + sent);
    }
    cx.settle(&notifier);
    assert!(!waiter.is_woken(), "it is woken without a report");
    peer.write_all(b"c").unwrap();
    cx.turn_until(&notifier, "the last report", || waiter.is_woken());
    assert_eq!(&waiter.ready().unwrap(), b"abc");
    assert_eq!(calls.load(SeqCst), 4);
    drop(waiter);

    // Any other result ends it: also an interruption, which is the closure's own affair.
    for kind in [io::ErrorKind::Interrupted, io::ErrorKind::InvalidData] {
        let calls = AtomicUsize::new(0);
        let result: io::Result<()> = notifier.block_on(handle.async_io(Interest::WRITABLE, |_| {
            calls.fetch_add(1, SeqCst);
            Err(io::Error::new(kind, "mine"))
        }));
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str(), calls.load(SeqCst)), (kind, "mine", 1));
    }
    let both = Interest::READABLE | Interest::WRITABLE;
    assert_eq!(notifier.block_on(handle.async_io(both, |_| Ok(5))).unwrap(), 5);
    Ok(())
}

/// `try_io` calls its closure only while the descriptor may be ready; a WouldBlock takes that back until the next report.
pub fn try_io_clears_readiness(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handle, mut peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let calls = AtomicUsize::new(0);
    let try_read = || {
        handle.try_io(Interest::READABLE, |mut io| {
            calls.fetch_add(1, SeqCst);
            io.read(&mut [0; 16])
        })
    };
    // Nothing is known at first, so the call is made; then it is known.
    for _ in 0..3 {
        assert_eq!(try_read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(calls.load(SeqCst), 1);
    }
    for _ in 0..3 {
        let mut waiter = Task::pending(handle.readable());
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "a new arrival", || waiter.is_woken());
        waiter.ready().unwrap();
        calls.store(0, SeqCst);
        assert_eq!(try_read().unwrap(), 1);
        assert_eq!(try_read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(try_read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(calls.load(SeqCst), 2);
    }

    // The other direction has its own hint.
    let full = cx.fill(handle.get_ref());
    let write = || handle.try_io(Interest::WRITABLE, |mut io| io.write(b"x"));
    assert_eq!(write().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let called = AtomicUsize::new(0);
    let unheard = handle.try_io(Interest::WRITABLE, |_| Ok(called.fetch_add(1, SeqCst)));
    assert_eq!(unheard.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert_eq!(called.load(SeqCst), 0);
    let mut waiter = Task::pending(handle.writable());
    cx.settle(&notifier);
    assert!(!waiter.is_woken());
    cx.drain(&peer, full);
    cx.turn_until(&notifier, "room in the send buffer", || waiter.is_woken());
    waiter.ready().unwrap();
    assert_eq!(write().unwrap(), 1);
    Ok(())
}

/// What a Handle gives back is open and can be registered again, anywhere; a duplicate belongs to a second Notifier at the
/// same time.
pub fn into_inner_then_new(cx: &Cx) -> Outcome {
    let (one, two) = (cx.notifier(), cx.notifier());
    let (mut handle, mut peer) = cx.handle(&one);
    for round in 0..6_u8 {
        // An event of the old time is under way when it goes.
        peer.write_all(&[round]).unwrap();
        cx.until_arrived([&handle]);
        let inner = handle.into_inner();
        assert!(unix::is_nonblocking(&inner));
        let mut byte = [0];
        (&inner).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [round]);
        let notifier = if round % 2 == 0 { &one } else { &two };
        handle = Handle::new_on(notifier, inner).unwrap();
        cx.settle(&one);
        cx.settle(&two);
        let mut waiter = Task::pending(handle.readable());
        cx.settle(notifier);
        assert!(!waiter.is_woken(), "woken by what happened before it was registered");
        peer.write_all(&[round]).unwrap();
        cx.turn_until(notifier, "a socket that is registered again", || waiter.is_woken());
        waiter.ready().unwrap();
        drop(waiter);
        assert_eq!(notifier.block_on(read(&handle)).unwrap(), [round]);
    }

    for first_goes_first in [true, false] {
        let (ours, mut peer) = cx.tcp_pair();
        let double = ours.try_clone().unwrap();
        let (a, b) = (Handle::new_on(&one, ours).unwrap(), Handle::new_on(&two, double).unwrap());
        let (mut at_a, mut at_b) = (Task::pending(a.readable()), Task::pending(b.readable()));
        peer.write_all(b"x").unwrap();
        cx.turn_until(&one, "the first Notifier", || at_a.is_woken());
        cx.turn_until(&two, "the second Notifier", || at_b.is_woken());
        at_a.ready().unwrap();
        at_b.ready().unwrap();
        drop((at_a, at_b));
        let (gone, left, notifier) = if first_goes_first { (a, b, &two) } else { (b, a, &one) };
        drop(gone);
        assert_eq!(notifier.block_on(read(&left)).unwrap(), b"x");
        forget_readiness(&left);
        let mut waiter = Task::pending(left.readable());
        peer.write_all(b"y").unwrap();
        cx.turn_until(notifier, "the Notifier that is left", || waiter.is_woken());
        waiter.ready().unwrap();
        drop(waiter);
        drop(left);
        cx.assert_quiet(&one, "both Handles are gone");
        cx.assert_quiet(&two, "both Handles are gone");
    }
    Ok(())
}

/// Reads to would-block: of a bare Handle pike does not guess what is left.
fn forget_readiness(handle: &Handle<TcpStream>) {
    let nothing = handle.try_io(Interest::READABLE, |mut io| io.read(&mut [0]));
    assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

/// Every type gives out its descriptor: open, non-blocking, closed on exec, and the one the socket has.
pub fn descriptor_is_visible(cx: &Cx) -> Outcome {
    fn check(what: &str, fd: &impl AsRawFd) {
        assert!(unix::is_open(fd.as_raw_fd()), "{what}: not open");
        assert!(unix::is_nonblocking(fd), "{what}: blocking");
        assert!(unix::is_close_on_exec(fd), "{what}: inherited by child programs");
    }
    let notifier = cx.notifier();
    let _here = notifier.enter();

    let (ours, _peer) = cx.tcp_pair();
    let raw = ours.as_raw_fd();
    let handle = Handle::new(ours).unwrap();
    check("Handle", handle.get_ref());
    assert_eq!(handle.get_ref().as_raw_fd(), raw);
    assert_eq!(handle.into_inner().as_raw_fd(), raw);

    let socket = Socket::new(Domain::V4, Type::Stream, None).unwrap();
    check("Socket", &socket);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    check("TcpListener", &listener);
    let address = listener.local_addr().unwrap();
    let (stream, accepted) = notifier.block_on(zip(net::TcpStream::connect(address), listener.accept()));
    let (stream, (accepted, _)) = (stream.unwrap(), accepted.unwrap());
    check("TcpStream", &stream);
    check("an accepted TcpStream", &accepted);
    assert_eq!(stream.as_raw_fd(), stream.socket().as_raw_fd());
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    check("UdpSocket", &udp);

    // The same descriptor after into_std.
    let (raw_listener, raw_stream, raw_udp) = (listener.as_raw_fd(), stream.as_raw_fd(), udp.as_raw_fd());
    let listener: TcpListener = listener.into_std().unwrap();
    let stream: TcpStream = stream.into_std().unwrap();
    let udp: UdpSocket = udp.into_std().unwrap();
    assert_eq!(listener.as_raw_fd(), raw_listener);
    assert_eq!(stream.as_raw_fd(), raw_stream);
    assert_eq!(udp.as_raw_fd(), raw_udp);
    Ok(())
}

/// `ready` gives what is possible now, of all that was asked for; and waits for that alone.
pub fn ready_returns_what_is_set(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (handle, mut peer) = cx.handle(&notifier);
    let both = Interest::READABLE | Interest::WRITABLE;
    let ready = notifier.block_on(handle.ready(both)).unwrap();
    assert!(ready.is_writable() && !ready.is_readable(), "{ready:?}");
    assert!(!ready.is_read_closed() && !ready.is_write_closed() && !ready.is_error(), "{ready:?}");

    let mut readable = Task::pending(handle.ready(Interest::READABLE));
    let mut priority = cx.has_priority().then(|| Task::pending(handle.ready(Interest::PRIORITY)));
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    assert!(!readable.is_woken());
    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "data", || readable.is_woken());
    assert!(readable.ready().unwrap().is_readable());
    let ready = notifier.block_on(handle.ready(both)).unwrap();
    assert!(ready.is_writable() && ready.is_readable(), "{ready:?}");
    assert!(priority.iter_mut().all(|waiter| waiter.poll().is_pending()), "data is no priority condition");
    drop((readable, priority));

    assert_eq!(notifier.block_on(read(&handle)).unwrap(), b"x");
    drop(peer);
    let end = notifier.block_on(future::or(
        async {
            let mut ready = handle.ready(Interest::READABLE).await.unwrap();
            while !ready.is_read_closed() {
                future::yield_now().await;
                ready = handle.ready(Interest::READABLE).await.unwrap();
            }
            Some(ready)
        },
        async {
            pike::time::sleep(Duration::from_secs(5)).await;
            None
        },
    ));
    assert!(end.is_some_and(|ready| ready.is_readable()), "the end of reading is not seen");
    Ok(())
}
