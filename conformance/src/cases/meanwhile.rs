//! What the caller's own code does in the middle of an operation that owns its buffer: nothing is stuck by it.

use std::{
    future::Future,
    io::{ErrorKind, Read, Write},
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use pike::{
    Closed, Notifier,
    buf::{IoBuf, IoBufMut},
    net::TcpStream,
};

use crate::{
    Cx, Outcome, Task,
    net::{self, soon},
};

/// A buffer beside something that does what it does when the buffer is dropped.
struct Watched<T>(Vec<u8>, T);

impl<T: Send + 'static> IoBuf for Watched<T> {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<T: Send + 'static> IoBufMut for Watched<T> {
    fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0.room()
    }

    #[allow(unsafe_code)]
    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: what `room` returned last.
        unsafe { self.0.filled(count) };
    }
}

/// A socket that is cancelled while an operation looks at its buffer, after it has seen that the socket was open: it ends, and
/// gives the buffer back.
pub fn cancel_while_it_begins(cx: &Cx) -> Outcome {
    struct Cancels {
        bytes: Vec<u8>,
        stream: Arc<TcpStream>,
        /// At how many looks from now on.
        at: Arc<AtomicUsize>,
    }
    impl Cancels {
        fn look(&self) {
            if self.at.load(SeqCst) > 0 && self.at.fetch_sub(1, SeqCst) == 1 {
                self.stream.socket().cancel();
            }
        }
    }
    impl IoBuf for Cancels {
        fn bytes(&self) -> &[u8] {
            self.look();
            &self.bytes
        }
    }
    impl IoBufMut for Cancels {
        fn room(&mut self) -> &mut [MaybeUninit<u8>] {
            self.look();
            self.bytes.room()
        }

        #[allow(unsafe_code)]
        unsafe fn filled(&mut self, count: usize) {
            // SAFETY: what `room` returned last.
            unsafe { self.bytes.filled(count) };
        }
    }

    let notifier = cx.notifier();
    // An attempt looks first, and what hands the buffer to the kernel after it.
    for look in 1..=2 {
        for reads in [true, false] {
            let (stream, _peer) = net::with_peer(cx, &notifier);
            let (stream, at) = (Arc::new(stream), Arc::new(AtomicUsize::new(0)));
            if !reads {
                cx.fill_stream(&stream);
            }
            let buf = Cancels { bytes: vec![0; 16], stream: Arc::clone(&stream), at: Arc::clone(&at) };
            let mut task = match reads {
                true => Task::new(stream.read_owned(buf)),
                false => Task::new(stream.write_owned(buf)),
            };
            at.store(look, SeqCst);
            let (result, buf) = match task.poll() {
                Poll::Ready(output) => output,
                Poll::Pending if at.load(SeqCst) > 0 => continue, // it looks less often here
                Poll::Pending => net::finish(cx, &notifier, "a cancelled operation", &mut task),
            };
            assert!(Closed::is(&result.unwrap_err()), "look {look}, reads {reads}");
            assert_eq!(buf.bytes.capacity(), 16);
        }
    }
    Ok(())
}

/// A buffer whose destructor panics, of an operation that was dropped before and after the kernel was done: the panic comes
/// out, and others go on reading and writing.
pub fn buffer_that_panics_when_dropped(cx: &Cx) -> Outcome {
    struct Bomb(Arc<AtomicBool>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0.swap(false, SeqCst), "in the buffer's destructor");
        }
    }

    let notifier = cx.notifier();
    for done_before in [true, false] {
        let (stream, mut peer) = net::with_peer(cx, &notifier);
        let armed = Arc::new(AtomicBool::new(false));
        let reading =
            Task::pending(stream.read_owned(Watched(Vec::with_capacity(8), Bomb(Arc::clone(&armed)))));
        cx.settle(&notifier);
        if done_before {
            peer.write_all(b"a").unwrap();
            cx.turn_until(&notifier, "a receive", || reading.is_woken());
        }
        armed.store(true, SeqCst);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(reading)));
        let mut panics = usize::from(dropped.is_err());
        while armed.load(SeqCst) {
            let turn = AssertUnwindSafe(|| notifier.poll(Some(Duration::from_millis(20))));
            panics += usize::from(catch_unwind(turn).is_err());
            cx.check_time("the buffer is never dropped");
        }
        assert_eq!(panics, 1);
        if !done_before {
            peer.write_all(b"a").unwrap();
        }
        let mut byte = [0];
        assert_eq!(soon(&notifier, "a read after that", stream.read(&mut byte)).unwrap(), 1);
        assert_eq!(byte, *b"a");
        // And of its own kind.
        peer.write_all(b"b").unwrap();
        assert_eq!(soon(&notifier, "another", stream.read_owned(Vec::with_capacity(8))).1, b"b");
    }

    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let armed = Arc::new(AtomicBool::new(false));
    let mut sent = cx.fill_up(&notifier, &stream);
    let writing = Task::pending(stream.write_owned(Watched(b"never".to_vec(), Bomb(Arc::clone(&armed)))));
    cx.settle(&notifier);
    armed.store(true, SeqCst);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(writing)));
    while armed.load(SeqCst) {
        let _ = catch_unwind(AssertUnwindSafe(|| notifier.poll(Some(Duration::from_millis(20)))));
        cx.check_time("the buffer is never dropped");
    }
    peer.set_read_timeout(Some(net::LIMIT)).unwrap();
    let mut buf = vec![0; 64 * 1024];
    while sent > 0 {
        sent -= peer.read(&mut buf).unwrap();
    }
    soon(&notifier, "a write after that", stream.write_all(b"end")).unwrap();
    let mut end = [0; 3];
    peer.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"end");
    Ok(())
}

