//! An owned operation where the backend completes: the kernel has the buffer, and the future waits for the result.
//!
//! `reads` and `writes` have what each kind of operation asks, and what it makes of the result.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

mod reads;
mod writes;

use super::{Carried, GivenUp, How, lane::Lane};
use crate::{
    budget,
    buf::BufResult,
    handle::{
        op::{Attempt, Work, unless_would_block},
        registration::Registration,
    },
    source::Direction,
    sys::platform,
};

const READ: Direction = Direction::Read;

type Submit<B> = fn(&Arc<Lane>, &Context<'_>, B, usize, &How) -> Result<(), B>;

/// What an operation does that the kernel may do by itself. Functions, so that the future needs to know nothing of the
/// buffer.
pub(super) struct Native<T, B> {
    direction: Direction,
    /// Has the kernel do it behind so many bytes, or gives the buffer back.
    submit: Submit<B>,
    /// Once the kernel is done: the buffer, and what it means that behind so many bytes as many more were moved.
    finish: fn(&Lane, usize, usize) -> (B, Step<T>),
    /// The buffer alone, after an error.
    take_back: fn(&Lane) -> B,
    /// The result, if nothing is left to do behind so many bytes.
    nothing_left: fn(&mut B, usize) -> Option<T>,
}

/// What a request that is done means for its operation.
enum Step<T> {
    Done(io::Result<T>),
    /// It goes on behind as many more bytes.
    Behind(usize),
}

impl<T, B> Clone for Native<T, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, B> Copy for Native<T, B> {}

/// The buffer of an operation that is done.
///
/// # Safety
///
/// The caller began it with a `B`, and has its result.
#[allow(unsafe_code)]
unsafe fn take_back<B: 'static>(lane: &Lane, direction: Direction) -> B {
    // SAFETY: passed on to the caller.
    unsafe { lane.take_back(direction, |_| ()) }
}

/// An operation that is in the kernel. Dropped, it leaves the buffer to whoever reaps it.
#[derive(Default)]
pub(crate) struct Flight(Option<(Arc<Lane>, Direction)>);

impl Flight {
    /// Of the operation that was just begun.
    pub(crate) fn of(lane: &Arc<Lane>, direction: Direction) -> Self {
        Self(Some((Arc::clone(lane), direction)))
    }

    /// The result: what the operation needed is the caller's then, who takes it back.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<i32> {
        let (lane, direction) = self.0.as_ref().expect("nothing is under way");
        match lane.poll(*direction, cx) {
            None => Poll::Pending,
            Some(result) => {
                self.0 = None; // the count of the lane only: a drop leaves nothing now
                Poll::Ready(result)
            }
        }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn cancel(&self) {
        if let Some((lane, direction)) = &self.0 {
            lane.stop(*direction);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some((lane, direction)) = self.0.take() {
            lane.leave(direction);
        }
    }
}

/// Polls it. None if it is for the loop of every operation to go on: another one is under way or waits, something has
/// arrived already, or the kernel would not wait.
pub(super) fn poll<T, B>(
    carried: &mut Carried<'_, T, B>,
    native: Native<T, B>,
    lane: &Arc<Lane>,
    registration: &Registration,
    given_up: Option<GivenUp>,
    cx: &mut Context<'_>,
) -> Poll<Option<BufResult<T, B>>> {
    let done = |result, buffer| Poll::Ready(Some((result, buffer)));
    loop {
        if carried.flight.is_under_way() {
            let result = std::task::ready!(carried.flight.poll(cx));
            carried.buffer = Some(match result {
                0.. => match (native.finish)(lane, carried.done, result as usize) {
                    (buffer, Step::Done(result)) => return done(result, buffer),
                    (mut buffer, Step::Behind(count)) => {
                        carried.done += count;
                        if let Some(result) = (native.nothing_left)(&mut buffer, carried.done) {
                            return done(Ok(result), buffer);
                        }
                        buffer
                    }
                },
                code => {
                    let buffer = (native.take_back)(lane);
                    match -code {
                        platform::CANCELLED | platform::INTERRUPTED => buffer,
                        platform::WOULD_BLOCK => {
                            carried.buffer = Some(buffer);
                            return Poll::Ready(None);
                        }
                        code => return done(Err(io::Error::from_raw_os_error(code)), buffer),
                    }
                }
            });
        }
        if let Some(reason) = given_up {
            return done(Err(reason.into()), carried.take());
        }
        let seen = registration.source().seen().with(platform::forked());
        if seen.is_closed() {
            if let Err(error) = registration.look_again() {
                return done(Err(error), carried.take());
            }
        }
        let done_before = carried.done;
        if let Some(result) = (native.nothing_left)(carried.buffer(), done_before) {
            return done(Ok(result), carried.take());
        }
        if !budget::take(cx) {
            return Poll::Pending;
        }
        // What is known to be there is taken at once, unless others came first. Once nothing is found nobody says so
        // again before somebody waits, so a reader of this kind alone goes by the kernel ever after.
        let bits = native.direction.bits();
        if native.direction == READ && seen.any(bits) && !registration.source().is_waited_for(READ) {
            match carried.attempt(seen) {
                Attempt::Done(result) => return done(Ok(result), carried.take()),
                Attempt::Drained(result) => {
                    registration.source().clear(seen, bits);
                    return done(Ok(result), carried.take());
                }
                Attempt::Failed(error) => match unless_would_block(error) {
                    Some(error) => return done(Err(error), carried.take()),
                    None => registration.source().clear(seen, bits),
                },
                Attempt::Empty => registration.source().clear(seen, bits),
                Attempt::Partly => {
                    budget::give_back();
                    continue;
                }
            };
        }
        let (buffer, behind) = (carried.take(), carried.done);
        match (native.submit)(lane, cx, buffer, behind, &carried.how) {
            Ok(()) => carried.flight = Flight::of(lane, native.direction),
            Err(buffer) => {
                carried.buffer = Some(buffer);
                budget::give_back();
                return Poll::Ready(None);
            }
        }
    }
}
