//! A chat: what one says, all others read. On two workers, each of which accepts.
//!
//! ```text
//! cargo run --release --example chat -- 127.0.0.1:7000
//! nc 127.0.0.1 7000        as often as you like; a line is a message
//! ```
//!
//! Each line is one allocation, however many read it. A reader that is too slow loses the oldest lines, and keeps nobody waiting.

use std::{
    collections::{HashMap, VecDeque},
    env, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures_lite::future::or;
use pike::{Event, net::TcpStream};
use pike_sched::Pool;

/// Lines that wait for a slow reader.
const WAITING_MAX: usize = 256;
/// A line that is longer is cut.
const LINE_MAX: usize = 4096;

/// Who is there.
#[derive(Default)]
struct Room(Mutex<HashMap<SocketAddr, Arc<Member>>>);

/// Where lines wait for one that is there.
struct Member {
    lines: Mutex<VecDeque<Arc<[u8]>>>,
    come: Event,
}

impl Room {
    fn say(&self, from: SocketAddr, what: &str) {
        let line: Arc<[u8]> = format!("{from} {what}\n").into_bytes().into();
        for (_, member) in self.0.lock().unwrap().iter().filter(|(peer, _)| **peer != from) {
            let mut lines = member.lines.lock().unwrap();
            if lines.len() == WAITING_MAX {
                lines.pop_front();
            }
            lines.push_back(line.clone());
            member.come.notify();
        }
    }

    async fn meet(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let member = Arc::new(Member { lines: Mutex::default(), come: Event::new()? });
        {
            let mut room = self.0.lock().unwrap();
            member
                .lines
                .lock()
                .unwrap()
                .push_back(format!("others here: {}\n", room.len()).into_bytes().into());
            room.insert(peer, member.clone());
        }
        self.say(peer, "has come");
        let ended = or(self.listen_to(&stream, peer), tell(&stream, &member)).await;
        self.0.lock().unwrap().remove(&peer);
        self.say(peer, "has left");
        ended
    }

    async fn listen_to(&self, stream: &TcpStream, peer: SocketAddr) -> io::Result<()> {
        let (mut buf, mut len) = ([0; LINE_MAX], 0);
        loop {
            len += match stream.read(&mut buf[len..]).await? {
                0 => return Ok(()),
                n => n,
            };
            while let Some(end) = buf[..len]
                .iter()
                .position(|byte| *byte == b'\n')
                .or((len == LINE_MAX).then_some(LINE_MAX - 1))
            {
                self.say(peer, &format!("says: {}", String::from_utf8_lossy(&buf[..end]).trim_end()));
                buf.copy_within(end + 1..len, 0);
                len -= end + 1;
            }
        }
    }
}

async fn tell(stream: &TcpStream, member: &Member) -> io::Result<()> {
    loop {
        loop {
            let Some(line) = member.lines.lock().unwrap().pop_front() else { break };
            stream.write_all(&line).await?;
        }
        member.come.wait().await?;
    }
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7000".into());
    let pool = Pool::builder().workers(2).build()?;
    let listener = pool.listen(address.parse().map_err(io::Error::other)?)?;
    println!("listening at {}", listener.local_addr());
    let room = Arc::new(Room::default());
    let acceptors = listener.serve(move |stream, peer| {
        let room = room.clone();
        async move { drop(room.meet(stream, peer).await) }
    });
    pool.run(async {
        for acceptor in acceptors {
            acceptor.await??;
        }
        Ok(())
    })
}
