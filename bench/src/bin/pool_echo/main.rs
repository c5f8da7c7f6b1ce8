//! What an echoed message costs on several workers: pike's pool beside tokio's multi-thread runtime, in one run.
//!
//! ```text
//! cargo run --release -p pike-bench --bin pool_echo                    1,000 connections, two workers, medians of 7
//! cargo run --release -p pike-bench --bin pool_echo -- tokio 2 tcp 7000 16384
//!                                                                      one server alone, for another load generator
//! ```
//!
//! The servers take turns, each in a process of its own, beside a load in this one (`load`), so that what else the machine does
//! falls on both alike. A second row of pike's tells how finely the figures can be read. It fails if pike is behind
//! tokio in processor time a message or in messages a second by more than a twentieth.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, ExitCode, Stdio},
};

mod load;
mod servers;

const ROUNDS: usize = 7;
const WORKERS: usize = 2;
const CONNECTIONS: usize = 1000;
const BUFFER_LEN: usize = 16 * 1024;
/// The row's name, and the server's.
const ROWS: [(&str, &str); 3] = [("pike", "pike"), ("tokio", "tokio"), ("pike again", "pike")];
/// By how much pike may look behind: the two rows of it differ by as much.
const TOLERANCE: f64 = 1.05;

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let done = if args.is_empty() { compare() } else { serve(&args).map(|()| true) };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pool_echo: {error}\nusage: pool_echo [pike|tokio WORKERS tcp PORT BUFFER_SIZE]");
            ExitCode::from(2)
        }
    }
}

/// Serves at 127.0.0.1 until it is killed. Says where.
fn serve(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [library, workers, protocol, port, buffer_len] = args else {
        return Err("a server takes five arguments".into());
    };
    let (workers, port, buffer_len) = (workers.parse()?, port.parse()?, buffer_len.parse()?);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match (library.as_str(), protocol.as_str()) {
        ("pike", "tcp") => servers::pike(workers, address, buffer_len)?,
        ("tokio", "tcp") => servers::tokio(workers, address, buffer_len)?,
        _ => return Err(format!("there is no {protocol} server of {library}").into()),
    }
    Ok(())
}

/// Prints the table. Whether pike is not behind.
fn compare() -> Result<bool, Box<dyn Error>> {
    let mut figures = [const { Vec::new() }; ROWS.len()];
    for round in 0..ROUNDS {
        for turn in 0..ROWS.len() {
            let row = (round + turn) % ROWS.len();
            let server = Server::start(ROWS[row].1)?;
            figures[row].push(load::run(server.address, server.child.id(), CONNECTIONS)?);
        }
    }
    println!("{CONNECTIONS} connections, {WORKERS} workers, 64-byte messages; medians of {ROUNDS} (best)");
    println!("{:<12} {:>28} {:>28}", "", "processor us a message", "messages a second");
    let rows = figures.map(|figures| {
        let mut time: Vec<_> = figures.iter().map(|figure| figure.micros).collect();
        let mut rate: Vec<_> = figures.iter().map(|figure| figure.rate).collect();
        time.sort_by(f64::total_cmp);
        rate.sort_by(|a, b| f64::total_cmp(b, a));
        [(time[ROUNDS / 2], time[0]), (rate[ROUNDS / 2], rate[0])]
    });
    for ((name, _), [time, rate]) in ROWS.iter().zip(rows) {
        let time = format!("{:.2} ({:.2})", time.0, time.1);
        println!("{name:<12} {time:>28} {:>28}", format!("{:.0} ({:.0})", rate.0, rate.1));
    }
    let [[pike_time, pike_rate], [tokio_time, tokio_rate], _] = rows;
    let behind = pike_time.0 > tokio_time.0 * TOLERANCE || pike_rate.0 * TOLERANCE < tokio_rate.0;
    println!("pike is {}behind tokio", if behind { "" } else { "not " });
    Ok(!behind)
}

/// A process that serves, and is killed when this is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(library: &str) -> io::Result<Self> {
        let args = [library, &WORKERS.to_string(), "tcp", "0", &BUFFER_LEN.to_string()].map(String::from);
        let mut child = Command::new(env::current_exe()?).args(args).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim_end().parse() {
            Ok(address) => Ok(Self { child, address }),
            Err(_) => {
                child.kill()?;
                child.wait()?;
                Err(io::Error::other(format!("the server of {library} does not say where it listens")))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
