//! Socket options: each read back on the sockets that have it, refused on those that do not; ports in common, credentials.

use std::{
    fmt::Debug,
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use pike::{
    Notifier,
    net::UdpSocket,
    socket::{
        Domain, Socket, Type,
        option::{self, Get, MembershipV4, MembershipV6, Set, SocketOption},
    },
};

use crate::{
    Cx, Outcome, Skip, Task,
    net::{self, assert_kind, soon, v4},
    system::{self, code},
};

/// Sets each value, and reads it back.
#[track_caller]
fn set_and_get<O>(socket: &Socket, option: O, values: &[O::Value])
where
    O: Get + Set + Copy + Debug,
    O::Value: Copy + PartialEq + Debug,
{
    for &value in values {
        if let Err(error) = socket.set(option, value) {
            panic!("{option:?} to {value:?}: {error}");
        }
        assert_eq!(socket.get(option).unwrap(), value, "{option:?}");
    }
}

/// A value is refused with the system's code, and what was set before stays.
#[track_caller]
fn refused<O>(socket: &Socket, option: O, value: O::Value)
where
    O: Get + Set + Copy + Debug,
    O::Value: Copy + PartialEq + Debug,
{
    let before = socket.get(option).unwrap();
    let error = socket.set(option, value).expect_err("a wrong value was taken");
    assert!(error.raw_os_error().is_some(), "{option:?} to {value:?}: no code: {error:?}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{option:?} to {value:?}: {error:?}");
    assert_eq!(socket.get(option).unwrap(), before, "{option:?}: a refused {value:?} changed it");
}

fn flag<O: Get + Set + SocketOption<Value = bool> + Copy + Debug>(socket: &Socket, option: O) {
    set_and_get(socket, option, &[true, true, false, false, true, false]);
}

/// Whether the system lacks it, which it says in the one way that pike has for that.
pub(super) fn is_absent<T: Debug>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == ErrorKind::Unsupported && error.raw_os_error().is_none())
}

/// The options that every socket has: flags, sizes, low-water marks, what a socket is.
pub fn option_of_every_socket(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut sockets = Vec::new();
    if cfg!(unix) {
        // Windows makes no pairs.
        let (one, other) = Socket::pair_on(&notifier, Domain::Unix, Type::Stream, None).unwrap();
        sockets.extend([(one, Type::Stream), (other, Type::Stream)]);
    }
    for at in net::locals(cx) {
        for kind in [Type::Stream, Type::Datagram] {
            sockets.push((net::bare(&notifier, at, kind), kind));
        }
    }
    for (socket, kind) in &sockets {
        assert!(!socket.get(option::KeepAlive).unwrap());
        flag(socket, option::ReuseAddress);
        flag(socket, option::KeepAlive);
        flag(socket, option::Broadcast);
        flag(socket, option::OutOfBandInline);
        assert_eq!(socket.get(option::Type).unwrap(), *kind);
        assert!(socket.get(option::Error).unwrap().is_none());
        assert!(!socket.get(option::Debug).unwrap());
        if let Err(error) = socket.set(option::Debug, true) {
            assert_kind(&error, &[ErrorKind::PermissionDenied]);
        }
        for size in [16 * 1024, 32 * 1024] {
            socket.set(option::SendBufferSize, size).unwrap();
            socket.set(option::ReceiveBufferSize, size).unwrap();
            assert!(socket.get(option::SendBufferSize).unwrap() >= size);
            assert!(socket.get(option::ReceiveBufferSize).unwrap() >= size);
        }
        low_water_marks(socket);
    }
    let listening = net::bare(&notifier, v4(), Type::Stream);
    assert!(!listening.get(option::AcceptConnections).unwrap());
    listening.bind(v4()).unwrap();
    listening.listen(1).unwrap();
    assert!(listening.get(option::AcceptConnections).unwrap());
    Ok(())
}

