//! UDP echo with a deadline on each receive: one thread, no scheduler.
//!
//! ```text
//! cargo run --release --example udp_deadline          at 0.0.0.0:9000, or at the address that is its argument
//! nc -u 127.0.0.1 9000                                type, and read it again; "idle" after 5 seconds of nothing
//! echo hello | socat - UDP:127.0.0.1:9000             the same
//! ```

use std::{env, io, time::Duration};

use pike::{Notifier, net::UdpSocket, time::Deadline};

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("0.0.0.0:9000".into());
    Notifier::new()?.block_on(async {
        let (socket, mut buf) = (UdpSocket::bind(address).await?, [0; 1500]);
        println!("listening at {}", socket.local_addr()?);
        loop {
            match socket.recv_from(&mut buf).timeout(Duration::from_secs(5)).await {
                Ok((n, from)) => {
                    socket.send_to(&buf[..n], from).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => println!("idle"),
                Err(error) => return Err(error),
            }
        }
    })
}
