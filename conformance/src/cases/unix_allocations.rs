//! As `allocations`, of what only Unix has: its sockets, pipes, descriptors that are passed on.

use std::{
    cell::RefCell,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    os::fd::AsFd,
};

use futures_lite::future::zip;
use pike::{
    Handle, Interest,
    net::{UnixDatagram, UnixListener, UnixStream},
    os::unix::{
        control::{self as unix_control, ControlExt, descriptors_space},
        option::PeerCred,
    },
    socket::{Domain, RecvFlags, SendFlags, Socket, Type, control::ControlBuf},
};

use super::{
    allocations::{counts, trait_forms},
    budget::measure,
};
use crate::{Cx, Outcome, unix};

/// Messages in order, datagrams with their senders, streams, a descriptor that is passed on, a pipe by Handle.
pub fn no_allocation_of_unix_messages(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    // macOS has no such sockets.
    if !cfg!(target_vendor = "apple") {
        let (one, other) = Socket::pair_on(&notifier, Domain::Unix, Type::SeqPacket, None).unwrap();
        let (one, other) = (&one, &other);
        measure(&notifier, "messages in order", 0, async |_| {
            let mut buf = [0; 8];
            let (got, sent) = zip(one.read(&mut buf), other.write(b"ping")).await;
            assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
            let (got, sent) = zip(one.recv_from(&mut buf), other.write(b"ping")).await;
            assert_eq!((got.unwrap().0, sent.unwrap()), (4, 4));
        });
    }

    let folder = unix::Folder::new();
    let receiver = UnixDatagram::bind(folder.path("receiver")).unwrap();
    let (receiver, address) = (&receiver, receiver.local_addr().unwrap());
    measure(&notifier, "datagrams of Unix, by address", 0, async |_| {
        let mut buf = [0; 8];
        let (from, sent) = zip(receiver.peek_sender(), receiver.send_to_addr(b"ping", &address)).await;
        assert_eq!((from.unwrap(), sent.unwrap()), (address, 4));
        assert_eq!(receiver.peek_from(&mut buf).await.unwrap(), (4, address));
        assert_eq!(receiver.recv_from(&mut buf).await.unwrap(), (4, address));
    });

    let (source, sink) = unix::pipe();
    let (source, sink) = (Handle::new(source).unwrap(), Handle::new(sink).unwrap());
    let (source, sink) = (&source, &sink);
    measure(&notifier, "a pipe by Handle", 0, async |_| {
        let mut buf = [0; 8];
        let reading = source.async_io(Interest::READABLE, |mut io| io.read(&mut buf));
        let writing = sink.async_io(Interest::WRITABLE, |mut io| io.write(b"ping"));
        let (got, sent) = zip(reading, writing).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
    });

    let kept = RefCell::new(Some(Vec::with_capacity(8)));
    measure(&notifier, "a pipe by Handle, owned", 0, async |_| {
        let room: Vec<u8> = kept.take().unwrap();
        let (got, sent) = zip(source.read_owned(room), sink.write_all_owned(&b"ping"[..])).await;
        assert_eq!((got.0.unwrap(), sent.0.unwrap()), (4, ()));
        kept.replace(Some(got.1));
    });
    measure(&notifier, "datagrams of Unix, owned", 0, async |_| {
        let room: Vec<u8> = kept.take().unwrap();
        let sending = receiver.socket().send_to_owned(&b"ping"[..], address);
        let (got, sent) = zip(receiver.recv_from_owned(room), sending).await;
        assert_eq!((got.0.unwrap(), sent.0.unwrap()), ((4, address), 4));
        let sending = receiver.socket().send_to_owned(&b"ping"[..], address);
        let (lease, sent) = zip(receiver.recv_from_pooled(), sending).await;
        assert_eq!((&lease.unwrap().0[..], sent.0.unwrap()), (&b"ping"[..], 4));
        kept.replace(Some(got.1));
    });

    let stdin = io::stdin();
    let gift = [stdin.as_fd()];
    let descriptors = [unix_control::Outgoing::Descriptors(&gift).into()];
    let (one, other) = Socket::pair_on(&notifier, Domain::Unix, Type::SeqPacket, None).unwrap();
    measure(&notifier, "recv_msg and send_msg with a descriptor", 0, async |_| {
        let (mut buf, mut control) = ([0; 64], ControlBuf::<{ descriptors_space(1) }>::new());
        let (mut bufs, bytes) = ([IoSliceMut::new(&mut buf)], [IoSlice::new(b"ping")]);
        let receiving = one.recv_msg(&mut bufs, &mut control, RecvFlags::NONE);
        let sending = other.send_msg(&bytes, None, &descriptors, SendFlags::NONE);
        let (got, sent) = zip(receiving, sending).await;
        assert_eq!((got.unwrap().len, sent.unwrap()), (4, 4));
        assert!(control.descriptors().next().is_some());
    });
    let ((one, other), (datagrams, peer)) = (UnixStream::pair().unwrap(), UnixDatagram::pair().unwrap());
    let path = &folder.path("another");
    let receiver = UnixDatagram::bind(path).unwrap();
    measure(&notifier, "a Unix stream", 0, async |_| {
        let mut buf = [0; 64];
        let (read, wrote) = zip(one.read(&mut buf), other.write_all(b"ping")).await;
        assert_eq!((read.unwrap(), wrote.unwrap()), (4, ()));
        let (got, wrote) = zip(one.recv_with(|bytes| bytes.len()), other.write(b"ping")).await;
        assert_eq!((got.unwrap(), wrote.unwrap()), (4, 4));
    });
    measure(&notifier, "Unix datagrams", 0, async |_| {
        let mut buf = [0; 64];
        let (got, sent) = zip(datagrams.recv(&mut buf), peer.send(b"ping")).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
        let (got, sent) = zip(receiver.recv_from(&mut buf), receiver.send_to(b"ping", path)).await;
        let ((count, from), sent) = (got.unwrap(), sent.unwrap());
        assert_eq!((count, from.as_pathname(), sent), (4, Some(&**path), 4));
    });
    Ok(())
}

