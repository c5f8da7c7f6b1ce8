//! What interrupts a wait: a packet that is nobody's, one however often it is asked for.

use std::sync::atomic::{AtomicBool, Ordering};

use super::port::{NOTIFY, Port};

#[derive(Debug, Default)]
pub(super) struct Notify {
    /// A packet is in the port, or about to be.
    posted: AtomicBool,
}

impl Notify {
    /// From any thread, a console handler's too.
    pub(super) fn notify(&self, port: &Port) {
        // AcqRel: whoever does not post has seen that another did, and the wait that takes that packet sees what both did.
        while !self.posted.swap(true, Ordering::AcqRel) {
            if port.post(NOTIFY).is_ok() {
                return;
            }
            // The system has no memory for a packet. A notification is never lost, so this one is made again.
            self.posted.store(false, Ordering::Release);
            std::thread::yield_now();
        }
    }

    /// By the wait that took the packet, before it returns.
    pub(super) fn taken(&self) {
        self.posted.swap(false, Ordering::AcqRel);
    }
}
