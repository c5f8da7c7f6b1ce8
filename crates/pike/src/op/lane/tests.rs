//! A child of a fork touches no lock of a lane: a thread that the child does not have may hold it (I14).

use std::{
    net::{TcpListener, TcpStream},
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    thread,
};

use super::Carries;
use crate::{Backend, Closed, Notifier, net};

/// Asserts that `holds` in a child, soon.
#[allow(unsafe_code)]
fn assert_in_child(holds: impl FnOnce() -> bool) {
    // SAFETY: what the child uses is made for that, and it ends below without running another destructor.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: takes no pointer. It ends a child that hangs.
        unsafe { libc::alarm(10) };
        // A panic would end this thread, the child's last, and the child with success.
        let holds = panic::catch_unwind(AssertUnwindSafe(holds)).unwrap_or(false);
        // SAFETY: ends the process at once.
        unsafe { libc::_exit((!holds).into()) };
    }
    let mut status = -1;
    // SAFETY: a child of ours, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "14: it hangs");
}

fn is_closed<T>(polled: &Poll<std::io::Result<T>>) -> bool {
    matches!(polled, Poll::Ready(Err(error)) if Closed::is(error))
}

/// A stream on a ring, and its peer.
fn stream() -> (Notifier, net::TcpStream, TcpStream) {
    let notifier = Notifier::builder().backend(Backend::IoUring).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let stream = {
        let _here = notifier.enter();
        net::TcpStream::from_std(listener.accept().unwrap().0).unwrap()
    };
    (notifier, stream, peer)
}

/// Another thread was just taking a spare lane.
#[test]
fn a_child_takes_no_lane() {
    let (notifier, stream, _peer) = stream();
    let taking = stream.socket().core().spare_lanes().0.lock();
    assert_in_child(|| {
        let written = pin!(stream.write_owned(vec![1])).poll(&mut Context::from_waker(Waker::noop()));
        is_closed(&written.map(|(result, _)| result))
    });
    drop(taking);
    drop(notifier);
}

/// Another thread was just making the lane, which every other waits for.
#[test]
fn a_child_waits_for_no_lane() {
    let (notifier, stream, _peer) = stream();
    let descriptor = stream.socket().descriptor();
    let (is_making, making) = mpsc::channel();
    let (goes_on, waits) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let registration = stream.socket().handle().registration();
        scope.spawn(move || {
            descriptor.lane_or(|| {
                is_making.send(()).unwrap();
                let _ = waits.recv();
                registration.new_lane(Carries::Stream)
            });
        });
        making.recv().unwrap();
        assert_in_child(|| {
            let written = pin!(stream.write_owned(vec![1])).poll(&mut Context::from_waker(Waker::noop()));
            is_closed(&written.map(|(result, _)| result))
        });
        drop(goes_on);
    });
    drop(notifier);
}

/// Another thread was just looking at what one receive came to, which a pooled one waits for.
#[test]
fn a_child_looks_at_no_receive() {
    let (notifier, stream, _peer) = stream();
    let mut context = Context::from_waker(Waker::noop());
    let mut receives = pin!(stream.read_owned(Vec::with_capacity(8)));
    assert!(receives.as_mut().poll(&mut context).is_pending());
    let lane = stream.socket().native_lane().unwrap();
    assert!(lane.is_in_flight());
    let state = lane.state.lock();
    assert_in_child(|| is_closed(&pin!(stream.recv_pooled()).poll(&mut Context::from_waker(Waker::noop()))));
    drop(state);
    drop(notifier);
}

/// The fork was within a waker, and the lane's own is woken behind it.
#[test]
fn a_child_drops_no_buffer() {
    let (notifier, stream, _peer) = stream();
    let lane = stream.socket().native_lane().unwrap();
    let (waker, state) = (Waker::from(Arc::clone(lane)), lane.state.lock());
    assert_in_child(move || {
        waker.wake();
        true
    });
    drop(state);
    drop(notifier);
}
