//! docs/MIGRATION.md says that ordinary code of `tokio::net` compiles with `pike::net` in its place. Here is some: one
//! text, compiled and run with both, under tokio.

use std::{future::Future, io};

// Signals, folders and descriptors are those of Unix; tokio has no Unix sockets elsewhere.

/// Taken by who sends this process a signal: one library's handler comes and goes at a time.
#[cfg(unix)]
static SIGNALS: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// A folder of its own for the sockets of one test, gone at the end.
#[cfg(unix)]
struct Folder(std::path::PathBuf);

#[cfg(unix)]
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("migration-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

#[cfg(unix)]
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn under_tokio(program: impl Future<Output = io::Result<()>>) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), program).await })
        .expect("in time")
        .unwrap();
}

mod names_of_tokio {
    pub use tokio::io::{Interest, Ready};
}

mod names_of_pike {
    pub use pike::{Interest, Ready};
}

macro_rules! ordinary {
    ($module:ident, $library:ident, $names:ident) => {
        // pike needs fewer `mut` and fewer traits.
        #[allow(unused_imports, unused_mut)]
        mod $module {
            #[cfg(unix)]
            use std::os::fd::{AsFd, AsRawFd};
            use std::{
                future::{Future, poll_fn},
                io::{self, ErrorKind, IoSlice, IoSliceMut},
                net::{Ipv4Addr, Shutdown, SocketAddr},
                path::Path,
                pin::pin,
                sync::Arc,
                task::Poll,
                time::{Duration, Instant},
            };

            #[cfg(unix)]
            use ::$library::net::{UnixDatagram, UnixListener, UnixStream, unix};
            use ::$library::{
                net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host, tcp},
                signal::ctrl_c,
                time::{interval, sleep, timeout},
            };
            // Of tokio, these are in another module.
            use super::$names::{Interest, Ready};
            use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

            async fn connect(to: impl ToSocketAddrs) -> io::Result<TcpStream> {
                TcpStream::connect(to).await
            }

            async fn echo(mut stream: TcpStream) -> io::Result<()> {
                let (mut reads, mut writes) = stream.split();
                tokio::io::copy(&mut reads, &mut writes).await.map(drop)
            }

            #[test]
            fn tcp() {
                super::under_tokio(async {
                    let listener = TcpListener::bind("localhost:0").await?;
                    let here: SocketAddr = listener.local_addr()?;
                    let server = tokio::spawn(async move {
                        loop {
                            let (stream, peer) = listener.accept().await?;
                            assert!(peer.ip().is_loopback());
                            stream.set_nodelay(true)?;
                            assert!(stream.nodelay()?);
                            tokio::spawn(echo(stream));
                        }
                        #[allow(unreachable_code)]
                        io::Result::Ok(())
                    });
                    for address in
                        lookup_host(("localhost", here.port())).await?.filter(|found| *found == here)
                    {
                        drop(connect(address).await?);
                    }

                    let mut stream = connect(here).await?;
                    stream.set_ttl(stream.ttl()?)?;
                    stream.write_all(b"hello").await?;
                    let mut buf = [0; 5];
                    assert_eq!(stream.peek(&mut buf[..1]).await?, 1);
                    assert_eq!(stream.read_exact(&mut buf).await?, 5);
                    assert_eq!(&buf, b"hello");

                    stream.writable().await?;
                    let (one, other) = (IoSlice::new(b"he"), IoSlice::new(b"llo"));
                    assert_eq!(stream.try_write_vectored(&[one, other])?, 5);
                    let mut count = 0;
                    while count < 5 {
                        stream.readable().await?;
                        match stream.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]) {
                            Ok(n) => count += n,
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            Err(error) => return Err(error),
                        }
                    }

                    let (reads, mut writes) = stream.into_split();
                    let lines = tokio::spawn(async move {
                        let mut lines = BufReader::new(reads).lines();
                        let mut all = Vec::new();
                        while let Some(line) = lines.next_line().await? {
                            all.push(line);
                        }
                        io::Result::Ok(all)
                    });
                    writes.write_all(b"a line\nanother\n").await?;
                    drop(writes); // ends writing
                    assert_eq!(lines.await??, ["a line", "another"]);
                    server.abort();
                    Ok(())
                });
            }

            #[test]
            fn tcp_std_and_errors() {
                super::under_tokio(async {
                    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    let here = listener.local_addr()?;
                    let (client, server) = tokio::join!(TcpStream::connect(here), listener.accept());
                    let (client, (server, _)) = (client?.into_std()?, server?);
                    client.set_nonblocking(false)?;
                    assert_eq!(io::Write::write(&mut &client, b"x")?, 1);
                    let mut server = server;
                    let mut all = Vec::new();
                    drop(client);
                    server.read_to_end(&mut all).await?;
                    assert_eq!(all, b"x");
                    assert!(server.take_error()?.is_none());

                    assert!(timeout(Duration::from_millis(5), listener.accept()).await.is_err());
                    drop(listener);
                    sleep(Duration::from_millis(1)).await;
                    let refused = TcpStream::connect(here).await.unwrap_err();
                    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
                    Ok(())
                });
            }

            #[test]
            fn udp() {
                super::under_tokio(async {
                    let server = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
                    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                    client.connect(server.local_addr()?).await?;
                    assert_eq!(client.peer_addr()?, server.local_addr()?);
                    let echo = tokio::spawn({
                        let server = server.clone();
                        async move {
                            let mut buf = [0; 64];
                            let (n, from) = server.recv_from(&mut buf).await?;
                            server.send_to(&buf[..n], from).await
                        }
                    });
                    assert_eq!(client.send(b"ping").await?, 4);
                    assert_eq!(echo.await??, 4);
                    let mut buf = [0; 64];
                    client.readable().await?;
                    assert_eq!(client.try_recv(&mut buf)?, 4);
                    assert_eq!(client.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
                    poll_fn(|cx| client.poll_send(cx, b"again")).await?;
                    assert_eq!(server.recv(&mut buf).await?, 5);
                    server.set_broadcast(true)?;
                    assert!(server.broadcast()?);

                    let here = client.local_addr()?;
                    assert_eq!(server.try_peek_sender().unwrap_err().kind(), ErrorKind::WouldBlock);
                    poll_fn(|cx| client.poll_send_ready(cx)).await?;
                    client.send(b"peeked").await?;
                    poll_fn(|cx| server.poll_recv_ready(cx)).await?;
                    assert_eq!(poll_fn(|cx| server.poll_peek_sender(cx)).await?, here);
                    assert_eq!(server.peek_sender().await?, here);
                    assert_eq!(server.try_peek_sender()?, here);
                    assert_eq!(server.peek_from(&mut buf).await?, (6, here));
                    assert_eq!(server.try_recv_from(&mut buf)?, (6, here));
                    Ok(())
                });
            }

            /// What both kinds of stream have, and their halves.
            macro_rules! halves {
                ($kind:ident, $stream:ty, $one:expr, $other:expr) => {{
                    let (mut one, mut other): ($stream, $stream) = ($one, $other);
                    {
                        let (mut reads, mut writes): ($kind::ReadHalf<'_>, $kind::WriteHalf<'_>) =
                            one.split();
                        writes.writable().await?;
                        assert_eq!(writes.try_write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")])?, 2);
                        assert_eq!(writes.try_write(b"c")?, 1);
                        let mut buf = [0; 3];
                        other.read_exact(&mut buf).await?;
                        assert_eq!(&buf, b"abc");
                        other.write_all(b"back").await?;
                        let mut count = 0;
                        while count < 4 {
                            let ready = reads.ready(Interest::READABLE).await?;
                            assert!(ready.is_readable() && !ready.is_empty());
                            match reads.try_read_vectored(&mut [IoSliceMut::new(&mut buf)]) {
                                Ok(n) => count += n,
                                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                            }
                        }
                        let stream: &$stream = reads.as_ref();
                        assert!(stream.take_error()?.is_none());
                        #[cfg(unix)]
                        assert!(stream.as_raw_fd() == writes.as_ref().as_raw_fd());
                    }
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let ready = one.ready(both).await?;
                    assert!(!(ready & Ready::WRITABLE).is_empty() && ready.is_writable());
                    assert_eq!(one.async_io(Interest::WRITABLE, || one.try_write(b"x")).await?, 1);
                    assert_eq!(other.read_u8().await?, b'x');

                    let (reads, writes): ($kind::OwnedReadHalf, $kind::OwnedWriteHalf) = one.into_split();
                    let (strange, _writes) = other.into_split();
                    let $kind::ReuniteError { 0: strange, 1: writes } = strange.reunite(writes).unwrap_err();
                    let mut one: $stream = reads.reunite(writes).unwrap();
                    one.write_all(b"whole").await?;
                    let mut strange = strange;
                    let mut buf = [0; 5];
                    strange.read_exact(&mut buf).await?;
                    let (reads, writes) = one.into_split();
                    writes.forget(); // does not end writing
                    let stream: &$stream = reads.as_ref();
                    assert_eq!(stream.try_write(b"y")?, 1);
                    assert_eq!(strange.read_u8().await?, b'y');
                }};
            }

            #[test]
            fn tcp_halves() {
                super::under_tokio(async {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                    let (one, other) =
                        tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
                    let (one, (mut other, _)) = (one?, other?);
                    other.write_all(b"p").await?;
                    let (mut reads, writes) = one.into_split();
                    assert_eq!(reads.peek(&mut [0; 4]).await?, 1);
                    assert_eq!(reads.read_u8().await?, b'p');
                    assert_eq!(reads.peer_addr()?, writes.peer_addr()?);
                    halves!(tcp, TcpStream, reads.reunite(writes).unwrap(), other);
                    io::Result::Ok(())
                });
            }

            #[cfg(unix)]
            #[test]
            fn unix_streams() {
                let folder = super::Folder::new(stringify!($module));
                super::under_tokio(async {
                    let path = folder.path("listener");
                    let listener = UnixListener::bind(&path)?;
                    let here: unix::SocketAddr = listener.local_addr()?;
                    assert_eq!(here.as_pathname(), Some(&*path));
                    let (client, server) = tokio::join!(UnixStream::connect(&path), listener.accept());
                    let (client, (server, from)) = (client?, server?);
                    assert!(from.is_unnamed() && client.local_addr()?.is_unnamed());
                    assert_eq!(client.peer_addr()?.as_pathname(), Some(&*path));
                    let peer: unix::UCred = server.peer_cred()?;
                    assert_eq!(peer.pid(), Some(std::process::id() as i32));
                    assert_eq!(
                        (peer.uid(), peer.gid()),
                        (client.peer_cred()?.uid(), client.peer_cred()?.gid())
                    );
                    halves!(unix, UnixStream, client, server);

                    let taken = UnixListener::bind(&path).unwrap_err();
                    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
                    drop(listener);
                    let gone = UnixStream::connect(&path).await.unwrap_err();
                    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);

                    // Without a file: an abstract name, which a leading NUL asks for.
                    #[cfg(target_os = "linux")]
                    {
                        let name = format!("\0{} {}", module_path!(), std::process::id());
                        let listener = UnixListener::bind(&name)?;
                        let here = listener.local_addr()?;
                        assert_eq!(here.as_abstract_name(), Some(name[1..].as_bytes()));
                        let (client, server) = tokio::join!(UnixStream::connect(&name), listener.accept());
                        let mut all = Vec::new();
                        drop(client?);
                        assert_eq!(server?.0.read_to_end(&mut all).await?, 0);
                        let again = UnixStream::connect_addr(&here).await?;
                        let (again, _) = (again.into_std()?, poll_fn(|cx| listener.poll_accept(cx)).await?);
                        let again = UnixStream::from_std(again)?;
                        again.writable().await?;
                    }

                    let (mut one, mut other) = UnixStream::pair()?;
                    one.write_all(b"to the end").await?;
                    AsyncWriteExt::shutdown(&mut one).await?;
                    let mut all = String::new();
                    other.read_to_string(&mut all).await?;
                    assert_eq!(all, "to the end");
                    Ok(())
                });
            }

            #[cfg(unix)]
            #[test]
            fn unix_datagrams() {
                let folder = super::Folder::new(concat!(stringify!($module), "-datagrams"));
                super::under_tokio(async {
                    let (here, there) = (folder.path("one"), folder.path("other"));
                    let (one, other) = (UnixDatagram::bind(&here)?, UnixDatagram::bind(&there)?);
                    assert_eq!(one.send_to(b"ping", &there).await?, 4);
                    let mut buf = [0; 16];
                    let (n, from) = other.recv_from(&mut buf).await?;
                    assert_eq!((n, from.as_pathname()), (4, Some(&*here)));
                    assert_eq!(other.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
                    other.connect(&here)?;
                    poll_fn(|cx| other.poll_send_ready(cx)).await?;
                    assert_eq!(other.send(b"pong").await?, 4);
                    poll_fn(|cx| one.poll_recv_ready(cx)).await?;
                    assert_eq!(one.try_recv(&mut buf)?, 4);
                    assert_eq!(one.try_send_to(b"again", from.as_pathname().unwrap()).unwrap(), 5);
                    assert_eq!(one.recv(&mut buf).await?, 5);

                    let (one, other) = UnixDatagram::pair()?;
                    assert!(one.local_addr()?.is_unnamed());
                    poll_fn(|cx| one.poll_send(cx, b"unnamed")).await?;
                    assert_eq!(other.recv(&mut buf).await?, 7);
                    one.shutdown(Shutdown::Write)?;
                    assert_eq!(one.send(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
                    let unbound = UnixDatagram::unbound()?;
                    assert_eq!(unbound.send(b"x").await.unwrap_err().kind(), ErrorKind::NotConnected);
                    let std = unbound.into_std()?;
                    assert!(UnixDatagram::from_std(std)?.take_error()?.is_none());
                    Ok(())
                });
            }

            #[cfg(unix)]
            #[test]
            #[allow(unsafe_code)]
            fn signals() {
                let _alone = super::SIGNALS.lock().unwrap();
                super::under_tokio(async {
                    let mut pressed = pin!(ctrl_c());
                    // tokio listens from the first poll on.
                    let first = poll_fn(|cx| Poll::Ready(pressed.as_mut().poll(cx))).await;
                    assert!(first.is_pending());
                    // SAFETY: it has a handler, which may run at any time.
                    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGINT) }, 0);
                    pressed.await
                });
            }

            #[test]
            fn ticks() {
                super::under_tokio(async {
                    let start = Instant::now();
                    let mut ticks = interval(Duration::from_millis(5));
                    ticks.tick().await; // at once
                    ticks.tick().await;
                    assert!(start.elapsed() >= Duration::from_millis(5));
                    ticks.reset_after(Duration::from_millis(20));
                    let start = Instant::now();
                    ticks.tick().await;
                    assert!(start.elapsed() >= Duration::from_millis(15));
                    let mut rare = interval(Duration::from_secs(3600));
                    rare.tick().await;
                    rare.reset_immediately();
                    rare.tick().await;
                    rare.reset();
                    assert!(timeout(Duration::from_millis(5), rare.tick()).await.is_err());
                    Ok(())
                });
            }
        }
    };
}

ordinary!(of_tokio, tokio, names_of_tokio);
ordinary!(of_pike, pike, names_of_pike);