fn low_water_marks(socket: &Socket) {
    if cfg!(windows) {
        assert!(is_absent(&socket.get(option::ReceiveLowWaterMark)));
        assert!(is_absent(&socket.set(option::ReceiveLowWaterMark, 1)));
        assert!(is_absent(&socket.get(option::SendLowWaterMark)));
        return;
    }
    set_and_get(socket, option::ReceiveLowWaterMark, &[100, 1]);
    assert!(socket.get(option::SendLowWaterMark).unwrap() >= 1);
    match socket.set(option::SendLowWaterMark, 100) {
        Ok(()) => assert_eq!(socket.get(option::SendLowWaterMark).unwrap(), 100),
        Err(error) => assert_eq!(error.raw_os_error(), Some(code::ENOPROTOOPT), "{error:?}"),
    }
}

/// A socket routes unless it is told not to.
pub fn option_dont_route(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for at in net::locals(cx) {
        for kind in [Type::Stream, Type::Datagram] {
            let socket = net::bare(&notifier, at, kind);
            assert!(!socket.get(option::DontRoute).unwrap());
            flag(&socket, option::DontRoute);
        }
    }
    Ok(())
}

/// Waiting lasts until the low-water mark is reached, or until the end.
pub fn option_low_water_mark(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.streams(&notifier, &notifier);
    let set = stream.socket().set(option::ReceiveLowWaterMark, 10);
    if is_absent(&set) {
        return Err(Skip::because("this system has no SO_RCVLOWAT"));
    }
    set.unwrap();
    let mut buf = [0; 64];
    let mut reading = Task::pending(stream.read(&mut buf));
    soon(&notifier, "five bytes", peer.write_all(b"five.")).unwrap();
    soon(&notifier, "ten in all", peer.write_all(b"five.")).unwrap();
    let got = net::finish(cx, &notifier, "ten bytes", &mut reading).unwrap();
    drop(reading);
    // The mark is of readiness, not of what a call takes: one that came between got less.
    if got < 10 {
        stream.socket().set(option::ReceiveLowWaterMark, 1).unwrap();
        soon(&notifier, "the rest", stream.read_exact(&mut buf[got..10])).unwrap();
    }
    assert_eq!(&buf[..10], b"five.five.");
    // The end is reported below the mark.
    stream.socket().set(option::ReceiveLowWaterMark, 10).unwrap();
    soon(&notifier, "less than the mark", peer.write_all(b"abc")).unwrap();
    drop(peer);
    for expected in [3, 0] {
        assert_eq!(soon(&notifier, "the end", stream.read(&mut buf)).unwrap(), expected);
    }
    Ok(())
}

/// Times: rounded up to the unit, so that a short one never becomes none; zero and what the kernel cannot count are refused
/// where they would mean something else, and then nothing changes.
pub fn option_times(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let socket = net::bare(&notifier, v4(), Type::Stream);
    let (tick, second) = (Duration::from_nanos(1), Duration::from_secs(1));

    timeouts(&socket, option::SendTimeout);
    timeouts(&socket, option::ReceiveTimeout);

    assert_eq!(socket.get(option::Linger).unwrap(), None);
    for (set, got) in [(Duration::ZERO, 0), (tick, 1), (second, 1), (second + tick, 2), (9 * second, 9)] {
        socket.set(option::Linger, Some(set)).unwrap();
        assert_eq!(socket.get(option::Linger).unwrap(), Some(got * second), "{set:?}");
    }
    refused(&socket, option::Linger, Some(Duration::MAX));
    socket.set(option::Linger, None).unwrap();
    assert_eq!(socket.get(option::Linger).unwrap(), None);

    keep_alive_times(&socket, option::KeepAliveIdle);
    keep_alive_times(&socket, option::KeepAliveInterval);
    let count = socket.get(option::KeepAliveCount);
    if !is_absent(&count) {
        assert!(count.unwrap() > 0);
        set_and_get(&socket, option::KeepAliveCount, &[1, 5, 100]);
        refused(&socket, option::KeepAliveCount, 0);
        refused(&socket, option::KeepAliveCount, u32::MAX);
    }

    // pike waits as long as it takes, whatever the socket's own timeouts.
    let (stream, peer) = cx.streams(&notifier, &notifier);
    stream.socket().set(option::ReceiveTimeout, Some(tick)).unwrap();
    let mut buf = [0; 8];
    let mut reading = Task::pending(stream.read(&mut buf));
    cx.assert_quiet(&notifier, "a read with a timeout of the socket's");
    assert!(!reading.is_woken());
    soon(&notifier, "a write", peer.write_all(b"late")).unwrap();
    assert_eq!(net::finish(cx, &notifier, "what came late", &mut reading).unwrap(), 4);
    Ok(())
}

