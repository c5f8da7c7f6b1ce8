//! A server that stops well: on ctrl-c, SIGTERM or a closed console it accepts no more, and each connection finishes what it
//! is doing.
//!
//! ```text
//! cargo run --release --example drain                 at [::]:7000, or at the address that is its argument
//! nc 127.0.0.1 7000                                   type, and read it again; then ctrl-c the server
//! yes | socat - TCP:127.0.0.1:7000 > /dev/null        one that never finishes: it is cut off after 10 seconds
//! ```

use std::{env, io, pin::pin, sync::Arc, time::Duration};

use futures_lite::future::or;
use pike::{
    Event, Signal,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use pike_sched::{Group, Pool};

async fn serve(stream: TcpStream, stop: Arc<Event>) -> io::Result<()> {
    let mut buf = [0; 4096];
    // One wait for the whole connection. `or` polls it only when there is nothing to read.
    let mut stopped = pin!(stop.wait());
    loop {
        match or(stream.read(&mut buf), async { stopped.as_mut().await.map(|_| 0) }).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or("[::]:7000".into());
    Pool::new()?.run(async {
        let (listener, term) = (TcpListener::bind(address).await?, Signal::termination()?);
        println!("listening at {}", listener.local_addr()?);
        // A latch stays set, and lets everyone through who waits for it.
        let (stop, group) = (Arc::new(Event::latch()?), Group::new());
        let accept = async {
            loop {
                let (stream, _) = listener.accept().await?;
                group.spawn(serve(stream, stop.clone()));
            }
        };
        // On Windows a closed console, a logoff or a shutdown waits until this is dropped.
        let held = or(accept, term.recv()).await?;
        drop(term); // from here on a second one ends the program at once

        drop(listener);
        stop.notify();
        println!("finishing {} connections", group.len());
        if timeout(Duration::from_secs(10), group.wait()).await.is_err() {
            println!("cutting off {}", group.len());
            group.abort();
        }
        drop(held);
        Ok(())
    })
}
