//! Under executors of others, which know nothing of pike: a proxy by the poll traits, and servers of every type of socket,
//! on each backend of this build, whose Notifier a thread of its own turns, and on the background Notifier.

use std::{
    future::Future,
    io::{Read, Write},
    net::{self as std_net, Ipv4Addr},
    thread,
    time::Duration,
};

use futures_lite::future;
use pike::{
    Backend, Event, Notifier,
    net::{TcpListener, TcpStream, UdpSocket},
    time::{sleep, timeout},
};
use pike_conformance::{Boxed, Cx, relay::relayed};

const LIMIT: Duration = Duration::from_secs(60);
/// Connections to a listener, and messages over each and to each socket for datagrams.
const MANY: u8 = 20;

/// tokio's `copy_bidirectional` on its threads.
#[test]
fn tokio_relays() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    on_each_notifier("tokio_relays", |mut one, mut other, exchanged| {
        let proxy = tokio.spawn(async move { tokio::io::copy_bidirectional(&mut one, &mut other).await });
        tokio.block_on(async {
            timeout(LIMIT, exchanged).await.expect("in time");
            proxy.await.unwrap().unwrap();
        });
    });
}

/// futures-io's `copy` both ways, as smol's programs do.
#[test]
fn smol_relays() {
    on_each_notifier("smol_relays", |one, other, exchanged| {
        let (one_reads, one_writes) = one.into_split();
        let (other_reads, other_writes) = other.into_split();
        let there = smol::spawn(smol::io::copy(one_reads, other_writes));
        let back = smol::spawn(smol::io::copy(other_reads, one_writes));
        smol::block_on(async {
            timeout(LIMIT, exchanged).await.expect("in time");
            future::try_zip(there, back).await.unwrap();
        });
    });
}

/// Listeners, datagrams and halves of both families, each served by a task of tokio's threads.
#[test]
fn tokio_serves_every_type() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    on_each_notifier_served("tokio_serves_every_type", |servers| {
        let tasks: Vec<_> = servers.map(|server| tokio.spawn(server)).collect();
        tokio.block_on(async {
            for task in tasks {
                timeout(LIMIT, task).await.expect("in time").unwrap();
            }
        });
    });
}

/// The same on smol's thread.
#[test]
fn smol_serves_every_type() {
    on_each_notifier_served("smol_serves_every_type", |servers| {
        let tasks: Vec<_> = servers.map(smol::spawn).collect();
        smol::block_on(async {
            for task in tasks {
                timeout(LIMIT, task).await.expect("in time");
            }
        });
    });
}

fn on_each_notifier_served(title: &str, serve: impl Fn(std::vec::IntoIter<Boxed<'static, ()>>)) {
    with_each_notifier(title, |_, notifier| {
        let (servers, peers) = servers(notifier);
        #[cfg(unix)]
        let (_folder, servers, peers) = unix::with_more(notifier, servers, peers);
        thread::scope(|scope| {
            let peers: Vec<_> = peers.into_iter().map(|peer| scope.spawn(peer)).collect();
            serve(servers.into_iter());
            peers.into_iter().for_each(|peer| peer.join().unwrap());
        });
    });
}

type Server = Boxed<'static, ()>;
type Peer = Box<dyn FnOnce() + Send>;

/// Servers of pike's, and who asks them, of std's and blocking.
fn servers(notifier: &Notifier) -> (Vec<Server>, Vec<Peer>) {
    let _here = notifier.enter();
    let tcp = std_net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let tcp_at = tcp.local_addr().unwrap();
    let tcp = TcpListener::from_std(tcp).unwrap();
    let udp = std_net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let udp_at = udp.local_addr().unwrap();
    let udp = UdpSocket::from_std(udp).unwrap();

    let servers: Vec<Server> = vec![
        Box::pin(async move {
            for _ in 0..MANY {
                let (stream, _) = tcp.accept().await.unwrap();
                let mut buf = [0; 4];
                for _ in 0..MANY {
                    stream.read_exact(&mut buf).await.unwrap();
                    stream.write_all(&buf).await.unwrap();
                }
            }
        }),
        Box::pin(async move {
            let mut buf = [0; 8];
            for _ in 0..MANY {
                let (n, from) = udp.recv_from(&mut buf).await.unwrap();
                sleep(Duration::from_micros(50)).await;
                assert_eq!(udp.send_to(&buf[..n], from).await.unwrap(), n);
            }
        }),
    ];
    let peers: Vec<Peer> = vec![
        Box::new(move || {
            for round in 0..MANY {
                let mut stream = std_net::TcpStream::connect(tcp_at).unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let mut buf = [0; 4];
                for message in 0..MANY {
                    stream.write_all(&[round, message, 1, 2]).unwrap();
                    stream.read_exact(&mut buf).unwrap();
                    assert_eq!(buf, [round, message, 1, 2]);
                }
            }
        }),
        Box::new(move || {
            let socket = std_net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            for message in 0..MANY {
                socket.send_to(&[message, 9], udp_at).unwrap();
                let mut buf = [0; 8];
                assert_eq!((socket.recv_from(&mut buf).unwrap(), buf[0]), ((2, udp_at), message));
            }
        }),
    ];
    (servers, peers)
}

fn on_each_notifier(
    title: &str,
    relay: impl Fn(TcpStream, TcpStream, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>),
) {
    with_each_notifier(title, |cx, notifier| {
        let (one, other, exchanged) = relayed(cx, notifier);
        relay(one, other, Box::pin(exchanged));
    });
}

/// Ends the turning, also if the test panics.
struct Stop<'a>(&'a Event);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.notify();
    }
}

