//! Events that end the process once their handler returns: who holds it, and how the handler is removed.

use std::time::Duration;

use loom::{
    cell::UnsafeCell,
    sync::{Arc, Mutex},
    thread,
};

use crate::signal::{Sender, heard::Heard, hold::Hold};

/// A closed console.
const KIND: usize = 2;
/// Loom's condition variable knows no time.
const LIMIT: Duration = Duration::from_secs(3600);

/// One listener, as `signal::listener` has it, and the work of a program that was told to end.
struct Shared {
    hold: Hold,
    heard: Heard,
    /// What the system holds while handlers run, are added and removed.
    console: Mutex<()>,
    work: UnsafeCell<u32>,
}

// SAFETY: who has received writes to it, and the handler reads it after; loom says if both do.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}

#[allow(unsafe_code)]
impl Shared {
    fn new() -> Arc<Self> {
        let (hold, heard) = (Hold::new(), Heard::new());
        assert!(hold.listen(KIND));
        Arc::new(Self { hold, heard, console: Mutex::new(()), work: UnsafeCell::new(0) })
    }

    /// As the system calls it. How much was done before it returned; none if nobody listened.
    fn handler(&self) -> Option<u32> {
        let _console = self.console.lock().unwrap();
        let running = self.hold.begin(KIND)?;
        // As `Listener::hear`.
        self.hold.hold(KIND);
        if !self.heard.add(Sender::UNKNOWN) {
            self.hold.release(KIND);
        }
        assert!(running.wait(LIMIT));
        // SAFETY: loom says if somebody writes at the same time.
        Some(self.work.with(|at| unsafe { *at }))
    }

    /// As a receive and the drop of what it gave. Whether there was something.
    fn receive(&self, then: impl FnOnce()) -> bool {
        let received = self.heard.take().is_some();
        if received {
            // SAFETY: as in `handler`.
            self.work.with_mut(|at| unsafe { *at += 1 });
            then();
            self.hold.release(KIND);
        }
        received
    }
}

/// An event comes, and is received, worked for and let go: the handler returns after that and not before. Caught: a
/// listener that is told first, and holds then.
#[test]
fn loom_hold_until_the_work_is_done() {
    loom::model(|| {
        let shared = Shared::new();
        let handler = {
            let shared = shared.clone();
            thread::spawn(move || shared.handler())
        };
        while !shared.receive(|| ()) {
            thread::yield_now();
        }
        assert_eq!(handler.join().unwrap(), Some(1));
    });
}

/// Two events come (a service may be told of a logoff and lives on), and are received as one or as two: no hold is left
/// over, and none is released twice. Caught: a hold for each event rather than each that a receive finds.
#[test]
fn loom_hold_of_events_that_are_one() {
    loom::model(|| {
        let shared = Shared::new();
        let handlers = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.hold.hold(KIND);
                if !shared.heard.add(Sender::UNKNOWN) {
                    shared.hold.release(KIND);
                }
            })
        });
        shared.receive(|| ());
        handlers.into_iter().for_each(|handler| handler.join().unwrap());
        shared.receive(|| ());
        assert!(shared.hold.begin(KIND).unwrap().wait(Duration::ZERO), "somebody holds it still");
    });
}

/// The last listener goes while it has received an event, and lets go of that after: it must not wait for the handler,
/// which waits for it. Caught: a handler that is removed while it runs.
#[test]
fn loom_hold_while_the_last_listener_goes() {
    loom::model(|| {
        let shared = Shared::new();
        let handler = {
            let shared = shared.clone();
            thread::spawn(move || shared.handler())
        };
        let go = || {
            if shared.hold.unlisten(KIND) {
                drop(shared.console.lock().unwrap()); // the system removes it
            }
        };
        if !shared.receive(go) {
            // It goes first, and what it was told meanwhile goes with it, as `Drop for Listener` has it.
            go();
            handler_may_have_begun(&shared);
        }
        handler.join().unwrap();
    });
}

/// What a listener that is gone was told: once no handler walks over it, which `Slots::remove` waits for.
fn handler_may_have_begun(shared: &Shared) {
    loop {
        if shared.heard.take().is_some() {
            return shared.hold.release(KIND);
        }
        // A handler that has not begun finds nobody; one that has tells the listener.
        if shared.console.try_lock().is_ok() {
            return;
        }
        thread::yield_now();
    }
}
