//! The examples, run as a user runs them. They are built before this by `cargo test`, in the same profile.
//!
//! ci/windows runs those of them here that need no Unix, under Wine and with these clients: PIKE_EXAMPLES is where it has built
//! them, and PIKE_EXAMPLES_RUNNER what starts one.
#![cfg(unix)]

#[path = "support/terminal.rs"]
mod terminal;

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixListener,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// For what takes no time at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program of that name, beside the folder of this test's own.
fn example(name: &str) -> Command {
    if let Some(folder) = env::var_os("PIKE_EXAMPLES") {
        let mut command = Command::new(env::var_os("PIKE_EXAMPLES_RUNNER").expect("a runner of those"));
        command.arg(PathBuf::from(folder).join(name).with_extension("exe"));
        return command;
    }
    let mut path = env::current_exe().expect("a path to this test");
    path.pop();
    path.pop();
    let program: PathBuf = path.join("examples").join(name);
    assert!(program.exists(), "{} is not built: run `cargo build --examples`", program.display());
    Command::new(program)
}

/// Whether it is a program of Windows, and not of this test's own system.
fn of_windows() -> bool {
    env::var_os("PIKE_EXAMPLES").is_some()
}

fn output(mut command: Command) -> Output {
    command.output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A program that is killed with the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().expect("the program starts"))
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(sent.expect("there is kill(1)").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Some(done) => return done,
            None if start.elapsed() > PATIENCE => panic!("not in {PATIENCE:?}"),
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    listener.local_addr().expect("an address").port()
}

#[test]
fn echo_ends_with_a_table() {
    ends_with_a_table(&[]);
    ends_with_a_table(&["--workers", "2"]);
}

fn ends_with_a_table(more: &[&str]) {
    let mut command = example("echo");
    command.args(more);
    command.args(["--seconds", "1", "--connections", "20", "--size=100"]);
    let output = output(command);
    let (table, progress) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{table}{progress}");
    let row = |name: &str| {
        let row = table.lines().find_map(|line| line.strip_prefix(name));
        row.unwrap_or_else(|| panic!("no {name} in\n{table}")).trim().to_owned()
    };
    assert!(row("backend").contains("epoll"));
    assert_eq!(row("connections"), "20");
    assert_eq!(row("message size"), "100 bytes");
    assert_ne!(row("messages per second"), "0");
    for latency in ["latency p50", "latency p99", "latency p99.9"] {
        assert!(row(latency).ends_with('s'));
    }
    let syscalls = row("syscalls per message");
    assert!(syscalls.starts_with("not counted: ") || syscalls.parse::<f64>().is_ok_and(|calls| calls < 4.0));
    assert_eq!(row("allocations per message"), "0.000");
    assert!(progress.contains("1 s"), "{progress}");
}

#[test]
fn echo_refuses_bad_arguments() {
    let elsewhere = if of_windows() { "epoll" } else { "iocp" };
    for bad in [&["--connections", "none"][..], &["--what"], &["--listen", ":0"], &["--backend", elsewhere]] {
        let mut command = example("echo");
        command.args(bad);
        let output = output(command);
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).contains("--help"));
    }
    let mut help = example("echo");
    help.arg("--help");
    assert!(text(&output(help).stdout).contains("--connections N"));
}

