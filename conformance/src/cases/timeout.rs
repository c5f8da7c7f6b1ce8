//! A limit of time on a future.

use std::{
    future::{pending, poll_fn, ready},
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use futures_lite::future::{self, zip};
use pike::{
    net,
    time::{Deadline, Elapsed, timeout, timeout_at},
};

use super::time::{MS, on};
use crate::{Cx, LONG, Outcome, SHORT, Task};

/// `timeout` gives the future's value if that is first, also if both are ready, and `Elapsed` if not; then the future can be
/// dropped. Limits of nothing and of for ever.
pub fn timeout_of_a_future(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    notifier.block_on(async {
        assert_eq!(timeout(LONG, ready(1)).await, Ok(1));
        assert_eq!(timeout(Duration::ZERO, ready(2)).await, Ok(2));
        assert_eq!(timeout(Duration::MAX, ready(3)).await, Ok(3));
        assert_eq!(timeout_at(Instant::now() - MS.min(cx.started().elapsed()), ready(4)).await, Ok(4));
        assert_eq!(
            timeout(Duration::MAX, async {
                future::yield_now().await;
                5
            })
            .await,
            Ok(5)
        );

        let start = Instant::now();
        assert!(timeout(SHORT, pending::<()>()).await.is_err());
        assert!(start.elapsed() >= SHORT);
        assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
        // Nested: the inner one is first.
        assert!(timeout(LONG, timeout(MS, pending::<()>())).await.unwrap().is_err());
    });

    // Both ready at the same poll: the future wins. Its drop comes with the Timeout's.
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let (dropped, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (guard, gate) = (Dropped(dropped.clone()), open.clone());
    let gated = async move {
        let _guard = guard;
        poll_fn(|_| if gate.load(SeqCst) { Poll::Ready(7) } else { Poll::Pending }).await
    };
    let mut both = Task::pending(on(&notifier, || timeout(SHORT, gated)));
    cx.turn_until(&notifier, "the limit", || both.is_woken());
    open.store(true, SeqCst);
    assert_eq!(both.ready(), Ok(7));
    drop(both);
    assert!(dropped.load(SeqCst));
    let elapsed = notifier.block_on(timeout(Duration::ZERO, pending::<()>())).unwrap_err();
    assert!(!elapsed.to_string().is_empty());
    assert!(Elapsed::is(&elapsed.into()));
    Ok(())
}

/// The Deadline trait on socket operations: `TimedOut` without an OS code when the time is up, which loses nothing; the
/// operation's own result when that is first.
pub fn deadline_trait(cx: &Cx) -> Outcome {
    #[track_caller]
    fn check<T: std::fmt::Debug>(start: Instant, result: io::Result<T>) {
        let error = result.unwrap_err();
        assert!(start.elapsed() >= SHORT, "early");
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::TimedOut, None));
        assert!(Elapsed::is(&error) && !pike::Closed::is(&error));
    }
    let notifier = cx.notifier();
    let (stream, mut peer) = cx.stream(&notifier);
    let mut buf = [0; 16];
    notifier.block_on(async {
        let start = Instant::now();
        check(start, stream.read(&mut buf).timeout(SHORT).await);
        let start = Instant::now();
        check(start, stream.read(&mut buf).deadline(start + SHORT).await);
        let start = Instant::now();
        check(start, stream.readable().timeout(SHORT).await);
        peer.write_all(b"late").unwrap();
        assert_eq!(stream.read(&mut buf).timeout(LONG).await.unwrap(), 4);
        assert_eq!(&buf[..4], b"late");

        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        check(start, listener.accept().timeout(SHORT).await);
        let address = listener.local_addr().unwrap();
        let connecting = net::TcpStream::connect(address).timeout(LONG);
        let (connected, accepted) = zip(connecting, listener.accept().deadline(Instant::now() + LONG)).await;
        assert_eq!(connected.unwrap().local_addr().unwrap(), accepted.unwrap().1);

        let udp = net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        check(start, udp.recv_from(&mut buf).timeout(SHORT).await);
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.send_to(b"datagram", udp.local_addr().unwrap()).unwrap();
        let from = udp.recv_from(&mut buf).timeout(LONG).await.unwrap();
        assert_eq!(from, (8, sender.local_addr().unwrap()));

        // An error of the operation's own is not the deadline's.
        drop(listener);
        let refused = net::TcpStream::connect(address).timeout(LONG).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(refused.raw_os_error().is_some() && !Elapsed::is(&refused));
    });

    // Timed out just when bytes come, again and again: not one is lost.
    let sent = Arc::new(AtomicUsize::new(0));
    let (count, total) = (sent.clone(), cx.rounds(1000));
    let sender = thread::spawn(move || {
        for n in 0..total {
            peer.write_all(&[n as u8]).unwrap();
            count.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_micros(n as u64 % 7 * 30));
        }
    });
    let mut received = 0;
    notifier.block_on(async {
        while received < total {
            match stream.read(&mut buf).timeout(Duration::from_micros(received as u64 % 5 * 30)).await {
                Ok(0) => panic!("end of file"),
                Ok(n) => {
                    buf[..n].iter().for_each(|&byte| {
                        assert_eq!(byte, received as u8, "a byte is lost");
                        received += 1;
                    });
                }
                Err(error) => {
                    assert!(Elapsed::is(&error));
                    future::yield_now().await;
                }
            }
        }
    });
    sender.join().unwrap();
    assert_eq!(sent.load(SeqCst), total);
    Ok(())
}
