//! Handles of what is a descriptor on Unix and no socket: pipes, terminals, what other systems are.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::OpenOptionsExt, net::UnixStream},
    },
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use futures_lite::future::{self, zip};
use pike::{Handle, Interest, Notifier};

use crate::{
    Cx, Outcome, Rng, SHORT, Task,
    net::{assert_bytes_at, bytes_at, soon},
    read, unix, write,
};

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

/// Pipes, through a bare Handle: owned and pooled, to the end.
pub fn owned_on_any_descriptor(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (read, write) = unix::pipe();
    let (read, write) = (Handle::new_on(&notifier, read).unwrap(), Handle::new_on(&notifier, write).unwrap());
    soon(&notifier, "a pipe", async {
        let len = 300_000;
        let send = async {
            write.write_all_owned(bytes_at(0, len)).await.0.unwrap();
            assert_eq!(write.write_owned(bytes_at(len, 10)).await.0.unwrap(), 10);
            drop(write);
        };
        let receive = async {
            let (mut got, mut buf) = (0, Vec::with_capacity(10_000));
            for round in 0.. {
                if round % 2 == 0 {
                    let result;
                    (result, buf) = read.read_owned(buf).await;
                    assert_eq!(result.unwrap(), buf.len());
                    assert_bytes_at(got, &buf);
                    got += buf.len();
                } else {
                    let lease = read.read_pooled().await.unwrap();
                    assert_bytes_at(got, &lease);
                    got += lease.len();
                    if lease.is_empty() {
                        break;
                    }
                }
            }
            got
        };
        assert_eq!(future::zip(send, receive).await.1, len + 10);
    });
    Ok(())
}

/// A duplicate keeps the pipe open after its Handle is gone: nothing of it ends a turn any more.
pub fn handle_gone_duplicate_is_quiet(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (source, sink) = unix::pipe();
    let double = source.try_clone().unwrap();
    let handle = Handle::new_on(&notifier, source).unwrap();
    let mut sink = sink;
    sink.write_all(b"x").unwrap();
    drop(handle);
    cx.settle(&notifier);
    drop(sink);
    let start = Instant::now();
    assert_eq!(notifier.poll(Some(SHORT)).unwrap(), 0);
    assert!(start.elapsed() >= SHORT, "a turn is ended by what a dropped Handle had registered");
    cx.assert_quiet(&notifier, "a pipe that only a duplicate keeps open");
    drop(double);
    Ok(())
}
