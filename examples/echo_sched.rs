//! The least echo server on pike's own scheduler: a task a connection, and nothing to set up.
//!
//! ```text
//! cargo run --release --example echo_sched
//! nc 127.0.0.1 7000                                   type, and read it again
//! socat - TCP:127.0.0.1:7000                          the same
//! ```
//!
//! `accept_std` hands a connection over unattached, so that it registers with the worker that runs its task.

use std::io;

use pike::net::{TcpListener, TcpStream};

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

fn main() -> io::Result<()> {
    pike_sched::Pool::new()?.run(async {
        let listener = TcpListener::bind("127.0.0.1:7000").await?;
        println!("listening at {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept_std().await?;
            pike_sched::spawn(async move { echo(TcpStream::from_std(stream)?).await });
        }
    })
}
