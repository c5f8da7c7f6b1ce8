//! An owned send where the backend completes: the kernel has the buffer, and the future waits for the result.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Carried, GivenUp, lane::Lane};
use crate::{
    budget,
    buf::{BufResult, IoBuf},
    handle::registration::Registration,
    socket::SendFlags,
    sys::platform,
};

/// Has the kernel send a buffer behind so many bytes, or gives it back.
type Submit<B> = fn(&Arc<Lane>, &Context<'_>, B, usize, SendFlags) -> Result<(), B>;

/// What a send does that the kernel may do by itself. Functions, so that the future needs to know nothing of the buffer.
pub(super) struct Native<T, B> {
    submit: Submit<B>,
    take_back: fn(&Lane) -> B,
    len: fn(&B) -> usize,
    brings: fn(usize) -> T,
    /// Whether it goes on until nothing is left.
    all: bool,
}

impl<T, B> Clone for Native<T, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, B> Copy for Native<T, B> {}

impl<B: IoBuf> Native<usize, B> {
    pub(super) fn once() -> Self {
        Self::new(|sent| sent, false)
    }
}

impl<B: IoBuf> Native<(), B> {
    pub(super) fn all() -> Self {
        Self::new(|_| (), true)
    }
}

impl<T, B: IoBuf> Native<T, B> {
    fn new(brings: fn(usize) -> T, all: bool) -> Self {
        let submit = |lane: &Arc<Lane>, cx: &Context<'_>, buffer: B, done: usize, flags: SendFlags| {
            lane.send(cx, buffer, B::bytes, done, platform::send_flags(flags))
        };
        let take_back = |lane: &Lane| {
            // SAFETY: only the future that submitted a `B` here calls this, with the result.
            #[allow(unsafe_code)]
            unsafe {
                lane.take_back::<B>()
            }
        };
        Self { submit, take_back, len: |buffer| buffer.bytes().len(), brings, all }
    }
}

/// A send that is in the kernel. Dropped, it leaves the buffer to whoever reaps it.
#[derive(Default)]
pub(super) struct Flight(Option<Arc<Lane>>);

impl Flight {
    pub(super) fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn cancel(&self) {
        if let Some(lane) = &self.0 {
            lane.cancel_send();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            lane.leave_send();
        }
    }
}

/// Polls it. None if it is for the loop of every operation to go on: another send is under way, or the kernel would not
/// wait.
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
            let Some(result) = lane.poll_send(cx) else { return Poll::Pending };
            carried.flight.0 = None;
            let buffer = (native.take_back)(lane);
            match result {
                0.. => {
                    carried.done += result as usize;
                    let left = (native.len)(&buffer).saturating_sub(carried.done);
                    if !native.all || left == 0 {
                        return done(Ok((native.brings)(carried.done)), buffer);
                    }
                    if result == 0 {
                        return done(Err(io::ErrorKind::WriteZero.into()), buffer);
                    }
                }
                code => match -code {
                    platform::CANCELLED => {}
                    platform::WOULD_BLOCK => {
                        carried.buffer = Some(buffer);
                        return Poll::Ready(None);
                    }
                    code => return done(Err(io::Error::from_raw_os_error(code)), buffer),
                },
            }
            carried.buffer = Some(buffer);
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
        if native.all && (native.len)(carried.buffer()) <= carried.done {
            return done(Ok((native.brings)(carried.done)), carried.take());
        }
        if !budget::take(cx) {
            return Poll::Pending;
        }
        let (buffer, flags) = (carried.take(), carried.send_flags());
        match (native.submit)(lane, cx, buffer, carried.done, flags) {
            Ok(()) => carried.flight.0 = Some(Arc::clone(lane)),
            Err(buffer) => {
                carried.buffer = Some(buffer);
                budget::give_back();
                return Poll::Ready(None);
            }
        }
    }
}
