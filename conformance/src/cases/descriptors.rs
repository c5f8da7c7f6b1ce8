//! Descriptors in messages between Unix sockets: what arrives is owned, and what nobody takes is closed.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    panic::{self, AssertUnwindSafe},
};

use futures_lite::future::zip;
use pike::{
    Closed, Notifier,
    os::unix::control::{self as unix_control, ControlExt, descriptors_space},
    socket::{
        Domain, Message, RecvFlags, SendFlags, Socket, Type,
        control::{Control, ControlBuf, Incoming, Outgoing},
    },
};

use crate::{
    Cx, Outcome, Task,
    net::{self, soon, v4},
    unix,
};

const TYPES: [Type; 3] = [Type::Stream, Type::Datagram, Type::SeqPacket];

fn pair(notifier: &Notifier, kind: Type) -> (Socket, Socket) {
    Socket::pair_on(notifier, Domain::Unix, kind, None).expect("a pair")
}

/// Sends some bytes and with them some descriptors.
async fn give(socket: &Socket, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let control: [Outgoing<'_>; 1] = [unix_control::Outgoing::Descriptors(descriptors).into()];
    socket.send_msg(&[IoSlice::new(bytes)], None, &control, SendFlags::NONE).await
}

/// Receives some bytes and what comes with them.
async fn take(socket: &Socket, buf: &mut [u8], control: &mut Control) -> io::Result<Message> {
    socket.recv_msg(&mut [IoSliceMut::new(buf)], control, RecvFlags::NONE).await
}

/// A file that tells by itself which it is.
fn note(text: &str) -> File {
    let (reader, mut writer) = unix::pipe();
    writer.write_all(text.as_bytes()).unwrap();
    reader
}

fn read_note(descriptor: OwnedFd) -> String {
    let mut text = String::new();
    File::from(descriptor).read_to_string(&mut text).unwrap();
    text
}

/// Any number of descriptors of any kind, on each type of socket, to who waits and to who comes later: usable, in order,
/// and not inherited by other programs.
pub fn descriptors_arrive(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for kind in TYPES {
        let (one, other) = pair(&notifier, kind);
        for waits in [true, false] {
            for count in [1, 2, 5, 16] {
                let notes: Vec<_> = (0..count).map(|at| note(&format!("note {at}"))).collect();
                let borrowed: Vec<_> = notes.iter().map(File::as_fd).collect();
                let (mut buf, mut control) = ([0; 16], ControlBuf::<{ descriptors_space(16) }>::new());
                let mut receiving = Task::new(take(&other, &mut buf, &mut control));
                if waits {
                    assert!(receiving.poll().is_pending());
                }
                assert_eq!(soon(&notifier, "a send", give(&one, b"notes", &borrowed)).unwrap(), 5);
                let message = net::finish(cx, &notifier, "descriptors", &mut receiving).unwrap();
                drop(receiving);
                assert_eq!((message.len, &buf[..5]), (5, b"notes".as_slice()));
                assert!(!message.control_truncated && !message.truncated && !control.is_empty());
                let taken: Vec<_> = control.descriptors().collect();
                assert!(taken.iter().all(unix::is_close_on_exec), "{kind:?}: inherited by other programs");
                assert!(control.descriptors().next().is_none(), "given out twice");
                drop((notes, control));
                let texts: Vec<_> = taken.into_iter().map(read_note).collect();
                let expected: Vec<_> = (0..count).map(|at| format!("note {at}")).collect();
                assert_eq!(texts, expected, "{kind:?}");
            }
        }
        // Without descriptors nothing comes.
        soon(&notifier, "a send", give(&one, b"plain", &[])).unwrap();
        let mut control = ControlBuf::<64>::new();
        assert_eq!(soon(&notifier, "bytes", take(&other, &mut [0; 16], &mut control)).unwrap().len, 5);
        assert!(control.is_empty() && control.entries().next().is_none());
    }
    Ok(())
}

/// Sockets through sockets: a listener that is passed before it listens and after, a connection with bytes in it, an end
/// of the very kind of pair that it is passed through.
pub fn descriptors_are_sockets(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = pair(&notifier, Type::Stream);
    let pass = |descriptor: BorrowedFd<'_>| {
        let mut control = ControlBuf::<{ descriptors_space(1) }>::new();
        let mut buf = [0; 4];
        let given = [descriptor];
        let both = zip(take(&other, &mut buf, &mut control), give(&one, b"x", &given));
        let (message, sent) = soon(&notifier, "a socket", both);
        assert_eq!((message.unwrap().len, sent.unwrap()), (1, 1));
        control.descriptors().next().expect("a descriptor")
    };

    for listen_first in [true, false] {
        let listener = net::bare(&notifier, v4(), Type::Stream);
        listener.bind(v4()).unwrap();
        if listen_first {
            listener.listen(8).unwrap();
        }
        let passed = pass(listener.as_fd());
        let at = net::internet(listener.local_addr());
        if !listen_first {
            listener.listen(8).unwrap();
        }
        drop(listener);
        let _here = notifier.enter();
        let passed = pike::net::TcpListener::from_std(passed.into()).unwrap();
        let client = TcpStream::connect(at).unwrap();
        let (_, from) = soon(&notifier, "a connection", passed.accept()).unwrap();
        assert_eq!(from, client.local_addr().unwrap());
    }

    let (ours, mut peer) = cx.tcp_pair();
    peer.write_all(b"before").unwrap();
    let passed = pass(ours.as_fd());
    drop(ours);
    let stream = net::attach(&notifier, passed.into());
    let mut buf = [0; 16];
    assert_eq!(soon(&notifier, "bytes", stream.read(&mut buf)).unwrap(), 6);
    soon(&notifier, "a write", stream.write_all(b"after")).unwrap();
    peer.read_exact(&mut buf[..5]).unwrap();
    assert_eq!(&buf[..5], b"after");

    let (end, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let passed = std::os::unix::net::UnixStream::from(pass(end.as_fd()));
    drop(end);
    (&passed).write_all(b"through itself").unwrap();
    drop(passed);
    let mut text = String::new();
    (&far).read_to_string(&mut text).unwrap();
    assert_eq!(text, "through itself");
    Ok(())
}

/// However the taking ends, every descriptor that was not taken is closed: by a drop, a clear, the next receive, a panic;
/// looked at or not, taken in part, peeked at.
pub fn descriptors_never_taken(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = pair(&notifier, Type::SeqPacket);
    let null = File::open("/dev/null").unwrap();
    let three = [null.as_fd(); 3];
    type Buffer = ControlBuf<{ descriptors_space(3) }>;
    let receive = |control: &mut Buffer, flags| {
        let mut buf = [0; 8];
        let message = soon(&notifier, "a message", async {
            other.recv_msg(&mut [IoSliceMut::new(&mut buf)], control, flags).await
        });
        assert!(!message.unwrap().control_truncated);
    };
    let send = || assert_eq!(soon(&notifier, "a send", give(&one, b"x", &three)).unwrap(), 1);
    let ways: [(&str, &dyn Fn()); 8] = [
        ("dropped", &|| {
            send();
            receive(&mut Buffer::new(), RecvFlags::NONE);
        }),
        ("cleared", &|| {
            send();
            let mut control = Buffer::new();
            receive(&mut control, RecvFlags::NONE);
            let before = unix::descriptors();
            control.clear();
            assert_eq!(unix::descriptors(), before - 3);
            assert!(control.is_empty() && control.descriptors().next().is_none());
        }),
        ("used again", &|| {
            let mut control = Buffer::new();
            for _ in 0..5 {
                send();
                receive(&mut control, RecvFlags::NONE);
            }
            soon(&notifier, "a send", one.write(b"plain")).unwrap();
            receive(&mut control, RecvFlags::NONE);
            assert!(control.is_empty());
        }),
        ("used again in vain", &|| {
            send();
            let mut control = Buffer::new();
            receive(&mut control, RecvFlags::NONE);
            let mut bytes = [0; 8];
            let error = other
                .try_recv_msg(&mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::NONE)
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }),
        ("looked at", &|| {
            send();
            let mut control = Buffer::new();
            receive(&mut control, RecvFlags::NONE);
            for _ in 0..2 {
                assert_eq!(control.entries().count(), 1);
            }
        }),
        ("taken in part", &|| {
            send();
            let mut control = Buffer::new();
            receive(&mut control, RecvFlags::NONE);
            let first = control.descriptors().next().unwrap();
            assert!(unix::is_open(first.as_raw_fd()));
            // The rest is still to be had.
            let Some(Incoming::Unix(unix_control::Incoming::Descriptors(mut left))) =
                control.entries().next()
            else {
                panic!("no descriptors");
            };
            assert!(left.next().is_some());
            drop(control);
            assert!(unix::is_open(first.as_raw_fd()), "what was taken is closed");
        }),
        ("peeked at", &|| {
            send();
            let mut control = Buffer::new();
            for _ in 0..3 {
                receive(&mut control, RecvFlags::PEEK);
            }
            receive(&mut control, RecvFlags::NONE);
            assert_eq!(control.descriptors().count(), 3);
        }),
        ("panicked", &|| {
            send();
            let mut control = Buffer::new();
            receive(&mut control, RecvFlags::NONE);
            let panicking = AssertUnwindSafe(move || {
                let _in_hand = control.descriptors().next().unwrap();
                panic!("with one in hand");
            });
            panic::catch_unwind(panicking).unwrap_err();
        }),
    ];
    let before = unix::descriptors();
    for (name, way) in ways {
        for round in 0..cx.rounds(20) {
            way();
            assert_eq!(unix::descriptors(), before, "{name}, round {round}: descriptors are left open");
        }
    }
    Ok(())
}

/// With too little room it is reported, and what did not fit is closed; the bytes are whole, and so is the next message.
pub fn descriptors_without_room(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let null = File::open("/dev/null").unwrap();
    let many = [null.as_fd(); 10];
    for kind in TYPES {
        let (one, other) = pair(&notifier, kind);
        let before = unix::descriptors();
        let mut rooms: Vec<Box<Control>> = vec![
            Box::new(ControlBuf::<0>::new()),
            Box::new(ControlBuf::<4>::new()),
            Box::new(ControlBuf::<{ descriptors_space(1) }>::new()),
            Box::new(ControlBuf::<{ descriptors_space(4) }>::new()),
            Box::new(ControlBuf::<{ descriptors_space(9) - 4 }>::new()),
        ];
        for control in &mut rooms {
            let room = control.capacity();
            assert_eq!(soon(&notifier, "a send", give(&one, b"hello", &many)).unwrap(), 5);
            let mut buf = [0; 16];
            let message = soon(&notifier, "a message", take(&other, &mut buf, control)).unwrap();
            assert!(message.control_truncated, "{room} bytes of room: not reported");
            assert_eq!((message.len, &buf[..5], message.truncated), (5, b"hello".as_slice(), false));
            let taken = control.descriptors().count();
            assert!(taken < 10 && (taken == 0) == (room < descriptors_space(1)), "{room}: {taken}");
            assert_eq!(unix::descriptors(), before, "{kind:?}, {room} bytes of room: left open");
        }
        // A plain read has no room at all.
        soon(&notifier, "a send", give(&one, b"hello", &many)).unwrap();
        assert_eq!(soon(&notifier, "a read", other.read(&mut [0; 16])).unwrap(), 5);
        assert_eq!(unix::descriptors(), before, "{kind:?}, a plain read: left open");

        soon(&notifier, "a send", give(&one, b"hello", &many)).unwrap();
        let mut control = ControlBuf::<{ descriptors_space(10) }>::new();
        let message = soon(&notifier, "a message", take(&other, &mut [0; 16], &mut control)).unwrap();
        assert_eq!((message.control_truncated, control.descriptors().count()), (false, 10));
    }
    Ok(())
}

/// Without free numbers in the process, what can be opened is, the rest is reported as cut, and nothing stays open.
pub fn descriptors_without_numbers(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other) = pair(&notifier, Type::SeqPacket);
    let null = File::open("/dev/null").unwrap();
    soon(&notifier, "a send", give(&one, b"hello", &[null.as_fd(); 6])).unwrap();
    soon(&notifier, "its arrival", other.ready(pike::Interest::READABLE)).unwrap();
    let before = unix::descriptors();
    let mut control = ControlBuf::<{ descriptors_space(6) }>::new();
    let mut buf = [0; 8];
    let message = {
        let (_few, _fill) = unix::FewDescriptors::leave(2);
        other.try_recv_msg(&mut [IoSliceMut::new(&mut buf)], &mut control, RecvFlags::NONE)
    };
    let message = message.unwrap();
    assert_eq!((message.len, message.control_truncated), (5, true));
    assert_eq!(unix::descriptors(), before + 2);
    assert_eq!(control.descriptors().count(), 2);
    drop(control);
    assert_eq!(unix::descriptors(), before);
    Ok(())
}

