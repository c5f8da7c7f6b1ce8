//! Receives by the kernel itself.
#![allow(unsafe_code)]

use std::io;

use super::{Native, READ, Step, take_back};
use crate::{
    buf::{self, IoBufMut, IoBufs},
    op::{
        lane::Lane,
        receive::{Peer, room_behind},
    },
};

impl<B: IoBufMut> Native<usize, B> {
    /// Once.
    pub(in crate::op) fn read() -> Self {
        Self {
            direction: READ,
            submit: |lane, cx, buffer, _, _| {
                lane.receive(cx, buffer, |buffer: &mut B, pieces| pieces.push_room(buffer.room()))
            },
            finish: |lane, _, count| {
                let (buffer, count) = filled::<B>(lane, 0, count);
                (buffer, Step::Done(Ok(count)))
            },
            // SAFETY: called by the future that submitted a `B`, with the result.
            take_back: |lane| unsafe { take_back(lane, READ) },
            nothing_left: |_, _| None,
        }
    }

    /// Until there is no room.
    pub(in crate::op) fn read_exact() -> Self {
        Self {
            direction: READ,
            submit: |lane, cx, buffer, done, _| {
                lane.receive(cx, buffer, |buffer: &mut B, pieces| {
                    pieces.push_room(room_behind(buffer, done));
                })
            },
            finish: |lane, done, count| {
                let (buffer, count) = filled::<B>(lane, done, count);
                let step = match count {
                    0 => Step::Done(Err(io::ErrorKind::UnexpectedEof.into())),
                    count => Step::Behind(count),
                };
                (buffer, step)
            },
            nothing_left: |buffer, done| room_behind(buffer, done).is_empty().then_some(done),
            ..Self::read()
        }
    }
}

impl<B: IoBufMut, A: Peer> Native<(usize, A), B> {
    /// A datagram, and who sent it.
    pub(in crate::op) fn read_from() -> Self {
        Self {
            direction: READ,
            submit: |lane, cx, buffer, _, _| {
                lane.receive(cx, buffer, |buffer: &mut B, pieces| pieces.push_room(buffer.room()))
            },
            finish: |lane, _, count| {
                // SAFETY: as below.
                let sender = unsafe { lane.envelope() }.sender();
                let (buffer, count) = filled::<B>(lane, 0, count);
                (buffer, Step::Done(sender.and_then(A::of).map(|sender| (count, sender))))
            },
            // SAFETY: called by the future that submitted a `B`, with the result.
            take_back: |lane| unsafe { take_back(lane, READ) },
            nothing_left: |_, _| None,
        }
    }
}

impl<V: IoBufs<Buf: IoBufMut>> Native<usize, V> {
    /// Into several buffers.
    pub(in crate::op) fn read_vectored() -> Self {
        Self {
            direction: READ,
            submit: |lane, cx, buffers, _, _| {
                lane.receive(cx, buffers, |buffers: &mut V, pieces| {
                    pieces.in_envelope();
                    for buffer in buffers.bufs_mut() {
                        if pieces.is_full() {
                            break;
                        }
                        pieces.push_room(buffer.room());
                    }
                })
            },
            finish: |lane, _, count| {
                let mut count = count;
                // SAFETY: as below.
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
            },
            // SAFETY: called by the future that submitted a `V`, with the result.
            take_back: |lane| unsafe { take_back(lane, READ) },
            nothing_left: |_, _| None,
        }
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
