//! Errors of Unix: what cannot be waited for, too few descriptors, no signals, a socket that is connected already.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::Ipv4Addr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant},
};

use pike::{
    Backend, Closed, Event, Handle, Interest, Notifier,
    net::TcpStream,
    socket::{Domain, SendFlags, Socket, Type},
    time::Deadline,
};

use crate::{
    Cx, Outcome, SHORT, Task,
    net::{self, is_gone, soon, v4},
    read, skip, unix,
};

/// Files, closed numbers, and descriptors that are closed behind a Handle's back: the system's error, and nothing leaks.
pub fn bad_descriptors_are_refused(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = unix::Folder::new();
    std::fs::write(folder.path("file"), b"bytes").unwrap();
    let before = unix::descriptors();
    if cx.backend() == Backend::Epoll || cx.backend() == Backend::Kqueue {
        for path in [folder.path("file"), folder.path("."), "/dev/null".into()] {
            let (error, mut file) = Handle::try_new_on(&notifier, File::open(&path).unwrap()).unwrap_err();
            assert_eq!(
                (error.kind(), error.raw_os_error()),
                (ErrorKind::PermissionDenied, Some(libc::EPERM))
            );
            if path.is_file() {
                assert_eq!(file.read(&mut [0]).unwrap(), 1, "the file was harmed");
            }
            let again = Handle::new_on(&notifier, file).unwrap_err();
            assert_eq!(again.raw_os_error(), Some(libc::EPERM));
        }
    }
    assert_eq!(unix::descriptors(), before, "descriptors");

    let (gone, _peer) = cx.tcp_pair();
    let (error, fake) = Handle::try_new_on(&notifier, closed(gone)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error:?}");
    std::mem::forget(fake); // nothing is there to close

    // Closed behind a Handle's back: calls fail, waiting can be ended, detaching it is quiet.
    let (handle, peer) = cx.handle(&notifier);
    cx.settle(&notifier);
    let mut waiting = Task::pending(read(&handle));
    close(handle.get_ref().as_raw_fd());
    let error = handle.try_io(Interest::WRITABLE, |mut io| io.write(b"x")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF), "{error:?}");
    handle.cancel();
    assert!(Closed::is(&waiting.ready().unwrap_err()));
    drop(waiting);
    std::mem::forget(handle.into_inner()); // nobody closes the number again
    drop(peer);
    cx.assert_quiet(&notifier, "after a descriptor was closed behind a Handle's back");

    let (mut one, mut other) = cx.tcp_pair();
    one.write_all(b"x").unwrap();
    other.read_exact(&mut [0]).unwrap();
    Ok(())
}

/// Closes a number that somebody else still thinks is theirs.
#[allow(unsafe_code)]
fn close(raw: libc::c_int) {
    // SAFETY: the case forgets the owner, which must not close it again.
    assert_eq!(unsafe { libc::close(raw) }, 0);
}

