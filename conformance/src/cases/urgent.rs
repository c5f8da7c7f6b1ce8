//! Urgent data of TCP: the mark, the byte apart and in line, and when the priority condition is over.

use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::Shutdown,
};

use pike::{
    Closed, Interest, Notifier,
    net::TcpStream,
    socket::{RecvFlags, SendFlags, control::ControlBuf, option},
};

use crate::{
    Cx, Outcome, SHORT, Task,
    net::{self, assert_kind, soon, v4},
    system,
};

/// Urgent data apart and in line. Windows has no priority condition for what is in line.
const IN_LINE: &[bool] = if cfg!(windows) { &[false] } else { &[false, true] };

fn send(notifier: &Notifier, stream: &TcpStream, before: &[u8], urgent: &[u8], after: &[u8]) {
    soon(notifier, "sends", async {
        stream.write_all(before).await.unwrap();
        assert_eq!(stream.socket().send(urgent, SendFlags::OUT_OF_BAND).await.unwrap(), urgent.len());
        stream.write_all(after).await.unwrap();
    });
}

/// A read gives up to the mark and no further, whether the byte stands apart or in line; `at_mark` says when it is there.
pub fn urgent_mark(cx: &Cx) -> Outcome {
    cx.needs_priority()?;
    let notifier = cx.notifier();
    for &in_line in IN_LINE {
        let (stream, peer) = net::pair(cx, &notifier);
        stream.socket().set(option::OutOfBandInline, in_line).unwrap();
        assert!(!stream.socket().at_mark().unwrap(), "a mark where nothing was sent");
        send(&notifier, &peer, b"before", b"!", b"after");
        soon(&notifier, "the mark", stream.ready(Interest::PRIORITY)).unwrap();
        assert!(!stream.socket().at_mark().unwrap());

        let mut buf = [0; 64];
        assert_eq!(soon(&notifier, "what is before", stream.read(&mut buf)).unwrap(), 6);
        assert!(stream.socket().at_mark().unwrap());
        let mut rest = if in_line { &b"!after"[..] } else { b"after" };
        while !rest.is_empty() {
            let n = soon(&notifier, "what is behind", stream.read(&mut buf)).unwrap();
            assert!(n > 0 && rest.starts_with(&buf[..n]), "in line: {in_line}");
            rest = &rest[n..];
        }
        assert!(!stream.socket().at_mark().unwrap());
    }
    let udp = net::udp(&notifier, v4());
    assert!(udp.socket().at_mark().is_err(), "a mark in datagrams");
    let (stream, _peer) = net::pair(cx, &notifier);
    stream.socket().cancel();
    assert!(Closed::is(&stream.socket().at_mark().unwrap_err()));
    Ok(())
}

/// Once the byte was read, apart or past it in line, the condition is over: who waits for it anew sleeps until the next
/// one. Before, every look finds it.
pub fn priority_is_over(cx: &Cx) -> Outcome {
    cx.needs_priority()?;
    let notifier = cx.notifier();
    for &in_line in IN_LINE {
        let (stream, peer) = net::pair(cx, &notifier);
        stream.socket().set(option::OutOfBandInline, in_line).unwrap();
        cx.settle(&notifier);
        let mut buf = [0; 64];
        for round in 0..5 {
            let mut waiters: Vec<_> =
                (0..3).map(|_| Task::pending(stream.ready(Interest::PRIORITY))).collect();
            send(&notifier, &peer, b"before", b"!", b"after");
            cx.turn_until(&notifier, "everyone who waits", || waiters.iter().all(Task::is_woken));
            for waiter in &mut waiters {
                assert!(waiter.ready().unwrap().is_priority());
            }
            for _ in 0..2 {
                assert!(Task::new(stream.ready(Interest::PRIORITY)).ready().unwrap().is_priority());
            }
            let mut total = 11;
            if in_line {
                total = 12;
            } else {
                assert_eq!(
                    soon(&notifier, "the byte", stream.socket().recv(&mut buf, RecvFlags::OUT_OF_BAND))
                        .unwrap(),
                    1
                );
            }
            let mut got = 0;
            while got < total {
                got += soon(&notifier, "the bytes", stream.read(&mut buf)).unwrap();
            }
            assert_eq!(got, total);
            let mut waiter = Task::new(stream.ready(Interest::PRIORITY));
            assert!(
                waiter.poll().is_pending(),
                "in line: {in_line}, round {round}: still urgent after it was read"
            );
            let both =
                soon(&notifier, "room", stream.ready(Interest::PRIORITY | Interest::WRITABLE)).unwrap();
            assert!(both.is_writable() && !both.is_priority());
            notifier.poll(Some(SHORT)).unwrap();
            assert!(waiter.poll().is_pending());
        }
    }
    Ok(())
}

