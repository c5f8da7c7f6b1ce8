//! What allocates nothing once it is warm, beyond `budget::no_allocation_per_operation`: messages of other kinds and what
//! comes with them, the poll traits, new sockets, options. Each is counted on its thread, over many rounds.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{IoSlice, IoSliceMut},
    net::Ipv4Addr,
    pin::Pin,
    time::Duration,
};

use futures_lite::{AsyncRead, AsyncWrite, future::zip};
use pike::{
    Interest, Notifier,
    net::{TcpListener, TcpStream, UdpSocket},
    socket::{
        RecvFlags, SendFlags,
        option::{self, MembershipV4},
    },
};
use tokio::io::{AsyncRead as TokioRead, AsyncWrite as TokioWrite, ReadBuf};

use super::budget::measure;
use crate::{Cx, Outcome, heap, net, skip};

/// Skips where nothing is counted.
pub(super) fn counts() -> Outcome {
    if heap::here().is_none() {
        skip!("this test binary's allocator does not count");
    }
    Ok(())
}

/// Urgent bytes.
pub fn no_allocation_of_messages(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    if cx.has_priority() {
        let (one, other) = cx.streams(&notifier, &notifier);
        let (one, other) = (&one, &other);
        measure(&notifier, "urgent bytes", 0, async |_| {
            let urgent = other.socket().send(b"!", SendFlags::OUT_OF_BAND);
            let (ready, sent) = zip(one.ready(Interest::PRIORITY), urgent).await;
            assert!(ready.unwrap().is_priority());
            let mut byte = [0];
            let got = one.socket().recv(&mut byte, RecvFlags::OUT_OF_BAND).await;
            assert_eq!((got.unwrap(), sent.unwrap()), (1, 1));
        });
    }
    Ok(())
}

/// What comes with messages on Linux: credentials, segments, hops and times, and what the error queue has.
#[cfg(target_os = "linux")]
pub fn no_allocation_of_control_data(cx: &Cx) -> Outcome {
    use pike::socket::{Domain, Socket, Type};
    use pike::{
        os::{
            linux::{
                control::{self as linux, ERROR_QUEUE},
                option::{Gro, PassCredentials, ReceiveDropped, ReceiveErrors, Timestamps},
            },
            unix::{
                UCred,
                control::{self as unix_control, CREDENTIALS_SPACE, ControlExt},
            },
        },
        socket::control::{ControlBuf, Outgoing},
    };
    counts()?;
    let notifier = cx.notifier();
    let (one, other) = Socket::pair_on(&notifier, Domain::Unix, Type::Datagram, None).unwrap();
    one.set(PassCredentials, true).unwrap();
    let (one, other) = (&one, &other);
    let said = [unix_control::Outgoing::Credentials(UCred::own()).into()];
    measure(&notifier, "credentials", 0, async |_| {
        let (mut buf, mut control) = ([0; 8], ControlBuf::<CREDENTIALS_SPACE>::new());
        let (mut room, bytes) = ([IoSliceMut::new(&mut buf)], [IoSlice::new(b"ping")]);
        let receiving = one.recv_msg(&mut room, &mut control, RecvFlags::NONE);
        let (got, sent) = zip(receiving, other.send_msg(&bytes, None, &said, SendFlags::NONE)).await;
        assert_eq!((got.unwrap().len, sent.unwrap()), (4, 4));
        assert!(control.credentials().is_some());
    });

    let (client, server) = (net::udp(&notifier, net::v4()), net::udp(&notifier, net::v4()));
    let to = server.local_addr().unwrap().into();
    let (client, server) = (client.socket(), server.socket());
    server.set(option::ReceiveTrafficClass, true).unwrap();
    server.set(option::ReceiveHopLimit, true).unwrap();
    server.set(option::ReceiveTimestamp, true).unwrap();
    server.set(ReceiveDropped, true).unwrap();
    // Older kernels know no segments (4.18, 5.0).
    let segments = server.set(Gro, true).is_ok();
    let said = [
        Outgoing::TrafficClass(8),
        Outgoing::HopLimit(9),
        linux::Outgoing::SegmentSize(if segments { 2 } else { 4 }).into(),
    ];
    let said = if segments { &said[..] } else { &said[..2] };
    measure(&notifier, "class, hops, time and segments", 0, async |_| {
        let (mut buf, mut control) = ([0; 64], ControlBuf::<256>::new());
        let (mut room, bytes) = ([IoSliceMut::new(&mut buf)], [IoSlice::new(b"ping")]);
        let receiving = server.recv_msg(&mut room, &mut control, RecvFlags::NONE);
        let (got, sent) = zip(receiving, client.send_msg(&bytes, Some(to), said, SendFlags::NONE)).await;
        assert_eq!((got.unwrap().len, sent.unwrap()), (4, 4));
        assert_eq!((control.traffic_class(), control.hop_limit()), (Some(8), Some(9)));
    });

    cx.needs_error_queue()?;
    let asking = net::udp(&notifier, net::v4());
    asking.socket().set(ReceiveErrors, true).unwrap();
    let (_nobody, nobody_at) = net::nobody_udp(&notifier, net::v4());
    let asking = &asking;
    measure(&notifier, "the error queue", 0, async |_| {
        let (mut buf, mut control) = ([0; 64], ControlBuf::<256>::new());
        let mut room = [IoSliceMut::new(&mut buf)];
        let receiving = asking.socket().recv_msg(&mut room, &mut control, ERROR_QUEUE);
        let (got, sent) = zip(receiving, asking.send_to(b"ping", nobody_at)).await;
        assert_eq!((got.unwrap().len, sent.unwrap()), (4, 4));
        assert!(control.entries().next().is_some());
        let _ = asking.take_error();
    });

    client.set(Timestamps, libc::SOF_TIMESTAMPING_TX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE).unwrap();
    measure(&notifier, "when it was sent", 0, async |_| {
        let (mut buf, mut control) = ([0; 64], ControlBuf::<256>::new());
        let mut room = [IoSliceMut::new(&mut buf)];
        let receiving = client.recv_msg(&mut room, &mut control, ERROR_QUEUE);
        let (got, sent) = zip(receiving, client.send_to(b"ping", to)).await;
        assert_eq!((got.is_ok(), sent.unwrap()), (true, 4));
        assert!(control.entries().next().is_some());
        assert_eq!(server.read(&mut buf).await.unwrap(), 4);
    });
    Ok(())
}

