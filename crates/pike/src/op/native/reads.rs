//! Receives by the kernel itself.
#![allow(unsafe_code)]

use std::{io, marker::PhantomData, sync::Arc, task::Context};

use super::{Kind, Native, READ, Step};
use crate::{
    buf::{self, IoBufMut, IoBufs},
    op::{
        How,
        lane::Lane,
        receive::{Peer, room_behind},
    },
    source::Direction,
};

/// Takes a buffer back from a receive that was begun with a `B`, whose result the caller has.
fn back<B: 'static>(lane: &Lane) -> B {
    // SAFETY: called by the future that submitted a `B`, with the result.
    unsafe { lane.take_back(READ, |_| ()) }
}

fn receive<B: IoBufMut>(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>) -> bool {
    lane.receive(cx, buffer, |buffer: &mut B, pieces| pieces.push_room(buffer.room()))
}

/// Once.
struct Read;

impl<B: IoBufMut> Kind<usize, B> for Read {
    const DIRECTION: Direction = READ;

    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, _: usize, _: &How) -> bool {
        receive(lane, cx, buffer)
    }

    fn finish(lane: &Lane, _: usize, count: usize) -> (B, Step<usize>) {
        let (buffer, count) = filled::<B>(lane, 0, count);
        (buffer, Step::Done(Ok(count)))
    }

    fn take_back(lane: &Lane) -> B {
        back(lane)
    }
}

/// Until there is no room.
struct ReadExact;

impl<B: IoBufMut> Kind<usize, B> for ReadExact {
    const DIRECTION: Direction = READ;

    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, done: usize, _: &How) -> bool {
        lane.receive(cx, buffer, |buffer: &mut B, pieces| {
            pieces.push_room(room_behind(buffer, done));
        })
    }

    fn finish(lane: &Lane, done: usize, count: usize) -> (B, Step<usize>) {
        let (buffer, count) = filled::<B>(lane, done, count);
        let step = match count {
            0 => Step::Done(Err(io::ErrorKind::UnexpectedEof.into())),
            count => Step::Behind(count),
        };
        (buffer, step)
    }

    fn take_back(lane: &Lane) -> B {
        back(lane)
    }

    fn nothing_left(buffer: &mut B, done: usize) -> Option<usize> {
        room_behind(buffer, done).is_empty().then_some(done)
    }
}

/// A datagram, and who sent it.
struct ReadFrom<A>(PhantomData<A>);

impl<B: IoBufMut, A: Peer> Kind<(usize, A), B> for ReadFrom<A> {
    const DIRECTION: Direction = READ;

    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffer: &mut Option<B>, _: usize, _: &How) -> bool {
        receive(lane, cx, buffer)
    }

    fn finish(lane: &Lane, _: usize, count: usize) -> (B, Step<(usize, A)>) {
        // SAFETY: called by the future that submitted it, with the result.
        let sender = unsafe { lane.envelope() }.sender();
        let (buffer, count) = filled::<B>(lane, 0, count);
        (buffer, Step::Done(sender.and_then(A::of).map(|sender| (count, sender))))
    }

    fn take_back(lane: &Lane) -> B {
        back(lane)
    }
}

/// Into several buffers.
struct ReadVectored;

impl<V: IoBufs<Buf: IoBufMut>> Kind<usize, V> for ReadVectored {
    const DIRECTION: Direction = READ;

    fn submit(lane: &Arc<Lane>, cx: &Context<'_>, buffers: &mut Option<V>, _: usize, _: &How) -> bool {
        lane.receive(cx, buffers, |buffers: &mut V, pieces| {
            pieces.in_envelope();
            for buffer in buffers.bufs_mut() {
                if pieces.is_full() {
                    break;
                }
                pieces.push_room(buffer.room());
            }
        })
    }

    fn finish(lane: &Lane, _: usize, count: usize) -> (V, Step<usize>) {
        let mut count = count;
        // SAFETY: called by the future that submitted it, with the result.
        let envelope = unsafe { lane.envelope() };
        // SAFETY: put in by `submit`, and the result is here. The envelope names the room of its buffers first, in order.
        let buffers = unsafe {
            lane.take_back(READ, |buffers: &mut V| {
                let buffers = buffers.bufs_mut();
                count = count.min(envelope.lens().take(buffers.len()).fold(0, usize::saturating_add));
                buf::filled(buffers, envelope.lens().take(buffers.len()), count);
            })
        };
        (buffers, Step::Done(Ok(count)))
    }

    fn take_back(lane: &Lane) -> V {
        back(lane)
    }
}

/// Takes the buffer back, `count` more bytes of which are filled; how many they are, since a datagram may have been
/// longer than the room for it.
fn filled<B: IoBufMut>(lane: &Lane, done: usize, count: usize) -> (B, usize) {
    // SAFETY: called by the future that submitted a `B`, with the result; as below.
    let count = unsafe { lane.room() }.map_or(count, |room| count.min(room));
    // SAFETY: as above; the kernel has written as many, behind those that were among the buffer's bytes before.
    let buffer = unsafe { lane.take_back(READ, |buffer: &mut B| buffer.filled(done + count)) };
    (buffer, count)
}

impl<B: IoBufMut> Native<usize, B> {
    pub(in crate::op) fn read() -> Self {
        Self::of::<Read>()
    }

    pub(in crate::op) fn read_exact() -> Self {
        Self::of::<ReadExact>()
    }
}

impl<B: IoBufMut, A: Peer> Native<(usize, A), B> {
    pub(in crate::op) fn read_from() -> Self {
        Self::of::<ReadFrom<A>>()
    }
}

impl<V: IoBufs<Buf: IoBufMut>> Native<usize, V> {
    pub(in crate::op) fn read_vectored() -> Self {
        Self::of::<ReadVectored>()
    }
}
