//! The command line.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use pike::Backend;

use super::load::Load;

pub const HELP: &str = "\
Usage: echo [--connections N] [--seconds N] [--size BYTES] [--workers N] [--backend NAME]
       echo --listen ADDR [--workers N] [--backend NAME]

Starts an echo server and connections against it in one process, and ends with a table of what it measured. Each
connection sends a message and waits for its echo, again and again.

  --connections N   how many connections             [1000]
  --seconds N       for how long                     [5]
  --size BYTES      of one message                   [64]
  --workers N       threads of the server            [1]
  --listen ADDR     only serve, at host:port, until SIGINT or SIGTERM; then drain the connections
  --backend NAME    epoll, io_uring, kqueue or iocp  [the best there is]
  --help            this text
";

pub enum Command {
    Help,
    Listen { address: String, backend: Option<Backend>, workers: usize },
    Load(Load),
}

/// Reads the arguments that follow the program's name, or says what is wrong with them.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let (mut listen, mut backend, mut of_load) = (None, None, None);
    let mut workers = 1;
    let mut load =
        Load { connections: 1000, time: Duration::from_secs(5), message_len: 64, backend, workers };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        if matches!(name, "-h" | "--help") {
            return Ok(Command::Help);
        }
        if !matches!(name, "--listen" | "--backend" | "--workers" | "--connections" | "--seconds" | "--size")
        {
            return Err(format!("there is no argument {arg:?}"));
        }
        let value = attached.or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value"))?;
        match name {
            "--listen" => listen = Some(address(value)?),
            "--backend" => backend = Some(built(&value)?),
            "--workers" => workers = number(name, &value, 1..=56)?,
            "--connections" => load.connections = number(name, &value, 1..=1_000_000)?,
            "--seconds" => load.time = Duration::from_secs(number(name, &value, 1..=86_400)?),
            _ => load.message_len = number(name, &value, 1..=16 << 20)?,
        }
        if matches!(name, "--connections" | "--seconds" | "--size") {
            of_load = Some(name.to_owned());
        }
    }
    (load.backend, load.workers) = (backend, workers);
    match (listen, of_load) {
        (None, _) => Ok(Command::Load(load)),
        (Some(address), None) => Ok(Command::Listen { address, backend, workers }),
        (Some(_), Some(name)) => {
            Err(format!("{name} says nothing to a server: leave out --listen or {name}"))
        }
    }
}

fn number<T>(name: &str, value: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{name} is a number from {} to {}, not {value:?}", range.start(), range.end())),
    }
}

fn address(value: String) -> Result<String, String> {
    match value.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(value),
        _ => Err(format!("--listen is an address and a port, as 127.0.0.1:7000 or [::]:7000, not {value:?}")),
    }
}

fn built(name: &str) -> Result<Backend, String> {
    let backend: Backend = name.parse().map_err(|error| format!("--backend: {error}"))?;
    if Backend::BUILT.contains(&backend) {
        return Ok(backend);
    }
    let built: Vec<_> = Backend::BUILT.iter().map(Backend::to_string).collect();
    Err(format!("--backend: this build has no {backend}, only {}", built.join(" and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn refused(line: &str) -> String {
        match of(line) {
            Ok(_) => panic!("{line} was taken"),
            Err(message) => message,
        }
    }

    #[test]
    fn takes_both_ways_of_giving_a_value() {
        let Ok(Command::Load(load)) = of("--connections 20 --seconds=1") else { panic!("not a load") };
        assert_eq!((load.connections, load.time, load.message_len), (20, Duration::from_secs(1), 64));
        let Ok(Command::Listen { address, .. }) = of("--listen [::1]:0") else { panic!("not a server") };
        assert_eq!(address, "[::1]:0");
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(refused("--size").contains("--size needs a value"));
        assert!(refused("--size 0").contains("from 1 to 16777216"));
        assert!(refused("--connections many").contains("many"));
        assert!(refused("--workers 0").contains("from 1 to 56"));
        assert!(refused("--port 1").contains("--port"));
        assert!(refused("--listen 7000").contains("127.0.0.1:7000"));
        assert!(refused("--listen [::]:0 --size 1").contains("--size"));
        assert!(refused("--backend iocp").contains("iocp"));
        assert!(refused("--backend fast").contains("fast"));
    }
}