/// A receive that is dropped, before its message or after its wake, has taken nothing: the next one gets all of it. What is
/// never received is closed with the sockets.
pub fn descriptors_dropped_receive(cx: &Cx) -> Outcome {
    let before = unix::descriptors();
    {
        let notifier = cx.notifier();
        let (one, other) = pair(&notifier, Type::Stream);
        let file = note("kept");
        let mut control = ControlBuf::<{ descriptors_space(2) }>::new();
        let mut buf = [0; 8];
        drop(Task::pending(take(&other, &mut buf, &mut control)));
        let waiting = Task::pending(take(&other, &mut buf, &mut control));
        soon(&notifier, "a send", give(&one, b"x", &[file.as_fd()])).unwrap();
        cx.turn_until(&notifier, "a wake", || waiting.is_woken());
        drop(waiting);
        assert!(control.is_empty());
        drop(file);
        let message = Task::new(take(&other, &mut buf, &mut control)).ready().unwrap();
        assert_eq!((message.len, message.control_truncated), (1, false));
        assert_eq!(control.descriptors().map(read_note).collect::<Vec<_>>(), ["kept"]);

        // Never received: in the queue when the sockets go.
        let file = note("lost");
        soon(&notifier, "a send", give(&one, b"x", &[file.as_fd(); 2])).unwrap();
        // A socket that ends while it waits, with what came before still in the buffer.
        soon(&notifier, "a message", take(&other, &mut buf, &mut control)).unwrap();
        let mut waiting = Task::new(take(&one, &mut buf, &mut control));
        assert!(waiting.poll().is_pending());
        one.cancel();
        assert!(Closed::is(&waiting.ready().unwrap_err()));
        drop(waiting);
        soon(&notifier, "a send", give(&other, b"x", &[file.as_fd(); 2])).unwrap();
    }
    cx.until("descriptors of a queue are closed", || unix::descriptors() == before);
    Ok(())
}

