//! Datagrams in every form: whole, empty, cut, with their senders; and what a refusal does.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::UdpSocket as Sender,
    time::Duration,
};

use pike::{net::UdpSocket, time::Deadline};

use crate::stage::Stage;

const SENT: [&[u8]; 4] = [b"first", b"", b"longer than others", b"4th"];

/// Sends them all. What is received of them is compared with who sent it.
fn send_all(stage: &Stage, udp: &UdpSocket) -> Sender {
    let sender = stage.sender(udp);
    SENT.iter().for_each(|datagram| _ = sender.send(datagram).unwrap());
    sender
}

pub fn scene(stage: &mut Stage) {
    let (one, other) = (stage.udp(), stage.udp());
    let (from, to) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    for datagram in SENT {
        let sent = stage.run(one.send_to(datagram, to));
        stage.result("sent", sent);
    }
    let mut buf = [0; 8];
    let got = stage.run(other.peek_from(&mut buf));
    stage.result("peeked", got.map(|(count, sender)| (count, sender == from)));
    let got = stage.run(other.peek_sender());
    stage.result("of the sender", got.map(|sender| sender == from));
    for _ in SENT {
        let mut buf = [b'.'; 8];
        let got = stage.run(other.recv_from(&mut buf));
        stage.result("received", got.map(|(count, sender)| (count, sender == from)));
        stage.bytes("bytes", &buf);
    }
    stage.result("no more", other.try_recv_from(&mut buf).map(|(count, _)| count));

    let mut waiting = stage.waiting(other.recv(&mut buf));
    let connected = stage.run(one.connect(to));
    stage.result("connected", connected);
    let sent = stage.run(one.send(b"awaited"));
    stage.result("sent to the peer", sent);
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.result("received", got);
    stage.result("tried", one.try_send(b"lent"));
    let got = stage.run(other.recv_with(<[u8]>::to_vec));
    stage.received("lent", got);
    let pieces = [IoSlice::new(b"of "), IoSlice::new(b""), IoSlice::new(b"several")];
    let sent = stage.run(one.socket().write_vectored(&pieces));
    stage.result("gathered", sent);
    let (mut head, mut tail) = ([b'.'; 4], [b'.'; 4]);
    let mut rooms = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
    let got = stage.run(other.socket().read_vectored(&mut rooms));
    stage.result("scattered, and cut", got);
    stage.bytes("bytes", &[head, tail].concat());
    let long = vec![0; 70_000];
    let sent = stage.run(one.send(&long));
    stage.result("too long", sent);
    let late = stage.run(other.recv(&mut buf).timeout(Duration::from_millis(5)));
    stage.result("in vain", late);
}

pub fn owned(stage: &mut Stage) {
    let (one, other) = (stage.udp(), stage.udp());
    let (from, to) = (one.local_addr().unwrap(), other.local_addr().unwrap());
    for datagram in SENT {
        let sent = stage.run(one.send_to_owned(datagram, to));
        stage.owned("sent", sent);
    }
    for _ in SENT {
        let (got, buf) = stage.run(other.recv_from_owned(Vec::with_capacity(8)));
        stage.owned("received", (got.map(|(count, sender)| (count, sender == from)), buf));
    }
    stage.result("no more", other.try_recv_from(&mut [0]).map(|(count, _)| count));

    let mut waiting = stage.waiting(other.recv_from_owned(b"mine".to_vec()));
    let connected = stage.run(one.connect(to));
    stage.result("connected", connected);
    let sent = stage.run(one.send_owned(b"it waited".to_vec()));
    stage.owned("sent to the peer", sent);
    let (got, buf) = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("received, and cut", (got.map(|(count, sender)| (count, sender == from)), buf));
    let mut waiting = stage.waiting(other.recv_owned(b"no sender".to_vec()));
    let pieces = [b"of ".to_vec(), Vec::new(), b"several".to_vec()];
    let (sent, pieces) = stage.run(one.socket().write_vectored_owned(pieces));
    stage.result("gathered", sent);
    stage.bytes("with the buffers", &pieces.concat());
    let got = stage.finish(&mut waiting);
    drop(waiting);
    stage.owned("received", got);
    for waits in [false, true] {
        let rooms = [Vec::with_capacity(3), Vec::with_capacity(4)];
        let reading = other.socket().read_vectored_owned(rooms);
        let (got, rooms) = if waits {
            let mut waiting = stage.waiting(reading);
            stage.result("sent", one.try_send(b"scattered"));
            stage.finish(&mut waiting)
        } else {
            stage.result("sent", one.try_send(b"scattered"));
            stage.run(reading)
        };
        stage.result("scattered, and cut", got);
        stage.bytes("with the buffers", &rooms.concat());
    }
    let (sent, long) = stage.run(one.send_owned(vec![0; 70_000]));
    stage.result("too long", sent);
    stage.note("with the buffer", long.len());
    let got = stage.run(other.recv_owned(b"mine".to_vec()).timeout(Duration::from_millis(5)));
    stage.owned("in vain", got);
    let sent = stage.run(one.send_owned(Vec::new()));
    stage.owned("an empty one", sent);
    let got = stage.run(other.recv_owned(Vec::new()));
    stage.owned("into no room", got);
    let got = stage.run(other.socket().read_owned(b"mine".to_vec()).timeout(Duration::from_millis(5)));
    stage.owned("was received", got);
}

