//! docs/MIGRATION.md says that ordinary code of `tokio::net` compiles with `pike::net` in its place. Here is some: one
//! text, compiled and run with both, under tokio.

use std::{future::Future, io};

fn under_tokio(program: impl Future<Output = io::Result<()>>) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio
        .block_on(async { tokio::time::timeout(std::time::Duration::from_secs(60), program).await })
        .expect("in time")
        .unwrap();
}

macro_rules! ordinary {
    ($module:ident, $library:ident) => {
        // pike needs fewer `mut` and fewer traits.
        #[allow(unused_imports, unused_mut)]
        mod $module {
            use std::{
                future::poll_fn,
                io::{self, ErrorKind, IoSlice, IoSliceMut},
                net::{Ipv4Addr, SocketAddr},
                sync::Arc,
                time::Duration,
            };

            use ::$library::{
                net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket, lookup_host},
                time::{sleep, timeout},
            };
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
                    Ok(())
                });
            }
        }
    };
}

ordinary!(of_tokio, tokio);
ordinary!(of_pike, pike);
