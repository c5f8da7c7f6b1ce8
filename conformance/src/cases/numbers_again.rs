//! Numbers that are given out again (I12): what was queued for a descriptor that is closed by then does nothing to whoever has
//! its number next.
//!
//! Nobody turns the Notifier between the two. So a request is queued still, or in the mailbox of the thread that a bound
//! Notifier belongs to, unless the backend does it at once.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use pike::{Backend, Notifier, buf::IoBuf, net, socket::Type};

use super::lifecycle::read_to_end;
use crate::{
    Cx, Outcome, Task,
    net::{assert_bytes_at, attach, bare, bytes_at, internet, v4},
    system,
};

/// A buffer whose drops are counted.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl IoBuf for Counted {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
    }
}

/// Runs `case` with a Notifier and what has it turned a few times: one that this thread turns, and one that is bound to another,
/// which sleeps as long as it is not asked to.
fn turned_here_and_elsewhere(cx: &Cx, case: impl Fn(&Notifier, &dyn Fn())) {
    let turn = |notifier: &Notifier| {
        (0..3).for_each(|_| _ = notifier.poll(Some(Duration::from_millis(2))).unwrap());
    };
    let free = cx.notifier();
    case(&free, &|| turn(&free));
    let bound = cx.builder().bound().build().unwrap();
    thread::scope(|scope| {
        let ((ask, asked), (done, is_done)) = (mpsc::channel(), mpsc::channel());
        let its = &bound;
        scope.spawn(move || {
            while let Ok(()) = asked.recv() {
                turn(its);
                done.send(()).unwrap();
            }
        });
        let have_it_turned = || {
            ask.send(()).unwrap();
            is_done.recv().unwrap();
        };
        have_it_turned(); // whose it is from here on
        case(&bound, &have_it_turned);
        drop(ask);
    });
}

/// Two connected sockets of std's, of which the first takes the lowest number that is free.
fn strangers(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

/// Nothing has come at either end, and both are alive.
#[track_caller]
fn assert_untouched((one, other): &(TcpStream, TcpStream), what: &str) {
    for mut end in [one, other] {
        end.set_nonblocking(true).unwrap();
        match end.read(&mut [0; 64]) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{what}: {error}"),
            Ok(count) => panic!("{what}: a stranger got {count} bytes"),
        }
        end.set_nonblocking(false).unwrap();
    }
    for (mut from, mut to) in [(one, other), (other, one)] {
        from.write_all(b"alive").unwrap();
        let mut got = [0; 5];
        to.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"alive", "{what}");
    }
}

/// An owned send was begun, its future is gone or leaked, and the socket is dropped: not a byte of it comes to the connection that
/// has the number next. The old peer has a beginning of it at most, and the end; the buffers are dropped.
pub fn queued_sends_spare_the_next(cx: &Cx) -> Outcome {
    let again = AtomicUsize::new(0);
    turned_here_and_elsewhere(cx, |notifier, have_it_turned| {
        let listens = TcpListener::bind(v4()).unwrap();
        for round in 0..12 {
            let (form, leaks) = (round % 3, round % 2 == 1);
            let what = format!("{notifier:?}, form {form}, leaks: {leaks}");
            let (ours, peer) = strangers(&listens);
            let stream = attach(notifier, ours);
            let (number, dropped) = (system::raw(&stream), Arc::new(AtomicUsize::new(0)));
            let buf = |place, len| Counted(bytes_at(place, len), Arc::clone(&dropped));
            let mut sending = Task::new(async {
                match form {
                    0 => drop(stream.write_owned(buf(0, 1000)).await),
                    1 => drop(stream.write_all_owned(buf(0, 1000)).await),
                    _ => drop(stream.write_vectored_owned([buf(0, 500), buf(500, 500)]).await),
                }
            });
            let _ = sending.poll();
            if leaks {
                sending.forget()
            } else {
                drop(sending)
            }
            drop(stream);
            let next = strangers(&listens);
            again.fetch_add(usize::from(system::raw(&next.0) == number), SeqCst);
            have_it_turned();
            assert_untouched(&next, &what);
            let got = read_to_end(peer);
            assert!(got.len() <= 1000, "{what}");
            assert_bytes_at(0, &got);
            // What a ring has not been told of by then, it is never told of.
            assert!(cx.backend() != Backend::IoUring || got.is_empty(), "{what}: it was not queued");
            if !leaks {
                assert_eq!(dropped.load(SeqCst), if form == 2 { 2 } else { 1 }, "{what}: buffers");
            }
        }
    });
    // The case is alone, and the lowest number is taken first. Windows may give out another.
    assert!(cfg!(windows) || again.load(SeqCst) > 0, "no number was given out again");
    Ok(())
}