/// Between pooled receives, and behind one that was dropped, a receive that asks for descriptors gets them.
pub fn descriptors_after_pooled_receives(cx: &Cx) -> Outcome {
    let before = unix::descriptors();
    {
        let notifier = cx.notifier();
        let (one, other) = pair(&notifier, Type::Stream);
        for drops in [false, true] {
            let mut pooled = Task::pending(other.recv_pooled());
            cx.settle(&notifier);
            if drops {
                drop(pooled);
                cx.settle(&notifier);
            } else {
                soon(&notifier, "a send", one.write(b"head")).unwrap();
                let lease = net::finish(cx, &notifier, "a pooled receive", &mut pooled).unwrap();
                assert_eq!(&lease[..], b"head");
            }
            let file = note("kept");
            soon(&notifier, "a send", give(&one, b"x", &[file.as_fd()])).unwrap();
            cx.settle(&notifier);
            let (mut buf, mut control) = ([0; 8], ControlBuf::<{ descriptors_space(2) }>::new());
            let message = soon(&notifier, "a message", take(&other, &mut buf, &mut control)).unwrap();
            assert_eq!((message.len, message.control_truncated), (1, false));
            assert_eq!(control.descriptors().map(read_note).collect::<Vec<_>>(), ["kept"], "drops: {drops}");
        }
    }
    cx.until("descriptors are closed", || unix::descriptors() == before);
    Ok(())
}

