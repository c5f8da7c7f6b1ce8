//! What the kernel does by itself for a Handle's descriptor: reads and writes of owned buffers, on a backend that completes.
//!
//! The requests name a duplicate. The type that a Handle wraps closes its own descriptor whenever it is dropped, and a request
//! that names a number which was closed and given out again would read from a stranger; the duplicate is ours, and closed
//! once nothing names it (I12). It costs a descriptor for each Handle that has such operations.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use super::Attached;
use crate::{
    Interest,
    op::lane::{Lane, Undelivered},
    socket::Descriptor,
    sys::platform::{self, IoSafe},
};

/// Nothing before the first operation; and then none if it is not for the kernel to do.
#[derive(Debug, Default)]
pub(super) struct Requests(OnceLock<Option<Descriptor>>);

impl Requests {
    /// Where the kernel has a place for them, if it has.
    pub(super) fn lane<T: IoSafe>(&self, attached: &Attached<T>) -> Option<&Arc<Lane>> {
        let registration = attached.registration();
        // In a child of a fork a thread that it does not have may be making it for ever (I14).
        if !registration.core().is_native() || registration.core().is_forked() {
            return None;
        }
        let make = || platform::own_for_requests(attached.get_ref()).map(|own| Descriptor::new(own, false));
        let own = self.0.get_or_init(make).as_ref()?;
        Some(own.lane_or(|| registration.new_lane_of(platform::raw(own))))
    }

    fn begun(&self) -> Option<&Arc<Lane>> {
        self.0.get()?.as_ref()?.lane()
    }

    /// For an attempt of the caller's own: see [`Lane::make_way`].
    #[inline]
    pub(super) fn step_aside(&self, interest: Interest) -> io::Result<()> {
        self.begun().map_or(Ok(()), |lane| lane.make_way(interest))
    }

    pub(super) fn cancel(&self) {
        if let Some(lane) = self.begun().filter(|lane| !lane.is_forked()) {
            lane.cancel();
        }
    }

    /// Ends them, and says what they brought for nobody. Not in a child of a fork: what has arrived is the parent's (I14).
    pub(super) fn end(&self) -> Undelivered {
        match self.begun() {
            Some(lane) if !lane.is_forked() => {
                lane.end();
                lane.take_undelivered()
            }
            _ => Undelivered::default(),
        }
    }
}

/// The Handle's own descriptor is open still.
impl Drop for Requests {
    fn drop(&mut self) {
        if let Some(Some(own)) = self.0.take() {
            own.close_duplicate();
        }
    }
}