/// The same of datagrams, to a peer and to an address: the next socket sends nothing, neither to its own peer nor to the old one.
pub fn queued_datagrams_spare_the_next(cx: &Cx) -> Outcome {
    let again = AtomicUsize::new(0);
    turned_here_and_elsewhere(cx, |notifier, have_it_turned| {
        let [old, new] = [(); 2].map(|()| UdpSocket::bind(v4()).unwrap());
        let (to, elsewhere) = (old.local_addr().unwrap(), new.local_addr().unwrap());
        [&old, &new].into_iter().for_each(|peer| peer.set_nonblocking(true).unwrap());
        for round in 0..12 {
            let (names_it, end) = (round % 2 == 0, round % 3);
            let what = format!("{notifier:?}, names it: {names_it}, end {end}");
            let ours = bare(notifier, v4(), Type::Datagram);
            ours.bind(v4()).unwrap();
            let (number, from) = (system::raw(&ours), internet(ours.local_addr()));
            if !names_it {
                Task::new(ours.connect(to)).ready().unwrap();
            }
            let dropped = Arc::new(AtomicUsize::new(0));
            let buf = Counted(bytes_at(0, 100), Arc::clone(&dropped));
            let mut sending = Task::new(async {
                match names_it {
                    true => drop(ours.send_to_owned(buf, to).await),
                    false => drop(ours.write_owned(buf).await),
                }
            });
            let _ = sending.poll();
            if end == 2 {
                sending.forget()
            } else {
                drop(sending)
            }
            match end {
                0 => Task::new(ours.close()).ready().unwrap(),
                _ => drop(ours),
            }
            let next = UdpSocket::bind(v4()).unwrap();
            again.fetch_add(usize::from(system::raw(&next) == number), SeqCst);
            next.connect(elsewhere).unwrap();
            have_it_turned();
            let mut room = [0; 200];
            let stranger = new.recv_from(&mut room).map_err(|error| error.kind());
            assert_eq!(stranger, Err(ErrorKind::WouldBlock), "{what}: another's datagram");
            match old.recv_from(&mut room) {
                Ok(got) => assert_eq!(got, (100, from), "{what}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{what}"),
            }
            if end != 2 {
                assert_eq!(dropped.load(SeqCst), 1, "{what}: the buffer");
            }
        }
    });
    assert!(cfg!(windows) || again.load(SeqCst) > 0, "no number was given out again");
    Ok(())
}

/// Receives, accepts and connects that were begun, and whose sockets are gone: what comes to the next socket of that number is
/// there for its owner, and nobody connects it.
pub fn queued_requests_spare_the_next(cx: &Cx) -> Outcome {
    let again = AtomicUsize::new(0);
    let counts = |number, next| _ = again.fetch_add(usize::from(number == next), SeqCst);
    turned_here_and_elsewhere(cx, |notifier, have_it_turned| {
        // Made first, so that nothing is opened between two sockets of one number.
        let (elsewhere, listens) = (cx.notifier(), TcpListener::bind(v4()).unwrap());
        let never = TcpListener::bind(v4()).unwrap();
        let at = never.local_addr().unwrap();
        never.set_nonblocking(true).unwrap();
        for leaks in [false, true] {
            let gone = |mut task: Task<'_, ()>| {
                let _ = task.poll();
                if leaks { task.forget() } else { drop(task) }
            };
            for pooled in [false, true] {
                let (ours, _peer) = strangers(&listens);
                let stream = attach(notifier, ours);
                let number = system::raw(&stream);
                gone(Task::new(async {
                    match pooled {
                        true => drop(stream.recv_pooled().await),
                        false => drop(stream.read_owned(vec![0; 64]).await),
                    }
                }));
                drop(stream);
                let (mut next, mut other) = strangers(&listens);
                counts(number, system::raw(&next));
                other.write_all(b"for the next").unwrap();
                have_it_turned();
                next.set_read_timeout(Some(crate::net::LIMIT)).unwrap();
                let mut got = [0; 12];
                next.read_exact(&mut got).expect("its own bytes");
                assert_eq!(&got, b"for the next");
            }

            let accepting = {
                let _here = notifier.enter();
                net::TcpListener::from_std(TcpListener::bind(v4()).unwrap()).unwrap()
            };
            let number = system::raw(&accepting);
            gone(Task::new(async { drop(accepting.accept().await) }));
            drop(accepting);
            let next = TcpListener::bind(v4()).unwrap();
            counts(number, system::raw(&next));
            let client = TcpStream::connect(next.local_addr().unwrap()).unwrap();
            have_it_turned();
            next.set_nonblocking(true).unwrap();
            let mut accepted = None;
            cx.until("the next listener's own connection", || {
                accepted = next.accept().ok();
                accepted.is_some()
            });
            assert_eq!(accepted.unwrap().1, client.local_addr().unwrap());

            let connecting = bare(notifier, v4(), Type::Stream);
            let number = system::raw(&connecting);
            gone(Task::new(async { drop(connecting.connect(at).await) }));
            drop(connecting);
            let next = bare(&elsewhere, v4(), Type::Stream);
            counts(number, system::raw(&next));
            have_it_turned();
            let peer = next.peer_addr().map_err(|error| error.kind());
            assert_eq!(peer, Err(ErrorKind::NotConnected), "another's connect");
            if cx.backend() == Backend::IoUring {
                assert_eq!(never.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "it was not queued");
            }
        }
    });
    assert!(cfg!(windows) || again.load(SeqCst) > 0, "no number was given out again");
    Ok(())
}