/// The owner of a number that is closed: to be forgotten.
#[allow(unsafe_code)]
fn closed(open: std::net::TcpStream) -> OwnedFd {
    let raw = open.as_raw_fd();
    drop(open);
    // SAFETY: never used as an open descriptor but in calls that fail, and forgotten.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// Without descriptors for more connections a listener neither spins nor dies, and takes those that wait once there are
/// some; what does not wait says why it fails.
pub fn accept_out_of_descriptors(cx: &Cx) -> Outcome {
    const CLIENTS: usize = 3;
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    cx.settle(&notifier);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| std::net::TcpStream::connect(here).unwrap()).collect();
    for (which, client) in clients.iter_mut().enumerate() {
        client.write_all(&[which as u8]).unwrap();
    }
    let mut accepting = Task::new(async {
        let mut servers = Vec::new();
        while servers.len() < CLIENTS {
            servers.push(listener.accept().await?);
        }
        Ok::<_, io::Error>(servers)
    });

    let few = unix::FewDescriptors::leave(0);
    let error = listener.try_accept().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error:?}");
    assert!(accepting.poll().is_pending(), "accepted without a descriptor");
    let (start, work_before, mut turns) = (Instant::now(), thread_time(), 0);
    while start.elapsed() < 20 * SHORT {
        if accepting.is_woken() {
            assert!(accepting.poll().is_pending(), "accepted without a descriptor");
        } else {
            notifier.poll(Some(20 * SHORT)).unwrap();
            turns += 1;
        }
    }
    let (waited, work, polls) = (start.elapsed(), thread_time() - work_before, accepting.polls());
    drop(few);
    // It pauses for 5 milliseconds at first and twice as long each time: some ten times in all.
    let most = 20 + waited.as_millis() as usize / 50;
    assert!(turns <= most && polls <= most, "{turns} turns and {polls} polls in {waited:?}");
    assert!(work < waited / 2, "{work:?} of work in {waited:?}");
    assert!(polls >= 2, "it never tried again");

    let servers =
        net::finish(cx, &notifier, "connections that waited for descriptors", &mut accepting).unwrap();
    for (which, (server, from)) in servers.iter().enumerate() {
        assert_eq!(*from, clients[which].local_addr().unwrap(), "not in order");
        let mut byte = [0];
        soon(&notifier, "data that waited", server.read_exact(&mut byte)).unwrap();
        assert_eq!(usize::from(byte[0]), which);
    }
    drop(accepting);
    let client = std::net::TcpStream::connect(here).unwrap();
    let (_, from) = soon(&notifier, "the listener afterwards", listener.accept()).unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    Ok(())
}

/// The CPU time that this thread has taken.
#[allow(unsafe_code)]
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct it is given.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "clock_gettime");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Whatever needs a descriptor says so when there is none, or only some of those it needs, and leaves none open.
pub fn notifier_out_of_descriptors(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let listener = net::listener(&notifier, v4());
    let here = listener.local_addr().unwrap();
    // A first use may open what stays open.
    drop(cx.notifier());
    let before = unix::descriptors();
    // How many a Notifier takes to be made.
    let needs = {
        let _one = cx.builder().build().unwrap();
        unix::descriptors() - before
    };
    for free in 0..=needs {
        let (limit, fill) = unix::FewDescriptors::leave(free);
        let inside = open_numbers();
        let built = cx.builder().build();
        let event = notifier.block_on(async { Event::new() });
        let (socket, connected, bound) = if free == 0 {
            let socket = Socket::new_on(&notifier, Domain::V4, Type::Stream, None);
            let connected = notifier.block_on(TcpStream::connect(here).timeout(net::LIMIT));
            let bound = notifier.block_on(pike::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)));
            (socket.err(), connected.err(), bound.err())
        } else {
            (None, None, None)
        };
        let built = built.map(drop);
        let left = open_numbers();
        drop((limit, fill));

        if free < needs {
            let error = built.expect_err("a Notifier without descriptors");
            let refused = error.get_ref().and_then(|cause| cause.downcast_ref::<pike::Refused>());
            let code = error.raw_os_error().or(refused.and_then(|refused| refused.code));
            assert_eq!(code, Some(libc::EMFILE), "{free} free: {error:?}");
        } else {
            built.unwrap();
        }
        // An Event needs none, or says so.
        if let Err(error) = &event {
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error:?}");
        }
        drop(event);
        if free == 0 {
            for (what, error) in [("Socket::new", socket), ("connect", connected), ("bind", bound)] {
                let error = error.unwrap_or_else(|| panic!("{what} without descriptors"));
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{what}: {error:?}");
            }
        }
        assert_eq!(left, inside, "{free} free: something was left open");
    }
    assert_eq!(unix::descriptors(), before, "descriptors");
    let _ = soon(&notifier, "a connect afterwards", TcpStream::connect(here)).unwrap();
    Ok(())
}