/// What cannot carry descriptors refuses them before anything is sent, and so does a message of too many, or of no byte
/// on a stream; on the others an empty message carries them.
pub fn descriptors_refused(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let null = File::open("/dev/null").unwrap();
    let before = unix::descriptors();
    let refused = |what: &str, socket: &Socket, bytes: &[u8], count: usize| {
        let descriptors = vec![null.as_fd(); count];
        let error = soon(&notifier, what, give(socket, bytes, &descriptors)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{what}: {error}");
    };
    {
        let (tcp, tcp_peer) = net::pair(cx, &notifier);
        let udp = net::udp(&notifier, v4());
        soon(&notifier, "a connect", udp.connect(udp.local_addr().unwrap())).unwrap();
        refused("through TCP", tcp.socket(), b"x", 1);
        refused("through UDP", udp.socket(), b"x", 1);
        for nothing in [tcp_peer.try_read(&mut [0; 8]), udp.try_recv(&mut [0; 8])] {
            assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock, "something was sent");
        }
        for kind in TYPES {
            let (one, other) = pair(&notifier, kind);
            refused("more than a message carries", &one, b"x", 1000);
            refused(
                "more than Linux carries",
                &one,
                b"x",
                if cfg!(target_os = "linux") { 254 } else { 1000 },
            );
            let mut control = ControlBuf::<{ descriptors_space(1) }>::new();
            if kind == Type::Stream {
                refused("without a byte", &one, b"", 1);
            } else {
                let given = [null.as_fd()];
                let both = zip(take(&other, &mut [], &mut control), give(&one, b"", &given));
                let (message, sent) = soon(&notifier, "an empty message", both);
                assert_eq!((message.unwrap().len, sent.unwrap()), (0, 0));
                assert_eq!(control.descriptors().count(), 1);
            }
            let nothing = other.try_recv_msg(&mut [], &mut control, RecvFlags::NONE);
            assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock, "{kind:?}: something was sent");
        }
    }
    assert_eq!(unix::descriptors(), before);
    Ok(())
}

