//! What the ends of a stream are to those who wait: half a close, a reset, a hang-up that is none.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

use pike::{
    Interest, net,
    socket::{Domain, Socket, Type},
};

use super::readiness::read_up_to;
use crate::{Cx, Outcome, Task, system};

/// The peer closes: readers are woken and read the end, now and at every later call, at once.
pub fn readable_on_eof(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for data in [b"".as_slice(), b"rest"] {
        let (stream, mut peer) = cx.stream(&notifier);
        cx.settle(&notifier);
        let (mut looker, mut reader) =
            (Task::pending(stream.readable()), Task::pending(read_up_to::<16>(&stream)));
        peer.write_all(data).unwrap();
        drop(peer);
        cx.turn_until(&notifier, "the end", || looker.is_woken() && reader.is_woken());
        looker.ready().unwrap();
        assert_eq!(reader.ready().unwrap(), data);
        // Where data came first the end may come in a later turn.
        assert_eq!(notifier.block_on(read_up_to::<16>(&stream)).unwrap(), b"");
        for _ in 0..10 {
            assert_eq!(Task::new(read_up_to::<16>(&stream)).ready().unwrap(), b"");
            assert_eq!(stream.try_read(&mut [0; 16]).unwrap(), 0);
            Task::new(stream.readable()).ready().unwrap();
        }
        cx.assert_quiet(&notifier, "the end was read");
    }
    Ok(())
}

/// The peer ends its writing only: we read the end for ever, and our writes go on, wait, are woken and arrive.
pub fn half_close_keeps_writing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.stream(&notifier);
    cx.settle(&notifier);
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    peer.shutdown(Shutdown::Write).unwrap();
    cx.turn_until(&notifier, "the end of reading", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"");
    let ready = notifier.block_on(stream.ready(Interest::READABLE)).unwrap();
    assert!(ready.is_read_closed() && !ready.is_write_closed(), "{ready:?}");

    for _ in 0..3 {
        let full = cx.fill_up(&notifier, &stream);
        let mut writer = Task::pending(stream.write(b"tail"));
        let looker = Task::pending(stream.writable());
        cx.settle(&notifier);
        assert!(!writer.is_woken() && !looker.is_woken(), "a half-closed peer ends reading only");
        assert_eq!(Task::new(read_up_to::<16>(&stream)).ready().unwrap(), b"");
        cx.drain(&peer, full);
        cx.turn_until(&notifier, "room again", || writer.is_woken() && looker.is_woken());
        assert_eq!(writer.ready().unwrap(), 4);
        let mut tail = [0; 4];
        (&peer).read_exact(&mut tail).unwrap();
        assert_eq!(&tail, b"tail");
    }
    drop(reader);
    drop(stream);
    assert_eq!((&peer).read(&mut [0]).unwrap(), 0);
    Ok(())
}

/// We end our writing only: the peer reads the end, our writes fail without a signal, and our reads go on.
pub fn own_shutdown_keeps_reading(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    notifier.block_on(stream.write_all(b"last")).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"last");
    for _ in 0..3 {
        let error = notifier.block_on(stream.write(b"x")).unwrap_err();
        assert!(system::is_broken_pipe(&error), "{error}");
    }
    for round in 0..10_u8 {
        let mut reader = Task::pending(read_up_to::<16>(&stream));
        peer.write_all(&[round]).unwrap();
        cx.turn_until(&notifier, "a read after our own shutdown", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), [round]);
    }
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    drop(peer);
    cx.turn_until(&notifier, "the end", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"");
    Ok(())
}

/// The peer resets: a reader and a blocked writer are woken, one of them is told, later calls end, and no turn is busy.
pub fn reset_ends_both_directions(cx: &Cx) -> Outcome {
    let (notifier, other) = (cx.notifier(), cx.notifier());
    let (stream, peer) = cx.streams(&notifier, &other);
    cx.settle(&notifier);
    cx.fill_up(&notifier, &stream);
    let mut reader = Task::pending(read_up_to::<16>(&stream));
    let mut writer = Task::pending(stream.write(b"x"));
    let mut lookers = [Task::pending(stream.readable()), Task::pending(stream.writable())];
    cx.settle(&notifier);
    peer.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    cx.turn_until(&notifier, "the reset", || {
        reader.is_woken() && writer.is_woken() && lookers.iter().all(Task::is_woken)
    });
    let (read, wrote) = (reader.ready(), writer.ready());
    let is_reset =
        |error: Option<io::Error>| error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
    let told = [read.as_ref().err(), wrote.as_ref().err()];
    assert!(
        told.iter().flatten().any(|error| error.kind() == io::ErrorKind::ConnectionReset),
        "nobody is told: {read:?} {wrote:?}"
    );
    assert!(wrote.is_err());
    lookers.iter_mut().for_each(|looker| looker.ready().unwrap());
    for _ in 0..5 {
        match Task::new(read_up_to::<16>(&stream)).ready() {
            Ok(bytes) => assert_eq!(bytes, b""),
            Err(error) => assert!(is_reset(Some(error))),
        }
        Task::new(stream.write(b"x")).ready().unwrap_err();
    }
    cx.assert_quiet(&notifier, "a socket that was reset");
    Ok(())
}

/// What the system reports of a socket before it is connected or listens (on Linux: writable and hung up) does not count
/// afterwards.
pub fn fresh_socket_hangup_ignored(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let socket = || Socket::new_on(&notifier, Domain::V4, Type::Stream, None).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    for settle in [true, false] {
        let fresh = socket();
        if settle {
            cx.settle(&notifier);
        }
        notifier.block_on(fresh.connect(address)).unwrap();
        let (mut peer, _) = server.accept().unwrap();
        let stream = net::TcpStream::try_from(fresh).unwrap();
        let mut reader = Task::pending(read_up_to::<16>(&stream));
        cx.settle(&notifier);
        assert!(reader.poll().is_pending(), "an old hang-up ends a new connection");
        let ready = notifier.block_on(stream.ready(Interest::WRITABLE)).unwrap();
        assert!(!ready.is_read_closed() && !ready.is_write_closed(), "{ready:?}");
        peer.write_all(b"hello").unwrap();
        cx.turn_until(&notifier, "the first data", || reader.is_woken());
        assert_eq!(reader.ready().unwrap(), b"hello");
        drop(reader);
        // A short read may count as drained here: nothing was seen that forbids it.
        for _ in 0..3 {
            let mut reader = Task::pending(read_up_to::<16>(&stream));
            peer.write_all(b"again").unwrap();
            cx.turn_until(&notifier, "more data", || reader.is_woken());
            assert_eq!(reader.ready().unwrap(), b"again");
        }

        let fresh = socket();
        if settle {
            cx.settle(&notifier);
        }
        fresh.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        fresh.listen(16).unwrap();
        let listener = net::TcpListener::try_from(fresh).unwrap();
        let mut accepting = Task::pending(listener.accept());
        cx.settle(&notifier);
        assert!(accepting.poll().is_pending());
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        cx.turn_until(&notifier, "the first connection", || accepting.is_woken());
        assert_eq!(accepting.ready().unwrap().1, client.local_addr().unwrap());
    }
    Ok(())
}
