//! A TCP proxy: each connection to it becomes one to another server, whichever of that server's addresses answers first.
//!
//! A side that ends its writing ends it at the other end too, while the other way goes on. A connection on which nothing
//! moved either way for a minute is closed.
//!
//! ```text
//! cargo run --release --example echo -- --listen 127.0.0.1:7000
//! cargo run --release --example proxy -- 127.0.0.1:7001 localhost:7000
//! nc 127.0.0.1 7001                                   type, and read it again
//! ```

use std::{
    cell::Cell,
    env, io,
    net::Shutdown,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_lite::future::{or, try_zip};
use pike::{
    net::{TcpListener, TcpStream},
    time::{Deadline, sleep_until},
};
use pike_sched::Pool;

const CONNECTING_MAX: Duration = Duration::from_secs(5);
const STAGGER: Duration = Duration::from_millis(250);
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Copies until the end of file, hands that on, and says how many bytes it was.
async fn copy(from: &TcpStream, to: &TcpStream, last: &Cell<Instant>) -> io::Result<u64> {
    let (mut buf, mut count) = ([0; 16 * 1024], 0);
    loop {
        let n = from.read(&mut buf).await?;
        last.set(Instant::now());
        if n == 0 {
            to.shutdown(Shutdown::Write)?;
            return Ok(count);
        }
        to.write_all(&buf[..n]).await?;
        last.set(Instant::now());
        count += n as u64;
    }
}

async fn idle(last: &Cell<Instant>) -> io::Result<(u64, u64)> {
    while last.get().elapsed() < IDLE_MAX {
        sleep_until(last.get() + IDLE_MAX).await;
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved"))
}

async fn relay(client: TcpStream, upstream: &str) -> io::Result<(u64, u64)> {
    let server = TcpStream::connect_staggered(upstream, STAGGER).timeout(CONNECTING_MAX).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let last = Cell::new(Instant::now());
    or(try_zip(copy(&client, &server, &last), copy(&server, &client, &last)), idle(&last)).await
}

async fn run(listen: String, upstream: Arc<str>) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("listening at {}", listener.local_addr()?);
    loop {
        let (client, peer) = listener.accept().await?;
        let upstream = upstream.clone();
        pike_sched::spawn_local(async move {
            match relay(client, &upstream).await {
                Ok((sent, received)) => println!("{peer}: {sent} bytes there, {received} back"),
                Err(error) => println!("{peer}: {error}"),
            }
        });
    }
}

fn main() -> io::Result<ExitCode> {
    let mut args = env::args().skip(1);
    let (Some(listen), Some(upstream), None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: proxy LISTEN UPSTREAM, both host:port");
        return Ok(ExitCode::from(2));
    };
    Pool::new()?.run(run(listen, upstream.into()))?;
    Ok(ExitCode::SUCCESS)
}
