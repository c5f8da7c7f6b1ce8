//! Which Notifier a type belongs to that is made without naming one.

use std::{cell::RefCell, io, marker::PhantomData, sync::Arc};

use super::{Notifier, core::Core};

thread_local! {
    /// The Notifiers this thread entered, innermost last, each with the number of its guard.
    static ENTERED: RefCell<Entered> = const { RefCell::new(Entered { stack: Vec::new(), next: 0 }) };
}

struct Entered {
    stack: Vec<(u64, Arc<Core>)>,
    next: u64,
}

/// Makes a Notifier the thread's current one until it is dropped. See [`Notifier::enter`].
#[derive(Debug)]
#[must_use = "the Notifier is current only while the guard lives"]
pub struct Enter<'a> {
    /// None if nothing was put on the stack.
    number: Option<u64>,
    /// Borrows the Notifier, and stays on its thread.
    _here: PhantomData<(&'a Notifier, *const ())>,
}

impl<'a> Enter<'a> {
    pub(super) fn new(core: &'a Arc<Core>) -> Self {
        let number = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            let number = entered.next;
            entered.next += 1;
            entered.stack.push((number, Arc::clone(core)));
            number
        });
        // A thread that is going away has no current Notifier any more.
        Self { number: number.ok(), _here: PhantomData }
    }

    /// Does nothing if the Notifier is the current one already, as in every turn of `block_on`.
    #[inline]
    pub(super) fn unless_current(core: &'a Arc<Core>) -> Self {
        let is_current = ENTERED.try_with(|entered| {
            entered.borrow().stack.last().is_some_and(|(_, current)| Arc::ptr_eq(current, core))
        });
        match is_current {
            Ok(false) => Self::new(core),
            _ => Self { number: None, _here: PhantomData },
        }
    }
}

impl Drop for Enter<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            // Guards may be dropped in any order. The core is dropped after the borrow.
            let left = ENTERED.try_with(|entered| {
                let stack = &mut entered.borrow_mut().stack;
                let at = stack.iter().rposition(|(entered, _)| *entered == number);
                at.map(|at| stack.remove(at))
            });
            drop(left);
        }
    }
}

/// The innermost Notifier that this thread entered.
pub(crate) fn current() -> Option<Arc<Core>> {
    ENTERED.try_with(|entered| entered.borrow().stack.last().map(|(_, core)| Arc::clone(core))).ok().flatten()
}

/// The current one, or else the shared one in the background, which starts at first need.
pub(crate) fn current_or_background() -> io::Result<Arc<Core>> {
    match current() {
        Some(core) => Ok(core),
        None => background(),
    }
}

/// The shared one in the background.
pub(crate) fn background() -> io::Result<Arc<Core>> {
    Ok(Arc::clone(&super::background::background()?.core))
}
