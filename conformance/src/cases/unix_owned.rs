//! Operations that own their buffer on what only Unix has: pipes and other descriptors by Handle, messages of Unix sockets.
//! Where the kernel does them by itself, nothing of that shows.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    pin::pin,
    thread,
    time::Duration,
};

use futures_lite::future::{self, zip};
use pike::{
    Backend, Closed, Handle, Interest, Notifier,
    buf::BufResult,
    net::UnixDatagram,
    socket::{Domain, Socket, Type, UnixAddress},
    time::Elapsed,
};

use crate::{
    Cx, Outcome, Rng, Task,
    net::{self, assert_bytes_at, bytes_at, soon},
    skip, system, unix,
};

fn pipe(notifier: &Notifier) -> (Handle<File>, Handle<File>) {
    let (source, sink) = unix::pipe();
    (Handle::new_on(notifier, source).unwrap(), Handle::new_on(notifier, sink).unwrap())
}

/// Reads and writes of a pipe that wait for each other, in order with borrowed ones that come later, to the end and beyond.
pub fn owned_on_pipes(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (source, sink) = pipe(&notifier);
    for round in 0..3 {
        let mut first = Task::pending(source.read_owned(Vec::with_capacity(2)));
        cx.settle(&notifier);
        let mut buf = [0; 8];
        let mut second = Task::pending(source.async_io(Interest::READABLE, |mut io| io.read(&mut buf)));
        let (sent, bytes) = soon(&notifier, "a write", sink.write_owned(b"ab".to_vec()));
        assert_eq!((sent.unwrap(), &bytes[..]), (2, &b"ab"[..]));
        let (got, bytes) = net::finish(cx, &notifier, "the first to read", &mut first);
        assert_eq!((got.unwrap(), &bytes[..]), (2, &b"ab"[..]), "round {round}");
        cx.settle(&notifier);
        assert!(second.poll().is_pending());
        soon(&notifier, "another write", sink.write_all_owned(&b"cde"[..])).0.unwrap();
        assert_eq!(net::finish(cx, &notifier, "who came later", &mut second).unwrap(), 3);
        drop(second);
        assert_eq!(&buf[..3], b"cde");
    }

    // Writers wait: the owned one has begun, and the borrowed one does not overtake it.
    let full = cx.fill(sink.get_ref());
    let got = soon(&notifier, "writers that wait", async {
        let mut owned = pin!(sink.write_owned(bytes_at(0, 4096)));
        assert!(future::poll_once(owned.as_mut()).await.is_none());
        future::yield_now().await;
        let mut borrowed = pin!(sink.async_io(Interest::WRITABLE, |mut io| io.write(b"!")));
        assert!(future::poll_once(borrowed.as_mut()).await.is_none());
        let reading = async {
            let mut got = Vec::new();
            while got.len() < full + 4097 {
                got.extend(source.read_owned(Vec::with_capacity(30_000)).await.1);
            }
            got
        };
        let ((sent, last), got) = zip(zip(owned, borrowed), reading).await;
        assert_eq!(sent.0.unwrap(), 4096);
        assert_eq!(last.unwrap(), 1);
        got
    });
    assert_bytes_at(0, &got[full..full + 4096]);
    assert_eq!(got[full + 4096], b'!');

    assert_eq!(soon(&notifier, "no room", source.read_owned(Vec::new())).0.unwrap(), 0);
    let mut last = Task::pending(source.read_owned(b"....".to_vec()));
    cx.settle(&notifier);
    drop(sink);
    let (ended, bytes) = net::finish(cx, &notifier, "the end", &mut last);
    assert_eq!((ended.unwrap(), bytes.len()), (0, 0));
    assert!(soon(&notifier, "the end once more", source.read_pooled()).unwrap().is_empty());
    drop(last);

    let (source, sink) = pipe(&notifier);
    cx.fill(sink.get_ref());
    let mut blocked = Task::pending(sink.write_owned(b"to nobody".to_vec()));
    cx.settle(&notifier);
    drop(source);
    let (broken, bytes) = net::finish(cx, &notifier, "a broken pipe", &mut blocked);
    assert_eq!((broken.unwrap_err().kind(), &bytes[..]), (ErrorKind::BrokenPipe, &b"to nobody"[..]));
    drop(blocked);
    sink.cancel();
    let (closed, bytes) = soon(&notifier, "cancelled", sink.write_owned(bytes));
    assert!(Closed::is(&closed.unwrap_err()) && bytes == b"to nobody");
    Ok(())
}