fn timeouts<O>(socket: &Socket, option: O)
where
    O: Get + Set + SocketOption<Value = Option<Duration>> + Copy + Debug,
{
    assert_eq!(socket.get(option).unwrap(), None);
    for short in [Duration::from_nanos(1), Duration::from_micros(1), Duration::from_millis(3)] {
        socket.set(option, Some(short)).unwrap();
        let got = socket.get(option).unwrap().expect("a short timeout became none");
        assert!(
            got >= short && got <= short + Duration::from_secs(1),
            "{option:?}: {short:?} became {got:?}"
        );
    }
    set_and_get(socket, option, &[Some(Duration::from_secs(1)), Some(Duration::from_secs(3600))]);
    refused(socket, option, Some(Duration::ZERO));
    refused(socket, option, Some(Duration::MAX));
    set_and_get(socket, option, &[None]);
}

fn keep_alive_times<O>(socket: &Socket, option: O)
where
    O: Get + Set + SocketOption<Value = Duration> + Copy + Debug,
{
    let first = socket.get(option);
    if is_absent(&first) {
        assert!(is_absent(&socket.set(option, Duration::from_secs(1))), "it cannot be read, but set");
        return;
    }
    assert!(!first.unwrap().is_zero());
    let second = Duration::from_secs(1);
    set_and_get(socket, option, &[second, 90 * second, 7200 * second]);
    for (set, got) in [(Duration::from_nanos(1), 1), (Duration::from_millis(1500), 2)] {
        socket.set(option, set).unwrap();
        assert_eq!(socket.get(option).unwrap(), got * second, "{option:?}: {set:?}");
    }
    refused(socket, option, Duration::ZERO);
    refused(socket, option, Duration::MAX);
}

/// Numbers: the whole range is taken and read back, and what is next to it refused.
pub fn option_ranges(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for at in net::locals(cx) {
        let udp = net::udp(&notifier, at);
        let socket = udp.socket();
        for hops in 1..=255 {
            set_and_get(socket, option::Ttl, &[hops]);
        }
        for wrong in [0, 256, u32::MAX] {
            refused(socket, option::Ttl, wrong);
        }
        if at.is_ipv4() {
            assert_eq!(socket.get(option::MulticastTtlV4).unwrap(), 1);
            assert!(socket.get(option::MulticastLoopV4).unwrap());
            flag(socket, option::MulticastLoopV4);
            for hops in 0..=255 {
                set_and_get(socket, option::MulticastTtlV4, &[hops]);
            }
            refused(socket, option::MulticastTtlV4, 256);
            set_and_get(socket, option::Tos, &[0, 0x10, 0xb8, 0]);
            refused(socket, option::Tos, 256);
            let interfaces = [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED];
            set_and_get(socket, option::MulticastInterfaceV4, &interfaces);
            shortcuts_v4(&udp);
        } else {
            for hops in 1..=255 {
                set_and_get(socket, option::HopLimit, &[hops]);
                assert_eq!(socket.get(option::Ttl).unwrap(), hops, "the same by another name");
            }
            refused(socket, option::HopLimit, 0);
            refused(socket, option::HopLimit, 256);
            assert_eq!(socket.get(option::MulticastHopsV6).unwrap(), 1);
            assert!(socket.get(option::MulticastLoopV6).unwrap());
            flag(socket, option::MulticastLoopV6);
            set_and_get(socket, option::MulticastHopsV6, &[0, 1, 42, 255]);
            refused(socket, option::MulticastHopsV6, 256);
            set_and_get(socket, option::MulticastInterfaceV6, &[system::loopback_index(), 0]);
            let no_interface = socket.set(option::MulticastInterfaceV6, i32::MAX as u32).unwrap_err();
            assert!(no_interface.raw_os_error().is_some());
            udp.set_multicast_loop_v6(false).unwrap();
            assert!(!udp.multicast_loop_v6().unwrap());
            traffic_class(&udp);
        }
        assert!(udp.take_error().unwrap().is_none());
    }
    Ok(())
}