/// Into buffers of 16 bytes.
pub fn pooled(stage: &mut Stage) {
    let notifier = stage.builder().buffers(8, 16).build().unwrap();
    stage.elsewhere(notifier, |stage| {
        let udp = stage.udp();
        let sender = send_all(stage, &udp);
        let from = sender.local_addr().unwrap();
        for _ in SENT {
            match stage.run(udp.recv_from_pooled()) {
                Ok((lease, sender)) => {
                    stage.bytes("received", &lease);
                    stage.note("of the sender", sender == from);
                }
                Err(error) => stage.result::<()>("received", Err(error)),
            }
        }
        for datagram in SENT {
            let mut waiting = stage.waiting(udp.recv_pooled());
            sender.send(datagram).unwrap();
            let got = stage.finish(&mut waiting);
            stage.received("waited for", got);
        }
        let mut waiting = stage.waiting(udp.recv_from_pooled());
        sender.send(b"to be answered").unwrap();
        let (lease, peer) = stage.finish(&mut waiting).unwrap();
        drop(waiting);
        let sent = stage.run(udp.send_to_owned(lease, peer));
        stage.owned("sent back", sent);
        let mut answer = [0; 32];
        let count = sender.recv(&mut answer).unwrap();
        stage.bytes("answered", &answer[..count]);
        let late = stage.run(udp.recv_pooled().timeout(Duration::from_millis(5)));
        stage.received("in vain", late);
        let late = stage.run(udp.recv_from_pooled().timeout(Duration::from_millis(5)));
        stage.result("with its sender", late.map(drop));
    });
}

/// A refusal is told once: to who waits, or to whatever asks next.
pub fn refused(stage: &mut Stage) {
    let (udp, nobody) = (stage.udp(), stage.udp());
    let connected = stage.run(udp.connect(nobody.local_addr().unwrap()));
    stage.result("connected", connected);
    drop(nobody);
    stage.settle();
    for form in FORMS {
        for waits in [false, true] {
            let receiving = receive(&udp, form);
            let got = if waits {
                let mut waiting = stage.waiting(receiving);
                stage.result("sent", udp.try_send(b"to nobody"));
                stage.finish(&mut waiting)
            } else {
                let sent = stage.run(udp.send_owned(b"to nobody".to_vec()));
                stage.owned("sent", sent);
                stage.run(receiving)
            };
            stage.owned(form, got);
            stage.result("once", udp.try_recv(&mut [0]));
        }
        // Of one that was dropped the next is told.
        let dropped = stage.waiting(receive(&udp, form));
        stage.result("sent", udp.try_send(b"to nobody"));
        stage.settle();
        drop(dropped);
        stage.settle();
        let got = stage.run(udp.recv_owned(b"mine".to_vec()));
        stage.owned("the next", got);
        stage.result("once", udp.try_recv(&mut [0]));
    }
    for _ in 0..3 {
        let sent = stage.run(udp.send_owned(b"mine".to_vec()));
        stage.owned("one after the other", sent);
    }
    let bare = stage.udp();
    let sent = stage.run(bare.send_owned(b"mine".to_vec()));
    stage.owned("connected with nobody", sent);
    let sent = stage.run(bare.send(b"x"));
    stage.result("nor borrowed", sent);
}

const FORMS: [&str; 6] =
    ["recv", "recv_with", "recv_owned", "recv_from_owned", "recv_pooled", "recv_from_pooled"];

/// Receives in that form, with a buffer that is to come back.
async fn receive(udp: &UdpSocket, form: &str) -> (io::Result<()>, Vec<u8>) {
    let mine = b"mine".to_vec();
    match form {
        "recv" => (udp.recv(&mut [0; 4]).await.map(drop), mine),
        "recv_with" => (udp.recv_with(|_| ()).await, mine),
        "recv_owned" => {
            let (got, mine) = udp.recv_owned(mine).await;
            (got.map(drop), mine)
        }
        "recv_from_owned" => {
            let (got, mine) = udp.recv_from_owned(mine).await;
            (got.map(drop), mine)
        }
        "recv_pooled" => (udp.recv_pooled().await.map(drop), mine),
        _ => (udp.recv_from_pooled().await.map(drop), mine),
    }
}