/// What comes with messages on Linux.
#[cfg(not(target_os = "linux"))]
pub fn no_allocation_of_control_data(_: &Cx) -> Outcome {
    skip!("this system has none of Linux's control data");
}

/// Both poll traits and the vectored forms, on streams.
pub fn no_allocation_of_traits(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let (one, other) = cx.streams(&notifier, &notifier);
    trait_forms(&notifier, "TCP", one, other);
    let (tcp, tcp_other) = cx.streams(&notifier, &notifier);
    let (tcp, tcp_other) = (&tcp, &tcp_other);
    measure(&notifier, "vectored reads and writes", 0, async |_| {
        let slices = [IoSlice::new(b"pi"), IoSlice::new(b"ng")];
        let (mut start, mut rest) = ([0; 1], [0; 7]);
        let mut room = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
        let (got, sent) = zip(tcp.read_vectored(&mut room), tcp_other.write_vectored(&slices)).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
    });
    Ok(())
}

/// One after the other, the reader first, so that it waits.
pub(super) fn trait_forms<S>(notifier: &Notifier, family: &str, one: S, other: S)
where
    S: AsyncRead + AsyncWrite + TokioRead + TokioWrite + Unpin,
{
    let (one, other) = (RefCell::new(one), RefCell::new(other));
    measure(notifier, &format!("futures-io on {family}"), 0, async |_| {
        let mut buf = [0; 8];
        let reading = poll_fn(|cx| AsyncRead::poll_read(Pin::new(&mut *one.borrow_mut()), cx, &mut buf));
        let writing = poll_fn(|cx| AsyncWrite::poll_write(Pin::new(&mut *other.borrow_mut()), cx, b"ping"));
        let (got, sent) = zip(reading, writing).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
        let (mut start, mut rest) = ([0; 1], [0; 7]);
        let mut room = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
        let slices = [IoSlice::new(b"pi"), IoSlice::new(b"ng")];
        let reading =
            poll_fn(|cx| AsyncRead::poll_read_vectored(Pin::new(&mut *one.borrow_mut()), cx, &mut room));
        let writing =
            poll_fn(|cx| AsyncWrite::poll_write_vectored(Pin::new(&mut *other.borrow_mut()), cx, &slices));
        let (got, sent) = zip(reading, writing).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
        poll_fn(|cx| AsyncWrite::poll_flush(Pin::new(&mut *other.borrow_mut()), cx)).await.unwrap();
    });
    measure(notifier, &format!("tokio's traits on {family}"), 0, async |_| {
        let mut buf = [0; 8];
        let mut room = ReadBuf::new(&mut buf);
        let reading = poll_fn(|cx| TokioRead::poll_read(Pin::new(&mut *one.borrow_mut()), cx, &mut room));
        let slices = [IoSlice::new(b"pi"), IoSlice::new(b"ng")];
        let writing =
            poll_fn(|cx| TokioWrite::poll_write_vectored(Pin::new(&mut *other.borrow_mut()), cx, &slices));
        let (got, sent) = zip(reading, writing).await;
        got.unwrap();
        assert_eq!((room.filled(), sent.unwrap()), (&b"ping"[..], 4));
        room.clear();
        let reading = poll_fn(|cx| TokioRead::poll_read(Pin::new(&mut *one.borrow_mut()), cx, &mut room));
        let writing = poll_fn(|cx| TokioWrite::poll_write(Pin::new(&mut *other.borrow_mut()), cx, b"ping"));
        let (got, sent) = zip(reading, writing).await;
        got.unwrap();
        assert_eq!((room.filled(), sent.unwrap()), (&b"ping"[..], 4));
        poll_fn(|cx| TokioWrite::poll_flush(Pin::new(&mut *other.borrow_mut()), cx)).await.unwrap();
    });
}

