//! A control socket: a server that answers its own user's commands at a path, and a client for it.
//!
//! ```text
//! cargo run --release --example unix -- serve /tmp/control.sock
//! cargo run --release --example unix -- send /tmp/control.sock uptime       or: uptime, whoami, stop
//! ```

#[cfg(unix)]
mod control {
    use std::{env, fs, io, os::unix::fs::FileTypeExt, path::Path, time::Duration};

    use futures_lite::{AsyncBufReadExt, StreamExt, future::race, io::BufReader};
    use pike::net::{UnixListener, UnixStream};
    use pike::{Event, Notifier, time::Deadline};

    /// Binds where a server that is no more may have left its socket, but takes nobody's path who still listens.
    async fn bind(path: &Path) -> io::Result<UnixListener> {
        match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let nobody = UnixStream::connect(path)
                    .await
                    .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused);
                if !nobody || !fs::symlink_metadata(path)?.file_type().is_socket() {
                    return Err(error);
                }
                fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            result => result,
        }
    }

    async fn answer(stream: UnixStream, started: std::time::Instant, stop: &Event) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        let (reads, writes) = stream.into_split();
        let mut lines = BufReader::new(reads).lines();
        while let Some(line) = lines.next().await {
            let reply = match line?.trim() {
                "uptime" => format!("{} s\n", started.elapsed().as_secs()),
                "whoami" => format!("uid {}, gid {}\n", peer.uid(), peer.gid()),
                "stop" => {
                    stop.notify();
                    "stopping\n".into()
                }
                other => format!("no such command: {other}\n"),
            };
            writes.write_all(reply.as_bytes()).await?;
        }
        Ok(())
    }

    async fn serve(path: &Path) -> io::Result<()> {
        let (listener, stop) = (bind(path).await?, Event::latch()?);
        println!("listening at {}", listener.local_addr()?);
        let started = std::time::Instant::now();
        let accept = async {
            loop {
                // One after the other, and none for long: this is no busy place.
                let (stream, _) = listener.accept().await?;
                let answered = answer(stream, started, &stop).timeout(Duration::from_secs(10)).await;
                answered.unwrap_or_else(|error| println!("{error}"));
            }
        };
        let ended = race(accept, async { stop.wait().await.map(drop) }).await;
        fs::remove_file(path)?;
        ended
    }

    async fn send(path: &Path, command: &str) -> io::Result<()> {
        let (reads, writes) = UnixStream::connect(path).timeout(Duration::from_secs(1)).await?.into_split();
        writes.write_all(format!("{command}\n").as_bytes()).await?;
        drop(writes); // ends writing, and so the server's reading
        let mut replies = BufReader::new(reads).lines();
        while let Some(reply) = replies.next().await {
            println!("{}", reply?);
        }
        Ok(())
    }

    pub fn main() -> io::Result<()> {
        let args: Vec<String> = env::args().skip(1).collect();
        let notifier = Notifier::new()?;
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["serve", path] => notifier.block_on(serve(path.as_ref())),
            ["send", path, command] => notifier.block_on(send(path.as_ref(), command)),
            _ => Err(io::Error::other("usage: unix serve PATH | unix send PATH COMMAND")),
        }
    }
}

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    control::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("unix: this system does not tell who a peer is");
}
