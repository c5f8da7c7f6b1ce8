//! An echo server, and a load for it.
//!
//! ```text
//! cargo run --release --example echo                             1,000 connections in one process, for 5 seconds
//! cargo run --release --example echo -- --workers 2              the same, with two threads for the server
//! cargo run --release --example echo -- --listen 127.0.0.1:7000  a server until ctrl-c; poke it with
//! printf 'hello\n' | nc -q1 127.0.0.1 7000
//! cargo run --release --example echo -- --help                   everything else
//! ```
//!
//! `serve` is the server, `load` what pesters it, `report` the table at the end; `histogram`, `syscalls` and
//! `allocations` are what the table tells of.

use std::{io, process::ExitCode};

mod allocations;
mod args;
mod histogram;
#[path = "../support/limits.rs"]
mod limits;
mod load;
mod progress;
mod report;
mod serve;
mod syscalls;

use args::Command;

#[global_allocator]
static ALLOCATOR: allocations::Allocator = allocations::Allocator;

fn main() -> ExitCode {
    let command = match args::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("echo: {message}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<()> {
    match command {
        Command::Help => print!("{}", args::HELP),
        Command::Listen { address, backend, workers } => serve::until_signal(&address, backend, workers)?,
        Command::Load(load) => print!("{}", load.run()?),
    }
    Ok(())
}
