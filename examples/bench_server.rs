//! An echo server for load generators: one thread, a task a connection, at 127.0.0.1.
//!
//! ```text
//! cargo run --release --example bench_server -- [--backend NAME] [--bound] [--mode borrowed|recv_with|pooled] tcp|udp PORT BUFFER_SIZE
//! printf hello | nc -q1 127.0.0.1 PORT        (udp: nc -u -w1)
//! ```
//!
//! `borrowed` reads into a buffer of BUFFER_SIZE bytes that each connection has. With `recv_with` a connection has
//! none: it writes at once what it is lent, and keeps only what did not fit. `pooled` receives into a buffer of the
//! Notifier's pool and gives that very buffer to an owned send: on io_uring both are the kernel's affair. Datagrams are
//! `borrowed` or `pooled`. `--bound` binds the Notifier to the one thread: nothing that completes interrupts it then.

use std::{env, error::Error, io, net::Ipv4Addr, net::SocketAddr, process::ExitCode};

use pike::{
    Backend,
    net::{TcpListener, TcpStream, UdpSocket},
    socket::{Domain, Socket, Type, option},
};
use pike_sched::Pool;

#[path = "support/limits.rs"]
mod limits;

const USAGE: &str = "usage: bench_server [--backend NAME] [--bound] [--mode borrowed|recv_with|pooled] tcp|udp PORT BUFFER_SIZE";
const BACKLOG: u32 = 4096;

fn main() -> ExitCode {
    let config = match Config::parse(env::args().skip(1)) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("bench_server: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(config: Config) -> io::Result<()> {
    limits::raise_descriptors()?;
    let mut pool = Pool::builder();
    if let Some(backend) = config.backend {
        pool = pool.backend(backend);
    }
    if config.bound {
        pool = pool.bound();
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
    pool.build()?.run(async {
        match config.mode {
            Mode::Datagrams => {
                datagrams(bound(Type::Datagram, address)?.try_into()?, config.buffer_len).await
            }
            Mode::PooledDatagrams => pooled_datagrams(bound(Type::Datagram, address)?.try_into()?).await,
            Mode::Borrowed => accept(address, |stream| borrowed(stream, config.buffer_len)).await,
            Mode::Lent => accept(address, lent).await,
            Mode::Pooled => accept(address, pooled).await,
        }
    })
}

fn bound(kind: Type, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::V4, kind, None)?;
    socket.set(option::ReuseAddress, true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept<F>(address: SocketAddr, echo: impl Fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let socket = bound(Type::Stream, address)?;
    socket.set(option::NoDelay, true)?; // what it accepts inherits that
    socket.listen(BACKLOG)?;
    let listener = TcpListener::try_from(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        pike_sched::spawn(echo(stream));
    }
}

async fn borrowed(stream: TcpStream, buffer_len: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer_len];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

async fn lent(stream: TcpStream) -> io::Result<()> {
    let mut rest = Vec::new(); // what did not fit
    while stream.recv_with(|bytes| send_back(&stream, bytes, &mut rest)).await?? {
        if !rest.is_empty() {
            stream.write_all(&rest).await?;
            rest = Vec::new();
        }
    }
    Ok(())
}

async fn pooled(stream: TcpStream) -> io::Result<()> {
    loop {
        let lease = stream.recv_pooled().await?;
        if lease.is_empty() {
            return Ok(());
        }
        stream.write_all_owned(lease).await.0?;
    }
}

/// False at the end of file.
fn send_back(stream: &TcpStream, bytes: &[u8], rest: &mut Vec<u8>) -> io::Result<bool> {
    if bytes.is_empty() {
        return Ok(false);
    }
    match stream.try_write(bytes) {
        Ok(n) if n == bytes.len() => {}
        Ok(n) => rest.extend_from_slice(&bytes[n..]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => rest.extend_from_slice(bytes),
        Err(error) => return Err(error),
    }
    Ok(true)
}

async fn datagrams(socket: UdpSocket, buffer_len: usize) -> io::Result<()> {
    let mut buf = vec![0; buffer_len];
    loop {
        let (n, from) = socket.recv_from(&mut buf).await?;
        socket.send_to(&buf[..n], from).await?;
    }
}

async fn pooled_datagrams(socket: UdpSocket) -> io::Result<()> {
    loop {
        let (lease, from) = socket.recv_from_pooled().await?;
        socket.send_to_owned(lease, from).await.0?;
    }
}

struct Config {
    backend: Option<Backend>,
    bound: bool,
    mode: Mode,
    port: u16,
    buffer_len: usize,
}

#[derive(Clone, Copy)]
enum Mode {
    Borrowed,
    Lent,
    Pooled,
    Datagrams,
    PooledDatagrams,
}

impl Config {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut backend, mut bound, mut stream_mode, mut rest) = (None, false, Mode::Borrowed, Vec::new());
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--backend" => backend = Some(args.next().ok_or("--backend needs a name")?.parse()?),
                "--bound" => bound = true,
                "--mode" => {
                    stream_mode = match args.next().as_deref() {
                        Some("borrowed") => Mode::Borrowed,
                        Some("recv_with") => Mode::Lent,
                        Some("pooled") => Mode::Pooled,
                        _ => return Err("--mode is borrowed, recv_with or pooled".into()),
                    }
                }
                _ if arg.starts_with('-') => return Err(format!("no option is called {arg}").into()),
                _ => rest.push(arg),
            }
        }
        let [protocol, port, buffer_len] = &rest[..] else {
            return Err("it takes a protocol, a port and a buffer size".into());
        };
        let mode = match (protocol.as_str(), stream_mode) {
            ("tcp", mode) => mode,
            ("udp", Mode::Borrowed) => Mode::Datagrams,
            ("udp", Mode::Pooled) => Mode::PooledDatagrams,
            ("udp", _) => return Err("an answer needs its sender, which recv_with does not tell".into()),
            _ => return Err(format!("the protocol is tcp or udp, not {protocol}").into()),
        };
        let port = port.parse().map_err(|_| format!("{port} is no port"))?;
        let buffer_len = match buffer_len.parse() {
            Ok(0) | Err(_) => return Err(format!("{buffer_len} is no buffer size").into()),
            Ok(len) => len,
        };
        Ok(Self { backend, bound, mode, port, buffer_len })
    }
}