/// A read of a stream stops at a message with a descriptor, and no further edge comes for what is behind it: the next
/// reads get that without any traffic, in every form of reading.
pub fn descriptors_end_a_read(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let null = File::open("/dev/null").unwrap();
    let before = unix::descriptors();
    for form in ["read", "read_vectored", "recv_with", "recv_msg", "recv_msg without room"] {
        for turn_first in [true, false] {
            let (one, other) = pair(&notifier, Type::Stream);
            cx.settle(&notifier);
            for _ in 0..3 {
                soon(&notifier, "sends", async {
                    one.write(b"one").await.unwrap();
                    give(&one, b"two", &[null.as_fd()]).await.unwrap();
                    one.write(b"three").await.unwrap();
                    give(&one, b"four", &[null.as_fd()]).await.unwrap();
                    one.write(b"five").await.unwrap();
                });
                if turn_first {
                    cx.settle(&notifier);
                }
                let mut all: Vec<u8> = Vec::new();
                while all.len() < 19 {
                    let (mut buf, mut control) = ([0; 64], ControlBuf::<{ descriptors_space(1) }>::new());
                    let reading = async {
                        match form {
                            "read" => other.read(&mut buf).await,
                            "read_vectored" => other.read_vectored(&mut [IoSliceMut::new(&mut buf)]).await,
                            "recv_with" => {
                                let lent = other.recv_with(<[u8]>::to_vec).await?;
                                buf[..lent.len()].copy_from_slice(&lent);
                                Ok(lent.len())
                            }
                            "recv_msg" => {
                                take(&other, &mut buf, &mut control).await.map(|message| message.len)
                            }
                            _ => take(&other, &mut buf, &mut ControlBuf::<0>::new())
                                .await
                                .map(|message| message.len),
                        }
                    };
                    let n = soon(&notifier, &format!("{form} after {all:?}"), reading).unwrap();
                    assert!(n > 0);
                    all.extend(&buf[..n]);
                }
                assert_eq!(all, b"onetwothreefourfive", "{form}");
            }
        }
    }
    assert_eq!(unix::descriptors(), before);
    Ok(())
}

