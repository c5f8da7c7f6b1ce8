//! Pooled receive and owned send: what was received is sent from the very buffer it came in, and a connection that is idle
//! has none.
//!
//! ```text
//! nc -l 7000                                        something to talk to
//! cargo run --release --example relay -- 127.0.0.1:7000 [epoll]
//! ```
//!
//! It prints how long the first line is, and sends back all that comes after it.

use std::{env, io, time::Duration};

use pike::{Notifier, net::TcpStream};

async fn relay(stream: &TcpStream) -> io::Result<()> {
    loop {
        let lease = stream.recv_pooled().await?;
        if lease.is_empty() {
            return Ok(());
        }
        let (sent, _lease) = stream.write_all_owned(lease).timeout(Duration::from_secs(1)).await;
        sent?;
    }
}

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:7000".into());
    let builder = match args.next() {
        Some(backend) => Notifier::builder().backend(backend.parse()?),
        None => Notifier::builder(),
    };
    let notifier = builder.buffers(1024, 4096).build()?;
    println!("{}", notifier.probe());
    notifier.block_on(async {
        let stream = TcpStream::connect(address).await?;
        println!("{} bytes", stream.recv_with(|bytes| bytes.len()).await?);
        relay(&stream).await
    })
}