/// What is neither a socket nor a pipe, some of which the kernel does not wait for: terminals, event descriptors.
pub fn owned_on_terminals(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (master, slave) = match unix::open_pty() {
        Ok(ends) => ends,
        Err(error) => skip!("this machine gives out no pseudo terminal: {error}"),
    };
    let master = Handle::new_on(&notifier, master).unwrap();
    let slave = Handle::new_on(&notifier, slave).unwrap();
    for line in ["one\n", "another\n", "a third\n"] {
        let mut reader = Task::pending(slave.read_owned(Vec::with_capacity(64)));
        cx.settle(&notifier);
        soon(&notifier, "a line", master.write_all_owned(line.as_bytes().to_vec())).0.unwrap();
        let (got, bytes) = net::finish(cx, &notifier, "the slave's reader", &mut reader);
        assert_eq!((got.unwrap(), &bytes[..]), (line.len(), line.as_bytes()));
        let mut echo = Vec::new();
        while !echo.ends_with(b"\n") {
            echo.extend(soon(&notifier, "the echo", master.read_owned(Vec::with_capacity(64))).1);
        }
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let event: OwnedFd = unix::eventfd();
        let other = File::from(event.try_clone().unwrap());
        let event = Handle::new_on(&notifier, event).unwrap();
        for count in [3_u64, 5] {
            let mut reader = Task::pending(event.read_owned(Vec::with_capacity(8)));
            cx.settle(&notifier);
            (&other).write_all(&count.to_ne_bytes()).unwrap();
            let (got, bytes) = net::finish(cx, &notifier, "an event", &mut reader);
            assert_eq!((got.unwrap(), &bytes[..]), (8, &count.to_ne_bytes()[..]));
        }
    }
    Ok(())
}

/// The operation, cancelled at a random moment.
async fn cancelled<T, B>(operation: pike::buf::Owned<'_, T, B>, polls: usize) -> BufResult<T, B> {
    let mut operation = pin!(operation);
    for _ in 0..polls {
        if let Some(output) = future::poll_once(operation.as_mut()).await {
            return output;
        }
        future::yield_now().await;
    }
    operation.as_mut().cancel();
    operation.await
}

