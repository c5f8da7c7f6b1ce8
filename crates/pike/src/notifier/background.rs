//! The Notifier that is there when no other is: one a process, turned by a thread of its own.

use std::{
    future::poll_fn,
    io, ptr,
    sync::atomic::{AtomicPtr, Ordering},
    task::Poll,
};

use super::{Notifier, contain_panics, end::GRACE};
use crate::sys::platform;

/// The process's background Notifier, or null. What it points at is never freed: a child of a fork makes its own and
/// leaves the parent's alone (I14), and sockets everywhere may refer to it until the process ends.
static BACKGROUND: AtomicPtr<Notifier> = AtomicPtr::new(ptr::null_mut());

/// The shared background Notifier, made at the first call. No lock: one held during a fork would stay held in the child.
#[allow(unsafe_code)]
pub(super) fn background() -> io::Result<&'static Notifier> {
    loop {
        let at = BACKGROUND.load(Ordering::Acquire);
        // SAFETY: null, or leaked by `start` and never freed.
        match unsafe { at.as_ref() } {
            Some(notifier) if !notifier.core.is_forked() && !notifier.core.is_closed() => {
                return Ok(notifier);
            }
            // None yet, a parent's, or one that somebody has shut down.
            _ => start(at)?,
        }
    }
}

/// Puts a new one in the place of `old`, unless another thread was faster.
#[allow(unsafe_code)]
fn start(old: *mut Notifier) -> io::Result<()> {
    let notifier = Notifier::builder().build_default()?;
    let turned = notifier.clone();
    let new = Box::into_raw(Box::new(notifier));
    match BACKGROUND.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => {
            let spawned = platform::spawn_deaf("pike-background", move || turn_while_open(&turned));
            if let Err(error) = spawned {
                // Nobody would turn it: let the next call try again. Who got hold of it meanwhile finds it closed.
                let _ =
                    BACKGROUND.compare_exchange(new, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed);
                // SAFETY: never freed, see `BACKGROUND`.
                unsafe { &*new }.core.shutdown(GRACE);
                return Err(error);
            }
        }
        // SAFETY: made above, and given to nobody.
        Err(_) => drop(unsafe { Box::from_raw(new) }),
    }
    Ok(())
}

/// Until somebody shuts it down. Others may turn it too, between two of its own turns: `block_on` knows how to share. A waker
/// that panics, of whatever task, must not end the turns of all others.
fn turn_while_open(notifier: &Notifier) {
    while !notifier.core.is_closed() {
        let until_closed = poll_fn(|_| match notifier.failure() {
            Some(_) => Poll::Ready(()),
            None => Poll::Pending,
        });
        contain_panics(|| notifier.block_on(until_closed));
    }
}
