//! What of a ring is left when it goes.
#![allow(unsafe_code)]

use std::{io::Write, os::unix::net::UnixStream, ptr::NonNull, sync::Weak};

use super::*;
use crate::{
    buf::{Size, Slot},
    op::block::Request,
    sys::{Completion, Report},
};

/// Takes what a wait says, which is of one block.
struct Notes(Vec<i32>);

impl Tell for Notes {
    fn ready(&mut self, report: Report) {
        panic!("nothing waits for readiness: {report:?}");
    }

    fn completed(&mut self, completion: Completion) {
        self.0.push(completion.result);
    }

    fn given_back(&mut self, _: Slot) {
        panic!("nobody asked for a buffer");
    }
}

/// A ring with a receive in flight that takes buffers of the pool, which nobody else keeps.
fn receiving() -> (Driver, Wait, Weak<Pool>, UnixStream, NonNull<Block>) {
    crate::sys::platform::watch_forks().unwrap();
    let pool = Arc::new(Pool::new(Size::default()));
    let (driver, mut wait) = Driver::new(Use::Free, &pool).unwrap();
    let (ours, peer) = UnixStream::pair().unwrap();
    // Not freed before the test has seen the end of it.
    let block = NonNull::from(Box::leak(Box::new(Block::new(true))));
    let request = Request::ReceiveMany { descriptor: std::os::fd::AsRawFd::as_raw_fd(&ours), is_late: false };
    // SAFETY: in no driver yet.
    unsafe { block.as_ref().set(request) };
    // SAFETY: there as long as the test is.
    assert!(driver.submit(unsafe { block.as_ref() }));
    driver.wait(&mut wait, Some(Duration::ZERO), &mut Notes(Vec::new())).unwrap();
    assert_eq!(wait.operations, 1);
    (driver, wait, Arc::downgrade(&pool), peer, block)
}

/// Goal: closing a ring is no barrier, so what a receive in flight may write to outlives the ring; what has ended keeps nothing.
#[test]
fn what_is_in_flight_keeps_the_pool() {
    let (driver, wait, pool, mut peer, _block) = receiving();
    drop((driver, wait));
    // For whichever buffer the kernel has chosen, or for nobody.
    let _ = peer.write_all(b"late");
    assert!(pool.upgrade().is_some(), "the kernel may write to it still");

    let (driver, mut wait, pool, _peer, block) = receiving();
    let mut ended = Vec::new();
    let left =
        driver.shutdown(&mut wait, Duration::from_secs(60), |completion| ended.push(completion.result));
    assert_eq!((left.unwrap(), &ended[..]), (0, &[-libc::ECANCELED][..]));
    drop((driver, wait));
    assert!(pool.upgrade().is_none(), "nobody needs it any more");
    // SAFETY: leaked above, and not in flight any more.
    drop(unsafe { Box::from_raw(block.as_ptr()) });
}

/// Goal: what is in the mailbox and in no queue is told as cancelled, and nothing is taken afterwards.
#[test]
fn a_shutdown_tells_what_was_never_begun() {
    let (driver, mut wait, _pool, _peer, block) = receiving();
    let late = Block::new(true);
    assert!(driver.submit(&late));
    let mut ended = Vec::new();
    let left = driver.shutdown(&mut wait, Duration::from_secs(60), |completion| {
        ended.push((completion.block, completion.result));
    });
    assert_eq!(left.unwrap(), 0);
    assert_eq!(ended, [(NonNull::from(&late), -libc::ECANCELED), (block, -libc::ECANCELED)]);
    assert!(!driver.submit(&late), "it has ended");
    assert!(driver.cancel_now(&late), "it names nothing any more");
    drop((driver, wait));
    // SAFETY: leaked by `receiving`, and not in flight any more.
    drop(unsafe { Box::from_raw(block.as_ptr()) });
}