fn traffic_class(udp: &UdpSocket) {
    let socket = udp.socket();
    match socket.get(option::TrafficClass) {
        // Some versions of Windows know it of received datagrams only.
        Err(error) if cfg!(windows) => assert_eq!(error.raw_os_error(), Some(code::ENOPROTOOPT), "{error:?}"),
        class => {
            assert_eq!(class.unwrap(), 0);
            set_and_get(socket, option::TrafficClass, &[0, 0x10, 0xb8, 255, 0]);
            refused(socket, option::TrafficClass, 256);
            udp.set_tclass_v6(0x20).unwrap();
            assert_eq!(udp.tclass_v6().unwrap(), 0x20);
        }
    }
}

fn shortcuts_v4(udp: &UdpSocket) {
    udp.set_multicast_loop_v4(false).unwrap();
    assert!(!udp.multicast_loop_v4().unwrap());
    udp.set_multicast_ttl_v4(10).unwrap();
    assert_eq!(udp.multicast_ttl_v4().unwrap(), 10);
    assert!(!udp.broadcast().unwrap());
    udp.set_broadcast(true).unwrap();
    assert!(udp.broadcast().unwrap());
    udp.set_tos_v4(0x10).unwrap();
    assert_eq!(udp.tos_v4().unwrap(), 0x10);
}

/// An option of another level is the system's error, with its code, to read and to set.
pub fn option_of_wrong_level(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (tcp, udp) = (net::bare(&notifier, v4(), Type::Stream), net::bare(&notifier, v4(), Type::Datagram));
    let second = Duration::from_secs(1);
    let nobody = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 1);

    wrong(&udp, option::NoDelay, true);
    wrong_or_absent(&udp, option::KeepAliveIdle, second);
    wrong_or_absent(&udp, option::KeepAliveInterval, second);
    for socket in [&tcp, &udp] {
        wrong(socket, option::V6Only, true);
        wrong(socket, option::HopLimit, 9);
        wrong(socket, option::TrafficClass, 0);
        wrong(socket, option::MulticastHopsV6, 1);
        wrong(socket, option::MulticastLoopV6, true);
        let join = MembershipV6 { group: nobody, interface: 0 };
        assert_code(&socket.set(option::JoinMulticastV6, join), "JoinMulticastV6");
    }
    let join = MembershipV4 { group: Ipv4Addr::new(239, 255, 0, 1), interface: Ipv4Addr::LOCALHOST };
    assert_code(&tcp.set(option::JoinMulticastV4, join), "JoinMulticastV4 of TCP");
    let no_group = MembershipV4 { group: Ipv4Addr::LOCALHOST, ..join };
    assert_kind(&udp.set(option::JoinMulticastV4, no_group).unwrap_err(), &[ErrorKind::InvalidInput]);

    #[cfg(target_os = "linux")]
    {
        use pike::os::linux::option as linux;
        wrong(&udp, linux::QuickAck, true);
        wrong(&udp, linux::Cork, true);
        wrong(&udp, linux::UserTimeout, Some(second));
    }
    // The sockets are none the worse.
    assert!(tcp.get(option::Error).unwrap().is_none() && udp.get(option::Error).unwrap().is_none());
    Ok(())
}

