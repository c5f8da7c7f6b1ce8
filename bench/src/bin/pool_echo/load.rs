//! The load: one thread, a task a connection, one message in flight on each. It checks what comes back.

use std::{
    fs, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use pike::{net::TcpStream, time::sleep};
use pike_sched::{Group, Pool};

const WARM_UP: Duration = Duration::from_millis(200);
const TIME: Duration = Duration::from_millis(600);
const MESSAGE: [u8; 64] = [b'p'; 64];

/// Of one server in one round.
pub struct Figure {
    /// Its processor time a message, in microseconds.
    pub micros: f64,
    /// Messages a second.
    pub rate: f64,
}

/// Connects, and measures once all connections have been served.
pub fn run(server: SocketAddr, process: u32, connections: usize) -> io::Result<Figure> {
    Pool::new()?.run(async {
        let (group, count) = (Group::new(), Arc::new(AtomicU64::new(0)));
        for _ in 0..connections {
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            group.spawn(pester(stream, Arc::clone(&count)));
        }
        while count.load(Relaxed) < connections as u64 {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(WARM_UP).await;
        let (begin, messages, time) = (Instant::now(), count.load(Relaxed), processor_time(process)?);
        sleep(TIME).await;
        let (took, messages) = (begin.elapsed(), count.load(Relaxed) - messages);
        let time = processor_time(process)? - time;
        if group.len() < connections {
            return Err(io::Error::other("a connection has ended, or its echo was wrong"));
        }
        let messages = messages as f64;
        Ok(Figure { micros: time.as_secs_f64() * 1e6 / messages, rate: messages / took.as_secs_f64() })
    })
}

async fn pester(stream: TcpStream, count: Arc<AtomicU64>) -> io::Result<()> {
    let mut buf = [0; MESSAGE.len()];
    loop {
        stream.write_all(&MESSAGE).await?;
        stream.read_exact(&mut buf).await?;
        if buf != MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        buf.fill(0);
        count.fetch_add(1, Relaxed);
    }
}

/// Of all threads of a process so far, as the scheduler of Linux counts it.
fn processor_time(process: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        let spent = schedstat.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
        nanos += spent.ok_or(io::ErrorKind::InvalidData)?;
    }
    Ok(Duration::from_nanos(nanos))
}
