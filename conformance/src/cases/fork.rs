//! What a child of a fork may do with what it inherits.

use std::{
    io::{self, Write},
    net::TcpStream,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future;
use pike::{Closed, Event, Handle, Interest, Notifier, net, time};

use super::lifecycle::{read_some, read_to_end};
use crate::{Cx, Outcome, SHORT, Task, read, unix};

/// How long a child of a fork may take.
const CHILD: Duration = Duration::from_secs(8);

fn expect_closed<T>(what: &str, result: io::Result<T>) -> Result<(), String> {
    match result {
        Err(error) if Closed::is(&error) => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
        Ok(_) => Err(format!("{what}: it works")),
    }
}

/// What came of a future's first poll.
fn at_once<R>(future: impl Future<Output = io::Result<R>> + Send) -> io::Result<R> {
    match Task::new(future).poll() {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::Error::other("it waits")),
    }
}

/// In a child of a fork everything that belongs to the parent's Notifier fails and nothing blocks; the child drops it all,
/// and the parent goes on as if nothing had been.
pub fn fork_child_spares_parent(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let (handle, mut handle_peer) = cx.handle(&notifier);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let event = notifier.block_on(async { Event::new() }).unwrap();
    cx.settle(&notifier);
    let mut waiter = Some(Task::pending(handle.readable()));

    unix::in_child(CHILD, || {
        expect_closed("poll", notifier.poll(Some(Duration::ZERO)))?;
        expect_closed("poll without a limit", notifier.poll(None))?;
        notifier.notify();
        event.notify();
        expect_closed("read", at_once(read_some(&stream)))?;
        expect_closed("write", at_once(stream.write(b"x")))?;
        expect_closed("readable", at_once(stream.readable()))?;
        expect_closed("try_read", stream.try_read(&mut [0]))?;
        expect_closed("try_io", handle.try_io(Interest::WRITABLE, |_| Ok(())))?;
        expect_closed("accept", at_once(listener.accept()))?;
        expect_closed("wait", at_once(event.wait()))?;
        expect_closed(
            "an old wait",
            match waiter.take().ok_or("no waiter")?.poll() {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::Error::other("it waits")),
            },
        )?;
        expect_closed("poll_read_ready", at_once(std::future::poll_fn(|cx| stream.poll_read_ready(cx))))?;
        expect_closed("block_on", notifier.block_on(read_some(&stream)))?;
        let (ours, _peer) = std::os::unix::net::UnixStream::pair().map_err(|error| error.to_string())?;
        expect_closed("a registration", Handle::new_on(&notifier, ours))?;
        let entered = notifier.enter();
        expect_closed("an Event", Event::new())?;
        drop(entered);
        handle.cancel();
        if notifier.shutdown(Duration::ZERO) != 0 {
            return Err("shutdown: something is in flight".into());
        }
        Ok(())
    });

    // A child that drops everything.
    let mut held = Some((notifier, stream, listener, event));
    let mut child_waiter = waiter;
    unix::in_child(CHILD, || {
        drop(child_waiter.take());
        drop(held.take());
        Ok(())
    });
    let (notifier, stream, listener, event) = held.take().expect("the parent's");

    let mut waiter = child_waiter.take().expect("the parent's");
    assert!(!waiter.is_woken());
    handle_peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "a registration from before the fork", || waiter.is_woken());
    waiter.ready().unwrap();
    drop(waiter);
    assert_eq!(notifier.block_on(read(&handle)).unwrap(), b"x");
    let mut reader = Task::pending(read_some(&stream));
    peer.write_all(b"still here").unwrap();
    cx.turn_until(&notifier, "a connection from before the fork", || reader.is_woken());
    assert_eq!(reader.ready().unwrap(), b"still here");
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(notifier.block_on(listener.accept()).unwrap().1, client.local_addr().unwrap());
    event.notify();
    assert_eq!(notifier.block_on(event.wait()).unwrap(), 1);
    drop(reader);
    drop(stream);
    assert_eq!(read_to_end(peer), b"");
    Ok(())
}

/// A child makes a Notifier of its own and has a shared one of its own in the background: timers fire, inherited sockets
/// work when they are wrapped anew, and a sleep from before the fork goes on.
pub fn fork_child_new_notifier(cx: &Cx) -> Outcome {
    // The parent has both as well, so that there is something to mistake for one's own.
    let parents = cx.notifier();
    future::block_on(time::sleep(Duration::from_millis(1)));
    let (stream, mut peer) = cx.stream(&parents);
    let (plain, mut plain_peer) = cx.tcp_pair();
    let mut held = Some((stream, plain));
    let sleeps = |notifier: &Notifier| {
        let _here = notifier.enter();
        // Long enough that they are not over when the child looks at them.
        [Task::pending(time::sleep(10 * SHORT)), Task::new(time::sleep(20 * SHORT))]
    };
    let mut old = sleeps(&parents);

    unix::in_child(CHILD, || {
        let text = |error: io::Error| error.to_string();
        let own = cx.builder().build().map_err(text)?;
        let start = Instant::now();
        own.block_on(time::sleep(Duration::from_millis(1)));
        future::block_on(time::sleep(Duration::from_millis(1)));
        if start.elapsed() < Duration::from_millis(2) {
            return Err("a timer is early".into());
        }

        let (stream, plain) = held.take().ok_or("nothing inherited")?;
        let _here = own.enter();
        let stream = net::TcpStream::from_std(stream.into_std().map_err(text)?).map_err(text)?;
        let plain = Handle::new(plain).map_err(text)?;
        for (what, received) in [
            ("a socket of the parent's Notifier", own.block_on(after_a_wait(read_some(&stream), &mut peer))),
            ("a plain socket", own.block_on(after_a_wait(read(&plain), &mut plain_peer))),
        ] {
            if received.map_err(text)? != b"inherited" {
                return Err(what.into());
            }
        }
        drop(_here);
        for (at, sleep) in old.iter_mut().enumerate() {
            let end = Instant::now() + Duration::from_secs(3);
            // Polled only when it is woken, as an executor does.
            while sleep.poll().is_pending() {
                while !sleep.is_woken() {
                    if Instant::now() > end {
                        return Err(format!("sleep {at} of the parent never ends in the child"));
                    }
                    thread::park_timeout(Duration::from_millis(10));
                }
            }
        }
        Ok(())
    });
    drop(old);
    Ok(())
}

