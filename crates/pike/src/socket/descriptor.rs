//! A socket's descriptor, which closes without blocking.
//!
//! close(2) of a socket that lingers waits for its peer, non-blocking or not; so such a socket is closed by a helper
//! thread. That it may linger is known: pike set it, or asked when it took the socket over.

use std::{
    io,
    mem::ManuallyDrop,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{blocking, op::lane::Lane, sys::platform};

#[derive(Debug)]
pub(crate) struct Descriptor {
    owned: ManuallyDrop<platform::Owned>,
    lingers: AtomicBool,
    /// What the kernel does for the socket, once it does something.
    lane: OnceLock<Arc<Lane>>,
}

impl Descriptor {
    pub(crate) fn new(owned: platform::Owned, lingers: bool) -> Self {
        Self { owned: ManuallyDrop::new(owned), lingers: AtomicBool::new(lingers), lane: OnceLock::new() }
    }

    /// One that somebody else may have made linger.
    pub(crate) fn foreign(owned: platform::Owned) -> Self {
        let lingers = platform::lingers(&owned);
        Self::new(owned, lingers)
    }

    #[inline]
    pub(crate) fn lane(&self) -> Option<&Arc<Lane>> {
        self.lane.get()
    }

    pub(crate) fn lane_or(&self, make: impl FnOnce() -> Arc<Lane>) -> &Arc<Lane> {
        self.lane.get_or_init(make)
    }

    pub(crate) fn owned(&self) -> &platform::Owned {
        &self.owned
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    pub(crate) fn set_lingers(&self, lingers: bool) {
        self.lingers.store(lingers, Ordering::Relaxed);
    }

    pub(crate) fn into_owned(self) -> platform::Owned {
        self.into_parts().0
    }

    fn into_parts(self) -> (platform::Owned, Option<Arc<Lane>>) {
        let mut this = ManuallyDrop::new(self);
        let lane = this.lane.take();
        // SAFETY: `this` is not dropped, so it is taken once.
        #[allow(unsafe_code)]
        let owned = unsafe { ManuallyDrop::take(&mut this.owned) };
        (owned, lane)
    }

    /// Closes it, and says what the system said. If the kernel still does something for the socket it is closed after
    /// that, and nobody is told.
    pub(crate) async fn close(self) -> io::Result<()> {
        let lingers = self.lingers();
        let (owned, lane) = self.into_parts();
        let owned = match lane {
            None => owned,
            Some(lane) => match lane.close(owned, lingers) {
                Some(owned) => owned,
                None => return Ok(()),
            },
        };
        if lingers { blocking::run(move || platform::close(owned)).await? } else { platform::close(owned) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: taken once, here, since `into_parts` forgets the rest.
        #[allow(unsafe_code)]
        let owned = unsafe { ManuallyDrop::take(&mut self.owned) };
        let lingers = self.lingers();
        let owned = match self.lane.take() {
            None => owned,
            Some(lane) => match lane.close(owned, lingers) {
                Some(owned) => owned,
                None => return,
            },
        };
        if lingers {
            // No helper to be had: closing here may block, but losing the descriptor would be worse.
            if let Err(close) = blocking::run_detached(move || drop(owned)) {
                close();
            }
        }
    }
}
