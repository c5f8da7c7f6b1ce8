//! UnixDatagram.

use std::{
    future::poll_fn,
    io::{ErrorKind, IoSlice, IoSliceMut},
    net::Shutdown,
    os::unix::net as std_unix,
    path::PathBuf,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::zip;
use pike::{
    Notifier,
    net::{UnixDatagram, UnixStream, unix::SocketAddr},
    socket::{Domain, RecvFlags, SendFlags, Socket, Type, UnixAddress, control::ControlBuf},
};

use crate::{
    Cx, Outcome, Task,
    net::{self, assert_kind, soon},
    skip,
    unix::{self, Folder},
};

fn datagrams(notifier: &Notifier) -> (UnixDatagram, UnixDatagram) {
    let _here = notifier.enter();
    UnixDatagram::pair().expect("a pair")
}

/// A receiver and its address.
fn receiver(notifier: &Notifier, folder: &Folder, name: &str) -> (UnixDatagram, PathBuf) {
    let _here = notifier.enter();
    let path = folder.path(name);
    (UnixDatagram::bind(&path).expect("a receiver"), path)
}

/// Datagrams in every form: to a path, to an address, to the one peer and back, polled and tried, whole or cut, with the
/// address of the sender if it has one.
pub fn unix_datagram_forms(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = Folder::new();
    let ((one, here), (other, there)) =
        (receiver(&notifier, &folder, "one"), receiver(&notifier, &folder, "other"));
    let (from_one, from_other) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    assert_eq!((from_one.as_pathname(), from_other.as_pathname()), (Some(&*here), Some(&*there)));
    let mut buf = [0; 16];
    soon(&notifier, "by path and by address", async {
        let (received, sent) = zip(other.recv_from(&mut buf), one.send_to(b"by path", &there)).await;
        assert_eq!((received.unwrap(), sent.unwrap()), ((7, from_one), 7));
        let (received, sent) = zip(one.recv(&mut buf), other.send_to_addr(b"address", &from_one)).await;
        assert_eq!((received.unwrap(), sent.unwrap()), (7, 7));
        assert_eq!(&buf[..7], b"address");
    });
    for attempt in 0..2 {
        let sent = match attempt {
            0 => one.try_send_to(b"tried", &there),
            _ => one.try_send_to_addr(b"tried", &from_other),
        };
        assert_eq!(sent.unwrap(), 5);
        assert_eq!(soon(&notifier, "a look", other.peek_sender()).unwrap(), from_one);
        assert_eq!(other.try_peek_sender().unwrap(), from_one);
        assert_eq!(other.try_peek_from(&mut buf).unwrap(), (5, from_one));
        assert_eq!(other.try_recv_from(&mut buf).unwrap(), (5, from_one));
    }
    soon(&notifier, "into the room of a vector", async {
        let (received, sent) =
            zip(other.recv_from_owned(Vec::with_capacity(16)), one.send_to(b"owned", &there)).await;
        assert_eq!((received.0.unwrap(), &received.1[..], sent.unwrap()), ((5, from_one), &b"owned"[..], 5));
        let (received, sent) =
            zip(other.recv_owned(Vec::with_capacity(3)), one.send_to(b"owned", &there)).await;
        assert_eq!((received.0.unwrap(), &received.1[..], sent.unwrap()), (3, &b"own"[..], 5));
    });
    assert_eq!(other.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut polling = Task::pending(poll_fn(|cx| other.poll_recv_from(cx, &mut buf)));
    let mut task = Context::from_waker(Waker::noop());
    assert!(matches!(one.poll_send_to(&mut task, b"polled", &there), Poll::Ready(Ok(6))));
    assert_eq!(net::finish(cx, &notifier, "a polled receive", &mut polling).unwrap(), (6, from_one));
    drop(polling);

    // An abstract name where a path is asked for.
    if let Ok(name) = SocketAddr::from_abstract_name(format!("pike datagram {}", std::process::id())) {
        let as_path = unix::name_as_path(&name);
        let (named, sender) = {
            let _here = notifier.enter();
            (UnixDatagram::bind(&as_path).unwrap(), UnixDatagram::unbound().unwrap())
        };
        assert_eq!(named.local_addr().unwrap(), name);
        assert_eq!(soon(&notifier, "a send", sender.send_to(b"one", &as_path)).unwrap(), 3);
        assert_eq!(sender.try_send_to(b"two", &as_path).unwrap(), 3);
        assert!(matches!(sender.poll_send_to(&mut task, b"three", &as_path), Poll::Ready(Ok(5))));
        sender.connect(&as_path).unwrap();
        assert_eq!(sender.peer_addr().unwrap(), name);
        for len in [3, 3, 5] {
            assert_eq!(soon(&notifier, "a datagram", named.recv(&mut buf)).unwrap(), len);
        }
    }

    // The one peer. Who has one hears nobody else, and can be sent to by nobody else.
    one.connect(&there).unwrap();
    other.connect_addr(&from_one).unwrap();
    assert_eq!((one.peer_addr().unwrap(), other.peer_addr().unwrap()), (from_other, from_one));
    let stranger = {
        let _here = notifier.enter();
        UnixDatagram::unbound().unwrap()
    };
    let refused = soon(&notifier, "a refusal", stranger.send_to(b"x", &there)).unwrap_err();
    assert_kind(&refused, &[ErrorKind::PermissionDenied]);
    assert_kind(&stranger.connect(&there).unwrap_err(), &[ErrorKind::PermissionDenied]);
    assert_kind(&stranger.try_send(b"x").unwrap_err(), &[ErrorKind::NotConnected]);
    assert_kind(&stranger.connect(folder.path("nobody")).unwrap_err(), &[ErrorKind::NotFound]);
    assert_eq!(stranger.connect("").unwrap_err().kind(), ErrorKind::InvalidInput);
    echo(cx, &notifier, &one, &other);
    drop(other);
    let gone = soon(&notifier, "nobody there", one.send(b"x")).unwrap_err();
    assert_kind(&gone, &[ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset]);

    let (one, other) = datagrams(&notifier);
    assert!(one.local_addr().unwrap().is_unnamed());
    one.try_send(b"unnamed").unwrap();
    assert_eq!(other.try_recv_from(&mut buf).unwrap(), (7, SocketAddr::UNNAMED));
    echo(cx, &notifier, &one, &other);
    one.shutdown(Shutdown::Write).unwrap();
    assert_kind(&one.try_send(b"x").unwrap_err(), &[ErrorKind::BrokenPipe]);
    one.shutdown(Shutdown::Both).unwrap();
    assert_eq!(soon(&notifier, "the end", one.recv(&mut buf)).unwrap(), 0);
    assert_eq!(soon(&notifier, "nobody at the end", one.peek_sender()).unwrap(), SocketAddr::UNNAMED);
    let (socket, mut control) = (one.socket(), ControlBuf::<0>::new());
    let message = soon(&notifier, "the end, whole", async {
        socket.recv_msg(&mut [IoSliceMut::new(&mut buf)], &mut control, RecvFlags::NONE).await
    });
    assert_eq!(message.unwrap().len, 0);
    assert!(soon(&notifier, "the end, for who looks", one.peek_sender()).unwrap().is_unnamed());
    let (ended, _) = soon(&notifier, "the end, owned", one.recv_owned(vec![0; 8]));
    assert_eq!(ended.unwrap(), 0);
    let (ended, _) = soon(&notifier, "the end, owned", one.recv_from_owned(vec![0; 8]));
    assert_eq!(ended.unwrap(), (0, SocketAddr::UNNAMED));

    // Of std, and back.
    let (std, peer) = std_unix::UnixDatagram::pair().unwrap();
    let ours = {
        let _here = notifier.enter();
        UnixDatagram::from_std(std).unwrap()
    };
    let mut receiving = Task::pending(ours.recv(&mut buf));
    peer.send(b"std").unwrap();
    assert_eq!(net::finish(cx, &notifier, "a datagram of std's", &mut receiving).unwrap(), 3);
    drop(receiving);
    let bare = Socket::new_on(&notifier, Domain::Unix, Type::Datagram, None).unwrap();
    assert_eq!(UnixStream::try_from(bare).unwrap_err().kind(), ErrorKind::InvalidInput);
    let std = ours.into_std().unwrap();
    assert!(unix::register_again(&notifier, &std).is_none());
    Ok(())
}

/// Between two that are connected: whole messages, cut ones, empty ones, by several forms.
fn echo(cx: &Cx, notifier: &Notifier, one: &UnixDatagram, other: &UnixDatagram) {
    let mut buf = [0; 16];
    let mut receiving = Task::pending(other.recv(&mut buf));
    assert_eq!(soon(notifier, "a send", one.send(b"first")).unwrap(), 5);
    assert_eq!(net::finish(cx, notifier, "a datagram", &mut receiving).unwrap(), 5);
    drop(receiving);
    let mut polling = Task::pending(poll_fn(|cx| one.poll_recv(cx, &mut buf)));
    let mut task = Context::from_waker(Waker::noop());
    assert!(matches!(other.poll_send(&mut task, b"second"), Poll::Ready(Ok(6))));
    assert_eq!(net::finish(cx, notifier, "a polled receive", &mut polling).unwrap(), 6);
    drop(polling);
    one.try_send(b"longer than the room").unwrap();
    one.try_send(b"").unwrap();
    assert_eq!(soon(notifier, "a look", other.peek(&mut buf)).unwrap(), 16);
    assert_eq!(soon(notifier, "a cut one", other.recv(&mut buf[..6])).unwrap(), 6);
    assert_eq!(&buf[..6], b"longer");
    assert_eq!(other.recv_with_now(notifier), b"");
    soon(notifier, "ready to send", one.writable()).unwrap();
    one.try_send(b"lent").unwrap();
    soon(notifier, "ready to receive", other.readable()).unwrap();
    assert_eq!(other.recv_with_now(notifier), b"lent");
    assert_eq!(other.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
}

trait Lent {
    fn recv_with_now(&self, notifier: &Notifier) -> Vec<u8>;
}

impl Lent for UnixDatagram {
    fn recv_with_now(&self, notifier: &Notifier) -> Vec<u8> {
        soon(notifier, "a lent datagram", self.recv_with(<[u8]>::to_vec)).unwrap()
    }
}

/// Tasks on threads of their own share a socket: two send on it and one receives what the peer sends back. Every datagram
/// comes once, and those of each sender in their order.
pub fn unix_datagram_shared_by_tasks(cx: &Cx) -> Outcome {
    const EACH: u8 = 200;
    let notifier = cx.notifier();
    let (one, other) = datagrams(&notifier);
    thread::scope(|scope| {
        let (notifier, one, other) = (&notifier, &one, &other);
        for who in 0..2 {
            scope.spawn(move || {
                soon(notifier, "a sender", async {
                    for n in 0..EACH {
                        assert_eq!(one.send(&[who, n]).await.unwrap(), 2);
                    }
                });
            });
        }
        scope.spawn(move || {
            soon(notifier, "the peer", async {
                let mut buf = [0; 4];
                for _ in 0..2 * usize::from(EACH) {
                    let count = other.recv(&mut buf).await.unwrap();
                    assert_eq!(other.send(&buf[..count]).await.unwrap(), count);
                }
            });
        });
        soon(notifier, "the receiver", async {
            let (mut buf, mut next) = ([0; 4], [0; 2]);
            for _ in 0..2 * usize::from(EACH) {
                assert_eq!(one.recv(&mut buf).await.unwrap(), 2);
                let next = &mut next[usize::from(buf[0])];
                assert_eq!(buf[1], *next, "of sender {}", buf[0]);
                *next += 1;
            }
        });
    });
    assert_eq!(one.try_recv(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    Ok(())
}

/// A receiver that is full makes its senders wait, without a turn in between for each: those with this one peer are
/// woken, and those without go on soon after, whoever filled it. Others are not held up.
pub fn unix_datagram_full_receiver(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = Folder::new();
    let ((slow, path), (quick, elsewhere)) =
        (receiver(&notifier, &folder, "slow"), receiver(&notifier, &folder, "quick"));
    let sender = || {
        let _here = notifier.enter();
        UnixDatagram::unbound().unwrap()
    };
    let (filler, stranger, connected) = (sender(), sender(), sender());
    connected.connect(&path).unwrap();
    let mut queued = 0;
    let full = loop {
        match filler.try_send_to(&[0; 8], &path) {
            Ok(_) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < 1 << 20, "never full");
    };
    if full.kind() != ErrorKind::WouldBlock {
        skip!("a full receiver of this system drops what it is sent: {full}");
    }
    let mut waits = Task::pending(stranger.send_to(b"stranger", &path));
    let mut is_woken = Task::pending(connected.send(b"peer"));
    let mut task = Context::from_waker(Waker::noop());
    assert!(match stranger.poll_send_to(&mut task, b"x", &path) {
        Poll::Ready(result) => result.unwrap_err().kind() == ErrorKind::WouldBlock,
        Poll::Pending => false,
    });
    // One who waits for a full receiver can still send to others.
    assert_eq!(soon(&notifier, "another receiver", stranger.send_to(b"quick", &elsewhere)).unwrap(), 5);
    assert_eq!(soon(&notifier, "it", quick.recv(&mut [0; 8])).unwrap(), 5);

    // A pause ends, finds it full, and the next one is longer: that is no busy waiting.
    let polls = waits.polls();
    let until = std::time::Instant::now() + std::time::Duration::from_millis(300);
    while std::time::Instant::now() < until {
        notifier.poll(Some(std::time::Duration::from_millis(10))).unwrap();
        if waits.is_woken() {
            assert!(waits.poll().is_pending());
        }
    }
    assert!(waits.polls() - polls < 30, "{} polls in 300 ms", waits.polls() - polls);
    assert!(!is_woken.is_woken(), "woken while it is full");

    for _ in 0..queued {
        slow.try_recv(&mut [0; 8]).unwrap();
    }
    assert_eq!(net::finish(cx, &notifier, "the peer's room", &mut is_woken).unwrap(), 4);
    assert_eq!(net::finish(cx, &notifier, "the stranger's room", &mut waits).unwrap(), 8);
    let mut received = [slow.recv_with_now(&notifier), slow.recv_with_now(&notifier)];
    received.sort();
    assert_eq!(received, [b"peer".to_vec(), b"stranger".to_vec()]);

    // Full of its own: the datagrams it has sent take up its own room.
    let (one, other) = datagrams(&notifier);
    let mut queued = 0;
    while one.try_send(&[0; 4096]).is_ok() {
        queued += 1;
    }
    let mut sending = Task::pending(one.send(b"late"));
    for _ in 0..queued {
        other.try_recv(&mut [0; 8]).unwrap();
    }
    assert_eq!(net::finish(cx, &notifier, "own room", &mut sending).unwrap(), 4);
    Ok(())
}

/// Sending to a full receiver waits without being busy, in each form, and ends when that has room: even while much of what
/// the sender sent elsewhere is unread, when the system reports nothing of it.
pub fn unix_datagram_room_is_noticed(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = Folder::new();
    let (_elsewhere, elsewhere) = receiver(&notifier, &folder, "elsewhere");
    let (full, path) = receiver(&notifier, &folder, "full");
    let filler = unbound(&notifier);
    let mut queued = 0;
    while filler.try_send_to(b"x", &path).is_ok() {
        queued += 1;
        cx.check_time("a queue is never full");
    }
    let (plain, message) = (unbound(&notifier), unbound(&notifier));
    for sender in [&plain, &message] {
        assert_eq!(sender.try_send_to(&[0; 80_000], &elsewhere).unwrap(), 80_000);
    }
    let to = UnixAddress::from_pathname(&path).unwrap().into();
    // The owned form waits for nothing, and gives the buffer back.
    let (refused, buf) = soon(&notifier, "a refusal", plain.socket().send_to_owned(b"owned".to_vec(), to));
    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ENOBUFS));
    assert_eq!(buf, b"owned");
    let bufs = [IoSlice::new(b"message")];
    let mut sends = [
        Task::pending(plain.send_to(b"plain", &path)),
        Task::pending(message.socket().send_msg(&bufs, Some(to), &[], SendFlags::NONE)),
    ];
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        notifier.poll(Some(Duration::from_millis(10))).unwrap();
        for send in &mut sends {
            if send.is_woken() {
                assert!(send.poll().is_pending());
            }
        }
    }
    for send in &sends {
        assert!(send.polls() < 30, "{} polls in 300 ms", send.polls());
    }
    for _ in 0..queued {
        full.try_recv(&mut [0; 8]).unwrap();
    }
    let sent = sends.each_mut().map(|send| net::finish(cx, &notifier, "room", send).unwrap());
    assert_eq!(sent, [5, 7]);
    Ok(())
}

fn unbound(notifier: &Notifier) -> UnixDatagram {
    let _here = notifier.enter();
    UnixDatagram::unbound().expect("a socket")
}