#[track_caller]
pub(super) fn wrong<O: Get + Set + Copy + Debug>(socket: &Socket, option: O, value: O::Value)
where
    O::Value: Debug,
{
    assert_code(&socket.get(option), &format!("{option:?} was read"));
    assert_code(&socket.set(option, value), &format!("{option:?} was set"));
}

#[track_caller]
pub(super) fn wrong_or_absent<O: Get + Set + Copy + Debug>(socket: &Socket, option: O, value: O::Value)
where
    O::Value: Debug,
{
    match is_absent(&socket.get(option)) {
        true => assert!(is_absent(&socket.set(option, value))),
        false => wrong(socket, option, value),
    }
}

#[track_caller]
pub(super) fn assert_code<T: Debug>(result: &io::Result<T>, what: &str) {
    match result {
        Ok(value) => panic!("{what}: {value:?}"),
        Err(error) => assert!(error.raw_os_error().is_some(), "{what}: no code: {error:?}"),
    }
}

/// Listeners that all set `ReusePort` share a port, every connection goes to one of them, and where the system spreads
/// connections both have some. One that does not set it stays outside.
pub fn reuse_port_tcp(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other, at) = two_at_one_port(&notifier, Type::Stream)?;
    one.listen(64).unwrap();
    other.listen(64).unwrap();
    let clients: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    let mut counts = [0; 2];
    cx.turn_until(&notifier, "all are accepted", || {
        for (count, listener) in counts.iter_mut().zip([&one, &other]) {
            while listener.try_accept().is_ok() {
                *count += 1;
            }
        }
        counts[0] + counts[1] == clients.len()
    });
    if cfg!(target_os = "linux") {
        assert!(counts.iter().all(|&count| count > 0), "not spread: {counts:?}");
    }
    Ok(())
}

/// The same with UDP sockets and what comes from many senders.
pub fn reuse_port_udp(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (one, other, at) = two_at_one_port(&notifier, Type::Datagram)?;
    let senders: Vec<_> = (0..64).map(|_| std::net::UdpSocket::bind(v4()).unwrap()).collect();
    for sender in &senders {
        assert_eq!(sender.send_to(b"Hello", at).unwrap(), 5);
    }
    let (mut counts, mut buf) = ([0; 2], [0; 8]);
    cx.turn_until(&notifier, "all are received", || {
        for (count, socket) in counts.iter_mut().zip([&one, &other]) {
            while let Ok(n) = socket.try_read(&mut buf) {
                assert_eq!(&buf[..n], b"Hello");
                *count += 1;
            }
        }
        counts[0] + counts[1] == senders.len()
    });
    if cfg!(target_os = "linux") {
        assert!(counts.iter().all(|&count| count > 0), "not spread: {counts:?}");
    }
    Ok(())
}

/// Two sockets that share a port, and its address; a third, without the option, may not.
fn two_at_one_port(notifier: &Notifier, kind: Type) -> Result<(Socket, Socket, SocketAddr), Skip> {
    let one = net::bare(notifier, v4(), kind);
    let set = one.set(option::ReusePort, true);
    if is_absent(&set) {
        return Err(Skip::because("this system has no SO_REUSEPORT"));
    }
    set.unwrap();
    flag(&one, option::ReusePort);
    one.set(option::ReusePort, true).unwrap();
    one.bind(v4()).unwrap();
    let at = net::internet(one.local_addr());
    let outsider = net::bare(notifier, v4(), kind);
    assert_kind(&outsider.bind(at).unwrap_err(), &[ErrorKind::AddrInUse]);
    let other = net::bare(notifier, v4(), kind);
    other.set(option::ReusePort, true).unwrap();
    other.bind(at).unwrap();
    Ok((one, other, at))
}