#[test]
fn echo_drains_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let mut command = example("echo");
        command.args(["--listen", "127.0.0.1:0"]);
        let mut server = Running::start(command);
        let mut lines = BufReader::new(server.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let listening = lines.next().expect("a line");
        let address = listening.split_whitespace().nth(2).expect("an address");

        // One connection is idle. The server is stuck in the middle of a write to the other, which does not read.
        let idle = TcpStream::connect(address).expect("a connection");
        let busy = TcpStream::connect(address).expect("a connection");
        busy.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        while (&busy).write(&[7; 65_536]).is_ok() {}

        server.signal(signal);
        patiently(|| TcpStream::connect(address).err());
        (&idle).read_to_end(&mut Vec::new()).expect("an end of file");
        assert!(server.0.try_wait().expect("a child").is_none(), "it did not wait for the write");

        // It ends in a reset if the rest of what was sent came after the server had read all there was.
        let mut echoed = Vec::new();
        let end = (&busy).read_to_end(&mut echoed);
        assert!(
            !echoed.is_empty() && echoed.iter().all(|&byte| byte == 7),
            "{} bytes, {end:?}",
            echoed.len()
        );
        let totals = lines.next().expect("totals");
        assert!(totals.starts_with("served: connections "), "{totals}");
        assert!(totals.ends_with(", failed 0, cut off 0"), "{totals}");
        assert!(server.0.wait().expect("an end").success());
    }
}

#[test]
fn bench_server_echoes() {
    let sent: Vec<u8> = (0..1_000_000).map(|i| (i % 251) as u8).collect();
    for mode in ["borrowed", "recv_with"] {
        let port = free_port();
        let mut command = example("bench_server");
        command.args(["--mode", mode, "tcp", &port.to_string(), "4096"]);
        let _server = Running::start(command);
        let mut stream = patiently(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        let mut writer = stream.try_clone().expect("a clone");
        let writing = thread::spawn({
            let sent = sent.clone();
            move || writer.write_all(&sent)
        });
        let mut echoed = vec![0; sent.len()];
        stream.read_exact(&mut echoed).expect("all of it");
        writing.join().expect("no panic").expect("all is taken");
        assert!(echoed == sent);
    }
}

#[test]
fn bench_server_echoes_datagrams() {
    for mode in ["borrowed", "pooled"] {
        let port = free_port();
        let mut command = example("bench_server");
        command.args(["--mode", mode, "udp", &port.to_string(), "2048"]);
        let _server = Running::start(command);
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.connect((Ipv4Addr::LOCALHOST, port)).expect("an address");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut buf = [0; 100];
        // Until the server is there, a datagram is refused or lost.
        let n = patiently(|| socket.send(b"ping").and_then(|_| socket.recv(&mut buf)).ok());
        assert_eq!(&buf[..n], b"ping");
    }
}

/// All bytes both ways, the end of each way by itself, and a server that is not there.
#[test]
fn proxy_relays() {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let mut command = example("proxy");
    command
        .args(["127.0.0.1:0", &format!("localhost:{}", upstream.local_addr().expect("an address").port())]);
    let mut proxy = Running::start(command);
    let mut lines = BufReader::new(proxy.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let listening = lines.next().expect("a line");
    let address = listening.split_whitespace().nth(2).expect("an address");

    let mut client = TcpStream::connect(address).expect("a connection");
    let (mut server, _) = upstream.accept().expect("a connection");
    let sent: Vec<u8> = (0..1_000_000).map(|i| (i % 251) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&sent).expect("all is taken");
            client.shutdown(Shutdown::Write).expect("an end");
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).expect("an end of file");
        assert!(received == sent);
    });
    server.write_all(b"still here").expect("taken");
    drop(server);
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an end of file");
    assert_eq!(answer, "still here");
    let totals = lines.next().expect("totals");
    assert!(totals.ends_with("1000000 bytes there, 10 back"), "{totals}");

    drop(upstream);
    let mut client = TcpStream::connect(address).expect("a connection");
    assert_eq!(client.read(&mut [0]).expect("an end of file"), 0);
    let refused = lines.next().expect("an error");
    assert!(refused.contains("refused"), "{refused}");
    assert!(proxy.0.try_wait().expect("a child").is_none(), "it goes on");
}

