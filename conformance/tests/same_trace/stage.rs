//! Where the script plays: a Notifier, and the trace.

use std::{
    fmt::Debug,
    future::Future,
    io::{self, Read},
    net,
    time::Duration,
};

use pike::{
    Builder, Closed, Notifier,
    buf::{BufResult, IoBuf},
    net::{TcpStream, UdpSocket},
    socket::{Domain, Socket, Type},
    time,
};
use pike_conformance::{Cx, Task};

/// What takes longer than this on a loopback will never happen.
const LIMIT: Duration = Duration::from_secs(20);

/// What a Notifier is beside its backend.
pub type Form = fn(Builder) -> Builder;

pub struct Stage<'a> {
    pub cx: &'a Cx,
    form: Form,
    notifier: Notifier,
    scene: &'static str,
    trace: Vec<String>,
}

impl<'a> Stage<'a> {
    pub fn new(cx: &'a Cx, form: Form) -> Self {
        let notifier = form(cx.builder()).build().expect("a Notifier");
        Self { cx, form, notifier, scene: "", trace: Vec::new() }
    }

    /// Another Notifier of the same kind.
    pub fn builder(&self) -> Builder {
        (self.form)(self.cx.builder())
    }

    pub fn scene(&mut self, name: &'static str, play: fn(&mut Self)) {
        self.scene = name;
        play(self);
    }

    /// Plays on another Notifier.
    pub fn elsewhere(&mut self, notifier: Notifier, play: impl FnOnce(&mut Self)) {
        let ours = std::mem::replace(&mut self.notifier, notifier);
        play(self);
        self.notifier = ours;
    }

    pub fn into_trace(self) -> Vec<String> {
        self.trace
    }

    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Drops this Notifier: from here on there is another.
    pub fn drop_notifier(&mut self) {
        self.notifier = self.builder().build().expect("a Notifier");
    }

    pub fn note(&mut self, what: &str, outcome: impl Debug) {
        self.trace.push(format!("{}: {what}: {outcome:?}", self.scene));
    }

    pub fn bytes(&mut self, what: &str, bytes: &[u8]) {
        self.note(what, format_args!("{}", bytes.escape_ascii()));
    }

    pub fn result<T: Debug>(&mut self, what: &str, result: io::Result<T>) {
        let outcome = outcome(result);
        self.trace.push(format!("{}: {what}: {outcome}", self.scene));
    }

    /// A result, and the buffer that came back with it.
    pub fn owned<T: Debug, B: IoBuf>(&mut self, what: &str, (result, buf): BufResult<T, B>) {
        let (outcome, bytes) = (outcome(result), buf.bytes().escape_ascii());
        self.trace.push(format!("{}: {what}: {outcome}, with '{bytes}'", self.scene));
    }

    /// What a pooled or lent receive came to.
    pub fn received(&mut self, what: &str, result: io::Result<impl AsRef<[u8]>>) {
        match result {
            Ok(bytes) => self.bytes(what, bytes.as_ref()),
            Err(error) => self.result::<()>(what, Err(error)),
        }
    }

    /// Runs `future`, for as long as anything can take.
    #[track_caller]
    pub fn run<R>(&self, future: impl Future<Output = R>) -> R {
        match self.notifier.block_on(time::timeout(LIMIT, future)) {
            Ok(output) => output,
            Err(_) => panic!("nothing after {LIMIT:?} in {}", self.scene),
        }
    }

    /// Turns until nothing comes any more.
    pub fn settle(&self) {
        self.cx.settle(&self.notifier);
    }

    /// Turns until a task that waits is woken, and polls it, until it is done.
    #[track_caller]
    pub fn finish<R>(&self, task: &mut Task<'_, R>) -> R {
        loop {
            self.cx.turn_until(&self.notifier, self.scene, || task.is_woken());
            if let std::task::Poll::Ready(output) = task.poll() {
                return output;
            }
        }
    }

    /// An operation that has to wait, and does.
    #[track_caller]
    pub fn waiting<'t, R>(&self, future: impl Future<Output = R> + Send + 't) -> Task<'t, R> {
        let task = Task::pending(future);
        self.settle();
        task
    }

    /// A stream, and its peer, which is std's and blocks.
    pub fn stream(&self) -> (TcpStream, net::TcpStream) {
        let (stream, peer) = self.cx.stream(&self.notifier);
        peer.set_read_timeout(Some(LIMIT)).expect("a limit");
        (stream, peer)
    }

    /// Two streams that are connected with each other.
    pub fn streams(&self) -> (TcpStream, TcpStream) {
        self.cx.streams(&self.notifier, &self.notifier)
    }

    /// A TCP socket that is neither connected nor bound.
    pub fn bare(&self) -> Socket {
        Socket::new_on(&self.notifier, Domain::V4, Type::Stream, None).expect("a socket")
    }

    /// A UDP socket.
    pub fn udp(&self) -> UdpSocket {
        self.run(UdpSocket::bind("127.0.0.1:0")).expect("a socket")
    }

    /// A socket of std's that sends to `udp`.
    pub fn sender(&self, udp: &UdpSocket) -> net::UdpSocket {
        let sender = net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        sender.connect(udp.local_addr().expect("an address")).expect("connected");
        sender
    }
}

/// Of an error, the part that means the same everywhere.
fn outcome<T: Debug>(result: io::Result<T>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) if Closed::is(&error) => "Closed".to_owned(),
        Err(error) => format!("{:?} {:?}", error.kind(), error.raw_os_error()),
    }
}

/// Exactly so many bytes of a blocking peer.
#[track_caller]
pub fn take(peer: &mut net::TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    peer.read_exact(&mut bytes).expect("bytes");
    bytes
}