/// Linux's own: acknowledging at once, corks, priorities, busy polling, the user's timeout, one interface only.
#[cfg(target_os = "linux")]
pub fn options_of_linux(cx: &Cx) -> Outcome {
    use pike::os::linux::{DeviceName, option as linux};
    let notifier = cx.notifier();
    let (client, server) = cx.streams(&notifier, &notifier);
    let (one, other) = (client.socket(), server.socket());
    let mut buf = [0; 13];
    for (from, to) in [(&client, &server), (&server, &client)] {
        set_and_get(to.socket(), linux::QuickAck, &[true]);
        soon(&notifier, "a write", from.write_all(b"Hello, there!")).unwrap();
        soon(&notifier, "a read", to.read_exact(&mut buf)).unwrap();
        assert_eq!(&buf, b"Hello, there!");
        set_and_get(to.socket(), linux::QuickAck, &[false]);
    }

    // What was held back leaves with the cork.
    set_and_get(one, linux::Cork, &[true]);
    soon(&notifier, "a write", client.write_all(b"Hello, ")).unwrap();
    soon(&notifier, "a write", client.write_all(b"there!")).unwrap();
    set_and_get(one, linux::Cork, &[false]);
    soon(&notifier, "a read", server.read_exact(&mut buf)).unwrap();
    assert_eq!(&buf, b"Hello, there!");

    set_and_get(other, linux::Priority, &[0, 1, 6, 0]);
    let millis = |n| Some(Duration::from_millis(n));
    set_and_get(one, linux::UserTimeout, &[millis(1), millis(20_000), None]);
    one.set(linux::UserTimeout, Some(Duration::from_nanos(1))).unwrap();
    assert_eq!(one.get(linux::UserTimeout).unwrap(), millis(1));
    for wrong in [Duration::ZERO, Duration::MAX, Duration::from_secs(u64::from(u32::MAX))] {
        refused(one, linux::UserTimeout, Some(wrong));
    }
    set_and_get(one, linux::BusyPoll, &[Duration::ZERO]);
    match one.set(linux::BusyPoll, Duration::from_nanos(1)) {
        Ok(()) => assert_eq!(one.get(linux::BusyPoll).unwrap(), Duration::from_micros(1)),
        Err(error) => assert_kind(&error, &[ErrorKind::PermissionDenied]),
    }
    refused(one, linux::BusyPoll, Duration::MAX);

    let udp = net::bare(&notifier, v4(), Type::Datagram);
    assert_eq!(udp.get(linux::BindDevice).unwrap(), None);
    let nowhere: DeviceName = "pike-no-such-if".parse().unwrap();
    let error = udp.set(linux::BindDevice, Some(nowhere)).unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM)), "{error:?}");
    assert_eq!(udp.get(linux::BindDevice).unwrap(), None);
    for wrong in [&b""[..], b"sixteen bytes...", b"a\0b"] {
        assert_eq!(DeviceName::new(wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    match udp.set(linux::BindDevice, Some("lo".parse().unwrap())) {
        Ok(()) => {
            let name = udp.get(linux::BindDevice).unwrap().expect("a name");
            assert_eq!((name.as_bytes(), name.to_string()), (&b"lo"[..], "lo".to_owned()));
            udp.bind(v4()).unwrap();
            let sender = net::udp(&notifier, v4());
            let at = net::internet(udp.local_addr());
            soon(&notifier, "a send", sender.send_to(b"x", at)).unwrap();
            assert_eq!(soon(&notifier, "a receive", udp.read(&mut buf)).unwrap(), 1);
        }
        // Before Linux 5.7.
        Err(error) => assert_kind(&error, &[ErrorKind::PermissionDenied]),
    }
    Ok(())
}

/// Other systems have none of these.
#[cfg(not(target_os = "linux"))]
pub fn options_of_linux(_cx: &Cx) -> Outcome {
    crate::skip!("Linux only")
}
