//! Receives of all forms on one socket, at random: polled, polled for nothing, dropped, cancelled, and kept for a while after
//! they are done. As long as something is there and somebody waits for it, somebody is woken; and no buffer of the pool is lost.

use std::{
    future::Future,
    io::Write,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use pike::{Notifier, buf::Owned};

use crate::{
    Cx, Outcome, Rng, Task,
    net::{self, v4},
};

/// An owned receive that may be cancelled, and stays where it is when it is done.
struct Kept<'a> {
    owned: Pin<Box<Owned<'a, usize, Vec<u8>>>>,
    is_cancelled: Arc<AtomicBool>,
}

impl Future for Kept<'_> {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        if self.is_cancelled.load(SeqCst) {
            self.owned.as_mut().cancel();
        }
        self.owned.as_mut().poll(cx).map(|(result, _)| result.unwrap_or(0))
    }
}

/// One receive: how many bytes it took.
struct Receiver<'a> {
    task: Task<'a, usize>,
    takes: bool,
    cancel: Arc<AtomicBool>,
}

impl<'a> Receiver<'a> {
    fn takes(future: impl Future<Output = usize> + Send + 'a) -> Self {
        Self { task: Task::new(future), takes: true, cancel: Arc::default() }
    }

    fn looks(future: impl Future<Output = ()> + Send + 'a) -> Self {
        let task = Task::new(async {
            future.await;
            0
        });
        Self { task, takes: false, cancel: Arc::default() }
    }

    fn owned(owned: Owned<'a, usize, Vec<u8>>) -> Self {
        let cancel = Arc::<AtomicBool>::default();
        let kept = Kept { owned: Box::pin(owned), is_cancelled: Arc::clone(&cancel) };
        Self { task: Task::new(kept), takes: true, cancel }
    }

    fn poll(&mut self) -> usize {
        match self.task.is_done() {
            true => 0,
            false => match self.task.poll() {
                Poll::Ready(count) => count,
                Poll::Pending => 0,
            },
        }
    }
}

/// Some steps with one socket. `new` makes a receive of one of eight forms, `send` has something arrive for them.
fn mix<'a>(
    cx: &Cx,
    notifier: &Notifier,
    rng: &mut Rng,
    new: impl Fn(usize) -> Receiver<'a>,
    mut send: impl FnMut(usize),
) {
    let (mut receivers, mut sent, mut got) = (Vec::<Receiver<'_>>::new(), 0, 0);
    for _ in 0..60 {
        let at = rng.below(receivers.len().max(1));
        match (rng.below(12), receivers.get_mut(at)) {
            (0 | 1, _) => {
                let count = 1 + rng.below(3);
                send(count);
                sent += count;
            }
            (2..=6, _) => {
                let mut receiver = new(rng.below(8));
                got += if rng.one_in(10) { 0 } else { receiver.poll() };
                receivers.push(receiver);
            }
            (7, Some(_)) => drop(receivers.remove(at)),
            (8, Some(receiver)) => {
                receiver.cancel.store(true, SeqCst);
                got += receiver.poll();
            }
            (9, Some(receiver)) => got += receiver.poll(),
            (10, _) => drop(notifier.poll(Some(Duration::ZERO)).unwrap()),
            _ => got += settle(cx, notifier, &mut receivers, sent - got),
        }
    }
    settle(cx, notifier, &mut receivers, sent - got);
}

/// Lets all go on that are woken, until nobody who takes anything waits, or nothing is left. How many bytes they took.
fn settle(cx: &Cx, notifier: &Notifier, receivers: &mut [Receiver<'_>], left: usize) -> usize {
    let mut got = 0;
    loop {
        for receiver in receivers.iter_mut().filter(|receiver| receiver.task.is_woken()) {
            got += receiver.poll();
        }
        let is_waited_for = receivers
            .iter()
            .any(|receiver| receiver.takes && receiver.task.polls() > 0 && !receiver.task.is_done());
        if got == left || !is_waited_for {
            return got;
        }
        cx.check_time("nobody is woken, though somebody waits and something is there");
        notifier.poll(Some(Duration::from_millis(20))).unwrap();
    }
}

/// Takes all buffers of the pool by receives of another socket.
fn take_all_buffers(cx: &Cx, notifier: &Notifier, count: usize, len: usize) {
    cx.settle(notifier); // what was dropped has given its buffer back
    let (stream, mut peer) = net::with_peer(cx, notifier);
    peer.write_all(&vec![0; len * (count + 1)]).unwrap();
    let mut leases = Vec::new();
    while leases.len() < count {
        let mut receiving = Task::new(stream.recv_pooled());
        leases.push(loop {
            if let Poll::Ready(lease) = receiving.poll() {
                break lease.unwrap();
            }
            cx.turn_until(notifier, "a buffer of the pool", || receiving.is_woken());
        });
    }
}

/// Of a stream.
pub fn kept_receives_of_a_stream(cx: &Cx) -> Outcome {
    let mut rng = Rng::new();
    for round in 0..cx.rounds(90) {
        let count = [4, 16, 40][round % 3]; // too few to share with the kernel, just enough, and more
        let notifier = cx.opened(cx.builder().buffers(count, 64).build().unwrap());
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        let new = |form| match form {
            0 => Receiver::takes(async { stream.read(&mut [0; 2]).await.unwrap() }),
            1 => Receiver::takes(async { stream.recv_pooled().await.unwrap().len() }),
            2 => Receiver::takes(async { stream.recv_with(|bytes| bytes.len()).await.unwrap() }),
            3 => Receiver::looks(async { stream.readable().await.unwrap() }),
            4 => Receiver::looks(async { _ = stream.peek(&mut [0; 2]).await.unwrap() }),
            _ => Receiver::owned(stream.read_owned(Vec::with_capacity(2))),
        };
        mix(cx, &notifier, &mut rng, new, |count| peer.write_all(&vec![1; count]).unwrap());
        drop(stream);
        take_all_buffers(cx, &notifier, count, 64);
    }
    Ok(())
}

/// Of datagrams.
pub fn kept_receives_of_datagrams(cx: &Cx) -> Outcome {
    let mut rng = Rng::new();
    for round in 0..cx.rounds(90) {
        let count = [4, 16, 40][round % 3];
        let notifier = cx.opened(cx.builder().buffers(count, 64).build().unwrap());
        let socket = net::udp(&notifier, v4());
        let (peer, to) = (std::net::UdpSocket::bind(v4()).unwrap(), socket.local_addr().unwrap());
        let new = |form| match form {
            0 => Receiver::takes(async { socket.recv(&mut [0; 2]).await.unwrap() }),
            1 => Receiver::takes(async { socket.recv_pooled().await.unwrap().len() }),
            2 => Receiver::takes(async { socket.recv_from_pooled().await.unwrap().0.len() }),
            3 => Receiver::looks(async { socket.readable().await.unwrap() }),
            4 => Receiver::looks(async { _ = socket.peek(&mut [0; 2]).await.unwrap() }),
            5 => Receiver::takes(async { socket.recv_from_owned(Vec::with_capacity(2)).await.0.unwrap().0 }),
            _ => Receiver::owned(socket.recv_owned(Vec::with_capacity(2))),
        };
        mix(cx, &notifier, &mut rng, new, |count| {
            (0..count).for_each(|_| assert_eq!(peer.send_to(b"x", to).unwrap(), 1));
        });
        drop(socket);
        take_all_buffers(cx, &notifier, count, 64);
    }
    Ok(())
}