/// How many of the numbers that may be open are: counting with a folder would need a descriptor itself.
fn open_numbers() -> usize {
    (0..4096).filter(|&fd| unix::is_open(fd)).count()
}

/// Writing to a peer that is gone, in every form, is an error and no signal: in a child where SIGPIPE ends the process.
pub fn broken_pipe_raises_no_signal(cx: &Cx) -> Outcome {
    let backend = cx.backend();
    unix::in_child(Duration::from_secs(10), || {
        sigpipe_ends_us();
        let child = Cx::new("in a child".to_owned(), backend, Duration::from_secs(8));
        let notifier = child.notifier();
        for which in 0..8 {
            let (stream, peer) = net::with_peer(&child, &notifier);
            drop(peer);
            // Both sides are ended: each write fails.
            let mut failed = 0;
            let mut stream = Some(stream);
            for _ in 0..100 {
                let result = write_somehow(&notifier, &mut stream, which);
                failed += usize::from(result.as_ref().is_err_and(is_gone));
                match result {
                    Err(error) if !is_gone(&error) && error.kind() != ErrorKind::WouldBlock => {
                        return Err(format!("form {which}: {error}"));
                    }
                    _ => {}
                }
                if failed == 3 {
                    break;
                }
                notifier.poll(Some(Duration::from_millis(1))).map_err(|error| error.to_string())?;
            }
            if failed < 3 {
                return Err(format!("form {which} of writing to nobody failed {failed} times only"));
            }
        }
        Ok(())
    });
    Ok(())
}

fn write_somehow(notifier: &Notifier, stream: &mut Option<TcpStream>, which: usize) -> io::Result<usize> {
    if which == 7 {
        let (read, write) = stream.take().expect("a stream").into_split();
        let result = notifier.block_on(write.write(b"x"));
        *stream = read.reunite(write).ok();
        return result;
    }
    let it = stream.as_mut().expect("a stream");
    match which {
        0 => notifier.block_on(it.write(b"x")),
        1 => notifier.block_on(it.write_vectored(&[IoSlice::new(b"x"), IoSlice::new(b"y")])),
        2 => notifier.block_on(it.socket().send(b"x", SendFlags::NONE)),
        3 => notifier.block_on(it.write_all(b"x")).map(|()| 1),
        4 => it.try_write(b"x"),
        5 => it.try_write_vectored(&[IoSlice::new(b"x")]),
        _ => notifier.block_on(it.split().1.write(b"x")),
    }
}

/// Rust ignores SIGPIPE; here it is at its default, as in a library of a C program.
#[allow(unsafe_code)]
fn sigpipe_ends_us() {
    // SAFETY: the child has one thread, and the default needs no handler.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A connect is given up while nobody answers, and is answered before the next turn: who connects again has that connection.
pub fn connect_again_has_the_connection(cx: &Cx) -> Outcome {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        skip!("a second connect(2) says that it is connected");
    }
    let mut all = Vec::new();
    for builder in [cx.builder(), cx.builder().bound()] {
        let notifier = builder.build().unwrap();
        let Some(full) = net::full_listener(cx, &notifier) else { skip!("a listener has room for all") };
        let socket = net::bare(&notifier, v4(), Type::Stream);
        let connecting = Task::pending(socket.connect(full.address));
        cx.settle(&notifier); // the system has been told
        drop(connecting);
        all.push((notifier, full, socket));
    }
    for (_, full, _) in &all {
        while full.listener.try_accept().is_ok() {}
    }
    for (notifier, full, socket) in &all {
        cx.until("there is room, and it is tried again", || socket.peer_addr().is_ok());
        soon(notifier, "the connection", async {
            socket.connect(full.address).await.unwrap();
            let (accepted, _) = full.listener.accept().await.unwrap();
            socket.write_owned(&b"x"[..]).await.0.unwrap();
            assert_eq!(accepted.read_owned(vec![0; 8]).await.1, b"x");
            assert!(socket.connect(full.address).await.is_err(), "it is connected");
        });
    }
    Ok(())
}