/// Both sides send descriptors at once, more than the queues take, and both receive them all.
pub fn descriptors_both_ways(cx: &Cx) -> Outcome {
    let rounds = cx.rounds(1000);
    let before = unix::descriptors();
    {
        let notifier = cx.notifier();
        let (one, other) = pair(&notifier, Type::Stream);
        let listener = TcpListener::bind(v4()).unwrap();
        let send = async |socket: &Socket| {
            for _ in 0..rounds {
                match give(socket, &[1; 512], &[listener.as_fd()]).await {
                    Ok(n) => assert_eq!(n, 512),
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let receive = async |socket: &Socket| {
            let (mut bytes, mut descriptors) = (0, 0);
            let (mut buf, mut control) = ([0; 700], ControlBuf::<{ descriptors_space(4) }>::new());
            while bytes < rounds * 512 {
                let message = take(socket, &mut buf, &mut control).await.unwrap();
                assert!(message.len > 0 && !message.control_truncated);
                bytes += message.len;
                descriptors += control.descriptors().count();
            }
            assert_eq!((bytes, descriptors), (rounds * 512, rounds));
        };
        soon(
            &notifier,
            "all of them",
            zip(zip(send(&one), send(&other)), zip(receive(&one), receive(&other))),
        );
    }
    assert_eq!(unix::descriptors(), before);
    Ok(())
}

/// Who sends is told with each message, if the receiver asks: this process, as the system attests. The sender may say so
/// itself, but only the truth.
#[cfg(target_os = "linux")]
pub fn credentials_arrive(cx: &Cx) -> Outcome {
    use pike::os::{
        linux::option::PassCredentials,
        unix::{UCred, control::CREDENTIALS_SPACE, option::PeerCred},
    };
    let notifier = cx.notifier();
    for kind in TYPES {
        let (one, other) = pair(&notifier, kind);
        other.set(PassCredentials, true).unwrap();
        assert!(other.get(PassCredentials).unwrap());
        let me = UCred::own();
        assert_eq!(me, other.get(PeerCred).unwrap());
        let said = [unix_control::Outgoing::Credentials(me).into()];
        for control_sent in [&[][..], &said] {
            let mut control = ControlBuf::<{ CREDENTIALS_SPACE + descriptors_space(1) }>::new();
            let bytes = [IoSlice::new(b"me")];
            let sending = one.send_msg(&bytes, None, control_sent, SendFlags::NONE);
            let mut buf = [0; 8];
            let both = zip(take(&other, &mut buf, &mut control), sending);
            let (message, sent) = soon(&notifier, "credentials", both);
            assert_eq!((message.unwrap().len, sent.unwrap()), (2, 2));
            assert_eq!(control.credentials(), Some(me));
            assert_eq!(control.entries().count(), 1);
        }
        // Together with descriptors, and without room for both.
        let null = File::open("/dev/null").unwrap();
        soon(&notifier, "a send", give(&one, b"x", &[null.as_fd()])).unwrap();
        let mut control = ControlBuf::<{ CREDENTIALS_SPACE + descriptors_space(1) }>::new();
        soon(&notifier, "both", take(&other, &mut [0; 8], &mut control)).unwrap();
        assert_eq!((control.credentials(), control.descriptors().count()), (Some(me), 1));
        soon(&notifier, "a send", give(&one, b"x", &[null.as_fd()])).unwrap();
        let mut control = ControlBuf::<CREDENTIALS_SPACE>::new();
        let message = soon(&notifier, "one of them", take(&other, &mut [0; 8], &mut control)).unwrap();
        assert!(message.control_truncated);
        assert_eq!((control.credentials(), control.descriptors().count()), (Some(me), 0));
    }
    Ok(())
}

/// Who sends is told with each message, if the receiver asks.
#[cfg(not(target_os = "linux"))]
pub fn credentials_arrive(_: &Cx) -> Outcome {
    crate::skip!("this system has no option that asks for credentials with each message")
}
