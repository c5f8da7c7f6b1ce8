//! One script, run on every backend of this build: what a program sees is the same, line by line.
//!
//! Method: the script does one thing after the other and notes each outcome that a program could branch on: results, kinds
//! of errors, who is woken by what and in which order. The traces are compared with that of the first backend. How
//! many turns something takes, and hints of readiness that may come once more, are no outcomes.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    time::Duration,
};

use pike::{
    Backend, Closed, Event, Interest, Notifier,
    net::{TcpListener, TcpStream, UdpSocket},
    socket::option,
    time,
};
use pike_conformance::{Cx, Task, join_all};

struct Trace(Vec<String>);

impl Trace {
    fn note(&mut self, what: &str, outcome: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {outcome:?}"));
    }

    /// Of an error, the part that means the same everywhere.
    fn result<T: std::fmt::Debug>(&mut self, what: &str, result: io::Result<T>) {
        match result {
            Ok(value) => self.note(what, value),
            Err(error) if Closed::is(&error) => self.note(what, "Closed"),
            Err(error) => self.note(what, (error.kind(), error.raw_os_error())),
        }
    }
}

fn script(cx: &Cx) -> Vec<String> {
    let mut trace = Trace(Vec::new());
    let notifier = cx.notifier();
    streams(cx, &notifier, &mut trace);
    datagrams(&notifier, &mut trace);
    waiters(cx, &notifier, &mut trace);
    endings(cx, notifier, &mut trace);
    trace.0
}

/// Connecting, moving bytes in every form, the end of both directions, a reset.
fn streams(cx: &Cx, notifier: &Notifier, trace: &mut Trace) {
    notifier.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (server, peer) = listener.accept().await.unwrap();
        trace.note("accepted from the client", peer == client.local_addr().unwrap());
        trace.result("nobody else", listener.try_accept().map(drop));

        let mut buf = [0; 8];
        trace.result("nothing yet", server.try_read(&mut buf));
        trace.result("written", client.write(b"hello").await);
        trace.result("peeked", server.peek(&mut buf).await);
        trace.result("read", server.read(&mut buf).await);
        trace.note("bytes", &buf[..5]);
        trace.result("then nothing", server.try_read(&mut buf));
        trace.result("owned write", client.write_owned(b"owned".to_vec()).await.0);
        let (got, bytes) = server.read_owned(Vec::with_capacity(3)).await;
        trace.result("owned read", got);
        trace.note("bytes", bytes);
        trace.result("the rest", server.read_exact(&mut buf[..2]).await);
        let late = server.read_owned(Vec::with_capacity(8)).timeout(Duration::from_millis(5)).await;
        trace.note("an owned read in vain", late.0.map_err(|error| error.kind()));
        trace.result("lent", {
            client.write_all(b"lent").await.unwrap();
            server.recv_with(<[u8]>::to_vec).await
        });

        trace.result("nothing to read into", server.read(&mut []).await);
        trace.result("nothing to write", client.write(&[]).await);
        client.shutdown(Shutdown::Write).unwrap();
        trace.result("the end", server.read(&mut buf).await);
        trace.result("the end again", server.read_owned(Vec::with_capacity(1)).await.0);
        trace.result("the other way goes on", server.write(b"x").await);
        trace.result("it arrives", client.read(&mut buf).await);
        trace.result("after its own end", client.write(b"x").await);
        drop(client);

        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        client.socket().set(option::Linger, Some(Duration::ZERO)).unwrap();
        drop(client);
        trace.result("a reset", server.read(&mut buf).await);
        trace.result("once", server.read(&mut buf).await);
        drop(listener);
        trace.result("refused", TcpStream::connect(address).await.map(drop));
    });
    cx.settle(notifier);
}

fn datagrams(notifier: &Notifier, trace: &mut Trace) {
    notifier.block_on(async {
        let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut buf = [0; 4];
        for datagram in [&b"first"[..], b"", b"2nd"] {
            trace.result("sent", one.send_to(datagram, other.local_addr().unwrap()).await);
        }
        for _ in 0..3 {
            let (count, from) = other.recv_from(&mut buf).await.unwrap();
            trace.note("received", (count, &buf[..count], from == one.local_addr().unwrap()));
        }
        trace.result("no more", other.try_recv_from(&mut buf).map(|(count, _)| count));
        one.connect(other.local_addr().unwrap()).await.unwrap();
        drop(other);
        trace.result("to nobody", one.send(b"x").await);
        trace.result("refused", one.recv(&mut buf).await);
        trace.result("once", one.try_recv(&mut buf));
    });
}