/// Both poll traits and the vectored forms.
pub fn no_allocation_of_unix_traits(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    let (one, other) = UnixStream::pair().unwrap();
    trait_forms(&notifier, "Unix", one, other);

    let (one, other) = UnixStream::pair().unwrap();
    let (one, other) = (&one, &other);
    measure(&notifier, "vectored reads and writes", 0, async |_| {
        let slices = [IoSlice::new(b"pi"), IoSlice::new(b"ng")];
        let (mut start, mut rest) = ([0; 1], [0; 7]);
        let mut room = [IoSliceMut::new(&mut start), IoSliceMut::new(&mut rest)];
        let (got, sent) = zip(one.read_vectored(&mut room), other.write_vectored(&slices)).await;
        assert_eq!((got.unwrap(), sent.unwrap()), (4, 4));
    });
    Ok(())
}

/// Sockets that come and go, and who the peer is.
pub fn no_allocation_of_unix_sockets(cx: &Cx) -> Outcome {
    counts()?;
    let notifier = cx.notifier();
    let _here = notifier.enter();
    measure(&notifier, "pairs", 0, async |_| {
        UnixStream::pair().unwrap();
        UnixDatagram::pair().unwrap();
    });
    let folder = unix::Folder::new();
    let listener = UnixListener::bind(folder.path("listener")).unwrap();
    let (listener, address, path) = (&listener, listener.local_addr().unwrap(), folder.path("listener"));
    measure(&notifier, "accept and connect of Unix", 0, async |_| {
        let (accepted, client) = zip(listener.accept(), UnixStream::connect_addr(&address)).await;
        drop((accepted.unwrap(), client.unwrap()));
        let (accepted, client) = zip(listener.accept(), UnixStream::connect(&path)).await;
        drop((accepted.unwrap(), client.unwrap()));
    });
    let (one, _other) = Socket::pair_on(&notifier, Domain::Unix, Type::Stream, None).unwrap();
    measure(&notifier, "the peer", 0, async |_| {
        one.get(PeerCred).unwrap();
    });
    Ok(())
}
