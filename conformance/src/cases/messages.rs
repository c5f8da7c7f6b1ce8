//! Whole messages: what was cut, who sent it, and how several go and come at once.

use std::{
    io::{ErrorKind, IoSlice, IoSliceMut},
    net::SocketAddr,
};

use futures_lite::future::zip;
use pike::{
    Closed, Notifier,
    socket::{
        Address, Domain, Message, RecvFlags, SendFlags, Socket, Type,
        control::{
            Control, ControlBuf, HOP_LIMIT_SPACE, Outgoing, PACKET_INFO_SPACE, TIMESTAMP_SPACE,
            TRAFFIC_CLASS_SPACE,
        },
    },
};

use crate::{
    Cx, Outcome, Task,
    net::{self, soon, v4},
};

pub(super) const ALL: usize = PACKET_INFO_SPACE + TIMESTAMP_SPACE + TRAFFIC_CLASS_SPACE + HOP_LIMIT_SPACE;

pub(super) async fn take(
    socket: &Socket,
    buf: &mut [u8],
    control: &mut Control,
    flags: RecvFlags,
) -> std::io::Result<Message> {
    socket.recv_msg(&mut [IoSliceMut::new(buf)], control, flags).await
}

#[track_caller]
pub(super) fn send(
    notifier: &Notifier,
    socket: &Socket,
    bytes: &[u8],
    to: Option<Address>,
    control: &[Outgoing<'_>],
) {
    let sent =
        soon(notifier, "a send", socket.send_msg(&[IoSlice::new(bytes)], to, control, SendFlags::NONE));
    assert_eq!(sent.unwrap(), bytes.len());
}

/// Whether the hop limit of one datagram over IPv4 can be said with it. Elsewhere than on Linux it is refused.
pub(super) const HOPS_OVER_V4: bool = cfg!(target_os = "linux");

/// A bound UDP socket at an address of that family, and where it is.
#[track_caller]
pub(super) fn udp(notifier: &Notifier, at: SocketAddr) -> (Socket, SocketAddr) {
    let socket = net::bare(notifier, at, Type::Datagram);
    socket.bind(at).unwrap();
    let local = net::internet(socket.local_addr());
    (socket, local)
}

/// Of every type with boundaries: a message that is too long is cut and says so, one that fits does not, whatever the
/// buffers; empty ones are messages like others; a peek leaves them; the sender is told.
pub fn message_cut_is_reported(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut pairs = vec![];
    for at in net::locals(cx) {
        let ((one, here), (other, there)) = (udp(&notifier, at), udp(&notifier, at));
        pairs.push((one, other, Some(Address::from(there)), Some(Address::from(here))));
    }
    let unix = if cfg!(unix) { &[Type::Datagram, Type::SeqPacket][..] } else { &[] }; // Windows makes no pairs
    for &kind in unix {
        let (one, other) = Socket::pair_on(&notifier, Domain::Unix, kind, None).unwrap();
        let from = one.local_addr().unwrap();
        pairs.push((one, other, None, Some(from)));
    }
    for (one, other, to, from) in pairs {
        let mut control = ControlBuf::<0>::new();
        for flags in [RecvFlags::NONE, RecvFlags::PEEK] {
            for (sent, room, cut) in [
                (10, 4, true),
                (10, 10, false),
                (10, 64, false),
                (10, 9, true),
                (10, 0, true),
                (0, 4, false),
                (0, 0, false),
            ] {
                let mut buf = [0; 64];
                let mut receiving = Task::pending(take(&other, &mut buf[..room], &mut control, flags));
                send(&notifier, &one, &b"0123456789"[..sent], to, &[]);
                let message = net::finish(cx, &notifier, "a message", &mut receiving).unwrap();
                drop(receiving);
                let what = format!("{sent} bytes into {room} by {flags:?} from {from:?}");
                assert_eq!((message.len, message.truncated), (sent.min(room), cut), "{what}");
                assert_eq!(&buf[..message.len], &b"0123456789"[..message.len], "{what}");
                assert!(!message.control_truncated && !message.out_of_band, "{what}");
                assert_eq!(message.from, from, "{what}");
                if flags == RecvFlags::PEEK {
                    let message =
                        soon(&notifier, "it again", take(&other, &mut buf, &mut control, RecvFlags::NONE));
                    assert_eq!(message.unwrap().len, sent, "{what}: the peek took some");
                }
                let nothing = other.try_recv_msg(&mut [IoSliceMut::new(&mut buf)], &mut control, flags);
                assert_eq!(
                    nothing.unwrap_err().kind(),
                    ErrorKind::WouldBlock,
                    "{what}: the rest is still there"
                );
            }
        }
    }
    Ok(())
}

/// Out of several buffers and into several, in order; on a stream as much as there is, to the end of file; more buffers
/// than the system takes are an error for a message, which is not cut in silence, and a beginning for a stream.
pub fn message_in_pieces(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let ((one, here), (other, there)) = (udp(&notifier, v4()), udp(&notifier, v4()));
    let pieces = [b"ab".as_slice(), b"", b"cdef", b"g"].map(IoSlice::new);
    let (mut a, mut b, mut c) = ([0; 3], [0; 0], [0; 16]);
    let mut control = ControlBuf::<64>::new();
    {
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b), IoSliceMut::new(&mut c)];
        let sending = one.send_msg(&pieces, Some(there.into()), &[], SendFlags::NONE);
        let both = zip(other.recv_msg(&mut bufs, &mut control, RecvFlags::NONE), sending);
        let (message, sent) = soon(&notifier, "pieces", both);
        assert_eq!((message.unwrap().len, sent.unwrap()), (7, 7));
    }
    assert_eq!((&a, &c[..4]), (b"abc", b"defg".as_slice()));
    let many = vec![IoSlice::new(b"x"); 1100];
    let error = one.try_send_msg(&many, Some(there.into()), &[], SendFlags::NONE).unwrap_err();
    assert!(error.raw_os_error().is_some(), "{error}");
    assert_eq!(other.try_read(&mut c).unwrap_err().kind(), ErrorKind::WouldBlock, "some of it was sent");

    // To who is connected no address is needed.
    soon(&notifier, "a connect", other.connect(here)).unwrap();
    send(&notifier, &other, b"connected", None, &[]);
    let message = soon(&notifier, "a message", take(&one, &mut c, &mut control, RecvFlags::NONE)).unwrap();
    assert_eq!((message.len, message.from), (9, Some(there.into())));

    let (stream, peer) = net::pair(cx, &notifier);
    let sent = stream.socket().try_send_msg(&many, None, &[], SendFlags::NONE).unwrap();
    assert!(sent > 0 && sent <= 1100);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = 0;
    loop {
        let message =
            soon(&notifier, "bytes", take(peer.socket(), &mut c, &mut control, RecvFlags::NONE)).unwrap();
        assert_eq!((message.from, message.truncated), (None, false));
        match message.len {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(got, sent);
    Ok(())
}

/// A receive that is dropped has taken nothing; the forms that do not wait do not; a closed socket says so.
pub fn message_cancel_safety(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let ((one, _), (other, there)) = (udp(&notifier, v4()), udp(&notifier, v4()));
    let (mut buf, mut control) = ([0; 8], ControlBuf::<64>::new());
    for _ in 0..3 {
        drop(Task::pending(take(&other, &mut buf, &mut control, RecvFlags::NONE)));
        let woken = Task::pending(take(&other, &mut buf, &mut control, RecvFlags::NONE));
        send(&notifier, &one, b"kept", Some(there.into()), &[]);
        cx.turn_until(&notifier, "a wake", || woken.is_woken());
        drop(woken);
        let message = Task::new(take(&other, &mut buf, &mut control, RecvFlags::NONE)).ready().unwrap();
        assert_eq!((message.len, &buf[..4]), (4, b"kept".as_slice()));
    }
    // Two wait, and a wake that one gave up serves the other.
    let mut bufs = [[0; 8]; 2];
    let [first, second] = &mut bufs;
    let (mut control, mut control_too) = (ControlBuf::<0>::new(), ControlBuf::<0>::new());
    let waiting = Task::pending(take(&other, first, &mut control, RecvFlags::NONE));
    let mut behind = Task::pending(take(&other, second, &mut control_too, RecvFlags::NONE));
    send(&notifier, &one, b"x", Some(there.into()), &[]);
    cx.turn_until(&notifier, "a wake", || waiting.is_woken());
    drop(waiting);
    assert_eq!(net::finish(cx, &notifier, "the wake passed on", &mut behind).unwrap().len, 1);
    drop(behind);

    let mut waiting = Task::pending(take(&other, &mut buf, &mut control, RecvFlags::NONE));
    other.cancel();
    assert!(waiting.is_woken() && Closed::is(&waiting.ready().unwrap_err()));
    drop(waiting);
    let closed = other.try_recv_msg(&mut [IoSliceMut::new(&mut buf)], &mut control, RecvFlags::NONE);
    assert!(Closed::is(&closed.unwrap_err()));
    assert!(Closed::is(&other.try_send_msg(&[IoSlice::new(b"x")], None, &[], SendFlags::NONE).unwrap_err()));
    Ok(())
}

/// One send of many datagrams, and one receive of them, each with its size (Linux).
#[cfg(target_os = "linux")]
pub fn message_segments(cx: &Cx) -> Outcome {
    use pike::os::linux::{
        control::{self as linux, SEGMENT_SIZE_SPACE},
        option::{Gro, SegmentSize},
    };
    use pike::socket::control::Incoming;
    let notifier = cx.notifier();
    let ((one, _), (other, there)) = (udp(&notifier, v4()), udp(&notifier, v4()));
    let bytes = net::bytes_at(0, 2500);
    let segments: [Outgoing<'_>; 1] = [linux::Outgoing::SegmentSize(1000).into()];
    let mut buf = [0; 4096];
    let mut control = ControlBuf::<SEGMENT_SIZE_SPACE>::new();
    match one.try_send_msg(&[IoSlice::new(&bytes)], Some(there.into()), &segments, SendFlags::NONE) {
        Ok(sent) => assert_eq!(sent, 2500),
        Err(error) => crate::skip!("this kernel sends no segments (4.18): {error}"),
    }
    let mut got = 0;
    for len in [1000, 1000, 500] {
        let message =
            soon(&notifier, "a segment", take(&other, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        assert_eq!((message.len, control.is_empty()), (len, true));
        net::assert_bytes_at(got, &buf[..len]);
        got += len;
    }
    if let Err(error) = other.set(Gro, true) {
        crate::skip!("this kernel joins no segments (5.0): {error}");
    }
    one.set(SegmentSize, 1000).unwrap();
    assert_eq!((one.get(SegmentSize).unwrap(), other.get(Gro).unwrap()), (1000, true));
    send(&notifier, &one, &bytes, Some(there.into()), &[]);
    let mut got = 0;
    while got < bytes.len() {
        let message =
            soon(&notifier, "segments", take(&other, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        net::assert_bytes_at(got, &buf[..message.len]);
        got += message.len;
        if message.len > 1000 {
            let size = control.entries().next();
            assert!(matches!(size, Some(Incoming::Linux(linux::Incoming::SegmentSize(1000)))), "{size:?}");
        }
    }
    assert_eq!(got, bytes.len());
    Ok(())
}

/// What the error queue has: the datagram that nobody took, with who said so; it is waited for beside plain receives, by
/// any number of tasks, and given once (Linux).
#[cfg(target_os = "linux")]
pub fn message_error_queue(cx: &Cx) -> Outcome {
    use pike::os::linux::{
        control::{self as linux, ERROR_QUEUE, ERROR_SPACE},
        option::ReceiveErrors,
    };
    use pike::socket::control::Incoming;
    cx.needs_error_queue()?;
    let notifier = cx.notifier();
    for at in net::locals(cx) {
        let ((one, here), (_nobody, nobody_at)) = (udp(&notifier, at), net::nobody_udp(&notifier, at));
        one.set(ReceiveErrors, true).unwrap();
        assert!(one.get(ReceiveErrors).unwrap());
        cx.settle(&notifier);
        for round in 0..3 {
            let [mut buf, mut buf_too, mut plain] = [[0; 16]; 3];
            let [mut control, mut control_too] =
                [ControlBuf::<ERROR_SPACE>::new(), ControlBuf::<ERROR_SPACE>::new()];
            let mut first = Task::pending(take(&one, &mut buf, &mut control, ERROR_QUEUE));
            let mut second = Task::pending(take(&one, &mut buf_too, &mut control_too, ERROR_QUEUE));
            let mut reading = Task::pending(one.recv(&mut plain, RecvFlags::NONE));
            send(&notifier, &one, b"to nobody", Some(nobody_at.into()), &[]);
            cx.turn_until(&notifier, "an error", || {
                first.is_woken() && second.is_woken() && reading.is_woken()
            });
            // In either order: the plain receive is told as well, and takes nothing from the queue.
            if round % 2 == 0 {
                net::assert_kind(&reading.ready().unwrap_err(), &[ErrorKind::ConnectionRefused]);
            }
            let message = first.ready().unwrap();
            drop(first);
            assert!(second.poll().is_pending(), "one error, given twice");
            drop((second, reading));
            assert_eq!((message.len, message.from), (9, Some(nobody_at.into())));
            assert_eq!(&buf[..9], b"to nobody");
            let Some(Incoming::Linux(linux::Incoming::Error(error))) = control.entries().next() else {
                panic!("no error with it");
            };
            assert_eq!(error.error().kind(), ErrorKind::ConnectionRefused);
            assert_eq!(error.origin, linux::Origin::Icmp);
            let offender = error.offender.map(SocketAddr::try_from).expect("an offender").unwrap();
            assert_eq!(offender.ip(), here.ip());
            let _ = one.get(pike::socket::option::Error);
            cx.assert_quiet(&notifier, "a socket whose error was taken");
        }
    }
    Ok(())
}

/// A datagram that was sent comes back by the error queue with the time it was sent at (Linux).
#[cfg(target_os = "linux")]
pub fn message_sent_timestamp(cx: &Cx) -> Outcome {
    use pike::os::linux::{
        control::{self as linux, ERROR_QUEUE, ERROR_SPACE, TIMESTAMPING_SPACE},
        option::Timestamps,
    };
    use pike::socket::control::Incoming;
    const TX_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_TX_SOFTWARE;
    const RX_SOFTWARE: u32 = libc::SOF_TIMESTAMPING_RX_SOFTWARE;
    const SOFTWARE: u32 = libc::SOF_TIMESTAMPING_SOFTWARE;
    cx.needs_error_queue()?;
    let notifier = cx.notifier();
    let ((one, _), (other, there)) = (udp(&notifier, v4()), udp(&notifier, v4()));
    one.set(Timestamps, TX_SOFTWARE | SOFTWARE).unwrap();
    other.set(Timestamps, RX_SOFTWARE | SOFTWARE).unwrap();
    cx.settle(&notifier);
    // The kernel turns the stamping of arrivals on in the background: until then datagrams come without one.
    let (early, _) = udp(&notifier, v4());
    cx.until("an arrival with a time", || {
        let (mut buf, mut control) = ([0; 64], ControlBuf::<TIMESTAMPING_SPACE>::new());
        send(&notifier, &early, b"early", Some(there.into()), &[]);
        soon(&notifier, "an early datagram", take(&other, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        control.entries().next().is_some()
    });
    for _ in 0..3 {
        let (mut buf, mut control) = ([0; 64], ControlBuf::<{ ERROR_SPACE + TIMESTAMPING_SPACE }>::new());
        let before = std::time::SystemTime::now();
        let mut receiving = Task::pending(take(&one, &mut buf, &mut control, ERROR_QUEUE));
        send(&notifier, &one, b"when", Some(there.into()), &[]);
        net::finish(cx, &notifier, "a sent timestamp", &mut receiving).unwrap();
        drop(receiving);
        let (mut time, mut origin) = (None, None);
        for entry in control.entries() {
            match entry {
                Incoming::Linux(linux::Incoming::Timestamping(found)) => time = found.software,
                Incoming::Linux(linux::Incoming::Error(error)) => origin = Some(error.origin),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(origin, Some(linux::Origin::Timestamping));
        assert!(time.expect("a time") + net::LIMIT > before);

        soon(&notifier, "the datagram", take(&other, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        let arrival = control.entries().next();
        let Some(Incoming::Linux(linux::Incoming::Timestamping(arrival))) = arrival else {
            panic!("{arrival:?}")
        };
        assert!(arrival.software.expect("a time") + net::LIMIT > before && arrival.hardware.is_none());
    }
    Ok(())
}

/// One send of many datagrams, and one receive of them.
#[cfg(not(target_os = "linux"))]
pub fn message_segments(_: &Cx) -> Outcome {
    crate::skip!("this system sends no segments")
}

/// What the error queue has.
#[cfg(not(target_os = "linux"))]
pub fn message_error_queue(_: &Cx) -> Outcome {
    crate::skip!("sockets of this system have no error queue")
}

/// A datagram that was sent comes back by the error queue.
#[cfg(not(target_os = "linux"))]
pub fn message_sent_timestamp(_: &Cx) -> Outcome {
    crate::skip!("sockets of this system have no error queue")
}
