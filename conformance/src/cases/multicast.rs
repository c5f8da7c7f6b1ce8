//! One datagram for many: broadcasts, and groups of IPv4 and IPv6. Nothing leaves the machine.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

use pike::{
    Notifier,
    net::UdpSocket,
    socket::option::{self, SourceV4, SourceV6},
};

use super::options::is_absent;
use crate::{
    Cx, Outcome,
    net::{self, assert_kind, soon, v4},
    skip, system,
};

/// A broadcast is refused until the socket may send it, and then arrives.
pub fn broadcast_is_opt_in(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let (receiver, sender) = (net::udp(&notifier, any), net::udp(&notifier, v4()));
    let port = receiver.local_addr().unwrap().port();
    let everybody = SocketAddr::from((Ipv4Addr::new(127, 255, 255, 255), port));
    let refusal = match soon(&notifier, "a refusal", sender.send_to(b"x", everybody)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => error,
        other => skip!("the loopback of this system has no broadcasts: {other:?}"),
    };
    assert!(refusal.raw_os_error().is_some());
    sender.set_broadcast(true).unwrap();
    soon(&notifier, "a broadcast", sender.send_to(b"hello", everybody)).unwrap();
    let mut buf = [0; 16];
    let (n, from) = soon(&notifier, "a broadcast's arrival", receiver.recv_from(&mut buf)).unwrap();
    assert_eq!((&buf[..n], from), (&b"hello"[..], sender.local_addr().unwrap()));
    sender.set_broadcast(false).unwrap();
    let error = soon(&notifier, "a refusal", sender.send_to(b"x", everybody)).unwrap_err();
    assert_kind(&error, &[ErrorKind::PermissionDenied]);
    Ok(())
}

/// Members of an IPv4 group receive what it is sent, from the time they join until they leave.
/// On the loopback, and on the interface that the system chooses with no hop allowed, so that nothing leaves the machine.
pub fn multicast_v4(cx: &Cx) -> Outcome {
    let on_loopback = group_v4(cx, Ipv4Addr::LOCALHOST);
    let anywhere = group_v4(cx, Ipv4Addr::UNSPECIFIED);
    match (on_loopback, anywhere) {
        (Err(error), Err(_)) => skip!("no IPv4 multicast on this machine: {error}"),
        _ => Ok(()),
    }
}

/// An error if there is no multicast.
fn group_v4(cx: &Cx, interface: Ipv4Addr) -> io::Result<()> {
    let notifier = cx.notifier();
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let (receiver, sender) = (net::udp(&notifier, any), net::udp(&notifier, any));
    let port = receiver.local_addr()?.port();
    // A group that no other test on this machine has, since the port is ours.
    let [high, low] = port.to_be_bytes();
    let group = Ipv4Addr::new(239, 255, high, low);
    receiver.join_multicast_v4(group, interface)?;
    sender.socket().set(option::MulticastInterfaceV4, interface).unwrap();
    sender.set_multicast_ttl_v4(0).unwrap();
    let to = SocketAddr::from((group, port));
    soon(&notifier, "a send to a group", sender.send_to(b"1", to))?;
    arrives(&notifier, &receiver, &sender, b"1");
    let again = receiver.join_multicast_v4(group, interface).unwrap_err();
    assert_kind(&again, &[ErrorKind::AddrInUse]);

    // A loopback delivers without the flag as well.
    if interface.is_unspecified() {
        sender.set_multicast_loop_v4(false).unwrap();
        soon(&notifier, "a send without loop", sender.send_to(b"2", to)).unwrap();
        nothing_arrives(cx, &notifier, &receiver);
        sender.set_multicast_loop_v4(true).unwrap();
        soon(&notifier, "a send with loop", sender.send_to(b"3", to)).unwrap();
        arrives(&notifier, &receiver, &sender, b"3");
    }

    receiver.leave_multicast_v4(group, interface).unwrap();
    soon(&notifier, "a send after leaving", sender.send_to(b"4", to)).unwrap();
    nothing_arrives(cx, &notifier, &receiver);

    Ok(())
}

