//! Sends by the kernel itself.
#![allow(unsafe_code)]

use std::{io, sync::Arc, task::Context};

use super::{Kind, Native, Step};
use crate::{
    buf::{IoBuf, IoBufs},
    op::{How, lane::Lane, rest},
    socket::SendFlags,
    source::Direction,
    sys::platform,
};

const WRITE: Direction = Direction::Write;

#[inline]
fn flags(how: &How) -> i32 {
    match how {
        How::Sending(flags) => platform::send_flags(*flags),
        // The kernel would go on trying, for nothing tells when a receiver has room: see `Socket::no_room`.
        How::ToUnix(_) => platform::send_flags(SendFlags::NONE) | platform::DO_NOT_WAIT,
        _ => platform::send_flags(SendFlags::NONE),
    }
}

/// Once, to the peer or to an address.
struct Write;

impl<B: IoBuf> Kind<usize, B> for Write {
    const DIRECTION: Direction = WRITE;

    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, _: usize, how: &How) -> bool {
        lane.send(cx, buffer, flags(how), |buffer: &B, pieces| {
            match how {
                How::To(address) => pieces.in_envelope().address_to((*address).into()),
                How::ToUnix(name) => pieces.in_envelope().address_to(name.address()),
                _ => {}
            }
            pieces.push_bytes(buffer.bytes());
        })
    }

    fn finish(lane: &Lane, buffer: &mut Option<B>, _: usize, count: usize) -> Step<usize> {
        Self::take_back(lane, buffer);
        Step::Done(Ok(count))
    }

    fn take_back(lane: &Lane, buffer: &mut Option<B>) {
        // SAFETY: called by the future that submitted a `B`, with the result.
        unsafe { lane.take_back_sent(buffer) };
    }
}

/// Until nothing is left.
struct WriteAll;

impl<B: IoBuf> Kind<(), B> for WriteAll {
    const DIRECTION: Direction = WRITE;

    #[inline]
    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, done: usize, _: &How) -> bool {
        let flags = platform::send_flags(SendFlags::NONE);
        lane.send_bytes(cx, buffer, flags, |buffer: &B| rest(buffer, done))
    }

    #[inline]
    fn finish(lane: &Lane, buffer: &mut Option<B>, _: usize, count: usize) -> Step<()> {
        Self::take_back(lane, buffer);
        match count {
            0 => Step::Done(Err(io::ErrorKind::WriteZero.into())),
            count => Step::Behind(count),
        }
    }

    #[inline]
    fn take_back(lane: &Lane, buffer: &mut Option<B>) {
        // SAFETY: called by the future that submitted a `B`, with the result.
        unsafe { lane.take_back_sent(buffer) };
    }

    #[inline]
    fn nothing_left(buffer: &mut B, done: usize) -> Option<()> {
        (buffer.bytes().len() <= done).then_some(())
    }
}

/// From several buffers.
struct WriteVectored;

impl<V: IoBufs> Kind<usize, V> for WriteVectored {
    const DIRECTION: Direction = WRITE;

    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffers: &mut Option<V>, _: usize, how: &How) -> bool {
        lane.send(cx, buffers, flags(how), |buffers: &V, pieces| {
            pieces.in_envelope();
            for buffer in buffers.bufs() {
                if pieces.is_full() {
                    break;
                }
                pieces.push_bytes(buffer.bytes());
            }
        })
    }

    fn finish(lane: &Lane, buffers: &mut Option<V>, _: usize, count: usize) -> Step<usize> {
        Self::take_back(lane, buffers);
        Step::Done(Ok(count))
    }

    fn take_back(lane: &Lane, buffers: &mut Option<V>) {
        // SAFETY: called by the future that submitted a `V`, with the result.
        unsafe { lane.take_back_sent(buffers) };
    }
}

impl<B: IoBuf> Native<usize, B> {
    pub(in crate::op) fn write<'a>() -> &'a Self {
        Self::of::<Write>()
    }
}

impl<B: IoBuf> Native<(), B> {
    pub(in crate::op) fn write_all<'a>() -> &'a Self {
        Self::of::<WriteAll>()
    }
}

impl<V: IoBufs> Native<usize, V> {
    pub(in crate::op) fn write_vectored<'a>() -> &'a Self {
        Self::of::<WriteVectored>()
    }
}
