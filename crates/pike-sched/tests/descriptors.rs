//! A server that has no descriptors left for more connections. It is a process of its own, which a shell gives a low limit.

#![cfg(all(unix, not(miri)))]

mod common;

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use common::within;
use pike_sched::{Pool, Sharding};

/// How many descriptors the server may have, and to how many connections it comes to answer.
const LIMIT: usize = 48;
const CONNECTIONS: usize = 80;

/// Says to which sharding the process is a server: set in the child alone.
const SERVER: &str = "PIKE_TEST_SERVER";

struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Runs the test of this name again, as the server.
    fn start(test: &str, sharding: &str) -> io::Result<Self> {
        let mut process = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {LIMIT} && exec \"$0\" \"$@\""))
            .arg(env::current_exe()?)
            .args([test, "--exact", "--nocapture"])
            .env(SERVER, sharding)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines.next().expect("the server says where it listens")?;
            if let Some((_, address)) = line.split_once("listens at ") {
                break address.parse().unwrap();
            }
        };
        Ok(Self { process, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Answers each connection with what it sends, until that is closed.
fn serve(sharding: Sharding) -> io::Result<()> {
    let pool = Pool::builder().workers(2).build()?;
    let listener = pool.listen_by("127.0.0.1:0".parse().unwrap(), sharding)?;
    println!("listens at {}", listener.local_addr());
    drop(listener.serve(|stream, _| async move {
        let mut buf = [0; 4];
        while stream.read_exact(&mut buf).await.is_ok() && stream.write_all(&buf).await.is_ok() {}
    }));
    // Until it is killed.
    pool.run(std::future::pending())
}

/// Whether an answer has come in time.
fn is_answered(mut stream: &TcpStream, limit: Duration) -> bool {
    stream.set_read_timeout(Some(limit)).unwrap();
    let mut buf = [0; 4];
    stream.read_exact(&mut buf).is_ok() && &buf == b"ping"
}

fn out_of_descriptors(test: &'static str, sharding: Sharding) -> io::Result<()> {
    if env::var_os(SERVER).is_some() {
        return serve(sharding);
    }
    within(60, move || {
        let server = Server::start(test, &format!("{sharding:?}"))?;
        let mut waiting = Vec::new();
        let mut served = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut stream = TcpStream::connect(server.address)?;
            stream.write_all(b"ping")?;
            match waiting.is_empty() && is_answered(&stream, Duration::from_secs(2)) {
                true => served.push(stream),
                false => waiting.push(stream),
            }
        }
        assert!(!served.is_empty() && waiting.len() > CONNECTIONS - LIMIT, "{} are answered", served.len());
        // Long enough for several pauses.
        assert!(!is_answered(&waiting[0], Duration::from_millis(100)));
        // The rest has room once these go, and then those that were answered: in which order, the acceptors decide.
        drop(served);
        let began = Instant::now();
        while !waiting.is_empty() {
            waiting.retain(|stream| !is_answered(stream, Duration::from_millis(20)));
            assert!(began.elapsed() < Duration::from_secs(30), "nobody accepts any more");
        }
        Ok(())
    })
}

#[test]
fn with_a_listener_for_each_worker() -> io::Result<()> {
    out_of_descriptors("with_a_listener_for_each_worker", Sharding::NATIVE)
}

#[test]
fn with_one_acceptor() -> io::Result<()> {
    out_of_descriptors("with_one_acceptor", Sharding::OneAcceptor)
}
