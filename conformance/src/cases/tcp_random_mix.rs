//! All forms on one TCP stream, at random, with every byte checked.

use std::{
    future::Future,
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    net::Shutdown,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_lite::future;
use pike::{
    net::TcpStream,
    socket::{RecvFlags, SendFlags, option},
};

use crate::{
    Cx, Outcome, Rng, join_all,
    net::{self, assert_bytes_at, bytes_at},
};

/// Several tasks at each end of several connections read and write the same sequence in random forms and sizes, some of
/// them dropped halfway: every byte is checked.
pub fn random_mix_checked(cx: &Cx) -> Outcome {
    let rng = Mutex::new(Rng::new());
    let notifier = cx.notifier();
    let total = cx.rounds(3 << 20);
    let pairs: Vec<_> = (0..3).map(|_| net::pair(cx, &notifier)).collect();
    // Little room, so that both sides wait often.
    for (one, other) in &pairs[1..] {
        for socket in [one.socket(), other.socket()] {
            socket.set(option::SendBufferSize, 4 * 1024).unwrap();
        }
    }
    let flows: Vec<_> = pairs
        .iter()
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .map(|(from, to)| Flow::new(from, to, total))
        .collect();
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
    for flow in &flows {
        for _ in 0..2 {
            tasks.push(Box::pin(flow.write(&rng)));
            tasks.push(Box::pin(flow.read(&rng)));
        }
    }
    notifier.block_on(async {
        let all = future::or(async { join_all(tasks).await.len() }, async {
            // The Notifier would wait for ever for what was lost.
            let left = cx.deadline().saturating_duration_since(std::time::Instant::now());
            pike::time::sleep(left.saturating_sub(Duration::from_secs(1))).await;
            0
        });
        let done = all.await;
        let places: Vec<_> =
            flows.iter().map(|flow| (flow.sent.load(SeqCst), flow.got.load(SeqCst))).collect();
        assert!(done > 0, "stuck at (sent, got) {places:?} of {total}");
        assert!(places.iter().all(|&place| place == (total, total)), "{places:?} of {total}");
    });
    Ok(())
}

/// One direction of a connection. All tasks run on one thread, so that a place is right when a result is seen.
struct Flow<'a> {
    from: &'a TcpStream,
    to: &'a TcpStream,
    total: usize,
    sent: AtomicUsize,
    got: AtomicUsize,
    writing: AtomicBool,
}

impl<'a> Flow<'a> {
    fn new(from: &'a TcpStream, to: &'a TcpStream, total: usize) -> Self {
        let zero = AtomicUsize::default;
        Self { from, to, total, sent: zero(), got: zero(), writing: AtomicBool::new(false) }
    }

    fn len(rng: &Mutex<Rng>) -> usize {
        let mut rng = rng.lock().unwrap();
        match rng.below(4) {
            0 => 1 + rng.below(8),
            1 => 1 + rng.below(100_000),
            _ => 1 + rng.below(2_000),
        }
    }

    /// One of two writers: they take turns, since a call's bytes are chosen before it is made.
    async fn write(&self, rng: &Mutex<Rng>) {
        loop {
            while self.writing.swap(true, SeqCst) {
                future::yield_now().await;
            }
            let place = self.sent.load(SeqCst);
            let bytes = bytes_at(place, Self::len(rng).min(self.total - place));
            if !bytes.is_empty() {
                let n = self.write_some(rng, &bytes).await;
                if self.sent.fetch_add(n, SeqCst) + n == self.total {
                    self.from.shutdown(Shutdown::Write).unwrap();
                }
            }
            self.writing.store(false, SeqCst);
            if bytes.is_empty() {
                return;
            }
            if rng.lock().unwrap().one_in(4) {
                future::yield_now().await;
            }
        }
    }

    async fn write_some(&self, rng: &Mutex<Rng>, bytes: &[u8]) -> usize {
        let (head, tail) = bytes.split_at(bytes.len() / 3);
        let halves = [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(tail)];
        let form = rng.lock().unwrap().below(8);
        let result = match form {
            0 => self.from.write(bytes).await,
            1 => self.from.write_vectored(&halves).await,
            2 => self.from.write_all(bytes).await.map(|()| bytes.len()),
            3 => self.from.try_write(bytes),
            4 => self.from.try_write_vectored(&halves),
            5 => {
                self.from.writable().await.unwrap();
                self.from.try_write(bytes)
            }
            6 => self.from.socket().send(bytes, SendFlags::MORE).await,
            // Dropped if it has to wait: then it has sent nothing.
            _ => future::poll_once(self.from.write(bytes)).await.unwrap_or(Ok(0)),
        };
        none_if_blocked(result)
    }

    /// One of two readers. Each looks at what came at the very place, in the poll that received it.
    async fn read(&self, rng: &Mutex<Rng>) {
        loop {
            let mut buf = vec![0; Self::len(rng)];
            let (form, middle) = (rng.lock().unwrap().below(12), buf.len() / 2);
            let to = self.to;
            // None where nothing came, zero at the end.
            let n = match form {
                0 | 1 => self.took(to.read(&mut buf).await, &buf),
                2 => {
                    let (head, tail) = buf.split_at_mut(middle);
                    let mut halves = [IoSliceMut::new(head), IoSliceMut::new(tail)];
                    let result = to.read_vectored(&mut halves).await;
                    self.took(result, &buf)
                }
                3 => to.recv_with(|bytes| self.took(Ok(bytes.len()), bytes)).await.unwrap(),
                4 => {
                    let result = to.peek(&mut buf).await;
                    self.saw(result, &buf)
                }
                5 => {
                    to.readable().await.unwrap();
                    let result = to.try_read(&mut buf);
                    self.took(result, &buf)
                }
                6 => {
                    let result = to.try_read(&mut buf);
                    self.took(result, &buf)
                }
                7 => to.try_recv_with(|bytes| self.took(Ok(bytes.len()), bytes)).unwrap_or(None),
                8 => {
                    let result = to.try_peek(&mut buf);
                    self.saw(result, &buf)
                }
                9 => {
                    let result = to.socket().recv(&mut buf, RecvFlags::PEEK).await;
                    self.saw(result, &buf)
                }
                10 => {
                    let mut halves = [IoSliceMut::new(&mut buf)];
                    let result = to.try_read_vectored(&mut halves);
                    self.took(result, &buf)
                }
                // Dropped if it has to wait: then it took nothing.
                _ => match future::poll_once(to.read(&mut buf)).await {
                    Some(result) => self.took(result, &buf),
                    None => None,
                },
            };
            match n {
                Some(0) => return,
                Some(_) => {}
                None => future::yield_now().await,
            }
        }
    }

    fn took(&self, result: io::Result<usize>, buf: &[u8]) -> Option<usize> {
        let n = self.saw(result, buf)?;
        self.got.fetch_add(n, SeqCst);
        Some(n)
    }

    fn saw(&self, result: io::Result<usize>, buf: &[u8]) -> Option<usize> {
        match result {
            Ok(n) => {
                let place = self.got.load(SeqCst);
                assert_bytes_at(place, &buf[..n]);
                assert!(n > 0 || place == self.total, "the end after {place} bytes");
                Some(n)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                None
            }
        }
    }
}

fn none_if_blocked(result: io::Result<usize>) -> usize {
    match result {
        Ok(n) => n,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}
