//! The address that a datagram of a Unix socket goes to, while its operation is not done: in a box, since it is larger than
//! all else that an operation has. Boxes are used again, so that none of these operations allocates.

use std::{fmt, mem::ManuallyDrop, sync::Arc};

use crate::{notifier::core::Core, socket::Address, sync::Mutex};

/// So many boxes are kept; what is more is freed.
const SPARES_MAX: usize = 64;

/// Boxes that nobody has any more, of one Notifier.
#[derive(Debug)]
#[allow(clippy::vec_box, reason = "the boxes are what is kept")]
pub(crate) struct Names(Mutex<Vec<Box<Address>>>);

impl Names {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

pub(super) struct Name {
    address: ManuallyDrop<Box<Address>>,
    core: Arc<Core>,
}

impl Name {
    pub(super) fn new(core: &Arc<Core>, address: Address) -> Self {
        let spare = if core.is_forked() { None } else { core.spare_names().0.lock().pop() };
        let address = match spare {
            Some(mut spare) => {
                *spare = address;
                spare
            }
            None => Box::new(address),
        };
        Self { address: ManuallyDrop::new(address), core: Arc::clone(core) }
    }

    pub(super) fn address(&self) -> Address {
        **self.address
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        #[allow(unsafe_code)]
        let address = unsafe { ManuallyDrop::take(&mut self.address) };
        if self.core.is_forked() {
            return; // the lock may be held for ever (I14)
        }
        let mut spares = self.core.spare_names().0.lock();
        if spares.len() < SPARES_MAX {
            spares.push(address);
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}