/// The same over IPv6, by the index of the interface. The group's scope is the machine.
pub fn multicast_v6(cx: &Cx) -> Outcome {
    cx.needs_v6()?;
    let on_loopback = group_v6(cx, system::loopback_index());
    let elsewhere = net::link_local().map_or(Ok(()), |local| group_v6(cx, local.scope_id()));
    match (on_loopback, elsewhere) {
        (Err(error), Err(_)) => skip!("no IPv6 multicast on this machine: {error}"),
        (Err(error), Ok(())) if net::link_local().is_none() => {
            skip!("no IPv6 multicast on the loopback: {error}")
        }
        _ => Ok(()),
    }
}

/// An error if there is no multicast.
fn group_v6(cx: &Cx, interface: u32) -> io::Result<()> {
    let notifier = cx.notifier();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (receiver, sender) = (net::udp(&notifier, any), net::udp(&notifier, any));
    let port = receiver.local_addr()?.port();
    let group = Ipv6Addr::new(0xff11, 0, 0, 0, 0, 0, 0, port);
    receiver.join_multicast_v6(&group, interface)?;
    sender.socket().set(option::MulticastInterfaceV6, interface).unwrap();
    let to = SocketAddr::from(SocketAddrV6::new(group, port, 0, interface));
    soon(&notifier, "a send to a group", sender.send_to(b"1", to))?;
    arrives(&notifier, &receiver, &sender, b"1");
    let again = receiver.join_multicast_v6(&group, interface).unwrap_err();
    assert_kind(&again, &[ErrorKind::AddrInUse]);

    if interface != system::loopback_index() {
        sender.set_multicast_loop_v6(false).unwrap();
        soon(&notifier, "a send without loop", sender.send_to(b"2", to)).unwrap();
        nothing_arrives(cx, &notifier, &receiver);
        sender.set_multicast_loop_v6(true).unwrap();
        soon(&notifier, "a send with loop", sender.send_to(b"3", to)).unwrap();
        arrives(&notifier, &receiver, &sender, b"3");
    }

    receiver.leave_multicast_v6(&group, interface).unwrap();
    soon(&notifier, "a send after leaving", sender.send_to(b"4", to)).unwrap();
    nothing_arrives(cx, &notifier, &receiver);

    let no_group = receiver.join_multicast_v6(&Ipv6Addr::LOCALHOST, interface).unwrap_err();
    assert_kind(&no_group, &[ErrorKind::InvalidInput]);
    Ok(())
}

/// Members of a group that named one source receive what that sends, and nothing of another.
pub fn multicast_one_source(cx: &Cx) -> Outcome {
    let v4 = source_v4(cx);
    let v6 = cx.needs_v6().map(|()| source_v6(cx, system::loopback_index()));
    match (v4, v6) {
        (Err(error), Ok(Err(_)) | Err(_)) => skip!("no multicast on this machine: {error}"),
        _ => Ok(()),
    }
}

/// An error if there is no multicast.
fn source_v4(cx: &Cx) -> io::Result<()> {
    let (notifier, interface) = (cx.notifier(), Ipv4Addr::LOCALHOST);
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let (receiver, sender) = (net::udp(&notifier, any), net::udp(&notifier, any));
    let port = receiver.local_addr()?.port();
    let [high, low] = port.to_be_bytes();
    let group = Ipv4Addr::new(239, 255, high, low);
    let to = SocketAddr::from((group, port));
    // Whence it comes is known once it has come.
    receiver.join_multicast_v4(group, interface)?;
    sender.socket().set(option::MulticastInterfaceV4, interface).unwrap();
    sender.set_multicast_ttl_v4(0).unwrap();
    soon(&notifier, "a send to a group", sender.send_to(b"1", to))?;
    let from = arrives(&notifier, &receiver, &sender, b"1");
    receiver.leave_multicast_v4(group, interface).unwrap();
    let SocketAddr::V4(from) = from else { panic!("{from} is not IPv4") };
    let only = SourceV4 { group, source: *from.ip(), interface };
    let stranger = SourceV4 { source: Ipv4Addr::new(192, 0, 2, 200), ..only };
    let joined = receiver.socket().set(option::JoinSourceV4, stranger);
    if is_absent(&joined) {
        return Ok(());
    }
    joined.unwrap();
    soon(&notifier, "a send from another source", sender.send_to(b"5", to)).unwrap();
    nothing_arrives(cx, &notifier, &receiver);
    receiver.socket().set(option::JoinSourceV4, only).unwrap();
    soon(&notifier, "a send from the source", sender.send_to(b"6", to)).unwrap();
    arrives(&notifier, &receiver, &sender, b"6");
    receiver.socket().set(option::LeaveSourceV4, only).unwrap();
    soon(&notifier, "a send from a former source", sender.send_to(b"7", to)).unwrap();
    nothing_arrives(cx, &notifier, &receiver);
    Ok(())
}