/// An urgent byte is received by who asks for it, in every form, with a plain reader beside; in line it is refused, not
/// waited for; and the end of the stream ends the waiting.
pub fn urgent_receive_forms(cx: &Cx) -> Outcome {
    cx.needs_priority()?;
    let notifier = cx.notifier();
    let (stream, peer) = net::pair(cx, &notifier);
    let socket = stream.socket();
    cx.settle(&notifier);
    let (mut byte, mut other, mut control) = ([0; 8], [0; 8], ControlBuf::<0>::new());
    let nothing =
        socket.try_recv_msg(&mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::OUT_OF_BAND);
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::WouldBlock);
    for _ in 0..3 {
        let mut reading = Task::pending(stream.read(&mut other));
        let mut urgent = Task::pending(async {
            socket.recv_msg(&mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::OUT_OF_BAND).await
        });
        send(&notifier, &peer, b"", b"!", b"");
        cx.turn_until(&notifier, "an urgent byte", || urgent.is_woken());
        let message = net::finish(cx, &notifier, "an urgent byte", &mut urgent).unwrap();
        drop(urgent);
        assert_eq!((message.len, message.out_of_band, message.from, byte[0]), (1, true, None, b'!'));
        assert!(reading.poll().is_pending(), "the plain reader got it, too");
        send(&notifier, &peer, b"plain", b"?", b"");
        let n = net::finish(cx, &notifier, "plain bytes", &mut reading).unwrap();
        drop(reading);
        assert_eq!(&other[..n], b"plain");
        soon(&notifier, "the second", socket.ready(Interest::PRIORITY)).unwrap();
        for flags in [RecvFlags::OUT_OF_BAND | RecvFlags::PEEK, RecvFlags::OUT_OF_BAND] {
            let message =
                socket.try_recv_msg(&mut [IoSliceMut::new(&mut byte)], &mut control, flags).unwrap();
            assert_eq!((message.len, byte[0]), (1, b'?'));
        }
    }

    if IN_LINE.contains(&true) {
        let (in_line, sender) = net::pair(cx, &notifier);
        in_line.socket().set(option::OutOfBandInline, true).unwrap();
        send(&notifier, &sender, b"", b"!", b"");
        soon(&notifier, "a byte in line", in_line.ready(Interest::PRIORITY)).unwrap();
        let refused =
            soon(&notifier, "urgent data in line", in_line.socket().recv(&mut byte, RecvFlags::OUT_OF_BAND));
        assert_kind(&refused.unwrap_err(), &[ErrorKind::InvalidInput]);
        assert_eq!(soon(&notifier, "it in line", in_line.read(&mut other)).unwrap(), 1);
    }

    let mut urgent = Task::pending(socket.recv(&mut byte, RecvFlags::OUT_OF_BAND));
    peer.shutdown(Shutdown::Write).unwrap();
    cx.turn_until(&notifier, "the end", || urgent.is_woken());
    let ended: io::Result<usize> = urgent.ready();
    assert!(matches!(ended, Ok(0) | Err(_)), "urgent data after the end: {ended:?}");
    system::assert_ours(&stream);
    Ok(())
}
