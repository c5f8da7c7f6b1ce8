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
fn back<B: 'static>(lane: &Lane, buffer: &mut Option<B>) {
    // SAFETY: called by the future that submitted a `B`, with the result.
    *buffer = Some(unsafe { lane.take_back(READ, |_| ()) });
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

    fn finish(lane: &Lane, buffer: &mut Option<B>, _: usize, count: usize) -> Step<usize> {
        Step::Done(Ok(filled(lane, buffer, 0, count)))
    }

    fn take_back(lane: &Lane, buffer: &mut Option<B>) {
        back(lane, buffer)
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

    fn finish(lane: &Lane, buffer: &mut Option<B>, done: usize, count: usize) -> Step<usize> {
        match filled(lane, buffer, done, count) {
            0 => Step::Done(Err(io::ErrorKind::UnexpectedEof.into())),
            count => Step::Behind(count),
        }
    }

    fn take_back(lane: &Lane, buffer: &mut Option<B>) {
        back(lane, buffer)
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

    fn finish(lane: &Lane, buffer: &mut Option<B>, _: usize, count: usize) -> Step<(usize, A)> {
        // SAFETY: called by the future that submitted it, with the result.
        let sender = unsafe { lane.envelope() }.sender();
        let count = filled(lane, buffer, 0, count);
        Step::Done(sender.and_then(A::of).map(|sender| (count, sender)))
    }

    fn take_back(lane: &Lane, buffer: &mut Option<B>) {
        back(lane, buffer)
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

    fn finish(lane: &Lane, taken: &mut Option<V>, _: usize, count: usize) -> Step<usize> {
        let mut count = count;
        // SAFETY: called by the future that submitted it, with the result.
        let envelope = unsafe { lane.envelope() };
        let fill = |buffers: &mut V| {
            let buffers = buffers.bufs_mut();
            let lens = || envelope.lens().take(buffers.len());
            count = count.min(lens().fold(0, usize::saturating_add));
            // SAFETY: the envelope names the room of these buffers first, in order, and as many bytes came.
            unsafe { buf::filled(buffers, lens(), count) };
        };
        // SAFETY: put in by `submit`, and the result is here.
        *taken = Some(unsafe { lane.take_back(READ, fill) });
        Step::Done(Ok(count))
    }

    fn take_back(lane: &Lane, buffer: &mut Option<V>) {
        back(lane, buffer)
    }
}

/// Takes the buffer back, `count` more bytes of which are filled; how many they are, since a datagram may have been
/// longer than the room for it.
fn filled<B: IoBufMut>(lane: &Lane, buffer: &mut Option<B>, done: usize, count: usize) -> usize {
    // SAFETY: called by the future that submitted a `B`, with the result; as below.
    let count = unsafe { lane.room() }.map_or(count, |room| count.min(room));
    // SAFETY: the kernel has written as many, behind those that were among the buffer's bytes before.
    let fill = |buffer: &mut B| unsafe { buffer.filled(done + count) };
    // SAFETY: as above.
    *buffer = Some(unsafe { lane.take_back(READ, fill) });
    count
}

impl<B: IoBufMut> Native<usize, B> {
    pub(in crate::op) fn read<'a>() -> &'a Self {
        Self::of::<Read>()
    }

    pub(in crate::op) fn read_exact<'a>() -> &'a Self {
        Self::of::<ReadExact>()
    }
}

impl<B: IoBufMut, A: Peer> Native<(usize, A), B> {
    pub(in crate::op) fn read_from<'a>() -> &'a Self {
        Self::of::<ReadFrom<A>>()
    }
}

impl<V: IoBufs<Buf: IoBufMut>> Native<usize, V> {
    pub(in crate::op) fn read_vectored<'a>() -> &'a Self {
        Self::of::<ReadVectored>()
    }
}
