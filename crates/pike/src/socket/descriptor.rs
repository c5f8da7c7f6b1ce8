//! A socket's descriptor, which closes without blocking.
//!
//! close(2) of a socket that lingers waits for its peer, non-blocking or not; so such a socket is closed by a helper
//! thread. That it may linger is known: pike set it, or asked when it took the socket over.

use std::{
    io,
    mem::ManuallyDrop,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{blocking, sys::platform};

#[derive(Debug)]
pub(crate) struct Descriptor {
    owned: ManuallyDrop<platform::Owned>,
    lingers: AtomicBool,
}

impl Descriptor {
    pub(crate) fn new(owned: platform::Owned, lingers: bool) -> Self {
        Self { owned: ManuallyDrop::new(owned), lingers: AtomicBool::new(lingers) }
    }

    /// One that somebody else may have made linger.
    pub(crate) fn foreign(owned: platform::Owned) -> Self {
        let lingers = platform::lingers(&owned);
        Self::new(owned, lingers)
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
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so it is taken once.
        #[allow(unsafe_code)]
        unsafe {
            ManuallyDrop::take(&mut this.owned)
        }
    }

    /// Closes it, and says what the system said.
    pub(crate) async fn close(self) -> io::Result<()> {
        let lingers = self.lingers();
        let owned = self.into_owned();
        if lingers { blocking::run(move || platform::close(owned)).await? } else { platform::close(owned) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: taken once, here, since `into_owned` forgets the rest.
        #[allow(unsafe_code)]
        let owned = unsafe { ManuallyDrop::take(&mut self.owned) };
        if self.lingers() {
            // No helper to be had: closing here may block, but losing the descriptor would be worse.
            if let Err(close) = blocking::run_detached(move || drop(owned)) {
                close();
            }
        }
    }
}