/// Who is woken, and in which order.
fn waiters(cx: &Cx, notifier: &Notifier, trace: &mut Trace) {
    let (stream, mut peer) = cx.stream(notifier);
    let mut readers: Vec<_> = (0..4).map(|_| Task::pending(read_byte(&stream))).collect();
    let mut watcher = Task::pending(stream.ready(Interest::READABLE));
    cx.settle(notifier);
    peer.write_all(b"a").unwrap();
    cx.turn_until(notifier, "the first", || readers[0].is_woken() && watcher.is_woken());
    trace.note("woken", readers.iter().map(Task::is_woken).collect::<Vec<_>>());
    trace.note("watcher", watcher.ready().map(|ready| ready.is_readable()).unwrap());
    trace.note("first", readers.remove(0).ready());
    drop(readers.remove(0)); // loses nothing
    peer.write_all(b"bc").unwrap();
    for reader in &mut readers {
        cx.turn_until(notifier, "the others", || reader.is_woken() && reader.poll().is_ready());
    }
    trace.result("nothing left", stream.try_read(&mut [0; 8]));

    notifier.block_on(async {
        let (fast, slow) = (time::sleep(Duration::from_millis(2)), time::sleep(Duration::from_millis(30)));
        let order = std::sync::Mutex::new(Vec::new());
        join_all([
            Box::pin(async {
                slow.await;
                order.lock().unwrap().push("slow");
            }) as pike_conformance::Boxed<'_, ()>,
            Box::pin(async {
                fast.await;
                order.lock().unwrap().push("fast");
            }),
        ])
        .await;
        trace.note("timers", order.into_inner().unwrap());
        let event = Event::counting().unwrap();
        (0..3).for_each(|_| event.notify());
        trace.result("an event", event.wait().await);
        event.notify();
        trace.result("and again", event.wait().await);
    });
}

async fn read_byte(stream: &TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    byte[0]
}

/// What is closed under somebody who waits.
fn endings(cx: &Cx, notifier: Notifier, trace: &mut Trace) {
    let (stream, mut peer) = cx.stream(&notifier);
    let handle = cx.handle(&notifier).0;
    let mut waiting = Task::pending(handle.readable());
    handle.cancel();
    trace.result("cancelled", waiting.ready());
    trace.result("and later", Task::new(handle.readable()).ready());

    notifier.block_on(stream.write_all(b"last")).unwrap();
    drop(stream);
    notifier.poll(Some(Duration::ZERO)).unwrap();
    let mut rest = Vec::new();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    trace.result("the peer reads", peer.read_to_end(&mut rest));

    let (stream, mut peer) = cx.stream(&notifier);
    let mut buf = [0; 8];
    let mut waiting = Task::pending(stream.read(&mut buf));
    cx.settle(&notifier);
    drop(notifier);
    trace.result("its Notifier is gone", waiting.ready());
    drop(waiting);
    trace.result("and a call", Task::new(stream.write(b"x")).ready());
    drop(stream);
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    trace.result("its peer sees the end", peer.read(&mut [0]));
}

#[test]
fn every_backend_makes_the_same_trace() {
    let traces: Vec<(Backend, Vec<String>)> = Backend::BUILT
        .iter()
        .map(|&backend| {
            let cx = Cx::new(format!("{backend}::trace"), backend, Duration::from_secs(60));
            (backend, script(&cx))
        })
        .collect();
    let (first, expected) = &traces[0];
    assert!(expected.len() > 40, "{expected:#?}");
    for (backend, trace) in &traces[1..] {
        for (at, line) in expected.iter().enumerate() {
            assert_eq!(trace.get(at), Some(line), "line {at}: {backend}, and {first}");
        }
        assert_eq!(trace.len(), expected.len(), "{backend} says more than {first}");
    }
}