/// Reads of a pipe are cancelled, limited and dropped while bytes come, thousands of times, between borrowed ones: every byte
/// is read once and in order.
pub fn cancel_races_pipe(cx: &Cx) -> Outcome {
    cx.take_longer(Duration::from_secs(20));
    let notifier = cx.notifier();
    let rng = &mut Rng::new();
    let before = system::descriptors();
    let total = cx.rounds(6_000);
    let (source, mut sink) = unix::pipe();
    let source = Handle::new_on(&notifier, source).unwrap();
    let rest = thread::scope(|scope| {
        let mut pauses = Rng::with_seed(rng.next());
        scope.spawn(move || {
            let mut sent = 0;
            while sent < total {
                let bytes = bytes_at(sent, (1 + pauses.below(3)).min(total - sent));
                sink.write_all(&bytes).unwrap();
                sent += bytes.len();
                if pauses.one_in(2) {
                    thread::sleep(Duration::from_nanos(pauses.below(60_000) as u64));
                }
            }
        });
        let limit = Duration::from_secs(15);
        let received = notifier.block_on(pike::time::timeout(limit, async {
            let (mut got, mut cancels) = (0, 0);
            // The last few are for whoever takes the pipe over.
            while got < total - 20 {
                let room = Vec::with_capacity(1 + rng.below(4));
                let bytes = match rng.below(5) {
                    0 => {
                        let limit = Duration::from_nanos(rng.below(50_000) as u64);
                        let (result, buf) = source.read_owned(room).timeout(limit).await;
                        assert!(result.as_ref().err().is_none_or(Elapsed::is), "{result:?}");
                        result.ok().map(|_| buf)
                    }
                    1 => future::poll_once(source.read_owned(room)).await.map(|(result, buf)| {
                        result.unwrap();
                        buf
                    }),
                    2 => {
                        let mut buf = [0; 4];
                        let reading = source.async_io(Interest::READABLE, |mut io| io.read(&mut buf));
                        match future::poll_once(reading).await {
                            Some(Ok(count)) => Some(buf[..count].to_vec()),
                            // Something comes first that was read for a dropped operation.
                            Some(Err(error)) => {
                                assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                                Some(source.read_pooled().await.unwrap().to_vec())
                            }
                            None => None,
                        }
                    }
                    _ => {
                        let (result, buf) = cancelled(source.read_owned(room), rng.below(4)).await;
                        assert!(buf.capacity() > 0, "the buffer");
                        assert!(result.as_ref().err().is_none_or(Closed::is), "{result:?}");
                        result.ok().map(|_| buf)
                    }
                };
                match bytes {
                    Some(bytes) => {
                        assert_bytes_at(got, &bytes);
                        got += bytes.len();
                    }
                    None => {
                        cancels += 1;
                        future::yield_now().await;
                    }
                }
            }
            assert!(cancels > 0, "no race");
            if let Some((result, bytes)) = future::poll_once(source.read_owned(Vec::with_capacity(3))).await {
                result.unwrap();
                assert_bytes_at(got, &bytes);
                got += bytes.len();
            }
            got
        }));
        let got = received.expect("all but the last bytes");
        let (source, mut bytes, error) = source.into_parts();
        assert!(error.is_none());
        // Of std only a socket can be made blocking, and what it does for that is done to any descriptor.
        let source = UnixStream::from(OwnedFd::from(source));
        source.set_nonblocking(false).unwrap();
        File::from(OwnedFd::from(source)).read_to_end(&mut bytes).unwrap();
        assert_bytes_at(got, &bytes);
        got + bytes.len()
    });
    assert_eq!(rest, total);
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// A Handle is dropped, closed or taken apart under reads and writes that wait, whose futures are gone or leaked: the other
/// end is told at once, nothing is read from a descriptor that gets the number, and no descriptor is left behind.
pub fn handle_ends_under_operations(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let before = system::descriptors();
    for round in 0..cx.rounds(200) {
        let (source, mut sink) = unix::pipe();
        let handle = Handle::new_on(&notifier, source).unwrap();
        let mut reading = Task::pending(handle.read_owned(Vec::with_capacity(8)));
        if round % 2 == 0 {
            notifier.poll(Some(Duration::ZERO)).unwrap();
        }
        let _ = reading.poll();
        drop(reading);
        match round % 5 {
            0 => drop(handle),
            1 => soon(&notifier, "close", handle.close()).unwrap(),
            2 => thread::scope(|scope| scope.spawn(|| drop(handle)).join().unwrap()),
            3 => {
                let (source, read, error) = handle.into_parts();
                assert!(read.is_empty() && error.is_none());
                sink.write_all(b"for the next").unwrap();
                assert_eq!((&source).read(&mut [0; 16]).unwrap(), 12);
            }
            _ => drop(handle.into_inner()),
        }
        // The numbers are these.
        let (other_source, mut other_sink) = unix::pipe();
        other_sink.write_all(b"a stranger's").unwrap();
        let told = || sink.write(b"x").is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
        cx.turn_until(&notifier, "a broken pipe", told);
        assert_eq!(unix::bytes_queued(&other_source), 12, "round {round}");
    }
    cx.settle(&notifier);
    assert_eq!(system::descriptors(), before, "descriptors");
    Ok(())
}

/// A write to a pipe was begun, and its Handle is gone: not a byte of it comes to the pipe that has the numbers next.
pub fn queued_writes_spare_the_next_pipe(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut again = 0;
    for round in 0..8 {
        let (mut source, sink) = unix::pipe();
        let handle = Handle::new_on(&notifier, sink).unwrap();
        let number = system::raw(&handle);
        let mut writing = Task::new(handle.write_all_owned(bytes_at(0, 100)));
        let _ = writing.poll();
        if round % 2 == 0 {
            writing.forget()
        } else {
            drop(writing)
        }
        match round % 4 {
            0 | 1 => drop(handle),
            _ => soon(&notifier, "close", handle.close()).unwrap(),
        }
        // The Handle's number, and that of the duplicate which the kernel was to write to, if it was.
        let next = [unix::pipe(), unix::pipe()];
        again += usize::from(
            next.iter().any(|(source, sink)| [system::raw(source), system::raw(sink)].contains(&number)),
        );
        (0..3).for_each(|_| _ = notifier.poll(Some(Duration::from_millis(2))).unwrap());
        next.iter().for_each(|(source, _)| assert_eq!(unix::bytes_queued(source), 0, "round {round}"));
        let mut got = Vec::new();
        source.read_to_end(&mut got).unwrap();
        assert_bytes_at(0, &got);
        assert!(cx.backend() != Backend::IoUring || got.is_empty(), "it was not queued");
    }
    assert!(again > 0, "no number was given out again");
    Ok(())
}

/// Datagrams by name and to a peer, and messages in order, in every owned form: whole, with senders, cut only where there is
/// no room; those of dropped receives wait for the next, however long they are.
pub fn owned_unix_messages(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = unix::Folder::new();
    let _here = notifier.enter();
    let (one, other) =
        (UnixDatagram::bind(folder.path("one")).unwrap(), UnixDatagram::bind(folder.path("other")).unwrap());
    let (from_one, there) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    soon(&notifier, "datagrams", async {
        for round in 0..3 {
            let sending = one.socket().send_to_owned(b"by name".to_vec(), there);
            let (got, sent) = zip(other.recv_from_owned(Vec::with_capacity(32)), sending).await;
            assert_eq!((got.0.unwrap(), &got.1[..]), ((7, from_one), &b"by name"[..]), "round {round}");
            assert_eq!(sent.0.unwrap(), 7);
            let sending = one.socket().send_to_owned(&b"cut"[..], there);
            let (got, sent) = zip(other.recv_owned(Vec::with_capacity(2)), sending).await;
            assert_eq!((got.0.unwrap(), &got.1[..], sent.0.unwrap()), (2, &b"cu"[..], 3));
        }
    });

    // For a receive that is dropped while it waits: as long as a sender may be.
    for len in [5, 100_000] {
        let receiving = Task::pending(other.recv_owned(Vec::with_capacity(4)));
        cx.settle(&notifier);
        let long = bytes_at(0, len);
        soon(&notifier, "a datagram", one.send_to(&long, folder.path("other"))).unwrap();
        for _ in 0..3 {
            notifier.poll(Some(Duration::from_millis(1))).unwrap();
        }
        drop(receiving);
        cx.settle(&notifier);
        let mut buf = vec![0; len + 1];
        let (count, from) = soon(&notifier, "the dropped one's", other.recv_from(&mut buf)).unwrap();
        assert_eq!((count, from), (len, from_one));
        assert_bytes_at(0, &buf[..len]);
    }
    assert!(Task::new(other.recv_owned(Vec::with_capacity(4))).poll().is_pending(), "one too many");

    // Nobody has that name, and the buffer comes back.
    let nobody = UnixAddress::from_pathname(folder.path("nobody")).unwrap();
    let (refused, buf) = soon(&notifier, "nobody", one.socket().send_to_owned(b"mine".to_vec(), nobody));
    assert_eq!((refused.unwrap_err().kind(), &buf[..]), (ErrorKind::NotFound, &b"mine"[..]));

    let (left, right) = UnixDatagram::pair().unwrap();
    soon(&notifier, "a pair", async {
        let (got, sent) = zip(left.recv_owned(Vec::with_capacity(16)), right.send_owned(&b"ping"[..])).await;
        assert_eq!((got.0.unwrap(), &got.1[..], sent.0.unwrap()), (4, &b"ping"[..], 4));
    });
    if cfg!(target_vendor = "apple") {
        skip!("macOS has no messages in order");
    }
    let (left, right) = Socket::pair(Domain::Unix, Type::SeqPacket, None).unwrap();
    soon(&notifier, "messages in order", async {
        let parts = vec![b"in ".to_vec(), b"two".to_vec()];
        let room = vec![Vec::with_capacity(2), Vec::with_capacity(16)];
        let (got, sent) = zip(left.read_vectored_owned(room), right.write_vectored_owned(parts)).await;
        assert_eq!((got.0.unwrap(), &got.1[0][..], &got.1[1][..]), (6, &b"in"[..], &b" two"[..]));
        assert_eq!(sent.0.unwrap(), 6);
        for message in [&b"first"[..], b"second"] {
            right.write_owned(message.to_vec()).await.0.unwrap();
        }
        let (got, buf) = left.read_owned(Vec::with_capacity(3)).await;
        assert_eq!((got.unwrap(), &buf[..]), (3, &b"fir"[..]), "the rest is lost");
        assert_eq!(left.recv_pooled().await.unwrap()[..], b"second"[..]);
        let ending = async { drop(right) };
        let (got, ()) = zip(left.read_owned(Vec::with_capacity(3)), ending).await;
        assert_eq!(got.0.unwrap(), 0, "the end");
    });
    Ok(())
}

/// Receives of Unix datagrams are cancelled, limited and dropped while others come: each is received once, whole, with its
/// sender.
pub fn cancel_races_unix_datagrams(cx: &Cx) -> Outcome {
    let notifier = cx.builder().buffers(32, 64).build().unwrap();
    let rng = &mut Rng::new();
    let folder = unix::Folder::new();
    let here = notifier.enter();
    let receiver = UnixDatagram::bind(folder.path("receiver")).unwrap();
    drop(here);
    let sender = std::os::unix::net::UnixDatagram::bind(folder.path("sender")).unwrap();
    let from = UnixAddress::from_pathname(folder.path("sender")).unwrap();
    let (mut sent, mut got) = (0_u32, 0_u32);
    let end = cx.rounds(3_000) as u32;
    soon(&notifier, "all datagrams", async {
        while got < end {
            // As many as fit in the receiver's queue for certain.
            while sent < end && sent < got + 4 && !rng.one_in(3) {
                sender.send_to(&sent.to_le_bytes(), folder.path("receiver")).unwrap();
                sent += 1;
            }
            let number = match rng.below(5) {
                0 => {
                    let operation = receiver.recv_from_owned(Vec::with_capacity(16));
                    let (result, buf) = cancelled(operation, rng.below(3)).await;
                    result.ok().map(|(_, sender)| {
                        assert_eq!(sender, from);
                        buf
                    })
                }
                1 => future::poll_once(receiver.recv_owned(Vec::with_capacity(16))).await.map(
                    |(result, buf)| {
                        result.unwrap();
                        buf
                    },
                ),
                2 => future::poll_once(receiver.recv_from_pooled()).await.map(|received| {
                    let (lease, sender) = received.unwrap();
                    assert_eq!(sender, from);
                    lease.to_vec()
                }),
                3 => {
                    let mut buf = [0; 16];
                    let limit = Duration::from_nanos(rng.below(50_000) as u64);
                    let received = pike::time::timeout(limit, receiver.recv_from(&mut buf)).await;
                    received.ok().map(|received| {
                        let (count, sender) = received.unwrap();
                        assert_eq!(sender, from);
                        buf[..count].to_vec()
                    })
                }
                _ => future::poll_once(receiver.recv_pooled()).await.map(|lease| lease.unwrap().to_vec()),
            };
            match number {
                Some(number) => {
                    assert_eq!(u32::from_le_bytes(number.try_into().unwrap()), got);
                    got += 1;
                }
                None => future::yield_now().await,
            }
        }
    });
    assert!(Task::new(receiver.recv_pooled()).poll().is_pending(), "one too many");
    Ok(())
}

/// Messages of Unix sockets into buffers of the pool: from a name and from none, empty, cut, in order; the end of those in order.
pub fn unix_pooled_messages(cx: &Cx) -> Outcome {
    let notifier = cx.builder().buffers(16, 64).build().unwrap();
    let folder = unix::Folder::new();
    let here = notifier.enter();
    let receiver = UnixDatagram::bind(folder.path("receiver")).unwrap();
    drop(here);
    let named = std::os::unix::net::UnixDatagram::bind(folder.path("sender")).unwrap();
    let unnamed = std::os::unix::net::UnixDatagram::unbound().unwrap();
    let name = UnixAddress::from_pathname(folder.path("sender")).unwrap();
    for (sender, from) in [(&named, name), (&unnamed, UnixAddress::UNNAMED), (&named, name)] {
        for len in [5, 0, 64, 65, 1000, 1] {
            let mut waiting = Task::pending(receiver.recv_from_pooled());
            cx.settle(&notifier);
            for _ in 0..2 {
                sender.send_to(&bytes_at(len, len), folder.path("receiver")).unwrap();
            }
            let (lease, said) = net::finish(cx, &notifier, "a datagram", &mut waiting).unwrap();
            assert_eq!((lease.len(), said), (len.min(64), from));
            assert_bytes_at(len, &lease);
            drop((waiting, lease));
            let lease = soon(&notifier, "another", receiver.recv_pooled()).unwrap();
            assert_eq!(lease.len(), len.min(64));
            assert_bytes_at(len, &lease);
        }
    }
    // Dropped: what comes for it is the next one's, with the name.
    drop(Task::pending(receiver.recv_from_pooled()));
    let dropped = Task::pending(receiver.recv_pooled());
    cx.settle(&notifier);
    named.send_to(b"kept", folder.path("receiver")).unwrap();
    cx.settle(&notifier);
    drop(dropped);
    let (lease, said) = soon(&notifier, "what was kept", receiver.recv_from_pooled()).unwrap();
    assert_eq!((&lease[..], said), (&b"kept"[..], name));
    let mut waiting = Task::pending(receiver.recv_pooled());
    cx.settle(&notifier);
    receiver.socket().shutdown(std::net::Shutdown::Read).unwrap();
    assert!(net::finish(cx, &notifier, "its own end", &mut waiting).unwrap().is_empty());

    if cfg!(target_vendor = "apple") {
        return Ok(()); // it has no messages in order
    }
    let (one, other) = Socket::pair_on(&notifier, Domain::Unix, Type::SeqPacket, None).unwrap();
    let mut waiting = Task::pending(one.recv_pooled());
    cx.settle(&notifier);
    for len in [3, 100, 1] {
        soon(&notifier, "a send", other.write(&bytes_at(0, len))).unwrap();
    }
    assert_bytes_at(0, &net::finish(cx, &notifier, "the first", &mut waiting).unwrap());
    for len in [64, 1] {
        let (lease, from) = soon(&notifier, "a message", one.recv_from_pooled()).unwrap();
        assert_eq!((lease.len(), from), (len, UnixAddress::UNNAMED.into()));
        assert_bytes_at(0, &lease);
    }
    let mut waiting = Task::new(one.recv_pooled());
    assert!(waiting.poll().is_pending());
    drop(other);
    assert!(net::finish(cx, &notifier, "the end", &mut waiting).unwrap().is_empty());
    assert!(soon(&notifier, "the end once more", one.recv_pooled()).unwrap().is_empty());
    Ok(())
}
