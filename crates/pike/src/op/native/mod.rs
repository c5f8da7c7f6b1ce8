//! An owned operation where the backend completes: the kernel has the buffer, and the future waits for the result.
//!
//! `reads` and `writes` have what each kind of operation asks, and what it makes of the result.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

mod reads;
mod writes;

use super::{Carried, How, lane::Lane};
use crate::{
    budget,
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

    /// Has the kernel do it, from behind the first `done` bytes on: true, and the buffer was taken. Or leaves the buffer alone.
    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, done: usize, how: &How) -> bool;

    /// Once the kernel is done: takes the buffer back, and says what it means that `count` bytes were moved behind the first
    /// `done`.
    fn finish(lane: &Lane, buffer: &mut Option<B>, done: usize, count: usize) -> Step<T>;

    /// Takes the buffer back after an error.
    fn take_back(lane: &Lane, buffer: &mut Option<B>);

    /// The result, if nothing is left to do behind the first `done` bytes.
    #[inline]
    fn nothing_left(_: &mut B, _done: usize) -> Option<T> {
        None
    }
}

/// The kind of an operation, of which its future needs to know no more than how it begins and ends: all of one kind is one
/// piece of code.
pub(super) struct Native<T, B> {
    begin: Begin<T, B>,
    end: End<T, B>,
}

/// Has the kernel do it. Ready with the result if it is done already, or with none if it is for the loop of every operation to
/// go on: another one is under way or waits, or something has arrived already.
type Begin<T, B> = for<'a> fn(
    &mut Carried<'a, T, B>,
    &'a Arc<Lane>,
    &Registration,
    &mut Context<'_>,
) -> Poll<Option<io::Result<T>>>;

/// Takes the buffer back, once the kernel is done with this result.
type End<T, B> = fn(&mut Carried<'_, T, B>, &Arc<Lane>, i32) -> Ended<T>;

/// What has become of an operation whose request is done.
enum Ended<T> {
    Done(io::Result<T>),
    /// The kernel is to go on with it.
    Again,
    /// The kernel would not wait: it is for the loop of every operation to go on.
    WouldBlock,
}

/// What a request that is done means for its operation.
enum Step<T> {
    Done(io::Result<T>),
    /// It goes on behind as many more bytes.
    Behind(usize),
}

/// An operation that is in the kernel. Dropped, it leaves the buffer to whoever reaps it.
#[derive(Default)]
pub(crate) struct Flight<'a>(Option<(&'a Arc<Lane>, Direction)>);

impl<'a> Flight<'a> {
    /// The operation was just begun.
    #[inline]
    pub(crate) fn begin(&mut self, lane: &'a Arc<Lane>, direction: Direction) {
        debug_assert!(self.0.is_none(), "one at a time");
        self.0 = Some((lane, direction));
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
        if let Some((lane, direction)) = self.0 {
            lane.leave(direction);
        }
    }
}

impl<T, B> Native<T, B> {
    const fn of<'a, K: Kind<T, B>>() -> &'a Self {
        &Self { begin: begin::<K, T, B>, end: end::<K, T, B> }
    }

    /// Polls it. None if it is for the loop of every operation to go on, unless it was given up.
    #[inline]
    pub(super) fn poll<'a>(
        &self,
        carried: &mut Carried<'a, T, B>,
        lane: &'a Arc<Lane>,
        registration: &Registration,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<T>>> {
        if carried.flight.is_under_way() {
            let result = ready!(carried.flight.poll(cx));
            match (self.end)(carried, lane, result) {
                Ended::Done(result) => return Poll::Ready(Some(result)),
                Ended::Again => {}
                Ended::WouldBlock => return Poll::Ready(None),
            }
        }
        if carried.given_up.is_some() {
            return Poll::Ready(None);
        }
        (self.begin)(carried, lane, registration, cx)
    }
}

fn begin<'a, K: Kind<T, B>, T, B>(
    carried: &mut Carried<'a, T, B>,
    lane: &'a Arc<Lane>,
    registration: &Registration,
    cx: &mut Context<'_>,
) -> Poll<Option<io::Result<T>>> {
    let done = |result| Poll::Ready(Some(result));
    loop {
        let mut seen = registration.source().seen().with(platform::forked());
        if seen.is_closed() {
            match registration.look_again() {
                Ok(word) => seen = word,
                Err(error) => return done(Err(error)),
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
                Attempt::Done(result) => return done(Ok(result)),
                Attempt::Drained(result) => {
                    registration.source().clear(seen, bits);
                    return done(Ok(result));
                }
                Attempt::Failed(error) => match unless_would_block(error) {
                    Some(error) => return done(Err(error)),
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
            carried.flight.begin(lane, K::DIRECTION);
            return Poll::Pending; // it has begun with this waker
        }
        budget::give_back();
        let behind = carried.done;
        return Poll::Ready(K::nothing_left(carried.buffer(), behind).map(Ok));
    }
}

fn end<K: Kind<T, B>, T, B>(carried: &mut Carried<'_, T, B>, lane: &Arc<Lane>, result: i32) -> Ended<T> {
    let Ok(count) = usize::try_from(result) else { return fail::<K, T, B>(carried, lane, -result) };
    match K::finish(lane, &mut carried.buffer, carried.done, count) {
        Step::Done(result) => Ended::Done(result),
        Step::Behind(count) => {
            let done = carried.done + count;
            carried.done = done;
            K::nothing_left(carried.buffer(), done).map_or(Ended::Again, |result| Ended::Done(Ok(result)))
        }
    }
}

/// The request failed, with this code.
#[cold]
fn fail<K: Kind<T, B>, T, B>(carried: &mut Carried<'_, T, B>, lane: &Arc<Lane>, code: i32) -> Ended<T> {
    K::take_back(lane, &mut carried.buffer);
    match code {
        platform::CANCELLED | platform::INTERRUPTED => Ended::Again,
        platform::WOULD_BLOCK => {
            if lane.would_block() {
                carried.native = None;
            }
            Ended::WouldBlock
        }
        code => Ended::Done(Err(io::Error::from_raw_os_error(code))),
    }
}
