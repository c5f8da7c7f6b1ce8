//! Sockets that linger: how they end, with peers that do not read.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use pike::{
    Handle, Notifier,
    net::{self as pike_net, lookup_host},
    socket::option,
};

use crate::{
    Cx, Outcome, Task,
    net::{self, LIMIT, soon},
};

/// How long they linger: much longer than a case may take.
const LONG: Duration = Duration::from_secs(60);

/// More than a small pool of threads could wait for at once.
const STUCK: usize = 6;

/// Streams that linger with full buffers, their peers, and how much these have to read.
fn stuck(cx: &Cx, notifier: &Notifier) -> Vec<(pike_net::TcpStream, TcpStream, usize)> {
    let one = |_| {
        let (stream, peer) = net::with_peer(cx, notifier);
        // Much more than the peer's system takes while nobody reads.
        stream.socket().set(option::SendBufferSize, 1 << 20).unwrap();
        stream.set_linger(Some(LONG)).unwrap();
        let sent = cx.fill_up(notifier, &stream);
        (stream, peer, sent)
    };
    (0..STUCK).map(one).collect()
}

/// How much there is to read before the end.
#[track_caller]
fn read_to_end(peer: &mut TcpStream) -> usize {
    peer.set_read_timeout(Some(LIMIT)).unwrap();
    let (mut total, mut chunk) = (0, [0; 64 * 1024]);
    loop {
        match peer.read(&mut chunk).expect("data, or the end") {
            0 => return total,
            n => total += n,
        }
    }
}

/// A drop waits for nobody: with many peers that do not read, the peer of one more sees its end at once. What was written
/// arrives, all of it.
pub fn dropped_while_lingering(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (streams, mut peers): (Vec<_>, Vec<_>) =
        stuck(cx, &notifier).into_iter().map(|(stream, peer, sent)| (stream, (peer, sent))).unzip();
    let (healthy, mut healthy_peer) = net::with_peer(cx, &notifier);
    healthy.set_linger(Some(LONG)).unwrap();
    assert_eq!(healthy.try_write(b"last words").unwrap(), 10);
    let start = Instant::now();
    drop((streams, healthy));
    assert_eq!(read_to_end(&mut healthy_peer), 10);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    for (peer, sent) in &mut peers {
        assert_eq!(read_to_end(peer), *sent, "what was written before the drop");
    }
    Ok(())
}

/// `close` returns when the linger is over, without blocking the thread. However many wait so, the peer of one more sees
/// its end at once, and names are looked up.
pub fn closed_while_lingering(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let mut closing = Vec::new();
    for (at, (stream, peer, sent)) in stuck(cx, &notifier).into_iter().enumerate() {
        let handle = Handle::new_on(&notifier, stream.into_std().unwrap()).unwrap();
        if at % 2 == 0 {
            drop(Task::pending(handle.read_owned(vec![0; 8])));
        }
        closing.push((Task::pending(handle.close()), peer, sent));
    }
    let (healthy, mut peer) = net::with_peer(cx, &notifier);
    healthy.set_linger(Some(LONG)).unwrap();
    let healthy = Handle::new_on(&notifier, healthy.into_std().unwrap()).unwrap();
    healthy.get_ref().write_all(b"last words").unwrap();
    let mut healthy = Task::new(healthy.close());
    let _ = healthy.poll();
    assert_eq!(read_to_end(&mut peer), 10);
    peer.shutdown(Shutdown::Write).unwrap();
    if !healthy.is_done() {
        net::finish(cx, &notifier, "a close whose peer reads", &mut healthy).unwrap();
    }
    assert!(soon(&notifier, "a look-up", lookup_host("localhost:1")).unwrap().count() > 0);

    for (mut closing, mut peer, sent) in closing {
        assert!(!closing.is_woken(), "closed before its peer read");
        assert_eq!(read_to_end(&mut peer), sent, "what was written before the close");
        net::finish(cx, &notifier, "a close whose peer has read", &mut closing).unwrap();
    }
    Ok(())
}

/// A Handle changes nothing of how its socket lingers, whatever is done with it before it gives it back.
pub fn handle_lingers_as_before(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    for is_done in [false, true] {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        stream.set_linger(Some(LONG)).unwrap();
        let handle = Handle::new_on(&notifier, stream.into_std().unwrap()).unwrap();
        let mut reading = Task::pending(handle.read_owned(vec![0; 8]));
        if is_done {
            peer.write_all(b"ping").unwrap();
            let (count, _) = net::finish(cx, &notifier, "a read", &mut reading);
            assert_eq!(count.unwrap(), 4);
        }
        drop(reading);
        let _here = notifier.enter();
        let stream = pike_net::TcpStream::from_std(handle.into_inner()).unwrap();
        assert_eq!(stream.linger().unwrap(), Some(LONG), "done: {is_done}");
    }
    Ok(())
}