/// Sockets that come and go: where others were before, they take no new memory.
pub fn no_allocation_of_new_sockets(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let listener = notifier.block_on(TcpListener::bind(net::v4())).unwrap();
    let (listener, address) = (&listener, listener.local_addr().unwrap());
    measure(&notifier, "accept and connect of TCP", 0, async |_| {
        let (accepted, client) = zip(listener.accept(), TcpStream::connect(address)).await;
        drop((accepted.unwrap(), client.unwrap()));
    });
    let kept = RefCell::new(Some(Vec::with_capacity(4)));
    measure(&notifier, "connections with owned operations", 0, async |_| {
        let (accepted, client) = zip(listener.accept(), TcpStream::connect(address)).await;
        let (accepted, client) = (accepted.unwrap().0, client.unwrap());
        let room: Vec<u8> = kept.take().unwrap();
        let (got, sent) = zip(accepted.read_owned(room), client.write_all_owned(&b"ping"[..])).await;
        assert_eq!((got.0.unwrap(), sent.0.unwrap()), (4, ()));
        kept.replace(Some(got.1));
    });
    // What its documentation says.
    measure(&notifier, "a staggered connect to one address", STAGGERED, async |_| {
        let connecting = TcpStream::connect_staggered(address, Duration::from_secs(1));
        let (accepted, client) = zip(listener.accept(), connecting).await;
        drop((accepted.unwrap(), client.unwrap()));
    });

    let socket = net::udp(&notifier, net::v4());
    let (socket, itself) = (&socket, socket.local_addr().unwrap());
    measure(&notifier, "bind and connect of UDP", 0, async |_| {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(itself).await.unwrap();
        socket.connect("127.0.0.1:9").await.unwrap();
    });
    Ok(())
}

/// Allocations of `connect_staggered` to one address.
const STAGGERED: u64 = 5;

/// Options whose values are structures: groups, sizes of buffers.
pub fn no_allocation_of_options(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let udp = net::udp(&notifier, (Ipv4Addr::UNSPECIFIED, 0).into());
    let socket = udp.socket();
    measure(&notifier, "sizes of buffers", 0, async |_| {
        socket.set(option::SendBufferSize, 9000).unwrap();
        socket.set(option::ReceiveBufferSize, 9000).unwrap();
        assert!(socket.get(option::SendBufferSize).unwrap() >= 9000);
        socket.set(option::Broadcast, true).unwrap();
        #[cfg(target_os = "linux")]
        socket.set(pike::os::linux::option::Priority, 1).unwrap();
    });
    let membership = MembershipV4 { group: Ipv4Addr::new(239, 255, 1, 1), interface: Ipv4Addr::LOCALHOST };
    if let Err(error) = socket.set(option::JoinMulticastV4, membership) {
        skip!("no multicast on this machine's loopback: {error}");
    }
    measure(&notifier, "groups", 0, async |_| {
        socket.set(option::LeaveMulticastV4, membership).unwrap();
        udp.join_multicast_v4(membership.group, membership.interface).unwrap();
    });
    Ok(())
}