/// A buffer that shows another memory at each call, and notes in good faith what it is told of the last one: no byte counts as
/// received that was not.
pub fn buffer_that_moves_is_told_the_truth(cx: &Cx) -> Outcome {
    struct Moving {
        places: [Box<[u8]>; 2],
        shown: usize,
        /// Of the place that was shown last, how many bytes are said to have come.
        told: usize,
    }
    impl IoBuf for Moving {
        fn bytes(&self) -> &[u8] {
            &[]
        }
    }
    impl IoBufMut for Moving {
        fn room(&mut self) -> &mut [MaybeUninit<u8>] {
            self.shown = (self.shown + 1) % 2;
            self.places[self.shown].room()
        }

        #[allow(unsafe_code)]
        unsafe fn filled(&mut self, count: usize) {
            self.told = count;
            let here = &self.places[self.shown][..count];
            assert!(here.iter().all(|&byte| byte == b'x'), "told of bytes that never came: {here:?}");
        }
    }

    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    let moving = Moving { places: [(); 2].map(|()| vec![0; 8].into_boxed_slice()), shown: 0, told: 0 };
    let mut reading = Task::pending(stream.read_exact_owned(moving));
    for _ in 0..8 {
        peer.write_all(b"x").unwrap();
        cx.turn_until(&notifier, "a byte", || reading.is_woken());
        if let Poll::Ready((result, moving)) = reading.poll() {
            assert_eq!(result.unwrap(), moving.told, "no more than it has");
            return Ok(());
        }
    }
    panic!("it has filled a buffer that forgets what it is given");
}

/// A future that is leaked leaves its buffer to the kernel. If the socket is dropped and the kernel is done, it is dropped
/// after the turn has left the seat, as code of others always is.
pub fn buffer_of_a_leaked_future(cx: &Cx) -> Outcome {
    struct Turns(Notifier, Arc<Mutex<Vec<ErrorKind>>>);
    impl Drop for Turns {
        fn drop(&mut self) {
            self.1
                .lock()
                .unwrap()
                .extend(self.0.poll(Some(Duration::ZERO)).map_err(|error| error.kind()).err());
        }
    }

    let notifier = cx.notifier();
    for reads in [true, false] {
        let (stream, _peer) = net::with_peer(cx, &notifier);
        let errors = Arc::default();
        let buf = Watched(vec![0; 8], Turns(notifier.clone(), Arc::clone(&errors)));
        if reads {
            Task::pending(stream.read_owned(buf)).forget();
        } else {
            cx.fill_up(&notifier, &stream);
            Task::pending(stream.write_owned(buf)).forget();
        }
        cx.settle(&notifier);
        assert!(errors.lock().unwrap().is_empty());
        drop(stream);
        cx.settle(&notifier);
        // A backend that reports readiness has no part in the buffer, which is leaked with the future.
        assert!(
            !errors.lock().unwrap().contains(&ErrorKind::ResourceBusy),
            "dropped on the seat, reads: {reads}"
        );
    }
    Ok(())
}

/// An operation that waited behind another is cancelled, gives its buffer back, and is kept for a while: the wake that comes
/// next is for who waits behind it.
pub fn cancelled_and_kept_takes_no_wake(cx: &Cx) -> Outcome {
    let notifier = cx.notifier();
    let (stream, mut peer) = net::with_peer(cx, &notifier);
    cx.settle(&notifier);
    let mut byte = [0];
    let first = Task::pending(stream.read(&mut byte));
    let mut kept = pin!(stream.read_owned(Vec::with_capacity(1)));
    assert!(kept.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut last = Task::pending(stream.read_owned(Vec::with_capacity(1)));
    kept.as_mut().cancel();
    let Poll::Ready((result, _)) = kept.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it was cancelled");
    };
    assert!(Closed::is(&result.unwrap_err()));
    drop(first);
    cx.settle(&notifier);
    peer.write_all(b"x").unwrap();
    cx.turn_until(&notifier, "the byte for the last", || last.is_woken());
    assert_eq!(net::finish(cx, &notifier, "the last", &mut last).1, b"x");
    Ok(())
}