/// The same over IPv6.
fn source_v6(cx: &Cx, interface: u32) -> io::Result<()> {
    let notifier = cx.notifier();
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (receiver, sender) = (net::udp(&notifier, any), net::udp(&notifier, any));
    let port = receiver.local_addr()?.port();
    let group = Ipv6Addr::new(0xff11, 0, 0, 0, 0, 0, 1, port);
    let to = SocketAddr::from(SocketAddrV6::new(group, port, 0, interface));
    receiver.join_multicast_v6(&group, interface)?;
    sender.socket().set(option::MulticastInterfaceV6, interface).unwrap();
    soon(&notifier, "a send to a group", sender.send_to(b"1", to))?;
    let from = arrives(&notifier, &receiver, &sender, b"1");
    receiver.leave_multicast_v6(&group, interface).unwrap();
    let SocketAddr::V6(from) = from else { panic!("{from} is not IPv6") };
    let only = SourceV6 { group, source: *from.ip(), interface };
    let stranger = SourceV6 { source: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), ..only };
    let joined = receiver.socket().set(option::JoinSourceV6, stranger);
    if !is_absent(&joined) {
        joined.unwrap();
        soon(&notifier, "a send from another source", sender.send_to(b"5", to)).unwrap();
        nothing_arrives(cx, &notifier, &receiver);
        receiver.socket().set(option::JoinSourceV6, only).unwrap();
        soon(&notifier, "a send from the source", sender.send_to(b"6", to)).unwrap();
        arrives(&notifier, &receiver, &sender, b"6");
        receiver.socket().set(option::LeaveSourceV6, only).unwrap();
        soon(&notifier, "a send from a former source", sender.send_to(b"7", to)).unwrap();
        nothing_arrives(cx, &notifier, &receiver);
    }
    Ok(())
}

/// Who is no member of a group cannot leave it.
pub fn multicast_leave_without_join(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let receiver = net::udp(&notifier, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let gone = receiver.leave_multicast_v4(Ipv4Addr::new(239, 255, 1, 2), Ipv4Addr::LOCALHOST).unwrap_err();
    assert_kind(&gone, &[ErrorKind::AddrNotAvailable]);
    if cx.needs_v6().is_ok() {
        let receiver = net::udp(&notifier, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
        let group = Ipv6Addr::new(0xff11, 0, 0, 0, 0, 0, 0, 0x1234);
        let gone = receiver.leave_multicast_v6(&group, system::loopback_index()).unwrap_err();
        assert_kind(&gone, &[ErrorKind::AddrNotAvailable]);
    }
    Ok(())
}

/// Where it came from: the sender has no address but a port.
#[track_caller]
fn arrives(notifier: &Notifier, receiver: &UdpSocket, sender: &UdpSocket, bytes: &[u8]) -> SocketAddr {
    let mut buf = [0; 16];
    let (n, from) = soon(notifier, "a datagram to a group", receiver.recv_from(&mut buf)).unwrap();
    assert_eq!((&buf[..n], from.port()), (bytes, sender.local_addr().unwrap().port()));
    from
}

/// What stays within the machine is there when the send returns, or a moment later.
#[track_caller]
fn nothing_arrives(cx: &Cx, notifier: &Notifier, receiver: &UdpSocket) {
    cx.settle(notifier);
    let mut buf = [0; 16];
    let got = receiver.try_recv(&mut buf);
    assert_eq!(got.unwrap_err().kind(), ErrorKind::WouldBlock, "it arrived: {:?}", buf[0] as char);
}
