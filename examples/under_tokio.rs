//! pike inside tokio, with nothing to set up: the sockets belong to pike's background Notifier.
//!
//! It sends `ping` to localhost:7000, or to the address that is its argument, and prints what comes back. First give it
//! something to talk to:
//!
//! ```text
//! cargo run --release --example echo -- --listen 127.0.0.1:7000     or: nc -l 7000
//! cargo run --release --example under_tokio
//! ```

use std::{env, io, time::Duration};

use pike::{net::TcpStream, socket::option, time::Deadline};

const LIMIT: Duration = Duration::from_secs(1);

async fn ping(address: String) -> io::Result<()> {
    let stream = TcpStream::connect(address).timeout(LIMIT).await?;
    stream.socket().set(option::NoDelay, true)?;
    stream.write_all(b"ping").await?;
    let mut buf = [0; 64];
    let n = stream.read(&mut buf).timeout(LIMIT).await?;
    println!("{} says {:?}", stream.peer_addr()?, String::from_utf8_lossy(&buf[..n]));
    Ok(())
}

#[tokio::main]
async fn main() -> io::Result<()> {
    // A task of tokio's, on whichever of its threads.
    let address = env::args().nth(1).unwrap_or("localhost:7000".into());
    tokio::spawn(ping(address)).await?
}
