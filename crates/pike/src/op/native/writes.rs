//! Sends by the kernel itself.
#![allow(unsafe_code)]

use std::io;

use super::{Native, Step, take_back};
use crate::{
    buf::{IoBuf, IoBufs},
    op::{How, rest},
    socket::SendFlags,
    source::Direction,
    sys::platform,
};

const WRITE: Direction = Direction::Write;

fn flags(how: &How) -> i32 {
    platform::send_flags(match how {
        How::Sending(flags) => *flags,
        _ => SendFlags::NONE,
    })
}

impl<B: IoBuf> Native<usize, B> {
    /// Once, to the peer or to an address.
    pub(in crate::op) fn write() -> Self {
        Self {
            direction: WRITE,
            submit: |lane, cx, buffer, _, how| {
                lane.send(cx, buffer, flags(how), |buffer: &B, pieces| {
                    if let How::To(address) = how {
                        pieces.in_envelope().address_to((*address).into());
                    }
                    pieces.push_bytes(buffer.bytes());
                })
            },
            // SAFETY: called by the future that submitted a `B`, with the result; as below.
            finish: |lane, _, count| (unsafe { take_back(lane, WRITE) }, Step::Done(Ok(count))),
            // SAFETY: as above.
            take_back: |lane| unsafe { take_back(lane, WRITE) },
            nothing_left: |_, _| None,
        }
    }
}

impl<B: IoBuf> Native<(), B> {
    /// Until nothing is left.
    pub(in crate::op) fn write_all() -> Self {
        Self {
            direction: WRITE,
            submit: |lane, cx, buffer, done, how| {
                lane.send(cx, buffer, flags(how), |buffer: &B, pieces| pieces.push_bytes(rest(buffer, done)))
            },
            finish: |lane, _, count| {
                let step = match count {
                    0 => Step::Done(Err(io::ErrorKind::WriteZero.into())),
                    count => Step::Behind(count),
                };
                // SAFETY: called by the future that submitted a `B`, with the result; as below.
                (unsafe { take_back(lane, WRITE) }, step)
            },
            // SAFETY: as above.
            take_back: |lane| unsafe { take_back(lane, WRITE) },
            nothing_left: |buffer, done| (buffer.bytes().len() <= done).then_some(()),
        }
    }
}

impl<V: IoBufs> Native<usize, V> {
    /// From several buffers.
    pub(in crate::op) fn write_vectored() -> Self {
        Self {
            direction: WRITE,
            submit: |lane, cx, buffers, _, how| {
                lane.send(cx, buffers, flags(how), |buffers: &V, pieces| {
                    pieces.in_envelope();
                    for buffer in buffers.bufs() {
                        if pieces.is_full() {
                            break;
                        }
                        pieces.push_bytes(buffer.bytes());
                    }
                })
            },
            // SAFETY: called by the future that submitted a `V`, with the result; as below.
            finish: |lane, _, count| (unsafe { take_back(lane, WRITE) }, Step::Done(Ok(count))),
            // SAFETY: as above.
            take_back: |lane| unsafe { take_back(lane, WRITE) },
            nothing_left: |_, _| None,
        }
    }
}
