//! Futures that are dropped or leaked: nothing is lost, nothing is left.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    task::Poll,
    thread,
    time::Duration,
};

use futures_lite::future::{self, or};
use pike::{Event, net, time};

use super::lifecycle::{read_some, read_to_end};
use crate::{Cx, LONG, Outcome, Rng, Task};

/// Reads and datagram receives that are dropped, before and after they were woken, while a counted sequence arrives:
/// everything is received once and in order.
pub fn dropped_receive_loses_nothing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut rng = Rng::new();
    let (stream, mut peer) = cx.stream(&notifier);
    let (mut sent, mut received) = (0_u32, 0_u32);
    let mut check = |bytes: &[u8]| {
        for &byte in bytes {
            assert_eq!(byte, received as u8, "byte {received}");
            received = received.wrapping_add(1);
        }
    };
    for _ in 0..cx.rounds(500) {
        let mut reader = Task::new(read_some(&stream));
        if let Poll::Ready(bytes) = reader.poll() {
            check(&bytes.unwrap());
            continue;
        }
        for _ in 0..rng.below(5) {
            peer.write_all(&[sent as u8]).unwrap();
            sent += 1;
        }
        match rng.below(3) {
            0 => {}
            1 => drop(notifier.poll(Some(Duration::ZERO)).unwrap()),
            _ => {
                notifier.poll(Some(Duration::ZERO)).unwrap();
                // Only a poll of the future receives.
                if let Poll::Ready(bytes) = reader.poll() {
                    check(&bytes.unwrap());
                }
            }
        }
        drop(reader);
    }
    drop(peer);
    loop {
        let bytes = notifier.block_on(read_some(&stream)).unwrap();
        if bytes.is_empty() {
            break;
        }
        check(&bytes);
    }
    assert_eq!(received, sent);

    let udp = notifier.block_on(net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let (sender, address) = (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), udp.local_addr().unwrap());
    let (mut sent, mut received) = (0_u32, 0_u32);
    let receive = || async {
        let mut buf = [0; 16];
        udp.recv_from(&mut buf).await.map(|(n, _)| u32::from_le_bytes(buf[..n].try_into().unwrap()))
    };
    while received < cx.rounds(500) as u32 {
        let mut receiver = Task::new(receive());
        let mut polled = receiver.poll();
        if polled.is_pending() {
            for _ in 0..rng.below(3) {
                sender.send_to(&sent.to_le_bytes(), address).unwrap();
                sent += 1;
            }
            if rng.one_in(2) {
                notifier.poll(Some(Duration::ZERO)).unwrap();
            }
            if rng.one_in(2) {
                polled = receiver.poll();
            }
        }
        if let Poll::Ready(number) = polled {
            assert_eq!(number.unwrap(), received);
            received += 1;
        }
        cx.check_time("datagrams");
    }
    while received < sent {
        assert_eq!(notifier.block_on(receive()).unwrap(), received);
        received += 1;
    }
    Ok(())
}

/// Accepts that race a short timer and lose, while clients connect: as many connections come out as went in, each with its
/// data.
pub fn dropped_accept_loses_nothing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let clients = cx.rounds(200);
    let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let connector = thread::spawn(move || {
        let mut rng = Rng::new();
        (0..clients as u32)
            .map(|n| {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(&n.to_le_bytes()).unwrap();
                (0..rng.below(20_000)).for_each(|_| std::hint::spin_loop());
                client
            })
            .collect::<Vec<_>>()
    });
    let (mut seen, mut dropped) = (vec![false; clients], 0);
    notifier.block_on(async {
        while seen.iter().any(|seen| !seen) {
            let accepted = or(async { Some(listener.accept().await.unwrap()) }, async {
                time::sleep(Duration::from_micros(dropped as u64 % 50)).await;
                None
            });
            match accepted.await {
                None => {
                    dropped += 1;
                    future::yield_now().await;
                }
                Some((stream, _)) => {
                    let mut number = [0; 4];
                    stream.read_exact(&mut number).await.unwrap();
                    let number = u32::from_le_bytes(number) as usize;
                    assert!(!std::mem::replace(&mut seen[number], true), "client {number} came twice");
                }
            }
        }
    });
    drop(connector.join().unwrap());
    assert_eq!(listener.try_accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    Ok(())
}

/// A single write that is suspended by a full buffer and dropped has sent nothing: the peer gets the bytes of those calls
/// that returned.
pub fn dropped_write_sends_nothing(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, peer) = cx.stream(&notifier);
    for _ in 0..5 {
        let mut accounted = cx.fill_up(&notifier, &stream);
        for woken in [false, true] {
            let (mut write, mut send) = (
                Task::pending(stream.write(b"never")),
                Task::pending(stream.socket().send(b"never", pike::socket::SendFlags::NONE)),
            );
            if woken {
                cx.drain(&peer, accounted);
                accounted = 0;
                cx.turn_until(&notifier, "room", || write.is_woken());
            } else {
                cx.settle(&notifier);
                assert!(write.poll().is_pending() && send.poll().is_pending());
            }
            drop((write, send));
        }
        notifier.block_on(stream.write_all(b"end")).unwrap();
        let mut end = [0; 3];
        (&peer).read_exact(&mut end).unwrap();
        assert_eq!(&end, b"end", "a dropped write has sent something");
    }
    drop(stream);
    assert_eq!(read_to_end(peer), b"");
    Ok(())
}

/// Futures that are leaked while they wait: their sockets and Notifiers go as usual, and others are woken as usual.
pub fn leaked_futures_are_sound(cx: &Cx) -> Outcome {
    for notifier_first in [false, true] {
        let notifier = cx.notifier();
        let (stream, mut peer) = cx.stream(&notifier);
        let listener = notifier.block_on(net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let event = notifier.block_on(async { Event::latch() }).unwrap();
        cx.settle(&notifier);
        let mut others: Vec<_> = (0..2).map(|_| Task::pending(stream.readable())).collect();
        Task::pending(read_some(&stream)).forget();
        Task::pending(stream.readable()).forget();
        Task::pending(listener.accept()).forget();
        Task::pending(event.wait()).forget();
        let mut last = Task::pending(stream.readable());
        let entered = notifier.enter();
        let mut short = Task::new(time::sleep(Duration::from_millis(1)));
        let _ = short.poll(); // pending, unless this thread was kept from running
        short.forget();
        Task::pending(time::sleep(LONG)).forget();
        drop(entered);
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "those that were not leaked", || {
            last.is_woken() && others.iter().all(Task::is_woken)
        });
        last.ready().unwrap();
        others.iter_mut().for_each(|other| other.ready().unwrap());
        drop((others, last));
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        // The wake of a leaked consumer is stranded; a call after the report finds the connection by itself.
        cx.turn_until(&notifier, "a connection", || {
            future::block_on(future::poll_once(listener.readable())).is_some()
        });
        assert_eq!(notifier.block_on(listener.accept()).unwrap().1, client.local_addr().unwrap());
        assert_eq!(notifier.block_on(read_some(&stream)).unwrap(), b"x");
        event.notify();
        thread::sleep(Duration::from_millis(2));
        notifier.poll(Some(Duration::ZERO)).unwrap();
        if notifier_first {
            drop(notifier);
            drop((stream, listener, event));
        } else {
            drop((stream, listener, event));
            notifier.poll(Some(Duration::ZERO)).unwrap();
            drop(notifier);
        }
        assert_eq!(read_to_end(peer), b"");
    }
    Ok(())
}
