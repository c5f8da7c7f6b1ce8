//! Unix sockets as bare sockets: addresses, pairs, messages in order, what a listener's queue and a receiver's do when
//! they are full.

use std::{
    io::{self, ErrorKind},
    mem::offset_of,
    net::{Ipv4Addr, Ipv6Addr},
};

use pike::{
    Notifier,
    net::{TcpStream, UnixDatagram, UnixListener, UnixStream},
    os::unix::option::PeerCred,
    socket::{
        Address, Domain, Socket, Type, UnixAddress,
        option::{self, MembershipV4, MembershipV6},
    },
};

use super::options::{assert_code, wrong, wrong_or_absent};
use crate::{
    Cx, Outcome, Task,
    net::{self, assert_kind, soon},
    unix::{self, Folder},
};

/// A bare Unix socket.
#[track_caller]
fn bare(notifier: &Notifier, kind: Type) -> Socket {
    Socket::new_on(notifier, Domain::Unix, kind, None).expect("a Unix socket")
}

/// Two kinds of names a listener or receiver can have here, by a word.
fn names(folder: &Folder, word: &str) -> Vec<UnixAddress> {
    let mut names = vec![UnixAddress::from_pathname(folder.path(word)).unwrap()];
    let hidden = format!("pike conformance {} {word}", std::process::id());
    match UnixAddress::from_abstract_name(hidden) {
        Ok(name) => names.push(name),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    names
}

fn unnamed(address: io::Result<Address>) -> bool {
    matches!(address, Ok(Address::Unix(address)) if address.is_unnamed())
}

/// Bind, listen, accept and connect of streams and of messages in order, and datagrams with the address of their sender:
/// at a path and at an abstract name, which are given back to the byte.
pub fn unix_socket_types(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = Folder::new();
    for kind in [Type::Stream, Type::SeqPacket] {
        for name in names(&folder, &format!("{kind:?}")) {
            let listener = bare(&notifier, kind);
            assert!(unnamed(listener.local_addr()));
            listener.bind(name).unwrap();
            listener.listen(8).unwrap();
            assert_eq!(listener.local_addr().unwrap(), name.into());
            let mut accepting = Task::pending(listener.accept());

            let client = bare(&notifier, kind);
            assert!(unix::is_nonblocking(&client) && unix::is_close_on_exec(&client));
            soon(&notifier, "a connection", client.connect(name)).unwrap();
            let (server, from) = net::finish(cx, &notifier, "a connection", &mut accepting).unwrap();
            assert_eq!(from, UnixAddress::UNNAMED.into());
            assert_eq!(client.peer_addr().unwrap(), name.into());
            assert_eq!(server.local_addr().unwrap(), name.into());
            assert!(unnamed(client.local_addr()) && unnamed(server.peer_addr()));
            assert!(unix::is_nonblocking(&server) && unix::is_close_on_exec(&server));
            talk(cx, &notifier, kind, &client, &server);
        }
        let (one, other) = Socket::pair_on(&notifier, Domain::Unix, kind, None).unwrap();
        assert!(unnamed(one.local_addr()) && unnamed(one.peer_addr()));
        talk(cx, &notifier, kind, &one, &other);
    }

    for name in names(&folder, "datagrams") {
        let (receiver, nameless) = (bare(&notifier, Type::Datagram), bare(&notifier, Type::Datagram));
        receiver.bind(name).unwrap();
        let mut buf = [0; 16];
        let mut receiving = Task::pending(receiver.recv_from(&mut buf));
        assert_eq!(soon(&notifier, "a send", nameless.send_to(b"who am I", name)).unwrap(), 8);
        let got = net::finish(cx, &notifier, "a datagram", &mut receiving).unwrap();
        assert_eq!(got, (8, UnixAddress::UNNAMED.into()));
        drop(receiving);
        assert_eq!(&buf[..8], b"who am I");
        // To itself, under its name.
        assert_eq!(soon(&notifier, "a send", receiver.send_to(b"me", name)).unwrap(), 2);
        assert_eq!(soon(&notifier, "a datagram", receiver.recv_from(&mut buf)).unwrap(), (2, name.into()));
    }

    // The longest path: it and the zero behind it fill the system's address.
    let longest = size_of::<libc::sockaddr_un>() - offset_of!(libc::sockaddr_un, sun_path) - 1;
    let name = "x".repeat(longest - folder.path("").as_os_str().len());
    assert_eq!(folder.path(&name).as_os_str().len(), longest);
    let path = UnixAddress::from_pathname(folder.path(&name)).unwrap();
    let (server, client) = (bare(&notifier, Type::Stream), bare(&notifier, Type::Stream));
    server.bind(path).unwrap();
    server.listen(1).unwrap();
    soon(&notifier, "a connection", client.connect(path)).unwrap();
    let name = |address: io::Result<Address>| match address {
        Ok(Address::Unix(address)) => address.as_pathname().map(ToOwned::to_owned),
        other => panic!("{other:?}"),
    };
    assert_eq!((name(server.local_addr()), name(client.peer_addr())), {
        let path = path.as_pathname().map(ToOwned::to_owned);
        (path.clone(), path)
    });
    Ok(())
}

/// A bare socket becomes the type that it is: a listener, and a client that is bound, whose name the server knows. Through
/// std and back it is registered anew. It becomes nothing else, and no socket for datagrams listens.
pub fn unix_socket_becomes_its_type(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let folder = Folder::new();
    let path = |name: &str| UnixAddress::from_pathname(folder.path(name)).unwrap();
    let (bound, client) = (bare(&notifier, Type::Stream), bare(&notifier, Type::Stream));
    bound.bind(path("server")).unwrap();
    bound.listen(8).unwrap();
    client.bind(path("client")).unwrap();
    let listener = UnixListener::try_from(bound).unwrap();
    let mut accepting = Task::pending(listener.accept());
    soon(&notifier, "a connection", client.connect(path("server"))).unwrap();
    let client = UnixStream::try_from(client).unwrap();
    let (server, from) = net::finish(cx, &notifier, "a bound client", &mut accepting).unwrap();
    assert_eq!((from, server.peer_addr().unwrap()), (path("client"), path("client")));
    assert_eq!((client.local_addr().unwrap(), client.peer_addr().unwrap()), (path("client"), path("server")));
    drop(accepting);

    let listener = UnixListener::from_std(listener.into_std().unwrap()).unwrap();
    let [client, server] =
        [client, server].map(|stream| UnixStream::from_std(stream.into_std().unwrap()).unwrap());
    let (one, other) = UnixDatagram::pair().unwrap();
    let [one, other] = [one, other].map(|socket| UnixDatagram::from_std(socket.into_std().unwrap()).unwrap());
    let mut accepting = Task::pending(listener.accept());
    drop(soon(&notifier, "a connection", UnixStream::connect(folder.path("server"))).unwrap());
    net::finish(cx, &notifier, "a connection to a listener of std's", &mut accepting).unwrap();
    let mut buf = [0; 8];
    for (from, to) in [(&client, &server), (&server, &client)] {
        let mut reading = Task::pending(to.read(&mut buf));
        soon(&notifier, "a write", from.write_all(b"ping")).unwrap();
        assert_eq!(net::finish(cx, &notifier, "a stream of std's", &mut reading).unwrap(), 4);
    }
    for (from, to) in [(&one, &other), (&other, &one)] {
        let mut receiving = Task::pending(to.recv(&mut buf));
        soon(&notifier, "a send", from.send(b"ping")).unwrap();
        assert_eq!(net::finish(cx, &notifier, "datagrams of std's", &mut receiving).unwrap(), 4);
    }

    let refused = [
        UnixStream::try_from(bare(&notifier, Type::Datagram)).map(drop),
        UnixListener::try_from(bare(&notifier, Type::Datagram)).map(drop),
        UnixDatagram::try_from(bare(&notifier, Type::Stream)).map(drop),
        TcpStream::try_from(bare(&notifier, Type::Stream)).map(drop),
        UnixStream::try_from(net::bare(&notifier, net::v4(), Type::Stream)).map(drop),
    ];
    for error in refused.map(Result::unwrap_err) {
        assert!(error.kind() == ErrorKind::InvalidInput && !error.to_string().is_empty(), "{error:?}");
    }
    let datagrams = bare(&notifier, Type::Datagram);
    datagrams.bind(path("datagrams")).unwrap();
    assert!(datagrams.listen(1).unwrap_err().raw_os_error().is_some());
    Ok(())
}

/// There and back; then the end.
fn talk(cx: &Cx, notifier: &Notifier, kind: Type, one: &Socket, other: &Socket) {
    let mut buf = [0; 32];
    for (from, to) in [(one, other), (other, one)] {
        let mut reading = Task::pending(to.read(&mut buf));
        assert_eq!(soon(notifier, "a write", from.write(b"first")).unwrap(), 5);
        assert_eq!(net::finish(cx, notifier, "a read", &mut reading).unwrap(), 5);
        drop(reading);
        for message in [&b"second"[..], b"the third"] {
            assert_eq!(soon(notifier, "a write", from.write(message)).unwrap(), message.len());
        }
        // A stream has no boundaries; the messages of the others stay apart, and are cut by a short buffer.
        let at_once = if kind == Type::Stream { 15 } else { 6 };
        assert_eq!(soon(notifier, "a peek", to.peek(&mut buf)).unwrap(), at_once);
        if kind == Type::Stream {
            assert_eq!(soon(notifier, "a read", to.read(&mut buf)).unwrap(), 15);
            assert_eq!(&buf[..15], b"secondthe third");
            let refused = soon(notifier, "a refusal", to.recv_from(&mut buf)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Unsupported);
        } else {
            let sender = to.peer_addr().unwrap();
            assert_eq!(soon(notifier, "a read", to.recv_from(&mut buf)).unwrap(), (6, sender));
            assert_eq!(&buf[..6], b"second");
            assert_eq!(soon(notifier, "a read", to.read(&mut buf[..3])).unwrap(), 3);
            assert_eq!(&buf[..3], b"the");
        }
        assert_eq!(to.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    one.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(soon(notifier, "the end", other.read(&mut buf)).unwrap(), 0);
    if kind == Type::SeqPacket {
        let (end, _) = soon(notifier, "the end", other.recv_from(&mut buf)).unwrap();
        assert_eq!(end, 0);
    }
    soon(notifier, "a write after the other side's end", other.write(b"still")).unwrap();
    assert_eq!(soon(notifier, "a read", one.read(&mut buf)).unwrap(), 5);
}

/// An address that is bad, taken, missing or of another kind is refused with the system's code, or before the system is
/// asked; each refusal leaves nothing behind, and the socket is good for another address.
pub fn unix_socket_bad_addresses(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let folder = Folder::new();
    let path = |name: &str| UnixAddress::from_pathname(folder.path(name)).unwrap();
    std::fs::write(folder.path("file"), b"no socket").unwrap();
    let before = unix::descriptors();

    // What no address can be made of.
    let too_long = "x".repeat(200);
    for bad in [
        UnixAddress::from_pathname(&too_long),
        UnixAddress::from_pathname(""),
        UnixAddress::from_pathname("/a\0b"),
        UnixAddress::from_abstract_name(&too_long),
    ] {
        let error = bad.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported), "{error:?}");
        assert!(error.raw_os_error().is_none() && !error.to_string().is_empty());
    }

    for kind in [Type::Stream, Type::SeqPacket, Type::Datagram] {
        let holder = bare(&notifier, kind);
        let taken = names(&folder, &format!("taken {kind:?}"));
        holder.bind(taken[0]).unwrap();
        let others: Vec<_> = taken[1..].iter().map(|&name| (bare(&notifier, kind), name)).collect();
        others.iter().for_each(|(socket, name)| socket.bind(*name).unwrap());
        let socket = bare(&notifier, kind);
        for name in taken.iter().copied().chain([path("file"), folder_of(&folder)]) {
            assert_kind(&socket.bind(name).unwrap_err(), &[ErrorKind::AddrInUse]);
        }
        assert_kind(&socket.bind(path("no such folder/name")).unwrap_err(), &[ErrorKind::NotFound]);
        assert_kind(&socket.bind(path("file/name")).unwrap_err(), &[ErrorKind::NotADirectory]);
        assert!(socket.bind(net::v4()).unwrap_err().raw_os_error().is_some());
        if kind != Type::Datagram {
            let error = socket.listen(1).unwrap_err();
            // What the BSDs say of a socket without a name.
            let is_other = cfg!(not(target_os = "linux")) && error.raw_os_error() == Some(libc::EDESTADDRREQ);
            assert!(is_other || error.kind() == ErrorKind::InvalidInput, "{error:?}");
        }
        // It is as good as new.
        socket.bind(path(&format!("free {kind:?}"))).unwrap();
        assert_kind(&socket.bind(path("second name")).unwrap_err(), &[ErrorKind::InvalidInput]);
    }

    for kind in [Type::Stream, Type::SeqPacket, Type::Datagram] {
        let connect = |name: UnixAddress| {
            let socket = bare(&notifier, kind);
            soon(&notifier, "a refusal", socket.connect(name)).unwrap_err()
        };
        assert_kind(&connect(path("nothing here")), &[ErrorKind::NotFound]);
        let error = connect(path("file"));
        // The code of the BSDs has no kind of its own.
        let is_other = cfg!(not(target_os = "linux")) && error.raw_os_error() == Some(libc::ENOTSOCK);
        assert!(is_other || error.kind() == ErrorKind::ConnectionRefused, "{error:?}");
        // Its socket is gone, and its file stayed.
        assert_kind(&connect(path(&format!("free {kind:?}"))), &[ErrorKind::ConnectionRefused]);
        let other = if kind == Type::Stream { Type::Datagram } else { Type::Stream };
        let listener = bare(&notifier, other);
        let name = path(&format!("for another than {kind:?}"));
        listener.bind(name).unwrap();
        let _ = listener.listen(1);
        let error = connect(name);
        assert!(matches!(error.raw_os_error(), Some(libc::EPROTOTYPE | libc::ECONNREFUSED)), "{error:?}");
        let socket = bare(&notifier, kind);
        assert!(
            soon(&notifier, "a refusal", socket.connect(net::v4())).unwrap_err().raw_os_error().is_some()
        );
        if kind == Type::Datagram {
            assert_kind(&socket.try_send_to(b"x", path("nothing here")).unwrap_err(), &[ErrorKind::NotFound]);
            assert_kind(&socket.try_write(b"x").unwrap_err(), &[ErrorKind::NotConnected]);
        } else {
            assert_kind(&socket.peer_addr().unwrap_err(), &[ErrorKind::NotConnected]);
            assert_kind(&socket.try_accept().unwrap_err(), &[ErrorKind::InvalidInput]);
        }
    }
    assert!(Socket::pair_on(&notifier, Domain::V4, Type::Stream, None).unwrap_err().raw_os_error().is_some());
    let tcp = Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
    assert!(tcp.bind(path("tcp")).unwrap_err().raw_os_error().is_some());
    drop(tcp);
    assert_eq!(unix::descriptors(), before, "descriptors");
    Ok(())
}

fn folder_of(folder: &Folder) -> UnixAddress {
    UnixAddress::from_pathname(folder.path("")).unwrap()
}

/// The peer of a Unix socket is known: here it is ourselves.
pub fn peer_credentials(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for kind in [Type::Stream, Type::SeqPacket] {
        if kind == Type::SeqPacket && !cfg!(target_os = "linux") {
            continue;
        }
        let (one, other) = Socket::pair_on(&notifier, Domain::Unix, kind, None).unwrap();
        let (pid, uid, gid) = unix::own_ids();
        for socket in [&one, &other] {
            let peer = socket.get(PeerCred).unwrap();
            assert_eq!((peer.uid(), peer.gid()), (uid, gid));
            assert!(peer.pid().is_none_or(|peer| peer == pid), "{peer:?}, we are {pid}");
            assert!(!cfg!(target_os = "linux") || peer.pid().is_some(), "Linux knows the number");
        }
    }
    Ok(())
}

/// An option of another level is the system's error, with its code.
pub fn unix_option_of_wrong_level(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (unix, _peer) = Socket::pair_on(&notifier, Domain::Unix, Type::Stream, None).unwrap();
    let nobody = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0, 1);
    wrong(&unix, option::NoDelay, true);
    wrong_or_absent(&unix, option::KeepAliveCount, 3);
    wrong(&unix, option::V6Only, true);
    wrong(&unix, option::HopLimit, 9);
    wrong(&unix, option::TrafficClass, 0);
    wrong(&unix, option::MulticastHopsV6, 1);
    wrong(&unix, option::MulticastLoopV6, true);
    let join = MembershipV6 { group: nobody, interface: 0 };
    assert_code(&unix.set(option::JoinMulticastV6, join), "JoinMulticastV6");
    wrong(&unix, option::Ttl, 9);
    wrong(&unix, option::Tos, 0);
    wrong(&unix, option::MulticastTtlV4, 1);
    let join = MembershipV4 { group: Ipv4Addr::new(239, 255, 0, 1), interface: Ipv4Addr::LOCALHOST };
    assert_code(&unix.set(option::JoinMulticastV4, join), "JoinMulticastV4");
    #[cfg(target_os = "linux")]
    wrong(&unix, pike::os::linux::option::Cork, true);

    for kind in [Type::Stream, Type::Datagram] {
        let other = net::bare(&notifier, net::v4(), kind);
        assert_code(&other.get(PeerCred), "PeerCred of IP");
    }
    let alone = Socket::new_on(&notifier, Domain::Unix, Type::Stream, None).unwrap();
    assert_code(&alone.get(PeerCred), "PeerCred without a peer");
    assert!(unix.get(option::Error).unwrap().is_none(), "the socket is the worse for it");
    Ok(())
}