/// With a Notifier of each backend, which a thread turns meanwhile, and with the one in the background.
fn with_each_notifier(title: &str, run: impl Fn(&Cx, &Notifier)) {
    for &backend in Backend::BUILT {
        let cx = Cx::new(format!("{title} on {backend}"), backend, LIMIT);
        let notifier = cx.notifier();
        let stop = {
            let _here = notifier.enter();
            Event::latch().unwrap()
        };
        thread::scope(|scope| {
            scope.spawn(|| notifier.block_on(stop.wait()).unwrap());
            let _stop = Stop(&stop);
            run(&cx, &notifier);
        });
    }
    let background = Notifier::background().unwrap();
    run(&Cx::new(format!("{title} in the background"), background.backend(), LIMIT), &background);
}

/// The sockets that only Unix has.
#[cfg(unix)]
mod unix {
    use std::{
        io::{Read, Write},
        net::Shutdown,
        os::unix::net as std_unix,
    };

    use pike::{
        Notifier,
        net::{
            UnixDatagram, UnixListener,
            unix::{OwnedReadHalf, OwnedWriteHalf},
        },
    };
    use pike_conformance::unix::Folder;

    use super::{LIMIT, MANY, Peer, Server};

    /// Fits into the buffers of any system, so that who asks may write it all before reading.
    const PIECE: u64 = 4000;

    /// Adds a listener and a socket for datagrams, and who asks them.
    pub fn with_more(
        notifier: &Notifier,
        mut servers: Vec<Server>,
        mut peers: Vec<Peer>,
    ) -> (Folder, Vec<Server>, Vec<Peer>) {
        let _here = notifier.enter();
        let folder = Folder::new();
        let (stream_at, datagram_at, own_at) =
            (folder.path("stream"), folder.path("datagram"), folder.path("own"));
        let unix = UnixListener::bind(&stream_at).unwrap();
        let datagrams = UnixDatagram::bind(&datagram_at).unwrap();
        let more: [Server; 2] = [
            Box::pin(async move {
                for round in 0..MANY {
                    let (reads, writes) = unix.accept().await.unwrap().0.into_split();
                    copy(reads, writes, round % 2 == 0).await;
                }
            }),
            Box::pin(async move {
                let mut buf = [0; 8];
                for _ in 0..MANY {
                    let (n, from) = datagrams.recv_from(&mut buf).await.unwrap();
                    assert_eq!(datagrams.send_to_addr(&buf[..n], &from).await.unwrap(), n);
                }
            }),
        ];
        servers.extend(more);
        let more: [Peer; 2] = [
            Box::new(move || {
                for round in 0..MANY {
                    let mut stream = std_unix::UnixStream::connect(&stream_at).unwrap();
                    stream.set_read_timeout(Some(LIMIT)).unwrap();
                    let (sent, mut received) = (vec![round; PIECE as usize], Vec::new());
                    stream.write_all(&sent).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    stream.read_to_end(&mut received).unwrap();
                    assert!(received == sent);
                }
            }),
            Box::new(move || {
                let socket = std_unix::UnixDatagram::bind(own_at).unwrap();
                socket.set_read_timeout(Some(LIMIT)).unwrap();
                for message in 0..MANY {
                    socket.send_to(&[message, 9], &datagram_at).unwrap();
                    let mut buf = [0; 8];
                    assert_eq!((socket.recv(&mut buf).unwrap(), buf[0]), (2, message));
                }
            }),
        ];
        peers.extend(more);
        (folder, servers, peers)
    }

    /// Until the end, by the traits of tokio or of futures-io.
    async fn copy(mut reads: OwnedReadHalf, mut writes: OwnedWriteHalf, by_tokio: bool) {
        if by_tokio {
            assert_eq!(tokio::io::copy(&mut reads, &mut writes).await.unwrap(), PIECE);
        } else {
            assert_eq!(smol::io::copy(reads, writes).await.unwrap(), PIECE);
        }
    }
}