/// What the kernel does for the parent ends for a child at once, with its buffer; a socket taken out of the child's copy is
/// plain, and the parent's operations go on.
pub fn fork_child_operations_in_flight(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (reads, mut reads_peer) = cx.stream(&notifier);
    let (writes, writes_peer) = cx.stream(&notifier);
    let (pooled, mut pooled_peer) = cx.stream(&notifier);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let accounted = cx.fill_up(&notifier, &writes);
    let mut read = Task::pending(reads.read_owned(Vec::with_capacity(16)));
    let mut write = Task::pending(writes.write_owned(b"end".to_vec()));
    let mut accept = Task::pending(listener.accept());
    drop(Task::pending(pooled.recv_pooled()));
    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let mut datagram = Task::pending(udp.recv_from_pooled());
    cx.settle(&notifier);

    let mut taken = Some(pooled);
    unix::in_child(CHILD, || {
        let text = |error: io::Error| error.to_string();
        let Poll::Ready((result, buf)) = read.poll() else { return Err("a receive waits".into()) };
        expect_closed("a receive", result)?;
        let Poll::Ready((result, bytes)) = write.poll() else { return Err("a send waits".into()) };
        expect_closed("a send", result)?;
        if buf.capacity() < 16 || bytes != b"end" {
            return Err("the buffers".into());
        }
        expect_closed(
            "an accept",
            match accept.poll() {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::Error::other("it waits")),
            },
        )?;
        expect_closed(
            "a pooled receive of datagrams",
            match datagram.poll() {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::Error::other("it waits")),
            },
        )?;
        reads.socket().cancel();
        let started = Instant::now();
        taken.take().ok_or("no stream")?.into_std().map_err(text)?;
        if started.elapsed() > Duration::from_millis(500) {
            return Err("a socket of which nothing is in flight here is waited for".into());
        }
        Ok(())
    });

    reads_peer.write_all(b"parent").unwrap();
    cx.turn_until(&notifier, "a receive from before the fork", || read.is_woken());
    assert_eq!(read.ready().1, b"parent");
    cx.drain(&writes_peer, accounted);
    cx.turn_until(&notifier, "a send from before the fork", || write.is_woken());
    assert_eq!(write.ready().0.unwrap(), 3);
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    cx.turn_until(&notifier, "an accept from before the fork", || accept.is_woken());
    assert_eq!(accept.ready().unwrap().1, client.local_addr().unwrap());
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"parent", udp.local_addr().unwrap()).unwrap();
    cx.turn_until(&notifier, "a pooled receive from before the fork", || datagram.is_woken());
    let (lease, from) = datagram.ready().unwrap();
    assert_eq!((&lease[..], from), (&b"parent"[..], sender.local_addr().unwrap()));
    let pooled = taken.take().expect("the parent's");
    pooled_peer.write_all(b"pooled").unwrap();
    assert_eq!(notifier.block_on(read_some(&pooled)).unwrap(), b"pooled");
    Ok(())
}

/// A child drops its copy of the parent's Notifier after it has made its own, whose memory may lie where the other's is in
/// the parent: its own goes on.
pub fn fork_child_drops_old_notifier(cx: &Cx) -> Outcome {
    let parents = cx.notifier();
    let (plain, mut plain_peer) = cx.tcp_pair();
    let mut held = Some((parents, plain));

    unix::in_child(CHILD, || {
        let text = |error: io::Error| error.to_string();
        let own = cx.builder().build().map_err(text)?;
        let (parents, plain) = held.take().ok_or("nothing inherited")?;
        drop(parents);
        let _here = own.enter();
        let stream = net::TcpStream::from_std(plain).map_err(text)?;
        let received = async {
            let (result, buf) = stream.read_owned(Vec::with_capacity(16)).await;
            result.map(|_| buf)
        };
        if own.block_on(after_a_wait(received, &mut plain_peer)).map_err(text)? != b"inherited" {
            return Err("another message".into());
        }
        Ok(())
    });
    drop(held);
    Ok(())
}

/// What `receive` gives, which has to wait for it.
async fn after_a_wait(
    receive: impl Future<Output = io::Result<Vec<u8>>>,
    peer: &mut TcpStream,
) -> io::Result<Vec<u8>> {
    let mut receive = Box::pin(receive);
    if future::poll_once(&mut receive).await.is_some() {
        return Err(io::Error::other("it does not wait"));
    }
    peer.write_all(b"inherited")?;
    receive.await
}
