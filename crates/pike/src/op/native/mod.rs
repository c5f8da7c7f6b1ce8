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

/// What a kind of operation does that the kernel may do by itself.
trait Kind<T, B> {
    const DIRECTION: Direction;

    /// Has the kernel do it behind so many bytes, for which it takes the buffer, or leaves that alone.
    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, done: usize, how: &How) -> bool;

    /// Once the kernel is done: the buffer, and what it means that behind so many bytes as many more were moved.
    fn finish(lane: &Lane, done: usize, count: usize) -> (B, Step<T>);

    /// The buffer alone, after an error.
    fn take_back(lane: &Lane) -> B;

    /// The result, if nothing is left to do behind so many bytes.
    #[inline]
    fn nothing_left(_: &mut B, _: usize) -> Option<T> {
        None
    }
}

/// The kind of an operation, of which its future needs to know no more than how it is polled: all of one kind is one piece
/// of code.
pub(super) struct Native<T, B> {
    poll: PollKind<T, B>,
}

type PollKind<T, B> = for<'a> fn(
    &mut Carried<'a, T, B>,
    &'a Arc<Lane>,
    &Registration,
    Option<GivenUp>,
    &mut Context<'_>,
) -> Poll<Option<BufResult<T, B>>>;

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

/// An operation that is in the kernel. Dropped, it leaves the buffer to whoever reaps it.
#[derive(Default)]
pub(crate) struct Flight<'a>(Option<(&'a Arc<Lane>, Direction)>);

impl<'a> Flight<'a> {
    /// Of the operation that was just begun.
    #[inline]
    pub(crate) fn of(lane: &'a Arc<Lane>, direction: Direction) -> Self {
        Self(Some((lane, direction)))
    }

    /// The result: what the operation needed is the caller's then, who takes it back.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<i32> {
        let (lane, direction) = self.0.expect("nothing is under way");
        match lane.poll(direction, cx) {
            None => Poll::Pending,
            Some(result) => {
                self.0 = None; // a drop leaves nothing now
                Poll::Ready(result)
            }
        }
    }

    #[inline]
    pub(crate) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn cancel(&self) {
        if let Some((lane, direction)) = self.0 {
            lane.stop(direction);
        }
    }
}

impl Drop for Flight<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((lane, direction)) = self.0.take() {
            lane.leave(direction);
        }
    }
}

impl<T, B> Native<T, B> {
    const fn of<K: Kind<T, B>>() -> Self {
        Self { poll: poll::<K, T, B> }
    }

    /// Polls it. None if it is for the loop of every operation to go on: another one is under way or waits, something has
    /// arrived already, or the kernel would not wait.
    #[inline]
    pub(super) fn poll<'a>(
        self,
        carried: &mut Carried<'a, T, B>,
        lane: &'a Arc<Lane>,
        registration: &Registration,
        given_up: Option<GivenUp>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<BufResult<T, B>>> {
        (self.poll)(carried, lane, registration, given_up, cx)
    }
}

fn poll<'a, K: Kind<T, B>, T, B>(
    carried: &mut Carried<'a, T, B>,
    lane: &'a Arc<Lane>,
    registration: &Registration,
    given_up: Option<GivenUp>,
    cx: &mut Context<'_>,
) -> Poll<Option<BufResult<T, B>>> {
    let done = |result, buffer| Poll::Ready(Some((result, buffer)));
    loop {
        if carried.flight.is_under_way() {
            let result = std::task::ready!(carried.flight.poll(cx));
            carried.buffer = Some(match result {
                0.. => match K::finish(lane, carried.done, result as usize) {
                    (buffer, Step::Done(result)) => return done(result, buffer),
                    (mut buffer, Step::Behind(count)) => {
                        carried.done += count;
                        if let Some(result) = K::nothing_left(&mut buffer, carried.done) {
                            return done(Ok(result), buffer);
                        }
                        buffer
                    }
                },
                code => {
                    let buffer = K::take_back(lane);
                    match -code {
                        platform::CANCELLED | platform::INTERRUPTED => buffer,
                        platform::WOULD_BLOCK => {
                            carried.buffer = Some(buffer);
                            if lane.would_block() {
                                carried.native = None;
                            }
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
        let mut seen = registration.source().seen().with(platform::forked());
        if seen.is_closed() {
            match registration.look_again() {
                Ok(word) => seen = word,
                Err(error) => return done(Err(error), carried.take()),
            }
        }
        if !budget::take(cx) {
            return Poll::Pending;
        }
        // What is known to be there is taken at once, unless others came first. Once nothing is found nobody says so
        // again before somebody waits, so a reader of this kind alone goes by the kernel ever after.
        let bits = K::DIRECTION.bits();
        if K::DIRECTION == READ && seen.any(bits) && !registration.source().is_waited_for(READ) {
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
        if K::submit(lane, cx, &mut carried.buffer, carried.done, &carried.how) {
            carried.flight = Flight::of(lane, K::DIRECTION);
            return Poll::Pending; // it has begun with this waker
        }
        budget::give_back();
        let behind = carried.done;
        return match K::nothing_left(carried.buffer(), behind) {
            Some(result) => done(Ok(result), carried.take()),
            None => Poll::Ready(None),
        };
    }
}