/// The first piece is measured, the rest comes back, on each backend that is asked for by name.
#[test]
fn relay_sends_back() {
    let built = match of_windows() {
        true => vec!["iocp".to_owned()],
        false => pike::Backend::BUILT.iter().map(ToString::to_string).collect(),
    };
    for backend in built {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let mut command = example("relay");
        command.args([listener.local_addr().expect("an address").to_string(), backend.clone()]);
        let mut relay = Running::start(command);
        let mut lines = BufReader::new(relay.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
        assert!(lines.next().is_some_and(|line| line.starts_with(&backend)));
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.write_all(b"first\n").expect("taken");
        assert_eq!(lines.next().as_deref(), Some("6 bytes"));
        let mut back = [0; 9];
        stream.write_all(b"the rest\n").expect("taken");
        stream.read_exact(&mut back).expect("all of it");
        assert_eq!(&back, b"the rest\n");
        drop(stream);
        assert!(relay.0.wait().expect("a child").success());
    }
    let mut command = example("relay");
    let refused = output({
        command.args(["127.0.0.1:1", "nonsense"]);
        command
    });
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("no backend is called"));
}

/// Commands and their answers; a path that a server left is taken over, one that is in use is not.
#[test]
fn unix_answers_commands() {
    let path = env::temp_dir().join(format!("pike-control-{}.sock", std::process::id()));
    let path = path.to_str().expect("UTF-8");
    drop(UnixListener::bind(path).expect("a path to leave behind"));
    let serve = || {
        let mut command = example("unix");
        command.args(["serve", path]);
        command
    };
    let send = |word: &str| {
        let mut command = example("unix");
        command.args(["send", path, word]);
        let output = output(command);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let mut server = Running::start(serve());
    let mut lines = BufReader::new(server.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert_eq!(lines.next().expect("a line"), format!("listening at {path}"));
    assert!(send("uptime").ends_with(" s\n"));
    assert!(send("whoami").starts_with("uid "));
    assert_eq!(send("what"), "no such command: what\n");
    assert!(!output(serve()).status.success(), "a second server");
    assert_eq!(send("uptime").lines().count(), 1, "the first is undisturbed");
    assert_eq!(send("stop"), "stopping\n");
    assert!(server.0.wait().expect("an end").success());
    assert!(!std::path::Path::new(path).exists());
}

/// Two that meet: each reads what the other says, and not what it says itself.
#[test]
fn chat_tells_all_others() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|free| free.local_addr())
        .expect("a port")
        .port();
    let mut command = example("chat");
    command.arg(format!("127.0.0.1:{port}"));
    let _chat = Running::start(command);
    let come = || patiently(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    let line = |stream: &TcpStream| {
        let mut line = String::new();
        BufReader::with_capacity(1, stream).read_line(&mut line).expect("a line");
        line
    };
    let mut first = come();
    assert_eq!(line(&first), "others here: 0\n");
    let mut second = come();
    assert_eq!(line(&second), "others here: 1\n");
    assert!(line(&first).ends_with("has come\n"));
    second.write_all(b"hello\nand more\n").expect("it is taken");
    assert!(line(&first).ends_with("says: hello\n"));
    assert!(line(&first).ends_with("says: and more\n"));
    first.write_all(b"hello yourself\n").expect("it is taken");
    assert!(line(&second).ends_with("says: hello yourself\n"));
    drop(second);
    assert!(line(&first).ends_with("has left\n"));
}

/// The lines that a program prints.
fn lines(running: &mut Running) -> impl Iterator<Item = String> + use<> {
    BufReader::new(running.0.stdout.take().expect("piped")).lines().map_while(Result::ok)
}

/// The address in a line that begins with "listening at".
fn listening(lines: &mut impl Iterator<Item = String>) -> String {
    let line = lines.next().expect("a line");
    line.strip_prefix("listening at ").unwrap_or_else(|| panic!("no address in {line}")).to_owned()
}

/// Datagrams come back, and silence is said.
#[test]
fn udp_deadline_echoes_and_is_idle() {
    let mut command = example("udp_deadline");
    command.arg("127.0.0.1:0");
    let mut server = Running::start(command);
    let mut lines = lines(&mut server);
    let address = listening(&mut lines);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    socket.connect(address).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut buf = [0; 100];
    let mut silent = Instant::now();
    for sent in [&b"ping"[..], b"", b"another"] {
        // Its five seconds begin after that.
        silent = Instant::now();
        socket.send(sent).expect("sent");
        let n = socket.recv(&mut buf).expect("an echo");
        assert_eq!(&buf[..n], sent);
    }
    assert_eq!(lines.next().as_deref(), Some("idle"));
    assert!(silent.elapsed() >= Duration::from_secs(5), "idle after {:?}", silent.elapsed());
    socket.send(b"still there").expect("sent");
    assert_eq!(socket.recv(&mut buf).expect("an echo"), 11);
}

/// On a signal, an idle connection ends, no other begins, and the program ends well; one that never finishes is cut off.
#[test]
fn drain_finishes() {
    for stuck in [false, true] {
        let mut command = example("drain");
        command.arg("127.0.0.1:0");
        let mut server = Running::start(command);
        let mut lines = lines(&mut server);
        let address = listening(&mut lines);
        let mut idle = TcpStream::connect(&address).expect("a connection");
        idle.write_all(b"hello").expect("taken");
        let mut buf = [0; 5];
        idle.read_exact(&mut buf).expect("an echo");
        assert_eq!(&buf, b"hello");
        let busy = stuck.then(|| {
            let busy = TcpStream::connect(&address).expect("a connection");
            (&busy).write_all(b"x").expect("taken");
            (&busy).read_exact(&mut [0]).expect("an echo");
            busy.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
            while (&busy).write(&[7; 65_536]).is_ok() {}
            busy
        });
        server.signal("TERM");
        assert_eq!(lines.next(), Some(format!("finishing {} connections", 1 + usize::from(stuck))));
        assert_eq!(idle.read(&mut buf).expect("an end of file"), 0);
        assert!(TcpStream::connect(&address).is_err(), "it accepts no more");
        if stuck {
            assert_eq!(lines.next().as_deref(), Some("cutting off 1"));
        }
        assert_eq!(lines.next(), None);
        assert!(server.0.wait().expect("an end").success());
        drop(busy);
    }
}

/// Under tokio: an answer is printed, and an error ends the program.
#[test]
fn under_tokio_pings() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let command = || {
        let mut command = example("under_tokio");
        command.arg(address.to_string());
        command
    };
    let mut program = Running::start(command());
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut buf = [0; 4];
    stream.read_exact(&mut buf).expect("a ping");
    assert_eq!(&buf, b"ping");
    stream.write_all(b"pong").expect("taken");
    assert_eq!(lines(&mut program).next(), Some(format!("{address} says \"pong\"")));
    assert!(program.0.wait().expect("an end").success());

    drop((stream, listener));
    let refused = output(command());
    assert!(!refused.status.success() && refused.stdout.is_empty());
    assert!(text(&refused.stderr).contains("refused"), "{}", text(&refused.stderr));
}

/// On a terminal of its own: it waits for a first line, counts frames, shows the lines that are typed, and ends at ctrl-d.
#[test]
fn any_descriptor_plays_on_a_terminal() {
    let (mut keyboard, slave) = terminal::open().expect("a pseudo terminal");
    let mut command = example("any_descriptor");
    terminal::control(&mut command, slave);
    let mut program = Running::start(command);
    let mut screen = program.0.stdout.take().expect("piped");
    let mut shown = String::new();
    let mut until = |what: &str| {
        let mut buf = [0; 4096];
        while !shown.contains(what) {
            let n = screen.read(&mut buf).expect("the screen");
            assert!(n > 0, "it ended before {what:?}: {shown:?}");
            shown.push_str(&text(&buf[..n]));
        }
        shown.drain(..shown.find(what).expect("found") + what.len());
    };
    until("press enter to start");
    keyboard.write_all(b"\n").expect("typed");
    until("frame 3 ");
    keyboard.write_all(b"jump\n").expect("typed");
    until(": \"jump\\n\"");
    until("frame ");
    keyboard.write_all(&[4]).expect("typed");
    assert!(program.0.wait().expect("an end").success());
}
