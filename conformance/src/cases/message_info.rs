//! What comes and goes with a datagram: its addresses, traffic class, hop limit and time of arrival.

use std::{
    io::{ErrorKind, IoSlice},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use pike::socket::{
    RecvFlags, SendFlags, Type,
    control::{ControlBuf, Ecn, Incoming, Outgoing, PACKET_INFO_SPACE, Source, TRAFFIC_CLASS_SPACE},
    option,
};

use super::{
    messages::{ALL, HOPS_OVER_V4, send, take, udp},
    options::is_absent,
};
use crate::{
    Cx, Outcome, Task,
    net::{self, assert_kind, soon, v4},
};

/// Where a client is, and an address of this machine to ask at.
fn ways(cx: &Cx) -> Vec<(SocketAddr, IpAddr)> {
    let mut ways = vec![(v4(), IpAddr::from(Ipv4Addr::LOCALHOST))];
    // Linux answers at all of 127.0.0.0/8.
    if cfg!(target_os = "linux") {
        ways.push((v4(), Ipv4Addr::new(127, 7, 7, 7).into()));
    }
    if cx.needs_v6().is_ok() {
        ways.push((net::v6(), net::v6().ip()));
    }
    ways
}

/// Where a datagram went is told, with the interface, until it is asked for no more; over IPv6 as well.
pub fn message_packet_info(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for (client_at, asked) in ways(cx) {
        let (server, at) =
            udp(&notifier, if asked.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap());
        let (client, here) = udp(&notifier, client_at);
        server.set(option::ReceivePacketInfo, true).unwrap();
        assert!(server.get(option::ReceivePacketInfo).unwrap());
        let to = SocketAddr::new(asked, at.port());
        let (mut buf, mut control) = ([0; 8], ControlBuf::<PACKET_INFO_SPACE>::new());
        let mut receiving = Task::pending(take(&server, &mut buf, &mut control, RecvFlags::NONE));
        send(&notifier, &client, b"ask", Some(to.into()), &[]);
        let message = net::finish(cx, &notifier, "a question", &mut receiving).unwrap();
        drop(receiving);
        assert_eq!((message.from, message.control_truncated), (Some(here.into()), false));
        let info = control.packet_info().expect("packet info");
        assert_eq!(info.destination, Some(asked));
        assert_ne!(info.interface.expect("an interface"), 0);
        assert_eq!(info.source().map(|source| source.address), Some(asked));
        // Taken back, it is told no more.
        server.set(option::ReceivePacketInfo, false).unwrap();
        send(&notifier, &client, b"ask", Some(to.into()), &[]);
        soon(&notifier, "a question", take(&server, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        assert_eq!((control.packet_info(), control.is_empty()), (None, true));
    }

    Ok(())
}

/// An answer comes from the address that was asked, of many that the machine has, if it is told so; and from no address of
/// others. Of mapped addresses as well.
pub fn message_from_asked_address(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for (client_at, asked) in ways(cx) {
        let (server, at) =
            udp(&notifier, if asked.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap());
        let (client, _) = udp(&notifier, client_at);
        server.set(option::ReceivePacketInfo, true).unwrap();
        let to = SocketAddr::new(asked, at.port());
        let (mut buf, mut control) = ([0; 8], ControlBuf::<PACKET_INFO_SPACE>::new());
        send(&notifier, &client, b"ask", Some(to.into()), &[]);
        let message =
            soon(&notifier, "a question", take(&server, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        let info = control.packet_info().expect("packet info");
        let source = info.source().unwrap();

        for interface in [0, info.interface.unwrap()] {
            let from = Outgoing::Source(Source { interface, ..source });
            send(&notifier, &server, b"answer", message.from, &[from]);
            let answer =
                soon(&notifier, "an answer", take(&client, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
            assert_eq!((answer.len, answer.from), (6, Some(to.into())), "asked at {asked}");
        }
        // Not an address of this machine.
        let foreign = if asked.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" }.parse().unwrap();
        let from = Outgoing::Source(Source { address: foreign, interface: 0 });
        let error =
            server.try_send_msg(&[IoSlice::new(b"x")], message.from, &[from], SendFlags::NONE).unwrap_err();
        assert!(error.raw_os_error().is_some());
    }

    if cx.needs_v6().is_ok() {
        let (server, _) = {
            let socket = net::bare(&notifier, net::v6(), Type::Datagram);
            socket.set(option::V6Only, false).unwrap();
            socket.bind("[::]:0".parse::<SocketAddr>().unwrap()).unwrap();
            (socket, ())
        };
        server.set(option::ReceivePacketInfo, true).unwrap();
        server.set(option::ReceiveTrafficClass, true).unwrap();
        server.set(option::ReceiveHopLimit, true).unwrap();
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, net::internet(server.local_addr()).port()));
        let (client, _) = udp(&notifier, v4());
        let said = [Outgoing::TrafficClass(1), Outgoing::HopLimit(9)];
        let said = if HOPS_OVER_V4 { &said[..] } else { &said[..1] };
        let plain_hops = client.get(option::Ttl).unwrap() as u8;
        send(&notifier, &client, b"ask", Some(to.into()), said);
        let (mut buf, mut control) = ([0; 8], ControlBuf::<ALL>::new());
        let message =
            soon(&notifier, "a mapped question", take(&server, &mut buf, &mut control, RecvFlags::NONE))
                .unwrap();
        let info = control.packet_info().expect("packet info");
        assert_eq!(info.destination, Some(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
        let hops = if HOPS_OVER_V4 { 9 } else { plain_hops };
        assert_eq!((control.traffic_class(), control.hop_limit()), (Some(1), Some(hops)));
        let answer =
            [Outgoing::Source(info.source().unwrap()), Outgoing::TrafficClass(2), Outgoing::HopLimit(3)];
        let answer = if HOPS_OVER_V4 { &answer[..] } else { &answer[..2] };
        client.set(option::ReceiveTrafficClass, true).unwrap();
        client.set(option::ReceiveHopLimit, true).unwrap();
        send(&notifier, &server, b"answer", message.from, answer);
        let answer =
            soon(&notifier, "a mapped answer", take(&client, &mut buf, &mut control, RecvFlags::NONE))
                .unwrap();
        assert_eq!(answer.from, Some(to.into()));
        let hops = if HOPS_OVER_V4 { 3 } else { plain_hops };
        assert_eq!((control.traffic_class(), control.hop_limit()), (Some(2), Some(hops)));
    }
    Ok(())
}

/// What the sender's socket has been told is told with each datagram: over IPv4, IPv6, and IPv4 that an IPv6 socket receives.
pub fn message_tells_what_sockets_set(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut ways = vec![(v4(), v4(), Ipv4Addr::LOCALHOST.into())];
    if cx.needs_v6().is_ok() {
        ways.push((net::v6(), net::v6(), net::v6().ip()));
        ways.push((v4(), "[::]:0".parse().unwrap(), Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()));
    }
    for (from, at, told) in ways {
        let server = net::bare(&notifier, at, Type::Datagram);
        if at.is_ipv6() {
            server.set(option::V6Only, false).unwrap();
        }
        server.bind(at).unwrap();
        let port = net::internet(server.local_addr()).port();
        server.set(option::ReceivePacketInfo, true).unwrap();
        server.set(option::ReceiveTrafficClass, true).unwrap();
        server.set(option::ReceiveHopLimit, true).unwrap();
        let (client, _) = udp(&notifier, from);
        client.set(option::Ttl, 9).unwrap();
        // Not every Windows takes the class of IPv6.
        let has_class = match from {
            SocketAddr::V4(_) => client.set(option::Tos, 0xb8).is_ok(),
            SocketAddr::V6(_) => client.set(option::TrafficClass, 0xb8).is_ok(),
        };
        assert!(has_class || cfg!(windows));
        let (mut buf, mut control) = ([0; 8], ControlBuf::<ALL>::new());
        send(&notifier, &client, b"x", Some(SocketAddr::new(from.ip(), port).into()), &[]);
        let message =
            soon(&notifier, "a message", take(&server, &mut buf, &mut control, RecvFlags::NONE)).unwrap();
        assert_eq!((message.len, message.truncated, message.control_truncated), (1, false, false));
        let info = control.packet_info().expect("packet info");
        let destination = info.destination.expect("a destination");
        // Windows tells of IPv4 as it is.
        assert!(destination == told || cfg!(windows) && destination == told.to_canonical(), "{destination}");
        assert_ne!(info.interface.expect("an interface"), 0);
        let class = if has_class { 0xb8 } else { 0 };
        assert_eq!((control.traffic_class(), control.hop_limit()), (Some(class), Some(9)), "{from}");
        assert!(!control.entries().any(|entry| matches!(entry, Incoming::Unknown(_))));

        // Too little room: said so, and what fits is whole.
        send(&notifier, &client, b"xy", Some(SocketAddr::new(from.ip(), port).into()), &[]);
        let mut control = ControlBuf::<TRAFFIC_CLASS_SPACE>::new();
        let message =
            soon(&notifier, "a message", take(&server, &mut [0; 1], &mut control, RecvFlags::NONE)).unwrap();
        assert_eq!((message.len, message.truncated, message.control_truncated), (1, true, true));
        assert!(control.entries().count() <= 1);
    }
    Ok(())
}

/// Traffic class, hop limit and time of arrival come with each datagram, over both families, to a socket that is connected
/// and to one that is not; what was sent with one is not sent with the next.
pub fn message_traffic_class_hops_time(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for at in net::locals(cx) {
        for connected in [false, true] {
            let ((one, _), (other, there)) = (udp(&notifier, at), udp(&notifier, at));
            other.set(option::ReceiveTrafficClass, true).unwrap();
            other.set(option::ReceiveHopLimit, true).unwrap();
            let timestamps = other.set(option::ReceiveTimestamp, true);
            let has_time = !(cfg!(windows) && is_absent(&timestamps));
            if has_time {
                timestamps.unwrap();
                assert!(other.get(option::ReceiveTimestamp).unwrap());
            }
            assert!(
                other.get(option::ReceiveTrafficClass).unwrap()
                    && other.get(option::ReceiveHopLimit).unwrap()
            );
            let to = if connected { None } else { Some(there.into()) };
            if connected {
                soon(&notifier, "a connect", one.connect(there)).unwrap();
            }
            let plain_hops = match at {
                SocketAddr::V4(_) => one.get(option::Ttl).unwrap() as u8,
                SocketAddr::V6(_) => one.get(option::HopLimit).unwrap() as u8,
            };
            let has_hops = HOPS_OVER_V4 || at.is_ipv6();
            for class in [0b1011_1000 | Ecn::Capable0 as u8, Ecn::Congested as u8] {
                for (sent, expected) in [
                    (&[Outgoing::TrafficClass(class), Outgoing::HopLimit(7)][..], (class, 7)),
                    (&[Outgoing::TrafficClass(class)], (class, plain_hops)),
                    (&[], (0, plain_hops)),
                    (&[Outgoing::HopLimit(255)], (0, 255)),
                ] {
                    if !has_hops && sent.iter().any(|said| matches!(said, Outgoing::HopLimit(_))) {
                        let refused = one.try_send_msg(&[IoSlice::new(b"x")], to, sent, SendFlags::NONE);
                        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
                        continue;
                    }
                    let (mut buf, mut control) = ([0; 8], ControlBuf::<ALL>::new());
                    let before = SystemTime::now();
                    send(&notifier, &one, b"x", to, sent);
                    let message =
                        soon(&notifier, "a message", take(&other, &mut buf, &mut control, RecvFlags::NONE))
                            .unwrap();
                    assert!(!message.control_truncated);
                    assert_eq!(
                        (control.traffic_class(), control.hop_limit()),
                        (Some(expected.0), Some(expected.1)),
                        "{at}"
                    );
                    assert_eq!(Ecn::of(control.traffic_class().unwrap()) as u8, expected.0 & 3);
                    if has_time {
                        let time = control.timestamp().expect("a timestamp");
                        // The clock may be set meanwhile, by a little; microseconds are cut.
                        let slack = Duration::from_secs(5);
                        assert!(
                            time + slack > before && time < SystemTime::now() + slack,
                            "{time:?} against {before:?}"
                        );
                    }
                    assert_eq!(control.entries().count(), 2 + usize::from(has_time));
                    assert!(!control.entries().any(|entry| matches!(entry, Incoming::Unknown(_))));
                }
            }
            // Too little room: said so, and what fits is whole.
            send(&notifier, &one, b"x", to, &[]);
            let mut control = ControlBuf::<TRAFFIC_CLASS_SPACE>::new();
            let message =
                soon(&notifier, "a message", take(&other, &mut [0; 8], &mut control, RecvFlags::NONE))
                    .unwrap();
            assert!(message.control_truncated && message.len == 1);
            assert!(control.entries().count() <= 1);
        }
    }
    let (one, there) = udp(&notifier, v4());
    let many = [Outgoing::TrafficClass(1); 200];
    let error =
        one.try_send_msg(&[IoSlice::new(b"x")], Some(there.into()), &many, SendFlags::NONE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let unconnected = one.try_send_msg(&[IoSlice::new(b"x")], None, &many[..1], SendFlags::NONE);
    assert_kind(&unconnected.unwrap_err(), &[ErrorKind::NotConnected]);
    assert_eq!(one.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock, "something was sent");
    Ok(())
}
